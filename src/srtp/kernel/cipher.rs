//! AES-CM and AES-GCM over a batch of packets, each under its own key.

use super::Backend;
use crate::srtp::Cipher;

/// An expanded key: AES rounds, and for GCM the powers of the hash key.
pub(crate) struct CipherKey {}

impl CipherKey {
    /// Expands a session key (or a master key, for derivation). `key` has `cipher.key_len()` octets.
    pub(crate) fn new(_cipher: Cipher, _key: &[u8]) -> Self {
        Self {}
    }
}

/// Counter mode over `data`, in place; encryption and decryption are the same (RFC 3711 §4.1.1).
pub(crate) struct CtrJob<'a> {
    pub(crate) key: &'a CipherKey,
    /// First counter block; the last two octets count blocks.
    pub(crate) iv: [u8; 16],
    pub(crate) data: &'a mut [u8],
}

/// One AEAD packet (RFC 7714).
pub(crate) struct GcmJob<'a> {
    pub(crate) key: &'a CipherKey,
    pub(crate) iv: [u8; 12],
    /// Associated data: two pieces, hashed one after the other (SRTCP: 8 octets, then the E word).
    pub(crate) aad: [&'a [u8]; 2],
    /// Text without tag, transformed in place.
    pub(crate) data: &'a mut [u8],
    /// Tag: expected when opening, made when sealing.
    pub(crate) tag: [u8; 16],
}

pub(crate) fn ctr_batch(_backend: Backend, _jobs: &mut [CtrJob<'_>]) {}

/// Opens each job; `ok` tells which tags matched. The data of a job that failed is unspecified.
pub(crate) fn gcm_open_batch(_backend: Backend, _jobs: &mut [GcmJob<'_>], _ok: &mut [bool]) {}

pub(crate) fn gcm_seal_batch(_backend: Backend, _jobs: &mut [GcmJob<'_>]) {}
