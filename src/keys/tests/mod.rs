//! Key messages from the issuing side to the receiving side, in memory.

mod described;
mod erasure;
mod muks;
mod plane;
mod refusals;
mod restart;

use super::{
    issue::{MskIssue, MtkIssue, open_verification, seal_msk, seal_mtk, seal_solicited_pull},
    *,
};
use crate::{
    Reject,
    ids::{CsbId, KeyDomainId, MskId, MtkId, Roc, Ssrc},
    secret::{Secret, SecretBytes},
    srtp::Profile,
};

const DOMAIN: KeyDomainId = KeyDomainId([0x00, 0xf1, 0x10]);
const ID: MskId = MskId { group: 7, number: 1 };
const ANY_STREAM: &[CryptoSession] = &[CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(0) }];

fn muk_id() -> MukId {
    MukId { idi: "bmsc.example.com".into(), idr: "b-tid@bsf.example.com".into() }
}

fn muk(octet: u8) -> Muk {
    Muk(Secret::new([octet; 32]))
}

fn msk(octet: u8) -> Msk {
    Msk { key: SecretBytes::new(&[octet; 16]), rand: vec![octet; 16] }
}

/// The usual MSK message; a test says what is different in its own.
fn issue<'a>(muk_id: &'a MukId, msk: &'a Msk) -> MskIssue<'a> {
    MskIssue {
        domain: DOMAIN,
        msk_id: ID,
        msk,
        interval: Interval { low: MtkId(1), high: MtkId(0xffff) },
        counter: 1,
        csb: CsbId(0),
        muk_id,
        verify: false,
        profile: Profile::default(),
        sessions: ANY_STREAM,
        sdp_ids: None,
    }
}

