//! A receiver's state from a file that somebody has had in his hands: reading it never panics, what was read
//! can be used and kept again, and a receiver with its own records treats every key message it has taken as it
//! would have without a restart.

#![no_main]

use std::time::Instant;

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use mcast_srtp::{
    ids::GroupId,
    keys::{KeyPlane, PlaneLimits},
};

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/common/group.rs"]
mod group;
use group::{Keys, muk, muk_id};

mod damage;
use damage::{Records, damage};

fuzz_target!(|input: &[u8]| {
    // An input that ends early changes less.
    let _ = run(&mut Unstructured::new(input));
});

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let now = Instant::now();
    let mut plane = begun(&Vec::new()).expect("nothing to read");
    let mut taken = Vec::new();
    for counter in 1..=u.int_in_range(0..=4)? {
        let (keys, msk) = (Keys::of_group(u.int_in_range(0..=1)?), u.int_in_range(1..=3)?);
        let msk_message = keys.msk_message(msk, counter);
        let mtk_message = keys.mtk_message(msk, u.int_in_range(1..=9)?);
        taken.extend(plane.receive(None, &msk_message, now).ok().map(|_| msk_message));
        let group = Some(GROUP);
        taken.extend(plane.receive(group, &mtk_message, now).ok().map(|_| mtk_message));
    }
    let mut records = records(&mut plane);
    let again = begun(&records).expect("its own records");
    treats_alike(again, &mut plane, &taken, now);

    damage(u, &mut records)?;
    let Some(mut plane) = begun(&records) else { return Ok(()) };
    plane.tick(now);
    plane.publish();
    drop(plane.receive(Some(GROUP), &Keys::default().msk_message(1, 99), now));
    let kept = self::records(&mut plane);
    assert!(begun(&kept).is_some(), "it was kept");
    Ok(())
}

/// A plane that goes on with these records, if they can be read.
fn begun(records: &Records) -> Option<KeyPlane> {
    let mut plane = KeyPlane::new(PlaneLimits::default());
    let records = records.iter().map(|(key, value)| (&**key, &value[..]));
    plane.restore(records).ok()?;
    plane.insert_muk(muk_id("c1"), muk("c1")).ok()?;
    plane.add_group(GROUP, None);
    plane.locate_group(GROUP, b"239.1.2.3:5004");
    Some(plane)
}

fn records(plane: &mut KeyPlane) -> Records {
    let records = plane.take_changes().into_iter();
    records
        .filter_map(|record| record.value.map(|value| (record.key, value.expose().to_vec())))
        .collect()
}

/// After a restart a message gets the verdict that it would have got without.
fn treats_alike(mut restored: KeyPlane, plane: &mut KeyPlane, taken: &[Vec<u8>], now: Instant) {
    for message in taken {
        let verdict = |plane: &mut KeyPlane| plane.receive(Some(GROUP), message, now).err();
        assert_eq!(verdict(&mut restored), verdict(plane));
    }
}

const GROUP: GroupId = GroupId(0);
