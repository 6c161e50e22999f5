//! Client keys that are inserted again, replaced, or named in another way.

use super::*;

#[test]
fn the_former_muk_serves_until_the_new_one_is_used() {
    let mut store = store();
    store.receive(&msk_message(&muk(1), |_| {})).unwrap();
    store.insert_muk(muk_id(), muk(2)).unwrap();
    store.receive(&msk_message(&muk(1), |issue| issue.counter = 2)).unwrap();
    store.receive(&msk_message(&muk(2), |issue| issue.counter = 1)).unwrap();
    let old = msk_message(&muk(1), |issue| issue.counter = 3);
    assert_eq!(refused(&mut store, &old), Reject::KeyAuthFailed);
}

#[test]
fn the_same_muk_once_more_opens_no_way_for_old_messages() {
    let mut store = store();
    let message = msk_message(&muk(1), |issue| issue.counter = 9);
    store.receive(&message).unwrap();
    store.insert_muk(muk_id(), muk(1)).unwrap();
    assert_eq!(refused(&mut store, &message), Reject::KeyReplayed);
    // Nor when the former key comes back before the new one has been used.
    store.insert_muk(muk_id(), muk(2)).unwrap();
    store.insert_muk(muk_id(), muk(1)).unwrap();
    assert_eq!(refused(&mut store, &message), Reject::KeyReplayed);
}

#[test]
fn an_unconfirmed_muk_does_not_drive_out_the_one_in_use() {
    let mut store = store_with_msk();
    for octet in [2, 3] {
        store.insert_muk(muk_id(), muk(octet)).unwrap();
    }
    store.receive(&msk_message(&muk(1), |issue| issue.counter = 2)).unwrap();
    let of_the_one_between = msk_message(&muk(2), |issue| issue.counter = 3);
    assert_eq!(refused(&mut store, &of_the_one_between), Reject::KeyAuthFailed);
    store.receive(&msk_message(&muk(3), |_| {})).unwrap();
}

#[test]
fn a_server_that_names_itself_by_its_naf_id_is_known_and_answered() {
    let naf_id = MukId { idi: "bmsc.example.com\u{1}\0\0\0\u{1}".into(), ..muk_id() };
    let msk = msk(3);
    for inserted in [muk_id(), naf_id.clone()] {
        let mut store = KeyStore::new(KeyLimits::default());
        store.insert_muk(inserted, muk(1)).unwrap();
        for (counter, sent) in [(1, muk_id()), (2, naf_id.clone())] {
            let issue = MskIssue { counter, verify: true, ..issue(&sent, &msk) };
            let message = seal_msk(&issue, &muk(1)).unwrap();
            let Outcome::Msk(accepted) = store.receive(&message).unwrap() else { panic!("no MSK") };
            // The MAC of the answer covers IDi as it was sent.
            let answer = accepted.verification.unwrap();
            assert_eq!(open_verification(&answer, &msk.rand, &sent, &muk(1)), Ok(counter));
        }
    }
}
