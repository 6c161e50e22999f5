//! One master key under its MKI, expanded once for every packet that will name it.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use zeroize::Zeroize;

use super::{
    kdf::{Kdf, Label},
    kernel::{
        cipher::{CipherKey, Iv},
        hmac::HmacKey,
        joined,
    },
    layout::{Clear, RccTrailers, Trailer},
    profile::Profile,
};
use crate::{
    error::Error,
    ids::{Mki, PacketIndex, Seq},
    secret::SecretBytes,
};

/// A traffic key ready for use: session keys of SRTP and SRTCP, and how packets under it look.
///
/// Made once per MTK on the key thread and shared by all lanes. The expanded keys are erased when
/// the last holder lets go.
pub struct TrafficKey {
    id: u64,
    age: KeyAge,
    /// For [`Self::is_clearly_named_by`].
    mki_end: (u64, u64),
    rtp_trailer: Trailer,
    rtcp_trailer: Trailer,
    course: Course,
    profile: Profile,
    mki: Mki,
    rtp: SessionKeys,
    rtcp: SessionKeys,
    /// With RCC, in place of `rtp_trailer`.
    rcc_trailers: Option<RccTrailers>,
    /// Kept only while a key derivation rate asks for further derivations.
    master: Option<(SecretBytes, SecretBytes)>,
    used: AtomicBool,
}

/// Which of two keys was made first. Keys are told apart by it except behind the 2^32-th of a process,
/// which all count as one.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct KeyAge(u32);

impl KeyAge {
    fn of(id: u64) -> Self {
        Self(u32::try_from(id).unwrap_or(u32::MAX))
    }
}

/// Session keys for one derivation index `r` (RFC 3711 §4.3).
pub(crate) struct SessionKeys {
    /// `None` with the NULL cipher.
    pub(crate) cipher: Option<CipherKey>,
    /// `None` with AEAD.
    pub(crate) hmac: Option<HmacKey>,
    /// Session salt, right-padded with zeros: 14 or 12 octets count.
    salt: [u8; 16],
}

/// Which half of the crypto session a packet belongs to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PacketKind {
    /// RTP: the index is estimated, the MAC covers the rollover counter.
    Rtp,
    /// RTCP: the index is in the packet.
    Rtcp,
}

/// How a batch treats packets under a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Course {
    /// One by one.
    Alone,
    /// Hashed with the others, and decrypted with the others once accepted.
    Hashed,
    /// Opened with the others, under AEAD.
    Sealed,
}

impl Course {
    const fn of(profile: &Profile) -> Self {
        match profile {
            // Session keys change with the index, which may change in a batch.
            Profile { kdr: 1.., .. } => Self::Alone,
            // Some packets have no tag.
            _ if !(profile.authenticates(true) && profile.authenticates(false)) => Self::Alone,
            Profile { cipher, .. } if cipher.is_aead() => Self::Sealed,
            _ => Self::Hashed,
        }
    }
}

impl TrafficKey {
    /// Derives the session keys; about a microsecond.
    ///
    /// `master_salt` may be empty, which counts as all zero (RFC 3711 §3.2.1). GCM uses its first
    /// 12 octets.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a length does not fit the profile, if the MKI has another length than
    /// the profile says, or as [`TrafficKey::supports`] gives it.
    pub fn new(
        mki: Mki,
        profile: Profile,
        master_key: &[u8],
        master_salt: &[u8],
    ) -> Result<Self, Error> {
        Self::supports(&profile)?;
        if mki.as_bytes().len() != usize::from(profile.mki_len) {
            return Err(Error::invalid(format!(
                "the MKI has {} octets, the profile says {}",
                mki.as_bytes().len(),
                profile.mki_len
            )));
        }
        let key_len = profile.cipher.key_len();
        //= RFC 7714 §3: the master key is at least as long as the encryption key
        if master_key.len() != key_len {
            return Err(Error::invalid(format!(
                "{profile} takes a master key of {key_len} octets, not {}",
                master_key.len()
            )));
        }
        let salt_len = profile.cipher.salt_len();
        if !matches!(master_salt.len(), 0 | 14) && master_salt.len() != salt_len {
            return Err(Error::invalid(format!(
                "{profile} takes a master salt of {salt_len} octets, not {}",
                master_salt.len()
            )));
        }
        let master_salt = master_salt.get(..salt_len).unwrap_or_default();
        let kdf = Kdf::new(master_key, master_salt);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let master = || (SecretBytes::new(master_key), SecretBytes::new(master_salt));
        Ok(Self {
            id,
            age: KeyAge::of(id),
            mki_end: mki_end(&mki),
            rtp_trailer: Trailer::of(&profile, PacketKind::Rtp),
            rtcp_trailer: Trailer::of(&profile, PacketKind::Rtcp),
            course: Course::of(&profile),
            mki,
            profile,
            rtp: SessionKeys::derive(&kdf, &profile, PacketKind::Rtp, 0),
            rtcp: SessionKeys::derive(&kdf, &profile, PacketKind::Rtcp, 0),
            rcc_trailers: RccTrailers::of(&profile),
            master: (profile.kdr != 0).then(master),
            used: AtomicBool::new(false),
        })
    }

