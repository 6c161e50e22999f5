//! Where messages end and what stands behind them, for sixteen lanes: suffix and padding (FIPS 180-4 §5.1.1).
//!
//! Messages that end alike get a block to fill up their loads with; for others suffix and padding are put
//! into the message words of all lanes at once. Neither takes a buffer.
//!
//! Constant time: branches and masks on lengths only.
//!
//! # Safety
//!
//! The loads are of whole arrays.

use std::arch::x86_64::{
    __m512i, __mmask16, _mm512_add_epi32, _mm512_and_si512, _mm512_andnot_si512,
    _mm512_cmpeq_epi32_mask, _mm512_cmple_epi32_mask, _mm512_cmple_epu8_mask, _mm512_loadu_si512,
    _mm512_mask_add_epi32, _mm512_mask_mov_epi32, _mm512_mask_or_epi32, _mm512_mask_set1_epi64,
    _mm512_maskz_mov_epi32, _mm512_maskz_shuffle_epi8, _mm512_or_si512, _mm512_permutex2var_epi32,
    _mm512_set_epi32, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_epi64, _mm512_slli_epi32,
    _mm512_sllv_epi32, _mm512_srli_epi32, _mm512_srlv_epi32, _mm512_sub_epi8, _mm512_sub_epi32,
    _mm512_test_epi32_mask,
};

use super::{
    hmac::{BLOCK, HmacJob},
    sha1_avx512::{LANES, MARK, swapped},
};

/// Length of a message in the low half, with [`End::SUFFIXED`] if it has a suffix, which is in the high
/// half as it lies in memory. Messages that are ordered are much shorter than the flag is.
#[derive(Clone, Copy, Eq, PartialEq)]
#[repr(transparent)]
pub(super) struct End(u64);

impl End {
    const SUFFIXED: u32 = 1 << 31;

    pub(super) fn of(job: &HmacJob<'_>) -> Self {
        let (suffix, flag) = match job.suffix {
            Some(suffix) => (u32::from_le_bytes(suffix), Self::SUFFIXED),
            None => (0, 0),
        };
        Self(u64::from(suffix) << 32 | u64::from(flag) | job.message.len() as u64)
    }

    /// Octets of the message.
    pub(super) const fn length(&self) -> usize {
        (self.0 as u32 & !Self::SUFFIXED) as usize
    }
}

/// Suffix and padding where they are in the block of number `row` of a message that ends so, which does
/// not have it whole.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn behind(end: End, row: usize) -> __m512i {
    let suffix = if end.0 as u32 & End::SUFFIXED != 0 { 4 } else { 0 };
    let hashed = end.length() + suffix;
    // The octets of the suffix, then the mark.
    let octets = match suffix {
        0 => 0x80,
        _ => 0x80 << 32 | end.0 >> 32,
    };
    let octets = _mm512_set1_epi64(octets.cast_signed());
    // Each octet's place behind the message; before it, a large number.
    let place = _mm512_sub_epi8(
        ascending(),
        _mm512_set1_epi8((end.length() as i64 - (BLOCK * row) as i64) as i8),
    );
    let there = _mm512_cmple_epu8_mask(place, _mm512_set1_epi8(suffix as i8));
    let behind = _mm512_maskz_shuffle_epi8(there, octets, place);
    let bits = (8 * (BLOCK + hashed) as u64).swap_bytes().cast_signed();
    let last = if row == (hashed + 8) / BLOCK { 0x80 } else { 0 };
    _mm512_mask_set1_epi64(behind, last, bits)
}

/// Where each lane ends and what stands there.
pub(super) struct Ends {
    /// Number of the message word that has the first octet behind the message.
    word: __m512i,
    /// What is behind the message, as it lies in that word and in the next.
    behind: [__m512i; 2],
    /// Number of the last block.
    last: __m512i,
    /// Length of what the inner hash covers.
    bits: __m512i,
}

impl Ends {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn of(ends: &[End; LANES]) -> Self {
        let from: *const __m512i = ends.as_ptr().cast();
        // SAFETY: an end is 8 octets, and sixteen of them are twice 64.
        let [low, high] = unsafe { [_mm512_loadu_si512(from), _mm512_loadu_si512(from.add(1))] };
        let even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
        let odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
        let flagged = _mm512_permutex2var_epi32(low, even, high);
        let suffix = swapped(_mm512_permutex2var_epi32(low, odd, high));
        let flag = _mm512_set1_epi32(End::SUFFIXED.cast_signed());
        let suffixed = _mm512_test_epi32_mask(flagged, flag);
        let length = _mm512_andnot_si512(flag, flagged);
        let mark = _mm512_set1_epi32(MARK.cast_signed());
        let first = _mm512_mask_mov_epi32(mark, suffixed, suffix);
        let second = _mm512_maskz_mov_epi32(suffixed, mark);
        let shift = _mm512_slli_epi32::<3>(_mm512_and_si512(length, _mm512_set1_epi32(3)));
        let back = _mm512_sub_epi32(_mm512_set1_epi32(32), shift);
        let four = _mm512_set1_epi32(4);
        let hashed = _mm512_mask_add_epi32(length, suffixed, length, four);
        let key = _mm512_set1_epi32(BLOCK as i32);
        Self {
            word: _mm512_srli_epi32::<2>(length),
            behind: [
                _mm512_srlv_epi32(first, shift),
                _mm512_or_si512(_mm512_sllv_epi32(first, back), _mm512_srlv_epi32(second, shift)),
            ],
            last: _mm512_srli_epi32::<6>(_mm512_add_epi32(hashed, _mm512_set1_epi32(8))),
            bits: _mm512_slli_epi32::<3>(_mm512_add_epi32(hashed, key)),
        }
    }

    /// Puts suffix and padding into the block of number `row`; returns the lanes that have that block.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn pad(&self, w: &mut [__m512i; LANES], row: i32) -> __mmask16 {
        let word = _mm512_sub_epi32(self.word, _mm512_set1_epi32(16 * row));
        let mut before = _mm512_cmpeq_epi32_mask(word, _mm512_set1_epi32(-1));
        for (i, w) in w.iter_mut().enumerate() {
            let here = _mm512_cmpeq_epi32_mask(word, _mm512_set1_epi32(i as i32));
            *w = _mm512_mask_or_epi32(*w, here, *w, self.behind[0]);
            *w = _mm512_mask_or_epi32(*w, before, *w, self.behind[1]);
            before = here;
        }
        let row = _mm512_set1_epi32(row);
        w[15] = _mm512_mask_mov_epi32(w[15], _mm512_cmpeq_epi32_mask(self.last, row), self.bits);
        _mm512_cmple_epi32_mask(row, self.last)
    }
}

/// The numbers of the octets of a register.
#[inline]
#[target_feature(enable = "avx512f")]
fn ascending() -> __m512i {
    static NUMBERS: [u8; BLOCK] = {
        let mut numbers = [0; BLOCK];
        let mut i = 0;
        while i < BLOCK {
            numbers[i] = i as u8;
            i += 1;
        }
        numbers
    };
    // SAFETY: 64 octets.
    unsafe { _mm512_loadu_si512(NUMBERS.as_ptr().cast()) }
}
