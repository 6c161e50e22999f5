//! The head of a file, and the seal or hash of each frame behind it.
//!
//! | octets | head |
//! |---|---|
//! | 8 | `mcststat` |
//! | 2 | version of the format, 1 |
//! | 1 | whose state: 1 a receiver's, 2 a key server's, 3 that of broadcasters |
//! | 1 | 1 if sealed, else 0 |
//! | 32 | random, other for each file that is begun |
//! | 16 | check: the tag of a frame of no octets with the number 2^64 - 1 |
//!
//! Sealed: the key of the file is HMAC-SHA-256 of the 44 octets above under the caller's key, a frame is
//! AES-256-GCM under it, the nonce is the frame's number on 12 octets. A number occurs once in a file:
//! after a failed write, and after each start, another file is begun. So a frame of another file, or from
//! another place of this one, does not open, without associated data. Not sealed: the tag is the first 16
//! octets of SHA-256 over head, number and frame; it finds damage, not forgery.

use aes_gcm::{
    Aes256Gcm, Nonce, Tag,
    aead::{AeadInOut, KeyInit as _},
};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Whose state a file holds.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Owner {
    Receiver = 1,
    KeyServer = 2,
    Broadcaster = 3,
}

impl Owner {
    const fn name(self) -> &'static str {
        match self {
            Self::Receiver => "a receiver",
            Self::KeyServer => "a key server",
            Self::Broadcaster => "a broadcaster",
        }
    }
}

/// The keys of a file.
#[derive(Debug, Default)]
pub(super) struct SealingKeys {
    /// Under which files are begun; `None`: they are not sealed.
    pub(super) key: Option<Secret<32>>,
    /// Under which the file that is there may have been sealed before.
    pub(super) former: Option<Secret<32>>,
}

/// What protects the frames of one file.
pub(super) struct Seal {
    head: [u8; Self::HEAD_LEN],
    cipher: Option<Aes256Gcm>,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BadHead {
    NoStateFile,
    Version(u16),
    OtherOwner(Owner),
    NotSealed,
    KeyNeeded,
    WrongKey,
    Damaged,
}

impl BadHead {
    /// What is wrong with the file, and what to do.
    pub(super) fn text(self) -> String {
        let what = match self {
            Self::NoStateFile => "is no state file; name another or remove it",
            Self::Version(version) => {
                return format!(
                    "has version {version} of the format, this program reads {VERSION}"
                );
            }
            Self::OtherOwner(owner) => return format!("is not the state of {}", owner.name()),
            Self::NotSealed => {
                "is not sealed, but a key was given: leave the key out, or begin another file"
            }
            Self::KeyNeeded => "is sealed; give the key it was sealed with",
            Self::WrongKey => "was sealed with another key, or is damaged; it is as it was",
            Self::Damaged => "is damaged in its head",
        };
        what.to_owned()
    }
}

impl Seal {
    /// Octets of the head that the check covers.
    const HEAD_LEN: usize = 44;
    /// Octets at the beginning of a file.
    pub(super) const LEN: usize = Self::HEAD_LEN + Self::TAG_LEN;
    /// Octets of a tag.
    pub(super) const TAG_LEN: usize = 16;

    /// For a file that is begun. `salt` has never been used before.
    pub(super) fn begin(owner: Owner, key: Option<&Secret<32>>, salt: [u8; 32]) -> Self {
        let mut head = [0; Self::HEAD_LEN];
        let [version_high, version_low] = VERSION.to_be_bytes();
        let fixed = [version_high, version_low, owner as u8, key.is_some().into()];
        let octets = MAGIC.iter().chain(&fixed).chain(&salt);
        head.iter_mut().zip(octets).for_each(|(place, octet)| *place = *octet);
        Self::of(head, key)
    }

