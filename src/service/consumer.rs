//! The membership bus as the service's thread uses it: events in, exactly once, acknowledged behind the
//! commit; notices out, behind the commit as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use super::{
    apply::{Desk, random},
    bus::MembershipBus,
    counters::Counts,
    effect::Effects,
    event::EventKind,
};
use crate::{
    broadcast::ChannelId,
    error::Error,
    keyserver::{Change, Consumed, KeyServer, MembershipEvent, Publisher},
};

/// What has been taken off the bus, and put on it.
#[derive(Debug)]
pub(super) struct Consumer {
    bus: Box<dyn MembershipBus>,
    /// Channels that another PF controls.
    elsewhere: BTreeSet<ChannelId>,
    /// What the bus knows to be taken, of each publisher.
    acknowledged: BTreeMap<Publisher, u64>,
    /// The number of the last notice that the bus has.
    published: u64,
    /// Gaps that have been told.
    gaps: BTreeMap<Publisher, u64>,
    /// What the bus failed at when it was asked last.
    failing: BTreeSet<Call>,
    /// Why nothing of this PF gets to others, if it never will.
    unknown: Option<String>,
    next: Instant,
    next_publish: Instant,
}

/// What the bus is asked, each with its own faults.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Call {
    Fetch(Publisher),
    Publish,
    Taken,
}

impl Consumer {
    pub(super) fn new(
        bus: Box<dyn MembershipBus>,
        elsewhere: BTreeSet<ChannelId>,
        now: Instant,
    ) -> Self {
        Self {
            bus,
            elsewhere,
            acknowledged: BTreeMap::new(),
            published: 0,
            gaps: BTreeMap::new(),
            failing: BTreeSet::new(),
            unknown: None,
            next: now,
            next_publish: now,
        }
    }

    /// When the bus is to be asked again.
    pub(super) const fn due(&self) -> Instant {
        self.next
    }

    /// There may be news.
    pub(super) const fn wake(&mut self, now: Instant) {
        self.next = now;
    }

    /// Whether another PF controls this channel.
    pub(super) fn is_elsewhere(&self, channel: &ChannelId) -> bool {
        self.elsewhere.contains(channel)
    }

    /// Why nothing can be published, if that is known.
    pub(super) fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// Takes what there is, up to `limit` events of each publisher, if it is time to.
    pub(super) fn take(&mut self, desk: &mut Desk<'_>, limit: usize) {
        if desk.now < self.next {
            return;
        }
        self.next = desk.now + AGAIN;
        self.let_go(desk);
        let publishers = caught(|| Ok(self.bus.publishers())).unwrap_or_default();
        for publisher in publishers {
            let after = taken(desk.server, &publisher);
            match self.fetch(&publisher, after, limit) {
                Ok(events) => {
                    self.failing.remove(&Call::Fetch(publisher.clone()));
                    self.consume(&events, desk);
                    // There may be more, unless what is there does not lead on.
                    if events.len() >= limit && taken(desk.server, &publisher) > after {
                        self.next = desk.now;
                    }
                }
                Err(error) => {
                    self.failed(Call::Fetch(publisher), &error, desk.effects, desk.counts);
                }
            }
        }
    }

    /// Forgets the notices that need not be published again.
    fn let_go(&mut self, desk: &mut Desk<'_>) {
        match caught(|| self.bus.taken()) {
            Ok(up_to) => {
                self.failing.remove(&Call::Taken);
                let known = desk.server.notices_taken(up_to).map_err(|error| error.to_string());
                let unknown = known.err();
                if let Some(why) = unknown.clone().filter(|_| self.unknown.is_none()) {
                    desk.tell(None, EventKind::BusFailed { why });
                }
                self.unknown = unknown;
            }
            Err(error) => self.failed(Call::Taken, &error, desk.effects, desk.counts),
        }
    }

    /// Events of a publisher whose name can be kept.
    fn fetch(
        &mut self,
        publisher: &Publisher,
        after: u64,
        limit: usize,
    ) -> Result<Vec<MembershipEvent>, Error> {
        publisher.check()?;
        let events = caught(|| self.bus.fetch(publisher, after, limit))?;
        match events.iter().find(|event| event.publisher != *publisher) {
            Some(_) => Err(Error::invalid(format!(
                "the membership bus gave events of another publisher as those of {publisher}"
            ))),
            None => Ok(events),
        }
    }

    fn consume(&mut self, events: &[MembershipEvent], desk: &mut Desk<'_>) {
        for event in events {
            let MembershipEvent { publisher, sequence, channel, client, change } = event;
            let was_so = is_so(desk.server, event);
            match desk.server.consume(event, desk.now, &mut random) {
                Ok(Consumed::Applied(actions)) => {
                    self.gaps.remove(publisher);
                    desk.counts.bus_events.add(1);
                    let client = client.clone();
                    let kind = match change {
                        Change::Joined => Some(EventKind::Joined { client }),
                        Change::Left => Some(EventKind::Left { client }),
                        Change::Expelled => Some(EventKind::Expelled { client }),
                        Change::Readmitted => Some(EventKind::Readmitted { client }),
                        // What is sent is told.
                        Change::MskRequested => None,
                    };
                    if let Some(kind) = kind.filter(|_| !was_so && is_so(desk.server, event)) {
                        desk.tell(Some(channel), kind);
                    }
                    desk.act(actions);
                }
                Ok(Consumed::Repeated) => desk.counts.bus_repeated.add(1),
                Ok(Consumed::Missing { expected }) => {
                    desk.counts.bus_gaps.add(1);
                    let told = self.gaps.insert(publisher.clone(), expected);
                    if told != Some(expected) {
                        let publisher = publisher.clone();
                        desk.tell(None, EventKind::BusGap { publisher, expected });
                    }
                    return;
                }
                // It is for the PF that controls the channel.
                Err(_) if self.is_elsewhere(channel) => desk.counts.bus_ignored.add(1),
                // It is consumed all the same: what cannot be done now cannot be done again.
                Err(error) => {
                    desk.counts.bus_events_failed.add(1);
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

    /// What this PF has to say is durable: it goes on the bus, after a restart once more.
    pub(super) fn publish(
        &mut self,
        server: &KeyServer,
        now: Instant,
        effects: &mut Effects,
        counts: &Counts,
    ) {
        if now < self.next_publish {
            return;
        }
        for (sequence, notice) in server.outbox(self.published) {
            if let Err(error) = caught(|| self.bus.publish(sequence, notice)) {
                self.next_publish = now + AGAIN;
                self.failed(Call::Publish, &error, effects, counts);
                return;
            }
            self.published = sequence;
            counts.bus_published.add(1);
            self.failing.remove(&Call::Publish);
        }
    }

    fn failed(&mut self, call: Call, error: &Error, effects: &mut Effects, counts: &Counts) {
        counts.bus_failures.add(1);
        if self.failing.insert(call) {
            effects.tell(None, EventKind::BusFailed { why: error.to_string() });
        }
    }
}

/// Whether that what an event says is so.
fn is_so(server: &KeyServer, event: &MembershipEvent) -> bool {
    let MembershipEvent { channel, client, change, .. } = event;
    match change {
        Change::Joined => server.is_member(channel, client),
        Change::Left => !server.is_member(channel, client),
        Change::Expelled => server.is_expelled(channel, client),
        Change::Readmitted => !server.is_expelled(channel, client),
        Change::MskRequested => false,
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
