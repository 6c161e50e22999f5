//! What must survive a restart, as records of a fixed format: a key, and a value that may be secret.
//!
//! Bottom layer: whoever has something to keep writes it with a `RecordWriter` and reads it back with a
//! `RecordReader`; whoever keeps it sees octets only. All numbers are big-endian. The first octet of a
//! key is its `Table`.

mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use zeroize::Zeroizing;

use crate::{error::Error, secret::SecretBytes};

pub(crate) use table::Table;

/// One thing to keep.
#[derive(Debug)]
pub struct Record {
    /// What it is: the same key again replaces the value.
    pub key: Box<[u8]>,
    /// What is known of it; `None`: nothing any more.
    pub value: Option<SecretBytes>,
}

impl Record {
    /// What is known of the thing of this key; without a value nothing any more.
    pub(crate) fn new(key: RecordWriter, value: Option<RecordWriter>) -> Self {
        Self { key: key.into_key(), value: value.map(RecordWriter::into_value) }
    }
}

/// Appends fields to a key or a value. What it outgrows is erased.
#[derive(Default)]
pub(crate) struct RecordWriter(Zeroizing<Vec<u8>>);

impl RecordWriter {
    /// Begins a key.
    pub(crate) fn key(table: Table) -> Self {
        Self::default().u8(table as u8)
    }

    pub(crate) fn u8(self, value: u8) -> Self {
        self.octets(&[value])
    }

