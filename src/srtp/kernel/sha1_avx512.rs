//! HMAC-SHA1 of sixteen messages, one in each 32-bit lane of the 512-bit registers (FIPS 180-4 §6.1.2).
//!
//! A row is the block of one number of all lanes: sixteen loads, transposed to sixteen registers of one
//! message word each. Rows that every lane has whole are loaded as they are. In the rows after these
//! the loads are masked to the octets that a lane has left. If all messages end alike, as the packets of
//! one sender do, the loads are filled up with suffix and padding; else these are put in after the
//! transposition, and a lane that has ended keeps its state. The outer block is one more row, whose words
//! are the states themselves.
//!
//! Constant time: no table, and branches and masks on lengths only.
//!
//! # Safety
//!
//! The functions run only on a processor that has the features named on them. A full load is of a block
//! that the message has whole; a masked load touches the octets of its mask only, all within the
//! message; a key is one row by its layout.

use std::{
    arch::{
        asm,
        x86_64::{
            __m512i, __mmask16, _bzhi_u64, _mm512_add_epi32, _mm512_load_si512, _mm512_loadu_si512,
            _mm512_mask_add_epi32, _mm512_mask_loadu_epi8, _mm512_maskz_loadu_epi8,
            _mm512_rol_epi32, _mm512_set1_epi32, _mm512_set4_epi32, _mm512_setzero_si512,
            _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_store_si512,
            _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
            _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
        },
    },
    ops::Range,
    ptr,
};

use super::{
    hmac::{BLOCK, HmacJob, HmacKey, OUTER_BITS, TAG},
    hmac_order::Order,
    sha1_ends::{End, Ends, behind},
};

/// Messages in a pass.
pub(super) const LANES: usize = 16;

/// Computes the MACs of the jobs at `group`, at most [`LANES`].
///
/// Jobs that have more than `rows` blocks get no tag; theirs are the first of `left`, and each of these
/// is set to the state before the block of that number.
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
pub(super) fn hmac(
    order: &Order<'_>,
    group: Range<usize>,
    rows: usize,
    left: &mut [[u32; 5]],
    tags: &mut [[u8; TAG]],
) {
    let lanes = Lanes::of(order, group.start);
    let (mut state, outer) = lanes.states();
    let whole = lanes.whole();
    for row in 0..rows {
        let (mut w, mut live) = ([_mm512_setzero_si512(); LANES], !0);
        if row < whole {
            // SAFETY: each message has this block whole.
            w = transposed(unsafe { lanes.load_whole(row) });
        } else if lanes.alike {
            w = transposed(lanes.load_alike(row));
        } else {
            live = lanes.load_rest(row, &mut w);
        }
        compress::<false>(&mut state, &mut w, live);
    }
    if !left.is_empty() {
        let words = columns(state);
        left.iter_mut().enumerate().for_each(|(lane, left)| *left = words.lane(lane));
    }
    let mut w = [_mm512_setzero_si512(); LANES];
    w[..5].copy_from_slice(&state);
    w[5] = _mm512_set1_epi32(MARK.cast_signed());
    w[15] = _mm512_set1_epi32(OUTER_BITS);
    state = outer;
    compress::<true>(&mut state, &mut w, !0);
    let [a, b, c, d, e] = state;
    let digests = columns([swapped(a), swapped(b), swapped(c), swapped(d), swapped(e)]);
    for (lane, &place) in order.places()[group].iter().enumerate().skip(left.len()) {
        digests.copy_lane(lane, &mut tags[usize::from(place)]);
    }
}

/// The jobs of a pass, lane by lane. Lanes beyond the last job repeat it.
struct Lanes<'a> {
    jobs: [&'a HmacJob<'a>; LANES],
    ends: [End; LANES],
    /// Whether all have one key.
    one_key: bool,
    /// Whether all ends are the same.
    alike: bool,
}

impl<'a> Lanes<'a> {
    /// Not inlined: among wider registers it would become gathers, which take longer.
    #[inline(never)]
    fn of(order: &Order<'a>, turn: usize) -> Self {
        let jobs: [&HmacJob<'_>; LANES] = order.window(turn);
        if order.alike() {
            return Self { jobs, ends: [End::of(jobs[0]); LANES], one_key: true, alike: true };
        }
        let ends = jobs.map(End::of);
        let (mut one_key, mut alike) = (true, true);
        for (job, end) in jobs.iter().zip(&ends) {
            one_key &= ptr::eq(job.key, jobs[0].key);
            alike &= *end == ends[0];
        }
        Self { jobs, ends, one_key, alike }
    }

    /// Blocks that every message has whole.
    fn whole(&self) -> usize {
        let shortest = match self.alike {
            true => self.ends[0].length(),
            false => self.ends.iter().map(End::length).min().unwrap_or_default(),
        };
        shortest / BLOCK
    }

    /// Inner and outer states of the keys.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn states(&self) -> ([__m512i; 5], [__m512i; 5]) {
        if self.one_key {
            let HmacKey { inner, outer, .. } = self.jobs[0].key;
            return (everywhere(inner), everywhere(outer));
        }
        let mut rows = [_mm512_setzero_si512(); LANES];
        for (row, job) in rows.iter_mut().zip(&self.jobs) {
            // SAFETY: a key is 64 octets, aligned to them.
            *row = unsafe { _mm512_load_si512(ptr::from_ref(job.key).cast()) };
        }
        let [a, b, c, d, e, f, g, h, i, j, ..] = transposed(rows);
        ([a, b, c, d, e], [f, g, h, i, j])
    }

