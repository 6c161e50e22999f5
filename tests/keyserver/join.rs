//! Fear: who joins at the wrong moment hears nothing, or gets more than it should.

use mcast_srtp::ids::Roc;

use crate::world::{World, msk, secs};

#[test]
fn joiner_during_an_update_hears_at_once_and_through_the_switch() {
    let mut world = World::new(&["c1", "c2", "c3", "c4"]);
    world.join_all(&["c1", "c2", "c3"]);
    world.run(secs(1));
    world.client("c2").loses_msks = true;
    world.expel("c3");
    world.run(secs(1));
    world.join("c4");
    assert_eq!(world.sent_to("c4"), [1, 2], "the MSK on the air first");
    let joined = world.packets + 1;
    world.run(secs(10));
    assert_eq!(world.current(), msk(2));
    assert!(world.missed("c4", joined + 50).is_empty(), "after one repeat of the MTK message");
    let switch = world.first_packet_under[&msk(2)];
    assert!(world.client("c4").heard[0] < switch);
}

#[test]
fn joiner_is_not_given_the_old_msk_after_the_switch() {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c1", "c2"]);
    world.client("c3").loses_msks = true;
    world.client("c1").loses_msks = true;
    world.expel("c2");
    world.run(secs(4));
    world.join("c3");
    world.run(secs(1));
    assert_eq!((world.current(), world.sent_to("c3")), (msk(2), vec![1, 1, 2]));
    let switched = world.sent.len();
    world.run(secs(30));
    assert!(world.sent[switched..].iter().all(|sent| sent.msk_id == msk(2)));
}

#[test]
fn joiner_after_the_switch_gets_the_new_msk_only() {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c1", "c2"]);
    world.expel("c2");
    world.join("c3");
    assert_eq!(world.sent_to("c3"), [2]);
}

#[test]
fn client_that_restarts_and_joins_again_is_served_again() {
    let mut world = World::new(&["c1", "c2"]);
    world.join_all(&["c1", "c2"]);
    world.run(secs(1));
    world.join("c1");
    assert_eq!((world.sent_to("c1"), world.confirmed("c1")), (vec![1, 1], Some(msk(1))));
    world.run(secs(1));
    assert!(world.missed("c1", 1).is_empty());
}

#[test]
fn who_may_hold_the_coming_msk_is_not_sent_the_current_one_behind_it() {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c1", "c2", "c3"]);
    world.run(secs(1));
    world.client("c2").loses_msks = true;
    world.expel("c3");
    world.run(secs(1));
    assert_eq!((world.confirmed("c1"), world.confirmed("c2")), (Some(msk(2)), Some(msk(1))));
    world.join("c1");
    world.join("c2");
    world.run(secs(1));
    assert_eq!(world.current(), msk(1), "the update is still running");
    for client in ["c1", "c2"] {
        let after_the_first = &world.sent_to(client)[1..];
        assert!(after_the_first.iter().all(|number| *number == 2), "{client}: {after_the_first:?}");
    }
}

#[test]
fn late_joiner_is_told_the_rollover_counter() {
    let mut world = World::new(&["c1", "c2"]);
    world.packets = 65_000; // the sequence number is about to wrap
    world.join("c1");
    world.run(secs(20));
    let streams = world.broadcaster.streams();
    assert_eq!((streams.len(), streams[0].roc), (1, Roc(1)));
    world.join("c2");
    let joined = world.packets + 1;
    world.run(secs(2));
    assert!(world.missed("c2", joined + 50).is_empty());
    assert!(world.missed("c1", 65_001).is_empty());
}

#[test]
fn unknown_client_and_unknown_channel_are_named() {
    let mut world = World::new(&["c1"]);
    let (channel, now) = (world.channel.clone(), world.now);
    let error = world.server.join(&channel, &"c9".into(), now).unwrap_err();
    assert!(error.to_string().contains("client c9 is not on the roster"));
    let error = world.server.join(&"group 18".into(), &"c1".into(), now).unwrap_err();
    assert!(error.to_string().contains("channel group 18 is not open"));
}
