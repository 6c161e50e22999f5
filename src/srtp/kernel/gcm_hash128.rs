//! GHASH with PCLMULQDQ (NIST SP 800-38D §6.4), and the hash of associated data of any shape.
//!
//! Twin: RustCrypto's `ghash`, through [`super::aes_portable`]. The field is that of
//! [`super::gcm_powers`].

use std::arch::x86_64::*;

use super::{
    aes_ni::{load, load_part, pin},
    gcm_powers::{HashPowers, reduce},
};

/// A sum of products not reduced yet, three multiplications each (Karatsuba): `middle` has `low` and
/// `high` in it.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    low: __m128i,
    middle: __m128i,
    high: __m128i,
}

impl Sum {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn zero() -> Self {
        let zero = _mm_setzero_si128();
        Self { low: zero, middle: zero, high: zero }
    }

    /// Adds the product of a block, octets reversed, with a power.
    #[inline]
    #[target_feature(enable = "avx2,pclmulqdq")]
    pub(super) fn add(&mut self, block: __m128i, power: __m128i) {
        let halves = |value| _mm_xor_si128(value, _mm_shuffle_epi32::<0x4e>(value));
        let low = _mm_clmulepi64_si128::<0x00>(block, power);
        let high = _mm_clmulepi64_si128::<0x11>(block, power);
        let middle = _mm_clmulepi64_si128::<0x00>(halves(block), halves(power));
        self.low = _mm_xor_si128(self.low, low);
        self.high = _mm_xor_si128(self.high, high);
        self.middle = _mm_xor_si128(self.middle, middle);
    }

    #[inline]
    #[target_feature(enable = "avx2,pclmulqdq")]
    pub(super) fn reduced(&self) -> __m128i {
        let both = _mm_xor_si128(self.low, self.high);
        reduce(self.low, _mm_xor_si128(self.middle, both), self.high)
    }

    /// Has everything hashed so far computed before anything that is pinned later.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn pin(&mut self) {
        pin(&mut self.low);
        pin(&mut self.middle);
        pin(&mut self.high);
    }
}

/// The hash of associated data. The result travels through memory, as it would from any function that
/// is not inlined.
#[inline(never)]
#[target_feature(enable = "avx2,pclmulqdq")]
pub(super) fn associated(powers: &HashPowers, aad: [&[u8]; 2], hash: &mut [u8; 16]) {
    let blocks = (aad[0].len() + aad[1].len()).div_ceil(16);
    let mut carry = _mm_setzero_si128();
    let mut sum = Sum::zero();
    for left in (1..=blocks).rev() {
        let block = reversed(block(aad, 16 * (blocks - left)));
        // Sixteen blocks to a reduction.
        let power = (left - 1) % 16 + 1;
        sum.add(_mm_xor_si128(block, carry), powers.one(power));
        carry = _mm_setzero_si128();
        if power == 1 {
            carry = sum.reduced();
            sum = Sum::zero();
        }
    }
    super::aes_ni::store(hash, carry);
}

/// The block of two pieces, taken as one, that starts at `at`; zeros behind their end.
#[inline]
#[target_feature(enable = "avx2")]
fn block([first, second]: [&[u8]; 2], at: usize) -> __m128i {
    let rest = first.get(at..).unwrap_or_default();
    if let Some(block) = rest.first_chunk() {
        return load(block);
    }
    if second.is_empty() {
        return load_part(rest);
    }
    let mut block = [0; 16];
    let octets = first.iter().chain(second).skip(at);
    block.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
    load(&block)
}

/// A block with its octets in opposite order.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn reversed(block: __m128i) -> __m128i {
    let order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm_shuffle_epi8(block, order)
}
