//! HMAC-SHA1 with the SHA extensions, one to four messages side by side (FIPS 180-4 §6.1.2).
//!
//! One message is a chain of dependent instructions that leaves most of the unit idle, so up to four
//! chains are interleaved. Chains of unequal length run together for as long as the shortest of them
//! lasts, then without it; the outer block is compressed for all of them together.
//!
//! Constant time: no table, and branches on lengths only.
//!
//! # Safety
//!
//! The functions run only on a processor that has the features named on them. A block is loaded from a
//! message that has it whole, from a [`Tail`], or from an array of a block's size.

use std::{
    arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_extract_epi32, _mm_loadu_si128, _mm_or_si128, _mm_set_epi8,
        _mm_set_epi32, _mm_setzero_si128, _mm_sha1msg1_epu32, _mm_sha1msg2_epu32,
        _mm_sha1nexte_epu32, _mm_sha1rnds4_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
        _mm_storeu_si128, _mm_xor_si128,
    },
    ops::Range,
};

use super::{
    hmac::{HmacJob, OUTER_BITS, TAG},
    hmac_order::Order,
    sha1_tail::{Blocks, Tail},
};

/// Chains that run side by side.
pub(super) const CHAINS: usize = 4;

/// Computes the MACs of the jobs at `group`, at most [`CHAINS`].
///
/// Each chain begins with the state of its key, or with that in `resumed`, which stands before the
/// block of that number.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) fn hmac(
    order: &Order<'_>,
    group: Range<usize>,
    resumed: Option<(&[[u32; 5]], usize)>,
    tags: &mut [[u8; TAG]],
) {
    match group.len() {
        1 => group_of::<1>(order, group, resumed, tags),
        2 => group_of::<2>(order, group, resumed, tags),
        3 => group_of::<3>(order, group, resumed, tags),
        4 => group_of::<4>(order, group, resumed, tags),
        other => debug_assert_eq!(other, 0, "too many chains"),
    }
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
fn group_of<const N: usize>(
    order: &Order<'_>,
    group: Range<usize>,
    resumed: Option<(&[[u32; 5]], usize)>,
    tags: &mut [[u8; TAG]],
) {
    let jobs: [&HmacJob<'_>; N] = order.window(group.start);
    let mut states = jobs.map(|job| &job.key.inner);
    let mut first = 0;
    if let Some((resumed, row)) = resumed {
        states.iter_mut().zip(resumed).for_each(|(state, resumed)| *state = resumed);
        first = row;
    }
    let macs = chains(jobs, states, first);
    for (mac, &place) in macs.iter().zip(&order.places()[group]) {
        tags[usize::from(place)] = *mac;
    }
}

/// The MAC of one job.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) fn alone(job: &HmacJob<'_>) -> [u8; TAG] {
    let [mac] = chains([job], [&job.key.inner], 0);
    mac
}

/// The MACs of jobs by falling number of blocks, from their states before the block `first` on.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn chains<const N: usize>(
    jobs: [&HmacJob<'_>; N],
    states: [&[u32; 5]; N],
    first: usize,
) -> [[u8; TAG]; N] {
    let mut tails = [Tail::empty(); N];
    let mut blocks = [Blocks::NONE; N];
    let mut state = [State::empty(); N];
    for c in 0..N {
        tails[c].write(jobs[c]);
        blocks[c] = Blocks::of(jobs[c], &tails[c]);
        state[c] = State::load(states[c]);
    }

    let mut row = first;
    for live in (1..=N).rev() {
        let rows = row..jobs[live - 1].blocks();
        row = row.max(rows.end);
        // SAFETY: the first `live` messages with their tails have `rows.end` blocks at least.
        unsafe {
            match live {
                1 => run::<1>(&mut state, &blocks, rows),
                2 => run::<2>(&mut state, &blocks, rows),
                3 => run::<3>(&mut state, &blocks, rows),
                _ => run::<4>(&mut state, &blocks, rows),
            }
        }
    }

    for c in 0..N {
        tails[c].set(state[c].outer_block());
        blocks[c] = Blocks::in_tail(&tails[c]);
        state[c] = State::load(&jobs[c].key.outer);
    }
    // SAFETY: each tail has a block.
    unsafe { run::<N>(&mut state, &blocks, 0..1) };
    let mut macs = [[0; TAG]; N];
    for c in 0..N {
        macs[c] = state[c].octets();
    }
    macs
}

/// Compresses the blocks of number `rows` of each of the first `N` chains.
///
/// # Safety
///
/// Each chain has these blocks.
#[target_feature(enable = "sha,sse4.1,ssse3")]
unsafe fn run<const N: usize>(states: &mut [State], blocks: &[Blocks], rows: Range<usize>) {
    let (Some(states), Some(blocks)) = (states.first_chunk_mut::<N>(), blocks.first_chunk::<N>())
    else {
        return;
    };
    let mut state = *states;
    for row in rows {
        let mut w = [[_mm_setzero_si128(); 4]; N];
        for c in 0..N {
            // SAFETY: the caller vouches for the block.
            w[c] = unsafe { load(blocks[c].at(row)) };
        }
        compress(&mut state, w);
    }
    *states = state;
}

/// One block of each chain.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn compress<const N: usize>(state: &mut [State; N], mut w: [[__m128i; 4]; N]) {
    let before = *state;
    macro_rules! rounds {
        ($function:literal: $($group:literal)*) => { $(
            for c in 0..N {
                if $group >= 4 {
                    w[c][$group % 4] = schedule(
                        w[c][$group % 4],
                        w[c][($group + 1) % 4],
                        w[c][($group + 2) % 4],
                        w[c][($group + 3) % 4],
                    );
                }
                let State { abcd, e } = state[c];
                let added = if $group == 0 {
                    _mm_add_epi32(e, w[c][0])
                } else {
                    _mm_sha1nexte_epu32(e, w[c][$group % 4])
                };
                state[c] = State { abcd: _mm_sha1rnds4_epu32::<$function>(abcd, added), e: abcd };
            }
        )* };
    }
    rounds!(0: 0 1 2 3 4);
    rounds!(1: 5 6 7 8 9);
    rounds!(2: 10 11 12 13 14);
    rounds!(3: 15 16 17 18 19);
    for c in 0..N {
        state[c] = State {
            abcd: _mm_add_epi32(state[c].abcd, before[c].abcd),
            e: _mm_sha1nexte_epu32(state[c].e, before[c].e),
        };
    }
}

