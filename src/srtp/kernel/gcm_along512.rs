//! AES-GCM along one packet: four of its blocks in a register, one pass over the text.
//!
//! Part of [`super::gcm_avx512`], for packets that are long or have no equals beside them. Text is
//! hashed in chunks of 16 blocks, each block times its own power of the hash key, with one reduction
//! a chunk; products are computed between the rounds of AES, because other units do them.
//!
//! Safety: all loads and stores go through pointers into the text. Whole registers are moved only
//! where that many octets are left; the last two go through octet masks, which neither read nor
//! write what they mask out.

use std::{arch::x86_64::*, marker::PhantomData};

use super::{
    aes_schedule::Schedule,
    aes_vaes::{broadcast_keys, count, encrypt, encrypt_beside, first_octets, in_octet_order},
    cipher::GcmJob,
    gcm_avx512::put_back,
    gcm_hash128::associated,
    gcm_hash512::{Sum, counter, lengths, reversed, short},
    gcm_powers::HashPowers,
    memory::align_frame,
};

/// Opens or seals packets under one key; `ok` tells which tags are right.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
pub(super) fn along<const KEYS: usize, const SEAL: bool>(
    schedule: &Schedule,
    powers: &HashPowers,
    jobs: &mut [GcmJob<'_>],
    ok: &mut [bool],
) {
    align_frame();
    let keys = broadcast_keys::<KEYS>(schedule);
    for (job, ok) in jobs.iter_mut().zip(ok) {
        let made = packet::<KEYS, SEAL>(&keys, powers, job);
        // SAFETY: a tag is 16 octets.
        unsafe {
            if SEAL {
                _mm_storeu_si128(job.tag.as_mut_ptr().cast(), made);
            } else {
                let expected = _mm_loadu_si128(job.tag.as_ptr().cast());
                *ok = _mm_cmpneq_epi64_mask(made, expected) == 0;
            }
        }
        if !*ok {
            put_back(std::slice::from_mut(job), &[false]);
        }
    }
}

/// Transforms the text of a packet and returns its tag.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
fn packet<const KEYS: usize, const SEAL: bool>(
    keys: &[__m512i; KEYS],
    powers: &HashPowers,
    job: &mut GcmJob<'_>,
) -> __m128i {
    let lanes = _mm512_set_epi32(4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0);
    let first = counter(&job.iv);
    let mut counters = _mm512_add_epi32(_mm512_broadcast_i32x4(first), lanes);
    let lengths = lengths(job);
    let (whole, last) = job.data.as_chunks_mut::<256>();
    let top = if whole.is_empty() { last.len().div_ceil(16) + 1 } else { 16 };
    let mut packet = Packet::new(powers, first, job.aad, top);
    for chunk in whole {
        let text = Text::<4>::new(chunk);
        let mut stream = count(&mut counters);
        packet.transform::<KEYS, 4, SEAL>(keys, &mut stream, &text, 16, _mm512_setzero_si512());
        packet.carry = packet.sum.collapsed();
        packet.sum = Sum::zero();
    }
    match last.len().div_ceil(16) / 4 {
        0 => packet.last::<KEYS, 1, SEAL>(keys, counters, last, lengths),
        1 => packet.last::<KEYS, 2, SEAL>(keys, counters, last, lengths),
        2 => packet.last::<KEYS, 3, SEAL>(keys, counters, last, lengths),
        3 => packet.last::<KEYS, 4, SEAL>(keys, counters, last, lengths),
        _ => packet.last::<KEYS, 5, SEAL>(keys, counters, last, lengths),
    }
}

/// A packet on its way.
struct Packet<'a> {
    powers: &'a HashPowers,
    /// Counter block 1, its counting word little-endian.
    first: __m128i,
    /// Hash of what lies before the chunk at hand, in lane 0.
    carry: __m512i,
    /// Of the chunk at hand.
    sum: Sum,
}

impl<'a> Packet<'a> {
    /// Begins with associated data, in front of a chunk whose first block meets the power `top`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn new(powers: &'a HashPowers, first: __m128i, aad: [&[u8]; 2], top: usize) -> Self {
        let mut new = Self { powers, first, carry: _mm512_setzero_si512(), sum: Sum::zero() };
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

