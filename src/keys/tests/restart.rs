//! What a client knows after a restart, and what it does not fall for.

use std::{collections::BTreeMap, time::Instant};

use super::*;
use crate::{ids::GroupId, record::Record};

const GROUP: GroupId = GroupId(0);
const PLACE: &[u8] = b"239.0.0.1:5004";

/// The plane of a client, and what has been kept of it.
struct Client {
    plane: KeyPlane,
    kept: BTreeMap<Box<[u8]>, Vec<u8>>,
}

impl Client {
    fn start(kept: BTreeMap<Box<[u8]>, Vec<u8>>) -> Self {
        let mut plane = KeyPlane::new(PlaneLimits::default());
        plane.restore(kept.iter().map(|(key, value)| (&**key, &**value))).unwrap();
        plane.insert_muk(muk_id(), muk(1)).unwrap();
        plane.add_group(GROUP, None);
        plane.locate_group(GROUP, PLACE);
        Self { plane, kept }
    }

    fn restart(mut self) -> Self {
        self.keep();
        Self::start(self.kept)
    }

    fn keep(&mut self) -> usize {
        let changes = self.plane.take_changes();
        let count = changes.len();
        for Record { key, value } in changes {
            match value {
                Some(value) => self.kept.insert(key, value.expose().to_vec()),
                None => self.kept.remove(&key),
            };
        }
        count
    }

    fn receive(&mut self, message: &[u8]) -> Result<KeyEvent, Reject> {
        self.plane.receive(Some(GROUP), message, Instant::now())
    }

    fn names(&self) -> Vec<(u16, u16)> {
        let live = self.plane.live_keys(GROUP);
        live.iter().map(|key| (key.msk.number, key.mtk.0)).collect()
    }
}

fn second_msk() -> Vec<u8> {
    msk_message(&muk(1), |issue| {
        issue.counter = 2;
        issue.msk_id.number = 2;
    })
}

fn of_second_msk(counter: u32, number: u16) -> Vec<u8> {
    mtk_message(counter, number, |issue| issue.msk_id.number = 2)
}

#[test]
fn keys_and_counters_are_after_a_restart_what_they_were() {
    let mut client = Client::start(BTreeMap::new());
    let accepted = [
        msk_message(&muk(1), |_| {}),
        mtk_message(1, 5, |_| {}),
        mtk_message(2, 6, |_| {}),
        second_msk(),
        of_second_msk(1, 2),
    ];
    accepted.iter().for_each(|message| drop(client.receive(message).unwrap()));
    let (msks, names) = (state(client.plane.store()), client.names());
    assert_eq!(names, [(2, 2), (1, 6), (1, 5)]);
    // Twice, so that what is read back is also written again.
    for _ in 0..2 {
        client = client.restart();
        assert_eq!((state(client.plane.store()), client.names()), (msks.clone(), names.clone()));
        client.plane.publish();
        let table = client.plane.published().load();
        assert_eq!(table.ring(GROUP).unwrap().keys().len(), 3);
        drop(table);
        let refused: Vec<_> =
            accepted.iter().map(|message| client.receive(message).unwrap_err()).collect();
        let replayed = Reject::KeyReplayed;
        let repeated = Reject::KeyRepeated;
        assert_eq!(refused, [replayed, replayed, repeated, replayed, repeated]);
    }
    // The MSKs still make room for one another in the order they came.
    let third = msk_message(&muk(1), |issue| {
        issue.counter = 3;
        issue.msk_id.number = 3;
    });
    client.receive(&third).unwrap();
    let held: Vec<_> = client.plane.store().msks().map(|held| held.msk_id.number).collect();
    assert_eq!(held, [2, 3]);
    client.receive(&of_second_msk(2, 3)).unwrap();
    assert_eq!(client.restart().names()[0], (2, 3));
}

#[test]
fn a_counter_goes_on_under_its_own_muk_only() {
    let old = msk_message(&muk(1), |issue| issue.counter = 500);
    let mut client = Client::start(BTreeMap::new());
    client.receive(&old).unwrap();
    let mut client = client.restart();
    // A new bootstrapping run: another MUK, whose counter starts at 1.
    client.plane.insert_muk(muk_id(), muk(2)).unwrap();
    client.receive(&msk_message(&muk(2), |issue| issue.counter = 1)).unwrap();
    // The former key, from an old key file, finds its counter where it left it.
    let mut client = client.restart();
    assert_eq!(client.receive(&old).unwrap_err(), Reject::KeyReplayed);
    client.receive(&msk_message(&muk(1), |issue| issue.counter = 501)).unwrap();
}

#[test]
fn an_msk_deleted_is_not_there_after_a_restart() {
    let mut client = Client::start(BTreeMap::new());
    client.receive(&msk_message(&muk(1), |_| {})).unwrap();
    client.receive(&mtk_message(1, 5, |_| {})).unwrap();
    let mut client = client.restart();
    let revoked = msk_message(&muk(1), |issue| {
        issue.counter = 2;
        issue.interval = Interval { low: MtkId(9), high: MtkId(1) };
    });
    client.receive(&revoked).unwrap();
    let mut client = client.restart();
    assert_eq!(client.plane.store().msks().count() + client.names().len(), 0);
    assert_eq!(client.receive(&mtk_message(2, 6, |_| {})).unwrap_err(), Reject::UnknownMsk);
}

#[test]
fn only_what_has_changed_is_kept_again() {
    let mut client = Client::start(BTreeMap::new());
    assert_eq!(client.keep(), 0);
    client.receive(&msk_message(&muk(1), |_| {})).unwrap();
    // Counter, MSK, order of MSKs.
    assert_eq!(client.keep(), 3);
    for number in 5..25 {
        client.receive(&mtk_message(number.into(), number, |_| {})).unwrap();
    }
    // MSK with counter, traffic keys; of the talk group its key groups, and that it has no streams.
    assert_eq!(client.keep(), 4);
    let again = mtk_message(24, 24, |_| {});
    assert_eq!(client.receive(&again).unwrap_err(), Reject::KeyRepeated);
    assert_eq!(client.keep(), 0);
    client.plane.remove_group(GROUP);
    assert_eq!(client.keep(), 2);
    assert_eq!(client.kept.len(), 3);
}

#[test]
fn a_record_that_cannot_be_read_is_told_and_nothing_panics() {
    let mut client = Client::start(BTreeMap::new());
    client.receive(&msk_message(&muk(1), |_| {})).unwrap();
    client.receive(&mtk_message(1, 5, |_| {})).unwrap();
    client.keep();
    let restore =
        |key: &[u8], value: &[u8]| KeyPlane::new(PlaneLimits::default()).restore([(key, value)]);
    for (key, value) in &client.kept {
        restore(key, value).unwrap();
        for len in 0..value.len() {
            let error = restore(key, &value[..len]).unwrap_err().to_string();
            assert!(error.contains(&format!("table {}", key[0])), "{error}");
        }
        for place in 0..value.len() {
            let mut changed = value.clone();
            changed[place] ^= 0xff;
            // Whatever it says now.
            let _ = restore(key, &changed);
        }
    }
    assert!(restore(&[0x77], &[]).is_err());
    let mut limits = PlaneLimits::default();
    limits.store.key_groups = 0;
    let records = client.kept.iter().map(|(key, value)| (&**key, &**value));
    let error = KeyPlane::new(limits).restore(records).unwrap_err().to_string();
    assert!(error.contains("limit of 0"), "{error}");
}
