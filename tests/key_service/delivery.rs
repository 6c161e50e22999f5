//! Fear: a lost datagram costs a client its key, one bad address holds everybody up, or whoever can
//! send datagrams disturbs the service.

use std::time::{Duration, Instant};

use mcast_srtp::{
    Reject,
    keyserver::{Reach, Retry, Undelivered},
    service::{EventKind, Request},
};

use crate::{
    group::{muk, muk_id},
    world::{CHANNEL, Client, LATE, PATIENCE, SILENCE, SOON, World, add, counter, expel, join},
};

#[test]
fn lost_datagrams_are_sent_again_under_new_counters_until_one_is_answered() {
    let mut world = World::with(|options| options.timing.udp = SOON);
    world.open(|_| ());
    let mut c1 = world.add("c1");
    world.does(join("c1"));
    let lost = [c1.message(), c1.message()];
    let (first, second) = (counter(&lost[0]), counter(&lost[1]));
    assert!(first < second);
    assert_eq!(c1.confirms(), 1);
    world.wait_for(|kind| matches!(kind, EventKind::Confirmed { .. }));
    while c1.hears(Duration::from_millis(10)).is_some() {}
    assert!(c1.hears_nothing(), "confirmed, so nothing more is sent");
    assert_eq!(world.service.counters().confirmations, 1);
}

#[test]
fn client_that_never_answers_is_given_up_and_asks_again_when_it_is_back() {
    let few = Retry::new(Duration::from_millis(10), Duration::from_millis(10), 3);
    let mut world = World::with(|options| options.timing.udp = few);
    world.open(|_| ());
    let mut c1 = world.add("c1");
    world.does(join("c1"));
    let gave_up = world.wait_for(|kind| matches!(kind, EventKind::GaveUp { .. }));
    assert!(matches!(gave_up.kind, EventKind::GaveUp { why: Undelivered::NoAnswer, .. }));
    let copies = std::iter::from_fn(|| c1.hears(Duration::from_millis(10))).count();
    assert_eq!(copies, 3);
    world.does(Request::RequestMsk { channel: CHANNEL.into(), client: "c1".into() });
    c1.confirms();
    world.wait_for(|kind| matches!(kind, EventKind::Confirmed { .. }));
}

#[test]
fn address_that_cannot_be_sent_to_is_counted_and_holds_nobody_up() {
    let mut world = World::with(|options| options.timing.udp = LATE);
    world.open(|_| ());
    // A broadcast address, which the socket may not send to.
    let nowhere = Reach::Udp("255.255.255.255:2269".parse().unwrap());
    world.does(add("a", nowhere));
    world.does(add("z", nowhere));
    let mut between = world.member("m");
    for name in ["a", "z"] {
        let (channel, client) = (CHANNEL.into(), name.into());
        assert!(world.does(Request::JoinInAnswer { channel, client }).changed, "{name}");
    }
    world.does(expel(&["x"]));
    assert_eq!(between.confirms(), 2);
    let counters = world.service.counters();
    assert_eq!((counters.msk_messages_sent, counters.msk_messages_not_sent), (2, 2));
    let told = world.told(|kind| matches!(kind, EventKind::MskNotSent { .. }));
    assert!(
        matches!(&told[..], [EventKind::MskNotSent { messages: 2, why, .. }] if !why.is_empty()),
        "{told:?}"
    );
}