    /// Up to 255 octets and the block of lengths, four blocks to a register: the last register has a
    /// lane to spare. Returns the tag.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn last<const KEYS: usize, const N: usize, const SEAL: bool>(
        &mut self,
        keys: &[__m512i; KEYS],
        mut counters: __m512i,
        text: &mut [u8],
        lengths: __m128i,
    ) -> __m128i {
        let blocks = text.len().div_ceil(16);
        let text = Text::<N>::new(text);
        let mut stream = count(&mut counters);
        //= NIST SP 800-38D §7.1 step 6: counter block 1 masks the tag
        const LANE_3: __mmask8 = 0b1100_0000;
        let first = in_octet_order(_mm512_broadcast_i32x4(self.first));
        stream[N - 1] = _mm512_mask_mov_epi64(stream[N - 1], LANE_3, first);
        //= NIST SP 800-38D §7.1 step 5: the lengths in bits are the last block
        let lane = 0xf << (4 * (blocks % 4));
        let lengths = _mm512_maskz_broadcast_i32x4(lane, lengths);
        self.transform::<KEYS, N, SEAL>(keys, &mut stream, &text, blocks + 1, lengths);
        let hash = _mm512_castsi512_si128(reversed(self.sum.collapsed()));
        _mm_xor_si128(hash, _mm512_extracti32x4_epi32::<3>(stream[N - 1]))
    }

    /// Transforms and hashes N registers of text; the first block meets the power `top`, and
    /// `behind` is hashed in the lanes behind the text.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn transform<const KEYS: usize, const N: usize, const SEAL: bool>(
        &mut self,
        keys: &[__m512i; KEYS],
        stream: &mut [__m512i; N],
        text: &Text<'_, N>,
        top: usize,
        behind: __m512i,
    ) {
        // From the last register to the first, whose carry comes out of a reduction that may
        // still be under way.
        let mut hash = |i: usize, sealed: __m512i| {
            let mut blocks = reversed(sealed);
            if i == 0 {
                blocks = _mm512_xor_si512(blocks, self.carry);
            }
            if i == N - 1 {
                blocks = _mm512_xor_si512(blocks, behind);
            }
            self.sum.add(blocks, self.powers.four(top - 4 * i));
            self.sum.pin();
        };
        if SEAL {
            encrypt(keys, stream);
            let sealed = text.combine(stream);
            for i in (0..N).rev() {
                hash(i, sealed[i]);
            }
        } else {
            encrypt_beside(keys, stream, |round| {
                if round % 2 == 0 && round <= 2 * usize::min(N, 4) {
                    let i = N - round / 2;
                    hash(i, text.load(i));
                }
            });
            if N == 5 {
                hash(0, text.load(0));
            }
            text.combine(stream);
        }
    }
}

/// Text in N registers, of which the last may be partial or empty and the one before it partial.
struct Text<'a, const N: usize> {
    start: *mut u8,
    len: usize,
    text: PhantomData<&'a mut [u8]>,
}

impl<'a, const N: usize> Text<'a, N> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn new(text: &'a mut [u8]) -> Self {
        assert!((64 * N.saturating_sub(2)..=64 * N).contains(&text.len()), "registers of text");
        Self { start: text.as_mut_ptr(), len: text.len(), text: PhantomData }
    }

    /// Which octets of register `i` there are.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn mask(&self, i: usize) -> u64 {
        first_octets(self.len.saturating_sub(64 * i).min(64))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn load(&self, i: usize) -> __m512i {
        let p = self.start.wrapping_add(64 * i);
        // SAFETY: the text fills all registers but the last two; there the mask selects what there is.
        unsafe {
            if i + 2 < N {
                _mm512_loadu_si512(p.cast())
            } else {
                _mm512_maskz_loadu_epi8(self.mask(i), p.cast())
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
            let p = self.start.wrapping_add(64 * i);
            // SAFETY: as for loading.
            unsafe {
                if i + 2 < N {
                    _mm512_storeu_si512(p.cast(), *combined);
                } else {
                    let mask = self.mask(i);
                    _mm512_mask_storeu_epi8(p.cast(), mask, *combined);
                    *combined = _mm512_maskz_mov_epi8(mask, *combined);
                }
            }
        }
        combined
    }
}
