//! An open channel as records: one of its own, one for each member, one for each expelled client.

use std::{sync::Arc, time::Instant};

use super::spec::{read_names, read_spec, write_names, write_spec};
use crate::{
    broadcast::ChannelId,
    ids::MskId,
    keys::{read_msk, write_msk, write_sessions},
    keyserver::{
        ChannelSpec, ClientId, UpdateCause,
        issue::IssuedMsk,
        membership::ServedBy,
        rekey::{Channel, Retiring, Update},
    },
    record::{Clock, Noted, Record, RecordReader, RecordWriter, Table},
};

/// What of a channel has changed since it was kept.
#[derive(Debug, Default)]
pub(in crate::keyserver) struct Changed {
    /// The record of the channel, and its SRTP-ID map.
    parts: Noted<Table>,
    members: Noted<ClientId>,
    expelled: Noted<ClientId>,
}

impl Changed {
    /// For a channel that was restored.
    pub(super) const fn nothing() -> Self {
        Self { parts: Noted::nothing(), members: Noted::nothing(), expelled: Noted::nothing() }
    }

    /// Settings, MSKs, version, or what is due when.
    pub(in crate::keyserver) fn itself(&mut self) {
        self.parts.note(&Table::Channel);
    }

    pub(in crate::keyserver) fn streams(&mut self) {
        self.parts.note(&Table::ChannelStreams);
    }

    pub(in crate::keyserver) fn member(&mut self, client: &ClientId) {
        self.members.note(client);
    }

    pub(in crate::keyserver) fn expelled(&mut self, client: &ClientId) {
        self.expelled.note(client);
    }
}

/// The record of a channel, read back.
pub(super) struct Head {
    pub(super) version: u64,
    pub(super) current: IssuedMsk,
    pub(super) update: Option<Update>,
    pub(super) retiring: Vec<Retiring>,
    pub(super) expires: Option<Instant>,
    pub(super) leave_due: Option<Instant>,
    pub(super) expulsion_due: Option<Instant>,
    pub(super) spec: ChannelSpec,
}

impl Channel {
    pub(super) fn take_changes(&mut self, clock: &Clock, records: &mut Vec<Record>) {
        let id = &self.heading.channel;
        for table in self.changed.parts.take([Table::Channel, Table::ChannelStreams].iter()) {
            let value = match table {
                Table::Channel => self.write(clock),
                _ => {
                    let reported = self.heading.reported().iter();
                    RecordWriter::default().list(reported, |out, (broadcaster, streams)| {
                        let name = broadcaster.as_ref().map(|name| name.as_str().as_bytes());
                        write_sessions(out.option(name, RecordWriter::prefixed), streams)
                    })
                }
            };
            records.push(Record::new(
                RecordWriter::key(table).octets(id.as_str().as_bytes()),
                Some(value),
            ));
        }
        for client in self.changed.members.take(self.members.keys()) {
            let value = self.members.get(&client).map(|member| {
                let number = |msk: Option<MskId>| msk.map(|msk| msk.number);
                let out = RecordWriter::default();
                let out = out.option(number(member.confirmed()), RecordWriter::u16);
                let out = out.option(number(member.may_hold()), RecordWriter::u16);
                match &member.served_by {
                    ServedBy::Caller => out.u8(0),
                    ServedBy::Here => out.u8(1),
                    ServedBy::Pf(name) => out.u8(2).octets(name.as_str().as_bytes()),
                }
            });
            records.push(Record::new(key_of_member(Table::Member, id, &client), value));
        }
        for client in self.changed.expelled.take(self.expelled.iter()) {
            let value = self.expelled.contains(&client).then(RecordWriter::default);
            records.push(Record::new(key_of_member(Table::Expelled, id, &client), value));
        }
    }

    /// The keys of all records that may be kept of it, also of those who were in it when it was kept last.
    pub(in crate::keyserver) fn record_keys(&self) -> impl Iterator<Item = Box<[u8]>> {
        let id = &self.heading.channel;
        let own = [Table::Channel, Table::ChannelStreams]
            .map(|table| RecordWriter::key(table).octets(id.as_str().as_bytes()));
        let members = self.members.keys().chain(self.changed.members.iter());
        let expelled = self.expelled.iter().chain(self.changed.expelled.iter());
        let of = |table| move |client| key_of_member(table, id, client);
        let clients = members.map(of(Table::Member)).chain(expelled.map(of(Table::Expelled)));
        own.into_iter().chain(clients).map(RecordWriter::into_key)
    }

