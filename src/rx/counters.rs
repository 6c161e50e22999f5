//! What happened to the datagrams of one group: written by its lane, read by anyone.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::error::Reject;

/// Counters of one group. One lane writes, so that counting takes no locked instruction.
#[derive(Debug)]
pub struct GroupCounters {
    pub(crate) datagrams: Counter,
    pub(crate) octets: Counter,
    pub(crate) media: Counter,
    pub(crate) burst: Counter,
    pub(crate) rtcp: Counter,
    pub(crate) key_messages: Counter,
    pub(crate) held: Counter,
    pub(crate) released: Counter,
    pub(crate) streams: Counter,
    rejects: [Counter; Reject::COUNT],
}

/// A number that one thread raises and others read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        // One writer: load and store need not be one step.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for GroupCounters {
    fn default() -> Self {
        Self {
            datagrams: Counter::default(),
            octets: Counter::default(),
            media: Counter::default(),
            burst: Counter::default(),
            rtcp: Counter::default(),
            key_messages: Counter::default(),
            held: Counter::default(),
            released: Counter::default(),
            streams: Counter::default(),
            rejects: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl GroupCounters {
    #[inline]
    pub(crate) fn reject(&self, reject: Reject) {
        self.rejects[reject as usize].add(1);
    }

    /// The counters of this moment.
    #[must_use]
    pub fn snapshot(&self) -> GroupStats {
        let mut rejects = [0; Reject::COUNT];
        for (total, counter) in rejects.iter_mut().zip(&self.rejects) {
            *total = counter.value();
        }
        GroupStats {
            datagrams: self.datagrams.value(),
            octets: self.octets.value(),
            media: self.media.value(),
            burst: self.burst.value(),
            rtcp: self.rtcp.value(),
            key_messages: self.key_messages.value(),
            held: self.held.value(),
            released: self.released.value(),
            streams: self.streams.value(),
            rejects,
        }
    }
}

/// Counters of one group at one moment; all grow from 0.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GroupStats {
    /// Datagrams received.
    pub datagrams: u64,
    /// Their octets, UDP payload only.
    pub octets: u64,
    /// RTP packets delivered.
    pub media: u64,
    /// Burst-control messages delivered.
    pub burst: u64,
    /// Other RTCP packets delivered.
    pub rtcp: u64,
    /// MIKEY messages passed on to the key plane.
    pub key_messages: u64,
    /// Packets held back for their key.
    pub held: u64,
    /// Held packets whose key came in time.
    pub released: u64,
    /// Streams seen for the first time.
    pub streams: u64,
    rejects: [u64; Reject::COUNT],
}

impl GroupStats {
    /// How many datagrams were refused for this reason.
    #[must_use]
    pub const fn rejected(&self, reject: Reject) -> u64 {
        self.rejects[reject as usize]
    }

    /// The reasons that occurred, with their counts.
    pub fn rejects(&self) -> impl Iterator<Item = (Reject, u64)> + '_ {
        Reject::ALL.iter().map(|r| (*r, self.rejected(*r))).filter(|(_, count)| *count > 0)
    }

    /// Datagrams refused for any reason.
    #[must_use]
    pub fn rejected_in_all(&self) -> u64 {
        self.rejects.iter().sum()
    }
}

impl fmt::Display for GroupStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { datagrams, media, burst, rtcp, key_messages, held, .. } = self;
        write!(
            f,
            "{datagrams} datagrams: {media} media, {burst} burst, {rtcp} rtcp, \
             {key_messages} key messages, {held} held"
        )?;
        self.rejects().try_for_each(|(reject, count)| write!(f, ", {count} {reject}"))
    }
}
