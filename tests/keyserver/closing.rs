//! Fear: a broadcaster that was away when its channel was closed, or when it was taken out of it, goes
//! on under an MSK that is said to be destroyed.

use mcast_srtp::keyserver::{ChannelSpec, KeyServer};

use crate::world::{DOMAIN, KEY_GROUP, World, secs};

fn named() -> World {
    let mut world = World::under(&["c1"], |spec| spec.broadcasters = vec!["b1".into()]);
    world.join("c1");
    world.run(secs(1));
    world
}

fn close(world: &mut World) {
    let channel = world.channel.clone();
    world.command(|server, _, _| server.close_channel(&channel));
}

/// What is still to be told, as channel and version.
fn to_tell(world: &World) -> Vec<(String, u64)> {
    let last = world.server.last_documents();
    last.map(|document| (document.channel.to_string(), document.version)).collect()
}

#[test]
fn broadcaster_that_was_away_at_the_close_is_told_after_a_restart() {
    let mut world = named();
    world.cut_off(true);
    close(&mut world);
    assert!(world.broadcaster.mki().is_some());
    for _ in 0..2 {
        world.restart_server();
        let last = world.documents.last().unwrap();
        assert!(last.msks.is_empty() && last.version == world.broadcaster.followed() + 1);
    }
    world.cut_off(false);
    world.restart_server();
    assert!(world.broadcaster.mki().is_none() && world.log.contains(&"silent".to_owned()));
    let published = world.documents.len();
    world.restart_server();
    assert_eq!((world.documents.len(), to_tell(&world)), (published, vec![]), "it has said so");
}

#[test]
fn broadcaster_that_was_taken_out_while_it_was_away_is_told_after_a_restart() {
    let mut world = named();
    world.cut_off(true);
    world.set_policy(|spec| spec.broadcasters = vec!["b2".into()]);
    world.idle(secs(30));
    world.cut_off(false);
    world.restart_server();
    assert!(world.broadcaster.mki().is_none());
    assert_eq!(to_tell(&world), []);
}

#[test]
fn word_of_a_broadcaster_that_is_out_is_taken_for_the_last_document_only() {
    let mut world = named();
    world.cut_off(true);
    close(&mut world);
    let (channel, b1) = (world.channel.clone(), "b1".into());
    let last = world.server.last_version(&channel, &b1).unwrap();
    let now = world.now;
    assert!(world.server.broadcaster_holds(&channel, &b1, last - 1, now).unwrap().is_empty());
    assert_eq!(to_tell(&world), [(channel.to_string(), last)]);
    assert!(world.server.broadcaster_holds(&channel, &"b2".into(), last, now).is_err());
    assert!(world.server.broadcaster_holds(&channel, &b1, last, now).unwrap().is_empty());
    assert!(world.server.broadcaster_holds(&channel, &b1, last, now).is_err(), "said already");
}

#[test]
fn broadcaster_that_is_in_again_is_not_told_to_erase() {
    let mut world = named();
    world.cut_off(true);
    close(&mut world);
    let mut spec = ChannelSpec::new(DOMAIN, KEY_GROUP);
    spec.broadcasters = vec!["b1".into()];
    let channel = world.channel.clone();
    world.command(|server, now, random| server.open_channel(&channel, spec, now, random));
    assert_eq!(to_tell(&world), []);
    world.cut_off(false);
    world.restart_server();
    assert!(world.documents.iter().skip_while(|d| !d.msks.is_empty()).nth(1).is_some());
    world.run(secs(1));
    assert_eq!(world.broadcaster.msk_ids().next(), Some(world.current()));
}

#[test]
fn channels_that_come_and_go_do_not_fill_the_state() {
    let mut world = World::new(&[]);
    let (now, random) = (world.now, &mut |out: &mut [u8]| out.fill(1));
    let count = u16::try_from(KeyServer::MAX_ENDED + 3).unwrap();
    for group in 100..100 + count {
        let (channel, spec) = (group.to_string().as_str().into(), ChannelSpec::new(DOMAIN, group));
        world.server.open_channel(&channel, spec, now, random).unwrap();
        world.server.close_channel(&channel).unwrap();
    }
    world.restart_server();
    let told = to_tell(&world);
    assert_eq!(told.len(), KeyServer::MAX_ENDED);
    let has = |group: u16| told.iter().any(|(channel, _)| *channel == group.to_string());
    assert!(!has(102) && has(103) && has(100 + count - 1), "the oldest are forgotten");
}
