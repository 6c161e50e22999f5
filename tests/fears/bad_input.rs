//! A malformed datagram stops the receiver, gets through, or vanishes without being counted.

use std::time::Instant;

use mcast_srtp::{
    Reject,
    ids::{MskId, Roc},
    rx::{Datagram, Limits, PortId},
    srtp::Profile,
    wire::{
        burst::{AckReason, Acknowledgement, BurstMessage, Release, Subtype},
        mikey::{
            CsIdMapFields, DataType, Encoder, EncrAlg, HeaderFields, IdType, MacAlg, SrtpIdRecord,
            Timestamp,
        },
    },
};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    client::{Client, source},
    group::{DOMAIN, Keys, PAYLOAD_TYPE, SERVER, TALKER, burst, media, protect, protect_rtcp, rtp},
};

/// A client that holds a traffic key and has heard one packet.
fn client(keys: &Keys) -> (Client, Instant) {
    let mut limits = Limits::default();
    limits.key_messages_per_second = u32::MAX;
    let (mut client, now) = (Client::named("c1", &limits), Instant::now());
    client.receiver.key_message(&keys.msk_message(1, 1), now).unwrap();
    client.receive(client.ports.keys, &keys.mtk_message(1, 1), now);
    client.receive(client.ports.media, &media(&keys.traffic_key(1, 1), TALKER, 1), now);
    (client, now)
}

/// Checks that nothing but the first packet was delivered, and that each datagram is counted once.
/// For datagrams with at most one RTCP packet in them.
fn assert_only_counted(client: &mut Client, now: Instant) {
    client.assert_nothing_is_lost_silently(now);
    assert_eq!(client.delivered.count(), 1);
    let stats = client.stats();
    let counted = stats.media + stats.burst + stats.rtcp + stats.key_messages;
    assert_eq!(counted + stats.rejects.total(), stats.datagrams, "{stats}");
}

fn assert_verdict(client: &mut Client, port: PortId, datagram: &[u8], verdict: Reject) {
    let (counted, now) = (client.count(verdict), Instant::now());
    let report = client.receive(port, datagram, now);
    assert_eq!((report.accepted, report.rejected), (0, 1), "{:?}", client.verdicts());
    assert_eq!(client.count(verdict), counted + 1, "{:?}", client.verdicts());
}

fn two_profiles() -> [Keys; 2] {
    [Profile::AES_CM_128_HMAC_SHA1_80, Profile::AEAD_AES_128_GCM]
        .map(|profile| Keys { profile, ..Keys::default() })
}

#[test]
fn datagram_cut_at_any_length_gets_a_verdict() {
    for keys in two_profiles() {
        let (mut client, now) = client(&keys);
        let (ports, key) = (client.ports, keys.traffic_key(1, 1));
        let whole = [
            (ports.media, media(&key, TALKER, 2)),
            (ports.burst, burst(&key, 1, BurstMessage::Idle)),
            (ports.keys, keys.msk_message(2, 2)),
            (ports.keys, keys.mtk_message(1, 2)),
        ];
        for (port, datagram) in whole {
            for len in 0..datagram.len() {
                client.receive(port, &datagram[..len], now);
            }
        }
        assert_only_counted(&mut client, now);
    }
}

#[test]
fn datagram_with_something_appended_gets_a_verdict() {
    for keys in two_profiles() {
        let (mut client, now) = client(&keys);
        let (ports, key) = (client.ports, keys.traffic_key(1, 1));
        let whole = [
            (ports.media, media(&key, TALKER, 2)),
            (ports.burst, burst(&key, 1, BurstMessage::Idle)),
            (ports.keys, keys.msk_message(2, 2)),
            (ports.keys, keys.mtk_message(1, 2)),
        ];
        for (port, mut datagram) in whole {
            for _ in 0..40 {
                datagram.push(0);
                client.receive(port, &datagram, now);
            }
        }
        assert_only_counted(&mut client, now);
    }
}

#[test]
fn datagram_longer_than_its_slot_is_oversized_whatever_it_is() {
    let keys = Keys::default();
    let (mut client, now) = client(&keys);
    for port in client.ports.each() {
        for whole in [media(&keys.traffic_key(1, 1), TALKER, 2), keys.mtk_message(1, 2)] {
            let (mut bytes, source) = (whole, source(1));
            let datagram = Datagram { port, source, truncated: true, bytes: &mut bytes };
            assert_eq!(client.run_batch(&mut [datagram], now).rejected, 1);
        }
    }
    assert_eq!(client.verdicts(), [(Reject::Oversized, 6)]);
    assert_only_counted(&mut client, now);
}

