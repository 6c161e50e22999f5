//! Fear: of several calls that share a commit one undoes what another had to leave in the state, so
//! that the key server does not start again, or starts with somebody in who was out.

use mcast_srtp::keyserver::ChannelSpec;

use crate::world::{DOMAIN, KEY_GROUP, World};

/// A channel with a member, an expelled client and records of both.
fn kept() -> World {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c1", "c2", "c3"]);
    world.expel("c3");
    world.keep();
    world
}

fn close(world: &mut World) {
    let channel = world.channel.clone();
    world.command(|server, _, _| server.close_channel(&channel));
}

fn open(world: &mut World) {
    let channel = world.channel.clone();
    let spec = ChannelSpec::new(DOMAIN, KEY_GROUP);
    world.command(|server, now, random| server.open_channel(&channel, spec, now, random));
}

/// What precedes the close in the same commit.
const BEFORE: [fn(&mut World); 5] = [
    |world| world.leave("c2"),
    |world| world.expel("c2"),
    |world| world.command(|server, now, random| server.remove_client(&"c2".into(), now, random)),
    |world| assert!(world.server.readmit(&world.channel, &"c3".into()).unwrap()),
    |world| world.join("c2"),
];

#[test]
fn close_in_the_commit_of_another_change_leaves_nothing_behind() {
    for before in BEFORE {
        let mut world = kept();
        before(&mut world);
        close(&mut world);
        world.restart_server();
        assert_eq!(world.server.channels().count(), 0, "what is left would be refused");
    }
}

#[test]
fn channel_closed_and_opened_in_one_commit_has_nobody_of_before() {
    for before in BEFORE {
        let mut world = kept();
        before(&mut world);
        close(&mut world);
        open(&mut world);
        let sent = world.sent.len();
        world.restart_server();
        assert_eq!(world.server.members(&world.channel).count(), 0);
        assert_eq!(world.server.expelled(&world.channel).count(), 0);
        assert_eq!(world.sent.len(), sent, "nobody is sent the new MSK");
    }
}

#[test]
fn who_comes_in_after_the_channel_was_opened_again_stays_in() {
    let mut world = kept();
    world.leave("c2");
    close(&mut world);
    open(&mut world);
    world.join("c2");
    world.restart_server();
    assert!(world.server.is_member(&world.channel, &"c2".into()));
    close(&mut world);
    open(&mut world);
    close(&mut world);
    world.restart_server();
    assert_eq!(world.server.channels().count(), 0);
}
