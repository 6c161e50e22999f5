//! AES counter mode with VAES: four blocks in a 512-bit register.
//!
//! Clauses: the cipher is FIPS 197's, the keystream that of RFC 3711 §4.1.1. Portable twin:
//! [`super::aes_portable::PortableKey::ctr`].
//!
//! Packets follow each other without waiting: a packet's blocks depend on nothing of the packet
//! before it, so the processor has several packets' rounds in flight. Round keys stay in registers
//! over a run of jobs under one key.
//!
//! Safety: all loads and stores go through pointers into the job's own data. Whole registers are
//! moved only where that many octets are left; the end of a packet goes through byte masks, which
//! neither read nor write what they mask out. Constant time: branches depend on lengths and on
//! which key is whose, never on octets.

use std::arch::x86_64::*;

use super::{
    aes_schedule::Schedule,
    aes_vaes::{broadcast_keys, count, encrypt, in_octet_order},
    cipher::CtrJob,
};

/// Runs every job.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes")]
pub(super) fn ctr(jobs: &mut [CtrJob<'_>]) {
    for run in jobs.chunk_by_mut(|a, b| std::ptr::eq(a.key, b.key)) {
        let schedule = run[0].key.schedule();
        match schedule.last() {
            10 => one_key::<11>(schedule, run),
            12 => one_key::<13>(schedule, run),
            _ => one_key::<15>(schedule, run),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes")]
fn one_key<const KEYS: usize>(schedule: &Schedule, jobs: &mut [CtrJob<'_>]) {
    let keys = broadcast_keys::<KEYS>(schedule);
    for job in jobs {
        packet(&keys, &job.iv, job.data);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes")]
fn packet<const KEYS: usize>(keys: &[__m512i; KEYS], iv: &[u8; 16], data: &mut [u8]) {
    let mut counters = counters(iv);
    let (whole, tail) = data.as_chunks_mut::<256>();
    for chunk in whole {
        let stream = keystream::<KEYS, 4>(keys, &mut counters);
        for (i, stream) in stream.into_iter().enumerate() {
            // SAFETY: four registers of 64 octets in a chunk of 256.
            unsafe { xor_whole(chunk.as_mut_ptr().add(64 * i), stream) }
        }
    }
    match tail.len().div_ceil(32) {
        0 => {}
        1 => last_half::<KEYS, 0>(keys, counters, tail),
        2 => last_whole::<KEYS, 1>(keys, counters, tail),
        3 => last_half::<KEYS, 1>(keys, counters, tail),
        4 => last_whole::<KEYS, 2>(keys, counters, tail),
        5 => last_half::<KEYS, 2>(keys, counters, tail),
        6 => last_whole::<KEYS, 3>(keys, counters, tail),
        7 => last_half::<KEYS, 3>(keys, counters, tail),
        _ => last_whole::<KEYS, 4>(keys, counters, tail),
    }
}

/// The last 64 (N - 1) + 33 to 64 N octets.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes")]
fn last_whole<const KEYS: usize, const N: usize>(
    keys: &[__m512i; KEYS],
    mut counters: __m512i,
    tail: &mut [u8],
) {
    let stream = keystream::<KEYS, N>(keys, &mut counters);
    let p = tail.as_mut_ptr();
    for (i, stream) in stream.iter().enumerate().take(N - 1) {
        // SAFETY: `tail` is longer than 64 (N - 1).
        unsafe { xor_whole(p.add(64 * i), *stream) }
    }
    let mask = u64::MAX >> (64 * N - tail.len());
    // SAFETY: the mask selects the octets from 64 (N - 1) to the end of `tail`.
    unsafe {
        let p = p.add(64 * (N - 1)).cast::<i8>();
        let text = _mm512_maskz_loadu_epi8(mask, p);
        _mm512_mask_storeu_epi8(p, mask, _mm512_xor_si512(text, stream[N - 1]));
    }
}

/// The last 64 N + 1 to 32 octets.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes")]
fn last_half<const KEYS: usize, const N: usize>(
    keys: &[__m512i; KEYS],
    mut counters: __m512i,
    tail: &mut [u8],
) {
    let stream = keystream::<KEYS, N>(keys, &mut counters);
    let mut half = _mm512_castsi512_si256(in_octet_order(counters));
    half = _mm256_xor_si256(half, _mm512_castsi512_si256(keys[0]));
    for key in &keys[1..KEYS - 1] {
        half = _mm256_aesenc_epi128(half, _mm512_castsi512_si256(*key));
    }
    half = _mm256_aesenclast_epi128(half, _mm512_castsi512_si256(keys[KEYS - 1]));
    let p = tail.as_mut_ptr();
    for (i, stream) in stream.iter().enumerate() {
        // SAFETY: `tail` is longer than 64 N.
        unsafe { xor_whole(p.add(64 * i), *stream) }
    }
    let mask = u32::MAX >> (64 * N + 32 - tail.len());
    // SAFETY: the mask selects the octets from 64 N to the end of `tail`.
    unsafe {
        let p = p.add(64 * N).cast::<i8>();
        let text = _mm256_maskz_loadu_epi8(mask, p);
        _mm256_mask_storeu_epi8(p, mask, _mm256_xor_si256(text, half));
    }
}

/// Four counter blocks from `iv` on, the counting word as a little-endian number.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn counters(iv: &[u8; 16]) -> __m512i {
    // Two loads: an IV just written as two halves would not forward to a load of the whole.
    let iv = u128::from_le_bytes(*iv);
    let block = _mm_set_epi64x((iv >> 64) as i64, iv as i64);
    let first = in_octet_order(_mm512_broadcast_i32x4(block));
    _mm512_add_epi32(first, _mm512_set_epi32(3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0))
}

/// The next 4 N blocks of keystream.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn keystream<const KEYS: usize, const N: usize>(
    keys: &[__m512i; KEYS],
    counters: &mut __m512i,
) -> [__m512i; N] {
    let mut blocks = count(counters);
    encrypt(keys, &mut blocks);
    blocks
}

/// Exclusive-or of 64 octets at `p`.
///
/// # Safety
/// 64 octets at `p` can be read and written.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn xor_whole(p: *mut u8, stream: __m512i) {
    // SAFETY: as required of the caller.
    unsafe {
        let p = p.cast::<__m512i>();
        _mm512_storeu_si512(p, _mm512_xor_si512(_mm512_loadu_si512(p), stream));
    }
}