    /// Checks that this version can protect and open packets under a profile.
    ///
    /// # Errors
    /// [`Error::Invalid`] as [`Profile::validate`] gives it, or if SRTP would go without authentication
    /// and without RCC.
    pub fn supports(profile: &Profile) -> Result<(), Error> {
        profile.validate()?;
        if profile.srtp_tag_len == 0 && !profile.cipher.is_aead() {
            //= RFC 3711 §3.3.1: without a tag there is no robust index and no replay protection
            return Err(Error::invalid("SRTP without an authentication tag is not supported"));
        }
        //= RFC 7714 §7.1: a tag field besides the AEAD tag is there for the rollover counter alone
        let rocs_only = profile.rcc.is_some() || profile.srtp_tag_len == 0;
        if profile.cipher.is_aead() && (!rocs_only || profile.srtcp_tag_len != 0) {
            return Err(Error::invalid("a GCM profile has no tag field besides the AEAD tag"));
        }
        if profile.cipher.is_aead() && !profile.encrypt_srtp {
            //= RFC 7714 §8.2: SRTP packets under AEAD are always encrypted
            return Err(Error::invalid("a GCM profile cannot leave SRTP unencrypted"));
        }
        Ok(())
    }

    /// Distinguishes this key from every other of the process.
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// When it was made, as compared with others.
    #[inline(always)]
    pub(crate) const fn age(&self) -> KeyAge {
        self.age
    }

    /// The identifier packets name this key by.
    #[must_use]
    pub const fn mki(&self) -> &Mki {
        &self.mki
    }

    /// How packets under this key are protected.
    #[must_use]
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// How a batch treats packets under this key.
    #[inline(always)]
    pub(crate) const fn course(&self) -> Course {
        self.course
    }

    /// What packets under this key end with; for RTP under RCC, what fits no packet.
    #[inline(always)]
    pub(crate) const fn trailer(&self, kind: PacketKind) -> &Trailer {
        match kind {
            PacketKind::Rtp => &self.rtp_trailer,
            PacketKind::Rtcp => &self.rtcp_trailer,
        }
    }

    /// What a packet under this key ends with.
    #[inline(never)]
    pub(crate) fn trailer_at(&self, kind: PacketKind, seq: Seq) -> &Trailer {
        match (kind, &self.rcc_trailers) {
            (PacketKind::Rtp, Some(trailers)) => trailers.at(seq),
            _ => self.trailer(kind),
        }
    }