    pub(crate) fn u16(self, value: u16) -> Self {
        self.octets(&value.to_be_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.octets(&value.to_be_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.octets(&value.to_be_bytes())
    }

    /// In nanoseconds; 584 years and more are one.
    pub(crate) fn duration(self, duration: Duration) -> Self {
        self.u64(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn octets(mut self, octets: &[u8]) -> Self {
        let len = self.0.len() + octets.len();
        if len > self.0.capacity() {
            // A vector that grows by itself leaves its former place as it was.
            let mut larger = Zeroizing::new(Vec::with_capacity(len.next_power_of_two().max(64)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(octets);
        self
    }

    /// A 16-bit length, and that many octets. What is written here is shorter than 2^16.
    pub(crate) fn prefixed(self, octets: &[u8]) -> Self {
        let octets = octets.get(..usize::from(u16::MAX)).unwrap_or(octets);
        self.count(octets.len()).octets(octets)
    }

    /// A 16-bit number of items, each written by `write`. At most 2^16 - 1 of them are.
    pub(crate) fn list<T>(
        self,
        items: impl ExactSizeIterator<Item = T>,
        write: impl FnMut(Self, T) -> Self,
    ) -> Self {
        let len = items.len().min(u16::MAX.into());
        items.take(len).fold(self.count(len), write)
    }

    /// An octet that says whether there is one, and the item.
    pub(crate) fn option<T>(self, item: Option<T>, write: impl FnOnce(Self, T) -> Self) -> Self {
        match item {
            Some(item) => write(self.u8(1), item),
            None => self.u8(0),
        }
    }

    fn count(self, len: usize) -> Self {
        self.u16(u16::try_from(len).unwrap_or(u16::MAX))
    }

    /// Takes back what was written behind `len` octets.
    #[cfg(feature = "state")]
    pub(crate) fn truncate(mut self, len: usize) -> Self {
        self.0.truncate(len);
        self
    }

    /// What has been written.
    #[cfg(feature = "state")]
    pub(crate) fn into_octets(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    /// What has been written, as a key.
    pub(crate) fn into_key(self) -> Box<[u8]> {
        self.0.as_slice().into()
    }

    /// What has been written, as a value.
    pub(crate) fn into_value(self) -> SecretBytes {
        SecretBytes::new(&self.0)
    }
}

/// What has changed since it was taken last. Before the first time that is everything, and nothing is
/// noted, so that what nobody keeps costs nothing.
#[derive(Debug)]
pub(crate) struct Noted<K>(Option<BTreeSet<K>>);

impl<K> Default for Noted<K> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: Clone + Ord> Noted<K> {
    /// For what has been read from records.
    pub(crate) const fn nothing() -> Self {
        Self(Some(BTreeSet::new()))
    }

    pub(crate) fn note(&mut self, key: &K) {
        if let Some(noted) = &mut self.0 {
            noted.insert(key.clone());
        }
    }

    /// What has been noted and not been taken.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &K> {
        self.0.iter().flatten()
    }

    /// What has changed; `all` is what there is.
    pub(crate) fn take<'a>(&mut self, all: impl Iterator<Item = &'a K>) -> BTreeSet<K>
    where
        K: 'a,
    {
        self.0.replace(BTreeSet::new()).unwrap_or_else(|| all.cloned().collect())
    }
}

/// A map that knows which of its entries have changed.
#[derive(Debug)]
pub(crate) struct NotedMap<K, V> {
    map: BTreeMap<K, V>,
    changed: Noted<K>,
}

impl<K, V> Default for NotedMap<K, V> {
    fn default() -> Self {
        Self { map: BTreeMap::new(), changed: Noted::default() }
    }
}

impl<K: Clone + Ord, V: Copy> NotedMap<K, V> {
    /// What has been read from records.
    pub(crate) const fn restored(map: BTreeMap<K, V>) -> Self {
        Self { map, changed: Noted::nothing() }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.map.get(key).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, V)> {
        self.map.iter().map(|(key, value)| (key, *value))
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.changed.note(&key);
        self.map.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let value = self.map.remove(key)?;
        self.changed.note(key);
        Some(value)
    }

    /// What has changed since this was asked last: the value now, or none any more.
    pub(crate) fn take_changes(&mut self) -> impl Iterator<Item = (K, Option<V>)> {
        let changed = self.changed.take(self.map.keys());
        changed.into_iter().map(|key| {
            let value = self.get(&key);
            (key, value)
        })
    }
}

/// A time of this process beside the time of day, by which records outlive it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) now: Instant,
    pub(crate) wall: SystemTime,
}

impl Clock {
    /// A time as a record has it: nanoseconds since 1970.
    pub(crate) fn write(&self, out: RecordWriter, time: Instant) -> RecordWriter {
        let today = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        out.duration(match time.checked_duration_since(self.now) {
            Some(ahead) => today.saturating_add(ahead),
            None => today.saturating_sub(self.now.duration_since(time)),
        })
    }

    /// A time to come, of a record; now if it has passed. It is at most so far ahead, whatever has
    /// happened to the time of day since it was written.
    pub(crate) fn read(&self, value: &mut RecordReader<'_>, longest: Duration) -> Option<Instant> {
        let today = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let ahead = value.duration()?.saturating_sub(today).min(longest);
        Some(self.now + ahead)
    }
}

/// A record is none that this version writes.
pub(crate) fn unreadable(key: &[u8]) -> Error {
    let table = key.first().copied().unwrap_or_default();
    Error::invalid(format!("a kept record of table {table} is none that this version writes"))
}

/// Reads what a [`RecordWriter`] has written; `None` where it ends too early.
#[derive(Clone, Copy)]
pub(crate) struct RecordReader<'a>(&'a [u8]);

impl<'a> RecordReader<'a> {
    pub(crate) const fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// A name or another text, behind its 16-bit length.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.prefixed()?).ok()
    }

    /// A text that is all the rest.
    pub(crate) fn last_text(&mut self) -> Option<&'a str> {
        str::from_utf8(std::mem::take(&mut self.0)).ok()
    }

    pub(crate) fn duration(&mut self) -> Option<Duration> {
        self.u64().map(Duration::from_nanos)
    }

    pub(crate) fn octets(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[octet]| octet)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn prefixed(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.octets(len.into())
    }

    pub(crate) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let len = self.u16()?;
        // An item has an octet at least: a length that cannot be true reserves nothing.
        let mut items = Vec::with_capacity(usize::from(len).min(self.0.len()));
        for _ in 0..len {
            items.push(read(self)?);
        }
        Some(items)
    }

    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.u8()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    /// `Some` if all has been read.
    pub(crate) const fn finish(self) -> Option<()> {
        if self.0.is_empty() { Some(()) } else { None }
    }

    /// What has not been read yet.
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_nothing_shorter_or_longer_is() {
        let write = || {
            RecordWriter::key(Table::Live)
                .u16(0x0102)
                .u32(0x0304_0506)
                .u64(7)
                .prefixed(&[8; 300])
                .list([9_u16, 10].into_iter(), RecordWriter::u16)
                .option(Some(11), RecordWriter::u8)
                .option(None, RecordWriter::u8)
        };
        let read = |octets: &[u8]| {
            let (table, rest) = Table::split(octets)?;
            assert_eq!(table, Table::Live);
            let mut reader = RecordReader::new(rest);
            let numbers = (reader.u16()?, reader.u32()?, reader.u64()?);
            assert_eq!(numbers, (0x0102, 0x0304_0506, 7));
            assert_eq!(reader.prefixed()?, [8; 300]);
            assert_eq!(reader.list(RecordReader::u16)?, [9, 10]);
            let options = (reader.option(RecordReader::u8)?, reader.option(RecordReader::u8)?);
            assert_eq!(options, (Some(11), None));
            reader.finish()
        };
        let octets = write().into_value();
        assert_eq!(*octets.expose(), *write().into_key());
        assert_eq!(read(octets.expose()), Some(()));
        for len in 0..octets.len() {
            assert_eq!(read(&octets.expose()[..len]), None, "{len}");
        }
        assert_eq!(read(&[octets.expose(), &[0]].concat()), None);
        assert_eq!((Table::split(&[99, 1]), Table::split(&[0])), (None, None));
        for table in Table::ALL {
            assert_eq!(Table::split(&[table as u8, 1]), Some((table, &[1][..])));
        }
    }
}
