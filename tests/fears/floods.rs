//! Somebody sends a great many datagrams, and memory grows or others go short.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use mcast_srtp::{
    Reject,
    ids::{Mki, MtkId, Ssrc},
    rx::{Limits, PortId},
    srtp::TrafficKey,
};

use crate::{
    client::{Client, source},
    group::{Keys, TALKER, media, protect, rtp},
};

/// A client with the keys of the first group, in the middle of a talk.
fn listening_client(limits: &Limits, keys: &Keys, now: Instant) -> Client {
    let mut client = Client::named("c1", limits);
    client.receiver.key_message(&keys.msk_message(1, 1), now).unwrap();
    client.receive(client.ports.keys, &keys.mtk_message(1, 1), now);
    client.receive(client.ports.media, &media(&keys.traffic_key(1, 1), TALKER, 1), now);
    client
}

/// A packet that names the right key and is not made with it.
fn forged(keys: &Keys, ssrc: Ssrc, index: u64) -> Vec<u8> {
    let mki = Mki::mbms(keys.msk_id(1), MtkId(1));
    let guess = TrafficKey::new(mki, keys.profile, &[0x66; 16], &[0x66; 14]).unwrap();
    media(&guess, ssrc, index)
}

#[test]
fn forged_ssrc_flood_leaves_no_state_and_does_not_disturb_the_talk() {
    let (keys, now) = (Keys::default(), Instant::now());
    let (mut client, key) =
        (listening_client(&Limits::default(), &keys, now), keys.traffic_key(1, 1));
    let port = client.ports.media;
    for batch in 0..100_u32 {
        let mut datagrams: Vec<(PortId, SocketAddr, Vec<u8>)> = (0..63)
            .map(|n| (port, source(66), forged(&keys, Ssrc(0x6600_0000 | batch << 8 | n), 1)))
            .collect();
        datagrams.push((port, source(1), media(&key, TALKER, u64::from(batch) + 2)));
        let borrowed: Vec<_> =
            datagrams.iter().map(|(port, from, d)| (*port, *from, &**d)).collect();
        let report = client.receive_from(&borrowed, now);
        assert_eq!((report.accepted, report.rejected, report.held), (1, 63, 0));
    }
    assert_eq!(client.receiver.lane().streams(), 1);
    assert_eq!((client.stats().streams, client.stats().media), (1, 101));
    let [failed, limited] = [Reject::AuthFailed, Reject::TrialLimit].map(|r| client.count(r));
    assert_eq!((failed + limited, client.stats().rejects.total()), (6300, 6300));
}

#[test]
fn forged_packets_in_the_talkers_name_do_not_move_the_stream() {
    let (keys, now) = (Keys::default(), Instant::now());
    let (mut client, key) =
        (listening_client(&Limits::default(), &keys, now), keys.traffic_key(1, 1));
    // Far ahead, far behind, around the wrap: none may move the index or close the window.
    for index in [2, 100, 0x7fff, 0x8001, 0xffff, 0x1_0000] {
        client.receive(client.ports.media, &forged(&keys, TALKER, index), now);
    }
    client.receive(client.ports.media, &media(&key, TALKER, 2), now);
    client.receive(client.ports.media, &media(&key, TALKER, 3), now);
    assert_eq!(client.indexes(), [1, 2, 3]);
}

/// Media of a late joiner whose rollover counter is one more than was announced, behind forgeries.
fn late_joiner(keys: &Keys, index: u64) -> Vec<u8> {
    media(&keys.traffic_key(1, 1), Ssrc(0x1a7e), 0x1_0000 + index)
}

fn forged_batch(keys: &Keys, port: PortId, first: u32) -> Vec<(PortId, SocketAddr, Vec<u8>)> {
    (0..63).map(|n| (port, source(66), forged(keys, Ssrc(first + n), 1))).collect()
}

fn receive_all(
    client: &mut Client,
    datagrams: &[(PortId, SocketAddr, Vec<u8>)],
    now: Instant,
) -> usize {
    let borrowed: Vec<_> = datagrams.iter().map(|(port, from, d)| (*port, *from, &**d)).collect();
    client.receive_from(&borrowed, now).accepted
}

#[test]
fn forged_ssrcs_leave_rollover_counter_trials_to_a_late_joiner_from_the_usual_source() {
    let (keys, now) = (Keys::default(), Instant::now());
    let mut client = listening_client(&Limits::default(), &keys, now);
    let port = client.ports.media;
    // However long the flood has gone on, the next talker is heard from the first packet.
    for batch in 0..50 {
        let mut datagrams = forged_batch(&keys, port, batch << 8);
        if batch == 49 {
            datagrams.push((port, source(1), late_joiner(&keys, 1)));
        }
        let accepted = receive_all(&mut client, &datagrams, now);
        assert_eq!(accepted, usize::from(batch == 49));
    }
    assert!(client.count(Reject::TrialLimit) > 40 * 63, "the flood's own tries are bounded");
    assert_eq!(client.receiver.lane().streams(), 2);
}

