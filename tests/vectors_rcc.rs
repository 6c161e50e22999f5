//! The ROC-carrying transform (RFC 4771), octet by octet: computed packets, and packets that
//! `webrtc-srtp` protected and that got the rollover counter by hand.

use std::sync::Arc;

use mcast_srtp::{
    Reject,
    ids::{Mki, PacketIndex, Roc, Seq, Ssrc},
    srtp::{
        KeyRing, Packet, PacketKind, Profile, Protector, Rcc, RccMode, SessionId, StreamLimits,
        TrafficKey, Unprotector, Verdict,
    },
};
use peers::{Peer, Setup, Suite, WebrtcSrtp};
use serde_json::Value;

fn octets(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn number<T: TryFrom<u64>>(value: &Value) -> Option<T> {
    value.as_u64().and_then(|value| value.try_into().ok())
}

/// What a receiver makes of a packet, and the plain one.
fn open(receiver: &mut Unprotector, keys: &KeyRing, wire: &[u8]) -> (Verdict, Vec<u8>) {
    let (session, mut bytes) = (SessionId(1), wire.to_vec());
    let verdict = receiver.unprotect(&mut Packet {
        session,
        kind: PacketKind::Rtp,
        source: 0,
        keys,
        bytes: &mut bytes,
    });
    bytes.truncate(verdict.map_or(0, |opened| opened.len));
    (verdict, bytes)
}

fn protect(key: &TrafficKey, roc: u32, plain: &[u8]) -> Vec<u8> {
    let mut packet = plain.to_vec();
    let seq = Seq(u16::from_be_bytes([plain[2], plain[3]]));
    let ssrc = Ssrc(u32::from_be_bytes(*plain[8..].first_chunk().unwrap()));
    let mut sender = Protector::new();
    sender.resume(ssrc, PacketIndex::new(Roc(roc), seq));
    sender.protect_rtp(key, &mut packet).unwrap();
    packet
}

#[test]
fn every_computed_packet_opens_and_is_reproduced() {
    let file: Value = serde_json::from_str(include_str!("vectors/computed-rcc.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 7);
    for case in cases {
        let name = case["id"].as_str().unwrap();
        let mode = match case["rcc"].as_str().unwrap() {
            "m1" => RccMode::M1,
            "m2" => RccMode::M2,
            _ => RccMode::M3,
        };
        let base = match case["type"].as_str().unwrap() {
            "gcm-srtp-master" => Profile::AEAD_AES_128_GCM,
            _ => Profile::AES_CM_128_HMAC_SHA1_80,
        };
        let profile = base.with_rcc(Rcc { mode, rate: number(&case["rcc_rate"]).unwrap_or(64) });
        assert_eq!(profile.srtp_tag_len, number(&case["tag_len"]).unwrap_or(4), "{name}");
        let (mki, salt) = (octets(&case["mki"]), octets(&case["master_salt"]));
        let mki = Mki::new(&mki).unwrap();
        let key = TrafficKey::new(mki, profile, &octets(&case["master_key"]), &salt).unwrap();
        let (plain, wire) = (octets(&case["rtp"]), octets(&case["srtp"]));
        let roc: u32 = number(&case["roc"]).unwrap();
        assert_eq!(hex::encode(protect(&key, roc, &plain)), hex::encode(&wire), "{name}");

        let keys = KeyRing::new(vec![Arc::new(key)]);
        let mut receiver = Unprotector::new(StreamLimits::default());
        let seq = u16::from_be_bytes([plain[2], plain[3]]);
        if !seq.is_multiple_of(64) {
            // No announcement: a packet before it tells the rollover counter.
            let mut first = plain.clone();
            first[3] -= 1;
            let (verdict, _) = open(&mut receiver, &keys, &protect(&keys.keys()[0], roc, &first));
            assert!(verdict.is_ok_and(|opened| opened.new_stream), "{name}: {verdict:?}");
        }
        let (verdict, opened) = open(&mut receiver, &keys, &wire);
        assert_eq!(hex::encode(opened), hex::encode(plain), "{name}: {verdict:?}");
        let opened = verdict.unwrap();
        assert_eq!(opened.index, PacketIndex::new(Roc(roc), Seq(seq)), "{name}");
        let proven = match mode {
            RccMode::M1 => seq == 64,
            RccMode::M2 => true,
            RccMode::M3 => base.cipher.is_aead(),
        };
        assert_eq!(opened.authenticated, proven, "{name}");
        if proven {
            for bit in 96..8 * wire.len() {
                let mut damaged = wire.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let (verdict, _) =
                    open(&mut Unprotector::new(StreamLimits::default()), &keys, &damaged);
                let expected = [Err(Reject::AuthFailed), Err(Reject::UnknownMki)];
                assert!(expected.contains(&verdict), "{name}, bit {bit}: {verdict:?}");
            }
        }
    }
}

const SSRC: u32 = 0xcafe_babe;
const MKI: &[u8] = &[0, 0x12, 0, 3, 0, 7];

fn rtp(seq: u16, len: u8) -> Vec<u8> {
    let [high, low] = seq.to_be_bytes();
    let mut packet = vec![0x80, 97, high, low, 0, 0, 0, 160];
    packet.extend(SSRC.to_be_bytes());
    packet.extend(0..len);
    packet
}

#[test]
fn another_implementation_and_the_rollover_counter_by_hand_make_the_same_packets() {
    for (suite, mode, rate) in [
        (Suite::AesGcm128, RccMode::M3, 1),
        (Suite::AesGcm128, RccMode::M3, 3),
        (Suite::AesGcm256, RccMode::M3, 64),
        (Suite::AesCm128Sha1_80, RccMode::M1, 1),
        (Suite::AesCm128Sha1_80, RccMode::M2, 1),
        (Suite::AesCm256Sha1_80, RccMode::M1, 5),
        (Suite::AesCm128Sha1_32, RccMode::M2, 2),
    ] {
        let (key, salt) = (vec![0x5a; suite.key_len()], vec![0xa5; suite.salt_len()]);
        let roc = 300;
        let setup = Setup { roc, ..Setup::new(suite, &key, &salt, MKI, SSRC) };
        let mut theirs = WebrtcSrtp::new(&setup).unwrap();
        let profile = Profile::from_name(suite.name()).unwrap().with_rcc(Rcc { mode, rate });
        let key = TrafficKey::new(Mki::new(MKI).unwrap(), profile, &key, &salt).unwrap();
        let keys = KeyRing::new(vec![Arc::new(key)]);
        let mut receiver = Unprotector::new(StreamLimits::default());
        for (seq, len) in (0xfffa..=0xffff).chain(0..6).zip([0, 1, 15, 16, 17, 160].repeat(2)) {
            let roc = if seq < 0x8000 { roc + 1 } else { roc };
            let plain = rtp(seq, len);
            let mut packet = theirs.protect_rtp(&plain).unwrap();
            let mac_at = packet.len() - suite.srtp_tag_len();
            let carries = seq % rate == 0;
            let ours = protect(&keys.keys()[0], roc, &plain);
            let case = format!("{suite} {mode:?}:{rate} {seq}");
            match (carries, mode) {
                (true, _) => drop(packet.splice(mac_at..mac_at, roc.to_be_bytes())),
                // The longer MAC begins like the shorter one.
                (false, RccMode::M2) => packet.extend(&ours[packet.len()..]),
                (false, _) => packet.truncate(mac_at),
            }
            assert_eq!(hex::encode(&ours), hex::encode(&packet), "{case}");
            let (verdict, opened) = open(&mut receiver, &keys, &packet);
            match verdict {
                Err(reject) => {
                    // The first that carries the counter tells it; none is announced.
                    let known = (0xfffa..=seq).any(|seq| seq % rate == 0);
                    assert!(!known, "{case}: {reject}");
                    let expected = match mode {
                        RccMode::M1 => &[Reject::Unsynchronized][..],
                        // Tried, within the budget.
                        _ => &[Reject::AuthFailed, Reject::TrialLimit],
                    };
                    assert!(expected.contains(&reject), "{case}: {reject}");
                }
                Ok(_) => assert_eq!(opened, plain, "{case}"),
            }
        }
        assert_eq!(receiver.streams(), 1);
    }
}
