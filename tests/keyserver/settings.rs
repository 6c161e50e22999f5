//! Fear: settings changed in an open channel disturb it, or do not hold.

use mcast_srtp::keyserver::{ChannelSpec, LeavePolicy, Unconfirmed};

use crate::world::{World, msk, secs};

#[test]
fn policies_changed_in_an_open_channel_hold_from_then_on_and_nobody_loses_a_packet() {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c1", "c2", "c3"]);
    world.run(secs(1));
    world.leave("c3");
    assert_eq!(world.current(), msk(1));
    world.set_policy(|spec| {
        spec.leave = LeavePolicy::UpdateMsk;
        spec.confirm_within = secs(1);
        spec.mtk_period = Some(secs(2));
        spec.unconfirmed = Unconfirmed::Remove;
    });
    world.client("c1").loses_answers = true;
    world.leave("c2");
    world.run(secs(1));
    assert_eq!(world.current(), msk(2), "the deadline is one second");
    world.client("c1").loses_answers = false;
    world.run(secs(10));
    let mtks = world.broadcaster.mki().unwrap().split_mbms().unwrap().1.0;
    assert!((4..=6).contains(&mtks), "{mtks} MTKs in 10 s");
    assert!(world.missed("c1", 1).is_empty());
}

#[test]
fn same_settings_once_more_change_nothing() {
    let mut world = World::under(&["c1"], |spec| spec.msk_lifetime = Some(secs(60)));
    world.join("c1");
    world.run(secs(50));
    world.set_policy(|_| ());
    world.run(secs(11));
    assert_eq!(world.current(), msk(2), "the lifetime was not prolonged");
}

#[test]
fn lifetime_changed_counts_from_then_on() {
    let mut world = World::under(&["c1"], |spec| spec.msk_lifetime = Some(secs(3600)));
    world.join("c1");
    world.run(secs(5));
    world.set_policy(|spec| spec.msk_lifetime = Some(secs(10)));
    world.run(secs(11));
    assert_eq!(world.current(), msk(2));
    world.set_policy(|spec| spec.msk_lifetime = None);
    world.run(secs(60));
    assert_eq!(world.current(), msk(2));
}

#[test]
fn what_clients_could_not_follow_is_refused_and_changes_nothing() {
    let mut world = World::new(&["c1"]);
    let (channel, now) = (world.channel.clone(), world.now);
    let before = world.server.spec(&channel).unwrap().clone();
    let mut refusal = |adjust: &dyn Fn(&mut ChannelSpec)| {
        let mut spec = before.clone();
        adjust(&mut spec);
        let random = &mut |out: &mut [u8]| out.fill(1);
        world.server.set_policy(&channel, spec, now, random).unwrap_err().to_string()
    };
    assert!(refusal(&|spec| spec.key_group += 1).contains("stay"));
    assert!(refusal(&|spec| spec.broadcasters = vec!["b1".into()]).contains("named"));
    assert!(refusal(&|spec| spec.msk_len = 4).contains("16 to 32"));
    assert_eq!(*world.server.spec(&channel).unwrap(), before);
    assert_eq!(world.current(), msk(1));
}
