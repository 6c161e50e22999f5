//! Fear: a broadcaster does not learn of an update in time, two of them use one key stream, or one has
//! died and nobody says so.

use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use mcast_srtp::{
    broadcast::{BroadcastAction, BroadcastTiming, Broadcaster, BroadcasterId, ChannelDocument},
    keys::Outcome,
    service::{EventKind, Request, document},
};

use crate::world::{CHANNEL, LATE, PATIENCE, World, expel};

fn holds(broadcaster: &str, version: u64) -> Request {
    Request::BroadcasterHolds { channel: CHANNEL.into(), broadcaster: broadcaster.into(), version }
}

fn report(broadcaster: Option<&str>, left: Option<u16>, msk: u16) -> Request {
    let msk_id = mcast_srtp::ids::MskId { group: crate::world::KEY_GROUP, number: msk };
    Request::BroadcasterReport {
        channel: CHANNEL.into(),
        broadcaster: broadcaster.map(BroadcasterId::from),
        streams: Vec::new(),
        mtk_ids_left: left,
        msk_id: Some(msk_id),
    }
}

/// The document of a broadcaster as it comes over the network, newer than a version.
fn pulled(world: &World, broadcaster: Option<&str>, after: u64) -> ChannelDocument {
    let broadcaster = broadcaster.map(BroadcasterId::from);
    let waited =
        world.service.wait_document(&CHANNEL.into(), broadcaster.as_ref(), after, PATIENCE);
    document::from_json(&document::to_json(&waited.unwrap().unwrap()).unwrap()).unwrap()
}

#[test]
fn switch_waits_for_the_broadcasters_and_they_have_the_coming_msk_before_it() {
    let mut world = World::with(|options| options.timing.udp = LATE);
    world.open(|spec| {
        spec.broadcasters = vec!["east".into(), "west".into()];
        spec.confirm_within = Duration::from_secs(600);
    });
    let mut c1 = world.member("c1");
    let first = [pulled(&world, Some("east"), 0), pulled(&world, Some("west"), 0)];
    assert_eq!(first[0].msks[0].interval.high, first[1].msks[0].interval.low);
    assert!(world.service.document(&CHANNEL.into(), None).is_none());
    world.does(expel(&["c2"]));
    c1.confirms();
    let coming = pulled(&world, Some("east"), first[0].version);
    assert_eq!((coming.msks.len(), coming.in_force.number), (2, 1));
    assert!(world.does(holds("east", coming.version)).changed);
    assert!(!world.does(holds("east", coming.version)).changed);
    world.wait_for(|kind| matches!(kind, EventKind::DocumentHeld { .. }));
    assert_eq!(world.current(), 1, "west does not hold it");
    assert!(world.does(holds("west", coming.version)).changed);
    world.wait_for(|kind| matches!(kind, EventKind::Switched { .. }));
    assert_eq!(pulled(&world, Some("west"), coming.version).in_force.number, 2);
}

#[test]
fn member_opens_the_traffic_keys_of_a_broadcaster_that_follows_the_documents() {
    let mut world = World::with(|options| options.timing.udp = LATE);
    world.open(|spec| spec.broadcasters = vec!["east".into()]);
    let mut c1 = world.member("c1");
    let document = pulled(&world, Some("east"), 0);
    let mut east = Broadcaster::new(&CHANNEL.into(), BroadcastTiming::default());
    let mut random = |out: &mut [u8]| getrandom::fill(out).unwrap();
    let actions = east.follow(&document, Instant::now(), &mut random).unwrap();
    let message = actions.iter().find_map(|action| match action {
        BroadcastAction::SendKeyMessage(octets) => Some(octets),
        _ => None,
    });
    let opened = c1.store.receive(message.unwrap()).unwrap();
    assert!(matches!(opened, Outcome::Mtk(mtk) if mtk.msk_id.number == 1));
}

#[test]
fn waiting_broadcaster_is_woken_by_the_change_and_a_wait_that_is_dropped_is_gone() {
    let world = World::with(|options| options.limits.document_waits = 1);
    world.open(|_| ());
    let version = pulled(&world, None, 0).version;
    let (told, hears) = bounded(1);
    let wait = world.service.when_document(&CHANNEL.into(), None, version, move |document| {
        told.send(document.version).unwrap();
    });
    let wait = wait.unwrap();
    let refused = world.service.when_document(&CHANNEL.into(), None, version, |_| ());
    assert!(refused.unwrap_err().text.contains("wait for documents already"));
    assert_eq!(world.service.counters().document_waits_refused, 1);
    world.does(expel(&["c1"]));
    assert!(hears.recv_timeout(PATIENCE).unwrap() > version);
    drop(wait);
    let nothing =
        world.service.wait_document(&CHANNEL.into(), None, u64::MAX, Duration::from_millis(10));
    assert!(nothing.unwrap().is_none());
    world.does(Request::CloseChannel { channel: CHANNEL.into() });
    let last = world.service.document(&CHANNEL.into(), None).unwrap();
    assert!(last.msks.is_empty(), "who comes late learns that it is over");
}

#[test]
fn broadcaster_that_is_not_heard_is_told_and_told_again_when_it_is_back() {
    let mut world = World::with(|options| options.broadcaster_silence = Duration::from_millis(10));
    world.open(|spec| spec.broadcasters = vec!["east".into()]);
    let silent = |kind: &EventKind| matches!(kind, EventKind::BroadcasterSilent { .. });
    world.wait_for(silent);
    world.does(report(Some("east"), None, 1));
    let heard = |kind: &EventKind| matches!(kind, EventKind::BroadcasterHeard { .. });
    world.wait_for(heard);
    world.wait_for(silent);
    world.does(holds("east", 0));
    world.wait_for(heard);
}

#[test]
fn few_mtk_ids_left_bring_one_update_however_often_they_are_reported() {
    let mut world = World::with(|options| options.timing.udp = LATE);
    world.open(|spec| spec.grace = Duration::from_secs(600));
    let update = world.does(report(None, Some(3), 1)).update.unwrap();
    assert_eq!(update.number, 2);
    assert!(!world.does(report(None, Some(2), 1)).changed, "it is out of use already");
    assert!(!world.does(report(None, None, 2)).changed);
    let told = world.told(|kind| matches!(kind, EventKind::MtkIdsLow { .. }));
    assert!(matches!(&told[..], [EventKind::MtkIdsLow { left: 3, .. }]), "{told:?}");
    assert_eq!(world.service.counters().updates, 1);
}
