//! What of a key server must survive a restart (D6), as records.
//!
//! | record | changes with | octets of its value |
//! |---|---|---|
//! | client: MUK, reach | add, renew, relocate, remove | about 100 |
//! | counter under the MUK | each message to the client | 4 |
//! | key number of a key group | each MSK | 2 |
//! | channel: settings, MSKs, what is due when | settings, windows, updates, switches | about 250 |
//! | SRTP-ID map of a channel | streams told by the broadcaster | 9 each |
//! | member: the newest MSK it is known to hold, the one it may hold | join, leave, confirmation | 6 |
//! | expelled client | expulsion, readmission | 0 |
//! | highest counter under a MUK that is gone | removal, renewal | 4 |
//! | closed channels: version of the last document | close | 8 |
//! | last document of a broadcaster: version, key group | close, settings, its word | about 50 |
//! | publisher: the last event consumed | each event | 8 |
//! | event published and not known to be taken | publishing, the word of the bus | about 30 |
//! | number of the last event published | publishing | 8 |
//!
//! So an update for 10 000 members is one record of the channel and 10 000 of counters; a confirmation is
//! one of a member. Times are in time of day. Not in the records: deliveries under way, which start over
//! with new counters, and what broadcasters hold, which they tell again.

mod channel;
mod restore;
mod spec;

pub(super) use channel::Changed;

use std::{
    iter,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    time::{Instant, SystemTime},
};

use super::{
    KeyServer, Reach,
    ended::{End, Place},
    roster::{Client, Roster},
};
use crate::{
    ids::{KeyDomainId, MskId},
    keys::{read_profile, write_key_group, write_profile},
    record::{Clock, Record, RecordReader, RecordWriter, Table},
};

impl KeyServer {
    /// What has changed since the last call, to be kept before the actions of the calls between are
    /// carried out: then after a crash no counter, key number or MTK ID is used twice, nobody who
    /// was expelled is given a key, and nobody is forgotten. `wall` is the time of day at `now`.
    ///
    /// The first call gives all there is; before it nothing is noted. Costs the encoding of what has
    /// changed, a fraction of a microsecond a record, and a look at each channel.
    pub fn take_changes(&mut self, now: Instant, wall: SystemTime) -> Vec<Record> {
        let mut records = Vec::new();
        // First, because a channel that was closed may be open again.
        let gone = self.gone.take(iter::empty());
        records.extend(gone.into_iter().map(|key| Record { key, value: None }));
        self.roster.take_changes(&mut records);
        for (key_group, last) in self.numbers.0.take_changes() {
            let key = write_key_group(RecordWriter::key(Table::KeyNumber), &key_group);
            records.push(Record::new(key, last.map(|last| RecordWriter::default().u16(last))));
        }
        let clock = Clock { now, wall };
        for channel in self.channels.values_mut() {
            channel.take_changes(&clock, &mut records);
        }
        if self.closed_version > self.kept_closed_version {
            self.kept_closed_version = self.closed_version;
            let value = RecordWriter::default().u64(self.closed_version);
            records.push(Record::new(RecordWriter::key(Table::Closed), Some(value)));
        }
        for (place, end) in self.ended.0.take_changes() {
            records.push(Record::new(key_of_end(&place), end.map(End::write)));
        }
        for (publisher, last) in self.ledger.0.take_changes() {
            let value = last.map(|last| RecordWriter::default().u64(last));
            records.push(Record::new(named(Table::Consumed, publisher.as_str()), value));
        }
        self.outbox.take_changes(&mut records);
        records
    }
}

impl Roster {
    fn take_changes(&mut self, records: &mut Vec<Record>) {
        for id in self.changed.take(self.clients.keys()) {
            let value = self.get(&id).map(Client::write);
            records.push(Record::new(named(Table::Client, id.as_str()), value));
        }
        for id in self.counted.take(self.clients.keys()) {
            let counter = self.get(&id).map(Client::last_counter);
            let value = counter.map(|counter| RecordWriter::default().u32(counter));
            records.push(Record::new(named(Table::Counter, id.as_str()), value));
        }
        for () in self.floor_changed.take([()].iter()) {
            let value = RecordWriter::default().u32(self.floor);
            records.push(Record::new(RecordWriter::key(Table::CounterFloor), Some(value)));
        }
    }
}

impl End {
    fn write(self) -> RecordWriter {
        let out = RecordWriter::default().u64(self.order).u64(self.version);
        write_profile(out.octets(&self.domain.0), &self.profile).octets(&self.in_force.to_bytes())
    }

    fn read(value: &mut RecordReader<'_>) -> Option<Self> {
        Some(Self {
            order: value.u64()?,
            version: value.u64()?,
            domain: KeyDomainId(value.array()?),
            profile: read_profile(value)?,
            in_force: MskId::from_bytes(value.array()?),
        })
    }
}

fn key_of_end((channel, broadcaster): &Place) -> RecordWriter {
    let out = RecordWriter::key(Table::Ended).prefixed(channel.as_str().as_bytes());
    out.option(broadcaster.as_ref(), |out, name| out.octets(name.as_str().as_bytes()))
}

impl Client {
    fn write(&self) -> RecordWriter {
        let out = RecordWriter::default().prefixed(self.muk_id.idi.as_bytes());
        let out = out.prefixed(self.muk_id.idr.as_bytes()).octets(self.muk.0.expose());
        match self.reach {
            Reach::Sdp => out.u8(0),
            Reach::Udp(SocketAddr::V4(address)) => {
                out.u8(4).octets(&address.ip().octets()).u16(address.port())
            }
            // A link-local address is none without the interface.
            Reach::Udp(SocketAddr::V6(address)) => {
                let out = out.u8(6).octets(&address.ip().octets()).u16(address.port());
                out.u32(address.scope_id())
            }
        }
    }
}

fn read_reach(value: &mut RecordReader<'_>) -> Option<Reach> {
    Some(match value.u8()? {
        0 => Reach::Sdp,
        4 => {
            let ip = Ipv4Addr::from(value.array::<4>()?);
            Reach::Udp(SocketAddrV4::new(ip, value.u16()?).into())
        }
        6 => {
            let (ip, port) = (Ipv6Addr::from(value.array::<16>()?), value.u16()?);
            Reach::Udp(SocketAddrV6::new(ip, port, 0, value.u32()?).into())
        }
        _ => return None,
    })
}

/// The key of a record of something that has a name.
fn named(table: Table, name: &str) -> RecordWriter {
    RecordWriter::key(table).octets(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        keys::{Muk, MukId},
        secret::Secret,
    };

    #[test]
    fn way_to_a_client_is_the_same_after_a_restart_its_interface_included() {
        let v6 = |scope| SocketAddrV6::new(Ipv6Addr::LOCALHOST, 2269, 0, scope).into();
        let v4 = SocketAddr::from(([192, 0, 2, 1], 2269));
        for reach in [Reach::Sdp, Reach::Udp(v4), Reach::Udp(v6(0)), Reach::Udp(v6(7))] {
            let mut roster = Roster::default();
            let (id, muk) = (super::super::ClientId::from("c1"), Muk(Secret::new([1; 32])));
            let muk_id = MukId { idi: "a".into(), idr: "b".into() };
            roster.add(&id, muk_id, Arc::new(muk), reach, None).unwrap();
            let value = roster.get(&id).unwrap().write().into_value();
            let mut value = RecordReader::new(value.expose());
            assert_eq!((value.text(), value.text()), (Some("a"), Some("b")));
            value.octets(32).unwrap();
            assert_eq!(read_reach(&mut value), Some(reach));
            value.finish().unwrap();
        }
    }
}
