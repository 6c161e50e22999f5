//! AES-GCM along one packet: four of its blocks in a register, one pass over the text.
//!
//! Part of [`super::gcm_avx512`], for packets that are long or have no equals beside them. Text is
//! hashed in chunks of 16 blocks, each block times its own power of the hash key, with one reduction
//! a chunk; products are computed between the rounds of AES, because other units do them.
//!
//! Safety: all loads and stores go through pointers into the text. Whole registers are moved only
//! where that many octets are left; the last one goes through an octet mask, which neither reads nor
//! writes what it masks out.

use std::{arch::x86_64::*, marker::PhantomData};

use super::{
    aes_vaes::{count, encrypt, encrypt_beside, first_octets, in_octet_order},
    cipher::GcmJob,
    gcm_hash512::{Sum, associated, counter, lengths, reversed, short},
    gcm_powers::HashPowers,
};

/// Transforms the text of a packet and returns its tag.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
pub(super) fn along<const KEYS: usize, const SEAL: bool>(
    keys: &[__m512i; KEYS],
    powers: &HashPowers,
    job: &mut GcmJob<'_>,
) -> __m128i {
    let first = _mm512_broadcast_i32x4(counter(&job.iv));
    //= NIST SP 800-38D §7.1 step 6: the first counter block masks the tag
    let mut mask = [in_octet_order(first)];
    encrypt(keys, &mut mask);
    let lanes = _mm512_set_epi32(4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0);
    let mut counters = _mm512_add_epi32(first, lanes);

    let lengths = _mm512_zextsi128_si512(lengths(job));
    let (whole, last) = job.data.as_chunks_mut::<256>();
    let top = last.len().div_ceil(16) + 1;
    let mut hash = Hash::new(powers, job.aad, if whole.is_empty() { top } else { 16 });
    // Of a text being sealed, what is hashed beside a chunk's rounds is the chunk before it.
    let mut before = None;
    for chunk in whole {
        let text = Text::<4>::new(chunk);
        let mut stream = count(&mut counters);
        if SEAL {
            hash.catch_up(keys, &mut stream, before);
        } else {
            encrypt_beside(keys, &mut stream, |round| hash.between(round, &text, 16));
            hash.reduce();
        }
        text.combine(&stream);
        before = Some(text);
    }
    match last.len().div_ceil(64) {
        0 | 1 => hash.last::<KEYS, 1, SEAL>(keys, counters, before, last, top),
        2 => hash.last::<KEYS, 2, SEAL>(keys, counters, before, last, top),
        3 => hash.last::<KEYS, 3, SEAL>(keys, counters, before, last, top),
        _ => hash.last::<KEYS, 4, SEAL>(keys, counters, before, last, top),
    }
    //= NIST SP 800-38D §7.1 step 5: the lengths in bits are the last block
    hash.sum.add(lengths, powers.four(1));
    let tag = _mm512_xor_si512(reversed(hash.sum.collapsed()), mask[0]);
    _mm512_castsi512_si128(tag)
}

/// The hash of a packet on its way.
struct Hash<'a> {
    powers: &'a HashPowers,
    /// Hash of what lies before the chunk at hand, in lane 0, as long as its first block does not have it.
    carry: __m512i,
    /// Of the chunk at hand.
    sum: Sum,
}

