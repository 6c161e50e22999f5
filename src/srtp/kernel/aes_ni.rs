//! What the AES-NI kernels share: rounds over several blocks, counter blocks, parts of a block.
//!
//! A counter block is kept with its counting word as a little-endian number. Round keys are read from
//! the schedule as they are used: sixteen registers have no room for them.

use std::arch::{asm, x86_64::*};

use super::aes_schedule::Schedule;

/// FIPS 197 §5.1 CIPHER over N blocks, a round of all before the next round of any. `beside` is called
/// after rounds 1 to `KEYS` - 2, for work that other units do.
#[inline]
#[target_feature(enable = "avx2,aes")]
pub(super) fn encrypt_beside<const KEYS: usize, const N: usize>(
    schedule: &Schedule,
    blocks: &mut [__m128i; N],
    mut beside: impl FnMut(usize),
) {
    for block in &mut *blocks {
        *block = _mm_xor_si128(*block, schedule.round(0));
    }
    // Spelt out, because the compiler does not unroll a loop around `beside`.
    macro_rules! rounds {
        ($($round:literal)*) => {$(
            if $round < KEYS - 1 {
                let key = schedule.round($round);
                for block in &mut *blocks {
                    *block = _mm_aesenc_si128(*block, key);
                    pin(block);
                }
                beside($round);
            }
        )*};
    }
    rounds!(1 2 3 4 5 6 7 8 9 10 11 12 13);
    for block in blocks {
        *block = _mm_aesenclast_si128(*block, schedule.round(KEYS - 1));
    }
}

/// The next N counter blocks, in octet order.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn count<const N: usize>(counter: &mut __m128i) -> [__m128i; N] {
    let mut blocks = [_mm_setzero_si128(); N];
    for block in &mut blocks {
        *block = in_octet_order(*counter);
        *counter = _mm_add_epi32(*counter, _mm_set_epi32(1, 0, 0, 0));
    }
    blocks
}

/// Turns the counting word round; its own inverse.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn in_octet_order(counter: __m128i) -> __m128i {
    let order = _mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    _mm_shuffle_epi8(counter, order)
}

/// Sixteen octets as a register.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(block: &[u8; 16]) -> __m128i {
    // SAFETY: 16 octets are read from an array of 16.
    unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
}

/// A register as sixteen octets.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store(block: &mut [u8; 16], value: __m128i) {
    // SAFETY: 16 octets are written to an array of 16.
    unsafe { _mm_storeu_si128(block.as_mut_ptr().cast(), value) }
}

/// Up to 15 octets, zeros behind them. Pieces overlap rather than go through memory, from where
/// a whole block could not be read back without waiting.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_part(octets: &[u8]) -> __m128i {
    debug_assert!(octets.len() < 16);
    let value = if let (Some(a), Some(b)) = (octets.first_chunk(), octets.last_chunk()) {
        let behind = 8 * (octets.len() - 8);
        u128::from(u64::from_le_bytes(*a)) | u128::from(u64::from_le_bytes(*b)) << behind
    } else if let (Some(a), Some(b)) = (octets.first_chunk(), octets.last_chunk()) {
        let behind = 8 * (octets.len() - 4);
        u128::from(u32::from_le_bytes(*a)) | u128::from(u32::from_le_bytes(*b)) << behind
    } else {
        octets.iter().rev().fold(0, |value, octet| value << 8 | u128::from(*octet))
    };
    _mm_set_epi64x((value >> 64) as i64, value as i64)
}

/// The first octets of a register, up to 15. Returns them with zeros behind.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_part(octets: &mut [u8], register: __m128i) -> __m128i {
    debug_assert!(octets.len() < 16);
    let low = _mm_cvtsi128_si64(register) as u64;
    let high = _mm_extract_epi64::<1>(register) as u64;
    let value = u128::from(high) << 64 | u128::from(low);
    let len = octets.len();
    if len >= 8 {
        octets[..8].copy_from_slice(&low.to_le_bytes());
        octets[len - 8..].copy_from_slice(&((value >> (8 * (len - 8))) as u64).to_le_bytes());
    } else if len >= 4 {
        octets[..4].copy_from_slice(&(low as u32).to_le_bytes());
        octets[len - 4..].copy_from_slice(&((low >> (8 * (len - 4))) as u32).to_le_bytes());
    } else {
        for (octet, value) in octets.iter_mut().zip(low.to_le_bytes()) {
            *octet = value;
        }
    }
    let kept = value & ((1 << (8 * len)) - 1);
    _mm_set_epi64x((kept >> 64) as i64, kept as i64)
}

/// Has the value computed before any that is pinned later, and costs nothing. See
/// `aes_vaes::pin`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn pin(value: &mut __m128i) {
    // SAFETY: the template is a comment; no instruction is emitted.
    unsafe { asm!("/* {0} */", inout(xmm_reg) * value, options(nomem, nostack, preserves_flags)) }
}
