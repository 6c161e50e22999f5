//! Fear: a client that another PF serves is expelled there, and hears on here; or a crash or a bus
//! that stutters makes it count twice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use mcast_srtp::{
    Error,
    keyserver::{Change, MembershipEvent, Notice, Publisher},
    service::{
        BusWake, EventKind, KeyServiceOptions, LocalBus, LocalBusEnd, MembershipBus, RefusedKind,
        Request,
    },
};

use crate::world::{CHANNEL, KEY_GROUP, LATE, PATIENCE, World, expel, join, leave, spec};

/// The PF that controls the channel.
fn pf_a(bus: impl MembershipBus + 'static) -> impl FnOnce(&mut KeyServiceOptions) {
    |options| {
        options.timing.udp = LATE;
        options.bus = Some(Box::new(bus));
    }
}

/// A PF that serves clients of the channel.
fn pf_b(bus: impl MembershipBus + 'static) -> impl FnOnce(&mut KeyServiceOptions) {
    |options| {
        options.bus = Some(Box::new(bus));
        options.elsewhere = [CHANNEL.into()].into();
    }
}

fn publish(end: &mut LocalBusEnd, sequence: u64, client: &str, change: Change) {
    let (channel, client) = (CHANNEL.into(), client.into());
    end.publish(sequence, &Notice { channel, client, change }).unwrap();
}

