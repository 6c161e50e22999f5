//! Burst control from peers that pad otherwise, speak a later version, or lie.

use mcast_srtp::{
    Reject,
    ids::{Seq, Ssrc},
    wire::{
        Text,
        burst::{
            AckReason, Acknowledgement, BurstEvent, BurstMessage, BurstPacket, Connect, Deny,
            DenyReason, Granted, Item, Participants, Priority, QueuePosition, QueueStatus, Release,
            Request, Revoke, RevokeReason, SessionType, StopTalking, Subtype, Taken, bursts,
        },
        rtcp::{App, Compound, NtpTime, RtcpWriter},
    },
};
use proptest::{collection::vec, option, prelude::*, sample::select};

const SERVER: Ssrc = Ssrc(0x1122_3344);

/// All subtypes that have a meaning.
const SUBTYPES: [u8; 13] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15, 18];

fn parse(subtype: u8, data: &[u8]) -> Result<BurstPacket<'_>, Reject> {
    BurstPacket::parse(&App { subtype, ssrc: SERVER, name: *b"PoC1", data })
}

fn message(subtype: u8, data: &[u8]) -> Result<BurstMessage<'_>, Reject> {
    parse(subtype, data).map(|packet| packet.message)
}

fn octets(hex: &str) -> Vec<u8> {
    hex::decode(hex.replace(' ', "")).unwrap()
}

#[test]
fn participants_after_a_lone_cname_are_found_aligned_or_not() {
    let expected = Taken {
        talker: Ssrc(0xcafe_babe),
        cname: "abc".into(),
        participants: Some(Participants(5)),
        ..Taken::default()
    };
    let aligned = octets("cafebabe 0103616263 000000 64020005");
    let unaligned = octets("cafebabe 0103616263 64020005 000000");
    for data in [&aligned, &unaligned] {
        assert_eq!(message(2, data), Ok(BurstMessage::Taken(expected)));
    }
    let mut out = [0; 64];
    let len = BurstPacket::new(SERVER, BurstMessage::Taken(expected)).write(&mut out).unwrap();
    assert_eq!(&out[12..len], aligned);
}

#[test]
fn items_of_a_later_version_are_kept_and_disturb_nothing() {
    let data = octets("6801ff 65 02 001e 64 02 000c 69 00 6a02 0001 00");
    let packet = parse(1, &data).unwrap();
    let granted = Granted { stop_talking: StopTalking(30), participants: Some(Participants(12)) };
    assert_eq!(packet.message, BurstMessage::Granted(granted));
    let later = [
        Item { code: 104, value: &[0xff] },
        Item { code: 105, value: &[] },
        Item { code: 106, value: &[0, 1] },
    ];
    assert!(packet.trailing.items().eq(later));
    assert_eq!(packet.trailing.ignored(), 0);

    let mut out = [0; 64];
    let len = packet.write(&mut out).unwrap();
    assert_eq!(hex::encode(&out[12..len]), "6502001e6402000c6801ff69006a020001000000");

    // A message without fields of its own may grow, too.
    let idle = octets("6804 00000001 0000");
    assert_eq!(parse(5, &idle).unwrap().trailing.items().count(), 1);
    // And what is no item at all is counted.
    assert_eq!(parse(5, &[1, 2, 3, 0]).unwrap().trailing.ignored(), 3);
}

#[test]
fn later_item_that_runs_past_the_end_does_not_take_the_message_with_it() {
    let packet = parse(1, &[101, 2, 0, 30, 104, 9, 1, 1]).unwrap();
    assert_eq!((packet.trailing.items().count(), packet.trailing.ignored()), (0, 4));
}

#[test]
fn known_item_of_a_wrong_length_is_refused() {
    for (subtype, data) in [
        (0, "6601 02 00"),
        (0, "67 04 00000000 0000"),
        (1, "6503 00001e 000000"),
        (1, "6502001e 64 01 05 00"),
        (1, "6502001e 64 02"),
        (1, "6502001e 6502001e"),
        (2, "cafebabe 0103616263 000000 6403 000005 000000"),
    ] {
        assert_eq!(message(subtype, &octets(data)), Err(Reject::BadBurst), "{subtype} {data}");
    }
}

