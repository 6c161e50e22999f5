//! Fear: a leave disturbs the others, or the policy for leaves is not kept.

use mcast_srtp::keyserver::LeavePolicy;

use crate::world::{World, msk, secs};

fn world_that_updates() -> World {
    World::under(&["c1", "c2", "c3"], |spec| spec.leave = LeavePolicy::UpdateMsk)
}

#[test]
fn leave_without_update_goes_on_under_the_same_msk() {
    let mut world = World::new(&["c1", "c2"]);
    world.join_all(&["c1", "c2"]);
    world.run(secs(1));
    world.leave("c2");
    world.run(secs(1));
    assert_eq!((world.current(), world.sent.len()), (msk(1), 2));
    assert!(world.missed("c1", 1).is_empty());
}

#[test]
fn leave_with_update_cuts_off_whoever_left_and_nobody_else() {
    let mut world = world_that_updates();
    world.join_all(&["c1", "c2", "c3"]);
    world.run(secs(1));
    world.leave("c3");
    world.run(secs(3));
    assert_eq!(world.sent_to("c3"), [1]);
    let cut = world.first_packet_under[&msk(2)];
    assert_eq!(world.client("c3").heard.last(), Some(&(cut - 1)));
    assert!(world.missed("c1", 1).is_empty() && world.missed("c2", 1).is_empty());
}

#[test]
fn leaves_during_an_update_are_gathered_into_one_more() {
    let mut world = world_that_updates();
    world.join_all(&["c1", "c2", "c3"]);
    world.client("c1").loses_msks = true;
    world.leave("c2");
    world.leave("c3");
    assert_eq!(world.current(), msk(1));
    world.client("c1").loses_msks = false;
    world.run(secs(5));
    assert_eq!(world.current(), msk(3));
    assert_eq!((world.sent_to("c2"), world.sent_to("c3")), (vec![1], vec![1, 2]));
    assert!(world.missed("c1", 1).is_empty());
}

#[test]
fn whoever_the_update_waited_for_leaves_and_the_switch_is_at_once() {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c1", "c2", "c3"]);
    world.client("c2").loses_msks = true;
    world.expel("c3");
    assert_eq!(world.current(), msk(1));
    world.leave("c2");
    assert_eq!(world.current(), msk(2));
}

#[test]
fn stranger_cannot_leave() {
    let mut world = World::new(&["c1"]);
    let (channel, now) = (world.channel.clone(), world.now);
    let left = world.server.leave(&channel, &"c1".into(), now, &mut |out| out.fill(1));
    assert!(left.unwrap_err().to_string().contains("no member"));
}