    fn write(&self, clock: &Clock) -> RecordWriter {
        let due = |out: RecordWriter, time: Option<Instant>| {
            out.option(time, |out, time| clock.write(out, time))
        };
        let out = RecordWriter::default().u64(self.version);
        let out = self.current.write(out).option(self.update.as_ref(), |out, update| {
            let out = update.next.write(out).u8(write_cause(update.cause));
            let out = clock.write(clock.write(out, update.deadline), update.switch_by);
            out.u64(update.published).list(update.superseded.iter(), |out, old| old.write(out))
        });
        let out = out.list(self.retiring.iter(), |out, old| {
            clock.write(old.issued.write(out), old.destroy_at)
        });
        let out = due(due(due(out, self.expires), self.leave_due), self.expulsion_due);
        write_spec(out, &self.spec)
    }
}

impl Head {
    pub(super) fn read(value: &[u8], clock: &Clock) -> Option<Self> {
        let mut value = RecordReader::new(value);
        // The key group and the bounds of all times are in the settings, which come last.
        let longest = ChannelSpec::LONGEST_LIFETIME;
        let due = |value: &mut RecordReader<'_>| value.option(|value| clock.read(value, longest));
        let head = Self {
            version: value.u64()?,
            current: IssuedMsk::read(&mut value)?,
            update: value.option(|value| {
                Some(Update {
                    next: Arc::new(IssuedMsk::read(value)?),
                    cause: read_cause(value.u8()?)?,
                    deadline: clock.read(value, longest)?,
                    switch_by: clock.read(value, longest)?,
                    waiting: Default::default(),
                    published: value.u64()?,
                    superseded: value.list(|value| IssuedMsk::read(value).map(Arc::new))?,
                })
            })?,
            retiring: value.list(|value| {
                let issued = Arc::new(IssuedMsk::read(value)?);
                Some(Retiring { issued, destroy_at: clock.read(value, longest)? })
            })?,
            expires: due(&mut value)?,
            leave_due: due(&mut value)?,
            expulsion_due: due(&mut value)?,
            spec: read_spec(&mut value)?,
        };
        value.finish()?;
        Some(head.bounded(clock.now))
    }

    /// No time is further ahead than the settings allow, whatever has happened to the time of day.
    fn bounded(mut self, now: Instant) -> Self {
        let spec = &self.spec;
        let confirm_within = spec.confirm_within;
        if let Some(update) = &mut self.update {
            update.switch_by = update.switch_by.min(now + 2 * confirm_within);
            update.deadline = update.deadline.min(now + confirm_within);
        }
        for old in &mut self.retiring {
            old.destroy_at = old.destroy_at.min(now + spec.grace);
        }
        let least = |due: Option<Instant>, longest| due.map(|due| due.min(now + longest));
        self.expires = spec.msk_lifetime.and_then(|lifetime| least(self.expires, lifetime));
        self.leave_due = least(self.leave_due, spec.leave.window().unwrap_or_default());
        self.expulsion_due = least(self.expulsion_due, spec.expulsion_window);
        self
    }

    /// The identifiers of all its MSKs, the current one first.
    pub(super) fn msk_ids(&self) -> impl Iterator<Item = MskId> {
        let update = self.update.iter().map(|update| update.next.id);
        let retiring = self.retiring.iter().map(|old| old.issued.id);
        [self.current.id].into_iter().chain(update).chain(retiring)
    }
}

impl IssuedMsk {
    fn write(&self, out: RecordWriter) -> RecordWriter {
        let out = out.octets(&self.id.to_bytes());
        write_names(write_msk(out, &self.msk, self.interval), &self.broadcasters)
    }

    fn read(value: &mut RecordReader<'_>) -> Option<Self> {
        let id = MskId::from_bytes(value.array()?);
        let (msk, interval) = read_msk(value)?;
        Some(Self { id, msk: Arc::new(msk), interval, broadcasters: read_names(value)? })
    }
}

/// The key of what a channel knows of a client.
fn key_of_member(table: Table, channel: &ChannelId, client: &ClientId) -> RecordWriter {
    let channel = channel.as_str().as_bytes();
    RecordWriter::key(table).prefixed(channel).octets(client.as_str().as_bytes())
}

fn write_cause(cause: UpdateCause) -> u8 {
    let place = UpdateCause::ALL.iter().position(|known| *known == cause);
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
}

fn read_cause(place: u8) -> Option<UpdateCause> {
    UpdateCause::ALL.get(usize::from(place)).copied()
}
