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
    aes_vaes::{broadcast_keys, encrypt_beside, first_octets, pin},
    cipher::{GcmJob, Iv},
    gcm_avx512::put_back,
    gcm_hash512::{Sum, in_lanes, reversed, short},
    gcm_powers::HashPowers,
    memory::align_frame,
};

/// Whether four packets can go abreast: one key, 1 to 16 blocks of text each, and as many; at most one
/// block of associated data, in one piece, and as long.
#[inline]
pub(super) fn fit(jobs: &[GcmJob<'_>; 4]) -> bool {
    let [first, ..] = jobs;
    let key = |job: &GcmJob<'_>| std::ptr::from_ref(job.key).addr();
    // Octets 16 b + 1 to 16 b + 16 are as many blocks; no octets are none.
    let before_last = |job: &GcmJob<'_>| job.data.len().wrapping_sub(1);
    let differ = jobs.iter().fold(0, |differ, job| {
        let blocks = (before_last(job) ^ before_last(first)) / 16;
        let aad = (job.aad[0].len() ^ first.aad[0].len()) | job.aad[1].len();
        differ | (key(job) ^ key(first)) | blocks | aad
    });
    differ == 0 && before_last(first) < 256 && first.aad[0].len() <= 16
}

/// Opens or seals packets from the first on, as long as four under one key go abreast; `ok` tells which
/// tags are right. Returns how many packets.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
pub(super) fn abreast<const KEYS: usize, const SEAL: bool>(
    schedule: &Schedule,
    powers: &HashPowers,
    jobs: &mut [GcmJob<'_>],
    ok: &mut [bool],
) -> usize {
    align_frame();
    let key = jobs.first().map(|job| std::ptr::from_ref(job.key));
    let keys = &broadcast_keys::<KEYS>(schedule);
    let mut done = 0;
    for (four, ok) in jobs.as_chunks_mut().0.iter_mut().zip(ok.as_chunks_mut().0) {
        if key != Some(std::ptr::from_ref(four[0].key)) || !fit(four) {
            break;
        }
        // SAFETY: they fit.
        unsafe { packets::<KEYS, SEAL>(keys, powers, four, ok) };
        done += 4;
    }
    done
}

/// Opens or seals four packets.
///
/// # Safety
/// They fit.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
unsafe fn packets<const KEYS: usize, const SEAL: bool>(
    keys: &[__m512i; KEYS],
    powers: &HashPowers,
    jobs: &mut [GcmJob<'_>; 4],
    ok: &mut [bool; 4],
) {
    let blocks = jobs[0].data.len().div_ceil(16);
    let mut four = Four {
        ivs: jobs.each_ref().map(|job| job.iv),
        numbers: &NUMBERS.0,
        powers: powers.down_from(blocks + 1),
        sum: Sum::zero(),
        at: jobs.each_mut().map(|job| job.data.as_mut_ptr()),
        last: jobs.each_ref().map(|job| first_octets(job.data.len() - 16 * (blocks - 1)) as u16),
    };
    let aad = in_lanes(jobs.each_ref().map(|job| short(job.aad[0])));
    four.sum.add(reversed(aad), one(powers.down_from(blocks + 2)));
    //= NIST SP 800-38D §7.1 step 5: the lengths in bits are the last block
    let mut lengths = _mm512_set1_epi64(jobs[0].aad[0].len() as i64);
    for (job, lane) in jobs.iter().zip([0b1, 0b100, 0b1_0000, 0b100_0000]) {
        lengths = _mm512_mask_set1_epi64(lengths, lane, job.data.len() as i64);
        // Left alone, the compiler loads the length with what was stored behind it, and waits.
        pin(&mut lengths);
    }
    four.sum.add(_mm512_slli_epi64::<3>(lengths), one(powers.down_from(1)));
    let mut left = blocks;
    while left > 4 {
        // SAFETY: there are four more blocks of each text, and another behind them.
        unsafe { four.transform_row::<KEYS, SEAL>(keys) };
        left -= 4;
    }
    // SAFETY: so many blocks are left of each text, and the masks select what there is of the last.
    let mut tags = unsafe {
        match left {
            1 => four.transform_last::<KEYS, 1, 2, SEAL>(keys),
            2 => four.transform_last::<KEYS, 2, 3, SEAL>(keys),
            3 => four.transform_last::<KEYS, 3, 4, SEAL>(keys),
            _ => four.transform_last::<KEYS, 4, 5, SEAL>(keys),
        }
    };
    if SEAL {
        for job in jobs {
            // SAFETY: a tag is 16 octets.
            unsafe { _mm_storeu_si128(job.tag.as_mut_ptr().cast(), _mm512_castsi512_si128(tags)) }
            tags = _mm512_alignr_epi64::<2>(tags, tags);
        }
        return;
    }
    // SAFETY: a tag is 16 octets.
    let expected = jobs.each_ref().map(|job| unsafe { _mm_loadu_si128(job.tag.as_ptr().cast()) });
    let differ = _mm512_cmpneq_epi64_mask(tags, in_lanes(expected));
    *ok = [true; 4];
    if differ != 0 {
        *ok = [0, 2, 4, 6].map(|lane| differ >> lane & 3 == 0);
        put_back(jobs, ok);
    }
}

/// Four packets on their way.
struct Four<'a> {
    /// Counter block 1 of each.
    ivs: [Iv; 4],
    /// What makes of it the counter blocks of the text to come.
    numbers: &'a [u128],
    /// What the blocks of text to come meet.
    powers: &'a [u128],
    sum: Sum,
    /// The next block of each text.
    at: [*mut u8; 4],
    /// Which octets of the last block there are.
    last: [u16; 4],
}

impl<'a> Four<'a> {
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
        let (powers, numbers) = (self.take_powers::<4>(), self.take_numbers::<4>());
        // SAFETY: four numbers are 64 octets.
        let numbers = unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) };
        let (mut stream, mut text) = ([numbers; 4], [numbers; 4]);
        for i in 0..4 {
            // SAFETY: a counter block is 16 octets; the text as required of the caller.
            let first = unsafe { _mm_loadu_si128(self.ivs[i].first_block().as_ptr().cast()) };
            stream[i] = _mm512_xor_si512(_mm512_broadcast_i32x4(first), numbers);
            // SAFETY: as required of the caller.
            text[i] = unsafe { _mm512_loadu_si512(self.at[i].cast()) };
        }
        let sealed = across(text);
        encrypt_beside(keys, &mut stream, |round| {
            if !SEAL && round % 2 == 0 && round <= 8 {
                let i = round / 2 - 1;
                self.sum.add(reversed(sealed[i]), one(&powers[i..]));
                self.sum.pin();
            }
        });
        for i in 0..4 {
            text[i] = _mm512_xor_si512(text[i], stream[i]);
            // SAFETY: as required of the caller.
            unsafe { _mm512_storeu_si512(self.at[i].cast(), text[i]) }
        }
        if SEAL {
            let products = across(text).into_iter().zip(powers);
            products.for_each(|(block, power)| self.sum.add(reversed(block), one(&[*power])));
        }
        self.at = self.at.map(|at| at.wrapping_add(64));
    }

    /// Transforms and hashes the last N blocks of each text. Returns the tags; M is N + 1.
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
    ) -> __m512i {
        let (powers, numbers) = (self.take_powers::<N>(), self.take_numbers::<N>());
        // SAFETY: a counter block is 16 octets.
        let first = in_lanes(
            self.ivs
                .each_ref()
                .map(|iv| unsafe { _mm_loadu_si128(iv.first_block().as_ptr().cast()) }),
        );
        //= NIST SP 800-38D §7.1 step 6: the first counter block masks the tag
        let mut stream = [first; M];
        let mut text = [first; N];
        for i in 0..N {
            stream[i] = _mm512_xor_si512(first, one(&numbers[i..]));
            // SAFETY: as required of the caller.
            text[i] = unsafe { self.load(i, i == N - 1) };
        }
        let mut hash = first;
        encrypt_beside(keys, &mut stream, |round| {
            if SEAL {
                return;
            }
            if round % 2 == 0 && round / 2 <= N {
                let i = round / 2 - 1;
                self.sum.add(reversed(text[i]), one(&powers[i..]));
                self.sum.pin();
            }
            if round == usize::min(2 * N + 2, 9) {
                hash = self.sum.reduced();
                pin(&mut hash);
            }
        });
        for i in 0..N {
            let combined = _mm512_xor_si512(text[i], stream[i]);
            // SAFETY: as required of the caller.
            let stored = unsafe { self.store(i, combined, i == N - 1) };
            if SEAL {
                self.sum.add(reversed(stored), one(&powers[i..]));
            }
        }
        if SEAL {
            hash = self.sum.reduced();
        }
        _mm512_xor_si512(reversed(hash), stream[M - 1])
    }

    /// The powers that the next N blocks meet.
    #[inline]
    fn take_powers<const N: usize>(&mut self) -> &'a [u128; N] {
        let (now, behind) = self.powers.split_first_chunk().expect("a power for each block");
        self.powers = behind;
        now
    }

    /// The numbers of the next N blocks.
    #[inline]
    fn take_numbers<const N: usize>(&mut self) -> &'a [u128; N] {
        let (now, behind) = self.numbers.split_first_chunk().expect("a number for each block");
        self.numbers = behind;
        now
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

/// The first of some blocks, in all lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn one(blocks: &[u128]) -> __m512i {
    // SAFETY: a block is 16 octets.
    _mm512_broadcast_i32x4(unsafe { _mm_load_si128((&raw const blocks[0]).cast()) })
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

/// What counter block 1 differs by from counter blocks 2 to 17, whose number is their last octet.
static NUMBERS: Numbers = Numbers::new();

/// So aligned that four of them are a cache line.
#[repr(align(64))]
struct Numbers([u128; 16]);

impl Numbers {
    const fn new() -> Self {
        let mut numbers = [0; 16];
        let mut i = 0;
        while i < 16 {
            numbers[i] = ((i as u128 + 2) ^ 1) << 120;
            i += 1;
        }
        Self(numbers)
    }
}