#[test]
fn missing_fields_are_refused() {
    for (subtype, data) in [
        (1, ""),
        (1, "6402000c"),
        (2, "cafebabe"),
        (2, "cafebabe 02 03 616263 000000"),
        (2, "cafebabe 01 09 616263 000000"),
        (2, "cafebabe 01 01 61 02 09 616263 0000"),
        (3, "01"),
        (3, "01 07 62757379 0000"),
        (4, "1234"),
        (6, "0002"),
        (7, "90"),
        (9, "02"),
        (15, "8000 03"),
        (15, "8000 03 80"),
        (15, "8000 03 80 0000 0000"),
        (15, "c000 03 80 01026162"),
        (18, ""),
    ] {
        assert_eq!(message(subtype, &octets(data)), Err(Reject::BadBurst), "{subtype} {data}");
    }
}

#[test]
fn reserved_bits_are_ignored() {
    let release = BurstMessage::Release(Release { last_seq: Some(Seq(0x1234)) });
    assert_eq!(message(4, &octets("1234 7fff")), Ok(release));
    let ignored = BurstMessage::Release(Release { last_seq: None });
    assert_eq!(message(4, &octets("1234 ffff")), Ok(ignored));
    let acknowledgement = Acknowledgement { of: Subtype::TAKEN_ACK, reason: AckReason::ACCEPTED };
    let acknowledgement = BurstMessage::Acknowledgement(acknowledgement);
    assert_eq!(message(7, &octets("9000 ffff")), Ok(acknowledgement));
    let connect = Connect { session_type: SessionType::CHAT, ..Connect::default() };
    assert_eq!(message(15, &octets("07ff 04 7f")), Ok(BurstMessage::Connect(connect)));
}

#[test]
fn reason_codes_of_a_later_version_pass_through() {
    let deny = Deny { reason: DenyReason(7), phrase: "queue full".into() };
    let data = octets("070a 71756575652066756c6c");
    assert_eq!(message(3, &data), Ok(BurstMessage::Deny(deny)));
    let revoke = Revoke { reason: RevokeReason(255), info: 9 };
    assert_eq!(message(6, &octets("00ff0009")), Ok(BurstMessage::Revoke(revoke)));
    assert_eq!(revoke.retry_after(), None);
    let too_long = Revoke { reason: RevokeReason::TOO_LONG, info: 9 };
    assert_eq!(too_long.retry_after().unwrap().as_secs(), 9);
}

#[test]
fn subtypes_nobody_has_defined_are_unknown() {
    for subtype in (0..32).filter(|subtype| !SUBTYPES.contains(subtype)) {
        assert_eq!(message(subtype, &[0; 64]), Err(Reject::UnknownBurst), "{subtype}");
    }
    let other = App { subtype: 5, ssrc: SERVER, name: *b"MCPT", data: &[] };
    assert_eq!(BurstPacket::parse(&other).map(drop), Err(Reject::UnknownBurst));
}

#[test]
fn messages_that_only_clients_send_are_no_events() {
    for subtype in SUBTYPES {
        let data = match subtype {
            1 => octets("6502001e"),
            2 | 18 => octets("cafebabe 0100 0000"),
            _ => vec![0; 8],
        };
        let message = message(subtype, &data).unwrap();
        let event = BurstEvent::try_from(message).map(|event| event.name());
        let client_only = matches!(subtype, 0 | 4 | 7 | 8);
        assert_eq!(event.is_err(), client_only);
        assert_eq!(message.is_client_only(), client_only);
        assert!(matches!(event, Ok(_) | Err(Reject::UnexpectedDirection)));
    }
}