    /// The MKI of a packet, if it is protected as this key's profile says.
    pub(crate) fn mki_of<'a>(&self, kind: PacketKind, packet: &'a [u8]) -> Option<&'a [u8]> {
        let trailer = match &self.rcc_trailers {
            Some(_) => self.trailer_at(kind, Clear::read(kind, packet)?.seq),
            None => self.trailer(kind),
        };
        trailer.mki(packet)
    }

    /// Whether a packet carries this key's MKI where this key's profile puts it.
    pub(crate) fn is_named_by(&self, kind: PacketKind, packet: &[u8]) -> bool {
        self.mki_of(kind, packet) == Some(self.mki.as_bytes())
    }

    /// The same by eight octets at once, in most packets the MKI and some of the text before it. Not
    /// found like this are MKIs of more octets, and those of the shortest packets.
    #[inline(always)]
    pub(crate) fn is_clearly_named_by(&self, kind: PacketKind, packet: &[u8]) -> bool {
        let before_tag = self.trailer(kind).before_tag(packet);
        before_tag.and_then(<[u8]>::last_chunk).is_some_and(|octets| {
            let (end, mask) = self.mki_end;
            u64::from_be_bytes(*octets) & mask == end
        })
    }

    /// Whether a packet has been authenticated under this key.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Notes the first authenticated packet. One relaxed load a packet, one store a key and lane.
    #[inline(always)]
    pub(crate) fn mark_used(&self) {
        if !self.is_used() {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Session keys of derivation index 0: the only ones without a key derivation rate.
    #[inline(always)]
    pub(crate) const fn session(&self, kind: PacketKind) -> &SessionKeys {
        match kind {
            PacketKind::Rtp => &self.rtp,
            PacketKind::Rtcp => &self.rtcp,
        }
    }

    /// The derivation index of a packet (RFC 3711 §4.3.1): 0, or index DIV kdr.
    #[inline]
    pub(crate) fn derivation(&self, index: PacketIndex) -> u64 {
        index.value().checked_div(u64::from(self.profile.kdr)).unwrap_or(0)
    }

    /// Session keys of another derivation index; `None` if the profile has no derivation rate.
    pub(crate) fn derive_session(&self, kind: PacketKind, r: u64) -> Option<SessionKeys> {
        let (key, salt) = self.master.as_ref()?;
        let kdf = Kdf::new(key.expose(), salt.expose());
        Some(SessionKeys::derive(&kdf, &self.profile, kind, r))
    }
}

impl fmt::Debug for TrafficKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrafficKey({}, {})", self.mki, self.profile)
    }
}

impl SessionKeys {
    fn derive(kdf: &Kdf<'_>, profile: &Profile, kind: PacketKind, r: u64) -> Self {
        let (encryption, authentication, salting) = match kind {
            PacketKind::Rtp => (Label::RtpEncryption, Label::RtpAuthentication, Label::RtpSalt),
            PacketKind::Rtcp => (Label::RtcpEncryption, Label::RtcpAuthentication, Label::RtcpSalt),
        };
        let encrypted = match kind {
            PacketKind::Rtp => profile.encrypt_srtp,
            //= RFC 3711 §3.4: the E flag of each packet decides, so the key has to be there
            PacketKind::Rtcp => true,
        };
        let mut scratch = [0_u8; 32];
        let cipher = (encrypted && profile.cipher != super::Cipher::Null).then(|| {
            let key = &mut scratch[..profile.cipher.key_len()];
            kdf.derive(encryption, r, key);
            CipherKey::new(profile.cipher, key)
        });
        let hmac = (!profile.cipher.is_aead()).then(|| {
            //= RFC 3711 §5.2: the authentication key has 160 bits
            let key = &mut scratch[..20];
            kdf.derive(authentication, r, key);
            HmacKey::new(key)
        });
        scratch.zeroize();
        let mut salt = [0; 16];
        kdf.derive(salting, r, &mut salt[..profile.cipher.salt_len()]);
        Self { cipher, hmac, salt }
    }

    /// First counter block of AES-CM (RFC 3711 §4.1.1): salt, SSRC and index, combined where they
    /// lie as octets.
    #[inline(always)]
    pub(crate) fn counter_block(&self, ssrc: u32, index: PacketIndex) -> [u8; 16] {
        let [left, right] = self.salt_halves();
        let left = left ^ u64::from(ssrc).to_be();
        let right = right ^ (index.value() << 16).to_be();
        joined(left, right)
    }

    /// Nonce of AES-GCM (RFC 7714 §8.1, §9.1): the same, two octets further left.
    #[inline(always)]
    pub(crate) fn nonce(&self, ssrc: u32, index: PacketIndex) -> Iv {
        let [left, right] = self.salt_halves();
        let left = left ^ (u64::from(ssrc) << 16 | index.value() >> 32).to_be();
        let right = right ^ (index.value() << 32).to_be();
        Iv::from_halves(left, right)
    }