#[test]
fn longest_datagram_of_udp_opens() {
    for keys in two_profiles() {
        let (mut client, now) = client(&keys);
        let overhead = 12 + keys.profile.srtp_overhead();
        let payload = vec![0x5a; 65_507 - overhead];
        let packet = protect(&keys.traffic_key(1, 1), 2, rtp(TALKER, 2, &payload));
        assert_eq!(packet.len(), 65_507);
        client.receive(client.ports.media, &packet, now);
        assert_eq!(client.delivered.heard[1].2, payload);
    }
}

#[test]
fn any_first_octets_on_any_port_get_a_verdict() {
    let keys = Keys::default();
    let (mut client, now) = client(&keys);
    for port in client.ports.each() {
        for first in 0..=255 {
            for second in [0, 96, 97, 200, 204, 255] {
                let mut datagram = vec![0x11; 60];
                datagram[..2].copy_from_slice(&[first, second]);
                client.receive(port, &datagram, now);
            }
        }
        client.receive(port, &[], now);
    }
    assert_only_counted(&mut client, now);
    // Expected are version 2 on the media port, RTCP of it on the burst port, and MIKEY everywhere.
    let sent = 3 * 256 * 6 + 3;
    let expected = 64 * 6 + 64 * 2 + 3 * 6;
    assert_eq!(client.count(Reject::UnknownProtocol), sent - expected);
}

#[test]
fn rtp_lengths_past_the_end_are_truncated() {
    let keys = Keys::default();
    let (mut client, now) = client(&keys);
    let port = client.ports.media;
    let packet = media(&keys.traffic_key(1, 1), TALKER, 2);
    let mut many_csrcs = packet.clone();
    many_csrcs[0] |= 0x0f;
    assert_verdict(&mut client, port, &many_csrcs, Reject::Truncated);
    let mut long_extension = packet;
    long_extension[0] |= 0x10;
    long_extension[14..16].copy_from_slice(&[0xff, 0xff]);
    assert_verdict(&mut client, port, &long_extension, Reject::Truncated);
    // A header that fills the packet leaves no room for MKI and tag.
    let bare = rtp(TALKER, 2, &[]);
    client.receive(port, &bare, now);
    assert_only_counted(&mut client, now);
}

#[test]
fn authentic_rtp_padding_that_does_not_fit_is_refused() {
    for keys in two_profiles() {
        let (mut client, now) = client(&keys);
        let (port, key) = (client.ports.media, keys.traffic_key(1, 1));
        for (index, payload) in (2..).zip([&[][..], &[7, 7, 0], &[7, 7, 4], &[255]]) {
            let mut packet = rtp(TALKER, index, payload);
            packet[0] |= 0x20;
            let packet = protect(&key, index, packet);
            assert_verdict(&mut client, port, &packet, Reject::BadPadding);
        }
        assert_only_counted(&mut client, now);
    }
}

#[test]
fn authentic_payload_type_that_was_not_announced_is_refused() {
    let keys = Keys::default();
    let (mut client, now) = client(&keys);
    let port = client.ports.media;
    // All but the announced one, with marker and without, that are not RTCP by their second octet.
    let others =
        (0..=255).filter(|octet| octet & 0x7f != PAYLOAD_TYPE && !(192..224).contains(octet));
    for (index, second) in (2..).zip(others) {
        let mut packet = rtp(TALKER, index, b"speech");
        packet[1] = second;
        let packet = protect(&keys.traffic_key(1, 1), index, packet);
        assert_verdict(&mut client, port, &packet, Reject::UnknownPayloadType);
    }
    assert_only_counted(&mut client, now);
}

