//! A membership bus within one process.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::bus::{BusWake, MembershipBus};
use crate::{
    broadcast::ChannelId,
    error::Error,
    keyserver::{Change, ClientId, MembershipEvent, Publisher},
};

/// Joins the PFs of one process. It keeps what has not been acknowledged by every other PF that has
/// ever been connected, up to [`LocalBus::MAX_KEPT`] events of each publisher.
///
/// ```
/// use mcast_srtp::{keyserver::Change, service::{LocalBus, MembershipBus}};
///
/// let bus = LocalBus::default();
/// let (mut a, mut b) = (bus.connect("pf-a"), bus.connect("pf-b"));
/// b.publish(&"group 17".into(), &"c2".into(), Change::Expelled)?;
/// let events = a.fetch(&"pf-b".into(), 0, 10)?;
/// assert_eq!((events.len(), events[0].sequence), (1, 1));
/// // … apply, commit …
/// a.acknowledge(&"pf-b".into(), 1)?;
/// # Ok::<(), mcast_srtp::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct LocalBus(Arc<Mutex<BTreeMap<Publisher, Member>>>);

/// A PF on the bus: what it has published, and what it has taken of others.
#[derive(Debug, Default)]
struct Member {
    kept: VecDeque<MembershipEvent>,
    last: u64,
    acknowledged: BTreeMap<Publisher, u64>,
    wake: Option<BusWake>,
}

impl LocalBus {
    /// Events of one publisher that are kept at most; more are refused until other PFs have taken
    /// some.
    pub const MAX_KEPT: usize = 1 << 16;

    /// The end of a PF. One that connects again goes on where it was.
    #[must_use]
    pub fn connect(&self, name: &str) -> LocalBusEnd {
        let name = Publisher::from(name);
        self.lock().entry(name.clone()).or_default();
        LocalBusEnd { bus: self.clone(), name }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Publisher, Member>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One PF's end of a [`LocalBus`].
#[derive(Debug)]
pub struct LocalBusEnd {
    bus: LocalBus,
    name: Publisher,
}

impl MembershipBus for LocalBusEnd {
    fn publishers(&mut self) -> Vec<Publisher> {
        self.bus.lock().keys().filter(|name| **name != self.name).cloned().collect()
    }

    fn fetch(
        &mut self,
        publisher: &Publisher,
        after: u64,
        limit: usize,
    ) -> Result<Vec<MembershipEvent>, Error> {
        let members = self.bus.lock();
        let kept = members.get(publisher).into_iter().flat_map(|member| &member.kept);
        Ok(kept.filter(|event| event.sequence > after).take(limit).cloned().collect())
    }

    fn acknowledge(&mut self, publisher: &Publisher, sequence: u64) -> Result<(), Error> {
        let mut members = self.bus.lock();
        if let Some(own) = members.get_mut(&self.name) {
            let acknowledged = own.acknowledged.entry(publisher.clone()).or_default();
            *acknowledged = sequence.max(*acknowledged);
        }
        let others = members.iter().filter(|(name, _)| *name != publisher);
        let taken = others.map(|(_, other)| other.acknowledged.get(publisher).copied());
        let by_all = taken.map(Option::unwrap_or_default).min().unwrap_or_default();
        if let Some(member) = members.get_mut(publisher) {
            let over = member.kept.partition_point(|event| event.sequence <= by_all);
            member.kept.drain(..over);
        }
        Ok(())
    }

    fn publish(
        &mut self,
        channel: &ChannelId,
        client: &ClientId,
        change: Change,
    ) -> Result<u64, Error> {
        let mut members = self.bus.lock();
        let own = members.entry(self.name.clone()).or_default();
        if own.kept.len() >= LocalBus::MAX_KEPT {
            return Err(Error::invalid(format!(
                "the membership bus holds {} events of {} that nobody has taken",
                own.kept.len(),
                self.name
            )));
        }
        own.last += 1;
        let sequence = own.last;
        own.kept.push_back(MembershipEvent {
            publisher: self.name.clone(),
            sequence,
            channel: channel.clone(),
            client: client.clone(),
            change,
        });
        let others = members.iter().filter(|(name, _)| **name != self.name);
        let wakes: Vec<_> = others.filter_map(|(_, other)| other.wake.clone()).collect();
        drop(members);
        wakes.iter().for_each(BusWake::wake);
        Ok(sequence)
    }

    fn on_news(&mut self, wake: BusWake) {
        self.bus.lock().entry(self.name.clone()).or_default().wake = Some(wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(end: &mut LocalBusEnd, count: u64) {
        for _ in 0..count {
            end.publish(&"17".into(), &"c1".into(), Change::Left).unwrap();
        }
    }

    fn numbers(end: &mut LocalBusEnd, publisher: &str, after: u64) -> Vec<u64> {
        let events = end.fetch(&publisher.into(), after, 3).unwrap();
        events.iter().map(|event| event.sequence).collect()
    }

    #[test]
    fn what_one_pf_has_not_acknowledged_is_kept_for_it() {
        let bus = LocalBus::default();
        let (mut a, mut b, mut c) = (bus.connect("a"), bus.connect("b"), bus.connect("c"));
        publish(&mut b, 4);
        assert_eq!(numbers(&mut a, "b", 0), [1, 2, 3]);
        a.acknowledge(&"b".into(), 3).unwrap();
        assert_eq!(numbers(&mut c, "b", 0), [1, 2, 3]);
        c.acknowledge(&"b".into(), 2).unwrap();
        assert_eq!(numbers(&mut bus.connect("c"), "b", 0), [3, 4], "for c after its restart");
        assert_eq!(a.publishers(), ["b".into(), "c".into()]);
    }

    #[test]
    fn events_that_nobody_takes_are_refused_in_the_end() {
        let bus = LocalBus::default();
        let (mut a, mut b) = (bus.connect("a"), bus.connect("b"));
        publish(&mut b, LocalBus::MAX_KEPT as u64);
        let refused = b.publish(&"17".into(), &"c1".into(), Change::Left);
        assert!(refused.unwrap_err().to_string().contains("nobody has taken"));
        a.acknowledge(&"b".into(), 1).unwrap();
        publish(&mut b, 1);
        assert_eq!(
            numbers(&mut a, "b", LocalBus::MAX_KEPT as u64),
            [LocalBus::MAX_KEPT as u64 + 1]
        );
    }
}