#[test]
fn bursts_among_other_packets_are_found() {
    let mut datagram = [0; 128];
    let mut writer = RtcpWriter::new(&mut datagram);
    writer.receiver_report(SERVER, &[]).unwrap();
    BurstPacket::new(SERVER, BurstMessage::Idle).append_to(&mut writer).unwrap();
    let app = App { subtype: 5, ssrc: SERVER, name: *b"MCPT", data: &[] };
    writer.app(&app).unwrap();
    writer.app(&App { subtype: 10, name: *b"PoC1", ..app }).unwrap();
    BurstPacket::new(SERVER, BurstMessage::Disconnect).append_to(&mut writer).unwrap();
    let len = writer.len();
    let read = bursts(Compound::parse(&datagram[..len]).unwrap());
    let read: Vec<_> = read.map(|burst| burst.map(|burst| burst.message)).collect();
    assert_eq!(
        read,
        [Ok(BurstMessage::Idle), Err(Reject::UnknownBurst), Ok(BurstMessage::Disconnect)]
    );
}

#[test]
fn app_too_short_for_a_name_is_refused() {
    let datagram = [0x85, 204, 0, 1, 0x11, 0x22, 0x33, 0x44];
    let read: Vec<_> = bursts(Compound::parse(&datagram).unwrap()).map(|b| b.map(drop)).collect();
    assert_eq!(read, [Err(Reject::BadRtcp)]);
}

#[test]
fn fields_out_of_range_are_errors_of_the_caller() {
    let long = "x".repeat(256);
    for message in [
        BurstMessage::Acknowledgement(Acknowledgement { of: Subtype(32), reason: AckReason(0) }),
        BurstMessage::Acknowledgement(Acknowledgement { of: Subtype(2), reason: AckReason(2048) }),
        BurstMessage::QueueStatusResponse(QueueStatus {
            priority: Priority(256),
            position: QueuePosition::UNKNOWN,
        }),
        BurstMessage::Deny(Deny { reason: DenyReason(1), phrase: Text::from(&*long) }),
    ] {
        assert!(BurstPacket::new(SERVER, message).write(&mut [0; 512]).is_err(), "{message:?}");
    }
    assert!(BurstPacket::new(SERVER, BurstMessage::Idle).write(&mut [0; 11]).is_err());
}

#[test]
fn longest_message_fits_the_named_length() {
    let text = "x".repeat(255);
    let text = Some(Text::from(&*text));
    let connect = Connect {
        inviting_identity: text,
        inviting_name: text,
        session_identity: text,
        group_name: text,
        group_identity: text,
        ..Connect::default()
    };
    let mut out = [0; BurstPacket::MAX_LEN];
    let packet = BurstPacket::new(SERVER, BurstMessage::Connect(connect));
    assert_eq!(packet.write(&mut out).unwrap(), BurstPacket::MAX_LEN);
}

/// Owned texts, from which messages are made.
type Texts = ([Option<Vec<u8>>; 5], Vec<u8>);

fn texts() -> impl Strategy<Value = Texts> {
    let text = || option::of(vec(any::<u8>(), 0..=255));
    ([text(), text(), text(), text(), text()], vec(any::<u8>(), 0..=255))
}

fn any_message<'a>(subtype: u8, numbers: [u16; 6], (some, one): &'a Texts) -> BurstMessage<'a> {
    let [a, b, c, d, e, f] = numbers;
    let [t0, t1, t2, t3, t4] = some.each_ref().map(|text| text.as_deref().map(Text::new));
    let present = |bit: u16| a & bit != 0;
    let low = b.to_be_bytes()[0];
    match subtype {
        0 => BurstMessage::Request(Request {
            priority: present(1).then_some(Priority(b)),
            time_stamp: present(2)
                .then(|| NtpTime([c, d, e, f].iter().fold(0, |t, n| t << 16 | u64::from(*n)))),
        }),
        1 => BurstMessage::Granted(Granted {
            stop_talking: StopTalking(b),
            participants: present(1).then_some(Participants(c)),
        }),
        2 | 18 => BurstMessage::Taken(Taken {
            talker: Ssrc(u32::from(b) << 16 | u32::from(c)),
            cname: Text::new(one),
            name: t0,
            participants: present(1).then_some(Participants(d)),
            ack_expected: subtype == 18,
        }),
        3 => BurstMessage::Deny(Deny { reason: DenyReason(low), phrase: Text::new(one) }),
        4 => BurstMessage::Release(Release { last_seq: present(1).then_some(Seq(b)) }),
        5 => BurstMessage::Idle,
        6 => BurstMessage::Revoke(Revoke { reason: RevokeReason(b), info: c }),
        7 => BurstMessage::Acknowledgement(Acknowledgement {
            of: Subtype(low & 31),
            reason: AckReason(c & 0x7ff),
        }),
        8 => BurstMessage::QueueStatusRequest,
        9 => BurstMessage::QueueStatusResponse(QueueStatus {
            priority: Priority(u16::from(low)),
            position: QueuePosition(c),
        }),
        11 => BurstMessage::Disconnect,
        15 => BurstMessage::Connect(Connect {
            inviting_identity: t0,
            inviting_name: t1,
            session_identity: t2,
            group_name: t3,
            group_identity: t4,
            session_type: SessionType(low),
            manual_answer_override: present(1),
        }),
        _ => unreachable!("all subtypes are listed"),
    }
}

