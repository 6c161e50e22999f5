//! A key message that is replayed, forged or meant for somebody else changes something.

use std::time::Instant;

use mcast_srtp::{
    Reject,
    ids::{KeyDomainId, MtkId, Roc, Ssrc},
    keys::{CryptoSession, Interval, KeyEvent, Muk},
    secret::Secret,
};

use crate::{
    client::Client,
    group::{ANY_STREAM, Keys, TALKER, media, muk, muk_id},
};

/// Everything of a client's keys that a message could change, in words.
fn key_state(client: &Client) -> String {
    let plane = client.receiver.plane();
    let msks: Vec<_> = plane.store().msks().collect();
    let muks: Vec<_> = plane.store().muk_counters().collect();
    let generation = plane.published().load().generation();
    format!("{msks:?} {muks:?} {:?} {generation}", plane.live_keys(client.group))
}

/// A client in the middle of a session: MSK 5 with counter 50, MTK 7, some media heard.
fn client_in_session(keys: &Keys) -> (Client, Instant) {
    let (mut client, now) = (Client::new(), Instant::now());
    client.receiver.key_message(&keys.msk_message(5, 50), now).unwrap();
    client.receive(client.ports.keys, &keys.mtk_message(5, 7), now);
    client.receive(client.ports.media, &media(&keys.traffic_key(5, 7), TALKER, 1), now);
    assert_eq!((client.indexes(), client.verdicts()), (vec![1], vec![]));
    (client, now)
}

/// Checks that a message, wherever it arrives, gets a verdict and changes nothing.
fn assert_refused(client: &mut Client, message: &[u8], verdict: Reject, now: Instant) {
    let before = key_state(client);
    assert_eq!(client.receiver.key_message(message, now).unwrap_err(), verdict);
    for port in client.ports.each() {
        let counted = client.count(verdict);
        let report = client.receive(port, message, now);
        assert_eq!((report.rejected, report.key_messages), (1, 0));
        assert_eq!(client.count(verdict), counted + 1);
    }
    assert_eq!(key_state(client), before);
}

fn assert_still_hears(client: &mut Client, keys: &Keys, index: u64, now: Instant) {
    client.receive(client.ports.media, &media(&keys.traffic_key(5, 7), TALKER, index), now);
    assert_eq!(client.indexes().last(), Some(&index));
}

#[test]
fn replayed_msk_message_changes_nothing() {
    let keys = Keys::default();
    let (mut client, now) = client_in_session(&keys);
    // The last message; one from before; one with the counter half the number space away.
    for (msk, counter) in [(5, 50), (4, 49), (6, 50 + (1 << 31))] {
        let message = keys.msk_message(msk, counter);
        assert_refused(&mut client, &message, Reject::KeyReplayed, now);
    }
    assert_still_hears(&mut client, &keys, 2, now);
}

#[test]
fn replayed_mtk_message_changes_nothing() {
    let keys = Keys::default();
    let (mut client, now) = client_in_session(&keys);
    let repeat = keys.mtk_message(5, 7);
    assert_refused(&mut client, &repeat, Reject::KeyRepeated, now);
    let older = keys.mtk_message(5, 6);
    assert_refused(&mut client, &older, Reject::KeyReplayed, now);
    // A newer counter does not make an MTK ID newer, nor the other way round.
    let old_id = keys.mtk_message_with(5, 7, |issue| issue.counter = 8);
    assert_refused(&mut client, &old_id, Reject::MtkNotNewer, now);
    let old_counter = keys.mtk_message_with(5, 8, |issue| issue.counter = 7);
    assert_refused(&mut client, &old_counter, Reject::KeyReplayed, now);
    assert_still_hears(&mut client, &keys, 2, now);
}

#[test]
fn forged_octet_anywhere_in_a_key_message_is_refused_and_the_true_one_is_accepted_after_it() {
    let keys = Keys::default();
    let (mut client, now) = client_in_session(&keys);
    for message in [keys.msk_message(6, 51), keys.mtk_message(5, 8)] {
        for place in 0..message.len() {
            for bit in [0x01, 0x80] {
                let mut forged = message.clone();
                forged[place] ^= bit;
                let before = key_state(&client);
                let verdict = client.receiver.key_message(&forged, now);
                assert!(verdict.is_err(), "octet {place}: {verdict:?}");
                assert_eq!(key_state(&client), before, "octet {place}: {verdict:?}");
            }
        }
        assert!(client.receiver.key_message(&message, now).is_ok());
    }
    assert_still_hears(&mut client, &keys, 2, now);
}

