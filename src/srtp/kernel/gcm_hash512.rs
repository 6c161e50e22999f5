//! GHASH with VPCLMULQDQ (NIST SP 800-38D §6.4): sums of products of blocks and powers, reduced once.
//!
//! Twin: RustCrypto's `ghash`, through [`super::aes_portable`]. The field is that of
//! [`super::gcm_powers`].
//!
//! Safety: short associated data is read through an octet mask, which does not read what it masks
//! out.

use std::arch::x86_64::*;

use super::{
    aes_vaes::{first_octets, in_octet_order, pin},
    cipher::{GcmJob, Iv},
};

/// A sum of products not reduced yet: `low + middle x^64 + high x^128`, in four lanes.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    low: __m512i,
    middle: __m512i,
    high: __m512i,
}

impl Sum {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn zero() -> Self {
        let zero = _mm512_setzero_si512();
        Self { low: zero, middle: zero, high: zero }
    }

    /// Adds the products of four blocks, octets reversed, each with its own power.
    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq")]
    pub(super) fn add(&mut self, blocks: __m512i, powers: __m512i) {
        let low = _mm512_clmulepi64_epi128::<0x00>(blocks, powers);
        let high = _mm512_clmulepi64_epi128::<0x11>(blocks, powers);
        let left = _mm512_clmulepi64_epi128::<0x01>(blocks, powers);
        let right = _mm512_clmulepi64_epi128::<0x10>(blocks, powers);
        self.low = _mm512_xor_si512(self.low, low);
        self.high = _mm512_xor_si512(self.high, high);
        self.middle = xor3(self.middle, left, right);
    }

    /// As `gcm_powers::reduce`, in each lane.
    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq")]
    pub(super) fn reduced(&self) -> __m512i {
        let polynomial = _mm512_set1_epi64(0xc2 << 56);
        let fold = _mm512_clmulepi64_epi128::<0x00>(self.low, polynomial);
        let middle = xor3(self.middle, fold, _mm512_shuffle_epi32::<0x4e>(self.low));
        let fold = _mm512_clmulepi64_epi128::<0x00>(middle, polynomial);
        xor3(self.high, fold, _mm512_shuffle_epi32::<0x4e>(middle))
    }

    /// The sum of the lanes, reduced, in lane 0; the others are zero.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,vpclmulqdq")]
    pub(super) fn collapsed(&self) -> __m512i {
        let lanes = self.reduced();
        let (low, high) = (_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64::<1>(lanes));
        let pair = _mm256_xor_si256(low, high);
        let one = _mm_xor_si128(_mm256_castsi256_si128(pair), _mm256_extracti128_si256::<1>(pair));
        _mm512_zextsi128_si512(one)
    }

    /// Has everything hashed so far computed before anything that is pinned later.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn pin(&mut self) {
        pin(&mut self.low);
        pin(&mut self.middle);
        pin(&mut self.high);
    }
}

/// Up to 16 octets.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2")]
pub(super) fn short(octets: &[u8]) -> __m128i {
    let mask = first_octets(octets.len().min(16)) as u16;
    // SAFETY: the mask selects octets of the slice.
    unsafe { _mm_maskz_loadu_epi8(mask, octets.as_ptr().cast()) }
}

/// Four blocks in a register.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn in_lanes([a, b, c, d]: [__m128i; 4]) -> __m512i {
    let ab = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b);
    let cd = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(c), d);
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(ab), cd)
}

/// Counter block 1 of an IV, its counting word little-endian.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
pub(super) fn counter(iv: &Iv) -> __m128i {
    // SAFETY: a counter block is 16 octets.
    let block = unsafe { _mm_loadu_si128(iv.first_block().as_ptr().cast()) };
    _mm512_castsi512_si128(in_octet_order(_mm512_castsi128_si512(block)))
}

/// The block of lengths, octets reversed.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn lengths(job: &GcmJob<'_>) -> __m128i {
    let bits = |octets: usize| (octets as i64) << 3;
    _mm_set_epi64x(bits(job.aad[0].len() + job.aad[1].len()), bits(job.data.len()))
}

/// Each block with its octets in opposite order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn reversed(blocks: __m512i) -> __m512i {
    let order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm512_shuffle_epi8(blocks, _mm512_broadcast_i32x4(order))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<0x96>(a, b, c)
}
