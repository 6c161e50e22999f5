//! AES-GCM over four packets abreast: one block of each in a register.
//!
//! Part of [`super::gcm_avx512`], for short packets of as many blocks as their neighbours, which is what
//! speech of one coder is. Whatever is done once per packet is done once for four, and no sum over the
//! lanes of a register is needed. Up to 16 blocks, with one reduction.
//!
//! Safety: all loads and stores go through pointers into the four texts. Whole blocks are moved only
//! in front of the last one; the last goes through octet masks, which neither read nor write what
//! they mask out.

use std::arch::x86_64::*;

use super::{
    aes_schedule::Schedule,
    aes_vaes::{broadcast_keys, encrypt_beside, first_octets, in_octet_order},
    cipher::GcmJob,
    gcm_hash512::{Sum, counter, in_lanes, lengths, reversed, short},
    gcm_powers::HashPowers,
    memory::align_frame,
};

/// Whether four packets can go abreast: one key, 1 to 16 blocks of text each, and as many; at most one
/// block of associated data, in one piece.
#[inline]
pub(super) fn fit(jobs: &[GcmJob<'_>; 4]) -> bool {
    let blocks = jobs[0].data.len().div_ceil(16);
    let equal = |job: &GcmJob<'_>| {
        std::ptr::eq(job.key, jobs[0].key)
            && job.data.len().div_ceil(16) == blocks
            && job.aad[0].len() <= 16
            && job.aad[1].is_empty()
    };
    (1..=16).contains(&blocks) && jobs.iter().all(equal)
}

/// Opens or seals four packets. Returns which tags are right.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
pub(super) fn abreast<const KEYS: usize, const SEAL: bool>(
    schedule: &Schedule,
    powers: &HashPowers,
    jobs: &mut [GcmJob<'_>; 4],
) -> [bool; 4] {
    align_frame();
    let keys = &broadcast_keys::<KEYS>(schedule);
    let [a, b, c, d] = jobs;
    let first = in_lanes([counter(&a.iv), counter(&b.iv), counter(&c.iv), counter(&d.iv)]);
    let blocks = a.data.len().div_ceil(16);
    let aad = in_lanes([short(a.aad[0]), short(b.aad[0]), short(c.aad[0]), short(d.aad[0])]);
    //= NIST SP 800-38D §7.1 step 5: the lengths in bits are the last block
    let lengths = in_lanes([lengths(a), lengths(b), lengths(c), lengths(d)]);
    let mut four = Four {
        counters: first,
        powers,
        power: blocks + 2,
        sum: Sum::zero(),
        at: [a.data.as_mut_ptr(), b.data.as_mut_ptr(), c.data.as_mut_ptr(), d.data.as_mut_ptr()],
        last: [a, b, c, d].map(|job| first_octets(job.data.len() - 16 * (blocks - 1)) as u16),
    };
    four.hash(reversed(aad));
    let mut left = blocks;
    while left > 4 {
        // SAFETY: there are four more blocks of each text, and another behind them.
        unsafe { four.transform_row::<KEYS, SEAL>(keys) };
        left -= 4;
    }
    // SAFETY: so many blocks are left of each text, and the masks select what there is of the last.
    let masks = unsafe {
        match left {
            1 => four.transform_last::<KEYS, 1, 2, SEAL>(keys, first),
            2 => four.transform_last::<KEYS, 2, 3, SEAL>(keys, first),
            3 => four.transform_last::<KEYS, 3, 4, SEAL>(keys, first),
            _ => four.transform_last::<KEYS, 4, 5, SEAL>(keys, first),
        }
    };
    four.hash(lengths);
    let mut tags = _mm512_xor_si512(reversed(four.sum.reduced()), masks);
    if SEAL {
        for job in jobs {
            // SAFETY: a tag is 16 octets.
            unsafe { _mm_storeu_si128(job.tag.as_mut_ptr().cast(), _mm512_castsi512_si128(tags)) }
            tags = _mm512_alignr_epi64::<2>(tags, tags);
        }
        return [true; 4];
    }
    // SAFETY: a tag is 16 octets.
    let expected = jobs.each_ref().map(|job| unsafe { _mm_loadu_si128(job.tag.as_ptr().cast()) });
    let differ = _mm512_cmpneq_epi64_mask(tags, in_lanes(expected));
    [0, 2, 4, 6].map(|lane| differ >> lane & 3 == 0)
}

/// Four packets on their way.
struct Four<'a> {
    /// The counter blocks before those of the next block of text, counting words little-endian.
    counters: __m512i,
    powers: &'a HashPowers,
    /// What the next block to be hashed meets.
    power: usize,
    sum: Sum,
    /// The next block of each text.
    at: [*mut u8; 4],
    /// Which octets of the last block there are.
    last: [u16; 4],
}

