//! Fear: a subscriber that ends its contract is served on, or comes back under counters that were
//! used.

use mcast_srtp::keyserver::{Action, LeavePolicy};

use crate::world::{World, msk, secs};

fn remove(world: &mut World, name: &str) {
    world.command(|server, now, random| server.remove_client(&name.into(), now, random));
}

#[test]
fn removed_client_leaves_its_channels_under_their_policy_and_gets_nothing_more() {
    let mut world = World::under(&["c1", "c2"], |spec| spec.leave = LeavePolicy::UpdateMsk);
    world.join("c1");
    world.client("c2").loses_msks = true;
    world.join("c2");
    remove(&mut world, "c2");
    world.run(secs(60));
    assert_eq!((world.current(), world.sent_to("c2")), (msk(2), vec![1]));
    assert_eq!(world.server.clients().count(), 1);
    let (channel, now) = (world.channel.clone(), world.now);
    assert!(world.server.join(&channel, &"c2".into(), now).is_err());
    let random = &mut |out: &mut [u8]| out.fill(1);
    assert!(world.server.remove_client(&"c2".into(), now, random).is_err());
}

#[test]
fn counter_of_a_removed_client_goes_on_when_its_muk_comes_back() {
    let mut world = World::new(&["c1"]);
    world.join("c1");
    remove(&mut world, "c1");
    world.restart_server();
    world.enter("c1", 0);
    world.join("c1");
    let counters: Vec<_> = world.sent.iter().map(|sent| sent.counter).collect();
    assert_eq!(counters, [1, 2]);
    assert_eq!(world.confirmed("c1"), Some(msk(1)), "the client would refuse a repeated counter");
    // Under another name also, since it is the key that counts.
    remove(&mut world, "c1");
    world.enter("c2", 0);
    let actions = world.server.join(&world.channel, &"c2".into(), world.now).unwrap();
    assert!(matches!(&actions[..], [Action::SendMsk(message)] if message.counter == 3));
}

#[test]
fn expelled_client_cannot_come_back_by_being_removed_and_added() {
    let mut world = World::new(&["c1", "c2"]);
    world.join_all(&["c1", "c2"]);
    world.expel("c2");
    remove(&mut world, "c2");
    world.enter("c2", 1);
    let (channel, now) = (world.channel.clone(), world.now);
    assert!(world.server.join(&channel, &"c2".into(), now).is_err());
}
