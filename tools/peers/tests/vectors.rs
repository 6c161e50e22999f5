//! Whole packets, from master key to wire: what libsrtp publishes, and what an independent model
//! computed for six-octet MKIs, rollover counter edges and SRTCP.

use peers::{Absent, Implementation, Setup, Suite};
use serde_json::Value;

#[test]
fn libsrtp_opens_and_makes_the_packets_of_the_vectors() {
    if !Absent::present_or_said("libsrtp_opens_and_makes_the_packets_of_the_vectors") {
        return;
    }
    // Its sender starts at SRTCP index 1 and cannot be set to the last. AES-192 depends on the
    // version (see `LibSrtp::new`).
    assert!(matches!(opened_and_made(Implementation::LibSrtp), (22, 20) | (23, 21)));
}

#[test]
fn webrtc_opens_and_makes_the_packets_it_has_a_suite_for() {
    // No NULL, no AES-192, no SRTCP with E=0, and a rollover counter of 2^32 - 1 is too far to walk.
    assert_eq!(opened_and_made(Implementation::WebrtcSrtp), (18, 16));
}

/// How many packets the implementation opened and how many it made; the others it has no means for.
fn opened_and_made(implementation: Implementation) -> (usize, usize) {
    let (mut opened, mut made) = (0, 0);
    for case in cases() {
        let Ok(mut receiver) = implementation.peer(&case.setup) else { continue };
        let plain = match case.kind {
            Kind::Rtp => receiver.unprotect_rtp(&case.protected),
            Kind::Rtcp { .. } => receiver.unprotect_rtcp(&case.protected),
        };
        assert_eq!(plain.as_ref(), Ok(&case.plain), "{implementation:?} opens {}", case.id);
        opened += 1;

        let setup = match case.kind {
            Kind::Rtp => case.setup,
            Kind::Rtcp { index: 1..1000 } => case.setup,
            Kind::Rtcp { .. } => continue,
        };
        let mut sender = implementation.peer(&setup).unwrap();
        let protected = match case.kind {
            Kind::Rtp => sender.protect_rtp(&case.plain),
            Kind::Rtcp { .. } => sender.protect_rtcp(&case.plain),
        };
        assert_eq!(protected.as_ref(), Ok(&case.protected), "{implementation:?} makes {}", case.id);
        made += 1;
    }
    (opened, made)
}

/// One packet of a vector file.
struct Case {
    id: String,
    setup: Setup,
    kind: Kind,
    plain: Vec<u8>,
    protected: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Kind {
    Rtp,
    Rtcp { index: u32 },
}

fn cases() -> Vec<Case> {
    [
        include_str!("../../../tests/vectors/libsrtp-reference-packets.json"),
        include_str!("../../../tests/vectors/computed-mki-roc-index.json"),
    ]
    .into_iter()
    .flat_map(|text| {
        let file: Value = serde_json::from_str(text).unwrap();
        file["cases"].as_array().unwrap().iter().filter_map(case).collect::<Vec<_>>()
    })
    .collect()
}

/// Reads a case; `None` for the one without authentication, which is no suite.
fn case(json: &Value) -> Option<Case> {
    let bytes = |name: &str| hex::decode(json[name].as_str().unwrap_or_default()).unwrap();
    let number = |name: &str| u32::try_from(json[name].as_u64().unwrap_or_default()).unwrap();
    if json["auth"] == false {
        return None;
    }
    let (key, salt) = (bytes("master_key"), bytes("master_salt"));
    let suite = match (key.len(), salt.len(), json["tag_len"].as_u64()) {
        (16, 14, None) if json["encrypt"] == false => Suite::NullSha1_80,
        (16, 14, None) => Suite::AesCm128Sha1_80,
        (16, 14, Some(4)) => Suite::AesCm128Sha1_32,
        (24, 14, None) => Suite::AesCm192Sha1_80,
        (32, 14, None) => Suite::AesCm256Sha1_80,
        (16, 12, None) => Suite::AesGcm128,
        other => panic!("no suite has {other:?}"),
    };
    let rtcp = json["rtcp"].is_string();
    let (plain, protected) = if rtcp { ("rtcp", "srtcp") } else { ("rtp", "srtp") };
    let plain = bytes(plain);
    let ssrc = if rtcp { &plain[4..8] } else { &plain[8..12] };
    let ssrc = u32::from_be_bytes(ssrc.try_into().unwrap());
    let mut setup = Setup::new(suite, &key, &salt, &bytes("mki"), ssrc);
    let kind = if rtcp {
        setup.srtcp_sent = number("index").saturating_sub(1).min(1000);
        setup.encrypt_srtcp = json["e"] == 1;
        Kind::Rtcp { index: number("index") }
    } else {
        setup.roc = number("roc");
        Kind::Rtp
    };
    let id = json["id"].as_str().unwrap().to_owned();
    Some(Case { id, setup, kind, plain, protected: bytes(protected) })
}
