//! What the VAES kernels share: round keys in four lanes, counter blocks, keystream.
//!
//! Counter blocks are kept with their counting word as a little-endian number in each lane, so that
//! one addition counts four blocks.

use std::arch::x86_64::*;

use super::aes_schedule::Schedule;

/// Turns the counting word round; its own inverse.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn in_octet_order(counters: __m512i) -> __m512i {
    let order = _mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    _mm512_shuffle_epi8(counters, _mm512_broadcast_i32x4(order))
}

/// The next 4 N blocks of keystream.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
pub(super) fn keystream<const KEYS: usize, const N: usize>(
    keys: &[__m512i; KEYS],
    counters: &mut __m512i,
) -> [__m512i; N] {
    let step = _mm512_set_epi32(4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0);
    let mut blocks = [_mm512_setzero_si512(); N];
    for block in &mut blocks {
        *block = in_octet_order(*counters);
        *counters = _mm512_add_epi32(*counters, step);
    }
    encrypt(keys, &mut blocks);
    blocks
}

/// FIPS 197 §5.1 CIPHER over 4 N blocks, a round of all before the next round of any.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
pub(super) fn encrypt<const KEYS: usize, const N: usize>(
    keys: &[__m512i; KEYS],
    blocks: &mut [__m512i; N],
) {
    for block in &mut *blocks {
        *block = _mm512_xor_si512(*block, keys[0]);
    }
    for key in &keys[1..KEYS - 1] {
        for block in &mut *blocks {
            *block = _mm512_aesenc_epi128(*block, *key);
        }
    }
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

/// Exclusive-or of 64 octets at `p`.
///
/// # Safety
/// 64 octets at `p` can be read and written.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn xor_whole(p: *mut u8, stream: __m512i) {
    // SAFETY: as required of the caller.
    unsafe {
        let p = p.cast::<__m512i>();
        _mm512_storeu_si512(p, _mm512_xor_si512(_mm512_loadu_si512(p), stream));
    }
}
