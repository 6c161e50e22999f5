//! The hash key of GCM and its powers, and the field they live in (NIST SP 800-38D §6.3, §6.4).
//!
//! Shared by the x86-64 GCM kernels. Twin: RustCrypto's `ghash`.
//!
//! GCM numbers the bits of a block from the wrong end. Blocks are read octet-reversed here and the hash
//! key is multiplied by x once, after which products need no shifts: the field is that of POLYVAL
//! (RFC 8452 Appendix A), where a product carries a factor x^-128.

use std::arch::x86_64::*;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// The hash key to the powers 18 to 1, descending, so that consecutive blocks meet consecutive
/// entries.
///
/// Sixteen powers are a chunk of 256 octets between two reductions; the first has a block of
/// associated data in front, the last the block of lengths behind. More would cost a key more than
/// they save a packet.
#[derive(Zeroize, ZeroizeOnDrop)]
#[repr(C, align(64))]
pub(super) struct HashPowers([u128; 24]);

/// The entry of power zero, at which a register of four begins; the entries from there on are zero,
/// so that four can be read from any power on.
const ZERO: usize = 20;

impl HashPowers {
    pub(super) const MOST: usize = 18;

    /// From the encryption of the zero block. 17 products, most of them at once.
    #[target_feature(enable = "pclmulqdq,sse2")]
    pub(super) fn new(hash_key: [u8; 16]) -> Self {
        let mut powers = Self([0; 24]);
        powers.0[ZERO - 1] = times_x(u128::from_be_bytes(hash_key));
        for power in 2..=Self::MOST {
            let half = powers.one(power / 2);
            let rest = powers.one(power - power / 2);
            let product = multiply(half, rest);
            // SAFETY: the entry is 16 octets, and `power` at most 18.
            unsafe { _mm_storeu_si128((&raw mut powers.0[ZERO - power]).cast(), product) }
        }
        powers
    }

    /// The powers from `power` (1 to 18) down to 1.
    #[inline]
    pub(super) fn down_from(&self, power: usize) -> &[u128] {
        debug_assert!((1..=Self::MOST).contains(&power));
        &self.0[ZERO - power.min(Self::MOST)..ZERO]
    }

    /// One power, 1 to 18.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn one(&self, power: usize) -> __m128i {
        debug_assert!((1..=Self::MOST).contains(&power));
        // SAFETY: one of the entries 2 to 20 of 24 is read.
        unsafe { _mm_load_si128(self.0.as_ptr().add(ZERO - power.min(Self::MOST)).cast()) }
    }

    /// Four powers from `power` (1 to 18) down, zeros below 1.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn four(&self, power: usize) -> __m512i {
        debug_assert!((1..=Self::MOST).contains(&power));
        // SAFETY: four entries from one of 2 to 20 on are read, of 24.
        unsafe { _mm512_loadu_si512(self.0.as_ptr().add(ZERO - power.min(Self::MOST)).cast()) }
    }
}

/// Times x in the field, without a branch on the value.
fn times_x(value: u128) -> u128 {
    const POLYNOMIAL: u128 = 0xc2 << 120 | 1;
    value << 1 ^ POLYNOMIAL & (value >> 127).wrapping_neg()
}

/// Product in the field.
#[target_feature(enable = "pclmulqdq,sse2")]
pub(super) fn multiply(a: __m128i, b: __m128i) -> __m128i {
    let low = _mm_clmulepi64_si128::<0x00>(a, b);
    let high = _mm_clmulepi64_si128::<0x11>(a, b);
    let middle =
        _mm_xor_si128(_mm_clmulepi64_si128::<0x01>(a, b), _mm_clmulepi64_si128::<0x10>(a, b));
    reduce(low, middle, high)
}

/// `low + middle x^64 + high x^128`, reduced: each step clears the lowest 64 bits.
#[inline]
#[target_feature(enable = "pclmulqdq,sse2")]
pub(super) fn reduce(low: __m128i, middle: __m128i, high: __m128i) -> __m128i {
    // x^63 + x^62 + x^57, what is left of the polynomial between its ends
    let polynomial = _mm_set1_epi64x(0xc2 << 56);
    let middle = fold(low, middle, polynomial);
    fold(middle, high, polynomial)
}

#[inline]
#[target_feature(enable = "pclmulqdq,sse2")]
fn fold(from: __m128i, into: __m128i, polynomial: __m128i) -> __m128i {
    let product = _mm_clmulepi64_si128::<0x00>(from, polynomial);
    _mm_xor_si128(into, _mm_xor_si128(product, _mm_shuffle_epi32::<0x4e>(from)))
}