    /// The block of number `row` of each message, in message words.
    ///
    /// # Safety
    ///
    /// Each message has the block whole.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load_whole(&self, row: usize) -> [__m512i; LANES] {
        let mut rows = [_mm512_setzero_si512(); LANES];
        for (lane, words) in rows.iter_mut().enumerate() {
            let message = self.jobs[lane].message.as_ptr();
            // SAFETY: the caller vouches for the block.
            *words = swapped(unsafe { _mm512_loadu_si512(message.add(BLOCK * row).cast()) });
        }
        rows
    }

    /// The block of number `row` of each message, of which none has it whole, all end alike, and so
    /// what is behind them is the same: it fills what the loads leave out.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,bmi2")]
    fn load_alike(&self, row: usize) -> [__m512i; LANES] {
        let length = self.ends[0].length();
        let behind = behind(self.ends[0], row);
        let octets = _bzhi_u64(u64::MAX, length.saturating_sub(BLOCK * row).min(BLOCK) as u32);
        let mut rows = [_mm512_setzero_si512(); LANES];
        for (words, job) in rows.iter_mut().zip(&self.jobs) {
            let from = job.message.as_ptr().wrapping_add(BLOCK * row).cast();
            // SAFETY: only as many octets are read as each message has left.
            *words = swapped(unsafe { _mm512_mask_loadu_epi8(behind, octets, from) });
        }
        rows
    }

    /// The block of number `row` of each message, wherever each ends, in columns; returns the lanes
    /// that have that block.
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,bmi2")]
    fn load_rest(&self, row: usize, w: &mut [__m512i; LANES]) -> __mmask16 {
        let mut rows = [_mm512_setzero_si512(); LANES];
        for (words, job) in rows.iter_mut().zip(&self.jobs) {
            let left = job.message.len().saturating_sub(BLOCK * row).min(BLOCK);
            let octets = _bzhi_u64(u64::MAX, left as u32);
            let from = job.message.as_ptr().wrapping_add(BLOCK * row).cast();
            // SAFETY: only as many octets are read as the message has left.
            *words = swapped(unsafe { _mm512_maskz_loadu_epi8(octets, from) });
        }
        *w = transposed(rows);
        Ends::of(&self.ends).pad(w, row as i32)
    }
}

/// One state in all lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn everywhere(state: &[u32; 5]) -> [__m512i; 5] {
    let mut lanes = [_mm512_setzero_si512(); 5];
    for (lanes, word) in lanes.iter_mut().zip(state) {
        *lanes = _mm512_set1_epi32(word.cast_signed());
    }
    lanes
}

