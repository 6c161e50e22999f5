//! What a PF publishes on the membership bus about its clients, until the bus has it for good (D2).
//!
//! A notice gets its number here, and is kept beside everything else: a crash loses none that was
//! answered for, and no number stands for two.

use std::collections::VecDeque;

use super::{Change, ClientId, KeyServer};
use crate::{
    broadcast::ChannelId,
    error::Error,
    record::{Record, RecordReader, RecordWriter, Table},
};

/// What happened to a client of this PF in a channel that another PF controls.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    /// The channel.
    pub channel: ChannelId,
    /// The client.
    pub client: ClientId,
    /// What happened.
    pub change: Change,
}

impl KeyServer {
    /// Notices that wait to be taken at most; more are refused.
    pub const MAX_OUTBOX: usize = 1 << 16;

    /// Publishes that the same happened to each of these clients: all of them or, after an error,
    /// none. Hand over what [`KeyServer::outbox`] has behind the commit.
    ///
    /// # Errors
    /// A name is too long, or too many notices wait to be taken.
    pub fn publish(
        &mut self,
        channel: &ChannelId,
        clients: &[ClientId],
        change: Change,
    ) -> Result<(), Error> {
        channel.check()?;
        clients.iter().try_for_each(ClientId::check)?;
        let wait = self.outbox.notices.len();
        if clients.len() > Self::MAX_OUTBOX.saturating_sub(wait) {
            return Err(Error::invalid(format!(
                "{wait} events wait to be taken off the membership bus; there is no room for {} more",
                clients.len()
            )));
        }
        for client in clients {
            let (channel, client) = (channel.clone(), client.clone());
            self.outbox.put(Notice { channel, client, change });
        }
        Ok(())
    }

    /// The notices that are not known to be taken behind the one with this number, each with its own:
    /// from 1 on and without gaps, also over restarts.
    pub fn outbox(&self, after: u64) -> impl Iterator<Item = (u64, &Notice)> {
        let first = self.outbox.taken() + 1;
        let known = usize::try_from(after.saturating_sub(first - 1)).unwrap_or(usize::MAX);
        (first..).zip(&self.outbox.notices).skip(known)
    }

    /// All notices up to this number are taken for good: they are kept no longer.
    ///
    /// # Errors
    /// That number was never given here: the bus knows this PF from a state that is lost.
    pub fn notices_taken(&mut self, up_to: u64) -> Result<(), Error> {
        let last = self.outbox.last;
        if up_to > last {
            return Err(Error::invalid(format!(
                "event {up_to} of this PF was taken off the membership bus, but its state knows of {last} \
                 only; give it another name there"
            )));
        }
        while self.outbox.taken() < up_to {
            self.outbox.notices.pop_front();
        }
        Ok(())
    }
}

/// Notices in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    notices: VecDeque<Notice>,
    /// Number of the last one.
    last: u64,
    /// What records say: the last notice taken, and the last one given a number.
    recorded: (u64, u64),
}

impl Outbox {
    /// What has been read from records: the last number given, and the notices with theirs.
    ///
    /// # Errors
    /// The numbers do not lead up to the last one.
    pub(super) fn restored(
        last: u64,
        kept: impl ExactSizeIterator<Item = (u64, Notice)>,
    ) -> Result<Self, Error> {
        let contradiction = || {
            Error::invalid(format!(
                "the kept state contradicts itself: events to publish do not lead up to number {last}"
            ))
        };
        let len = u64::try_from(kept.len()).ok();
        let taken = len.and_then(|len| last.checked_sub(len)).ok_or_else(contradiction)?;
        let mut notices = VecDeque::with_capacity(kept.len());
        for (expected, (number, notice)) in (taken + 1..).zip(kept) {
            if number != expected {
                return Err(contradiction());
            }
            notices.push_back(notice);
        }
        Ok(Self { notices, last, recorded: (taken, last) })
    }

