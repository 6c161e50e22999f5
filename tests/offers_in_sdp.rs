//! What the key server puts into an SDP offer reaches whoever reads it with another parser, octet by octet.

#[path = "common/group.rs"]
#[allow(dead_code, reason = "each test file uses a part")]
mod group;
#[path = "common/pcap.rs"]
mod pcap;
#[path = "common/server.rs"]
mod server;
#[path = "common/tshark.rs"]
mod tshark;

use std::io::Cursor;

use base64::{Engine, engine::general_purpose::STANDARD};
use mcast_srtp::{
    keyserver::{MskMessage, Reach, Route},
    srtp::Profile,
    wire::mikey::Message,
};
use sdp::SessionDescription;

const TEMPLATE: &str = "v=0\r\no=poc 17 1 IN IP4 192.0.2.10\r\ns=Group 17\r\n\
    c=IN IP4 232.10.0.17/16\r\nb=AS:30\r\nt=0 0\r\na=source-filter: incl IN IP4 * 192.0.2.10\r\n\
    m=audio 49170 RTP/SAVP 97\r\na=rtpmap:97 AMR/8000/1\r\na=fmtp:97 octet-align=1\r\na=recvonly\r\n";

/// Offers of every profile, with many streams in the map of one.
fn offers() -> Vec<MskMessage> {
    let profiles = Profile::NAMED.iter().map(|(_, profile)| *profile);
    profiles.flat_map(|profile| server::messages(Reach::Sdp, profile)).collect()
}

fn octets_of(value: &str) -> Vec<u8> {
    let (protocol, data) = value.split_once(' ').expect("a protocol and its data");
    assert_eq!(protocol, "mikey");
    STANDARD.decode(data).expect("base64 with its padding")
}

#[test]
fn another_parser_finds_the_key_message_and_all_that_was_in_the_template() {
    let plain = SessionDescription::unmarshal(&mut Cursor::new(TEMPLATE)).unwrap();
    for offer in offers() {
        assert_eq!(offer.to, Route::SdpOffer);
        let sdp = offer.in_sdp(TEMPLATE).unwrap();
        let mut parsed = SessionDescription::unmarshal(&mut Cursor::new(sdp.as_bytes())).unwrap();
        let (found, others): (Vec<_>, Vec<_>) =
            parsed.attributes.into_iter().partition(|attribute| attribute.key == "key-mgmt");
        assert_eq!(found.len(), 1, "{sdp}");
        assert_eq!(octets_of(found[0].value.as_deref().unwrap()), offer.octets);
        parsed.attributes = others;
        //= RFC 3264 §8: a description that changes has another version
        assert_eq!(parsed.origin.session_version, u64::from(offer.counter));
        parsed.origin.session_version = plain.origin.session_version;
        assert_eq!(parsed.marshal(), plain.marshal());
    }
}

#[test]
fn message_vouches_for_the_protocols_that_the_offer_names() {
    for offer in offers() {
        let sdp = offer.in_sdp(TEMPLATE).unwrap();
        let named: Vec<_> =
            sdp.lines().filter_map(|line| line.strip_prefix("a=key-mgmt:")).collect();
        let octets = octets_of(named[0]);
        //= RFC 4567 §4.1.4, RFC 3830 §6.15: the list of the identifiers in the SDP, EXT type 1
        let message = Message::parse(&octets).unwrap();
        assert_eq!((message.sdp_ids(), named.len()), (Some(&b"mikey"[..]), 1));
        assert!(message.header().verify, "the answer is to bring the confirmation");
    }
}

#[test]
fn wireshark_reads_the_message_out_of_the_announced_description() {
    let Some(tshark) = tshark::Tshark::find() else { return };
    let (offers, mut pcap) = (offers(), pcap::Pcap::default());
    for offer in &offers {
        pcap.udp(9875, &announcement(&offer.in_sdp(TEMPLATE).unwrap()));
    }
    let fields = ["sdp.key_mgmt.kmpid", "sdp.key_mgmt.data", "mikey.ext.type", "mikey.kemac.mac"];
    let rows = tshark.dissect("offers_in_sdp", &pcap, &[], &fields);
    for (offer, row) in offers.iter().zip(rows) {
        assert_eq!(row.complaint, "", "{:?}", row.fields);
        let (octets, mac) = (hex::encode(&offer.octets), &offer.octets[offer.octets.len() - 20..]);
        assert_eq!(row.fields[..2], ["mikey", &octets]);
        assert!(row.fields[2].split('|').any(|kind| kind == "1"), "{:?}", row.fields);
        assert_eq!(row.fields[3], hex::encode(mac));
    }
}

/// A SAP packet (RFC 2974 §3): IPv4 source, no authentication, the payload type spelled out.
fn announcement(sdp: &str) -> Vec<u8> {
    let head = [0x20, 0, 0x12, 0x34, 192, 0, 2, 10];
    [&head[..], b"application/sdp\0", sdp.as_bytes()].concat()
}
