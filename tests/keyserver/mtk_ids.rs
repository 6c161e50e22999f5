//! Fear: MTK IDs or key numbers run out, and the group falls silent or an identifier comes twice.

use mcast_srtp::{
    broadcast::BroadcastTiming,
    ids::MtkId,
    keys::Interval,
    keyserver::{Action, UpdateCause},
};

use crate::world::{DOMAIN, KEY_GROUP, World, msk, secs};

fn world_with_ids(high: u16) -> World {
    let mut timing = BroadcastTiming::default();
    timing.mtk_ids_low = 4;
    World::with(&["c1", "c2"], timing, |spec| {
        spec.mtk_period = Some(secs(1));
        spec.mtk_ids = Interval { low: MtkId(0), high: MtkId(high) };
    })
}

#[test]
fn msk_is_updated_before_the_last_mtk_id_and_nobody_notices() {
    let mut world = world_with_ids(20);
    world.join_all(&["c1", "c2"]);
    world.run(secs(60));
    let updates: Vec<_> = world.log.iter().filter(|line| line.ends_with("mtk_ids")).collect();
    assert!((3..=5).contains(&updates.len()), "{updates:?}");
    assert!(world.missed("c1", 1).is_empty() && world.missed("c2", 1).is_empty());
}

#[test]
fn lifetime_of_the_msk_is_kept() {
    let mut world = World::under(&["c1"], |spec| spec.msk_lifetime = Some(secs(60)));
    world.join("c1");
    world.run(secs(60 * 3 + 1));
    assert_eq!(world.current(), msk(4));
    assert!(world.missed("c1", 1).is_empty());
}

#[test]
fn last_key_number_is_told_and_the_expelled_gets_nothing_all_the_same() {
    let mut world = World::new(&["c1", "c2"]);
    world.join_all(&["c1", "c2"]);
    world.keep();
    // Key number, domain and key group: the last one given.
    let key = [&[8][..], &DOMAIN.0, &KEY_GROUP.to_be_bytes()].concat();
    assert_eq!(world.kept.0.insert(key, vec![0xff, 0xff]), Some(vec![0, 1]));
    world.restore_server(world.wall());
    let (channel, now) = (world.channel.clone(), world.now);
    let random = &mut |out: &mut [u8]| out.fill(1);
    let expelled = world.server.expel(&channel, &["c2".into()], now, random).unwrap();
    assert!(matches!(&expelled[..], [Action::KeyNumbersUsedUp { .. }]), "{expelled:?}");
    let updated = world.server.update(&channel, UpdateCause::Command, now, random);
    assert!(updated.unwrap_err().to_string().contains("another key group"));
    assert!(world.server.join(&channel, &"c2".into(), now).is_err());
    assert_eq!(world.server.members(&channel).count(), 1);
}

#[test]
fn last_key_numbers_are_told_while_there_is_time_to_do_something() {
    let mut world = World::new(&["c1"]);
    world.keep();
    let key = [&[8][..], &DOMAIN.0, &KEY_GROUP.to_be_bytes()].concat();
    let mut told = Vec::new();
    for last in [0xfb_fd_u16, 0xfb_fe, 0xfb_ff, 0xff_fc, 0xff_fe] {
        world.kept.0.insert(key.clone(), last.to_be_bytes().to_vec());
        world.restore_server(world.wall());
        let (channel, now) = (world.channel.clone(), world.now);
        let random = &mut |out: &mut [u8]| out.fill(last as u8);
        let updated = world.server.update(&channel, UpdateCause::Compromise, now, random).unwrap();
        told.extend(updated.iter().find_map(|action| match action {
            Action::KeyNumbersLow { left, .. } => Some(*left),
            _ => None,
        }));
    }
    assert_eq!(told, [1024, 2, 0]);
}

#[test]
fn key_numbers_of_a_closed_channel_stay_used() {
    let mut world = World::new(&["c1"]);
    let (channel, now) = (world.channel.clone(), world.now);
    let spec = world.server.spec(&channel).unwrap().clone();
    world.server.close_channel(&channel).unwrap();
    assert!(world.server.close_channel(&channel).is_err());
    world.server.open_channel(&channel, spec, now, &mut |out| out.fill(1)).unwrap();
    assert_eq!(world.current(), msk(2));
}
