//! The rounds of SHA-1 in eight lanes of AVX-512 VL (FIPS 180-4 §6.1.2).
//!
//! Half of the instructions of [`super::sha1_avx2`]: it rotates, and has any function of three words, in
//! one. Constant time: additions, logic and rotations by constants only.
//!
//! # Safety
//!
//! Nothing touches memory but the arrays given. The only `unsafe` is an assembler block without an
//! instruction.

use std::arch::{
    asm,
    x86_64::{
        __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_rol_epi32, _mm256_set1_epi32,
        _mm256_ternarylogic_epi32, _mm256_xor_si256,
    },
};

/// One block of each lane; lanes whose mask in `live` is zero keep their state.
#[target_feature(enable = "avx512f,avx512vl")]
pub(super) fn compress(state: &mut [__m256i; 5], w: &mut [__m256i; 16], live: __m256i) {
    let mut s = *state;
    macro_rules! rounds {
        ($function:ident, $constant:literal: $($t:literal)*) => { $(
            let [a, b, c, d, e] = s;
            let constant = _mm256_set1_epi32($constant as i32);
            let sum = pinned(_mm256_add_epi32(e, _mm256_add_epi32(w[$t % 16], constant)));
            let sum = pinned(_mm256_add_epi32(sum, _mm256_ternarylogic_epi32::<$function>(b, c, d)));
            s = [_mm256_add_epi32(sum, _mm256_rol_epi32::<5>(a)), a, _mm256_rol_epi32::<30>(b), c, d];
            if $t + AHEAD >= 16 && $t + AHEAD < 80 {
                let [w0, w2] = [w[($t + AHEAD) % 16], w[($t + AHEAD + 2) % 16]];
                let [w8, w13] = [w[($t + AHEAD + 8) % 16], w[($t + AHEAD + 13) % 16]];
                let mixed = _mm256_ternarylogic_epi32::<PARITY>(w0, w2, w8);
                w[($t + AHEAD) % 16] = _mm256_rol_epi32::<1>(_mm256_xor_si256(mixed, w13));
            }
        )* };
    }
    rounds!(CH, 0x5a82_7999_u32: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
    rounds!(PARITY, 0x6ed9_eba1_u32: 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
    rounds!(MAJ, 0x8f1b_bcdc_u32: 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
    rounds!(PARITY, 0xca62_c1d6_u32: 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
    for (state, s) in state.iter_mut().zip(s) {
        *state = _mm256_add_epi32(*state, _mm256_and_si256(s, live));
    }
}

/// The same words, as a value that the compiler knows nothing of.
///
/// It would regroup the additions of a round otherwise, and put the one that waits longest first.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn pinned(mut words: __m256i) -> __m256i {
    // SAFETY: no instruction at all.
    unsafe {
        asm!("/* {} */", inout(ymm_reg) words, options(pure, nomem, nostack, preserves_flags));
    }
    words
}

/// Rounds that the message schedule is ahead of the working variables, so that it fills their waits.
const AHEAD: usize = 12;

/// Truth tables of the functions of FIPS 180-4 §4.1.1.
const CH: i32 = 0xca;
const PARITY: i32 = 0x96;
const MAJ: i32 = 0xe8;