#[test]
fn forged_ssrcs_delay_a_late_joiner_from_a_new_source_by_a_few_packets_at_most() {
    let (keys, mut now) = (Keys::default(), Instant::now());
    let mut client = listening_client(&Limits::default(), &keys, now);
    let port = client.ports.media;
    // A burst of forgeries finds what was saved up, and so does the joiner behind it.
    let mut datagrams = forged_batch(&keys, port, 0);
    datagrams.push((port, source(2), late_joiner(&keys, 1)));
    assert_eq!(receive_all(&mut client, &datagrams, now), 1);
    // In a flood that does not end it is luck: a batch has some tries for whoever comes first.
    for batch in 1..50 {
        receive_all(&mut client, &forged_batch(&keys, port, batch << 8), now);
    }
    let mut waited = 0;
    loop {
        now += Duration::from_millis(20);
        let other = media(&keys.traffic_key(1, 1), Ssrc(0x07e2), 0x1_0001 + waited);
        let mut datagrams = forged_batch(&keys, port, 0x10_0000 + (waited as u32) * 64);
        datagrams.insert((waited as usize * 37) % 64, (port, source(3), other));
        if receive_all(&mut client, &datagrams, now) == 1 {
            break;
        }
        waited += 1;
    }
    assert!(waited < 64, "{waited}");
}

#[test]
fn one_forged_ssrc_repeated_pays_for_its_trials_once_and_then_waits() {
    let (keys, now) = (Keys::default(), Instant::now());
    let mut client = listening_client(&Limits::default(), &keys, now);
    let port = client.ports.media;
    for _ in 0..1000 {
        client.receive_from(&[(port, source(66), &forged(&keys, Ssrc(0x1a7e), 1))], now);
    }
    assert_eq!(client.verdicts(), [(Reject::AuthFailed, 1), (Reject::TrialLimit, 999)]);
    // Its name is not spoilt for the true source.
    client.receive_from(&[(port, source(1), &late_joiner(&keys, 1))], now);
    assert_eq!(client.delivered.heard.len(), 2);
}

#[test]
fn unknown_mki_flood_is_bounded_and_leaves_room_for_other_groups() {
    let (keys, now) = (Keys::default(), Instant::now());
    let mut client = listening_client(&Limits::default(), &keys, now);
    let (_, other) = client.add_group(18);
    let unknown = keys.traffic_key(9, 9);
    // One source takes half of what its group may hold, a group half of what the lane may.
    for n in 0..2000 {
        client.receive_from(&[(client.ports.media, source(66), &media(&unknown, Ssrc(n), 1))], now);
    }
    assert_eq!(client.receiver.lane().held(), 512);
    assert_eq!(client.verdicts(), [(Reject::HoldFull, 1488)]);
    for n in 0..20_000_u32 {
        let from = SocketAddr::from((n.to_be_bytes(), 5004));
        client.receive_from(&[(client.ports.media, from, &media(&unknown, Ssrc(n), 1))], now);
    }
    let held = client.receiver.lane().held();
    assert!((900..=1024).contains(&held), "{held}");

    // The keys of another group are late, and its packets wait as always.
    let other_keys = Keys::of_group(0x18);
    for index in 1..=100 {
        client.receive(other.media, &media(&other_keys.traffic_key(1, 1), TALKER, index), now);
    }
    client.receiver.key_message(&other_keys.msk_message(1, 2), now).unwrap();
    client.receive(other.keys, &other_keys.mtk_message(1, 1), now);
    assert_eq!(client.delivered.heard.len(), 101);
    // Nor does the flood keep the talk of its own group from being heard.
    client.receive(client.ports.media, &media(&keys.traffic_key(1, 1), TALKER, 2), now);
    assert_eq!(client.delivered.heard.len(), 102);

    client.tick(now + Duration::from_millis(500));
    assert_eq!(client.receiver.lane().held(), 0);
    assert_eq!(client.count(Reject::HoldExpired), held as u64);
    client.assert_nothing_is_lost_silently(now);
}

#[test]
fn long_packets_of_an_unknown_mki_are_bounded_in_octets() {
    let mut limits = Limits::default();
    limits.held_octets = 10_000;
    let (keys, now) = (Keys::default(), Instant::now());
    let mut client = listening_client(&limits, &keys, now);
    let key = keys.traffic_key(9, 9);
    let long = protect(&key, 1, rtp(TALKER, 1, &[7; 1400]));
    for _ in 0..100 {
        client.receive(client.ports.media, &long, now);
    }
    assert_eq!(client.receiver.lane().held(), (10_000 + long.len()) / (2 * long.len()));
    client.assert_nothing_is_lost_silently(now);
}

#[test]
fn forged_key_messages_leave_no_state() {
    let (keys, now) = (Keys::default(), Instant::now());
    let mut limits = Limits::default();
    limits.key_messages_per_second = u32::MAX;
    let mut client = listening_client(&limits, &keys, now);
    let generation = client.receiver.plane().published().load().generation();
    for number in 2..1000 {
        let forger = Keys::of_group(number);
        let mut msk = forger.msk_message(number, u32::from(number));
        *msk.last_mut().unwrap() ^= 1;
        client.receive(client.ports.keys, &msk, now);
        client.receive(client.ports.media, &forger.mtk_message(number, 1), now);
    }
    let plane = client.receiver.plane();
    assert_eq!(plane.store().msks().count(), 1);
    assert_eq!(plane.published().load().generation(), generation);
    assert_eq!(client.verdicts(), [(Reject::UnknownMsk, 998), (Reject::KeyAuthFailed, 998)]);
}
