//! The key plane over a restart: what is to be kept of it, and how it goes on from that.

use std::collections::BTreeMap;

use super::{
    live::LiveKeys,
    plane::{Group, KEY_GROUPS_SEEN, KeyPlane, Remembered},
    records::{key_group_key, read_key_group, read_key_group_key, write_key_group},
    streams::Streams,
};
use crate::{
    error::Error,
    ids::{GroupId, PacketIndex, Ssrc},
    record::{Record, RecordReader, RecordWriter, Table, unreadable},
};

impl KeyPlane {
    /// Takes back what [`Self::take_changes`] has given, and notes changes from now on. To be called
    /// once, before anything else; without records for a plane that begins.
    ///
    /// MSKs, their counters and SEQs, traffic keys and counters of client keys are then what they
    /// were, so that packets open at once and no old key message is accepted again. Client keys are
    /// not in the records: [`Self::insert_muk`] gives each its counter back.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a record that cannot be read, or for more of them than the limits allow.
    pub fn restore<'a>(
        &mut self,
        records: impl IntoIterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) -> Result<(), Error> {
        self.store.restore(records.clone())?;
        for (key, value) in records {
            let restored = match Table::split(key) {
                Some((Table::Live, key)) => self.restore_live(key, value),
                Some((Table::Bound, place)) => self.restore_bound(place, value),
                Some((Table::Streams, place)) => self.restore_streams(place, value),
                _ => Some(()),
            };
            restored.ok_or_else(|| unreadable(key))?;
        }
        self.changed.extend(self.groups.keys());
        Ok(())
    }

    /// What has changed since the last call, to be kept before the next [`Self::publish`] and before
    /// a verification message is sent. Empty without a call of [`Self::restore`] before. Costs
    /// the encoding of what has changed; a key group takes about half a kilobyte.
    pub fn take_changes(&mut self) -> Vec<Record> {
        let kept = self.store.changed.take();
        let mut records = self.store.records(&kept);
        for id in kept.key_groups {
            let value = self.live.get(&id).and_then(LiveKeys::write);
            records.push(Record { key: key_group_key(Table::Live, id), value });
        }
        for place in kept.places {
            let located = self.groups.values().find(|group| group.place.as_ref() == Some(&place));
            let key = |table| RecordWriter::key(table).octets(&place).into_key();
            let bound = located.map(|group| {
                let key_groups = group.key_groups.iter();
                RecordWriter::default().list(key_groups, write_key_group).into_value()
            });
            records.push(Record { key: key(Table::Bound), value: bound });
            let streams = located.and_then(|group| group.streams.write());
            records.push(Record { key: key(Table::Streams), value: streams });
        }
        records
    }

    /// Gives a talk group a name that stays the same over restarts, such as its address: what was seen
    /// there before serves it again.
    pub fn locate_group(&mut self, group: GroupId, place: &[u8]) {
        let Some(entry) = self.groups.get_mut(&group) else { return };
        let Remembered { key_groups, streams } = self.remembered.remove(place).unwrap_or_default();
        entry.place = Some(place.into());
        (entry.expected, entry.streams) = (streams.clone(), streams);
        for key_group in key_groups {
            self.bind(group, key_group, false);
        }
    }

    /// Takes down the newest authenticated index of streams of talk groups, for their records. Once every
    /// few seconds is enough: it is where the search for a rollover counter begins after a restart.
    pub fn note_streams(
        &mut self,
        streams: impl IntoIterator<Item = (GroupId, Ssrc, PacketIndex)>,
    ) {
        let mut by_group = BTreeMap::<GroupId, Vec<(Ssrc, PacketIndex)>>::new();
        for (group, ssrc, index) in streams {
            by_group.entry(group).or_default().push((ssrc, index));
        }
        for (group, seen) in by_group {
            if let Some(Group { place: Some(place), streams, .. }) = self.groups.get_mut(&group)
                && streams.note(&seen)
            {
                self.store.changed.place(place);
            }
        }
    }

    fn restore_live(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let id = read_key_group_key(key)?;
        self.live.insert(id, LiveKeys::read(value, id.1)?);
        Some(())
    }

    fn restore_bound(&mut self, place: &[u8], value: &[u8]) -> Option<()> {
        let mut value = RecordReader::new(value);
        let mut key_groups = value.list(read_key_group)?;
        value.finish()?;
        key_groups.truncate(KEY_GROUPS_SEEN);
        self.remember(place, |known| known.key_groups = key_groups);
        Some(())
    }

    fn restore_streams(&mut self, place: &[u8], value: &[u8]) -> Option<()> {
        let streams = Streams::read(value)?;
        self.remember(place, |known| known.streams = streams);
        Some(())
    }

    /// Notes what is known of a place; if there are too many, its records go.
    fn remember(&mut self, place: &[u8], what: impl FnOnce(&mut Remembered)) {
        if let Some(known) = self.remembered.get_mut(place) {
            what(known);
        } else if self.remembered.len() < PLACES_REMEMBERED {
            what(self.remembered.entry(place.into()).or_default());
        } else {
            self.store.changed.place(place);
        }
    }
}

/// Places of talk groups that are remembered while nobody joins them.
const PLACES_REMEMBERED: usize = 4096;
