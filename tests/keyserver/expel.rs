//! Fear: an expelled client goes on listening, or somebody else stops hearing.

use crate::world::{FRAME, World, msk, secs};
use mcast_srtp::{broadcast::Lead, keyserver::UpdateCause};

#[test]
fn expelled_client_hears_nothing_after_the_switch_and_nobody_else_loses_a_packet() {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c1", "c2", "c3"]);
    world.run(secs(2));
    world.expel("c3");
    world.run(secs(20));

    let cut = world.first_packet_under[&msk(2)];
    assert_eq!(world.client("c3").heard.last(), Some(&(cut - 1)));
    assert!(world.missed("c1", 1).is_empty() && world.missed("c2", 1).is_empty());
    assert_eq!(world.sent_to("c3"), [1], "nothing is given to the expelled");
}

#[test]
fn all_have_confirmed_so_the_switch_is_early() {
    let mut world = World::new(&["c1", "c2"]);
    world.join_all(&["c1", "c2"]);
    world.run(secs(1));
    world.expel("c2");
    assert_eq!(world.current(), msk(2));
    assert_eq!(world.log.last().unwrap(), "switch 00170002");
}

#[test]
fn one_client_does_not_confirm_so_the_deadline_switches() {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c1", "c2", "c3"]);
    world.run(secs(1));
    world.client("c2").loses_msks = true;
    world.expel("c3");
    world.run(secs(5) - FRAME);
    assert_eq!(world.current(), msk(1));
    world.run(FRAME);
    assert_eq!(world.current(), msk(2));
    world.run(secs(1));
    let cut = world.first_packet_under[&msk(2)];
    assert_eq!(world.client("c3").heard.last(), Some(&(cut - 1)));
    assert!(world.missed("c1", 1).is_empty());
}

#[test]
fn last_member_is_expelled_and_the_switch_waits_for_nobody() {
    let mut world = World::new(&["c1"]);
    world.join("c1");
    world.run(secs(1));
    world.expel("c1");
    assert_eq!(world.current(), msk(2));
    world.run(secs(1));
    let cut = world.first_packet_under[&msk(2)];
    assert_eq!(world.client("c1").heard.last(), Some(&(cut - 1)));
}

#[test]
fn second_expulsion_during_an_update_brings_a_third_msk_that_neither_expelled_client_gets() {
    let mut world = World::new(&["c1", "c2", "c3", "c4"]);
    world.join_all(&["c1", "c2", "c3", "c4"]);
    world.run(secs(1));
    world.client("c2").loses_answers = true; // keeps the update running
    world.expel("c3");
    world.run(secs(1));
    assert_eq!((world.current(), world.client("c4").holds()), (msk(1), vec![1, 2]));
    world.expel("c4");
    world.client("c2").loses_answers = false;
    world.run(secs(20));

    assert_eq!(world.current(), msk(3));
    assert!(!world.log.contains(&"switch 00170002".to_owned()), "MSK 2 is never used");
    assert!(!world.sent_to("c3").contains(&2) && !world.sent_to("c4").contains(&3));
    let cut = world.first_packet_under[&msk(3)];
    for expelled in ["c3", "c4"] {
        assert_eq!(world.client(expelled).heard.last(), Some(&(cut - 1)));
    }
    assert!(world.missed("c1", 1).is_empty() && world.missed("c2", 1).is_empty());
    assert_eq!(world.client("c1").holds(), [3]);
}

#[test]
fn superseded_msk_is_deleted_first_so_that_the_one_on_the_air_is_not_driven_out() {
    let mut world = World::new(&["c1", "c2", "c3", "c4"]);
    world.join_all(&["c1", "c2", "c3", "c4"]);
    world.run(secs(1));
    world.client("c2").loses_msks = true;
    world.expel("c3");
    world.expel("c4");
    assert_eq!(world.sent_to("c1"), [1, 2, -2, 3]);
    assert_eq!(world.client("c1").holds(), [1, 3], "MSK 1 is still on the air");
    // A new MTK under MSK 1 is understood.
    world.run(secs(1));
    let random = &mut |out: &mut [u8]| out.fill(9);
    let actions = world.broadcaster.new_mtk(Lead::Usual, world.now, random).unwrap();
    world.broadcast(actions);
    world.run(secs(1));
    assert_eq!(world.current(), msk(1));
    assert!(world.missed("c1", 1).is_empty());
}

#[test]
fn series_of_expulsions_does_not_put_off_the_first() {
    let names: Vec<_> = (0..12).map(|n| format!("c{n}")).collect();
    let mut world = World::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    names.iter().for_each(|name| world.join(name));
    world.run(secs(1));
    world.client("c0").loses_msks = true;
    let begun = world.now;
    for name in &names[1..] {
        world.expel(name);
        if world.current() == msk(1) {
            world.run(secs(1));
        }
    }
    assert!(world.now - begun <= secs(10), "twice the time to confirm");
    assert_ne!(world.current(), msk(1));
}

#[test]
fn client_that_left_before_can_still_be_expelled_and_is_cut_off() {
    let mut world = World::new(&["c1", "c2"]);
    world.join_all(&["c1", "c2"]);
    world.run(secs(1));
    world.leave("c2");
    world.run(secs(1));
    assert!(world.missed("c2", 1).is_empty(), "it left with the MSK");
    world.expel("c2");
    world.run(secs(1));
    let cut = world.first_packet_under[&msk(2)];
    assert_eq!(world.client("c2").heard.last(), Some(&(cut - 1)));
}

#[test]
fn expelled_client_cannot_join_until_it_is_readmitted() {
    let mut world = World::new(&["c1", "c2"]);
    world.join_all(&["c1", "c2"]);
    world.expel("c2");
    let (channel, now) = (world.channel.clone(), world.now);
    let joined = world.server.join(&channel, &"c2".into(), now);
    assert!(joined.unwrap_err().to_string().contains("readmit"));
    assert!(world.server.resend(&channel, &"c2".into(), now).is_err());
    assert_eq!(world.sent_to("c2"), [1]);
    assert!(world.server.readmit(&channel, &"c2".into()).unwrap());
    world.join("c2");
    assert_eq!(world.sent_to("c2"), [1, 2]);
}

#[test]
fn old_msk_is_destroyed_after_the_grace_period_and_no_earlier() {
    let mut world = World::new(&["c1", "c2"]);
    world.join_all(&["c1", "c2"]);
    world.run(secs(1));
    world.expel("c2");
    let destroyed = "destroy 00170001".to_owned();
    world.run(secs(10) - FRAME);
    assert!(!world.log.contains(&destroyed));
    world.run(FRAME);
    assert!(world.log.contains(&destroyed));
    assert_eq!(world.server.document(&world.channel, None).unwrap().msks.len(), 1);
    assert_eq!(world.broadcaster.msk_ids().count(), 1);
}

#[test]
fn compromise_during_an_update_replaces_the_coming_msk_too() {
    let mut world = World::new(&["c1", "c2"]);
    world.join_all(&["c1", "c2"]);
    world.client("c2").loses_msks = true;
    let channel = world.channel.clone();
    for cause in [UpdateCause::Command, UpdateCause::Command, UpdateCause::Compromise] {
        world.command(|server, now, random| server.update(&channel, cause, now, random));
    }
    assert_eq!(world.server.coming_msk(&channel).unwrap().0, msk(3));
    assert_eq!(world.sent_to("c1"), [1, 2, -2, 3], "a second command finds an update under way");
}