    /// The salt as two numbers whose octets lie in memory as it does.
    #[inline(always)]
    fn salt_halves(&self) -> [u64; 2] {
        let halves = self.salt.as_chunks().0;
        [halves[0], halves[1]].map(u64::from_ne_bytes)
    }
}

/// The octets of an MKI as a number, and ones where they are; for more than eight octets, what no
/// octets under the ones are equal to.
fn mki_end(mki: &Mki) -> (u64, u64) {
    let octets = mki.as_bytes();
    if octets.len() > 8 {
        return (1, 0);
    }
    let fold = |word: u64, octet: u8| word << 8 | u64::from(octet);
    let end = octets.iter().copied().fold(0, fold);
    (end, octets.iter().map(|_| 0xff).fold(0, fold))
}

impl Drop for SessionKeys {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Roc;

    fn key(profile: Profile, key: &[u8], salt: &[u8]) -> Result<TrafficKey, Error> {
        TrafficKey::new(Mki::new(&[7; 6]).unwrap(), profile, key, salt)
    }

    #[test]
    fn a_key_that_does_not_fit_its_profile_is_refused_with_the_lengths() {
        let cm = Profile::AES_CM_128_HMAC_SHA1_80;
        let text = |r: Result<TrafficKey, Error>| r.unwrap_err().to_string();
        assert!(text(key(cm, &[0; 15], &[0; 14])).contains("16 octets, not 15"));
        assert!(text(key(cm, &[0; 16], &[0; 13])).contains("14 octets, not 13"));
        assert!(text(key(cm.with_mki_len(4), &[0; 16], &[])).contains("profile says 4"));
        let bare = Profile { srtp_tag_len: 0, ..cm };
        assert!(text(key(bare, &[0; 16], &[])).contains("without an authentication tag"));
        assert!(key(Profile::AEAD_AES_256_GCM, &[0; 32], &[0; 12]).is_ok());
        assert!(key(Profile::AEAD_AES_256_GCM, &[0; 32], &[0; 14]).is_ok());
    }

    #[test]
    fn nonce_and_counter_block_follow_the_published_layout() {
        let mut keys = key(Profile::AEAD_AES_128_GCM, &[0; 16], &[0; 12]).unwrap();
        keys.rtp.salt[..12].copy_from_slice(&hex::decode("517569642070726f2071756f").unwrap());
        let index = PacketIndex::new(Roc(0), Seq(0xf17b));
        let nonce = keys.rtp.nonce(0x5501_a0b2, index);
        assert_eq!(hex::encode(&nonce.text_block()[..12]), "51753c6580c2726f20718414");
        keys.rtp.salt = [0; 16];
        let block = keys.rtp.counter_block(0x0102_0304, PacketIndex::new(Roc(5), Seq(6)));
        assert_eq!(hex::encode(block), "00000000010203040000000500060000");
    }

    #[test]
    fn an_mki_of_any_length_is_found_at_its_place_only() {
        for len in [0, 1, 6, 8, 9, 128] {
            let mki = Mki::new(&vec![7; len]).unwrap();
            let profile = Profile::default().with_mki_len(u8::try_from(len).unwrap());
            let key = TrafficKey::new(mki, profile, &[0; 16], &[]).unwrap();
            let named = |packet: &[u8]| key.is_named_by(PacketKind::Rtp, packet);
            let clearly = |packet: &[u8]| key.is_clearly_named_by(PacketKind::Rtp, packet);
            for text in 0..20 {
                let mut packet = vec![0; text];
                packet.extend(mki.as_bytes());
                packet.extend([0; 10]);
                assert!(named(&packet), "{len} {text}");
                assert_eq!(clearly(&packet), len <= 8 && len + text >= 8, "{len} {text}");
                for octet in text..text + len {
                    packet[octet] ^= 1;
                    assert!(!named(&packet) && !clearly(&packet), "{len} {text} {octet}");
                    packet[octet] ^= 1;
                }
            }
        }
    }

    #[test]
    fn debug_shows_identifier_and_suite_only() {
        let key = key(Profile::default(), &[0xab; 16], &[0xcd; 14]).unwrap();
        assert_eq!(format!("{key:?}"), "TrafficKey(070707070707, AES_CM_128_HMAC_SHA1_80)");
    }
}