    /// For a file that begins with these octets; also gives what follows them.
    pub(super) fn read<'a>(
        octets: &'a [u8],
        owner: Owner,
        key: Option<&Secret<32>>,
    ) -> Result<(Self, &'a [u8]), BadHead> {
        let rest = octets.strip_prefix(MAGIC).ok_or(BadHead::NoStateFile)?;
        let [v0, v1, of, sealed, ..] = *rest else { return Err(BadHead::Damaged) };
        let version = u16::from_be_bytes([v0, v1]);
        if version != VERSION {
            return Err(BadHead::Version(version));
        }
        if of != owner as u8 {
            return Err(BadHead::OtherOwner(owner));
        }
        match (sealed, key) {
            (0, None) | (1, Some(_)) => {}
            //= Were it taken, whoever can write the file could forge one without the key.
            (0, Some(_)) => return Err(BadHead::NotSealed),
            (1, None) => return Err(BadHead::KeyNeeded),
            _ => return Err(BadHead::Damaged),
        }
        let (head, rest) = octets.split_first_chunk().ok_or(BadHead::Damaged)?;
        let (check, frames) =
            rest.split_first_chunk::<{ Self::TAG_LEN }>().ok_or(BadHead::Damaged)?;
        let seal = Self::of(*head, key);
        if !seal.open(OF_HEAD, &mut [], *check) {
            return Err(if key.is_some() { BadHead::WrongKey } else { BadHead::Damaged });
        }
        Ok((seal, frames))
    }

    /// The same, under the key or else the one before it.
    pub(super) fn read_with(
        octets: &[u8],
        owner: Owner,
        keys: &SealingKeys,
    ) -> Result<Self, BadHead> {
        let refused = match Self::read(octets, owner, keys.key.as_ref()) {
            Ok((seal, _)) => return Ok(seal),
            Err(refused) => refused,
        };
        match (refused, &keys.former) {
            (BadHead::WrongKey | BadHead::KeyNeeded, Some(former)) => {
                Self::read(octets, owner, Some(former)).map(|(seal, _)| seal)
            }
            _ => Err(refused),
        }
    }

    fn of(head: [u8; Self::HEAD_LEN], key: Option<&Secret<32>>) -> Self {
        let cipher = key.and_then(|key| {
            // HMAC takes a key of any length, AES-256 one of 32 octets.
            let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key.expose()).ok()?;
            mac.update(&head);
            let key = Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()));
            Aes256Gcm::new_from_slice(&*key).ok()
        });
        Self { head, cipher }
    }

    /// The beginning of the file.
    pub(super) fn head(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let check = self.close(OF_HEAD, &mut []);
        let octets = self.head.iter().chain(&check);
        out.iter_mut().zip(octets).for_each(|(place, octet)| *place = *octet);
        out
    }

    /// Seals a frame in place, if the file is sealed, and gives its tag.
    pub(super) fn close(&self, number: u64, body: &mut [u8]) -> [u8; Self::TAG_LEN] {
        match &self.cipher {
            // A frame is far shorter than what GCM can take.
            Some(cipher) => cipher
                .encrypt_inout_detached(&nonce(number), &[], body.into())
                .map_or([0; Self::TAG_LEN], Into::into),
            None => self.hash(number, body),
        }
    }

    /// Opens a frame in place; tells whether its tag is right.
    #[must_use]
    pub(super) fn open(&self, number: u64, body: &mut [u8], tag: [u8; Self::TAG_LEN]) -> bool {
        match &self.cipher {
            Some(cipher) => cipher
                .decrypt_inout_detached(&nonce(number), &[], body.into(), &Tag::from(tag))
                .is_ok(),
            None => self.hash(number, body).ct_eq(&tag).into(),
        }
    }

    /// A short check of a frame's length, so that a damaged length is told from a frame cut short.
    pub(super) fn check_of_len(&self, number: u64, len: u32) -> [u8; 4] {
        let [a, b, c, d, ..] = self.hash(number ^ OF_HEAD, &len.to_be_bytes());
        [a, b, c, d]
    }

    fn hash(&self, number: u64, body: &[u8]) -> [u8; Self::TAG_LEN] {
        let mut hash = Sha256::new();
        hash.update(self.head);
        hash.update(number.to_be_bytes());
        hash.update(body);
        hash.finalize().first_chunk().copied().unwrap_or_default()
    }
}

