//! AES-CM and AES-GCM on any processor, one packet at a time: RustCrypto's `aes`, `ctr` and `ghash`.
//!
//! The twin of the AES kernels beside it and what they are tested against. `aes` uses the
//! processor's AES instructions where it has some (x86-64, aarch64) and bit-sliced code elsewhere;
//! neither looks anything up by a secret.

use aes::{
    Aes128Enc, Aes192Enc, Aes256Enc,
    cipher::{BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipherCore},
};
use ctr::{CtrCore, flavors::Ctr32BE};
use ghash::{GHash, universal_hash::UniversalHash};
use subtle::ConstantTimeEq;

use super::cipher::Iv;

/// An expanded key. Its parts erase themselves on drop.
pub(super) struct PortableKey {
    aes: Aes,
    /// Powers of the hash key; present in keys for GCM.
    ghash: Option<GHash>,
}

enum Aes {
    Aes128(Aes128Enc),
    Aes192(Aes192Enc),
    Aes256(Aes256Enc),
}

impl PortableKey {
    /// Expands a key of 16, 24 or 32 octets.
    pub(super) fn new(key: KeyOctets<'_>, aead: bool) -> Self {
        let aes = match key {
            KeyOctets::Aes128(key) => Aes::Aes128(Aes128Enc::new(key.into())),
            KeyOctets::Aes192(key) => Aes::Aes192(Aes192Enc::new(key.into())),
            KeyOctets::Aes256(key) => Aes::Aes256(Aes256Enc::new(key.into())),
        };
        //= NIST SP 800-38D §7.1 step 1: the hash key is the encryption of the zero block
        let ghash = aead.then(|| {
            let mut hash_key = zeroize::Zeroizing::new([0; 16]);
            aes.ctr(&[0; 16], hash_key.as_mut());
            GHash::new((&*hash_key).into())
        });
        Self { aes, ghash }
    }

    /// Exclusive-or of `data` with the keystream from counter block `iv` on.
    pub(super) fn ctr(&self, iv: &[u8; 16], data: &mut [u8]) {
        self.aes.ctr(iv, data);
    }

    /// Decrypts `data` and returns true if `tag` belongs to it; else leaves it as it is.
    pub(super) fn gcm_open(
        &self,
        iv: &Iv,
        aad: [&[u8]; 2],
        data: &mut [u8],
        tag: &[u8; 16],
    ) -> bool {
        //= RFC 7714 §5.3: nothing of a packet is released before its tag is verified
        let matches = self.gcm_tag(iv, aad, data).is_some_and(|t| t.ct_eq(tag).into());
        if matches {
            self.aes.ctr(&iv.text_block(), data);
        }
        matches
    }

    /// Encrypts `data` and returns its tag, or `None` if the key is not one for GCM.
    pub(super) fn gcm_seal(&self, iv: &Iv, aad: [&[u8]; 2], data: &mut [u8]) -> Option<[u8; 16]> {
        self.ghash.as_ref()?;
        self.aes.ctr(&iv.text_block(), data);
        self.gcm_tag(iv, aad, data)
    }

    /// NIST SP 800-38D §7.1 steps 4 to 6: the hash of associated data, text and lengths, encrypted.
    fn gcm_tag(&self, iv: &Iv, aad: [&[u8]; 2], text: &[u8]) -> Option<[u8; 16]> {
        let mut hash = self.ghash.clone()?;
        absorb(&mut hash, aad);
        hash.update_padded(text);
        hash.update(&[length_block(aad[0].len() + aad[1].len(), text.len()).into()]);
        let mut tag: [u8; 16] = hash.finalize().into();
        self.aes.ctr(iv.first_block(), &mut tag);
        Some(tag)
    }
}

impl Aes {
    fn ctr(&self, iv: &[u8; 16], data: &mut [u8]) {
        match self {
            Self::Aes128(aes) => keystream(aes, iv, data),
            Self::Aes192(aes) => keystream(aes, iv, data),
            Self::Aes256(aes) => keystream(aes, iv, data),
        }
    }
}

/// A raw key with its length proved.
#[derive(Clone, Copy)]
pub(super) enum KeyOctets<'a> {
    Aes128(&'a [u8; 16]),
    Aes192(&'a [u8; 24]),
    Aes256(&'a [u8; 32]),
}

impl<'a> KeyOctets<'a> {
    /// # Panics
    /// If `key` has another length than 16, 24 or 32.
    pub(super) fn new(key: &'a [u8]) -> Self {
        if let Ok(key) = key.try_into() {
            Self::Aes128(key)
        } else if let Ok(key) = key.try_into() {
            Self::Aes192(key)
        } else {
            Self::Aes256(key.try_into().expect("AES keys have 16, 24 or 32 octets"))
        }
    }
}

/// The last block of the hash: both lengths in bits.
pub(super) fn length_block(aad_len: usize, text_len: usize) -> [u8; 16] {
    let bits = (aad_len as u128) << 67 | (text_len as u128) << 3;
    bits.to_be_bytes()
}

fn keystream<A>(aes: &A, iv: &[u8; 16], data: &mut [u8])
where
    A: BlockCipherEncrypt<BlockSize = ghash::universal_hash::consts::U16>,
{
    CtrCore::<&A, Ctr32BE>::inner_iv_init(aes, iv.into()).apply_keystream_partial(data.into());
}

/// Hashes two pieces as if they were one, zero-padded to whole blocks.
fn absorb(hash: &mut GHash, [first, second]: [&[u8]; 2]) {
    let (whole, rest) = first.as_chunks::<16>();
    whole.iter().for_each(|block| hash.update(&[(*block).into()]));
    let mut octets = rest.iter().chain(second).copied().peekable();
    while octets.peek().is_some() {
        let block: [u8; 16] = std::array::from_fn(|_| octets.next().unwrap_or(0));
        hash.update(&[block.into()]);
    }
}