fn msk_message(under: &Muk, change: impl FnOnce(&mut MskIssue<'_>)) -> Vec<u8> {
    let (id, msk) = (muk_id(), msk(3));
    let mut issue = issue(&id, &msk);
    change(&mut issue);
    seal_msk(&issue, under).unwrap()
}

fn mtk_message(counter: u32, number: u16, change: impl FnOnce(&mut MtkIssue<'_>)) -> Vec<u8> {
    let mtk = Mtk { key: SecretBytes::new(&[9; 16]), salt: Some(SecretBytes::new(&[8; 14])) };
    let msk = msk(3);
    let mut issue = MtkIssue {
        domain: DOMAIN,
        msk_id: ID,
        mtk_id: MtkId(number),
        counter,
        csb: CsbId(0),
        msk: &msk,
        mtk: &mtk,
    };
    change(&mut issue);
    seal_mtk(&issue).unwrap()
}

fn store() -> KeyStore {
    let mut store = KeyStore::new(KeyLimits::default());
    store.insert_muk(muk_id(), muk(1)).unwrap();
    store
}

fn store_with_msk() -> KeyStore {
    let mut store = store();
    store.receive(&msk_message(&muk(1), |_| {})).unwrap();
    store
}

fn refused(store: &mut KeyStore, message: &[u8]) -> Reject {
    let before = state(store);
    let reject = store.receive(message).unwrap_err();
    assert_eq!(state(store), before, "{reject} moved state");
    reject
}

fn state(store: &KeyStore) -> String {
    let counters: Vec<_> = store.muk_counters().collect();
    format!("{:?} {counters:?}", store.msks().collect::<Vec<_>>())
}

#[test]
fn an_msk_opens_the_mtk_that_follows() {
    let mut store = store();
    let message = msk_message(&muk(1), |issue| {
        issue.profile = Profile::AES_CM_128_HMAC_SHA1_32;
        issue.sdp_ids = Some("mikey");
    });
    let Outcome::Msk(accepted) = store.receive(&message).unwrap() else { panic!("no MSK") };
    assert_eq!((accepted.domain, accepted.msk_id), (DOMAIN, ID));
    assert_eq!(accepted.sdp_ids.as_deref(), Some("mikey"));
    assert_eq!(accepted.profile, Profile::AES_CM_128_HMAC_SHA1_32);
    assert!(!accepted.redelivered && accepted.verification.is_none());
    let Outcome::Mtk(mtk) = store.receive(&mtk_message(1, 2, |_| {})).unwrap() else {
        panic!("no MTK")
    };
    assert_eq!((mtk.msk_id, mtk.mtk_id, mtk.profile), (ID, MtkId(2), accepted.profile));
    assert_eq!(mtk.mtk.key.expose(), [9; 16]);
    assert_eq!(mtk.mtk.salt.unwrap().expose(), [8; 14]);
}

#[test]
fn a_verification_message_proves_the_delivery() {
    let mut store = store();
    let message = msk_message(&muk(1), |issue| {
        issue.verify = true;
        issue.counter = 77;
    });
    let Outcome::Msk(accepted) = store.receive(&message).unwrap() else { panic!("no MSK") };
    let mut answer = accepted.verification.unwrap();
    let open = |answer: &[u8], by: u8| open_verification(answer, &[3; 16], &muk_id(), &muk(by));
    assert_eq!(open(&answer, 1), Ok(77));
    assert_eq!(open(&answer, 2), Err(Reject::KeyAuthFailed));
    assert_eq!(open(&message, 1), Err(Reject::MikeyUnsupported));
    *answer.last_mut().unwrap() ^= 1;
    assert_eq!(open(&answer, 1), Err(Reject::KeyAuthFailed));
}

#[test]
fn a_message_under_another_muk_or_for_another_client_moves_nothing() {
    let mut store = store();
    assert_eq!(refused(&mut store, &msk_message(&muk(2), |_| {})), Reject::KeyAuthFailed);
    let other = MukId { idr: "other@bsf.example.com".into(), ..muk_id() };
    let message = seal_msk(&issue(&other, &msk(3)), &muk(1)).unwrap();
    assert_eq!(refused(&mut store, &message), Reject::UnknownMuk);
}

#[test]
fn old_and_repeated_messages_are_refused() {
    let mut store = store_with_msk();
    assert_eq!(refused(&mut store, &msk_message(&muk(1), |_| {})), Reject::KeyReplayed);
    let (first, second) = (mtk_message(5, 2, |_| {}), mtk_message(6, 3, |_| {}));
    store.receive(&first).unwrap();
    assert_eq!(store.expect_repeat(&first), Some((DOMAIN, ID)));
    assert_eq!(refused(&mut store, &first), Reject::KeyRepeated);
    store.receive(&second).unwrap();
    assert_eq!(refused(&mut store, &first), Reject::KeyReplayed);
    assert_eq!(refused(&mut store, &mtk_message(7, 3, |_| {})), Reject::MtkNotNewer);
    assert_eq!(refused(&mut store, &mtk_message(6, 4, |_| {})), Reject::KeyReplayed);
}

#[test]
fn mtk_ids_outside_the_interval_are_refused() {
    let mut store = store();
    let interval = Interval { low: MtkId(10), high: MtkId(20) };
    store.receive(&msk_message(&muk(1), |issue| issue.interval = interval)).unwrap();
    assert_eq!(refused(&mut store, &mtk_message(1, 9, |_| {})), Reject::MtkOutOfInterval);
    assert_eq!(refused(&mut store, &mtk_message(1, 21, |_| {})), Reject::MtkOutOfInterval);
    store.receive(&mtk_message(1, 10, |_| {})).unwrap();
}

#[test]
fn two_msks_are_held_and_a_third_makes_the_older_one_go() {
    let mut store = store_with_msk();
    for number in [2, 3] {
        let message = msk_message(&muk(1), |issue| {
            issue.msk_id.number = number;
            issue.counter = number.into();
        });
        let Outcome::Msk(accepted) = store.receive(&message).unwrap() else { panic!("no MSK") };
        assert_eq!(accepted.evicted, (number == 3).then_some(ID));
    }
    assert_eq!(refused(&mut store, &mtk_message(1, 2, |_| {})), Reject::UnknownMsk);
    for number in [3, 2] {
        let message = mtk_message(1, 2, |issue| issue.msk_id.number = number);
        store.receive(&message).unwrap();
    }
}

#[test]
fn a_redelivered_msk_keeps_its_counters_and_takes_the_new_interval() {
    let mut store = store_with_msk();
    store.receive(&mtk_message(5, 8, |_| {})).unwrap();
    let again = msk_message(&muk(1), |issue| {
        issue.counter = 2;
        issue.interval.high = MtkId(50);
    });
    let Outcome::Msk(accepted) = store.receive(&again).unwrap() else { panic!("no MSK") };
    assert!(accepted.redelivered);
    let held = store.msks().next().unwrap();
    assert_eq!((held.last_mtk, held.counter), (Some(MtkId(8)), Some(5)));
    assert_eq!(held.interval.high, MtkId(50));
    let (id, other) = (muk_id(), msk(4));
    let replaced = seal_msk(&MskIssue { counter: 3, ..issue(&id, &other) }, &muk(1)).unwrap();
    store.receive(&replaced).unwrap();
    assert_eq!(store.msks().next().unwrap().last_mtk, None);
}

#[test]
fn a_replaced_msk_is_the_newest_of_its_group_and_a_redelivered_one_keeps_its_age() {
    for (octet, evicted) in [(4, MskId { number: 2, ..ID }), (3, ID)] {
        let mut store = store_with_msk();
        let id = muk_id();
        let mut deliver = |counter, number, octet| {
            let msk = msk(octet);
            let msk_id = MskId { number, ..ID };
            let issue = MskIssue { counter, msk_id, ..issue(&id, &msk) };
            match store.receive(&seal_msk(&issue, &muk(1)).unwrap()).unwrap() {
                Outcome::Msk(accepted) => accepted.evicted,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(deliver(2, 2, 3), None);
        // The first MSK once more: another key under its identifier, or the same.
        assert_eq!(deliver(3, 1, octet), None);
        assert_eq!(deliver(4, 3, 3), Some(evicted));
    }
}

#[test]
fn an_empty_interval_deletes_the_msk() {
    let mut store = store_with_msk();
    let message = msk_message(&muk(1), |issue| {
        issue.counter = 2;
        issue.interval = Interval { low: MtkId(2), high: MtkId(1) };
    });
    let outcome = store.receive(&message).unwrap();
    assert!(matches!(outcome, Outcome::MskDeleted { msk_id: ID, .. }));
    assert_eq!(store.msks().count(), 0);
}

#[test]
fn a_solicited_pull_asks_for_the_group() {
    let mut store = store();
    let message = seal_solicited_pull(DOMAIN, 7, 1, &muk_id(), &muk(1), &[5; 16]).unwrap();
    let outcome = store.receive(&message).unwrap();
    assert!(matches!(outcome, Outcome::MskRequested { key_group: 7, .. }));
    assert_eq!(refused(&mut store, &message), Reject::KeyReplayed);
}

#[test]
fn no_truncation_and_no_flipped_bit_is_accepted() {
    let msk_message = msk_message(&muk(1), |issue| issue.verify = true);
    let mut stores = [(store(), msk_message), (store_with_msk(), mtk_message(1, 2, |_| {}))];
    for (store, message) in &mut stores {
        for len in 0..message.len() {
            refused(store, &message[..len]);
        }
        for bit in 0..8 * message.len() {
            let mut damaged = message.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            refused(store, &damaged);
        }
        store.receive(message).unwrap();
    }
}
