//! Wireshark reads our burst control as we mean it.

#[path = "common/pcap.rs"]
mod pcap;
#[path = "common/tshark.rs"]
mod tshark;

use mcast_srtp::{
    ids::{Seq, Ssrc},
    wire::{
        burst::{
            AckReason, Acknowledgement, BurstMessage, BurstPacket, Connect, Deny, DenyReason,
            Granted, Participants, Priority, QueuePosition, QueueStatus, Release, Request, Revoke,
            RevokeReason, SessionType, StopTalking, Subtype, Taken,
        },
        rtcp::{NtpTime, RtcpWriter, SdesItem, SenderInfo},
    },
};
use pcap::Pcap;
use tshark::Tshark;

const PORT: u16 = 5005;
const AS_RTCP: &[&str] = &["udp.port==5005,rtcp"];
const SERVER: Ssrc = Ssrc(0x1122_3344);
const TALKER: Ssrc = Ssrc(0xcafe_babe);

/// Messages, and the fields and values that tshark has to show for each.
fn expectations() -> Vec<(BurstMessage<'static>, &'static [(&'static str, &'static str)])> {
    let taken = Taken {
        talker: TALKER,
        cname: "sip:alice@example.com".into(),
        name: Some("Alice".into()),
        participants: Some(Participants(5)),
        ack_expected: false,
    };
    vec![
        (BurstMessage::Request(Request::default()), &[("priority", ""), ("request.ts", "")]),
        (
            BurstMessage::Request(Request {
                priority: Some(Priority::PRE_EMPTIVE),
                time_stamp: Some(NtpTime(0xe2a1_b2c3_8000_0000)),
            }),
            &[("priority", "3"), ("request.ts", "Jun 27, 2020 11:57:55.500000000 UTC")],
        ),
        (
            BurstMessage::Granted(Granted {
                stop_talking: StopTalking(30),
                participants: Some(Participants(12)),
            }),
            &[("stt", "30"), ("participants", "12")],
        ),
        (
            BurstMessage::Taken(taken),
            &[
                ("ssrc.granted", "3405691582"),
                ("sip.uri", "sip:alice@example.com"),
                ("disp.name", "Alice"),
                ("participants", "5"),
            ],
        ),
        (
            BurstMessage::Taken(Taken {
                ack_expected: true,
                name: None,
                participants: None,
                ..taken
            }),
            &[("sip.uri", "sip:alice@example.com"), ("disp.name", ""), ("participants", "")],
        ),
        (
            BurstMessage::Taken(Taken {
                cname: "sip:robert@example.com".into(),
                name: None,
                ..taken
            }),
            // 4 + 2 + 22 octets need no padding: tshark 4.0 does not expect any after a lone CNAME.
            &[("ssrc.granted", "3405691582"), ("sip.uri", "sip:robert@example.com")],
        ),
        (
            BurstMessage::Deny(Deny { reason: DenyReason::ANOTHER_USER, phrase: "busy".into() }),
            &[("reason.code", "1"), ("reason.phrase", "busy")],
        ),
        (
            BurstMessage::Deny(Deny { reason: DenyReason::LISTEN_ONLY, phrase: "".into() }),
            &[("reason.code", "5"), ("reason.phrase", "")],
        ),
        (
            BurstMessage::Release(Release { last_seq: Some(Seq(0x1234)) }),
            &[("last.pkt.seq.no", "4660"), ("ignore.seq.no", "0x0000")],
        ),
        (BurstMessage::Release(Release { last_seq: None }), &[("ignore.seq.no", "0x0001")]),
        (BurstMessage::Idle, &[]),
        (
            BurstMessage::Revoke(Revoke { reason: RevokeReason::TOO_LONG, info: 20 }),
            &[("reason.code", "2"), ("new.time.request", "20")],
        ),
        (
            BurstMessage::Revoke(Revoke { reason: RevokeReason::PRE_EMPTED, info: 0 }),
            &[("reason.code", "4")],
        ),
        (
            BurstMessage::Acknowledgement(Acknowledgement {
                of: Subtype::CONNECT,
                reason: AckReason::NOT_ACCEPTED,
            }),
            &[("ack.subtype", "15"), ("ack.reason.code", "2")],
        ),
        (
            BurstMessage::Acknowledgement(Acknowledgement {
                of: Subtype::TAKEN_ACK,
                reason: AckReason::ACCEPTED,
            }),
            &[("ack.subtype", "18")],
        ),
        (BurstMessage::QueueStatusRequest, &[]),
        (
            BurstMessage::QueueStatusResponse(QueueStatus {
                priority: Priority::HIGH,
                position: QueuePosition(3),
            }),
            &[("qsresp.priority", "2"), ("qsresp.position", "3")],
        ),
        (BurstMessage::Disconnect, &[]),
        (
            BurstMessage::Connect(Connect {
                inviting_identity: Some("sip:a@example.com".into()),
                inviting_name: Some("Ann".into()),
                session_identity: Some("sip:session@example.com".into()),
                group_name: Some("Squad".into()),
                group_identity: Some("sip:squad@example.com".into()),
                session_type: SessionType::PRE_ARRANGED,
                manual_answer_override: true,
            }),
            &[
                ("conn.sdes.a.id", "sip:a@example.com"),
                ("conn.sdes.a.dn", "Ann"),
                ("conn.sdes.sess.id", "sip:session@example.com"),
                ("conn.sdes.grp.dn", "Squad"),
                ("conn.sdes.grp.id", "sip:squad@example.com"),
                ("conn.session.type", "3"),
                ("conn.add.ind.mao", "1"),
            ],
        ),
        (
            BurstMessage::Connect(Connect {
                group_identity: Some("sip:squad@example.com".into()),
                ..Connect::default()
            }),
            &[
                ("conn.content.a.id", "0"),
                ("conn.content.grp.id", "1"),
                ("conn.sdes.grp.id", "sip:squad@example.com"),
                ("conn.session.type", "0"),
                ("conn.add.ind.mao", "0"),
            ],
        ),
    ]
}

