//! Fear: a client that another PF serves is expelled there, and hears on here; or a crash or a bus
//! that stutters makes it count twice.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use mcast_srtp::{
    Error,
    broadcast::ChannelId,
    keyserver::{Change, ClientId, MembershipEvent, Publisher},
    service::{
        BusWake, EventKind, KeyServiceOptions, LocalBus, LocalBusEnd, MembershipBus, RefusedKind,
        Request,
    },
};

use crate::world::{CHANNEL, LATE, World, expel, join, leave};

/// The PF that controls the channel.
fn pf_a(bus: impl MembershipBus + 'static) -> impl FnOnce(&mut KeyServiceOptions) {
    |options| {
        options.timing.udp = LATE;
        options.bus = Some(Box::new(bus));
    }
}

/// A PF that serves clients of the channel.
fn pf_b(bus: &LocalBus) -> World {
    World::with(|options| {
        options.bus = Some(Box::new(bus.connect("pf-b")));
        options.elsewhere = [CHANNEL.into()].into();
    })
}

#[test]
fn client_served_and_expelled_at_another_pf_gets_no_key_of_the_update_that_follows() {
    let bus = LocalBus::default();
    let (mut a, b) = (World::with(pf_a(bus.connect("pf-a"))), pf_b(&bus));
    a.open(|_| ());
    let (mut c1, mut c2) = (a.member("c1"), a.add("c2"));
    assert!(b.does(join("c2")).changed);
    assert_eq!(c2.confirms(), 1);
    a.wait_for(|kind| matches!(kind, EventKind::Confirmed { .. }));

    assert!(b.does(expel(&["c2"])).changed);
    a.wait_for(|kind| matches!(kind, EventKind::Expelled { .. }));
    assert_eq!(c1.confirms(), 2);
    a.wait_for(|kind| matches!(kind, EventKind::Switched { .. }));
    assert!(c2.hears_nothing());
    assert_eq!(a.refuses(join("c2")).0, RefusedKind::Conflict);

    // The answer to B's client was lost: it is asked and published again.
    b.does(expel(&["c2"]));
    b.does(leave("c1"));
    a.wait_for(|kind| matches!(kind, EventKind::Left { .. }));
    assert_eq!(a.current(), 2);
    let counters = a.service.counters();
    assert_eq!((counters.bus_events, counters.updates), (4, 1));
    assert_eq!(b.service.counters().bus_published, 4);
}

/// A stream that gives everything again that it does not know to be taken, whatever is asked for,
/// and loses what it is told.
#[derive(Debug)]
struct Stutters {
    end: LocalBusEnd,
    /// Acknowledgements are lost while this is set.
    deaf: Arc<AtomicBool>,
    /// This event is not there yet.
    late: Arc<AtomicU64>,
}

impl MembershipBus for Stutters {
    fn publishers(&mut self) -> Vec<Publisher> {
        self.end.publishers()
    }

    fn fetch(
        &mut self,
        publisher: &Publisher,
        _after: u64,
        limit: usize,
    ) -> Result<Vec<MembershipEvent>, Error> {
        let late = self.late.load(Ordering::Relaxed);
        let mut events = self.end.fetch(publisher, 0, limit)?;
        events.retain(|event| event.sequence != late);
        let twice = events.clone();
        events.extend(twice);
        Ok(events)
    }

    fn acknowledge(&mut self, publisher: &Publisher, sequence: u64) -> Result<(), Error> {
        if self.deaf.load(Ordering::Relaxed) {
            return Err(Error::Invalid("the connection is gone".to_owned()));
        }
        self.end.acknowledge(publisher, sequence)
    }

    fn publish(
        &mut self,
        channel: &ChannelId,
        client: &ClientId,
        change: Change,
    ) -> Result<u64, Error> {
        self.end.publish(channel, client, change)
    }

    fn on_news(&mut self, wake: BusWake) {
        self.end.on_news(wake);
    }
}