/// The four message words after these sixteen.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn schedule(w0: __m128i, w1: __m128i, w2: __m128i, w3: __m128i) -> __m128i {
    _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(w0, w1), w2), w3)
}

/// Sixteen octets from last to first: message words with the first in the top, or back.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn reversed(octets: __m128i) -> __m128i {
    let last_to_first = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm_shuffle_epi8(octets, last_to_first)
}

/// The sixteen message words of a block, the first in the top word of the first register.
///
/// # Safety
///
/// There are 64 octets.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
unsafe fn load(block: *const u8) -> [__m128i; 4] {
    let mut words = [_mm_setzero_si128(); 4];
    for (i, words) in words.iter_mut().enumerate() {
        // SAFETY: within the block.
        *words = reversed(unsafe { _mm_loadu_si128(block.add(16 * i).cast()) });
    }
    words
}

/// The five state words as the instructions want them: a in the top word, e in the top
/// word above zeros.
#[derive(Clone, Copy)]
struct State {
    abcd: __m128i,
    e: __m128i,
}

impl State {
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn empty() -> Self {
        Self { abcd: _mm_setzero_si128(), e: _mm_setzero_si128() }
    }

    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn load(words: &[u32; 5]) -> Self {
        // SAFETY: four words of five.
        let abcd = unsafe { _mm_loadu_si128(words.as_ptr().cast()) };
        Self {
            abcd: _mm_shuffle_epi32::<0b00_01_10_11>(abcd),
            e: _mm_set_epi32(words[4].cast_signed(), 0, 0, 0),
        }
    }

    /// The digest of the inner chain as the only message block of the outer one.
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn outer_block(&self) -> [__m128i; 4] {
        let mark = _mm_set_epi32(0, 0x8000_0000_u32.cast_signed(), 0, 0);
        let bits = _mm_set_epi32(0, 0, 0, OUTER_BITS);
        [
            reversed(self.abcd),
            reversed(_mm_or_si128(self.e, mark)),
            _mm_setzero_si128(),
            reversed(bits),
        ]
    }

    /// The digest.
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn octets(&self) -> [u8; TAG] {
        let mut octets = [0; TAG];
        // SAFETY: 16 octets of 20.
        unsafe {
            _mm_storeu_si128(octets.as_mut_ptr().cast(), reversed(self.abcd));
        }
        let e = _mm_extract_epi32::<3>(self.e).cast_unsigned();
        octets[16..].copy_from_slice(&e.to_be_bytes());
        octets
    }
}
