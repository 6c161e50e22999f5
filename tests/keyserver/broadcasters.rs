//! Fear: a broadcaster switches before it can, two of them use one identifier, or one is forgotten.

use std::collections::BTreeSet;

use mcast_srtp::{
    broadcast::{BroadcastAction, BroadcastTiming, Broadcaster, Lead},
    ids::{MskId, Roc, Ssrc},
    keys::CryptoSession,
    keyserver::{Action, UpdateCause},
    wire::mikey::{CsIdMap, Message},
};

use crate::world::{Entropy, World, msk, rtp, secs};

fn world_of_two() -> World {
    let mut world = World::under(&["c1", "c2"], |spec| {
        spec.broadcasters = vec!["b1".into(), "b2".into()];
    });
    world.join_all(&["c1", "c2"]);
    world.run(secs(1));
    world.holds_newest("b2");
    world
}

fn update(world: &mut World) {
    let channel = world.channel.clone();
    world.command(|server, now, random| server.update(&channel, UpdateCause::Command, now, random));
}

fn listed(world: &World, name: &str) -> Vec<MskId> {
    let document = world.server.document(&world.channel, Some(&name.into())).unwrap();
    document.msks.iter().map(|listed| listed.msk_id).collect()
}

#[test]
fn coming_msk_is_published_before_any_client_is_given_it() {
    let mut world = World::new(&["c1"]);
    world.join("c1");
    let channel = world.channel.clone();
    let now = world.now;
    let random = &mut |out: &mut [u8]| out.fill(7);
    let actions = world.server.update(&channel, UpdateCause::Command, now, random).unwrap();
    let [Action::UpdateBegun { .. }, Action::Publish(document), Action::SendMsk(_)] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!((document.in_force, document.msks.last().unwrap().msk_id), (msk(1), msk(2)));
    let before = world.documents.last().unwrap().version;
    assert_eq!(document.version, before + 1);
}

#[test]
fn switch_waits_for_the_slower_broadcaster() {
    let mut world = world_of_two();
    update(&mut world);
    world.run(secs(2));
    assert_eq!((world.confirmed("c1"), world.current()), (Some(msk(2)), msk(1)));
    world.holds_newest("b2");
    assert_eq!((world.current(), world.missing.clone()), (msk(2), (0, vec![])));
    world.run(secs(1));
    assert!(world.missed("c1", 1).is_empty());
}

#[test]
fn switch_waits_for_a_broadcaster_at_most_to_the_deadline_and_names_it() {
    let mut world = world_of_two();
    update(&mut world);
    world.run(secs(5));
    assert_eq!((world.current(), world.missing.clone()), (msk(2), (0, vec!["b2".to_owned()])));
}

#[test]
fn word_of_an_older_document_does_not_count() {
    let mut world = world_of_two();
    let channel = world.channel.clone();
    let before = world.server.document(&channel, Some(&"b2".into())).unwrap().version;
    update(&mut world);
    let mut holds = |name: &str, version| {
        let now = world.now;
        world.server.broadcaster_holds(&channel, &name.into(), version, now).map(drop)
    };
    holds("b2", before).unwrap();
    assert!(holds("b2", before + 2).unwrap_err().to_string().contains("not at"));
    assert!(holds("b9", 1).unwrap_err().to_string().contains("b9"));
    assert_eq!(world.current(), msk(1));
    let held: Vec<_> = world.server.broadcasters(&channel).map(|(_, held)| held).collect();
    assert_eq!(held, [Some(before + 1), Some(before)]);
}

