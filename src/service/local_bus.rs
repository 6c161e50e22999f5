//! A membership bus within one process.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::bus::{BusWake, MembershipBus};
use crate::{
    error::Error,
    keyserver::{MembershipEvent, Notice, Publisher},
};

/// Joins the PFs of one process. It keeps what has not been acknowledged by every other PF that has ever
/// been connected, and need not outlive them: what is lost with it, they publish again.
///
/// Connect every PF before the first service is started: what all that are connected have taken is let
/// go, and does not come to one that is connected later.
///
/// ```
/// use mcast_srtp::{keyserver::{Change, Notice}, service::{LocalBus, MembershipBus}};
///
/// let bus = LocalBus::default();
/// let (mut a, mut b) = (bus.connect("pf-a"), bus.connect("pf-b"));
/// let (channel, client) = ("group 17".into(), "c2".into());
/// b.publish(1, &Notice { channel, client, change: Change::Expelled })?;
/// let events = a.fetch(&"pf-b".into(), 0, 10)?;
/// assert_eq!((events.len(), events[0].sequence), (1, 1));
/// // … apply, commit …
/// a.acknowledge(&"pf-b".into(), 1)?;
/// assert_eq!(b.taken()?, 1);
/// # Ok::<(), mcast_srtp::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct LocalBus(Arc<Mutex<Members>>);

type Members = BTreeMap<Publisher, Member>;

/// A PF on the bus: what it has published, and what it has taken of others.
#[derive(Debug, Default)]
struct Member {
    kept: VecDeque<MembershipEvent>,
    acknowledged: BTreeMap<Publisher, u64>,
    wake: Option<BusWake>,
}

impl LocalBus {
    /// The end of a PF. One that connects again goes on where it was.
    #[must_use]
    pub fn connect(&self, name: &str) -> LocalBusEnd {
        let name = Publisher::from(name);
        self.lock().entry(name.clone()).or_default();
        LocalBusEnd { bus: self.clone(), name }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
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
        let by_all = taken_by_all(&members, publisher);
        if let Some(member) = members.get_mut(publisher) {
            let over = member.kept.partition_point(|event| event.sequence <= by_all);
            member.kept.drain(..over);
        }
        Ok(())
    }

    fn publish(&mut self, sequence: u64, notice: &Notice) -> Result<(), Error> {
        self.name.check()?;
        let mut members = self.bus.lock();
        let taken = taken_by_all(&members, &self.name);
        let own = members.entry(self.name.clone()).or_default();
        if sequence <= own.kept.back().map_or(taken, |last| last.sequence) {
            return Ok(());
        }
        let Notice { channel, client, change } = notice.clone();
        let publisher = self.name.clone();
        own.kept.push_back(MembershipEvent { publisher, sequence, channel, client, change });
        let others = members.iter().filter(|(name, _)| **name != self.name);
        let wakes: Vec<_> = others.filter_map(|(_, other)| other.wake.clone()).collect();
        drop(members);
        wakes.iter().for_each(BusWake::wake);
        Ok(())
    }

    fn taken(&mut self) -> Result<u64, Error> {
        Ok(taken_by_all(&self.bus.lock(), &self.name))
    }

    fn on_news(&mut self, wake: BusWake) {
        self.bus.lock().entry(self.name.clone()).or_default().wake = Some(wake);
    }
}

/// The number up to which all others have taken the events of a publisher; without others none.
fn taken_by_all(members: &Members, publisher: &Publisher) -> u64 {
    let others = members.iter().filter(|(name, _)| *name != publisher);
    let taken = others.map(|(_, other)| other.acknowledged.get(publisher).copied());
    taken.map(Option::unwrap_or_default).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyserver::Change;

    fn publish(end: &mut LocalBusEnd, sequence: u64) {
        let (channel, client) = ("17".into(), "c1".into());
        end.publish(sequence, &Notice { channel, client, change: Change::Left }).unwrap();
    }

    fn numbers(end: &mut LocalBusEnd, publisher: &str, after: u64) -> Vec<u64> {
        let events = end.fetch(&publisher.into(), after, 3).unwrap();
        events.iter().map(|event| event.sequence).collect()
    }

    #[test]
    fn what_one_pf_has_not_acknowledged_is_kept_for_it() {
        let bus = LocalBus::default();
        let (mut a, mut b, mut c) = (bus.connect("a"), bus.connect("b"), bus.connect("c"));
        (1..=4).for_each(|sequence| publish(&mut b, sequence));
        assert_eq!(numbers(&mut a, "b", 0), [1, 2, 3]);
        a.acknowledge(&"b".into(), 3).unwrap();
        assert_eq!(b.taken().unwrap(), 0);
        assert_eq!(numbers(&mut c, "b", 0), [1, 2, 3]);
        c.acknowledge(&"b".into(), 2).unwrap();
        assert_eq!(b.taken().unwrap(), 2);
        assert_eq!(numbers(&mut bus.connect("c"), "b", 0), [3, 4], "for c after its restart");
        assert_eq!(a.publishers(), ["b".into(), "c".into()]);
    }

    #[test]
    fn what_a_pf_publishes_again_after_its_restart_comes_once() {
        let bus = LocalBus::default();
        let (mut a, mut b) = (bus.connect("a"), bus.connect("b"));
        // The bus is new, the PFs are not.
        [7, 8, 7, 8, 9].into_iter().for_each(|sequence| publish(&mut b, sequence));
        assert_eq!(numbers(&mut a, "b", 0), [7, 8, 9]);
        a.acknowledge(&"b".into(), 9).unwrap();
        [8, 9, 10].into_iter().for_each(|sequence| publish(&mut b, sequence));
        assert_eq!(numbers(&mut a, "b", 0), [10]);
        assert_eq!(b.taken().unwrap(), 9);
    }
}
