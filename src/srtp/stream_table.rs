//! The streams of one receiver, in a table allocated once: open addressing with linear probing.

use std::collections::HashMap;

use super::{
    kernel::prefetch,
    key::PacketKind,
    stream::{KeysHeard, SessionId, Stream, StreamKey},
};
use crate::ids::{PacketIndex, Ssrc};

/// Where a stream was found. It may move before the next look, which only makes that look slower.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hint(u32);

impl Hint {
    #[inline(always)]
    fn of(place: usize) -> Self {
        // No table has more than 2^32 slots.
        Self(place as u32)
    }
}

/// Open-addressing table with linear probing; at most half full, never grown.
#[derive(Debug)]
pub(crate) struct StreamTable<Known = KeysHeard> {
    slots: Box<[Option<Stream<Known>>]>,
    /// What leaves as many upper bits of 64 as there are slots for.
    shift: u32,
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

impl<Known: Copy> StreamTable<Known> {
    /// Room for `limit` streams, of which one destination may take `limit_per_destination`.
    pub(crate) fn new(limit: usize, limit_per_destination: usize) -> Self {
        let limit = limit.clamp(1, 1 << 31);
        let slots = vec![None; (2 * limit).next_power_of_two()].into_boxed_slice();
        Self {
            shift: 64 - slots.len().trailing_zeros(),
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

    /// The RTP streams, each with its highest index.
    pub(crate) fn rtp(&self) -> impl Iterator<Item = (SessionId, Ssrc, PacketIndex)> {
        self.slots.iter().flatten().filter_map(|stream| {
            stream.key.rtp().map(|(session, ssrc)| (session, ssrc, stream.highest()))
        })
    }

    /// Looks a stream up.
    #[inline(always)]
    pub(crate) fn find(&self, key: StreamKey) -> (Hint, Option<&Stream<Known>>) {
        let home = self.home(key);
        match &self.slots[home] {
            Some(stream) if stream.key == key => (Hint::of(home), Some(stream)),
            _ => {
                let place = self.probe(key);
                (Hint::of(place), self.slots[place].as_ref())
            }
        }
    }

    /// Asks for the state of a stream that will be looked up soon.
    #[inline(always)]
    pub(crate) fn prefetch(&self, key: StreamKey) {
        prefetch(self.slots.as_ptr().wrapping_add(self.home(key)));
    }

    /// The stream, from where it was found.
    #[inline(always)]
    pub(crate) fn get_mut(&mut self, key: StreamKey, hint: Hint) -> Option<&mut Stream<Known>> {
        let place = hint.0 as usize;
        if self.slots.get(place).is_some_and(|slot| slot.as_ref().is_some_and(|s| s.key == key)) {
            return self.slots[place].as_mut();
        }
        self.find_mut(key)
    }

    #[inline(never)]
    fn find_mut(&mut self, key: StreamKey) -> Option<&mut Stream<Known>> {
        let place = self.probe(key);
        self.slots[place].as_mut()
    }

    /// Creates the state of a stream that is not in the table, after its first good packet.
    pub(crate) fn insert(
        &mut self,
        key: StreamKey,
        index: PacketIndex,
        known: Known,
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
        let place = self.probe(key);
        self.slots[place] = Some(Stream::starting_at(index, key, known, source, now));
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
        let mut hole = self.probe(key);
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

    /// The slot that holds `key`, or the empty one where it would go. The table is at most half full,
    /// so an empty slot ends the search.
    #[inline(never)]
    fn probe(&self, key: StreamKey) -> usize {
        let mut place = self.home(key);
        while self.slots[place].as_ref().is_some_and(|other| other.key != key) {
            place = (place + 1) & (self.slots.len() - 1);
        }
        place
    }

    /// Fibonacci hashing: the upper bits of a product with 2^64 divided by the golden ratio.
    #[inline(always)]
    fn home(&self, key: StreamKey) -> usize {
        (key.number().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::key::KeyAge;

    fn key(session: u32, ssrc: u32) -> StreamKey {
        StreamKey::new(SessionId(session), PacketKind::Rtp, Ssrc(ssrc))
    }

    fn get(table: &StreamTable, key: StreamKey) -> Option<&Stream> {
        table.find(key).1
    }

    fn heard() -> KeysHeard {
        KeysHeard::first(KeyAge::default())
    }

    fn index(value: u64) -> PacketIndex {
        PacketIndex::from_value(value)
    }

    #[test]
    fn the_longest_silent_stream_of_the_same_session_makes_room() {
        let mut table = StreamTable::new(8, 3);
        for (time, ssrc) in [(30, 1), (10, 2), (20, 3)] {
            assert_eq!(table.insert(key(1, ssrc), index(5), heard(), 0, time), Inserted::Added);
        }
        assert_eq!(table.insert(key(2, 1), index(5), heard(), 0, 5), Inserted::Added);
        assert_eq!(table.insert(key(1, 4), index(6), heard(), 0, 40), Inserted::Evicted);
        assert!(get(&table, key(1, 2)).is_none());
        assert!([1, 3, 4].iter().all(|ssrc| get(&table, key(1, *ssrc)).is_some()));
        assert!(get(&table, key(2, 1)).is_some());
        table.remove_session(SessionId(1));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn rtp_streams_are_listed_by_session_and_ssrc() {
        let mut table = StreamTable::new(8, 8);
        let rtcp = StreamKey::new(SessionId(3), PacketKind::Rtcp, Ssrc(9));
        table.insert(key((1 << 30) - 1, u32::MAX), index(70_000), heard(), 0, 0);
        table.insert(rtcp, index(5), heard(), 0, 0);
        let listed: Vec<_> = table.rtp().collect();
        assert_eq!(listed, [(SessionId((1 << 30) - 1), Ssrc(u32::MAX), index(70_000))]);
    }

    #[test]
    fn a_table_full_of_other_sessions_takes_no_more() {
        let mut table = StreamTable::new(4, 4);
        for ssrc in 0..4 {
            table.insert(key(1, ssrc), index(0), heard(), 0, 0);
        }
        assert_eq!(table.insert(key(2, 9), index(0), heard(), 0, 0), Inserted::Full);
        assert_eq!(table.len(), 4);
    }

    #[test]
    fn removal_keeps_every_other_stream_reachable() {
        let mut table = StreamTable::new(1000, 1000);
        for ssrc in 0..1000 {
            table.insert(key(ssrc % 7, ssrc.wrapping_mul(0x0101_0101)), index(1), heard(), 0, 0);
        }
        for session in [3, 0, 6] {
            table.remove_session(SessionId(session));
        }
        for ssrc in 0..1000_u32 {
            let found = get(&table, key(ssrc % 7, ssrc.wrapping_mul(0x0101_0101))).is_some();
            assert_eq!(found, ![3, 0, 6].contains(&(ssrc % 7)), "{ssrc}");
        }
    }
}