#[test]
fn two_broadcasters_never_use_the_same_mtk_id_or_counter() {
    let mut world = World::under(&["c1"], |spec| {
        spec.broadcasters = vec!["b1".into(), "b2".into(), "b3".into()];
        spec.mtk_ids.high.0 = 11;
    });
    let mut used = BTreeSet::new();
    for update_first in [false, true] {
        if update_first {
            update(&mut world);
            world.run(secs(6));
        }
        for name in ["b1", "b2", "b3"] {
            let mut broadcaster = Broadcaster::new(&world.channel, BroadcastTiming::default());
            let document = world.server.document(&world.channel, Some(&name.into())).unwrap();
            let (now, mut entropy) = (world.now, Entropy(9));
            let random = &mut |out: &mut [u8]| entropy.fill(out);
            let mut actions = broadcaster.follow(&document, now, random).unwrap();
            while let Ok(more) = broadcaster.new_mtk(Lead::None, now, random) {
                actions.extend(more);
            }
            for action in actions {
                let BroadcastAction::SendKeyMessage(octets) = action else { continue };
                let message = Message::parse(&octets).unwrap();
                let ids = message.key_ids().unwrap();
                let counter = message.timestamp().unwrap().counter().unwrap();
                assert!(used.insert((ids.msk.unwrap(), Some(ids.mtk.unwrap()), None)), "{name}");
                assert!(used.insert((ids.msk.unwrap(), None, Some(counter))), "{name}");
            }
        }
    }
    assert_eq!(used.len(), 2 * 2 * 11, "all MTK IDs of both MSKs but the lower end");
}

#[test]
fn documents_in_any_order_and_number_lead_to_the_newest() {
    let mut world = World::new(&["c1", "c2"]);
    world.cut_off_broadcaster(true);
    world.join_all(&["c1", "c2"]);
    for _ in 0..3 {
        update(&mut world);
        world.run(secs(20));
    }
    let documents = world.documents.clone();
    let mut broadcaster = Broadcaster::new(&world.channel, BroadcastTiming::default());
    let random = &mut |out: &mut [u8]| out.fill(3);
    for document in documents.iter().rev().chain(&documents) {
        broadcaster.follow(document, world.now, random).unwrap();
    }
    let last = documents.last().unwrap();
    assert_eq!((broadcaster.followed(), last.in_force), (last.version, msk(4)));
    let msks: Vec<_> = broadcaster.msk_ids().collect();
    assert_eq!(msks, [msk(4)]);
}

#[test]
fn broadcaster_that_missed_the_switch_catches_up_with_one_document() {
    let mut world = World::under(&["c1", "c2"], |spec| spec.broadcasters = vec!["b1".into()]);
    world.join_all(&["c1", "c2"]);
    world.run(secs(1));
    world.cut_off_broadcaster(true);
    world.expel("c2");
    world.run(secs(6));
    assert_eq!((world.current(), world.missing.clone()), (msk(2), (0, vec!["b1".to_owned()])));
    assert!(world.missed("c1", 1).is_empty(), "the old MSK serves on");
    world.cut_off_broadcaster(false);
    world.run(secs(1));
    let cut = world.first_packet_under[&msk(2)];
    assert_eq!(world.client("c2").heard.last(), Some(&(cut - 1)));
    assert!(world.missed("c1", 1).is_empty());
}

#[test]
fn broadcaster_that_is_taken_out_falls_silent_and_one_that_enters_waits_for_its_part() {
    let mut world = world_of_two();
    world.set_policy(|spec| spec.broadcasters = vec!["b2".into(), "b3".into()]);
    assert_eq!(world.logged("update"), ["update 00170002 broadcasters"]);
    assert_eq!(world.logged("silent").len(), 1, "b1 was told to erase all");
    assert!(world.broadcaster.mki().is_none());
    assert!(world.broadcaster.msk_ids().next().is_none());
    assert!(world.server.document(&world.channel, Some(&"b1".into())).is_none());
    assert_eq!(listed(&world, "b2"), [msk(1), msk(2)]);
    assert_eq!(listed(&world, "b3"), [msk(2)]);
    // b3 has no part in the MSK on the air.
    let mut late = Broadcaster::new(&world.channel, BroadcastTiming::default());
    let (now, random) = (world.now, &mut |out: &mut [u8]| out.fill(3));
    let follow = |late: &mut Broadcaster, world: &World, random: &mut dyn FnMut(&mut [u8])| {
        let document = world.server.document(&world.channel, Some(&"b3".into())).unwrap();
        late.follow(&document, now, random).unwrap()
    };
    let silent = follow(&mut late, &world, random);
    assert!(matches!(&silent[..], [BroadcastAction::Silent { in_force }] if *in_force == msk(1)));
    assert!(late.protect_rtp(&mut rtp(1), now).is_err());
    world.holds_newest("b2");
    world.holds_newest("b3");
    assert_eq!(world.current(), msk(2));
    let switched = follow(&mut late, &world, random);
    assert!(matches!(&switched[..], [BroadcastAction::SendKeyMessage(_)]), "{switched:?}");
}

