//! HMAC-SHA1 of eight messages, one in each 32-bit lane of the 256-bit registers (FIPS 180-4 §6.1.2).
//!
//! A row is the block of one number of all lanes, loaded in pieces of 16 octets of which two lanes share
//! a register, so that the transposition to message words stays within 128-bit halves. The last blocks
//! come from a [`Tail`] each. A lane that has ended keeps its state, and its last block is read again.
//! The outer block is one more row, whose words are the states themselves. The rounds are those of
//! [`super::sha1_avx2`] or [`super::sha1_avx512vl`].
//!
//! Constant time: no table, and branches and masks on lengths only.
//!
//! # Safety
//!
//! The functions run only on a processor that has the features named on them. Each load is of a block
//! that the message has whole, of a block of a [`Tail`], or of a key, which is a row by its layout.

use std::{
    arch::x86_64::{
        __m128i, __m256i, _mm_loadu_si128, _mm256_broadcastsi128_si256, _mm256_castsi128_si256,
        _mm256_cmpgt_epi32, _mm256_inserti128_si256, _mm256_load_si256, _mm256_or_si256,
        _mm256_set_epi32, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8,
        _mm256_shuffle_epi32, _mm256_store_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
        _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
    },
    ops::Range,
    ptr,
};

use super::{
    hmac::{BLOCK, HmacJob, OUTER_BITS, TAG},
    hmac_order::Order,
    sha1_tail::{Blocks, PIECE, Tail, behind, control, shifted},
};

/// Messages in a pass.
pub(super) const LANES: usize = 8;

/// The rounds of one row: takes the message words, and keeps the state of lanes whose mask is zero.
pub(super) type Compress = unsafe fn(&mut [__m256i; 5], &mut [__m256i; 16], __m256i);

/// Computes the MACs of the jobs at `group`, at most [`LANES`].
///
/// Each lane begins with the state of its key, or with that in `resumed`, which stands before the block
/// of that number.
///
/// # Safety
///
/// The processor has what `compress` needs.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn hmac(
    compress: Compress,
    order: &Order<'_>,
    group: Range<usize>,
    resumed: Option<(&[[u32; 5]], usize)>,
    tags: &mut [[u8; TAG]],
) {
    let jobs: [&HmacJob<'_>; LANES] = order.window(group.start);
    let places = &order.places()[group];
    if order.alike() && resumed.is_none() && jobs[0].message.len() >= PIECE {
        // SAFETY: as the caller says; all jobs have the key and the end of the first.
        unsafe { hmac_alike(compress, jobs, places, tags) }
        return;
    }
    let mut tails = [Tail::empty(); LANES];
    let mut blocks = [Blocks::NONE; LANES];
    let mut count = Words([0; LANES]);
    for lane in 0..LANES {
        tails[lane].write(jobs[lane]);
        blocks[lane] = Blocks::of(jobs[lane], &tails[lane]);
        count.0[lane] = jobs[lane].blocks() as u32;
    }
    // SAFETY: a key is a row of 16 words.
    let keys = unsafe { columns(jobs.map(|job| ptr::from_ref(job.key).cast())) };
    let [a, b, c, d, e, f, g, h, i, j, ..] = keys;
    let (mut state, outer) = ([a, b, c, d, e], [f, g, h, i, j]);
    if let Some((states, _)) = resumed {
        for (i, words) in state.iter_mut().enumerate() {
            let mut lanes = Words([0; LANES]);
            lanes.0.iter_mut().zip(states).for_each(|(lane, state)| *lane = state[i]);
            *words = lanes.load();
        }
    }

    for row in resumed.map_or(0, |(_, row)| row)..count.0[0] as usize {
        let mut from = [ptr::null(); LANES];
        for lane in 0..LANES {
            from[lane] = blocks[lane].at(row.min(count.0[lane] as usize - 1));
        }
        // SAFETY: the message or its tail has a block there.
        let mut w = unsafe { columns(from) };
        w.iter_mut().for_each(|words| *words = swapped(*words));
        let live = _mm256_cmpgt_epi32(count.load(), _mm256_set1_epi32(row as i32));
        // SAFETY: as the caller says.
        unsafe { compress(&mut state, &mut w, live) };
    }

    // SAFETY: as the caller says.
    unsafe { finish(compress, state, outer, places, tags) }
}

/// The same for jobs under one key whose messages have one length, of a [`PIECE`] at least, and one
/// suffix: what follows the messages is the same in all lanes, and needs no [`Tail`].
///
/// # Safety
///
/// The processor has what `compress` needs, and the jobs are so.
#[target_feature(enable = "avx2")]
unsafe fn hmac_alike(
    compress: Compress,
    jobs: [&HmacJob<'_>; LANES],
    places: &[u8],
    tags: &mut [[u8; TAG]],
) {
    let mut state = [_mm256_setzero_si256(); 5];
    let mut outer = state;
    for i in 0..5 {
        state[i] = _mm256_set1_epi32(jobs[0].key.inner[i].cast_signed());
        outer[i] = _mm256_set1_epi32(jobs[0].key.outer[i].cast_signed());
    }
    let (behind, hashed) = behind(jobs[0]);
    let blocks = jobs[0].blocks();
    for row in 0..blocks {
        let mut w = [_mm256_setzero_si256(); 16];
        for (i, words) in w.as_chunks_mut().0.iter_mut().enumerate() {
            // SAFETY: as the caller says.
            *words = unsafe { words_alike(&jobs, behind, BLOCK * row + PIECE * i) };
        }
        if row + 1 == blocks {
            w[15] = _mm256_set1_epi32(8 * (BLOCK + hashed) as i32);
        }
        // SAFETY: as the caller says.
        unsafe { compress(&mut state, &mut w, _mm256_set1_epi32(-1)) };
    }
    // SAFETY: as the caller says.
    unsafe { finish(compress, state, outer, places, tags) }
}

/// Four message words of each lane, of the piece at `offset`.
///
/// # Safety
///
/// The messages have one length, of a [`PIECE`] at least.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn words_alike(
    jobs: &[&HmacJob<'_>; LANES],
    behind: __m128i,
    offset: usize,
) -> [__m256i; 4] {
    let length = jobs[0].message.len();
    let left = length.saturating_sub(offset);
    let behind = shifted(behind, (offset + PIECE).saturating_sub(length).min(2 * PIECE));
    let behind = swapped(_mm256_broadcastsi128_si256(behind));
    if left == 0 {
        return [
            _mm256_shuffle_epi32::<0x00>(behind),
            _mm256_shuffle_epi32::<0x55>(behind),
            _mm256_shuffle_epi32::<0xaa>(behind),
            _mm256_shuffle_epi32::<0xff>(behind),
        ];
    }
    let from = jobs.map(|job| job.message.as_ptr().wrapping_add(offset.min(length - PIECE)));
    let mut pairs = [_mm256_setzero_si256(); 4];
    for lane in 0..4 {
        // SAFETY: 16 octets of each message.
        pairs[lane] = swapped(unsafe { pair(from[lane], from[lane + 4]) });
    }
    if left < PIECE {
        // The octets of the piece before go, and what is behind the message comes.
        let control = _mm256_broadcastsi128_si256(control(2 * PIECE - left));
        for pair in &mut pairs {
            let octets = _mm256_shuffle_epi8(swapped(*pair), control);
            *pair = _mm256_or_si256(swapped(octets), behind);
        }
    }
    interleaved(pairs)
}

/// Hashes the digests of the inner hash, and writes the MACs.
///
/// # Safety
///
/// The processor has what `compress` needs.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn finish(
    compress: Compress,
    inner: [__m256i; 5],
    mut outer: [__m256i; 5],
    places: &[u8],
    tags: &mut [[u8; TAG]],
) {
    let mut w = [_mm256_setzero_si256(); 16];
    w[..5].copy_from_slice(&inner);
    w[5] = _mm256_set1_epi32(0x8000_0000_u32.cast_signed());
    w[15] = _mm256_set1_epi32(OUTER_BITS);
    // SAFETY: as the caller says.
    unsafe { compress(&mut outer, &mut w, _mm256_set1_epi32(-1)) };
    store(outer, places, tags);
}

/// Sixteen words from each of `from`, word by word.
///
/// # Safety
///
/// Each has 64 octets.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn columns(from: [*const u8; LANES]) -> [__m256i; 16] {
    let zero = _mm256_setzero_si256();
    let mut columns = [zero; 16];
    for (i, columns) in columns.as_chunks_mut().0.iter_mut().enumerate() {
        let mut pairs = [zero; 4];
        for lane in 0..4 {
            // SAFETY: 16 octets of the 64.
            pairs[lane] = unsafe { pair(from[lane].add(16 * i), from[lane + 4].add(16 * i)) };
        }
        *columns = interleaved(pairs);
    }
    columns
}