/// One block of each lane; lanes that are not `live` keep their state. The `OUTER` block has code of its
/// own, in which most message words are constants.
#[inline]
#[target_feature(enable = "avx512f")]
fn compress<const OUTER: bool>(
    state: &mut [__m512i; 5],
    w: &mut [__m512i; LANES],
    live: __mmask16,
) {
    let mut s = *state;
    macro_rules! rounds {
        ($function:ident, $constant:literal: $($t:literal)*) => { $(
            let [a, b, c, d, e] = s;
            let constant = _mm512_set1_epi32($constant as i32);
            let sum = pinned(_mm512_add_epi32(e, _mm512_add_epi32(w[$t % 16], constant)));
            let turned = _mm512_rol_epi32::<5>(a);
            let mixed = _mm512_ternarylogic_epi32::<$function>(b, c, d);
            let sum = pinned(_mm512_add_epi32(sum, mixed));
            s = [_mm512_add_epi32(sum, turned), a, _mm512_rol_epi32::<30>(b), c, d];
            if $t + AHEAD >= 16 && $t + AHEAD < 80 {
                let [w0, w2] = [w[($t + AHEAD) % 16], w[($t + AHEAD + 2) % 16]];
                let [w8, w13] = [w[($t + AHEAD + 8) % 16], w[($t + AHEAD + 13) % 16]];
                let mixed = _mm512_ternarylogic_epi32::<PARITY>(w0, w2, w8);
                w[($t + AHEAD) % 16] = _mm512_rol_epi32::<1>(_mm512_xor_si512(mixed, w13));
            }
        )* };
    }
    rounds!(CH, 0x5a82_7999_u32: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
    rounds!(PARITY, 0x6ed9_eba1_u32: 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
    rounds!(MAJ, 0x8f1b_bcdc_u32: 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
    rounds!(PARITY, 0xca62_c1d6_u32: 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
    for (state, s) in state.iter_mut().zip(s) {
        *state = _mm512_mask_add_epi32(*state, live, *state, s);
    }
}

/// The same words, as a value that the compiler knows nothing of.
///
/// It would regroup the additions of a round otherwise, and put the one that waits longest first.
#[inline]
#[target_feature(enable = "avx512f")]
fn pinned(mut words: __m512i) -> __m512i {
    // SAFETY: no instruction at all.
    unsafe {
        asm!("/* {} */", inout(zmm_reg) words, options(pure, nomem, nostack, preserves_flags));
    }
    words
}

/// Rows to columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(rows: [__m512i; LANES]) -> [__m512i; LANES] {
    let zero = _mm512_setzero_si512();
    let mut quads = [[zero; 4]; 4];
    for (quads, rows) in quads.iter_mut().zip(rows.as_chunks().0) {
        *quads = interleaved(*rows);
    }
    let mut columns = [zero; LANES];
    for i in 0..4 {
        let [a, b, c, d] = [quads[0][i], quads[1][i], quads[2][i], quads[3][i]];
        let low = [_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0x44>(c, d)];
        let high = [_mm512_shuffle_i32x4::<0xee>(a, b), _mm512_shuffle_i32x4::<0xee>(c, d)];
        columns[i] = _mm512_shuffle_i32x4::<0x88>(low[0], low[1]);
        columns[4 + i] = _mm512_shuffle_i32x4::<0xdd>(low[0], low[1]);
        columns[8 + i] = _mm512_shuffle_i32x4::<0x88>(high[0], high[1]);
        columns[12 + i] = _mm512_shuffle_i32x4::<0xdd>(high[0], high[1]);
    }
    columns
}

/// Transposes the four by four words in each 128-bit part of the four.
#[inline]
#[target_feature(enable = "avx512f")]
fn interleaved([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
    let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
    [
        _mm512_unpacklo_epi64(ab, cd),
        _mm512_unpackhi_epi64(ab, cd),
        _mm512_unpacklo_epi64(ab_high, cd_high),
        _mm512_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// Reverses the octets of each word.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn swapped(words: __m512i) -> __m512i {
    let reverse = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    _mm512_shuffle_epi8(words, reverse)
}

/// One word of each lane, in memory.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Words([u32; LANES]);

impl Words {
    const ZERO: Self = Self([0; LANES]);

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(&mut self, words: __m512i) {
        // SAFETY: 64 octets, aligned to them.
        unsafe { _mm512_store_si512(self.0.as_mut_ptr().cast(), words) };
    }
}

/// States in memory: words a to d of each lane side by side, then the words e.
struct Columns([Words; 5]);

impl Columns {
    fn lane(&self, lane: usize) -> [u32; 5] {
        let quad = &self.0[lane % 4].0[lane / 4 * 4..][..4];
        [quad[0], quad[1], quad[2], quad[3], self.0[4].0[lane]]
    }

    /// The same into `octets`, as it lies in memory.
    #[inline(always)]
    fn copy_lane(&self, lane: usize, octets: &mut [u8; TAG]) {
        let (words, last) = octets.as_chunks_mut().0.split_at_mut(4);
        let quad = &self.0[lane % 4].0[lane / 4 * 4..][..4];
        words.iter_mut().zip(quad).for_each(|(octets, word)| *octets = word.to_ne_bytes());
        last[0] = self.0[4].0[lane].to_ne_bytes();
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn columns([a, b, c, d, e]: [__m512i; 5]) -> Columns {
    let mut columns = Columns([Words::ZERO; 5]);
    let [a, b, c, d] = interleaved([a, b, c, d]);
    for (words, register) in columns.0.iter_mut().zip([a, b, c, d, e]) {
        words.store(register);
    }
    columns
}

/// The first octet behind what is hashed, in the top of its word.
pub(super) const MARK: u32 = 0x8000_0000;

/// Rounds that the message schedule is ahead of the working variables, so that it fills their waits.
const AHEAD: usize = 8;

/// Truth tables of the functions of FIPS 180-4 §4.1.1.
const CH: i32 = 0xca;
const PARITY: i32 = 0x96;
const MAJ: i32 = 0xe8;