#[test]
fn forged_and_old_answers_are_counted_told_once_and_change_nothing() {
    let mut world = World::with(|options| options.timing.udp = LATE);
    world.open(|_| ());
    let mut c1 = world.add("c1");
    world.does(join("c1"));
    let message = c1.message();
    let (_, answer) = c1.open(&message);
    let mut forged = answer.clone();
    *forged.last_mut().unwrap() ^= 1;
    for _ in 0..3 {
        c1.answers(&forged);
    }
    c1.answers(b"no MIKEY at all");
    let told = world.wait_for(|kind| {
        matches!(kind, EventKind::VerificationRefused { reason: Reject::KeyAuthFailed, .. })
    });
    let EventKind::VerificationRefused { source, .. } = told.kind else { unreachable!() };
    assert_eq!(source, c1.socket.local_addr().ok());
    c1.answers(&answer);
    world.wait_for(|kind| matches!(kind, EventKind::Confirmed { .. }));
    c1.answers(&answer);
    let refused = || world.service.counters().verifications_refused;
    let end = Instant::now() + PATIENCE;
    while refused().total() < 5 && Instant::now() < end {
        std::thread::yield_now();
    }
    assert_eq!(refused().count(Reject::KeyAuthFailed), 3);
    assert_eq!(refused().count(Reject::KeyReplayed), 1);
    assert_eq!(world.service.counters().confirmations, 1);
}

#[test]
fn client_that_moved_or_has_a_new_muk_is_sent_what_it_lacks_at_once() {
    let mut world = World::with(|options| options.timing.udp = LATE);
    world.open(|_| ());
    let c1 = world.add("c1");
    world.does(join("c1"));
    c1.message();
    let mut elsewhere = Client::new("c1", world.service.mikey_address().unwrap());
    let reach = Reach::Udp(elsewhere.socket.local_addr().unwrap());
    world.does(Request::Relocate { client: "c1".into(), reach });
    assert_eq!(counter(&elsewhere.message()), 2);
    let (muk_id, new) = (muk_id("c1-new"), muk("c1-new"));
    elsewhere.store.insert_muk(muk_id.clone(), muk("c1-new")).unwrap();
    world.does(Request::RenewMuk { client: "c1".into(), muk_id, muk: new });
    assert_eq!(elsewhere.confirms(), 1);
    world.wait_for(|kind| matches!(kind, EventKind::Confirmed { .. }));
    assert!(c1.hears_nothing());
}

#[test]
fn large_channel_gets_its_update_in_one_commit_and_switches_when_all_have_answered() {
    const MEMBERS: usize = 1000;
    let mut world = World::with(|options| options.timing.udp = SECONDS);
    world.open(|spec| spec.confirm_within = Duration::from_secs(600));
    // All behind one address, as behind one NAT.
    let names: Vec<_> = (0..MEMBERS).map(|number| format!("client {number}")).collect();
    let mut all = Client::new("c1", world.service.mikey_address().unwrap());
    let reach = Reach::Udp(all.socket.local_addr().unwrap());
    for name in &names {
        all.store.insert_muk(muk_id(name), muk(name)).unwrap();
    }
    world.does_all(names.iter().map(|name| add(name, reach)));
    world.does_all(names.iter().map(|name| {
        let (channel, client) = (CHANNEL.into(), name.as_str().into());
        Request::JoinInAnswer { channel, client }
    }));
    let before = world.service.counters();
    world.service.submit(expel(&["client 0"]), |result| assert!(result.unwrap().changed));
    let end = Instant::now() + 3 * PATIENCE;
    while world.service.counters().switches == before.switches {
        assert!(Instant::now() < end);
        if let Some(message) = all.hears(SILENCE) {
            let (_, answer) = all.open(&message);
            all.answers(&answer);
        }
    }
    world.wait_for(|kind| matches!(kind, EventKind::Switched { unconfirmed: 0, .. }));
    let after = world.service.counters();
    assert_eq!(after.updates - before.updates, 1);
    let sent = world.service.events(Some(0)).take(usize::MAX).events;
    let most = sent.iter().filter_map(|event| match event.kind {
        EventKind::MskSent { messages, .. } => Some(messages),
        _ => None,
    });
    assert_eq!(most.max(), Some(MEMBERS as u64 - 1), "all behind one commit");
}

/// Repetition for a slow machine.
const SECONDS: Retry = Retry::new(Duration::from_secs(2), Duration::from_secs(2), 20);