    pub(super) fn take_changes(&mut self, records: &mut Vec<Record>) {
        let taken = self.taken();
        let (was_taken, was_last) = std::mem::replace(&mut self.recorded, (taken, self.last));
        for number in was_taken..taken.min(was_last) {
            records.push(Record::new(key(number + 1), None));
        }
        let known = was_last.max(taken);
        let new = usize::try_from(known - taken).unwrap_or(usize::MAX);
        for (number, notice) in (known + 1..).zip(self.notices.iter().skip(new)) {
            records.push(Record::new(key(number), Some(notice.write())));
        }
        if self.last > was_last {
            let value = RecordWriter::default().u64(self.last);
            records.push(Record::new(RecordWriter::key(Table::Published), Some(value)));
        }
    }

    fn put(&mut self, notice: Notice) {
        self.notices.push_back(notice);
        self.last += 1;
    }

    /// The number of the last notice that is not kept any more.
    fn taken(&self) -> u64 {
        // Every notice has a number, so that there are not more of them than numbers.
        self.last - self.notices.len() as u64
    }
}

impl Notice {
    fn write(&self) -> RecordWriter {
        let change = match self.change {
            Change::Joined => 1,
            Change::Left => 2,
            Change::Expelled => 3,
            Change::Readmitted => 4,
            Change::MskRequested => 5,
        };
        let out = RecordWriter::default().u8(change).prefixed(self.channel.as_str().as_bytes());
        out.octets(self.client.as_str().as_bytes())
    }

    /// Reads what a record says.
    pub(super) fn read(value: &mut RecordReader<'_>) -> Option<Self> {
        let change = match value.u8()? {
            1 => Change::Joined,
            2 => Change::Left,
            3 => Change::Expelled,
            4 => Change::Readmitted,
            5 => Change::MskRequested,
            _ => return None,
        };
        let channel = value.text()?.into();
        Some(Self { channel, client: value.last_text()?.into(), change })
    }
}

fn key(number: u64) -> RecordWriter {
    RecordWriter::key(Table::Outbox).u64(number)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        time::{Instant, SystemTime},
    };

    use super::*;
    use crate::keyserver::Timing;

    #[test]
    fn number_is_never_given_twice_and_nothing_untaken_is_lost_over_restarts() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut disk = BTreeMap::<Box<[u8]>, Vec<u8>>::new();
        let mut server = KeyServer::new(Timing::default());
        let numbers = |server: &KeyServer, after| {
            server.outbox(after).map(|(number, _)| number).collect::<Vec<_>>()
        };
        // Two notices a turn; now and then all are taken, or all but the last, before the commit.
        for turn in 0..20_u64 {
            let clients = ["c1".into(), turn.to_string().as_str().into()];
            server.publish(&"17".into(), &clients, Change::Expelled).unwrap();
            if turn % 3 == 0 {
                server.notices_taken(2 * turn + 1 + turn % 2).unwrap();
            }
            for Record { key, value } in server.take_changes(now, wall) {
                match value {
                    Some(value) => drop(disk.insert(key, value.expose().to_vec())),
                    None => assert!(disk.remove(&key).is_some(), "nothing else is taken back"),
                }
            }
            let kept = disk.iter().map(|(key, value)| (&key[..], &value[..]));
            let restored = KeyServer::restore(Timing::default(), kept, now, wall).unwrap().0;
            assert!(server.outbox(0).eq(restored.outbox(0)));
            assert_eq!(numbers(&restored, 2 * turn + 1), numbers(&server, 2 * turn + 1));
            assert!(server.notices_taken(2 * turn + 3).is_err(), "never given");
            server = restored;
        }
        assert_eq!(numbers(&server, 0), [38, 39, 40]);
        server.notices_taken(40).unwrap();
        assert_eq!(server.outbox(0).count(), 0);
    }

    #[test]
    fn notices_that_nobody_takes_are_refused_in_the_end_and_none_of_many_is_taken_up() {
        let mut server = KeyServer::new(Timing::default());
        let clients = vec![ClientId::from("c1"); KeyServer::MAX_OUTBOX - 1];
        server.publish(&"17".into(), &clients, Change::Left).unwrap();
        let refused = server.publish(&"17".into(), &clients[..2], Change::Left);
        assert!(refused.unwrap_err().to_string().contains("no room for 2 more"));
        server.publish(&"17".into(), &clients[..1], Change::Left).unwrap();
        server.notices_taken(1).unwrap();
        server.publish(&"17".into(), &clients[..1], Change::Left).unwrap();
    }
}