#[test]
fn events_that_come_twice_or_again_after_a_crash_before_their_acknowledgement_count_once() {
    let bus = LocalBus::default();
    let (deaf, late) = (Arc::new(AtomicBool::new(true)), Arc::default());
    let stutters =
        || Stutters { end: bus.connect("pf-a"), deaf: Arc::clone(&deaf), late: Arc::clone(&late) };
    let (mut a, mut b) = (World::with(pf_a(stutters())), bus.connect("pf-b"));
    a.open(|_| ());
    let mut c1 = a.member("c1");
    b.publish(&CHANNEL.into(), &"c2".into(), Change::Expelled).unwrap();
    assert_eq!(c1.confirms(), 2);
    a.wait_for(|kind| matches!(kind, EventKind::Switched { .. }));
    assert!(a.service.counters().bus_failures > 0);

    // It is durable, but the bus does not know.
    a.restart(pf_a(stutters()));
    deaf.store(false, Ordering::Relaxed);
    b.publish(&CHANNEL.into(), &"c1".into(), Change::Left).unwrap();
    a.wait_for(|kind| matches!(kind, EventKind::Left { .. }));
    assert_eq!(a.current(), 2);
    let counters = a.service.counters();
    assert_eq!((counters.bus_events, counters.updates), (1, 0));
    assert!(counters.bus_repeated > 0);
}

#[test]
fn nothing_behind_a_gap_is_taken_before_what_is_missing_has_come() {
    let bus = LocalBus::default();
    let (deaf, late) = (Arc::default(), Arc::new(AtomicU64::new(1)));
    let (end, gap) = (bus.connect("pf-a"), Arc::clone(&late));
    let mut a = World::with(pf_a(Stutters { end, deaf, late }));
    let mut b = bus.connect("pf-b");
    a.open(|_| ());
    let c2 = a.add("c2");
    b.publish(&CHANNEL.into(), &"c2".into(), Change::Joined).unwrap();
    b.publish(&CHANNEL.into(), &"c2".into(), Change::Expelled).unwrap();
    let told = a.wait_for(|kind| matches!(kind, EventKind::BusGap { .. }));
    assert_eq!(told.kind, EventKind::BusGap { publisher: "pf-b".into(), expected: 1 });
    assert!(c2.hears_nothing());
    assert_eq!(a.current(), 1);
    gap.store(0, Ordering::Relaxed);
    a.wait_for(|kind| matches!(kind, EventKind::Joined { .. }));
    a.wait_for(|kind| matches!(kind, EventKind::Switched { .. }));
    assert_eq!(a.current(), 2);
}

#[test]
fn event_that_cannot_be_applied_is_told_and_does_not_block_those_behind_it() {
    let bus = LocalBus::default();
    let mut a = World::with(pf_a(bus.connect("pf-a")));
    let mut b = bus.connect("pf-b");
    a.open(|_| ());
    b.publish(&"18".into(), &"c1".into(), Change::Joined).unwrap();
    b.publish(&CHANNEL.into(), &"stranger".into(), Change::Joined).unwrap();
    b.publish(&CHANNEL.into(), &"stranger".into(), Change::Expelled).unwrap();
    a.wait_for(|kind| matches!(kind, EventKind::BusEventFailed { sequence: 1, .. }));
    a.wait_for(|kind| matches!(kind, EventKind::BusEventFailed { sequence: 2, .. }));
    a.wait_for(|kind| matches!(kind, EventKind::Expelled { .. }));
}

#[test]
fn bus_that_takes_nothing_refuses_the_request_and_says_so() {
    #[derive(Debug)]
    struct Gone;
    fn gone<T>() -> Result<T, Error> {
        Err(Error::Invalid("no bus today".to_owned()))
    }
    impl MembershipBus for Gone {
        fn publishers(&mut self) -> Vec<Publisher> {
            vec!["pf-a".into()]
        }
        fn fetch(
            &mut self,
            _: &Publisher,
            _: u64,
            _: usize,
        ) -> Result<Vec<MembershipEvent>, Error> {
            gone()
        }
        fn acknowledge(&mut self, _: &Publisher, _: u64) -> Result<(), Error> {
            gone()
        }
        fn publish(&mut self, _: &ChannelId, client: &ClientId, _: Change) -> Result<u64, Error> {
            assert_eq!(client.as_str(), "c1", "the bus does not know anybody else");
            gone()
        }
    }
    let mut b = World::with(|options| {
        options.bus = Some(Box::new(Gone));
        options.elsewhere = [CHANNEL.into()].into();
    });
    let (kind, text) = b.refuses(expel(&["c1"]));
    assert_eq!((kind, &*text), (RefusedKind::Unavailable, "no bus today"));
    assert!(b.refuses(expel(&["c2"])).1.contains("has panicked"));
    b.wait_for(|kind| matches!(kind, EventKind::BusFailed { .. }));
    // Other requests are none of the bus's business.
    let request = Request::Readmit { channel: CHANNEL.into(), client: "c1".into() };
    assert_eq!(b.refuses(request).0, RefusedKind::NotFound);
}
