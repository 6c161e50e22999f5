//! Two senders use one SSRC, or there are more senders than there is room for.

use std::time::{Duration, Instant};

use mcast_srtp::{Reject, ids::Ssrc, rx::Limits};

use crate::{
    client::{Client, source},
    group::{Keys, TALKER, media},
};

/// A client with the keys of its group.
fn client(limits: &Limits, now: Instant) -> (Client, Keys) {
    let (mut client, keys) = (Client::named("c1", limits), Keys::default());
    client.receiver.key_message(&keys.msk_message(1, 1), now).unwrap();
    client.receive(client.ports.keys, &keys.mtk_message(1, 1), now);
    (client, keys)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn second_source_of_an_ssrc_is_refused_until_the_first_has_been_silent() {
    let start = Instant::now();
    let (mut client, keys) = client(&Limits::default(), start);
    let (port, key) = (client.ports.media, keys.traffic_key(1, 1));
    let mut receive = |from, index, after: Duration| {
        let packet = media(&key, TALKER, index);
        client.receive_from(&[(port, source(from), &packet)], start + after).accepted == 1
    };
    assert!(receive(1, 10, secs(0)));
    assert!(!receive(2, 11, secs(1)));
    // The refused packet has moved nothing: the same index from the right source is accepted.
    assert!(receive(1, 11, secs(2)));
    assert!(!receive(2, 12, secs(31)));
    assert!(receive(2, 12, secs(32)), "silent for 30 s");
    assert!(!receive(1, 13, secs(33)), "it is the second source's stream now");
    assert_eq!(client.indexes(), [10, 11, 12]);
    assert_eq!(client.verdicts(), [(Reject::SourceConflict, 3)]);
}

#[test]
fn same_ssrc_in_two_groups_is_two_streams() {
    let now = Instant::now();
    let (mut client, keys) = client(&Limits::default(), now);
    let (_, other) = client.add_group(18);
    client.receive(other.keys, &keys.mtk_message(1, 1), now);
    let packet = media(&keys.traffic_key(1, 1), TALKER, 10);
    client.receive_from(&[(client.ports.media, source(1), &packet)], now);
    client.receive_from(&[(other.media, source(2), &packet)], now);
    assert_eq!(client.indexes(), [10, 10]);
    assert_eq!(client.receiver.lane().streams(), 2);
}

#[test]
fn longest_silent_stream_makes_room_for_a_new_talker() {
    let mut limits = Limits::default();
    limits.streams.streams_per_session = 3;
    let start = Instant::now();
    let (mut client, keys) = client(&limits, start);
    let (port, key) = (client.ports.media, keys.traffic_key(1, 1));
    for (after, ssrc) in (0..).zip([1, 2, 3, 1, 4]) {
        client.receive(port, &media(&key, Ssrc(ssrc), 100 + after), start + secs(after));
    }
    assert_eq!(client.receiver.lane().streams(), 3);
    // Talkers 1 and 3 have kept their place, and with it the memory of what they sent.
    for (ssrc, index) in [(1, 103), (3, 102)] {
        client.receive(port, &media(&key, Ssrc(ssrc), index), start + secs(5));
    }
    assert_eq!(client.count(Reject::Replayed), 2);
    assert_eq!(client.indexes(), [100, 101, 102, 103, 104]);
    assert_eq!(client.stats().evicted_streams, 1);
}

#[test]
fn table_full_of_other_groups_refuses_a_new_talker_and_keeps_the_old_ones() {
    let mut limits = Limits::default();
    limits.streams.streams = 2;
    let now = Instant::now();
    let (mut client, keys) = client(&limits, now);
    let (other_group, other) = client.add_group(18);
    client.receive(other.keys, &keys.mtk_message(1, 1), now);
    let key = keys.traffic_key(1, 1);
    for ssrc in [1, 2] {
        client.receive(client.ports.media, &media(&key, Ssrc(ssrc), 1), now);
    }
    client.receive(other.media, &media(&key, Ssrc(3), 1), now);
    let stats = client.receiver.stats(other_group).unwrap();
    assert_eq!(stats.rejects.count(Reject::StreamLimit), 1);
    for ssrc in [1, 2] {
        client.receive(client.ports.media, &media(&key, Ssrc(ssrc), 2), now);
    }
    assert_eq!(client.indexes(), [1, 1, 2, 2]);
}
