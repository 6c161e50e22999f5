//! Fear: a client that never confirms is tried for ever against the operator's will, or given up, or
//! keeps its place in the group.

use mcast_srtp::keyserver::{LeavePolicy, Unconfirmed};

use crate::world::{World, msk, secs};

fn world_with(unconfirmed: Unconfirmed) -> World {
    let mut world = World::under(&["c1", "c2"], |spec| {
        spec.unconfirmed = unconfirmed;
        spec.leave = LeavePolicy::UpdateMsk;
    });
    world.join("c1");
    world.client("c2").loses_msks = true;
    world.join("c2");
    world
}

#[test]
fn client_that_never_confirms_is_tried_for_ever_at_the_longest_wait() {
    let mut world = world_with(Unconfirmed::KeepTrying);
    world.idle(secs(60));
    let copies = world.sent_to("c2").len();
    assert_eq!(world.logged("keeps trying"), ["keeps trying c2 00170001"]);
    world.idle(secs(3600));
    assert_eq!(world.sent_to("c2").len(), copies + 3600 / 8);
    assert_eq!(world.logged("keeps trying").len(), 1, "it is told once");
    // It comes back by itself, and the copies end.
    world.client("c2").loses_msks = false;
    world.idle(secs(8));
    assert_eq!(world.confirmed("c2"), Some(msk(1)));
    let sent = world.sent.len();
    world.idle(secs(60));
    assert_eq!(world.sent.len(), sent);
}

#[test]
fn client_that_never_confirms_waits_until_it_asks() {
    let mut world = world_with(Unconfirmed::WaitForRequest);
    world.idle(secs(3600));
    assert_eq!(world.sent_to("c2").len(), 8);
    assert_eq!(world.logged("gave up").len(), 1);
    assert_eq!(world.server.members(&world.channel).count(), 2);
}

#[test]
fn client_that_never_confirms_is_removed_as_if_it_had_left() {
    let mut world = world_with(Unconfirmed::Remove);
    world.idle(secs(3600));
    assert_eq!(world.sent_to("c2").len(), 8);
    assert_eq!(world.logged("removed"), ["removed c2 00170001"]);
    assert_eq!(world.server.members(&world.channel).count(), 1);
    assert_eq!((world.logged("update"), world.current()), (vec!["update 00170002 leave"], msk(2)));
    // Nobody is angry with it.
    world.client("c2").loses_msks = false;
    world.join("c2");
    assert_eq!(world.confirmed("c2"), Some(msk(2)));
}

#[test]
fn switch_does_not_wait_beyond_the_deadline_for_one_who_is_tried_for_ever() {
    let mut world = world_with(Unconfirmed::KeepTrying);
    world.set_policy(|spec| spec.confirm_within = secs(30));
    world.expel("c9");
    world.idle(secs(29));
    assert_eq!(world.current(), msk(1));
    world.idle(secs(1));
    assert_eq!((world.current(), world.missing.0), (msk(2), 1));
    world.client("c2").loses_msks = false;
    world.idle(secs(9));
    assert_eq!(world.confirmed("c2"), Some(msk(2)));
}