#[test]
fn client_served_and_expelled_at_another_pf_gets_no_key_of_the_update_that_follows() {
    let bus = LocalBus::default();
    let (end_a, end_b) = (bus.connect("pf-a"), bus.connect("pf-b"));
    let (mut a, b) = (World::with(pf_a(end_a)), World::with(pf_b(end_b)));
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

    fn publish(&mut self, sequence: u64, notice: &Notice) -> Result<(), Error> {
        self.end.publish(sequence, notice)
    }

    fn taken(&mut self) -> Result<u64, Error> {
        self.end.taken()
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
    publish(&mut b, 1, "c2", Change::Expelled);
    assert_eq!(c1.confirms(), 2);
    a.wait_for(|kind| matches!(kind, EventKind::Switched { .. }));
    assert!(a.service.counters().bus_failures > 0);

    // It is durable, but the bus does not know.
    a.restart(pf_a(stutters()));
    deaf.store(false, Ordering::Relaxed);
    publish(&mut b, 2, "c1", Change::Left);
    a.wait_for(|kind| matches!(kind, EventKind::Left { .. }));
    assert_eq!(a.current(), 2);
    let counters = a.service.counters();
    assert_eq!((counters.bus_events, counters.updates), (1, 0));
    assert!(counters.bus_repeated > 0);
}

#[test]
fn nothing_behind_a_gap_is_taken_before_what_is_missing_has_come() {
    let bus = LocalBus::default();
    let (deaf, late) = (Arc::default(), Arc::new(AtomicU64::new(2)));
    let (end, gap) = (bus.connect("pf-a"), Arc::clone(&late));
    let mut a = World::with(pf_a(Stutters { end, deaf, late }));
    let mut b = bus.connect("pf-b");
    a.open(|_| ());
    let c2 = a.add("c2");
    publish(&mut b, 1, "c9", Change::Left);
    publish(&mut b, 2, "c2", Change::Joined);
    publish(&mut b, 3, "c2", Change::Expelled);
    let told = a.wait_for(|kind| matches!(kind, EventKind::BusGap { .. }));
    assert_eq!(told.kind, EventKind::BusGap { publisher: "pf-b".into(), expected: 2 });
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
    let (channel, client) = ("18".into(), "c1".into());
    b.publish(1, &Notice { channel, client, change: Change::Joined }).unwrap();
    publish(&mut b, 2, "stranger", Change::Joined);
    publish(&mut b, 3, "stranger", Change::Expelled);
    a.wait_for(|kind| matches!(kind, EventKind::BusEventFailed { sequence: 1, .. }));
    a.wait_for(|kind| matches!(kind, EventKind::BusEventFailed { sequence: 2, .. }));
    a.wait_for(|kind| matches!(kind, EventKind::Expelled { .. }));
}

#[test]
fn expulsion_that_was_answered_before_everything_crashed_comes_once_over_a_new_bus() {
    let bus = LocalBus::default();
    let (end_a, end_b) = (bus.connect("pf-a"), bus.connect("pf-b"));
    let (mut a, mut b) = (World::with(pf_a(end_a)), World::with(pf_b(end_b)));
    a.open(|_| ());
    let mut c1 = a.member("c1");
    // Numbers go on from here.
    b.does(expel(&["c8"]));
    a.wait_for(|kind| matches!(kind, EventKind::Expelled { .. }));
    assert_eq!(c1.confirms(), 2);
    a.wait_for(|kind| matches!(kind, EventKind::Switched { .. }));

    a.service.stop();
    assert!(b.does(expel(&["c2"])).changed);
    b.service.stop();
    drop(bus);
    // Twice, so that it is published again when it has been taken.
    for _ in 0..2 {
        let bus = LocalBus::default();
        let (end_a, end_b) = (bus.connect("pf-a"), bus.connect("pf-b"));
        b.restart(pf_b(end_b));
        a.restart(pf_a(end_a));
        if a.current() == 2 {
            a.wait_for(|kind| matches!(kind, EventKind::Expelled { .. }));
            assert_eq!(c1.confirms(), 3);
            a.wait_for(|kind| matches!(kind, EventKind::Switched { .. }));
        }
        b.does(join("c2"));
        a.wait_for(|kind| matches!(kind, EventKind::BusEventFailed { .. }));
        assert_eq!(a.current(), 3, "expelled once, and for good");
        a.service.stop();
        b.service.stop();
    }
}

#[test]
fn pf_that_has_lost_its_state_is_told_that_others_do_not_take_what_it_says() {
    let bus = LocalBus::default();
    let (mut end_a, end_b) = (bus.connect("pf-a"), bus.connect("pf-b"));
    end_a.acknowledge(&"pf-b".into(), 7).unwrap();
    let mut b = World::with(pf_b(end_b));
    b.wait_for(|kind| matches!(kind, EventKind::BusFailed { .. }));
    let (kind, text) = b.refuses(expel(&["c1"]));
    assert_eq!(kind, RefusedKind::Unavailable);
    assert!(text.contains("another name"), "{text}");
}

#[test]
fn events_that_concern_another_pf_are_no_faults_and_a_name_that_is_none_stops_its_owner_only() {
    let bus = LocalBus::default();
    let (end, mut a) = (bus.connect("pf-b"), bus.connect("pf-a"));
    let long = "x".repeat(Publisher::MAX_LEN + 1);
    let mut nameless = bus.connect(&long);
    let (channel, client) = (CHANNEL.into(), "c1".into());
    let notice = Notice { channel, client, change: Change::Joined };
    assert!(nameless.publish(1, &notice).is_err());
    let mut b = World::with(pf_b(end));
    for sequence in 1..=3 {
        publish(&mut a, sequence, "c1", Change::Joined);
    }
    // The bus says when it is asked the next time that these are taken.
    publish(&mut a, 4, "c2", Change::Left);
    b.wait_for(|kind| matches!(kind, EventKind::BusFailed { .. }));
    let end = Instant::now() + PATIENCE;
    while b.service.counters().bus_ignored < 4 && Instant::now() < end {
        std::thread::yield_now();
    }
    // It looks at the bus at least twice more.
    let failures = b.service.counters().bus_failures;
    while b.service.counters().bus_failures < failures + 2 && Instant::now() < end {
        std::thread::yield_now();
    }
    let counters = b.service.counters();
    assert_eq!((counters.bus_ignored, counters.bus_events_failed), (4, 0));
    let faults = |kind: &EventKind| {
        matches!(kind, EventKind::BusFailed { .. } | EventKind::BusEventFailed { .. })
    };
    assert!(b.told(faults).is_empty(), "it was told once");
}

#[test]
fn channel_that_another_pf_controls_is_not_opened_here_as_well() {
    let bus = LocalBus::default();
    let mut b = World::with(pf_b(bus.connect("pf-b")));
    let spec = spec(KEY_GROUP, |_| ());
    let (kind, text) = b.refuses(Request::OpenChannel { channel: CHANNEL.into(), spec });
    assert_eq!(kind, RefusedKind::Conflict);
    assert!(text.contains("open it there"), "{text}");
    // What is open here already is closed before another PF controls it.
    b.restart(|_| ());
    b.open(|_| ());
    b.service.stop();
    let refused = b.refuses_to_start(pf_b(bus.connect("pf-b")));
    assert!(refused.contains("close it first"), "{refused}");
}

#[test]
fn bus_that_takes_nothing_is_told_and_given_it_again_until_it_does() {
    /// It takes nothing while this is set, and panics at the first publishing.
    #[derive(Debug)]
    struct Gone(Arc<AtomicBool>, Arc<AtomicU64>);
    impl Gone {
        fn answer<T>(&self, is: T) -> Result<T, Error> {
            let gone = self.0.load(Ordering::Relaxed);
            if gone { Err(Error::Invalid("no bus today".to_owned())) } else { Ok(is) }
        }
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
            self.answer(Vec::new())
        }
        fn acknowledge(&mut self, _: &Publisher, _: u64) -> Result<(), Error> {
            self.answer(())
        }
        fn publish(&mut self, sequence: u64, notice: &Notice) -> Result<(), Error> {
            assert!(self.1.fetch_max(1, Ordering::Relaxed) > 0, "the first time it panics");
            assert_eq!(notice.client.as_str(), "c1");
            self.answer(())?;
            self.1.store(sequence + 1, Ordering::Relaxed);
            Ok(())
        }
        fn taken(&mut self) -> Result<u64, Error> {
            self.answer(self.1.load(Ordering::Relaxed).saturating_sub(1))
        }
    }
    let (gone, seen) = (Arc::new(AtomicBool::new(true)), Arc::<AtomicU64>::default());
    let mut b = World::with(pf_b(Gone(Arc::clone(&gone), Arc::clone(&seen))));
    assert!(b.does(expel(&["c1"])).changed);
    b.wait_for(|kind| matches!(kind, EventKind::BusFailed { why } if why.contains("panicked")));
    assert_eq!(b.service.counters().bus_published, 0);
    // Other requests are none of the bus's business.
    let request = Request::Solicit { channel: CHANNEL.into(), client: "c1".into() };
    assert_eq!(b.refuses(request).0, RefusedKind::NotFound);
    gone.store(false, Ordering::Relaxed);
    let kept = || b.service.read(|core| core.outbox(0).count()).unwrap();
    let end = Instant::now() + PATIENCE;
    while kept() > 0 && Instant::now() < end {
        std::thread::yield_now();
    }
    assert_eq!((kept(), b.service.counters().bus_published), (0, 1));
}
