//! Fear: something goes out that a crash makes forgotten, or a full disk loses what was asked.

use crossbeam_channel::{TryRecvError, bounded};
use mcast_srtp::service::{EventKind, RefusedKind, Request};

use crate::world::{LATE, PATIENCE, SILENCE, SOON, World, expel, join};

#[test]
fn while_the_disk_is_full_nothing_is_sent_or_answered_and_then_all_of_it_is() {
    let mut world = World::with(|options| options.timing.udp = LATE);
    world.open(|_| ());
    let (mut c1, c2) = (world.add("c1"), world.add("c2"));
    world.break_disk();

    let (answer, answers) = bounded(1);
    world.service.submit(join("c1"), move |result| answer.send(result).unwrap());
    world.wait_for(|kind| matches!(kind, EventKind::StateNotWritable { .. }));
    assert!(c1.hears_nothing());
    assert_eq!(answers.try_recv(), Err(TryRecvError::Empty));
    let health = world.service.health();
    assert!(!health.ok && health.fault.unwrap().contains("cannot be written"));

    // What comes now is refused and changes nothing.
    let before = world.knows();
    assert_eq!(world.refuses(join("c2")).0, RefusedKind::Unavailable);
    assert_eq!(world.knows(), before);

    world.mend_disk();
    assert!(answers.recv_timeout(PATIENCE).unwrap().unwrap().changed);
    assert_eq!(c1.confirms(), 1);
    let order =
        world.told(|kind| matches!(kind, EventKind::Joined { .. } | EventKind::StateWritable));
    assert!(
        matches!(&order[..], [EventKind::Joined { .. }, EventKind::StateWritable]),
        "{order:?}"
    );
    assert!(world.service.health().ok);
    assert!(c2.hears_nothing());
    assert!(world.does(join("c2")).changed);
    let counters = world.service.counters();
    assert!(counters.commits_failed > 0 && counters.refused(RefusedKind::Unavailable) == 1);
}

#[test]
fn answer_of_a_client_while_the_disk_is_full_is_not_taken_and_its_msk_comes_again() {
    let mut world = World::with(|options| options.timing.udp = SOON);
    world.open(|_| ());
    let mut c1 = world.add("c1");
    world.does(join("c1"));
    let (_, answer) = {
        let message = c1.message();
        c1.open(&message)
    };
    world.break_disk();
    world.wait_for(|kind| matches!(kind, EventKind::StateNotWritable { .. }));
    c1.answers(&answer);
    while c1.hears(SILENCE).is_some() {}
    assert_eq!(world.service.counters().confirmations, 0);
    world.mend_disk();
    world.wait_for(|kind| *kind == EventKind::StateWritable);
    c1.confirms();
    world.wait_for(|kind| matches!(kind, EventKind::Confirmed { .. }));
}

#[test]
fn stop_with_a_full_disk_tells_who_waits_and_forgets_what_nobody_was_told() {
    let mut world = World::new();
    world.open(|_| ());
    let c1 = world.member("c1");
    world.break_disk();
    let (answer, answers) = bounded(1);
    world.service.submit(expel(&["c1"]), move |result| answer.send(result).unwrap());
    world.wait_for(|kind| matches!(kind, EventKind::StateNotWritable { .. }));
    world.service.stop();
    let refused = answers.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(refused.kind, RefusedKind::Unavailable);
    assert!(c1.hears_nothing());
    world.mend_disk();
    let request = Request::RequestMsk { channel: "group 17".into(), client: "c1".into() };
    assert_eq!(world.refuses(request).0, RefusedKind::Unavailable);
}
