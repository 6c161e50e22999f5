//! Published and computed packets, opened and reproduced octet by octet.

use std::sync::Arc;

use mcast_srtp::{
    ids::{Mki, PacketIndex, Roc, Seq, Ssrc},
    srtp::{
        Cipher, KeyRing, Packet, PacketKind, Profile, Protector, SessionId, StreamLimits,
        TrafficKey, Unprotector,
    },
};
use serde_json::Value;

const FILES: &[(&str, &str)] = &[
    ("libsrtp", include_str!("vectors/libsrtp-reference-packets.json")),
    ("ffmpeg", include_str!("vectors/ffmpeg-srtp-packets.json")),
    ("computed", include_str!("vectors/computed-mki-roc-index.json")),
];

fn octets(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap_or_default()).unwrap()
}

fn profile(case: &Value, key_len: usize) -> Profile {
    let text = case.to_string();
    let cipher = match (text.contains("gcm") || text.contains("GCM"), key_len) {
        (true, 16) => Cipher::AesGcm128,
        (true, _) => Cipher::AesGcm256,
        _ if case["encrypt"] == false => Cipher::Null,
        (_, 24) => Cipher::AesCm192,
        (_, 32) => Cipher::AesCm256,
        _ => Cipher::AesCm128,
    };
    let base = Profile::NAMED.iter().map(|(_, p)| *p).find(|p| p.cipher == cipher).unwrap();
    let mki_len = u8::try_from(octets(&case["mki"]).len()).unwrap();
    let mut profile = base.with_mki_len(mki_len);
    if let Some(len) = case["tag_len"].as_u64().filter(|_| !cipher.is_aead()) {
        profile.srtp_tag_len = u8::try_from(len).unwrap();
        profile.srtcp_tag_len = profile.srtp_tag_len;
    }
    if case["auth"] == false {
        profile.srtp_tag_len = 0;
    }
    if cipher != Cipher::Null {
        profile.encrypt_srtcp = case["e"] != 0;
    }
    profile
}

#[test]
fn every_whole_packet_opens_and_is_reproduced() {
    let mut count = 0;
    for (file, text) in FILES {
        let parsed: Value = serde_json::from_str(text).unwrap();
        for case in parsed["cases"].as_array().unwrap() {
            let master_key = octets(&case["master_key"]);
            let profile = profile(case, master_key.len());
            let mki = Mki::new(&octets(&case["mki"])).unwrap();
            let salt = octets(&case["master_salt"]);
            let key = TrafficKey::new(mki, profile, &master_key, &salt);
            if case["auth"] == false {
                let text = key.unwrap_err().to_string();
                assert!(text.contains("without an authentication tag"), "{text}");
                continue;
            }
            let key = Arc::new(key.unwrap_or_else(|e| panic!("{file} {}: {e}", case["id"])));
            let (kind, plain, wire) = if case["srtcp"].is_string() {
                (PacketKind::Rtcp, octets(&case["rtcp"]), octets(&case["srtcp"]))
            } else {
                (PacketKind::Rtp, octets(&case["rtp"]), octets(&case["srtp"]))
            };
            let roc = Roc(u32::try_from(case["roc"].as_u64().unwrap_or(0)).unwrap());
            opens(&format!("{file} {}", case["id"]), kind, roc, &key, &wire, &plain);
            reproduces(&format!("{file} {}", case["id"]), case, kind, roc, &key, &wire, plain);
            count += 1;
        }
    }
    assert!(count >= 27, "only {count} cases");
}

fn opens(name: &str, kind: PacketKind, roc: Roc, key: &Arc<TrafficKey>, wire: &[u8], plain: &[u8]) {
    let ring = KeyRing::new(vec![Arc::clone(key)]).with_announced(vec![(Ssrc(0), roc)]);
    let mut receiver = Unprotector::new(StreamLimits::default());
    let mut bytes = wire.to_vec();
    let opened = receiver
        .unprotect(&mut Packet {
            session: SessionId(1),
            kind,
            source: 0,
            keys: &ring,
            bytes: &mut bytes,
        })
        .unwrap_or_else(|reject| panic!("{name}: {reject}"));
    assert_eq!(hex::encode(&bytes[..opened.len]), hex::encode(plain), "{name}");
}

fn reproduces(
    name: &str,
    case: &Value,
    kind: PacketKind,
    roc: Roc,
    key: &TrafficKey,
    wire: &[u8],
    plain: Vec<u8>,
) {
    let mut packet = plain;
    let mut sender = Protector::new();
    let ssrc = match kind {
        PacketKind::Rtp => &packet[8..12],
        PacketKind::Rtcp => &packet[4..8],
    };
    let ssrc = Ssrc(u32::from_be_bytes(ssrc.try_into().unwrap()));
    match kind {
        PacketKind::Rtp => {
            let seq = u16::from_be_bytes([packet[2], packet[3]]);
            sender.resume(ssrc, PacketIndex::new(roc, Seq(seq)));
            sender.protect_rtp(key, &mut packet).unwrap();
        }
        PacketKind::Rtcp => {
            let index = case["index"].as_u64().unwrap_or(0);
            sender.resume_rtcp(ssrc, u32::try_from(index).unwrap());
            sender.protect_rtcp(key, &mut packet).unwrap();
        }
    }
    assert_eq!(hex::encode(packet), hex::encode(wire), "{name}");
}