#[test]
fn authentic_rtcp_whose_lengths_do_not_fit_is_refused() {
    for keys in two_profiles() {
        let (mut client, now) = client(&keys);
        let key = keys.traffic_key(1, 1);
        let [a, b, c, d] = SERVER.0.to_be_bytes();
        let bad: [&[u8]; 7] = [
            // One word more than there is; the longest; one word less.
            &[0x85, 204, 0, 3, a, b, c, d, b'P', b'o', b'C', b'1'],
            &[0x85, 204, 0xff, 0xff, a, b, c, d, b'P', b'o', b'C', b'1'],
            &[0x85, 204, 0, 1, a, b, c, d, b'P', b'o', b'C', b'1'],
            // An APP packet without a name; padding of 0 and of more than there is; a stray octet.
            &[0x85, 204, 0, 1, a, b, c, d],
            &[0xa5, 204, 0, 2, a, b, c, d, 0, 0, 0, 0],
            &[0xa5, 204, 0, 2, a, b, c, d, 0, 0, 0, 200],
            &[0x85, 204, 0, 2, a, b, c, d, b'P', b'o', b'C', b'1', 0],
        ];
        for (index, plain) in (1..).zip(bad) {
            let packet = protect_rtcp(&key, index, plain.to_vec());
            client.receive(client.ports.burst, &packet, now);
        }
        let verdicts = [Reject::BadRtcp, Reject::BadVersion].map(|reject| client.count(reject));
        assert_eq!(verdicts, [6, 1], "{:?}", client.verdicts());
        assert_only_counted(&mut client, now);
    }
}

#[test]
fn authentic_burst_control_that_a_group_cannot_send_is_refused() {
    let keys = Keys::default();
    let (mut client, now) = client(&keys);
    let (port, key) = (client.ports.burst, keys.traffic_key(1, 1));
    let acknowledgement = Acknowledgement { of: Subtype::TAKEN, reason: AckReason(0) };
    for (index, message) in (1..).zip([
        BurstMessage::Release(Release::default()),
        BurstMessage::QueueStatusRequest,
        BurstMessage::Acknowledgement(acknowledgement),
    ]) {
        let packet = burst(&key, index, message);
        assert_verdict(&mut client, port, &packet, Reject::UnexpectedDirection);
    }
    let app = |index, subtype: u8, data: &[u8]| {
        let words = u8::try_from(2 + data.len() / 4).unwrap();
        let mut plain = vec![0x80 | subtype, 204, 0, words];
        plain.extend(SERVER.0.to_be_bytes());
        plain.extend(b"PoC1");
        plain.extend(data);
        protect_rtcp(&key, index, plain)
    };
    assert_verdict(&mut client, port, &app(10, 0x1e, &[]), Reject::UnknownBurst);
    // A Taken without its talker, and one whose name is longer than the message.
    assert_verdict(&mut client, port, &app(11, 2, &[]), Reject::BadBurst);
    assert_verdict(&mut client, port, &app(12, 2, &[0, 0, 0, 1, 1, 200, 0, 0]), Reject::BadBurst);
    assert_only_counted(&mut client, now);
}

/// A message with the payloads of an MSK message, each of them as often as it is told.
fn mikey([key_ids, timestamp, rand, id, kemac]: [usize; 5]) -> Vec<u8> {
    let records = [SrtpIdRecord { policy: 0, ssrc: TALKER, roc: Roc(0) }];
    let map = CsIdMapFields::SrtpId(&records);
    let mut encoder = Encoder::new(&HeaderFields { map, ..HeaderFields::default() });
    for _ in 0..key_ids {
        encoder.key_ids(DOMAIN, MskId { group: 0x17, number: 1 }, None);
    }
    for _ in 0..timestamp {
        encoder.timestamp(Timestamp::Counter(9));
    }
    for _ in 0..rand {
        encoder.rand(&[7; 16]);
    }
    for _ in 0..id {
        encoder.id(IdType::NAI, b"c1@bsf.example");
    }
    for _ in 0..kemac {
        encoder.kemac(EncrAlg::AES_CM_128, &[7; 32], MacAlg::NULL);
    }
    encoder.finish().unwrap()
}

#[test]
fn mikey_payload_that_occurs_twice_is_malformed() {
    let keys = Keys::default();
    let (mut client, now) = client(&keys);
    for port in client.ports.each() {
        for place in 0..5 {
            let mut times = [1, 1, 1, 2, 1];
            times[place] += 1;
            assert_verdict(&mut client, port, &mikey(times), Reject::MikeyMalformed);
        }
    }
    assert_only_counted(&mut client, now);
}

#[test]
fn mikey_length_past_the_end_is_malformed() {
    let keys = Keys::default();
    let (mut client, now) = client(&keys);
    let (port, message) = (client.ports.keys, mikey([1, 1, 1, 2, 1]));
    let lengths: Vec<_> = (0..message.len()).filter(|place| message[*place] == 16).collect();
    assert!(!lengths.is_empty());
    for place in lengths {
        let mut long = message.clone();
        long[place] = 0xff;
        client.receive(port, &long, now);
    }
    assert!(client.count(Reject::MikeyMalformed) > 0, "{:?}", client.verdicts());
    let mut appended = message;
    appended.push(0);
    assert_verdict(&mut client, port, &appended, Reject::MikeyMalformed);
    assert_only_counted(&mut client, now);
}