#[test]
fn forged_mac_does_not_use_up_a_counter() {
    let keys = Keys::default();
    let (mut client, now) = client_in_session(&keys);
    let mut msk = keys.msk_message(6, 1 << 31);
    let mut mtk = keys.mtk_message_with(5, 0xffff, |issue| issue.counter = 1 << 31);
    for message in [&mut msk, &mut mtk] {
        *message.last_mut().unwrap() ^= 1;
        assert_refused(&mut client, message, Reject::KeyAuthFailed, now);
    }
    assert!(client.receiver.key_message(&keys.msk_message(6, 51), now).is_ok());
    assert!(client.receiver.key_message(&keys.mtk_message(5, 8), now).is_ok());
}

#[test]
fn msk_message_under_the_wrong_muk_is_refused_and_the_right_one_is_accepted_after_it() {
    let (keys, now) = (Keys::default(), Instant::now());
    let mut client = Client::named("c2", &Default::default());
    // Addressed to c1, whom this client does not know.
    assert_refused(&mut client, &keys.msk_message(1, 1), Reject::UnknownMuk, now);
    // Addressed to c1, under a MUK that this client takes for c1's.
    client.receiver.insert_muk(muk_id("c1"), Muk(Secret::new([0xee; 32]))).unwrap();
    assert_refused(&mut client, &keys.msk_message(1, 1), Reject::KeyAuthFailed, now);
    client.receiver.insert_muk(muk_id("c1"), muk("c1")).unwrap();
    let accepted = client.receiver.key_message(&keys.msk_message(1, 1), now);
    assert!(matches!(accepted, Ok(KeyEvent::Msk { redelivered: false, .. })), "{accepted:?}");
}

#[test]
fn mtk_message_of_another_msk_is_refused() {
    let keys = Keys::default();
    let (mut client, now) = client_in_session(&keys);
    let not_held = keys.mtk_message(6, 1);
    assert_refused(&mut client, &not_held, Reject::UnknownMsk, now);
    let other_domain = KeyDomainId([9; 3]);
    let foreign = keys.mtk_message_with(5, 8, |issue| issue.domain = other_domain);
    assert_refused(&mut client, &foreign, Reject::UnknownMsk, now);
    // Says that it is under MSK 5, and is under another key.
    let msk_id = keys.msk_id(5);
    let forged = Keys::of_group(0x99).mtk_message_with(5, 8, |issue| issue.msk_id = msk_id);
    assert_refused(&mut client, &forged, Reject::KeyAuthFailed, now);
    assert_still_hears(&mut client, &keys, 2, now);
}

#[test]
fn mtk_id_outside_the_interval_of_its_msk_is_refused() {
    let (mut client, keys, now) = (Client::new(), Keys::default(), Instant::now());
    let interval = Interval { low: MtkId(5), high: MtkId(9) };
    let msk = keys.msk_message_with(1, 1, |issue| issue.interval = interval);
    client.receiver.key_message(&msk, now).unwrap();
    for outside in [4, 10] {
        let message = keys.mtk_message(1, outside);
        assert_refused(&mut client, &message, Reject::MtkOutOfInterval, now);
    }
    assert!(client.receiver.key_message(&keys.mtk_message(1, 5), now).is_ok());
}

#[test]
fn msk_delivered_again_with_a_new_counter_keeps_keys_and_counters_of_the_session() {
    let keys = Keys::default();
    let (mut client, now) = client_in_session(&keys);
    let again = keys.msk_message(5, 51);
    let accepted = client.receiver.key_message(&again, now);
    assert!(matches!(accepted, Ok(KeyEvent::Msk { redelivered: true, .. })), "{accepted:?}");
    // Not even now is an old traffic key accepted again.
    let (last, older) = (keys.mtk_message(5, 7), keys.mtk_message(5, 6));
    assert_refused(&mut client, &last, Reject::KeyRepeated, now);
    assert_refused(&mut client, &older, Reject::KeyReplayed, now);
    assert_still_hears(&mut client, &keys, 2, now);
}

