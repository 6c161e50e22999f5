//! libsrtp and webrtc-srtp against each other: the bindings, the MKI and the walk to a rollover
//! counter are right before anything else is measured by them.

use peers::{Absent, Implementation, MasterKey, Peer, Refused, Setup, Suite};

const SSRC: u32 = 0xcafe_babe;
const MKI: &[u8] = &[0, 0x12, 0, 3, 0, 7];

/// The suites that both have.
const SHARED: [Suite; 6] = [
    Suite::AesCm128Sha1_80,
    Suite::AesCm128Sha1_32,
    Suite::AesCm256Sha1_80,
    Suite::AesCm256Sha1_32,
    Suite::AesGcm128,
    Suite::AesGcm256,
];

#[test]
fn each_opens_what_the_other_protects_across_a_sequence_wrap() {
    if !Absent::present_or_said("each_opens_what_the_other_protects_across_a_sequence_wrap") {
        return;
    }
    for (suite, mki) in SHARED.into_iter().flat_map(|suite| [(suite, MKI), (suite, &[])]) {
        for (mut from, mut to) in both_ways(&setup(suite, mki)) {
            for seq in [0xfffe, 0xffff, 0, 1] {
                let plain = rtp(seq, 160);
                let protected = from.protect_rtp(&plain).unwrap();
                assert_eq!(to.unprotect_rtp(&protected), Ok(plain), "{suite} {seq}");
                assert_eq!(to.unprotect_rtp(&protected), Err(Refused::Replay), "{suite} {seq}");
            }
            let protected = from.protect_rtcp(&RECEIVER_REPORT).unwrap();
            assert_eq!(to.unprotect_rtcp(&protected), Ok(RECEIVER_REPORT.to_vec()), "{suite}");
        }
    }
}

#[test]
fn key_change_in_mid_stream_is_followed_by_mki() {
    if !Absent::present_or_said("key_change_in_mid_stream_is_followed_by_mki") {
        return;
    }
    for suite in SHARED {
        let mut setup = setup(suite, MKI);
        setup.keys.push(MasterKey {
            key: vec![0x5a; suite.key_len()],
            salt: vec![0xa5; suite.salt_len()],
            mki: vec![0, 0x12, 0, 3, 0, 8],
        });
        for (mut from, mut to) in both_ways(&setup) {
            for (seq, place) in [(1, 0), (2, 1), (3, 0), (4, 1)] {
                from.use_key(place).unwrap();
                let plain = rtp(seq, 20);
                let protected = from.protect_rtp(&plain).unwrap();
                let tag_at = protected.len() - suite.srtp_tag_len();
                assert!(protected[..tag_at].ends_with(&setup.keys[place].mki), "{suite}");
                assert_eq!(to.unprotect_rtp(&protected), Ok(plain), "{suite} {seq}");
            }
        }
    }
}

#[test]
fn a_stream_can_start_at_any_rollover_counter() {
    if !Absent::present_or_said("a_stream_can_start_at_any_rollover_counter") {
        return;
    }
    for (roc, seq) in [(1, 0), (1, 0xffff), (77, 0x8000), (1000, 12)] {
        let setup = Setup { roc, ..setup(Suite::AesGcm128, MKI) };
        for (mut from, mut to) in both_ways(&setup) {
            let protected = from.protect_rtp(&rtp(seq, 20)).unwrap();
            assert_eq!(to.unprotect_rtp(&protected), Ok(rtp(seq, 20)), "{roc} {seq}");
        }
    }
}

#[test]
fn forged_foreign_and_short_packets_are_refused_by_name() {
    let implementations = match Absent::present_or_said("libsrtp's part of the refusals") {
        true => vec![Implementation::LibSrtp, Implementation::WebrtcSrtp],
        false => vec![Implementation::WebrtcSrtp],
    };
    for suite in SHARED {
        for implementation in &implementations {
            let mut peer = implementation.peer(&setup(suite, MKI)).unwrap();
            let mut packet = peer.protect_rtp(&rtp(1, 20)).unwrap();
            let tag_at = packet.len() - suite.srtp_tag_len();

            packet[14] ^= 1;
            assert_eq!(peer.unprotect_rtp(&packet), Err(Refused::Auth), "{suite}");
            packet[14] ^= 1;
            packet[tag_at - 1] ^= 1;
            assert_eq!(peer.unprotect_rtp(&packet), Err(Refused::UnknownMki), "{suite}");
            packet[tag_at - 1] ^= 1;
            assert!(peer.unprotect_rtp(&packet).is_ok());

            let control = peer.protect_rtcp(&RECEIVER_REPORT).unwrap();
            for len in 0..control.len() {
                assert!(peer.unprotect_rtcp(&control[..len]).is_err(), "{suite} {len}");
            }
        }
    }
}

const RECEIVER_REPORT: [u8; 8] = [0x80, 201, 0, 1, 0xca, 0xfe, 0xba, 0xbe];

fn setup(suite: Suite, mki: &[u8]) -> Setup {
    let (key, salt) = (vec![0x3c; suite.key_len()], vec![0xc3; suite.salt_len()]);
    Setup::new(suite, &key, &salt, mki, SSRC)
}

/// Sender and receiver, once each way.
fn both_ways(setup: &Setup) -> [(Box<dyn Peer>, Box<dyn Peer>); 2] {
    let (libsrtp, webrtc) = (Implementation::LibSrtp, Implementation::WebrtcSrtp);
    [(libsrtp, webrtc), (webrtc, libsrtp)]
        .map(|(from, to)| (from.peer(setup).unwrap(), to.peer(setup).unwrap()))
}

/// An RTP packet of payload type 97 with a marker on its first octets.
fn rtp(seq: u16, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 97];
    packet.extend(seq.to_be_bytes());
    packet.extend([0, 0, 0, 160]);
    packet.extend(SSRC.to_be_bytes());
    packet.extend((0..payload).map(|i| (i % 251) as u8));
    packet
}
