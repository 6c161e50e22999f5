//! What the VAES kernels share: round keys in four lanes, counter blocks, keystream.
//!
//! Counter blocks are kept with their counting word as a little-endian number in each lane, so that
//! one addition counts four blocks.

use std::arch::{asm, x86_64::*};

use super::aes_schedule::Schedule;

/// Turns the counting word round; its own inverse.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn in_octet_order(counters: __m512i) -> __m512i {
    let order = _mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    _mm512_shuffle_epi8(counters, _mm512_broadcast_i32x4(order))
}

/// The next 4 N counter blocks, in octet order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn count<const N: usize>(counters: &mut __m512i) -> [__m512i; N] {
    let step = _mm512_set_epi32(4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0);
    let mut blocks = [_mm512_setzero_si512(); N];
    for block in &mut blocks {
        *block = in_octet_order(*counters);
        *counters = _mm512_add_epi32(*counters, step);
    }
    blocks
}

/// FIPS 197 §5.1 CIPHER over 4 N blocks, a round of all before the next round of any.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
pub(super) fn encrypt<const KEYS: usize, const N: usize>(
    keys: &[__m512i; KEYS],
    blocks: &mut [__m512i; N],
) {
    encrypt_beside(keys, blocks, |_| {});
}

/// The same with other work between the rounds: `beside` is called after rounds 1 to `KEYS` - 2.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
pub(super) fn encrypt_beside<const KEYS: usize, const N: usize>(
    keys: &[__m512i; KEYS],
    blocks: &mut [__m512i; N],
    mut beside: impl FnMut(usize),
) {
    for block in &mut *blocks {
        *block = _mm512_xor_si512(*block, keys[0]);
    }
    // Spelt out, because the compiler does not unroll a loop around `beside`.
    macro_rules! rounds {
        ($($round:literal)*) => {$(
            if $round < KEYS - 1 {
                for block in &mut *blocks {
                    *block = _mm512_aesenc_epi128(*block, keys[$round]);
                    pin(block);
                }
                beside($round);
            }
        )*};
    }
    rounds!(1 2 3 4 5 6 7 8 9 10 11 12 13);
    for block in blocks {
        *block = _mm512_aesenclast_epi128(*block, keys[KEYS - 1]);
    }
}

/// The first `KEYS` round keys, each in all four lanes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn broadcast_keys<const KEYS: usize>(schedule: &Schedule) -> [__m512i; KEYS] {
    let mut keys = [_mm512_setzero_si512(); KEYS];
    for (i, key) in keys.iter_mut().enumerate() {
        *key = _mm512_broadcast_i32x4(schedule.round(i));
    }
    keys
}

/// A mask of the first `count` octets, up to 64.
#[inline]
#[target_feature(enable = "bmi1,bmi2")]
pub(super) fn first_octets(count: usize) -> u64 {
    debug_assert!(count <= 64);
    _bzhi_u64(u64::MAX, count as u32)
}

/// Has the value computed before any that is pinned later, and costs nothing.
///
/// Left alone, the compiler runs the rounds of one block to their end before those of the next, and
/// the products of a hash before all rounds: each time one execution unit waits for another.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn pin(value: &mut __m512i) {
    // SAFETY: the template is a comment; no instruction is emitted.
    unsafe { asm!("/* {0} */", inout(zmm_reg) * value, options(nomem, nostack, preserves_flags)) }
}
