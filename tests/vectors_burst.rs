//! The sample messages of burst control, read and written octet by octet.

use mcast_srtp::{
    Reject,
    ids::{Seq, Ssrc},
    wire::{
        Text,
        burst::{
            AckReason, Acknowledgement, BurstMessage, BurstPacket, Connect, Deny, DenyReason,
            Granted, Participants, Priority, QueuePosition, QueueStatus, Release, Request, Revoke,
            RevokeReason, SessionType, StopTalking, Subtype, Taken, bursts,
        },
        rtcp::{App, Compound, NtpTime},
    },
};
use serde_json::Value;

const SAMPLES: &str = include_str!("vectors/computed-poc1-messages.json");

fn samples() -> Vec<Value> {
    let samples: Value = serde_json::from_str(SAMPLES).unwrap();
    samples["cases"].as_array().unwrap().clone()
}

fn packet(sample: &Value) -> Vec<u8> {
    hex::decode(sample["packet"].as_str().unwrap()).unwrap()
}

/// The message that a sample describes in words and numbers.
fn described(sample: &Value) -> BurstPacket<'_> {
    let fields = &sample["fields"];
    let number = |name: &str| fields[name].as_u64();
    let short = |name: &str| number(name).map(|n| u16::try_from(n).unwrap());
    let octet = |name: &str| number(name).map(|n| u8::try_from(n).unwrap());
    let ssrc = |value: &Value| Ssrc(value.as_u64().unwrap().try_into().unwrap());
    let text = |name: &str| fields[name].as_str().map(Text::from);
    let flag = |name: &str| fields[name].as_bool().unwrap_or(false);
    let priority = short("priority").map(Priority);
    let time = fields["timestamp"].as_str().map(|hex| u64::from_str_radix(hex, 16).unwrap());
    let taken = |ack_expected| {
        BurstMessage::Taken(Taken {
            talker: ssrc(&fields["talker_ssrc"]),
            cname: text("cname").unwrap(),
            name: text("name"),
            participants: short("participants").map(Participants),
            ack_expected,
        })
    };
    let message = match sample["message"].as_str().unwrap() {
        "request" => BurstMessage::Request(Request { priority, time_stamp: time.map(NtpTime) }),
        "granted" => BurstMessage::Granted(Granted {
            stop_talking: StopTalking(short("stop_talking_s").unwrap()),
            participants: short("participants").map(Participants),
        }),
        "taken" => taken(false),
        "taken_ack" => taken(true),
        "deny" => BurstMessage::Deny(Deny {
            reason: DenyReason(octet("reason").unwrap()),
            phrase: text("phrase").unwrap_or_default(),
        }),
        "release" => BurstMessage::Release(Release {
            last_seq: short("last_seq").filter(|_| !flag("ignore_seq")).map(Seq),
        }),
        "idle" => BurstMessage::Idle,
        "revoke" => BurstMessage::Revoke(Revoke {
            reason: RevokeReason(short("reason").unwrap()),
            info: short("info").unwrap_or(0),
        }),
        "ack" => BurstMessage::Acknowledgement(Acknowledgement {
            of: Subtype(octet("acked_subtype").unwrap()),
            reason: AckReason(short("reason").unwrap_or(0)),
        }),
        "queue_status_request" => BurstMessage::QueueStatusRequest,
        "queue_status_response" => BurstMessage::QueueStatusResponse(QueueStatus {
            priority: priority.unwrap(),
            position: QueuePosition(short("position").unwrap()),
        }),
        "disconnect" => BurstMessage::Disconnect,
        "connect" => BurstMessage::Connect(Connect {
            inviting_identity: text("inviting_id"),
            inviting_name: text("inviting_name"),
            session_identity: text("session_id"),
            group_name: text("group_name"),
            group_identity: text("group_id"),
            session_type: SessionType(octet("session_type").unwrap()),
            manual_answer_override: flag("manual_answer_override"),
        }),
        other => panic!("sample of an unknown message {other}"),
    };
    BurstPacket::new(ssrc(&sample["ssrc"]), message)
}

#[test]
fn every_sample_reads_as_described() {
    for sample in samples() {
        let (packet, expected) = (packet(&sample), described(&sample));
        let read: Vec<_> = bursts(Compound::parse(&packet).unwrap()).collect();
        let [Ok(read)] = read[..] else { panic!("{}: {read:?}", sample["id"]) };
        assert_eq!((read.sender, read.message), (expected.sender, expected.message));
        assert_eq!((read.trailing.items().count(), read.trailing.ignored()), (0, 0));
        assert_eq!(Subtype::peek(&packet), Some(read.message.subtype()));
    }
}

#[test]
fn every_sample_is_written_octet_by_octet() {
    for sample in samples() {
        let mut out = [0xee; BurstPacket::MAX_LEN];
        let len = described(&sample).write(&mut out).unwrap();
        assert_eq!(
            hex::encode(&out[..len]),
            sample["packet"].as_str().unwrap(),
            "{}",
            sample["id"]
        );
    }
}

#[test]
fn sample_cut_at_any_octet_is_refused() {
    for sample in samples() {
        let packet = packet(&sample);
        for len in 0..packet.len() {
            assert_eq!(Compound::parse(&packet[..len]).map(drop), Err(Reject::BadRtcp));
        }
    }
}

/// A cut that the length field hides either breaks a field, or falls between optional fields.
#[test]
fn data_cut_at_any_octet_is_refused_or_reads_as_what_is_left() {
    for sample in samples() {
        let packet = packet(&sample);
        let (subtype, sender, data) = (packet[0] & 0x1f, described(&sample).sender, &packet[12..]);
        for len in 0..data.len() {
            let app = App { subtype, ssrc: sender, name: *b"PoC1", data: &data[..len] };
            let read = match BurstPacket::parse(&app) {
                Ok(read) => read,
                Err(reject) => {
                    assert_eq!(reject, Reject::BadBurst);
                    continue;
                }
            };
            let mut out = [0xee; BurstPacket::MAX_LEN];
            let written = read.write(&mut out).unwrap();
            let content = without_trailing_zeros(&out[12..written]);
            assert!(data.starts_with(content), "{} cut to {len} reads as {read:?}", sample["id"]);
            assert!(content.len() <= len, "{} cut to {len} reads as {read:?}", sample["id"]);
        }
    }
}

fn without_trailing_zeros(octets: &[u8]) -> &[u8] {
    let len = octets.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    &octets[..len]
}
