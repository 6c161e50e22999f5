//! Packets and key messages overtake each other, and something is lost or played twice.

use std::time::{Duration, Instant};

use mcast_srtp::{Reject, rx::PortId, srtp::Profile};
use proptest::{collection::vec, prelude::*};

use crate::{
    client::Client,
    group::{Keys, TALKER, media},
};

/// A stretch of the session under one traffic key.
#[derive(Clone, Debug)]
struct Epoch {
    /// It begins with a new MSK too, whose message may arrive behind the first packets.
    new_msk: bool,
    packets: u16,
}

/// How the network treats one datagram: whether it comes twice, and how late each copy is.
#[derive(Clone, Copy, Debug)]
struct Fate {
    delay: u16,
    second_copy: Option<u16>,
}

/// Something that arrives: at the group's sockets, or as a message to this client alone.
struct Arrival {
    at: Instant,
    port: Option<PortId>,
    octets: Vec<u8>,
}

fn epochs() -> impl Strategy<Value = Vec<Epoch>> {
    let epoch = (any::<bool>(), PACKETS_PER_EPOCH..2 * PACKETS_PER_EPOCH);
    vec(epoch.prop_map(|(new_msk, packets)| Epoch { new_msk, packets }), 1..5)
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let second_copy = prop::option::weighted(0.2, 0..=LATEST);
    vec((0..=LATEST, second_copy).prop_map(|(delay, second_copy)| Fate { delay, second_copy }), 97)
}

fn ms(milliseconds: u16) -> Duration {
    Duration::from_millis(milliseconds.into())
}

