//! What a receiver keeps per stream, in a table allocated once.
//!
//! A stream's state is one cache line. It is created after the first packet that authenticates, so
//! forged packets leave nothing behind.

use std::{collections::HashMap, num::NonZeroU64, time::Duration};

use super::{key::PacketKind, replay::ReplayWindow};
use crate::ids::{PacketIndex, Ssrc};

/// The destination a stream arrives at: a number below 2^30 given by the caller for each pair of
/// group address and port. With the SSRC it is the context identifier of RFC 3711 §3.2.3.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub u32);

/// Key of one context: destination, SSRC, and which half of the crypto session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StreamKey(NonZeroU64);

impl StreamKey {
    #[inline]
    pub(crate) const fn new(session: SessionId, kind: PacketKind, ssrc: Ssrc) -> Self {
        // SRTP and SRTCP keep replay lists of their own (RFC 3711 §3.2.1), so they are two streams.
        let half = matches!(kind, PacketKind::Rtcp) as u64;
        let octets = (session.0 as u64) << 33 | half << 32 | ssrc.0 as u64;
        // The top bit is never part of a session's number; it leaves zero for an empty slot.
        Self(NonZeroU64::MIN.saturating_add((octets | 1 << 63) - 1))
    }

    #[inline]
    const fn destination(self) -> u64 {
        self.0.get() >> 32
    }
}

/// State of one stream: where it is, what was accepted, who sends it, when it last spoke.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Stream {
    key: StreamKey,
    pub(crate) window: ReplayWindow,
    /// Source address of the stream as a number, 0 if unknown.
    pub(crate) source: u32,
    /// Milliseconds, as given by the caller; wraps.
    pub(crate) last_seen: u32,
}

impl Stream {
    /// Whether nothing of it has been accepted for this long.
    #[inline]
    pub(crate) fn is_silent(&self, now: u32, time: Duration) -> bool {
        u128::from(now.wrapping_sub(self.last_seen)) >= time.as_millis()
    }
}

/// Open-addressing table with linear probing; at most half full, never grown.
#[derive(Debug)]
pub(crate) struct StreamTable {
    slots: Box<[Option<Stream>]>,
    len: usize,
    /// Streams of each destination. Has room for every one there can be, so that it never grows.
    siblings: HashMap<u64, usize>,
    limit: usize,
    limit_per_destination: usize,
}

/// What [`StreamTable::insert`] had to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Inserted {
    Added,
    /// The longest silent stream of the same destination made room.
    Evicted,
    /// The table is full of other destinations' streams.
    Full,
}

