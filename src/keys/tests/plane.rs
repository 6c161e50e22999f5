//! From key messages to the traffic keys that packets may name.

use std::time::{Duration, Instant};

use super::*;
use crate::ids::GroupId;

#[test]
fn an_msk_that_replaces_its_namesake_takes_the_traffic_keys_of_that_along() {
    let (mut plane, group, start) =
        (KeyPlane::new(PlaneLimits::default()), GroupId(0), Instant::now());
    let names = |plane: &KeyPlane| -> Vec<u16> {
        plane.live_keys(group).iter().map(|key| key.mtk.0).collect()
    };
    plane.insert_muk(muk_id(), muk(1)).unwrap();
    plane.add_group(group, None);
    plane.announce(group, &msk_message(&muk(1), |_| {}), start).unwrap();
    plane.receive(Some(group), &mtk_message(1, 5, |_| {}), start).unwrap();
    plane.publish();
    assert_eq!(names(&plane), [5]);
    plane.published().load().ring(group).unwrap().keys()[0].mark_used();

    // Delivered again, the MSK changes nothing about its traffic keys.
    plane.receive(None, &msk_message(&muk(1), |issue| issue.counter = 2), start).unwrap();
    assert_eq!(names(&plane), [5]);

    // A server that lost its memory numbers from the start: MTK 1 must not pass for older than 5.
    let other = msk(4);
    let id = muk_id();
    let replaced = MskIssue { counter: 3, ..issue(&id, &other) };
    plane.receive(None, &seal_msk(&replaced, &muk(1)).unwrap(), start).unwrap();
    assert!(names(&plane).is_empty());
    let mtk = Mtk { key: SecretBytes::new(&[9; 16]), salt: None };
    let (msk_id, mtk_id, csb) = (ID, MtkId(1), CsbId(0));
    let first =
        MtkIssue { domain: DOMAIN, msk_id, mtk_id, counter: 1, csb, msk: &other, mtk: &mtk };
    plane.receive(Some(group), &seal_mtk(&first).unwrap(), start).unwrap();
    for second in 1..=60 {
        plane.tick(start + Duration::from_secs(second));
    }
    assert_eq!(names(&plane), [1]);
}