#[test]
fn mikey_of_another_version_or_kind_is_told_from_a_malformed_one() {
    let keys = Keys::default();
    let (mut client, now) = client(&keys);
    let port = client.ports.keys;
    let mut other_version = keys.mtk_message(1, 2);
    other_version[0] = 2;
    assert_verdict(&mut client, port, &other_version, Reject::UnknownProtocol);
    let alone = client.receiver.key_message(&other_version, now);
    assert_eq!(alone.unwrap_err(), Reject::MikeyUnsupported);
    for data_type in (0..=255).filter(|t| *t != DataType::PRE_SHARED.0) {
        let mut other_kind = keys.mtk_message(1, 2);
        other_kind[1] = data_type;
        assert_verdict(&mut client, port, &other_kind, Reject::MikeyUnsupported);
    }
    assert_verdict(&mut client, port, &mikey([0, 1, 1, 2, 1]), Reject::MikeyNotMbms);
    assert_only_counted(&mut client, now);
}

#[test]
fn tags_of_the_sizes_of_rcc_do_not_pass_for_the_announced_ones() {
    let keys = Keys::default();
    let (mut client, now) = client(&keys);
    for srtp_tag_len in [4, 14] {
        let profile = Profile { srtp_tag_len, ..keys.profile };
        let key = Keys { profile, ..keys }.traffic_key(1, 1);
        client.receive(client.ports.media, &media(&key, TALKER, 2), now);
    }
    assert_only_counted(&mut client, now);
    // The MKI is not where it should be, so the packets wait for a key that never comes.
    assert_eq!(client.verdicts(), [(Reject::HoldExpired, 2)]);
}

#[test]
fn tags_of_4_and_14_octets_open_where_the_policy_says_so() {
    for srtp_tag_len in [4, 14] {
        let profile = Profile { srtp_tag_len, ..Profile::default() };
        let (client, _) = client(&Keys { profile, ..Keys::default() });
        assert_eq!(client.indexes(), [1]);
    }
}

/// A datagram that is genuine, or was damaged on the way, or was never genuine.
#[derive(Clone, Debug)]
enum Input {
    Genuine(usize),
    Damaged(usize, Vec<(Index, u8)>, Index),
    Noise(Vec<u8>),
}

fn input() -> impl Strategy<Value = Input> {
    let which = 0..GENUINE;
    let flips = vec((any::<Index>(), 1_u8..), 0..4);
    prop_oneof![
        1 => which.clone().prop_map(Input::Genuine),
        4 => (which, flips, any::<Index>()).prop_map(|(n, flips, len)| Input::Damaged(n, flips, len)),
        2 => vec(any::<u8>(), 0..200).prop_map(Input::Noise),
    ]
}

/// Genuine datagrams that [`input`] damages.
const GENUINE: usize = 4;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_datagram_is_delivered_or_counted_and_only_genuine_ones_are_delivered(
        inputs in vec((input(), 0_usize..3), 0..70), gcm: bool,
    ) {
        let keys = two_profiles()[usize::from(gcm)];
        let (mut client, now) = client(&keys);
        let key = keys.traffic_key(1, 1);
        let genuine: [Vec<u8>; GENUINE] = [
            media(&key, TALKER, 2),
            burst(&key, 1, BurstMessage::Idle),
            keys.msk_message(2, 2),
            keys.mtk_message(2, 1),
        ];
        let datagrams: Vec<_> = inputs
            .into_iter()
            .map(|(input, port)| {
                let port = client.ports.each()[port];
                let octets = match input {
                    Input::Genuine(n) => genuine[n].clone(),
                    Input::Damaged(n, flips, len) => {
                        let mut octets = genuine[n].clone();
                        for (place, change) in flips {
                            let place = place.index(octets.len());
                            octets[place] ^= change;
                        }
                        octets.truncate(len.index(octets.len()) + 1);
                        octets
                    }
                    Input::Noise(octets) => octets,
                };
                (port, octets)
            })
            .collect();
        let batch: Vec<_> = datagrams.iter().map(|(port, octets)| (*port, octets.as_slice())).collect();
        client.receive_batch(&batch, now);
        client.assert_nothing_is_lost_silently(now);
        prop_assert!(client.delivered.count() <= 1 + 2, "{:?}", client.delivered);
        prop_assert!(client.indexes().iter().all(|index| [1, 2].contains(index)));
    }
}