#[test]
fn nobody_is_given_the_document_of_all_when_parts_are_dealt_out() {
    let world = world_of_two();
    assert!(world.server.document(&world.channel, None).is_none());
    assert!(world.server.document(&world.channel, Some(&"b9".into())).is_none());
    let nameless = World::new(&[]);
    assert!(nameless.server.document(&nameless.channel, Some(&"b1".into())).is_none());
}

#[test]
fn channel_closed_and_opened_again_goes_on_with_higher_versions() {
    let mut world = World::new(&["c1"]);
    world.join("c1");
    world.run(secs(1));
    let channel = world.channel.clone();
    let spec = world.server.spec(&channel).unwrap().clone();
    world.command(|server, _, _| server.close_channel(&channel));
    assert!(world.broadcaster.mki().is_none() && world.broadcaster.msk_ids().next().is_none());
    assert!(world.log.iter().any(|line| line.starts_with("Closed")), "{:?}", world.log);
    world.restart_server();
    world.command(|server, now, random| server.open_channel(&channel, spec, now, random));
    world.join("c1");
    world.run(secs(1));
    assert_eq!(world.broadcaster.mki().unwrap().split_mbms().unwrap().0, msk(2));
}

#[test]
fn restarted_server_waits_for_broadcasters_anew_and_versions_do_not_fall_back() {
    let mut world = world_of_two();
    update(&mut world);
    let before = world.documents.last().unwrap().version;
    world.restart_server();
    assert_eq!(world.documents.last().unwrap().version, before);
    world.run(secs(2));
    assert_eq!(world.current(), msk(1), "b2 has not been heard");
    // What b1 said is lost with the restart; it says it again.
    world.holds_newest("b1");
    world.holds_newest("b2");
    assert_eq!(world.current(), msk(2));
}

#[test]
fn standby_without_streams_does_not_erase_those_of_the_active_broadcaster() {
    let mut world =
        World::under(&["c1"], |spec| spec.broadcasters = vec!["b1".into(), "b2".into()]);
    let stream = |n, roc| CryptoSession { policy: 0, ssrc: Ssrc(n), roc: Roc(roc) };
    let channel = world.channel.clone();
    let tell = |world: &mut World, name: &str, streams: &[CryptoSession]| {
        world.server.set_streams(&channel, Some(&name.into()), streams).unwrap();
        world.keep()
    };
    world.keep();
    tell(&mut world, "b1", &[stream(2, 7), stream(1, 3)]);
    tell(&mut world, "b2", &[]);
    assert_eq!(tell(&mut world, "b1", &[stream(1, 3), stream(2, 7)]), 0, "talkers take turns");
    tell(&mut world, "b2", &[stream(2, 9), stream(5, 1)]);
    world.restart_server();
    let map = |world: &mut World| {
        world.join("c1");
        let message = Message::parse(&world.sent.last().unwrap().octets).unwrap();
        let CsIdMap::SrtpId(map) = message.header().map else { panic!() };
        map.iter().map(|stream| (stream.ssrc.0, stream.roc.0)).collect::<Vec<_>>()
    };
    assert_eq!(map(&mut world), [(1, 3), (2, 9), (5, 1), (0, 0)]);
    world.set_policy(|spec| spec.broadcasters = vec!["b1".into()]);
    assert_eq!(map(&mut world), [(1, 3), (2, 7), (0, 0)]);
}

#[test]
fn stream_that_no_msk_message_could_express_is_refused() {
    let mut world = World::new(&["c1"]);
    let other = CryptoSession { policy: 1, ssrc: Ssrc(7), roc: Roc(0) };
    let refused = world.server.set_streams(&world.channel, None, &[other]).unwrap_err();
    assert!(refused.to_string().contains("under policy 1"));
    assert!(world.server.set_streams(&world.channel, Some(&"b1".into()), &[]).is_err());
    world.join("c1");
    assert_eq!(world.confirmed("c1").map(|msk_id| msk_id.number), Some(1));
}
