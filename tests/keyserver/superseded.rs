//! Fear: a restart while one update supersedes another makes clients lose the MSK that is on the air.

use crate::world::{World, msk, secs};

/// MSK 2 is coming and has reached c1, whose answers are lost; then MSK 3 supersedes it.
fn superseded() -> World {
    let mut world = World::new(&["c1", "c2", "c3", "c4"]);
    world.join_all(&["c1", "c2", "c3", "c4"]);
    world.run(secs(1));
    world.client("c1").loses_answers = true;
    world.expel("c3");
    world.run(secs(1));
    world.client("c1").loses_msks = true;
    world.expel("c4");
    world
}

#[test]
fn superseded_msk_is_deleted_first_also_after_a_restart() {
    let mut world = superseded();
    assert_eq!(world.client("c1").holds(), [1, 2]);
    let sent = world.sent_to("c1").len();
    for _ in 0..2 {
        world.restart_server();
        assert_eq!(world.sent_to("c1").last(), Some(&-2));
    }
    assert_eq!(world.sent_to("c1")[sent - 1..], [-2, -2, -2]);
    world.client("c1").loses_msks = false;
    world.client("c1").loses_answers = false;
    world.restart_server();
    assert_eq!(world.client("c1").holds(), [1, 3]);
    world.run(secs(3));
    assert_eq!((world.current(), world.confirmed("c1")), (msk(3), Some(msk(3))));
    assert!(world.missed("c1", 1).is_empty() && world.missed("c2", 1).is_empty());
}

#[test]
fn client_that_has_deleted_the_superseded_msk_is_sent_the_coming_one_alone_after_a_restart() {
    let mut world = superseded();
    world.client("c1").loses_msks = false;
    world.client("c1").loses_answers = false;
    world.run(secs(1));
    let sent = world.sent_to("c1").len();
    world.restart_server();
    assert!(world.sent_to("c1")[sent..].iter().all(|number| *number == 3));
    world.run(secs(3));
    assert!(world.missed("c1", 1).is_empty());
}

#[test]
fn who_may_hold_the_coming_msk_is_not_sent_the_current_one_behind_it_after_a_restart() {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c2", "c3"]);
    world.client("c1").loses_msks = true;
    world.client("c2").loses_msks = true;
    world.expel("c3");
    world.join("c1");
    // The current MSK is given up after some copies, for the coming one.
    world.idle(secs(4));
    world.client("c1").loses_msks = false;
    world.client("c1").loses_answers = true;
    world.idle(secs(1));
    assert_eq!(world.newest(), msk(2));
    assert_eq!(world.sent_to("c1").last(), Some(&2));
    let sent = world.sent_to("c1").len();
    world.restart_server();
    assert!(
        world.sent_to("c1")[sent..].iter().all(|number| *number == 2),
        "{world:?}",
        world = world.sent_to("c1")
    );
}

#[test]
fn key_of_a_superseded_msk_is_not_kept() {
    let mut world = superseded();
    let document = world.documents.iter().find(|document| document.msks.len() == 2).unwrap();
    let key = document.msks[1].msk.key.expose().to_vec();
    assert_eq!(document.msks[1].msk_id, msk(2));
    world.keep();
    for (_, value) in world.kept.records() {
        assert!(!value.windows(key.len()).any(|part| part == key));
    }
}