impl<'a> Hash<'a> {
    /// Begins with associated data, in front of a chunk whose first block meets the power `top`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn new(powers: &'a HashPowers, aad: [&[u8]; 2], top: usize) -> Self {
        let mut new = Self { powers, carry: _mm512_setzero_si512(), sum: Sum::zero() };
        if aad[0].len() <= 16 && aad[1].is_empty() {
            let block = _mm512_zextsi128_si512(short(aad[0]));
            new.sum.add(reversed(block), powers.four(top + 1));
        } else {
            let mut hash = [0; 16];
            associated(powers, aad, &mut hash);
            // SAFETY: 16 octets are read from an array of 16.
            let hash = unsafe { _mm_loadu_si128(hash.as_ptr().cast()) };
            new.carry = _mm512_zextsi128_si512(hash);
        }
        new
    }

    /// Up to 255 octets.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn last<const KEYS: usize, const N: usize, const SEAL: bool>(
        &mut self,
        keys: &[__m512i; KEYS],
        mut counters: __m512i,
        before: Option<Text<'_, 4>>,
        text: &mut [u8],
        top: usize,
    ) {
        let text = Text::<N>::new(text);
        let mut stream = count(&mut counters);
        if SEAL {
            self.catch_up(keys, &mut stream, before);
            for (i, sealed) in text.combine(&stream).into_iter().enumerate() {
                self.add(i, sealed, top);
            }
        } else {
            encrypt_beside(keys, &mut stream, |round| self.between(round, &text, top));
            text.combine(&stream);
        }
    }

    /// Encrypts blocks, and beside that hashes the chunk before them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn catch_up<const KEYS: usize, const N: usize>(
        &mut self,
        keys: &[__m512i; KEYS],
        blocks: &mut [__m512i; N],
        before: Option<Text<'_, 4>>,
    ) {
        if let Some(text) = before {
            encrypt_beside(keys, blocks, |round| self.between(round, &text, 16));
            self.reduce();
        } else {
            encrypt(keys, blocks);
        }
    }

    /// Hashes one register of text after each second round, the first register last: its carry
    /// comes out of a reduction that may still be under way.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn between<const N: usize>(&mut self, round: usize, text: &Text<'_, N>, top: usize) {
        if round % 2 == 0 && round / 2 <= N {
            let i = N - round / 2;
            self.add(i, text.load(i), top);
            self.sum.pin();
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn add(&mut self, i: usize, sealed: __m512i, top: usize) {
        let mut blocks = reversed(sealed);
        if i == 0 {
            blocks = _mm512_xor_si512(blocks, self.carry);
        }
        self.sum.add(blocks, self.powers.four(top - 4 * i));
    }

    /// Ends a chunk.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn reduce(&mut self) {
        self.carry = self.sum.collapsed();
        self.sum = Sum::zero();
    }
}

/// Text in N registers, of which only the last may be partial, or empty where it is the only one.
#[derive(Clone, Copy)]
struct Text<'a, const N: usize> {
    start: *mut u8,
    mask: u64,
    text: PhantomData<&'a mut [u8]>,
}

impl<'a, const N: usize> Text<'a, N> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn new(text: &'a mut [u8]) -> Self {
        debug_assert!(text.len().div_ceil(64).max(1) == N);
        let mask = first_octets(text.len() - 64 * (N - 1));
        Self { start: text.as_mut_ptr(), mask, text: PhantomData }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn load(&self, i: usize) -> __m512i {
        // SAFETY: the text is longer than 64 (N - 1) octets; behind that the mask selects its rest.
        unsafe {
            let p = self.start.add(64 * i);
            if i < N - 1 {
                _mm512_loadu_si512(p.cast())
            } else {
                _mm512_maskz_loadu_epi8(self.mask, p.cast())
            }
        }
    }

    /// Exclusive-or with a keystream. Returns what is stored, zeros behind its end.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn combine(&self, stream: &[__m512i; N]) -> [__m512i; N] {
        let mut combined = *stream;
        for (i, combined) in combined.iter_mut().enumerate() {
            *combined = _mm512_xor_si512(*combined, self.load(i));
            // SAFETY: as for loading.
            unsafe {
                let p = self.start.add(64 * i);
                if i < N - 1 {
                    _mm512_storeu_si512(p.cast(), *combined);
                } else {
                    _mm512_mask_storeu_epi8(p.cast(), self.mask, *combined);
                    *combined = _mm512_maskz_mov_epi8(self.mask, *combined);
                }
            }
        }
        combined
    }
}
