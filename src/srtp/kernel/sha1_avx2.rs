//! The rounds of SHA-1 in eight lanes of AVX2 (FIPS 180-4 §6.1.2).
//!
//! Constant time: additions, logic and shifts by constants only.
//!
//! # Safety
//!
//! Nothing touches memory but the arrays given. The only `unsafe` is an assembler block without an
//! instruction.

use std::arch::{
    asm,
    x86_64::{
        __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_or_si256, _mm256_set1_epi32,
        _mm256_slli_epi32, _mm256_srli_epi32, _mm256_xor_si256,
    },
};

use super::memory::align_frame;

/// One block of each lane; lanes whose mask in `live` is zero keep their state.
#[target_feature(enable = "avx2")]
pub(super) fn compress(state: &mut [__m256i; 5], w: &mut [__m256i; 16], live: __m256i) {
    align_frame();
    let mut s = *state;
    macro_rules! rounds {
        ($function:ident, $constant:literal: $($t:literal)*) => { $(
            let [a, b, c, d, e] = s;
            let constant = _mm256_set1_epi32($constant as i32);
            let sum = pinned(_mm256_add_epi32(e, _mm256_add_epi32(w[$t % 16], constant)));
            let sum = pinned(_mm256_add_epi32(sum, $function(b, c, d)));
            s = [_mm256_add_epi32(sum, turned::<5, 27>(a)), a, turned::<30, 2>(b), c, d];
            if $t + AHEAD >= 16 && $t + AHEAD < 80 {
                let [w0, w2] = [w[($t + AHEAD) % 16], w[($t + AHEAD + 2) % 16]];
                let [w8, w13] = [w[($t + AHEAD + 8) % 16], w[($t + AHEAD + 13) % 16]];
                let mixed = parity(w0, w2, _mm256_xor_si256(w8, w13));
                // A sum has more units to go to than a shift.
                let doubled = _mm256_add_epi32(mixed, mixed);
                w[($t + AHEAD) % 16] = _mm256_or_si256(doubled, _mm256_srli_epi32::<31>(mixed));
            }
        )* };
    }
    rounds!(choice, 0x5a82_7999_u32: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
    rounds!(parity, 0x6ed9_eba1_u32: 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
    rounds!(majority, 0x8f1b_bcdc_u32: 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
    rounds!(parity, 0xca62_c1d6_u32: 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
    for (state, s) in state.iter_mut().zip(s) {
        *state = _mm256_add_epi32(*state, _mm256_and_si256(s, live));
    }
}

/// Ch of FIPS 180-4 §4.1.1.
#[inline]
#[target_feature(enable = "avx2")]
fn choice(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_xor_si256(z, _mm256_and_si256(x, _mm256_xor_si256(y, z)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn parity(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_xor_si256(x, _mm256_xor_si256(y, z))
}

/// Maj of FIPS 180-4 §4.1.1.
#[inline]
#[target_feature(enable = "avx2")]
fn majority(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_and_si256(x, y), _mm256_and_si256(z, _mm256_or_si256(x, y)))
}

/// Rotated to the left; `LEFT` and `RIGHT` are 32 together.
#[inline]
#[target_feature(enable = "avx2")]
fn turned<const LEFT: i32, const RIGHT: i32>(x: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_slli_epi32::<LEFT>(x), _mm256_srli_epi32::<RIGHT>(x))
}

/// The same words, as a value that the compiler knows nothing of.
///
/// It would regroup the additions of a round otherwise, and put the one that waits longest first.
#[inline]
#[target_feature(enable = "avx2")]
fn pinned(mut words: __m256i) -> __m256i {
    // SAFETY: no instruction at all.
    unsafe {
        asm!("/* {} */", inout(ymm_reg) words, options(pure, nomem, nostack, preserves_flags));
    }
    words
}

/// Rounds that the message schedule is ahead of the working variables, so that it fills their waits.
const AHEAD: usize = 4;