/// A piece from each of two places.
///
/// # Safety
///
/// There are 16 octets at each.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pair(low: *const u8, high: *const u8) -> __m256i {
    // SAFETY: as the caller says.
    let [low, high] = unsafe { [_mm_loadu_si128(low.cast()), _mm_loadu_si128(high.cast())] };
    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
}

/// Transposes the four by four words in each 128-bit half of the four.
#[inline]
#[target_feature(enable = "avx2")]
fn interleaved([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
    let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab, cd),
        _mm256_unpackhi_epi64(ab, cd),
        _mm256_unpacklo_epi64(ab_high, cd_high),
        _mm256_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// Reverses the octets of each word.
#[inline]
#[target_feature(enable = "avx2")]
fn swapped(words: __m256i) -> __m256i {
    let [a, b, c, d] = [0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203];
    _mm256_shuffle_epi8(words, _mm256_set_epi32(a, b, c, d, a, b, c, d))
}

/// Writes the digests.
#[inline]
#[target_feature(enable = "avx2")]
fn store(state: [__m256i; 5], places: &[u8], tags: &mut [[u8; TAG]]) {
    let mut digests = [Words([0; LANES]); 5];
    for (words, register) in digests.iter_mut().zip(state) {
        // SAFETY: 32 octets, aligned to them.
        unsafe { _mm256_store_si256(words.0.as_mut_ptr().cast(), swapped(register)) };
    }
    for (lane, &place) in places.iter().enumerate() {
        let octets = tags[usize::from(place)].as_chunks_mut().0;
        octets.iter_mut().zip(&digests).for_each(|(o, words)| *o = words.0[lane].to_ne_bytes());
    }
}

/// One word of each lane, in memory.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Words([u32; LANES]);

impl Words {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(&self) -> __m256i {
        // SAFETY: 32 octets, aligned to them.
        unsafe { _mm256_load_si256(self.0.as_ptr().cast()) }
    }
}
