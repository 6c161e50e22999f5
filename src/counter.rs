//! Counters that one thread raises and others read.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Reject;

/// A number raised by one thread.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        // One writer: load and store need not be one step, so no locked instruction is needed.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One counter for each verdict.
#[derive(Debug)]
pub(crate) struct RejectCounters([Counter; Reject::COUNT]);

impl Default for RejectCounters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl RejectCounters {
    #[inline]
    pub(crate) fn add(&self, reject: Reject) {
        self.0[reject as usize].add(1);
    }

    pub(crate) fn snapshot(&self) -> RejectStats {
        RejectStats(std::array::from_fn(|place| self.0[place].value()))
    }
}

/// How often each verdict was given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RejectStats([u64; Reject::COUNT]);

impl RejectStats {
    /// How often this one was.
    #[must_use]
    pub const fn count(&self, reject: Reject) -> u64 {
        self.0[reject as usize]
    }

    /// The verdicts that were given, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Reject, u64)> + '_ {
        Reject::ALL.iter().map(|reject| (*reject, self.count(*reject))).filter(|(_, n)| *n > 0)
    }

    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl std::ops::Add for RejectStats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|place| self.0[place] + other.0[place]))
    }
}

impl Default for RejectStats {
    fn default() -> Self {
        Self([0; Reject::COUNT])
    }
}