/// Data that has a chance to be understood: items, texts, zeros and junk in any order.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let item = (98u8..110, vec(any::<u8>(), 0..9));
    let text = (0u8..4, vec(any::<u8>(), 0..9));
    let coded = prop_oneof![item, text].prop_map(|(code, value)| {
        let mut coded = vec![code, value.len() as u8];
        coded.extend(value);
        coded
    });
    let piece = prop_oneof![4 => coded, 1 => vec(Just(0), 0..5), 1 => vec(any::<u8>(), 0..6)];
    (option::of(any::<[u8; 4]>()), vec(piece, 0..6))
        .prop_map(|(head, pieces)| head.into_iter().flatten().chain(pieces.concat()).collect())
}

proptest! {
    #[test]
    fn every_message_survives_the_wire(
        drafts in vec((select(&SUBTYPES[..]), any::<[u16; 6]>(), texts()), 1..4),
    ) {
        let mut datagram = vec![0xee; drafts.len() * BurstPacket::MAX_LEN];
        let mut writer = RtcpWriter::new(&mut datagram);
        let messages: Vec<_> = drafts.iter().map(|(s, n, t)| any_message(*s, *n, t)).collect();
        for message in &messages {
            BurstPacket::new(SERVER, *message).append_to(&mut writer).unwrap();
        }
        let len = writer.len();
        let read: Vec<_> = bursts(Compound::parse(&datagram[..len]).unwrap()).collect();
        prop_assert_eq!(read.len(), messages.len());
        for ((read, message), (subtype, ..)) in read.iter().zip(messages).zip(&drafts) {
            let read = read.unwrap();
            prop_assert_eq!((read.sender, read.message), (SERVER, message));
            prop_assert_eq!(read.message.subtype(), Subtype(*subtype));
            prop_assert_eq!((read.trailing.items().count(), read.trailing.ignored()), (0, 0));
        }
    }

    #[test]
    fn what_was_understood_survives_being_written_again(
        subtype in select(&SUBTYPES[..]), data in data(),
    ) {
        let Ok(read) = parse(subtype, &data) else { return Ok(()) };
        let mut out = [0xee; 2 * BurstPacket::MAX_LEN];
        let len = read.write(&mut out).unwrap();
        let again = bursts(Compound::parse(&out[..len]).unwrap()).next().unwrap().unwrap();
        prop_assert_eq!(again.message, read.message);
        prop_assert!(again.trailing.items().eq(read.trailing.items()));
        prop_assert_eq!(again.trailing.ignored(), 0);
    }

    #[test]
    fn any_octets_get_a_message_or_a_verdict(subtype in 0u8..32, data in vec(any::<u8>(), 0..99)) {
        for data in [&data[..], &vec![0; data.len()]] {
            match parse(subtype, data) {
                Ok(read) => drop(format!("{read:?} {}", read.trailing.ignored())),
                Err(reject) => {
                    prop_assert!(matches!(reject, Reject::BadBurst | Reject::UnknownBurst));
                }
            }
        }
    }
}
