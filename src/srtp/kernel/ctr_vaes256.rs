//! AES counter mode with VAES in 256-bit registers: two blocks in each, up to sixteen at a time.
//!
//! Clauses: the cipher is FIPS 197's, the keystream that of RFC 3711 §4.1.1. Portable twin:
//! [`super::aes_portable::PortableKey::ctr`].
//!
//! For processors that have VAES and no AVX-512; others with AVX2 take [`super::ctr_avx2`]. Packets follow
//! each other without waiting, as in [`super::ctr_avx512`].
//!
//! Safety: loads and stores take arrays of 32 octets. Constant time: branches depend on lengths and on
//! the size of the key, never on octets.

use std::arch::{asm, x86_64::*};

use super::{
    aes_ni::{in_octet_order, load, load_part, store, store_part},
    aes_schedule::Schedule,
    cipher::CtrJob,
};

/// Runs every job.
#[target_feature(enable = "avx2,aes,vaes")]
pub(super) fn ctr(jobs: &mut [CtrJob<'_>]) {
    for job in jobs {
        let schedule = job.key.schedule();
        match schedule.last() {
            10 => packet::<11>(schedule, &job.iv, job.data),
            12 => packet::<13>(schedule, &job.iv, job.data),
            _ => packet::<15>(schedule, &job.iv, job.data),
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,aes,vaes")]
fn packet<const KEYS: usize>(schedule: &Schedule, iv: &[u8; 16], data: &mut [u8]) {
    // Two loads: an IV just written as two halves would not forward to a load of the whole.
    let iv = u128::from_le_bytes(*iv);
    let first = in_octet_order(_mm_set_epi64x((iv >> 64) as i64, iv as i64));
    let lanes = _mm256_set_epi32(1, 0, 0, 0, 0, 0, 0, 0);
    let mut counters = _mm256_add_epi32(_mm256_broadcastsi128_si256(first), lanes);
    let (whole, tail) = data.as_chunks_mut::<256>();
    for chunk in whole {
        blocks::<KEYS, 8>(schedule, &mut counters, chunk);
    }
    match tail.len().div_ceil(32) {
        0 => {}
        1 => blocks::<KEYS, 1>(schedule, &mut counters, tail),
        2 => blocks::<KEYS, 2>(schedule, &mut counters, tail),
        3 => blocks::<KEYS, 3>(schedule, &mut counters, tail),
        4 => blocks::<KEYS, 4>(schedule, &mut counters, tail),
        5 => blocks::<KEYS, 5>(schedule, &mut counters, tail),
        6 => blocks::<KEYS, 6>(schedule, &mut counters, tail),
        7 => blocks::<KEYS, 7>(schedule, &mut counters, tail),
        _ => blocks::<KEYS, 8>(schedule, &mut counters, tail),
    }
}

/// The next 32 (N - 1) + 1 to 32 N octets.
#[inline]
#[target_feature(enable = "avx2,aes,vaes")]
fn blocks<const KEYS: usize, const N: usize>(
    schedule: &Schedule,
    counters: &mut __m256i,
    data: &mut [u8],
) {
    let stream = keystream::<KEYS, N>(schedule, counters);
    let (pairs, part) = data.as_chunks_mut::<32>();
    for (pair, stream) in pairs.iter_mut().zip(stream) {
        // SAFETY: 32 octets are read from and written to an array of 32.
        unsafe {
            let p = pair.as_mut_ptr().cast();
            _mm256_storeu_si256(p, _mm256_xor_si256(_mm256_loadu_si256(p), stream));
        }
    }
    let mut last = _mm256_castsi256_si128(stream[N - 1]);
    let (block, part) = part.as_chunks_mut::<16>();
    if let [block, ..] = block {
        let combined = _mm_xor_si128(load(block), last);
        store(block, combined);
        last = _mm256_extracti128_si256::<1>(stream[N - 1]);
    }
    if !part.is_empty() {
        store_part(part, _mm_xor_si128(load_part(part), last));
    }
}

/// FIPS 197 §5.1 CIPHER over the next 2 N counter blocks, a round of all before the next round of any.
#[inline]
#[target_feature(enable = "avx2,aes,vaes")]
fn keystream<const KEYS: usize, const N: usize>(
    schedule: &Schedule,
    counters: &mut __m256i,
) -> [__m256i; N] {
    let order = _mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    let order = _mm256_broadcastsi128_si256(order);
    let key = |i: usize| _mm256_broadcastsi128_si256(schedule.round(i));
    let mut stream = [_mm256_setzero_si256(); N];
    for stream in &mut stream {
        *stream = _mm256_xor_si256(_mm256_shuffle_epi8(*counters, order), key(0));
        *counters = _mm256_add_epi32(*counters, _mm256_set_epi32(2, 0, 0, 0, 2, 0, 0, 0));
    }
    for round in 1..KEYS - 1 {
        let key = key(round);
        for stream in &mut stream {
            *stream = _mm256_aesenc_epi128(*stream, key);
            pin(stream);
        }
    }
    for stream in &mut stream {
        *stream = _mm256_aesenclast_epi128(*stream, key(KEYS - 1));
    }
    stream
}

/// As `aes_vaes::pin`.
#[inline]
#[target_feature(enable = "avx2")]
fn pin(value: &mut __m256i) {
    // SAFETY: the template is a comment; no instruction is emitted.
    unsafe { asm!("/* {0} */", inout(ymm_reg) * value, options(nomem, nostack, preserves_flags)) }
}
