//! The sequence number wraps at the wrong moment, or a client does not know how often it has.

use std::time::{Duration, Instant};

use mcast_srtp::{
    Reject,
    ids::{Roc, Ssrc},
    keys::CryptoSession,
    srtp::Profile,
};

use crate::{
    client::Client,
    group::{ANY_STREAM, Keys, TALKER, media},
};

/// The first index after the first wrap.
pub(crate) const WRAP: u64 = 0x1_0000;

/// The index in the middle of the numbers with this rollover counter.
const fn with_roc(roc: u64) -> u64 {
    roc * WRAP + 0x8000
}

/// A client that holds the MSK 1, which announced these rollover counters, and its MTK 1.
pub(crate) fn client(keys: &Keys, announced: &'static [CryptoSession], now: Instant) -> Client {
    let mut client = Client::new();
    let msk = keys.msk_message_with(1, 1, |issue| issue.sessions = announced);
    client.receiver.key_message(&msk, now).unwrap();
    client.receive(client.ports.keys, &keys.mtk_message(1, 1), now);
    client
}

fn receive(client: &mut Client, keys: &Keys, mtk: u16, indexes: impl Iterator<Item = u64>) {
    let (key, now) = (keys.traffic_key(1, mtk), Instant::now());
    for index in indexes {
        client.receive(client.ports.media, &media(&key, TALKER, index), now);
    }
}

#[test]
fn key_change_and_wrap_at_the_same_moment_lose_nothing() {
    for profile in [Profile::AES_CM_128_HMAC_SHA1_80, Profile::AEAD_AES_128_GCM] {
        let (keys, now) = (Keys { profile, ..Keys::default() }, Instant::now());
        let mut client = client(&keys, &[ANY_STREAM], now);
        receive(&mut client, &keys, 1, WRAP - 100..WRAP - 10);
        // The new key's message is late: packets on both sides of the wrap wait for it.
        receive(&mut client, &keys, 2, WRAP - 3..WRAP + 50);
        // Meanwhile the last packets under the old key come, the latest first.
        receive(&mut client, &keys, 1, (WRAP - 10..WRAP - 3).rev());
        assert_eq!(client.receiver.lane().held(), 53);
        client.receive(client.ports.keys, &keys.mtk_message(1, 2), now);
        receive(&mut client, &keys, 2, WRAP + 50..WRAP + 60);
        let mut heard = client.indexes();
        heard.sort_unstable();
        assert_eq!(heard, (WRAP - 100..WRAP + 60).collect::<Vec<_>>());
        assert_eq!(client.verdicts(), []);
    }
}

#[test]
fn packets_from_before_the_wrap_open_behind_packets_from_after_it() {
    let (keys, now) = (Keys::default(), Instant::now());
    let mut client = client(&keys, &[ANY_STREAM], now);
    client.receive(client.ports.keys, &keys.mtk_message(1, 2), now);
    // The first packet ever heard is one from after the wrap, under the newer key.
    receive(&mut client, &keys, 2, [WRAP + 5, WRAP + 1].into_iter());
    receive(&mut client, &keys, 1, [WRAP - 2, WRAP - 100].into_iter());
    receive(&mut client, &keys, 2, [WRAP - 1, WRAP].into_iter());
    receive(&mut client, &keys, 1, [WRAP - 2, WRAP - 100].into_iter());
    let heard = [WRAP + 5, WRAP + 1, WRAP - 2, WRAP - 100, WRAP - 1, WRAP];
    assert_eq!(client.indexes(), heard);
    assert_eq!(client.verdicts(), [(Reject::Replayed, 2)]);
}

#[test]
fn rollover_counter_runs_on_over_a_key_change() {
    let (keys, now) = (Keys::default(), Instant::now());
    let mut client = client(&keys, &[ANY_STREAM], now);
    receive(&mut client, &keys, 1, [3 * WRAP + 7].into_iter());
    client.receive(client.ports.keys, &keys.mtk_message(1, 2), now);
    receive(&mut client, &keys, 2, [3 * WRAP + 8].into_iter());
    // A sender that starts over is not believed.
    receive(&mut client, &keys, 2, [9].into_iter());
    assert_eq!(client.indexes(), [3 * WRAP + 7, 3 * WRAP + 8]);
    assert_eq!(client.verdicts(), [(Reject::AuthFailed, 1)]);
}

#[test]
fn late_joiner_with_announced_roc_opens_the_first_packet() {
    const ANNOUNCED: &[CryptoSession] =
        &[CryptoSession { ssrc: TALKER, roc: Roc(700), ..ANY_STREAM }, ANY_STREAM];
    for profile in [Profile::AES_CM_128_HMAC_SHA1_80, Profile::AEAD_AES_128_GCM] {
        let keys = Keys { profile, ..Keys::default() };
        // As announced; wrapped since then; a packet from before the announcement comes first.
        for roc in [700, 701, 699, 702] {
            let mut client = client(&keys, ANNOUNCED, Instant::now());
            let first = with_roc(roc);
            receive(&mut client, &keys, 1, first..first + 3);
            assert_eq!(client.indexes(), [first, first + 1, first + 2]);
            assert_eq!(client.verdicts(), []);
        }
    }
}

#[test]
fn late_joiner_whose_packets_waited_for_the_key_opens_them_too() {
    const ANNOUNCED: &[CryptoSession] =
        &[CryptoSession { ssrc: TALKER, roc: Roc(9), ..ANY_STREAM }];
    let (mut client, keys, now) = (Client::new(), Keys::default(), Instant::now());
    receive(&mut client, &keys, 1, 10 * WRAP - 2..10 * WRAP + 2);
    let msk = keys.msk_message_with(1, 1, |issue| issue.sessions = ANNOUNCED);
    client.receiver.key_message(&msk, now).unwrap();
    client.receive(client.ports.keys, &keys.mtk_message(1, 1), now);
    assert_eq!(client.indexes(), (10 * WRAP - 2..10 * WRAP + 2).collect::<Vec<_>>());
}

