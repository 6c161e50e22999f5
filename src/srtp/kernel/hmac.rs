//! HMAC-SHA1 over a batch of messages, each under its own key (RFC 2104, RFC 3711 §4.2.1).
//!
//! [`crate::srtp`] hands over up to a lane's batch of jobs; the back end decides how many of them are
//! hashed side by side. The two key blocks are compressed when the key is set up, never per packet.

use sha1::{Digest, block_api::compress};
use zeroize::{Zeroize, ZeroizeOnDrop};

#[cfg(target_arch = "x86_64")]
use super::hmac_x86::{self, Kernels};
use super::{Backend, hmac_portable};

/// SHA-1 states after the inner and the outer key block: the per-packet cost starts behind them.
///
/// They let their holder make any tag, so they are erased on drop and are never printed.
///
/// One cache line, which lanes load as a row of 16 words.
#[derive(Zeroize, ZeroizeOnDrop)]
#[repr(C, align(64))]
pub struct HmacKey {
    pub(super) inner: [u32; 5],
    pub(super) outer: [u32; 5],
    rest: [u32; 6],
}

const _: () = assert!(size_of::<HmacKey>() == 64);

/// One message to authenticate.
pub struct HmacJob<'a> {
    /// Whose states the chain starts from and ends with.
    pub key: &'a HmacKey,
    /// Octets of the packet that the tag covers.
    pub message: &'a [u8],
    /// Octets hashed behind the message that are not on the wire: the ROC of SRTP.
    pub suffix: Option<[u8; 4]>,
}

impl HmacKey {
    /// Two compressions; a key of more than 64 octets is hashed first (RFC 2104 §2).
    pub fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        match block.get_mut(..key.len()) {
            Some(head) => head.copy_from_slice(key),
            None => block[..TAG].copy_from_slice(&sha1::Sha1::digest(key)),
        }
        let mut states = Self { inner: INITIAL, outer: INITIAL, rest: [0; 6] };
        block.iter_mut().for_each(|octet| *octet ^= 0x36);
        compress(&mut states.inner, &[block]);
        block.iter_mut().for_each(|octet| *octet ^= 0x36 ^ 0x5c);
        compress(&mut states.outer, &[block]);
        block.zeroize();
        states
    }
}

#[cfg(target_arch = "x86_64")]
impl HmacJob<'_> {
    /// Whether the two have one key and end alike.
    #[inline]
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::ptr::eq(self.key, other.key)
            && self.message.len() == other.message.len()
            && self.suffix == other.suffix
    }

    /// Blocks of the inner hash behind the key's, padding included.
    pub(super) fn blocks(&self) -> usize {
        let suffix = if self.suffix.is_some() { 4 } else { 0 };
        (self.message.len() + suffix + 1 + 8).div_ceil(BLOCK)
    }
}

/// Computes the 20-octet MAC of each job into the tag of the same place.
///
/// `jobs` and `tags` have one length; what the longer one has beyond the other is left alone.
pub fn hmac_batch(backend: Backend, jobs: &[HmacJob<'_>], tags: &mut [[u8; TAG]]) {
    match backend.usable() {
        #[cfg(target_arch = "x86_64")]
        wide @ (Backend::Avx2 | Backend::Avx512) => {
            let chains = is_x86_feature_detected!("sha");
            let kernels = Kernels { wide: wide == Backend::Avx512, chains };
            // SAFETY: a usable back end's target features are there.
            unsafe { hmac_x86::hmac(kernels, jobs, tags) }
        }
        _ => hmac_portable::hmac(jobs, tags),
    }
}

/// Octets in a SHA-1 block.
pub(super) const BLOCK: usize = 64;

/// Octets in a MAC before truncation.
pub(super) const TAG: usize = 20;

/// Length in bits of what the outer hash covers, for its padding.
#[cfg(target_arch = "x86_64")]
pub(super) const OUTER_BITS: i32 = 8 * (BLOCK + TAG) as i32;

/// FIPS 180-4 §5.3.1.
const INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one job on every back end, alone and among others like it.
    fn mac(key: &[u8], message: &[u8], suffix: Option<[u8; 4]>) -> String {
        let key = &HmacKey::new(key);
        let jobs: Vec<_> = (0..20).map(|_| HmacJob { key, message, suffix }).collect();
        let mut alone = [[0; TAG]];
        hmac_batch(Backend::Portable, &jobs[..1], &mut alone);
        for &backend in Backend::available() {
            for count in [1, 4, 8, 20] {
                let mut tags = vec![[0; TAG]; count];
                hmac_batch(backend, &jobs[..count], &mut tags);
                assert!(tags.iter().all(|tag| *tag == alone[0]), "{backend} {count}");
            }
        }
        hex::encode(alone[0])
    }

    #[test]
    fn rfc_2202_section_3_vectors() {
        let count: Vec<u8> = (1..=25).collect();
        let long = b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data";
        let cases: [(&[u8], &[u8], &str); 7] = [
            (&[0x0b; 20], b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
            (b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (&[0xaa; 20], &[0xdd; 50], "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
            (&count, &[0xcd; 50], "4c9007f4026250c6bc8414f9bf50c86c2d7235da"),
            (&[0x0c; 20], b"Test With Truncation", "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"),
            (
                &[0xaa; 80],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "aa4ae5e15272d00e95705637ce8a3b55ed402112",
            ),
            (&[0xaa; 80], long, "e8e99d0f45237d786d6bbaa7965c7808bbff1a91"),
        ];
        for (key, message, expected) in cases {
            assert_eq!(mac(key, message, None), expected);
        }
    }

    #[test]
    fn states_are_erased_on_drop() {
        fn erased<T: ZeroizeOnDrop>() {}
        erased::<HmacKey>();
    }

    #[test]
    fn the_suffix_is_hashed_as_if_it_were_on_the_wire() {
        let message: Vec<u8> = (0..=255).cycle().take(300).collect();
        for cut in 4..message.len() {
            let (head, suffix) = message[..cut].split_last_chunk::<4>().unwrap();
            assert_eq!(
                mac(b"key", head, Some(*suffix)),
                mac(b"key", &message[..cut], None),
                "{cut}"
            );
        }
    }
}