impl StreamTable {
    /// Room for `limit` streams, of which one destination may take `limit_per_destination`.
    pub(crate) fn new(limit: usize, limit_per_destination: usize) -> Self {
        let limit = limit.max(1);
        let slots = vec![None; (2 * limit).next_power_of_two()].into_boxed_slice();
        Self {
            slots,
            len: 0,
            siblings: HashMap::with_capacity(limit + 1),
            limit,
            limit_per_destination: limit_per_destination.max(1),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.slots[self.locate(key)].as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        let place = self.locate(key);
        self.slots[place].as_mut()
    }

    /// Creates the state of a stream that is not in the table, after its first good packet.
    pub(crate) fn insert(
        &mut self,
        key: StreamKey,
        index: PacketIndex,
        source: u32,
        now: u32,
    ) -> Inserted {
        let mut outcome = Inserted::Added;
        let siblings = self.siblings.get(&key.destination()).copied().unwrap_or(0);
        if siblings >= self.limit_per_destination || self.len >= self.limit {
            let Some(victim) = self.longest_silent(key.destination(), now) else {
                return Inserted::Full;
            };
            self.remove(victim);
            outcome = Inserted::Evicted;
        }
        let place = self.locate(key);
        self.slots[place] =
            Some(Stream { key, window: ReplayWindow::starting_at(index), source, last_seen: now });
        self.len += 1;
        *self.siblings.entry(key.destination()).or_default() += 1;
        outcome
    }

    /// The stream of a destination to forget first. Looks at the whole table: only where a limit has
    /// been reached by authenticated streams.
    fn longest_silent(&self, destination: u64, now: u32) -> Option<StreamKey> {
        let streams = self.slots.iter().flatten();
        let siblings = streams.filter(|stream| stream.key.destination() == destination);
        siblings.max_by_key(|stream| now.wrapping_sub(stream.last_seen)).map(|stream| stream.key)
    }

    /// Forgets every stream of a destination.
    pub(crate) fn remove_session(&mut self, session: SessionId) {
        let wanted = StreamKey::new(session, PacketKind::Rtp, Ssrc(0)).destination() >> 1;
        let belongs = |key: StreamKey| key.destination() >> 1 == wanted;
        while let Some(key) =
            self.slots.iter().flatten().map(|stream| stream.key).find(|key| belongs(*key))
        {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: StreamKey) {
        let mut hole = self.locate(key);
        if self.slots[hole].take().is_none() {
            return;
        }
        self.len -= 1;
        if let Some(siblings) = self.siblings.get_mut(&key.destination()) {
            *siblings -= 1;
            if *siblings == 0 {
                self.siblings.remove(&key.destination());
            }
        }
        // Close the gap, so that probing may stop at the first empty slot.
        let mask = self.slots.len() - 1;
        let mut next = (hole + 1) & mask;
        while let Some(stream) = self.slots[next] {
            let home = self.home(stream.key);
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[next].take();
                hole = next;
            }
            next = (next + 1) & mask;
        }
    }

    /// The slot that holds `key`, or the empty one where it would go.
    #[inline]
    fn locate(&self, key: StreamKey) -> usize {
        let mask = self.slots.len() - 1;
        let mut place = self.home(key);
        // The table is at most half full, so an empty slot ends the loop.
        while let Some(stream) = &self.slots[place] {
            if stream.key == key {
                break;
            }
            place = (place + 1) & mask;
        }
        place
    }

    /// Fibonacci hashing: the upper bits of a product with 2^64 divided by the golden ratio.
    #[inline]
    fn home(&self, key: StreamKey) -> usize {
        let bits = self.slots.len().trailing_zeros();
        (key.0.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(session: u32, ssrc: u32) -> StreamKey {
        StreamKey::new(SessionId(session), PacketKind::Rtp, Ssrc(ssrc))
    }

    fn index(value: u64) -> PacketIndex {
        PacketIndex::from_value(value)
    }

    #[test]
    fn state_of_a_stream_is_one_cache_line() {
        assert_eq!(size_of::<Option<Stream>>(), 64);
    }

    #[test]
    fn the_longest_silent_stream_of_the_same_session_makes_room() {
        let mut table = StreamTable::new(8, 3);
        for (time, ssrc) in [(30, 1), (10, 2), (20, 3)] {
            assert_eq!(table.insert(key(1, ssrc), index(5), 0, time), Inserted::Added);
        }
        assert_eq!(table.insert(key(2, 1), index(5), 0, 5), Inserted::Added);
        assert_eq!(table.insert(key(1, 4), index(6), 0, 40), Inserted::Evicted);
        assert!(table.get(key(1, 2)).is_none());
        assert!([1, 3, 4].iter().all(|ssrc| table.get(key(1, *ssrc)).is_some()));
        assert!(table.get(key(2, 1)).is_some());
        table.remove_session(SessionId(1));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_table_full_of_other_sessions_takes_no_more() {
        let mut table = StreamTable::new(4, 4);
        for ssrc in 0..4 {
            table.insert(key(1, ssrc), index(0), 0, 0);
        }
        assert_eq!(table.insert(key(2, 9), index(0), 0, 0), Inserted::Full);
        assert_eq!(table.len(), 4);
    }

    #[test]
    fn removal_keeps_every_other_stream_reachable() {
        let mut table = StreamTable::new(1000, 1000);
        for ssrc in 0..1000 {
            table.insert(key(ssrc % 7, ssrc.wrapping_mul(0x0101_0101)), index(1), 0, 0);
        }
        for session in [3, 0, 6] {
            table.remove_session(SessionId(session));
        }
        for ssrc in 0..1000_u32 {
            let found = table.get(key(ssrc % 7, ssrc.wrapping_mul(0x0101_0101))).is_some();
            assert_eq!(found, ![3, 0, 6].contains(&(ssrc % 7)), "{ssrc}");
        }
    }
}