fn nonce(number: u64) -> Nonce<aes_gcm::aead::consts::U12> {
    let mut nonce = [0; 12];
    nonce.iter_mut().skip(4).zip(number.to_be_bytes()).for_each(|(place, octet)| *place = octet);
    nonce.into()
}

const MAGIC: &[u8; 8] = b"mcststat";
const VERSION: u16 = 1;
/// The number of no frame.
const OF_HEAD: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: Option<u8>, salt: u8) -> Seal {
        let key = key.map(|octet| Secret::new([octet; 32]));
        Seal::begin(Owner::Receiver, key.as_ref(), [salt; 32])
    }

    #[test]
    fn a_frame_opens_in_its_file_and_place_only() {
        for key in [None, Some(1)] {
            let (mut body, here) = (*b"an MSK and its counters", seal(key, 1));
            let tag = here.close(7, &mut body);
            assert_eq!(body == *b"an MSK and its counters", key.is_none());
            let opens = |by: &Seal, number, tag| by.open(number, &mut body.clone(), tag);
            assert!(opens(&here, 7, tag));
            assert!(!opens(&here, 8, tag) && !opens(&seal(key, 2), 7, tag));
            assert!(!opens(&here, 7, [0; 16]) && !opens(&seal(Some(9), 1), 7, tag));
        }
    }

    #[test]
    fn a_head_is_refused_with_its_reason() {
        let key = |octet| Some(Secret::new([octet; 32]));
        let read = |octets: &[u8], key: Option<Secret<32>>| {
            Seal::read(octets, Owner::Receiver, key.as_ref()).map(|(_, rest)| rest.len())
        };
        let (open, sealed) = (seal(None, 3).head(), seal(Some(1), 3).head());
        assert_eq!((read(&open, None), read(&sealed, key(1))), (Ok(0), Ok(0)));
        assert_eq!(read(&sealed, key(2)), Err(BadHead::WrongKey));
        assert_eq!(read(&sealed, None), Err(BadHead::KeyNeeded));
        assert_eq!(read(&open, key(1)), Err(BadHead::NotSealed));
        assert_eq!(read(b"", None), Err(BadHead::NoStateFile));
        let changed = |place: usize| {
            let mut changed = open;
            changed[place] ^= 4;
            read(&changed, None)
        };
        assert_eq!(changed(0), Err(BadHead::NoStateFile));
        assert_eq!(changed(9), Err(BadHead::Version(5)));
        assert_eq!(changed(10), Err(BadHead::OtherOwner(Owner::Receiver)));
        assert!((11..Seal::LEN).all(|place| changed(place) == Err(BadHead::Damaged)));
        assert!((8..Seal::LEN).all(|len| read(&open[..len], None) == Err(BadHead::Damaged)));
    }

    #[test]
    fn the_format_is_what_another_program_computes() {
        // By Python's hashlib, hmac and cryptography, from the table at the head of this file.
        let mut body = *b"frame";
        let tag = seal(None, 3).close(0, &mut body);
        assert_eq!(hex::encode(tag), VECTOR_OPEN);
        let tag = seal(Some(1), 3).close(0, &mut body);
        assert_eq!((hex::encode(body), hex::encode(tag)), (VECTOR_BODY.into(), VECTOR_TAG.into()));
    }

    const VECTOR_OPEN: &str = "c3680306bd8d024347f9c52916dfeb1a";
    const VECTOR_BODY: &str = "c9b76f07da";
    const VECTOR_TAG: &str = "72a5e1f53f6f2510da62814274b171a6";
}
