//! The end of a message, padded (FIPS 180-4 §5.1.1), for the kernels that load 16 octets at a time.
//!
//! The rest of the message, the suffix, the mark 0x80 and the length come together in registers and are
//! stored as whole 16-octet pieces, each of which a later load of the same piece gets forwarded. Small
//! stores into a buffer that is then loaded in wide pieces would wait for the cache instead.
//!
//! Which octets are loaded and how they are shifted depends on lengths only, which are public.
//!
//! # Safety
//!
//! Each load reads 16 octets of the message, of a copy of a message that has less than 16, or of a
//! constant.

use std::{
    arch::x86_64::{
        __m128i, _mm_loadu_si128, _mm_or_si128, _mm_set_epi64x, _mm_setzero_si128, _mm_shuffle_epi8,
    },
    ptr,
};

use super::hmac::{BLOCK, HmacJob};

/// The last one or two blocks of a message, in pieces of 16 octets.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Tail([__m128i; 2 * BLOCK / PIECE]);

/// Where the blocks of a message are: those that it has whole, then those of its tail.
#[derive(Clone, Copy)]
pub(super) struct Blocks {
    message: *const u8,
    whole: usize,
    tail: *const u8,
}

impl Tail {
    #[inline]
    #[target_feature(enable = "sse4.1,ssse3")]
    pub(super) fn empty() -> Self {
        Self([_mm_setzero_si128(); _])
    }

    /// One block.
    #[inline]
    pub(super) fn set(&mut self, block: [__m128i; BLOCK / PIECE]) {
        self.0[..BLOCK / PIECE].copy_from_slice(&block);
    }

    /// Pads what follows the last whole block of the message.
    #[target_feature(enable = "sse4.1,ssse3")]
    pub(super) fn write(&mut self, job: &HmacJob<'_>) {
        let length = job.message.len();
        let mut short = [0; PIECE];
        let end = match job.message.last_chunk::<PIECE>() {
            Some(_) => job.message.as_ptr_range().end,
            None => {
                short[PIECE - length..].copy_from_slice(job.message);
                short.as_ptr_range().end
            }
        };
        let (behind, hashed) = behind(job);
        let bits = 8 * (BLOCK + hashed) as u64;
        let bits = _mm_set_epi64x(bits.swap_bytes().cast_signed(), 0);
        // SAFETY: the message ends at `end`, or so does its copy to the end of 16 octets.
        unsafe {
            if length / BLOCK == (hashed + 8) / BLOCK {
                self.fill::<4>(end, length % BLOCK, behind, bits);
            } else {
                self.fill::<8>(end, length % BLOCK, behind, bits);
            }
        }
    }

    /// Makes the first `N` pieces of the `rest` octets before `end`, then `behind`, and in the last
    /// half of the last piece `bits`.
    ///
    /// # Safety
    ///
    /// The `rest` octets before `end` can be read, and the 16 before it.
    #[inline]
    #[target_feature(enable = "sse4.1,ssse3")]
    unsafe fn fill<const N: usize>(
        &mut self,
        end: *const u8,
        rest: usize,
        behind: __m128i,
        bits: __m128i,
    ) {
        for i in 0..N {
            // Octets of the message from this piece on. Where they are less than 16 the last 16 octets
            // of the message are read, and those of the piece before are shifted out.
            let left = rest.saturating_sub(PIECE * i);
            // SAFETY: as the caller says.
            let octets = unsafe { _mm_loadu_si128(end.sub(left.max(PIECE)).cast()) };
            let octets = shifted(octets, 2 * PIECE - left.min(PIECE));
            let from = (PIECE * (i + 1)).saturating_sub(rest).min(2 * PIECE);
            self.0[i] = _mm_or_si128(octets, shifted(behind, from));
        }
        self.0[N - 1] = _mm_or_si128(self.0[N - 1], bits);
    }
}

impl Blocks {
    pub(super) const NONE: Self = Self { message: ptr::null(), whole: 0, tail: ptr::null() };

    /// The blocks of a message and of the tail that was written of it.
    #[inline]
    pub(super) fn of(job: &HmacJob<'_>, tail: &Tail) -> Self {
        Self {
            message: job.message.as_ptr(),
            whole: job.message.len() / BLOCK,
            tail: tail.0.as_ptr().cast(),
        }
    }

    /// The blocks of a tail alone.
    #[inline]
    pub(super) fn in_tail(tail: &Tail) -> Self {
        Self { whole: 0, tail: tail.0.as_ptr().cast(), ..Self::NONE }
    }

    /// Where the block of that number begins, if there is one.
    #[inline]
    pub(super) fn at(&self, number: usize) -> *const u8 {
        match number.checked_sub(self.whole) {
            None => self.message.wrapping_add(BLOCK * number),
            Some(number) => self.tail.wrapping_add(BLOCK * number),
        }
    }
}

/// Suffix and mark of a message, and how many octets the inner hash covers behind the key's block.
#[inline]
#[target_feature(enable = "sse4.1,ssse3")]
pub(super) fn behind(job: &HmacJob<'_>) -> (__m128i, usize) {
    let length = job.message.len();
    let (behind, hashed) = match job.suffix {
        Some(suffix) => (0x80 << 32 | i64::from(u32::from_le_bytes(suffix)), length + 4),
        None => (0x80, length),
    };
    (_mm_set_epi64x(0, behind), hashed)
}

/// Octet `i` of the result is octet `i + from - 16` of the input, or zero where there is none.
#[inline]
#[target_feature(enable = "sse4.1,ssse3")]
pub(super) fn shifted(octets: __m128i, from: usize) -> __m128i {
    _mm_shuffle_epi8(octets, control(from))
}

/// What shifts so when octets are shuffled by it.
#[inline]
#[target_feature(enable = "sse4.1,ssse3")]
pub(super) fn control(from: usize) -> __m128i {
    let control = &CONTROLS[from..][..PIECE];
    // SAFETY: `control` has 16 octets.
    unsafe { _mm_loadu_si128(control.as_ptr().cast()) }
}

/// Octets in a 128-bit register.
pub(super) const PIECE: usize = 16;

/// Shuffle controls, one from each place on; an octet with the top bit set makes a zero.
static CONTROLS: [u8; 3 * PIECE] = {
    let mut controls = [0x80; 3 * PIECE];
    let mut i = 0;
    while i < PIECE {
        controls[PIECE + i] = i as u8;
        i += 1;
    }
    controls
};
