//! A retired key is gone when nobody uses it, whether packets come or not.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use super::*;
use crate::{
    group::Carries,
    ids::{GroupId, PacketIndex},
    rx::{Datagram, Event, KeyMessage, Lane, Limits, Port, Sink},
    srtp::{Protector, SessionId, TrafficKey},
};

const GROUP: GroupId = GroupId(0);

/// A plane with one group and MTK 5, and that key as long as somebody holds it.
fn plane(now: Instant) -> (KeyPlane, Weak<TrafficKey>) {
    let mut plane = KeyPlane::new(PlaneLimits::default());
    plane.insert_muk(muk_id(), muk(1)).unwrap();
    plane.add_group(GROUP, None);
    plane.announce(GROUP, &msk_message(&muk(1), |_| {}), now).unwrap();
    plane.receive(Some(GROUP), &mtk_message(1, 5, |_| {}), now).unwrap();
    plane.publish();
    let key = newest(&plane);
    (plane, key)
}

fn newest(plane: &KeyPlane) -> Weak<TrafficKey> {
    Arc::downgrade(&plane.published().load().ring(GROUP).unwrap().keys()[0])
}

/// Where an idle lane delivers.
struct Nowhere;

impl Sink for Nowhere {
    fn event(&mut self, _: Event<'_>) {}

    fn key_message(&mut self, _: KeyMessage<'_>) -> Result<(), Reject> {
        Ok(())
    }
}

/// A newer key comes into use, and the time of the older one passes.
fn outlive(plane: &mut KeyPlane, now: Instant) {
    plane.receive(Some(GROUP), &mtk_message(2, 6, |_| {}), now).unwrap();
    plane.publish();
    newest(plane).upgrade().unwrap().mark_used();
    plane.tick(now);
    plane.tick(now + PlaneLimits::default().grace);
}

fn revocation() -> Vec<u8> {
    let nothing = Interval { low: MtkId(1), high: MtkId(0) };
    msk_message(&muk(1), |issue| (issue.counter, issue.interval) = (2, nothing))
}

#[test]
fn a_retired_key_is_erased_with_the_next_publish_although_its_lane_is_idle() {
    let now = Instant::now();
    let (mut plane, key) = plane(now);
    let mut lane = Lane::new(Arc::clone(plane.published()), &Limits::default());
    lane.tick(now, &mut Nowhere);
    outlive(&mut plane, now);
    assert!(key.strong_count() > 0, "held by its table");
    assert!(plane.publish());
    assert_eq!(key.strong_count(), 0);
    assert!(newest(&plane).strong_count() > 0);
}

#[test]
fn a_retired_key_outlasts_the_batch_of_a_lane_and_is_erased_by_the_plane() {
    let now = Instant::now();
    let (mut plane, key) = plane(now);
    let batch = plane.published().load();
    outlive(&mut plane, now);
    // However many tables follow meanwhile.
    for number in 7..12 {
        plane.receive(Some(GROUP), &mtk_message(number.into(), number, |_| {}), now).unwrap();
        plane.publish();
        plane.tick(now);
    }
    assert!(key.strong_count() > 0 && batch.ring(GROUP).is_some());
    drop(batch);
    assert!(key.strong_count() > 0, "the lane frees nothing");
    plane.tick(now);
    assert_eq!(key.strong_count(), 0);
}

#[test]
fn keys_of_a_revoked_msk_are_erased_at_once_and_nothing_is_left_when_the_group_is_gone() {
    let now = Instant::now();
    let (mut plane, key) = plane(now);
    plane.receive(None, &revocation(), now).unwrap();
    plane.publish();
    assert_eq!(key.strong_count(), 0);
    plane.tick(now);
    assert_eq!(plane.key_groups(), 1, "its packets count as expired, not as unknown");
    plane.remove_group(GROUP);
    plane.publish();
    plane.tick(now);
    assert_eq!(plane.key_groups(), 0);
}

#[test]
fn session_keys_derived_from_a_retired_key_are_erased_on_an_idle_lane_too() {
    let now = Instant::now();
    let mut plane = KeyPlane::new(PlaneLimits::default());
    plane.insert_muk(muk_id(), muk(1)).unwrap();
    plane.add_group(GROUP, None);
    let rated = |issue: &mut MskIssue<'_>| issue.profile = Profile::default().with_kdr(16);
    plane.announce(GROUP, &msk_message(&muk(1), rated), now).unwrap();
    plane.receive(Some(GROUP), &mtk_message(1, 5, |_| {}), now).unwrap();
    plane.publish();

    let mut lane = Lane::new(Arc::clone(plane.published()), &Limits::default());
    let carries = Carries { rtp: true, ..Carries::default() };
    let port = lane.add_port(Port::new(GROUP, SessionId(0), carries, &[], Arc::default()));
    let key = newest(&plane).upgrade().unwrap();
    let mut packet = vec![0x80, 97, 0, 40, 0, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3];
    let mut protector = Protector::new();
    protector.resume(Ssrc(9), PacketIndex::from_value(40));
    protector.protect_rtp(&key, &mut packet).unwrap();
    let source = ([192, 0, 2, 1], 5004).into();
    let datagram = Datagram { port, source, truncated: false, bytes: &mut packet };
    assert_eq!(lane.run_batch(&mut [datagram], now, &mut Nowhere).accepted, 1);
    assert_eq!(lane.derived_keys(), 1);

    plane.receive(None, &revocation(), now).unwrap();
    plane.publish();
    lane.tick(now, &mut Nowhere);
    assert_eq!(lane.derived_keys(), 0);
}

#[test]
fn msks_that_come_and_go_without_traffic_leave_nothing_behind() {
    let now = Instant::now();
    let (mut plane, _) = plane(now);
    for number in 2..500 {
        let id = MskId { number, ..ID };
        let message =
            msk_message(&muk(1), |issue| (issue.counter, issue.msk_id) = (number.into(), id));
        plane.receive(None, &message, now).unwrap();
        plane.tick(now + Duration::from_secs(number.into()));
    }
    assert_eq!(plane.store().msks().count(), 2);
    assert!(plane.key_group_msks() <= 3, "two held, and one whose traffic key is on the air");
}
