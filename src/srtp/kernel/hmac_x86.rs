//! Which kernel hashes which jobs of a batch, on x86-64.
//!
//! Decided by the number of jobs and their blocks alone. The constants are cycles on an AMD EPYC (Zen 4),
//! least of many repetitions: `cargo bench --features internals --bench hmac`.

use std::{iter, ops::Range};

#[cfg(any(test, feature = "internals"))]
use super::Backend;
use super::{
    hmac::{HmacJob, TAG},
    hmac_order::{BATCH, Order},
    hmac_portable, sha1_avx2, sha1_avx512, sha1_avx512vl, sha1_eight, sha1_ni,
};

/// The kernels that may run, besides eight lanes of AVX2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kernels {
    /// Lanes of AVX-512 F, BW and VL: sixteen, and eight in place of those of AVX2.
    pub wide: bool,
    /// Chains of SHA-NI.
    pub chains: bool,
}

/// Computes the MAC of each job into the tag of the same place.
///
/// # Safety
///
/// The processor has AVX2, and what `kernels` says.
pub(super) unsafe fn hmac(kernels: Kernels, jobs: &[HmacJob<'_>], tags: &mut [[u8; TAG]]) {
    if let ([job], [tag, ..], true) = (jobs, &mut *tags, kernels.chains) {
        // SAFETY: as the caller says.
        *tag = unsafe { sha1_ni::alone(job) };
        return;
    }
    let count = jobs.len().min(tags.len());
    let (jobs, tags) = (&jobs[..count], &mut tags[..count]);
    for (jobs, tags) in jobs.chunks(BATCH).zip(tags.chunks_mut(BATCH)) {
        match Order::of(jobs) {
            // SAFETY: as the caller says.
            Some(order) => unsafe { kernels.run(&order, tags) },
            None => hmac_portable::hmac(jobs, tags),
        }
    }
}

/// Like [`super::hmac::hmac_batch`], on these kernels, for tests and benches.
///
/// # Panics
///
/// If the processor does not have them.
#[cfg(any(test, feature = "internals"))]
pub fn hmac_on(kernels: Kernels, jobs: &[HmacJob<'_>], tags: &mut [[u8; TAG]]) {
    assert!(Kernels::available().any(|available| available == kernels), "no {kernels:?} here");
    // SAFETY: they are available.
    unsafe { hmac(kernels, jobs, tags) }
}

impl Kernels {
    /// Those that the processor has, all together and without one or the other.
    #[cfg(any(test, feature = "internals"))]
    pub fn available() -> impl Iterator<Item = Self> {
        let all = [(true, true), (false, true), (true, false), (false, false)];
        all.map(|(wide, chains)| Self { wide, chains }).into_iter().filter(|kernels| {
            let needed = if kernels.wide { Backend::Avx512 } else { Backend::Avx2 };
            Backend::available().contains(&needed)
                && (!kernels.chains || is_x86_feature_detected!("sha"))
        })
    }

    /// # Safety
    ///
    /// The processor has AVX2, and what `self` says.
    unsafe fn run(self, order: &Order<'_>, tags: &mut [[u8; TAG]]) {
        let mut turn = 0;
        while self.wide && order.len() - turn >= WIDE_FROM {
            let group = turn..order.len().min(turn + sha1_avx512::LANES);
            turn = group.end;
            // SAFETY: as the caller says.
            unsafe { self.sixteen(order, group, tags) }
        }
        // SAFETY: as the caller says.
        unsafe { self.few(order, turn..order.len(), None, tags) }
    }

    /// Sixteen lanes for as many rows as takes least; the longer messages go on among themselves.
    ///
    /// # Safety
    ///
    /// The processor has AVX-512 F and BW, and what `self` says.
    unsafe fn sixteen(self, order: &Order<'_>, group: Range<usize>, tags: &mut [[u8; TAG]]) {
        let long = self.long(order, group.clone());
        if long == group.len() {
            // SAFETY: as the caller says.
            unsafe { self.few(order, group, None, tags) }
            return;
        }
        let rows = order.job(group.start + long).blocks();
        let mut states = [[0; 5]; sha1_avx512::LANES];
        let states = &mut states[..long];
        // SAFETY: as the caller says.
        unsafe {
            sha1_avx512::hmac(order, group.clone(), rows, states, tags);
            self.few(order, group.start..group.start + long, Some((states, rows)), tags);
        }
    }

    /// The jobs of `turns` in less than sixteen lanes, from their keys' states or from those that
    /// stand before a block.
    ///
    /// # Safety
    ///
    /// The processor has AVX2, and what `self` says.
    unsafe fn few(
        self,
        order: &Order<'_>,
        turns: Range<usize>,
        resumed: Option<(&[[u32; 5]], usize)>,
        tags: &mut [[u8; TAG]],
    ) {
        let first = turns.start;
        let lanes_from = self.lanes_from(order, &turns, resumed.is_some());
        for group in self.groups(turns, lanes_from) {
            let resumed = resumed.map(|(states, row)| (&states[group.start - first..], row));
            // SAFETY: as the caller says.
            unsafe {
                if self.chains && group.len() <= sha1_ni::CHAINS {
                    sha1_ni::hmac(order, group, resumed, tags);
                } else if self.wide {
                    sha1_eight::hmac(sha1_avx512vl::compress, order, group, resumed, tags);
                } else {
                    sha1_eight::hmac(sha1_avx2::compress, order, group, resumed, tags);
                }
            }
        }
    }

    /// How many of `turns` have to be left for eight lanes to take less than chains.
    fn lanes_from(self, order: &Order<'_>, turns: &Range<usize>, resumed: bool) -> usize {
        if self.wide {
            return EIGHT_FROM;
        }
        let short = !turns.is_empty() && order.job(turns.start).blocks() <= EIGHT_BLOCKS;
        if short && order.alike() && !resumed { sha1_eight::LANES } else { usize::MAX }
    }

    /// Splits `turns` as the kernels for less than sixteen take them: eight lanes while so many jobs are
    /// left, the others in as few groups of chains as there can be, of nearly the same size.
    fn groups(self, turns: Range<usize>, lanes_from: usize) -> impl Iterator<Item = Range<usize>> {
        let mut turns = turns;
        iter::from_fn(move || {
            let left = turns.len();
            let take = if !self.chains || left >= lanes_from {
                left.min(sha1_eight::LANES)
            } else {
                left.div_ceil(left.div_ceil(sha1_ni::CHAINS).max(1))
            };
            let group = turns.start..turns.start + take;
            turns.start = group.end;
            (!group.is_empty()).then_some(group)
        })
    }

    /// How many of the first jobs of a group go on among themselves when the others have ended in
    /// their lanes, so that all together takes least. If it is all of them, no lane is worth its pass.
    fn long(self, order: &Order<'_>, group: Range<usize>) -> usize {
        let blocks = |turn| order.job(turn).blocks();
        let alike = blocks(group.start) == blocks(group.end - 1);
        if alike && group.len() >= WIDE_WHATEVER {
            return 0;
        }
        let cost = |turn: usize| {
            let (rows, lanes) = match turn == group.end {
                true => (0, 0),
                false => (blocks(turn), WIDE_START + (blocks(turn) + 1) * WIDE_ROW),
            };
            let others = self.groups(group.start..turn, EIGHT_FROM);
            let others = others.map(|few| START + (blocks(few.start) - rows + 1) * ROW[few.len()]);
            lanes + others.sum::<usize>()
        };
        let edge = |turn: &usize| {
            *turn == group.start || *turn == group.end || blocks(*turn) < blocks(*turn - 1)
        };
        let turns = group.start..=group.end;
        let best = turns.filter(edge).min_by_key(|&turn| cost(turn));
        best.map_or(0, |turn| turn - group.start)
    }
}

// Nanoseconds a packet by 32, 160 and 1200 octets of payload, from `benches/hmac.rs`:
//
//   5 packets: chains 50 84 370, eight lanes 53 84 348
//   6 packets: chains 47 78 336, eight lanes 45 70 290
//   8 packets: chains 44 70 291, eight lanes 34 53 219, sixteen lanes 44 76 357
//   9 packets: eight lanes and a chain 41 64 274, sixteen lanes 39 68 317
//  12 packets: eight lanes and four chains 38 60 244, sixteen lanes 30 52 240

/// Jobs from which on eight lanes of AVX-512 VL take less than chains.
const EIGHT_FROM: usize = 6;

/// Most blocks of jobs that differ in the octets of their messages alone with which eight lanes of AVX2
/// take less than chains: a pass takes less to begin and to end, and a row more.
const EIGHT_BLOCKS: usize = 4;

/// Jobs from which on sixteen lanes may take less than eight and chains.
const WIDE_FROM: usize = 9;

/// Jobs from which on they do at any length, if that is the same of all.
const WIDE_WHATEVER: usize = 12;

/// Cycles of a row of sixteen lanes, and what a pass takes besides its rows.
const WIDE_ROW: usize = 485;
const WIDE_START: usize = 270;

/// Cycles of a row of less than sixteen messages, by their number: chains, then eight lanes; and what
/// such a group takes besides its rows.
const ROW: [usize; sha1_eight::LANES + 1] = [0, 122, 138, 160, 194, 315, 315, 315, 315];
const START: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_take_every_turn_once_and_fit_their_kernel() {
        for (wide, chains) in [(false, false), (false, true), (true, false), (true, true)] {
            let kernels = Kernels { wide, chains };
            for (start, end) in (0..40).flat_map(|end| [(0, end), (3, end.max(3))]) {
                let mut turn = start;
                let lanes_from = if wide { EIGHT_FROM } else { usize::MAX };
                for group in kernels.groups(start..end, lanes_from) {
                    assert_eq!(group.start, turn);
                    let most = if chains && !wide { sha1_ni::CHAINS } else { sha1_eight::LANES };
                    assert!((1..=most).contains(&group.len()), "{kernels:?} {group:?}");
                    turn = group.end;
                }
                assert_eq!(turn, end);
            }
        }
    }
}
