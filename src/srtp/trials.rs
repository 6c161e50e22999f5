//! Who may try further rollover counters than a packet's first, and how often (D5).
//!
//! A forged packet of a stream nobody knows looks like the first one of a late joiner, so that what it
//! may cost is bounded: by a budget, in which every batch puts some tries and which saves up unused
//! ones; and by a pause after a stream's tries have failed. Sources of which something authentic has
//! come have a budget of their own, so that a flood from elsewhere leaves the tries of the next talker
//! alone. The first rollover counter, announced or 0, is tried with every packet and costs none of this.
//!
//! What is remembered of packets that are not authentic is one word in a table of fixed size; it
//! delays tries, and decides nothing else.

use super::{
    stream::{SessionId, StreamKey},
    unprotect::StreamLimits,
};
use crate::ids::Roc;

/// The tries of one lane.
#[derive(Debug)]
pub(super) struct Trials {
    of_strangers: u32,
    of_known_sources: u32,
    /// Batches whose tries have not been added yet.
    batches: u64,
    per_batch: u32,
    saved: u32,
    pause: u32,
    /// Session and source of authentic packets, each at the place its hash says.
    known: Box<[u64; PLACES]>,
    failed: Box<[Failed; PLACES]>,
}

/// Who asks: a stream, as its source names it, and where its rollover counter is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    stream: StreamKey,
    source: u64,
    near: Roc,
}

/// A claim whose tries came to nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Failed {
    claim: u64,
    at: u32,
    pause: u32,
}

impl Claim {
    pub(super) const fn new(session: SessionId, stream: StreamKey, source: u32, near: Roc) -> Self {
        Self { stream, source: source_at(session, source), near }
    }

    /// A number that is never zero.
    const fn number(self) -> u64 {
        mixed(self.stream.number() ^ mixed(self.source ^ mixed(self.near.0 as u64))) | 1
    }
}

impl Trials {
    pub(super) fn new(limits: &StreamLimits) -> Self {
        let saved = limits.roc_trials_saved.max(limits.roc_trials_per_batch);
        Self {
            of_strangers: saved,
            of_known_sources: saved,
            batches: 0,
            per_batch: limits.roc_trials_per_batch,
            saved,
            pause: u32::try_from(limits.roc_trial_pause.as_millis()).unwrap_or(u32::MAX),
            known: Box::new([0; PLACES]),
            failed: Box::new([Failed::default(); PLACES]),
        }
    }

    /// Adds the tries of another batch.
    #[inline]
    pub(super) const fn next_batch(&mut self) {
        self.batches = self.batches.wrapping_add(1);
    }

    /// Takes one try from the budget; `false` if there is none, or if the claim has to wait.
    pub(super) fn take(&mut self, claim: Claim, now: u32) -> bool {
        let failed = &self.failed[place(claim.number())];
        if failed.claim == claim.number() && now.wrapping_sub(failed.at) < failed.pause {
            return false;
        }
        let batches = u32::try_from(std::mem::take(&mut self.batches)).unwrap_or(u32::MAX);
        let more = self.per_batch.saturating_mul(batches);
        for left in [&mut self.of_strangers, &mut self.of_known_sources] {
            *left = left.saturating_add(more).min(self.saved);
        }
        let known = self.known[place(mixed(claim.source))] == claim.source;
        let left = if known { &mut self.of_known_sources } else { &mut self.of_strangers };
        let next = left.checked_sub(1);
        *left = next.unwrap_or(0);
        next.is_some()
    }

    /// All tries of a claim have failed: it waits, each time twice as long.
    pub(super) fn fail(&mut self, claim: Claim, now: u32) {
        let failed = &mut self.failed[place(claim.number())];
        let again = failed.claim == claim.number()
            && now.wrapping_sub(failed.at) < self.pause.saturating_mul(2 * LONGEST);
        let pause = if again { failed.pause.saturating_mul(2) } else { self.pause };
        let pause = pause.min(self.pause.saturating_mul(LONGEST));
        *failed = Failed { claim: claim.number(), at: now, pause };
    }

    /// Something authentic has come from there.
    pub(super) fn know(&mut self, session: SessionId, source: u32) {
        let source = source_at(session, source);
        self.known[place(mixed(source))] = source;
    }
}

const fn source_at(session: SessionId, source: u32) -> u64 {
    (session.0 as u64) << 32 | source as u64
}

const fn mixed(number: u64) -> u64 {
    // Fibonacci hashing, as for streams.
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
}

const fn place(number: u64) -> usize {
    (number >> 8) as usize % PLACES
}

const PLACES: usize = 256;
/// The longest pause as a multiple of the first.
const LONGEST: u32 = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{ids::Ssrc, srtp::PacketKind};

    fn claim(ssrc: u32, source: u32) -> Claim {
        let session = SessionId(1);
        Claim::new(session, StreamKey::new(session, PacketKind::Rtp, Ssrc(ssrc)), source, Roc(0))
    }

    fn trials() -> Trials {
        let limits = StreamLimits {
            roc_trials_per_batch: 2,
            roc_trials_saved: 8,
            roc_trial_pause: Duration::from_millis(20),
            ..StreamLimits::default()
        };
        Trials::new(&limits)
    }

    #[test]
    fn strangers_cannot_use_up_the_tries_of_a_source_that_is_known() {
        let mut trials = trials();
        trials.know(SessionId(1), 7);
        let taken = (0..100).filter(|n| trials.take(claim(*n, 66), 0)).count();
        assert_eq!(taken, 8, "what was saved up");
        assert!((0..8).all(|n| trials.take(claim(n, 7), 0)) && !trials.take(claim(9, 7), 0));
        trials.next_batch();
        assert_eq!((0..100).filter(|n| trials.take(claim(*n, 66), 0)).count(), 2);
    }

    #[test]
    fn a_new_announcement_ends_the_pause() {
        let mut trials = trials();
        trials.fail(claim(1, 7), 0);
        assert!(!trials.take(claim(1, 7), 0));
        assert!(trials.take(Claim { near: Roc(100), ..claim(1, 7) }, 0));
    }

    #[test]
    fn a_claim_that_failed_waits_longer_each_time_and_others_do_not() {
        let mut trials = trials();
        let (mut now, mut pause) = (u32::MAX - 30, 20);
        for _ in 0..8 {
            trials.fail(claim(1, 7), now);
            assert!(!trials.take(claim(1, 7), now.wrapping_add(pause - 1)), "{pause}");
            assert!(trials.take(claim(1, 8), now) && trials.take(claim(2, 7), now));
            now = now.wrapping_add(pause);
            assert!(trials.take(claim(1, 7), now));
            (0..4).for_each(|_| trials.next_batch());
            pause = (2 * pause).min(20 * LONGEST);
        }
        // Much later it begins anew.
        now = now.wrapping_add(20 * 2 * LONGEST);
        trials.fail(claim(1, 7), now);
        assert!(trials.take(claim(1, 7), now.wrapping_add(20)));
    }
}
