//! Fear: every leave of an evening costs the whole group an update; or, while a window is open,
//! somebody who is out is still given keys, or never cut off.

use mcast_srtp::keyserver::{Action, LeavePolicy, UpdateCause};

use crate::world::{FRAME, World, msk, secs};

const ALL: [&str; 5] = ["c1", "c2", "c3", "c4", "c5"];

fn world_with_windows() -> World {
    let mut world = World::under(&ALL, |spec| {
        spec.leave = LeavePolicy::Batched(secs(10));
        spec.expulsion_window = secs(2);
    });
    world.join_all(&ALL[..4]);
    world.run(secs(1));
    world
}

#[test]
fn leaves_in_one_window_cost_one_update() {
    let mut world = world_with_windows();
    world.leave("c4");
    world.run(secs(6));
    world.leave("c3");
    world.run(secs(4) - FRAME);
    assert_eq!((world.logged("window"), world.current()), (vec!["window leave"], msk(1)));
    world.run(FRAME);
    assert_eq!(world.current(), msk(2));
    world.run(secs(30));
    assert_eq!(world.logged("update"), ["update 00170002 leave"]);
    assert_eq!((world.sent_to("c3"), world.sent_to("c4")), (vec![1], vec![1]));
    assert!(world.missed("c1", 1).is_empty() && world.missed("c2", 1).is_empty());
}

#[test]
fn two_expulsions_in_a_window_cost_one_update_and_neither_gets_anything() {
    let mut world = world_with_windows();
    world.expel("c4");
    world.run(secs(1));
    world.expel("c3");
    world.run(secs(1) - FRAME);
    assert_eq!(world.current(), msk(1));
    world.run(secs(20));
    assert_eq!(world.logged("update"), ["update 00170002 expulsion"]);
    assert_eq!((world.sent_to("c3"), world.sent_to("c4")), (vec![1], vec![1]));
    let cut = world.first_packet_under[&msk(2)];
    for expelled in ["c3", "c4"] {
        assert_eq!(world.client(expelled).heard.last(), Some(&(cut - 1)));
    }
    assert!(world.missed("c1", 1).is_empty() && world.missed("c2", 1).is_empty());
}

#[test]
fn who_is_expelled_is_given_nothing_although_the_window_is_open() {
    let mut world = world_with_windows();
    world.expel("c4");
    let (channel, now, c4) = (world.channel.clone(), world.now, "c4".into());
    assert!(world.server.join(&channel, &c4, now).is_err());
    assert!(world.server.join_in_answer(&channel, &c4, now).is_err());
    assert!(world.server.resend(&channel, &c4, now).is_err());
    assert!(world.server.solicit(&channel, &c4, now).is_err());
    assert_eq!(world.confirmed("c4"), None);
    assert_eq!(world.sent_to("c4"), [1]);
}

#[test]
fn update_for_another_cause_serves_those_who_wait_for_the_window() {
    let mut world = world_with_windows();
    world.leave("c4");
    world.expel("c3");
    let channel = world.channel.clone();
    world.command(|server, now, random| server.update(&channel, UpdateCause::Command, now, random));
    world.run(secs(30));
    assert_eq!(world.logged("update"), ["update 00170002 command"]);
    assert_eq!((world.sent_to("c3"), world.sent_to("c4")), (vec![1], vec![1]));
}

#[test]
fn leaves_wait_for_an_open_window_of_expulsions_and_share_its_update() {
    let mut world = world_with_windows();
    world.leave("c4");
    world.run(secs(9));
    world.expel("c3");
    world.run(secs(1) + FRAME);
    assert_eq!(world.current(), msk(1), "the window for leaves is over");
    world.run(secs(20));
    assert_eq!(world.logged("update"), ["update 00170002 expulsion"]);
}

#[test]
fn who_leaves_during_an_update_is_cut_off_by_one_more_after_the_window() {
    let mut world = world_with_windows();
    world.client("c2").loses_msks = true;
    let channel = world.channel.clone();
    world.command(|server, now, random| server.update(&channel, UpdateCause::Command, now, random));
    world.leave("c4");
    world.client("c2").loses_msks = false;
    world.run(secs(9));
    assert_eq!((world.sent_to("c4"), world.current()), (vec![1, 2], msk(2)));
    world.run(secs(2));
    assert_eq!(world.current(), msk(3));
    assert_eq!(world.sent_to("c4"), [1, 2]);
}

#[test]
fn expulsion_during_an_update_supersedes_it_when_the_window_closes() {
    let mut world = world_with_windows();
    world.client("c2").loses_answers = true;
    let channel = world.channel.clone();
    world.command(|server, now, random| server.update(&channel, UpdateCause::Command, now, random));
    world.expel("c4");
    world.run(secs(2));
    assert_eq!(world.newest(), msk(3));
    world.run(secs(10));
    assert_eq!(
        (world.sent_to("c4"), world.logged("switch")),
        (vec![1, 2], vec!["switch 00170003"])
    );
}

#[test]
fn restart_neither_forgets_an_open_window_nor_prolongs_it() {
    let mut world = world_with_windows();
    world.leave("c4");
    world.run(secs(5));
    world.restart_server();
    world.run(secs(5) - FRAME);
    assert_eq!(world.current(), msk(1));
    world.run(FRAME);
    assert_eq!(world.current(), msk(2));
}

#[test]
fn nobody_is_charged_for_expelling_the_expelled_once_more() {
    let mut world = world_with_windows();
    world.expel("c4");
    world.run(secs(10));
    let (channel, now) = (world.channel.clone(), world.now);
    let random = &mut |out: &mut [u8]| out.fill(1);
    let again = world.server.expel(&channel, &["c4".into()], now, random).unwrap();
    assert!(again.is_empty(), "{again:?}");
    // One who was never there may have the MSK from somewhere all the same.
    let other = world.server.expel(&channel, &["c9".into()], now, random).unwrap();
    assert!(matches!(&other[..], [Action::WindowOpened { .. }]), "{other:?}");
}