/// Everything the client will see of a session, in the order in which it arrives, and the indexes of
/// the media packets.
///
/// MSK messages get no lead: the first packet under a new MSK is sent when they are. MTK messages are
/// repeated every [`REPEAT`], for one that comes before its MSK opens nothing.
fn session(
    client: &Client,
    keys: &Keys,
    (start, first_index): (Instant, u64),
    epochs: &[Epoch],
    fates: &[Fate],
) -> (Vec<Arrival>, Vec<u64>) {
    let mut arrivals = Vec::new();
    let mut fates = fates.iter().cycle();
    let mut send = |at: Instant, port: Option<PortId>, octets: Vec<u8>| {
        let Fate { delay, second_copy } = fates.next().unwrap();
        for delay in [Some(*delay), *second_copy].into_iter().flatten() {
            arrivals.push(Arrival { at: at + ms(delay), port, octets: octets.clone() });
        }
    };
    let (mut msk, mut mtk, mut now, mut index) = (0, 0, start, first_index);
    let mut sent = Vec::new();
    for epoch in epochs {
        (msk, mtk) = if msk == 0 || epoch.new_msk { (msk + 1, 1) } else { (msk, mtk + 1) };
        let (key, message) = (keys.traffic_key(msk, mtk), keys.mtk_message(msk, mtk));
        if mtk == 1 {
            send(now, None, keys.msk_message(msk, msk.into()));
        }
        for packet in 0..epoch.packets {
            if packet.is_multiple_of(REPEAT) {
                send(now, Some(client.ports.keys), message.clone());
            }
            send(now, Some(client.ports.media), media(&key, TALKER, index));
            sent.push(index);
            index += 1;
            now += FRAME;
        }
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    (arrivals, sent)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_packet_is_delivered_once_however_keys_and_media_overtake_each_other(
        epochs in epochs(),
        fates in fates(),
        gcm: bool,
        // From no wrap of the sequence number to one in the middle of the session.
        first_index in 65_000_u64..65_536,
        batch_time in 1_u16..20,
    ) {
        let profile = if gcm { Profile::AEAD_AES_128_GCM } else { Profile::default() };
        let (mut client, keys) = (Client::new(), Keys { profile, ..Keys::default() });
        let start = Instant::now();
        let (arrivals, sent) = session(&client, &keys, (start, first_index), &epochs, &fates);
        let mut rest = arrivals.as_slice();
        while let Some(first) = rest.first() {
            // What arrives within a short time is one batch, as from a socket.
            let now = first.at + ms(batch_time);
            let count = rest.iter().take_while(|arrival| arrival.at <= now).count();
            let (batch, later) = rest.split_at(count);
            rest = later;
            for arrival in batch.iter().filter(|arrival| arrival.port.is_none()) {
                let _ = client.receiver.key_message(&arrival.octets, now);
            }
            let to_group = batch.iter().filter_map(|a| Some((a.port?, a.octets.as_slice())));
            client.receive_batch(&to_group.collect::<Vec<_>>(), now);
            client.tick(now);
        }
        let mut heard = client.indexes();
        heard.sort_unstable();
        prop_assert_eq!(heard, sent, "{:?}", client.verdicts());
        let copies = [
            Reject::Replayed, Reject::KeyRepeated, Reject::KeyReplayed, Reject::UnknownMsk,
        ];
        let others = client.verdicts().into_iter().find(|(reject, _)| !copies.contains(reject));
        prop_assert_eq!(others, None);
        client.assert_nothing_is_lost_silently(arrivals.last().unwrap().at);
    }
}

#[test]
fn packets_beyond_the_bound_are_counted_and_the_next_ones_open() {
    let (mut client, keys, start) = (Client::new(), Keys::default(), Instant::now());
    let key = keys.traffic_key(1, 1);
    client.receiver.key_message(&keys.msk_message(1, 1), start).unwrap();
    for index in 0..100 {
        let now = start + FRAME * index;
        client.receive(client.ports.media, &media(&key, TALKER, index.into()), now);
    }
    // The key comes 600 ms behind the first packet: 100 ms too late for it.
    let late = start + ms(600);
    client.tick(late);
    client.receive(client.ports.keys, &keys.mtk_message(1, 1), late);
    let heard = client.indexes();
    let in_time = |index: &u32| start + FRAME * *index + ms(500) > late;
    assert_eq!(heard, (0..100).filter(in_time).map(u64::from).collect::<Vec<_>>());
    assert_eq!(client.count(Reject::HoldExpired) + heard.len() as u64, 100);
    client.receive(client.ports.media, &media(&key, TALKER, 100), late);
    assert_eq!(client.indexes().last(), Some(&100));
    client.assert_nothing_is_lost_silently(late);
}

#[test]
fn media_that_is_older_than_the_replay_window_is_counted_not_played() {
    let (mut client, keys, start) = (Client::new(), Keys::default(), Instant::now());
    let key = keys.traffic_key(1, 1);
    client.receiver.key_message(&keys.msk_message(1, 1), start).unwrap();
    client.receive(client.ports.keys, &keys.mtk_message(1, 1), start);
    for index in [1000, 1000 - 127, 1000 - 128] {
        client.receive(client.ports.media, &media(&key, TALKER, index), start);
    }
    assert_eq!(client.indexes(), [1000, 873]);
    assert_eq!(client.verdicts(), [(Reject::TooOld, 1)]);
}

#[test]
fn packet_that_waited_is_not_played_again_when_a_copy_waited_too() {
    let (mut client, keys, start) = (Client::new(), Keys::default(), Instant::now());
    let packet = media(&keys.traffic_key(1, 1), TALKER, 7);
    client.receiver.key_message(&keys.msk_message(1, 1), start).unwrap();
    for _ in 0..3 {
        client.receive(client.ports.media, &packet, start);
    }
    client.receive(client.ports.keys, &keys.mtk_message(1, 1), start);
    client.receive(client.ports.media, &packet, start);
    assert_eq!((client.indexes(), client.count(Reject::Replayed)), (vec![7], 3));
}

/// Between two media packets.
const FRAME: Duration = Duration::from_millis(5);
/// Media packets between two copies of an MTK message: 100 ms.
const REPEAT: u16 = 20;
/// The latest that a datagram comes, in milliseconds. An MSK message so late, then the wait for the
/// next copy of the MTK message, so late itself: 400 ms, within the 500 ms of the hold-back.
const LATEST: u16 = 150;
/// An epoch lasts longer than that, so that MTK messages under one MSK keep their order.
const PACKETS_PER_EPOCH: u16 = 110;