#[test]
fn late_joiner_without_a_hint_finds_the_roc_among_the_candidates() {
    let (keys, now) = (Keys::default(), Instant::now());
    for roc in 0..4 {
        let mut client = client(&keys, &[ANY_STREAM], now);
        receive(&mut client, &keys, 1, [with_roc(roc)].into_iter());
        assert_eq!(client.indexes(), [with_roc(roc)]);
    }
}

#[test]
fn roc_beyond_the_candidates_is_refused_without_a_trace_until_it_is_announced() {
    const ANNOUNCED: &[CryptoSession] =
        &[CryptoSession { ssrc: TALKER, roc: Roc(30), ..ANY_STREAM }];
    let (keys, now) = (Keys::default(), Instant::now());
    let mut client = client(&keys, &[ANY_STREAM], now);
    receive(&mut client, &keys, 1, [with_roc(30)].into_iter());
    assert_eq!(client.verdicts(), [(Reject::AuthFailed, 1)]);
    assert_eq!(client.receiver.lane().streams(), 0);
    // The server sends the MSK once more, with the streams of the moment.
    let again = keys.msk_message_with(1, 2, |issue| issue.sessions = ANNOUNCED);
    client.receiver.key_message(&again, now).unwrap();
    receive(&mut client, &keys, 1, [with_roc(30) + 1].into_iter());
    assert_eq!(client.indexes(), [with_roc(30) + 1]);
}

#[test]
fn announced_roc_of_one_talker_is_not_taken_for_anothers() {
    const ANNOUNCED: &[CryptoSession] =
        &[CryptoSession { ssrc: TALKER, roc: Roc(50), ..ANY_STREAM }, ANY_STREAM];
    let (keys, now) = (Keys::default(), Instant::now());
    let (mut client, key) = (client(&keys, ANNOUNCED, now), keys.traffic_key(1, 1));
    let newcomer = Ssrc(0x77);
    client.receive(client.ports.media, &media(&key, newcomer, 5), now);
    client.receive(client.ports.media, &media(&key, TALKER, with_roc(50)), now);
    assert_eq!(client.indexes(), [5, with_roc(50)]);
}

#[test]
fn client_that_was_cut_off_for_long_hears_again() {
    for profile in [Profile::AES_CM_128_HMAC_SHA1_80, Profile::AEAD_AES_128_GCM] {
        let (keys, start) = (Keys { profile, ..Keys::default() }, Instant::now());
        let key = keys.traffic_key(1, 1);
        // From fewer packets than the estimate bridges to more than two wraps.
        for missed in [20_000, 0x7fff, 0x8001, 40_000, 65_535, 65_536, 100_000, 150_000] {
            for first in [5, 40_000] {
                let mut client = client(&keys, &[ANY_STREAM], start);
                client.receive(client.ports.media, &media(&key, TALKER, first), start);
                let later = start + Duration::from_secs(30);
                let back = first + missed;
                let packets = [0, 1, 2, 3, 1].map(|n| media(&key, TALKER, back + n));
                let port = client.ports.media;
                client.receive(port, &packets[0], later);
                client.receive_batch(&packets.each_ref().map(|p| (port, p.as_slice())), later);
                let heard = [first, back, back + 1, back + 2, back + 3];
                assert_eq!(client.indexes(), heard, "{missed} missed, {:?}", client.verdicts());
                assert_eq!(client.verdicts(), [(Reject::Replayed, 2)]);
            }
        }
    }
}

#[test]
fn long_silence_does_not_let_old_packets_in_again() {
    let (keys, start) = (Keys::default(), Instant::now());
    let mut client = client(&keys, &[ANY_STREAM], start);
    receive(&mut client, &keys, 1, [3].into_iter());
    let old: Vec<_> = (0..200).map(|n| media(&keys.traffic_key(1, 1), TALKER, n)).collect();
    let later = start + Duration::from_secs(3600);
    let current = media(&keys.traffic_key(1, 1), TALKER, 2 * WRAP + 3);
    client.receive(client.ports.media, &current, later);
    let much_later = later + Duration::from_secs(3600);
    for packet in old.iter().chain([&current]) {
        client.receive(client.ports.media, packet, much_later);
    }
    assert_eq!(client.indexes(), [3, 2 * WRAP + 3]);
    assert_eq!(client.verdicts().iter().map(|(_, count)| count).sum::<u64>(), 201);
}

#[test]
fn announced_roc_brings_back_a_client_that_missed_many_wraps() {
    const ANNOUNCED: &[CryptoSession] =
        &[CryptoSession { ssrc: TALKER, roc: Roc(100), ..ANY_STREAM }];
    let (keys, start) = (Keys::default(), Instant::now());
    let mut client = client(&keys, &[ANY_STREAM], start);
    receive(&mut client, &keys, 1, [3].into_iter());
    let later = start + Duration::from_secs(86_400);
    let packet = media(&keys.traffic_key(1, 1), TALKER, with_roc(101));
    client.receive(client.ports.media, &packet, later);
    assert_eq!(client.indexes(), [3]);
    let again = keys.msk_message_with(1, 2, |issue| issue.sessions = ANNOUNCED);
    client.receiver.key_message(&again, later).unwrap();
    client.receive(client.ports.media, &packet, later);
    assert_eq!(client.indexes(), [3, with_roc(101)]);
}
