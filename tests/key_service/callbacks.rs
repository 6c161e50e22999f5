//! Fear: a fault of the program around the service takes it down, or leaves somebody waiting.

use std::time::Duration;

use crossbeam_channel::bounded;
use mcast_srtp::{
    keyserver::Reach,
    service::{EventKind, RefusedKind, Request},
};

use crate::world::{CHANNEL, PATIENCE, World, add, expel, join};

#[test]
fn callback_that_panics_is_counted_and_everybody_else_is_served() {
    let mut world = World::new();
    world.open(|_| ());
    world.service.submit(add("c1", Reach::Sdp), |_| panic!("in an answer"));
    world.service.look(|_| panic!("at a look"));
    let version = world.service.document(&CHANNEL.into(), None).unwrap().version;
    let document =
        world.service.when_document(&CHANNEL.into(), None, version, |_| panic!("of a wait"));
    world.service.events(None).on_news(|| panic!("of news"));
    assert!(world.does(join("c1")).changed);
    world.does(expel(&["c2"]));
    world.wait_for(|kind| matches!(kind, EventKind::DocumentPublished { .. }));
    assert!(!world.does(join("c1")).changed);
    assert_eq!(world.service.counters().callback_panics, 4);
    assert!(world.service.health().ok);
    drop(document);
}

#[test]
fn queue_that_is_full_refuses_at_once_and_what_was_in_it_is_answered() {
    let world = World::with(|options| options.limits.requests = 1);
    world.open(|_| ());
    let (held, hold) = bounded::<()>(0);
    let (entered, enter) = bounded(1);
    world.service.look(move |_| {
        entered.send(()).unwrap();
        let _ = hold.recv_timeout(PATIENCE);
    });
    enter.recv_timeout(PATIENCE).unwrap();
    let (answer, answers) = bounded(2);
    let waits = answer.clone();
    world.service.submit(add("c1", Reach::Sdp), move |result| waits.send(result).unwrap());
    world.service.submit(add("c2", Reach::Sdp), move |result| answer.send(result).unwrap());
    let refused = answers.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(refused.kind, RefusedKind::Unavailable);
    drop(held);
    assert!(answers.recv_timeout(PATIENCE).unwrap().unwrap().changed);
    let counters = world.service.counters();
    assert_eq!((counters.queue_full, counters.refused(RefusedKind::Unavailable)), (1, 1));
}

#[test]
fn stopped_service_refuses_and_ends_its_events() {
    let mut world = World::new();
    world.open(|_| ());
    world.service.stop();
    assert_eq!(world.refuses(join("c1")).0, RefusedKind::Unavailable);
    assert!(world.service.read(|_| ()).is_err());
    assert!(!world.service.health().ok);
    while !world.events.wait(100, PATIENCE).ended {}
    world.service.stop();
}

#[test]
fn last_clone_may_be_dropped_in_a_callback() {
    let world = World::new();
    let (gone, ends) = bounded(1);
    let service = world.service.clone();
    world.service.submit(Request::RemoveClient { client: "c1".into() }, move |result| {
        assert!(!result.unwrap().changed);
        // The world drops its own one meanwhile.
        std::thread::sleep(Duration::from_millis(50));
        drop(service);
        gone.send(()).unwrap();
    });
    drop(world);
    ends.recv_timeout(PATIENCE).unwrap();
}
