//! The membership bus as the service's thread uses it: events in, exactly once, acknowledged behind
//! the commit.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use super::{
    apply::{Desk, random},
    bus::MembershipBus,
    counters::Counts,
    event::EventKind,
};
use crate::{
    broadcast::ChannelId,
    error::Error,
    keyserver::{Change, ClientId, Consumed, KeyServer, MembershipEvent, Publisher},
};

/// What has been taken off the bus.
#[derive(Debug)]
pub(super) struct Consumer {
    bus: Box<dyn MembershipBus>,
    /// What the bus knows to be taken, of each publisher.
    acknowledged: BTreeMap<Publisher, u64>,
    /// Gaps that have been told.
    gaps: BTreeMap<Publisher, u64>,
    /// The bus failed when it was asked last.
    failing: bool,
    next: Instant,
}

impl Consumer {
    pub(super) fn new(bus: Box<dyn MembershipBus>, now: Instant) -> Self {
        let (acknowledged, gaps) = (BTreeMap::new(), BTreeMap::new());
        Self { bus, acknowledged, gaps, failing: false, next: now }
    }

    /// When the bus is to be asked again.
    pub(super) const fn due(&self) -> Instant {
        self.next
    }

    /// There may be news.
    pub(super) const fn wake(&mut self, now: Instant) {
        self.next = now;
    }

    /// Takes what there is, up to `limit` events of each publisher, if it is time to.
    pub(super) fn take(&mut self, desk: &mut Desk<'_>, limit: usize, counts: &Counts) {
        if desk.now < self.next {
            return;
        }
        self.next = desk.now + AGAIN;
        let publishers = caught(|| Ok(self.bus.publishers())).unwrap_or_default();
        for publisher in publishers {
            let after = taken(desk.server, &publisher);
            match caught(|| self.bus.fetch(&publisher, after, limit)) {
                Ok(events) => {
                    self.failing = false;
                    self.consume(&events, desk, counts);
                    // There may be more, unless what is there does not lead on.
                    if events.len() >= limit && taken(desk.server, &publisher) > after {
                        self.next = desk.now;
                    }
                }
                Err(error) => self.failed(&error, desk, counts),
            }
        }
    }

    fn consume(&mut self, events: &[MembershipEvent], desk: &mut Desk<'_>, counts: &Counts) {
        for event in events {
            let MembershipEvent { publisher, sequence, channel, client, change } = event;
            let news = match change {
                Change::Joined => !desk.server.is_member(channel, client),
                Change::Left => desk.server.is_member(channel, client),
                Change::Expelled => !desk.server.is_expelled(channel, client),
            };
            match desk.server.consume(event, desk.now, &mut random) {
                Ok(Consumed::Applied(actions)) => {
                    self.gaps.remove(publisher);
                    counts.bus_events.add(1);
                    let client = client.clone();
                    let kind = match change {
                        Change::Joined => EventKind::Joined { client },
                        Change::Left => EventKind::Left { client },
                        Change::Expelled => EventKind::Expelled { client },
                    };
                    if news {
                        desk.tell(Some(channel), kind);
                    }
                    desk.act(actions);
                }
                Ok(Consumed::Repeated) => counts.bus_repeated.add(1),
                Ok(Consumed::Missing { expected }) => {
                    counts.bus_gaps.add(1);
                    let told = self.gaps.insert(publisher.clone(), expected);
                    if told != Some(expected) {
                        let publisher = publisher.clone();
                        desk.tell(None, EventKind::BusGap { publisher, expected });
                    }
                    return;
                }
                // It is consumed all the same: what cannot be done now cannot be done again.
                Err(error) => {
                    counts.bus_events_failed.add(1);
                    let (publisher, why) = (publisher.clone(), error.to_string());
                    let sequence = *sequence;
                    desk.tell(
                        Some(channel),
                        EventKind::BusEventFailed { publisher, sequence, why },
                    );
                }
            }
        }
    }

    /// Publishes what happened to a client of this PF.
    pub(super) fn publish(
        &mut self,
        channel: &ChannelId,
        client: &ClientId,
        change: Change,
    ) -> Result<u64, Error> {
        caught(|| self.bus.publish(channel, client, change))
    }

    /// What has been taken is durable: the bus may let it go. After a restart it is told once more.
    pub(super) fn acknowledge(&mut self, server: &KeyServer, counts: &Counts) {
        for (publisher, taken) in server.consumed() {
            let acknowledged = self.acknowledged.get(publisher).copied();
            if acknowledged.is_some_and(|acknowledged| acknowledged >= taken) {
                continue;
            }
            match caught(|| self.bus.acknowledge(publisher, taken)) {
                Ok(()) => drop(self.acknowledged.insert(publisher.clone(), taken)),
                Err(_) => counts.bus_failures.add(1),
            }
        }
    }

    fn failed(&mut self, error: &Error, desk: &mut Desk<'_>, counts: &Counts) {
        counts.bus_failures.add(1);
        if !std::mem::replace(&mut self.failing, true) {
            desk.tell(None, EventKind::BusFailed { why: error.to_string() });
        }
    }
}

/// Calls the bus, which is not ours, and may panic without taking the thread along.
fn caught<T>(call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(Error::invalid("the membership bus has panicked")))
}

fn taken(server: &KeyServer, publisher: &Publisher) -> u64 {
    let mut consumed = server.consumed();
    consumed.find(|(name, _)| *name == publisher).map_or(0, |(_, last)| last)
}

/// How often a bus is asked that says nothing.
const AGAIN: Duration = Duration::from_secs(1);
