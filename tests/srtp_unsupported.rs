//! Published packets under extensions of SRTP that are not supported: nothing garbled is delivered,
//! and the counters say why.

use std::{sync::Arc, time::Instant};

use mcast_srtp::{
    Reject,
    group::{GroupSpec, Interface, MediaSpec},
    ids::Mki,
    rx::{Datagram, Event, GroupStats, Receiver},
    srtp::{Profile, TrafficKey},
};
use serde_json::Value;

fn octets(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap_or_default()).unwrap()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What a receiver with this key delivers of one packet, and its counters.
fn receive(key: &Value, profile: Profile, mki: &[u8], wire: &Value) -> (Vec<Vec<u8>>, GroupStats) {
    let profile = profile.with_mki_len(u8::try_from(mki.len()).unwrap());
    let salt = octets(&key["master_salt"]);
    let salt = &salt[..salt.len().min(profile.cipher.salt_len())];
    let mki = Mki::new(mki).unwrap();
    let key = TrafficKey::new(mki, profile, &octets(&key["master_key"]), salt).unwrap();

    let mut receiver = Receiver::default();
    let media = MediaSpec::rtp("239.1.1.1".parse().unwrap(), 5004);
    let ports = receiver.add_group(&GroupSpec::new("g", Interface::Any).with_media(media)).unwrap();
    receiver.plane_mut().insert_fixed(ports.group, Arc::new(key)).unwrap();
    receiver.plane_mut().publish();

    let (mut bytes, mut delivered) = (octets(wire), Vec::new());
    let source = ([192, 0, 2, 1], 5004).into();
    let port = ports.sockets[0].1;
    let datagram = Datagram { port, source, truncated: false, bytes: &mut bytes };
    receiver.run_batch(&mut [datagram], Instant::now(), &mut |event: Event<'_>| {
        if let Event::Media(media) = event {
            delivered.push(media.packet.to_vec());
        }
    });
    (delivered, receiver.stats(ports.group).unwrap())
}

#[test]
fn cryptex_packets_are_refused_not_handed_to_a_decoder() {
    let file = parse(include_str!("vectors/rfc9335-cryptex.json"));
    for case in file["cases"].as_array().unwrap() {
        let (suite, profile, why) = match case["type"].as_str().unwrap() {
            "cryptex-cm" => ("cm", Profile::default(), Reject::Unsupported),
            // Here what is authenticated differs as well.
            _ => ("gcm", Profile::AEAD_AES_128_GCM, Reject::AuthFailed),
        };
        let (delivered, stats) = receive(&file[suite], profile, &[], &case["srtp"]);
        assert!(delivered.is_empty(), "{}", case["id"]);
        assert_eq!((stats.media, stats.rejects.count(why)), (0, 1), "{}", case["id"]);
    }
}

#[test]
fn encrypted_extension_elements_stay_as_they_came_and_the_payload_opens() {
    let file = parse(include_str!("vectors/rfc6904-header-extension.json"));
    for case in file["cases"].as_array().unwrap() {
        let profile = match case["type"].as_str().unwrap() {
            "srtp-6904-cm" => Profile::default(),
            _ => Profile::AEAD_AES_128_GCM,
        };
        let (delivered, _) = receive(&file, profile, &[], &case["srtp"]);
        let [packet] = &delivered[..] else { panic!("{}: not delivered", case["id"]) };
        let (wire, plain) = (octets(&case["srtp"]), octets(&file["rtp"]));
        // Fixed header, then the extension of 4 + 24 octets.
        assert_eq!(packet[..40], wire[..40], "{}", case["id"]);
        assert_eq!(packet[40..], plain[40..], "{}", case["id"]);
    }
}

#[test]
fn packets_that_carry_the_rollover_counter_are_not_taken_for_others() {
    let file = parse(include_str!("vectors/computed-rcc.json"));
    for case in file["cases"].as_array().unwrap() {
        let suites = match case["master_key"].as_str().unwrap().len() {
            32 if case["id"].as_str().unwrap().contains("GCM") => vec![Profile::AEAD_AES_128_GCM],
            _ => vec![Profile::AES_CM_128_HMAC_SHA1_80, Profile::AES_CM_128_HMAC_SHA1_32],
        };
        for profile in suites {
            let (delivered, stats) = receive(case, profile, &octets(&case["mki"]), &case["srtp"]);
            assert!(delivered.is_empty(), "{} as {profile}", case["id"]);
            let counted = stats.held + stats.rejects.total();
            assert_eq!((stats.media, counted), (0, 1), "{} as {profile}", case["id"]);
        }
    }
}