#[test]
fn every_burst_message_reads_as_meant() {
    let Some(tshark) = Tshark::find() else { return };
    let expectations = expectations();
    let mut pcap = Pcap::default();
    for (message, _) in &expectations {
        let mut out = [0xee; BurstPacket::MAX_LEN];
        let len = BurstPacket::new(SERVER, *message).write(&mut out).unwrap();
        pcap.udp(PORT, &out[..len]);
    }
    let mut names: Vec<_> = expectations.iter().flat_map(|(_, fields)| *fields).collect();
    names.sort();
    names.dedup_by_key(|(name, _)| *name);
    let header = ["rtcp.app.subtype", "rtcp.ssrc.identifier", "rtcp.app.name", "rtcp.length_check"];
    let fields: Vec<_> = header
        .iter()
        .map(ToString::to_string)
        .chain(names.iter().map(|(name, _)| format!("rtcp.app.poc1.{name}")))
        .collect();
    let fields: Vec<_> = fields.iter().map(String::as_str).collect();

    let rows = tshark.dissect("burst", &pcap, AS_RTCP, &fields);
    for ((message, expected), row) in expectations.iter().zip(rows) {
        assert_eq!(row.complaint, "", "{message:?}");
        let (head, values) = row.fields.split_at(header.len());
        let subtype = message.subtype().0.to_string();
        assert_eq!(head, [&*subtype, "0x11223344", "PoC1", "1"], "{message:?}");
        for (name, value) in *expected {
            let column = names.iter().position(|(other, _)| other == name).unwrap();
            assert_eq!(values[column], *value, "{name} of {message:?}");
        }
    }
}

#[test]
fn reports_and_bursts_share_a_datagram() {
    let Some(tshark) = Tshark::find() else { return };
    let mut datagram = [0xee; 256];
    let mut writer = RtcpWriter::new(&mut datagram);
    let info = SenderInfo {
        ntp: NtpTime(0xe2a1_b2c3_8000_0000),
        rtp_timestamp: 1600,
        packet_count: 10,
        octet_count: 320,
    };
    writer.sender_report(TALKER, &info, &[]).unwrap();
    writer.sdes(TALKER, &[SdesItem::cname("sip:alice@example.com".into())]).unwrap();
    writer.bye(&[TALKER], Some("end of watch".into())).unwrap();
    BurstPacket::new(SERVER, BurstMessage::Idle).append_to(&mut writer).unwrap();
    let len = writer.len();
    let mut pcap = Pcap::default();
    pcap.udp(PORT, &datagram[..len]);

    let fields = ["rtcp.pt", "rtcp.sdes.text", "rtcp.sender.packetcount", "rtcp.app.subtype"];
    let rows = tshark.dissect("compound", &pcap, AS_RTCP, &fields);
    assert_eq!(rows[0].complaint, "");
    assert_eq!(
        rows[0].fields,
        ["200|202|203|204", "sip:alice@example.com|end of watch", "10", "5"]
    );
}

#[test]
fn tshark_complains_about_a_broken_message() {
    let Some(tshark) = Tshark::find() else { return };
    let mut pcap = Pcap::default();
    let text_past_the_end = "82cc0005 11223344 506f4331 cafebabe 01ff7369 703a616c";
    pcap.udp(PORT, &hex::decode(text_past_the_end.replace(' ', "")).unwrap());
    let rows = tshark.dissect("broken", &pcap, AS_RTCP, &[]);
    assert_ne!(rows[0].complaint, "");
}
