//! Wireshark reads our key messages as we mean them.
//!
//! The messages are those that `tests/mikey_vectors.rs` proves the library writes, and those of a key
//! server at work.
#![cfg(feature = "sdp")]

#[path = "common/group.rs"]
#[allow(dead_code, reason = "each test file uses a part")]
mod group;
#[path = "common/pcap.rs"]
mod pcap;
#[path = "common/server.rs"]
mod server;
#[path = "common/tshark.rs"]
mod tshark;

use std::net::IpAddr;

use mcast_srtp::{
    group::{GroupSpec, Interface, MediaSpec},
    keyserver::{Purpose, Reach, Route},
    srtp::Profile,
    wire::{mikey::Message, sdp::Origin},
};
use pcap::Pcap;
use serde_json::Value;
use tshark::Tshark;

const MIKEY_PORT: u16 = 2269;

fn messages(list: &str, field: &str) -> Vec<(Value, Vec<u8>)> {
    let file: Value = serde_json::from_str(include_str!("vectors/mikey-mbms.json")).unwrap();
    let octets = |case: &Value| Some((case.clone(), hex::decode(case[field].as_str()?).unwrap()));
    match &file[list] {
        Value::Array(cases) => cases.iter().filter_map(octets).collect(),
        case => octets(case).into_iter().collect(),
    }
}

/// Puts messages into one capture and returns the fields of each, none of which has a complaint.
fn dissect(name: &str, messages: &[(Value, Vec<u8>)], fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let tshark = Tshark::find()?;
    let mut pcap = Pcap::default();
    messages.iter().for_each(|(_, message)| pcap.udp(MIKEY_PORT, message));
    let rows = tshark.dissect(name, &pcap, &[], fields);
    let rows = rows.into_iter().map(|row| {
        assert_eq!(row.complaint, "", "{:?}", row.fields);
        row.fields
    });
    Some(rows.collect())
}

#[test]
fn msk_messages_have_no_malformed_field() {
    let messages = messages("msk", "message");
    let fields = [
        "mikey.type",
        "mikey.v.set",
        "mikey.srtp_id.roc",
        "mikey.id.data",
        "mikey.rand.data",
        "mikey.sp.encr_alg",
        "mikey.kemac.mac",
    ];
    let Some(rows) = dissect("mikey_msk", &messages, &fields) else { return };
    for ((case, message), row) in messages.iter().zip(rows) {
        let rocs = case["sessions"].as_array().unwrap().iter().map(|s| s[2].to_string());
        let encryption = match case["profile"].as_str().unwrap() {
            name if name.starts_with("NULL") => "0",
            name if name.contains("GCM") => "6",
            _ => "1",
        };
        let ids = format!("{}|{}", case["idi"].as_str().unwrap(), case["idr"].as_str().unwrap());
        let mac = hex::encode(&message[message.len() - 20..]);
        assert_eq!(row[0], "0");
        assert_eq!(row[1], if case["verify"] == true { "1" } else { "0" });
        assert_eq!(row[2], rocs.map(|roc| hex_word(&roc)).collect::<Vec<_>>().join("|"));
        assert_eq!(row[3], ids);
        assert_eq!(row[4], case["rand"].as_str().unwrap());
        assert_eq!(row[5], encryption);
        assert_eq!(row[6], mac);
    }
}

fn hex_word(decimal: &str) -> String {
    format!("0x{:08x}", decimal.parse::<u32>().unwrap())
}

#[test]
fn mtk_and_verification_messages_have_no_malformed_field() {
    let mtk = messages("mtk", "message");
    let fields = ["mikey.type", "mikey.cs_id_map_type", "mikey.ext.type"];
    let Some(rows) = dissect("mikey_mtk", &mtk, &fields) else { return };
    rows.iter().for_each(|row| assert_eq!(row[..], ["0", "1", "3"]));

    let answers = messages("msk", "verification");
    let fields = ["mikey.type", "mikey.id.data", "mikey.v.ver_data"];
    let Some(rows) = dissect("mikey_verification", &answers, &fields) else { return };
    for ((case, message), row) in answers.iter().zip(rows) {
        let mac = hex::encode(&message[message.len() - 20..]);
        assert_eq!(row[..], ["1", case["idr"].as_str().unwrap(), &mac]);
    }
}

#[test]
fn revocations_and_solicited_pulls_have_no_malformed_field() {
    for (list, map_type) in [("revocation", "0"), ("pull", "1")] {
        let fields = ["mikey.type", "mikey.cs_id_map_type", "mikey.ext.type"];
        let Some(rows) = dissect(list, &messages(list, "message"), &fields) else { return };
        assert_eq!(rows, [["0", map_type, "3"]]);
    }
}

#[test]
fn messages_of_a_key_server_at_work_have_no_malformed_field() {
    let messages: Vec<_> = [Reach::Udp("192.0.2.7:2269".parse().unwrap()), Reach::Sdp]
        .into_iter()
        .flat_map(|reach| Profile::NAMED.iter().map(move |(_, profile)| (reach, *profile)))
        .flat_map(|(reach, profile)| server::messages(reach, profile))
        .collect();
    let octets: Vec<_> = messages.iter().map(|m| (Value::Null, m.octets.clone())).collect();
    let fields =
        ["mikey.v.set", "mikey.id.data", "mikey.cs_count", "mikey.ext.type", "mikey.kemac.mac"];
    let Some(rows) = dissect("mikey_server", &octets, &fields) else { return };
    for (message, row) in messages.iter().zip(rows) {
        let verify = if message.purpose == Purpose::Solicit { "0" } else { "1" };
        let sessions = Message::parse(&message.octets).unwrap().header().session_count.to_string();
        let extensions = if message.to == Route::SdpOffer { "3|1" } else { "3" };
        let mac = hex::encode(&message.octets[message.octets.len() - 20..]);
        assert_eq!(row, [verify, "bmsc.example|c1@bsf.example", &*sessions, extensions, &*mac]);
    }
}

#[test]
fn an_sdp_body_with_a_key_message_has_no_malformed_field() {
    let Some(tshark) = Tshark::find() else { return };
    let group: IpAddr = "239.10.0.17".parse().unwrap();
    for (case, message) in messages("msk", "message") {
        let sdp = GroupSpec::new("Group 17", Interface::Any)
            .with_media(MediaSpec::rtp(group, 49170).with_payload_types(&[97]))
            .with_media(MediaSpec::burst(group, 49172))
            .with_key_message(message)
            .to_sdp(Origin::new(17, "192.0.2.10".parse().unwrap()))
            .unwrap();
        let sip = format!(
            "INVITE sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10\r\n\
             From: <sip:poc@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\n\
             Call-ID: 1@192.0.2.10\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        let mut pcap = Pcap::default();
        pcap.udp(5060, sip.as_bytes());
        let fields = ["sdp.key_mgmt.kmpid", "mikey.rand.data", "mikey.kemac.mac_alg"];
        let rows = tshark.dissect("mikey_sdp", &pcap, &[], &fields);
        assert_eq!(rows[0].complaint, "", "{sdp}");
        assert_eq!(rows[0].fields, ["mikey", case["rand"].as_str().unwrap(), "1"]);
    }
}
