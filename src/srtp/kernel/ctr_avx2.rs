//! AES counter mode with AES-NI: up to eight blocks at a time.
//!
//! Clauses: the cipher is FIPS 197's, the keystream that of RFC 3711 §4.1.1. Portable twin:
//! [`super::aes_portable::PortableKey::ctr`].
//!
//! Packets follow each other without waiting, as in [`super::ctr_avx512`].
//!
//! Safety: loads and stores take arrays of 16 octets. Constant time: branches depend on lengths and on
//! the size of the key, never on octets.

use std::arch::x86_64::*;

use super::{
    aes_ni::{count, encrypt_beside, in_octet_order, load, load_part, store, store_part},
    aes_schedule::Schedule,
    cipher::CtrJob,
};

/// Runs every job.
#[target_feature(enable = "avx2,aes")]
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
#[target_feature(enable = "avx2,aes")]
fn packet<const KEYS: usize>(schedule: &Schedule, iv: &[u8; 16], data: &mut [u8]) {
    // Two loads: an IV just written as two halves would not forward to a load of the whole.
    let iv = u128::from_le_bytes(*iv);
    let mut counter = in_octet_order(_mm_set_epi64x((iv >> 64) as i64, iv as i64));
    let (whole, tail) = data.as_chunks_mut::<128>();
    for chunk in whole {
        blocks::<KEYS, 8>(schedule, &mut counter, chunk);
    }
    match tail.len().div_ceil(16) {
        0 => {}
        1 => blocks::<KEYS, 1>(schedule, &mut counter, tail),
        2 => blocks::<KEYS, 2>(schedule, &mut counter, tail),
        3 => blocks::<KEYS, 3>(schedule, &mut counter, tail),
        4 => blocks::<KEYS, 4>(schedule, &mut counter, tail),
        5 | 6 => blocks::<KEYS, 6>(schedule, &mut counter, tail),
        _ => blocks::<KEYS, 8>(schedule, &mut counter, tail),
    }
}

/// Up to 16 N octets.
#[inline]
#[target_feature(enable = "avx2,aes")]
fn blocks<const KEYS: usize, const N: usize>(
    schedule: &Schedule,
    counter: &mut __m128i,
    data: &mut [u8],
) {
    let mut stream = count::<N>(counter);
    encrypt_beside::<KEYS, N>(schedule, &mut stream, |_| {});
    let (whole, part) = data.as_chunks_mut();
    let count = whole.len();
    for (block, stream) in whole.iter_mut().zip(stream) {
        let combined = _mm_xor_si128(load(block), stream);
        store(block, combined);
    }
    if !part.is_empty() {
        store_part(part, _mm_xor_si128(load_part(part), stream[count]));
    }
}