#[test]
fn revoked_msk_takes_its_traffic_keys_along_and_cannot_be_replayed_back() {
    let keys = Keys::default();
    let (mut client, now) = client_in_session(&keys);
    let nothing = Interval { low: MtkId(1), high: MtkId(0) };
    let revocation = keys.msk_message_with(5, 51, |issue| issue.interval = nothing);
    let accepted = client.receiver.key_message(&revocation, now);
    assert!(matches!(accepted, Ok(KeyEvent::MskDeleted { .. })), "{accepted:?}");
    assert_refused(&mut client, &keys.msk_message(5, 50), Reject::KeyReplayed, now);
    assert_refused(&mut client, &keys.mtk_message(5, 8), Reject::UnknownMsk, now);
    client.receive(client.ports.media, &media(&keys.traffic_key(5, 7), TALKER, 2), now);
    client.assert_nothing_is_lost_silently(now);
    assert_eq!(client.indexes(), [1]);
}

#[test]
fn third_msk_drives_out_the_first_but_not_the_traffic_key_on_the_air() {
    let keys = Keys::default();
    let (mut client, now) = client_in_session(&keys);
    client.receiver.key_message(&keys.msk_message(6, 51), now).unwrap();
    client.receive(client.ports.keys, &keys.mtk_message(6, 1), now);
    client.receiver.key_message(&keys.msk_message(7, 52), now).unwrap();
    assert_refused(&mut client, &keys.mtk_message(5, 8), Reject::UnknownMsk, now);
    // The broadcaster has not switched yet.
    assert_still_hears(&mut client, &keys, 2, now);
    client.receive(client.ports.keys, &keys.mtk_message(7, 1), now);
    for (msk, index) in [(6, 3), (7, 4)] {
        client.receive(client.ports.media, &media(&keys.traffic_key(msk, 1), TALKER, index), now);
    }
    assert_eq!(client.indexes(), [1, 2, 3, 4]);
}

#[test]
fn key_message_of_one_group_repeated_on_another_silences_neither() {
    let (a, b) = (Keys::of_group(0xa), Keys::of_group(0xb));
    let (mut client, now) = (Client::new(), Instant::now());
    let (_, ports_of_b) = client.add_group(18);
    for (counter, keys, ports) in [(1, a, client.ports), (2, b, ports_of_b)] {
        client.receiver.key_message(&keys.msk_message(1, counter), now).unwrap();
        client.receive(ports.keys, &keys.mtk_message(1, 1), now);
        client.receive(ports.media, &media(&keys.traffic_key(1, 1), TALKER, 1), now);
    }
    assert_eq!(client.indexes(), [1, 1]);
    // Somebody without any key takes the message from the air and sends it to the other group.
    client.receive(ports_of_b.keys, &a.mtk_message(1, 1), now);
    client.receive(client.ports.keys, &b.mtk_message(1, 1), now);
    client.receive(client.ports.media, &media(&a.traffic_key(1, 1), TALKER, 2), now);
    client.receive(ports_of_b.media, &media(&b.traffic_key(1, 1), TALKER, 2), now);
    assert_eq!(client.indexes(), [1, 1, 2, 2]);
}

#[test]
fn rollover_counters_of_a_forged_msk_message_are_not_believed() {
    const WRONG: &[CryptoSession] = &[CryptoSession { roc: Roc(77), ..ANY_STREAM }];
    let keys = Keys::default();
    let (mut client, now) = client_in_session(&keys);
    let mut forged = keys.msk_message_with(5, 51, |issue| issue.sessions = WRONG);
    *forged.last_mut().unwrap() ^= 1;
    assert_refused(&mut client, &forged, Reject::KeyAuthFailed, now);
    let newcomer = Ssrc(0x77);
    client.receive(client.ports.media, &media(&keys.traffic_key(5, 7), newcomer, 1), now);
    assert_eq!(client.delivered.heard.last().unwrap().0, newcomer);
}
