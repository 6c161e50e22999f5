//! Any sequence of key messages, good, damaged and repeated, against the acceptance rules: what is refused
//! changes nothing, and counters and traffic key numbers only rise.

#![no_main]

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use mcast_srtp::{
    ids::{MskId, MtkId},
    keys::{HeldMsk, Interval, KeyLimits, KeyStore, MukId, Outcome},
};

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/common/group.rs"]
mod group;
use group::{DOMAIN, Keys, muk, muk_id};

fuzz_target!(|input: &[u8]| {
    // The sequence is as long as the input.
    let _ = run(&mut Unstructured::new(input));
});

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let mut store = KeyStore::new(KeyLimits::default());
    store.insert_muk(muk_id(CLIENT), muk(CLIENT)).expect("room for one");
    let mut sent = Vec::<Vec<u8>>::new();
    while !u.is_empty() {
        match u.int_in_range(0..=9_u8)? {
            0 => {
                store.remove_muk(&muk_id(CLIENT));
            }
            1 => store.insert_muk(muk_id(CLIENT), muk(CLIENT)).expect("room for one"),
            2 => {
                let keys = Keys::of_group(u.int_in_range(0..=1)?);
                store.remove_msk(DOMAIN, keys.msk_id(u.int_in_range(1..=3)?));
            }
            3 => {
                let octets = u.int_in_range(0..=64).and_then(|len| u.bytes(len))?;
                must_refuse(&mut store, octets);
            }
            4 if !sent.is_empty() => {
                let mut octets = sent[u.choose_index(sent.len())?].clone();
                let place = u.choose_index(octets.len())?;
                octets[place] ^= u.int_in_range(1..=255)?;
                must_refuse(&mut store, &octets);
            }
            5 if !sent.is_empty() => take(&mut store, &sent[u.choose_index(sent.len())?]),
            6 | 7 => {
                let message = msk_message(u)?;
                take(&mut store, &message);
                sent.push(message);
            }
            _ => {
                let (msk, mtk) = (u.int_in_range(1..=3)?, u.int_in_range(1..=40)?);
                let counter = u.int_in_range(1..=40)?;
                let keys = Keys::of_group(u.int_in_range(0..=1)?);
                let message = keys.mtk_message_with(msk, mtk, |issue| issue.counter = counter);
                take(&mut store, &message);
                sent.push(message);
            }
        }
    }
    Ok(())
}

fn msk_message(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let keys = Keys::of_group(u.int_in_range(0..=1)?);
    let (number, counter) = (u.int_in_range(1..=3)?, u.int_in_range(1..=40)?);
    let low = MtkId(u.int_in_range(0..=40)?);
    let high = MtkId(u.int_in_range(0..=40)?);
    let verify = u.arbitrary()?;
    Ok(keys.msk_message_with(number, counter, |issue| {
        issue.interval = Interval { low, high };
        issue.verify = verify;
    }))
}

/// What a message may change.
#[derive(Debug, PartialEq)]
struct State {
    counters: Vec<(MukId, Option<u32>)>,
    msks: Vec<HeldMsk>,
}

impl State {
    fn of(store: &KeyStore) -> Self {
        let counters = store.muk_counters().map(|(id, counter)| (id.clone(), counter)).collect();
        Self { counters, msks: store.msks().collect() }
    }

    fn counter(&self) -> Option<u32> {
        self.counters.first().and_then(|(_, counter)| *counter)
    }

    fn msk(&self, id: MskId) -> Option<&HeldMsk> {
        self.msks.iter().find(|held| held.msk_id == id)
    }
}

fn must_refuse(store: &mut KeyStore, octets: &[u8]) {
    let before = State::of(store);
    assert!(store.receive(octets).is_err());
    assert_eq!(State::of(store), before);
}

/// A message that its sender made well: it is taken if it is newer than what was taken.
fn take(store: &mut KeyStore, octets: &[u8]) {
    let before = State::of(store);
    let outcome = store.receive(octets);
    let after = State::of(store);
    match outcome {
        Err(_) => assert_eq!(after, before),
        Ok(Outcome::Mtk(mtk)) => {
            assert_eq!(after.counter(), before.counter());
            let (was, is) = (before.msk(mtk.msk_id), after.msk(mtk.msk_id));
            let (was, is) = (was.expect("its MSK was held"), is.expect("its MSK is held"));
            assert!(was.interval.low <= mtk.mtk_id && mtk.mtk_id <= was.interval.high);
            assert!(is.last_mtk == Some(mtk.mtk_id) && is.last_mtk > was.last_mtk);
            assert!(is.counter > was.counter);
        }
        Ok(outcome) => {
            assert!(after.counter() > before.counter(), "{outcome:?}");
            if let Outcome::Msk(msk) = outcome {
                assert!(
                    msk.redelivered || after.msk(msk.msk_id).is_some_and(|is| is.counter.is_none())
                );
                assert_eq!(msk.evicted.and_then(|evicted| after.msk(evicted)), None);
            }
        }
    }
    for held in &after.msks {
        let of_group = |other: &&HeldMsk| other.msk_id.group == held.msk_id.group;
        assert!(after.msks.iter().filter(of_group).count() <= 2);
    }
}

const CLIENT: &str = "c1";