impl Four<'_> {
    /// Transforms and hashes four blocks of each text: a register holds those of one packet, and for
    /// the hash one block of each.
    ///
    /// # Safety
    /// So many blocks are left, and another behind them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    unsafe fn transform_row<const KEYS: usize, const SEAL: bool>(
        &mut self,
        keys: &[__m512i; KEYS],
    ) {
        let next = _mm512_set_epi32(4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0);
        let four = _mm512_set_epi32(4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0);
        let mut stream = [
            _mm512_shuffle_i32x4::<0x00>(self.counters, self.counters),
            _mm512_shuffle_i32x4::<0x55>(self.counters, self.counters),
            _mm512_shuffle_i32x4::<0xaa>(self.counters, self.counters),
            _mm512_shuffle_i32x4::<0xff>(self.counters, self.counters),
        ];
        self.counters = _mm512_add_epi32(self.counters, four);
        let mut text = [_mm512_setzero_si512(); 4];
        for i in 0..4 {
            stream[i] = in_octet_order(_mm512_add_epi32(stream[i], next));
            // SAFETY: as required of the caller.
            text[i] = unsafe { _mm512_loadu_si512(self.at[i].cast()) };
        }
        let sealed = across(text);
        encrypt_beside(keys, &mut stream, |round| {
            if !SEAL && round % 2 == 0 && round <= 8 {
                self.hash(reversed(sealed[round / 2 - 1]));
                self.sum.pin();
            }
        });
        for i in 0..4 {
            text[i] = _mm512_xor_si512(text[i], stream[i]);
            // SAFETY: as required of the caller.
            unsafe { _mm512_storeu_si512(self.at[i].cast(), text[i]) }
        }
        if SEAL {
            across(text).into_iter().for_each(|blocks| self.hash(reversed(blocks)));
        }
        self.at = self.at.map(|at| at.wrapping_add(64));
    }

    /// Transforms and hashes the last N blocks of each text. The encryption of the counter blocks
    /// `first` goes along as block M of the keystream: it is returned.
    ///
    /// # Safety
    /// So many blocks are left.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    unsafe fn transform_last<
        const KEYS: usize,
        const N: usize,
        const M: usize,
        const SEAL: bool,
    >(
        &mut self,
        keys: &[__m512i; KEYS],
        first: __m512i,
    ) -> __m512i {
        let one = _mm512_set_epi32(1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0);
        //= NIST SP 800-38D §7.1 step 6: the first counter block masks the tag
        let mut stream = [in_octet_order(first); M];
        let mut text = [_mm512_setzero_si512(); N];
        for i in 0..N {
            self.counters = _mm512_add_epi32(self.counters, one);
            stream[i] = in_octet_order(self.counters);
            // SAFETY: as required of the caller.
            text[i] = unsafe { self.load(i, i == N - 1) };
        }
        encrypt_beside(keys, &mut stream, |round| {
            if !SEAL && round % 2 == 0 && round / 2 <= N {
                self.hash(reversed(text[round / 2 - 1]));
                self.sum.pin();
            }
        });
        for i in 0..N {
            let combined = _mm512_xor_si512(text[i], stream[i]);
            // SAFETY: as required of the caller.
            let stored = unsafe { self.store(i, combined, i == N - 1) };
            if SEAL {
                self.hash(reversed(stored));
            }
        }
        stream[M - 1]
    }

    /// Adds the product of the next block of each packet.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    fn hash(&mut self, blocks: __m512i) {
        self.sum.add(blocks, _mm512_broadcast_i32x4(self.powers.one(self.power)));
        self.power -= 1;
    }

    /// Block `i` of each text.
    ///
    /// # Safety
    /// The block is there; if it is not the `last`, whole.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    unsafe fn load(&self, i: usize, last: bool) -> __m512i {
        let mut lanes = [_mm_setzero_si128(); 4];
        for (lane, (at, mask)) in lanes.iter_mut().zip(self.at.iter().zip(self.last)) {
            // SAFETY: as required of the caller; the mask selects octets of the text.
            *lane = unsafe {
                let at = at.add(16 * i);
                if last {
                    _mm_maskz_loadu_epi8(mask, at.cast())
                } else {
                    _mm_loadu_si128(at.cast())
                }
            };
        }
        in_lanes(lanes)
    }

    /// Writes block `i` of each text. Returns what is stored, zeros behind its end.
    ///
    /// # Safety
    /// As for loading.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
    unsafe fn store(&self, i: usize, blocks: __m512i, last: bool) -> __m512i {
        let mut lanes = [
            _mm512_castsi512_si128(blocks),
            _mm512_extracti32x4_epi32::<1>(blocks),
            _mm512_extracti32x4_epi32::<2>(blocks),
            _mm512_extracti32x4_epi32::<3>(blocks),
        ];
        for (lane, (at, mask)) in lanes.iter_mut().zip(self.at.iter().zip(self.last)) {
            // SAFETY: as for loading.
            unsafe {
                let at = at.add(16 * i);
                if last {
                    _mm_mask_storeu_epi8(at.cast(), mask, *lane);
                    *lane = _mm_maskz_mov_epi8(mask, *lane);
                } else {
                    _mm_storeu_si128(at.cast(), *lane);
                }
            }
        }
        if last { in_lanes(lanes) } else { blocks }
    }
}

/// Blocks of four packets, from one packet in a register to one block of each in a register, or back.
#[inline]
#[target_feature(enable = "avx512f")]
fn across([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let low = [_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0x44>(c, d)];
    let high = [_mm512_shuffle_i32x4::<0xee>(a, b), _mm512_shuffle_i32x4::<0xee>(c, d)];
    [
        _mm512_shuffle_i32x4::<0x88>(low[0], low[1]),
        _mm512_shuffle_i32x4::<0xdd>(low[0], low[1]),
        _mm512_shuffle_i32x4::<0x88>(high[0], high[1]),
        _mm512_shuffle_i32x4::<0xdd>(high[0], high[1]),
    ]
}
