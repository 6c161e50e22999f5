//! `webrtc-srtp` as sender and as receiver, its MKI put in and taken out by hand: a second opinion
//! that needs no system library.

mod interop;

use interop::{MKI, setup};
use peers::{Peer, Refused, Setup, Suite, WebrtcSrtp};

/// It has no NULL cipher and no AES-192.
const SUITES: [Suite; 6] = [
    Suite::AesCm128Sha1_80,
    Suite::AesCm128Sha1_32,
    Suite::AesCm256Sha1_80,
    Suite::AesCm256Sha1_32,
    Suite::AesGcm128,
    Suite::AesGcm256,
];

fn webrtc(setup: &Setup) -> Result<Box<dyn Peer>, Refused> {
    Ok(Box::new(WebrtcSrtp::new(setup)?))
}

#[test]
fn webrtc_client_hears_us_and_we_hear_it_across_a_sequence_wrap() {
    for suite in SUITES {
        interop::media_passes(&setup(suite, MKI), webrtc);
        interop::media_passes(&setup(suite, &[]), webrtc);
    }
}

#[test]
fn burst_control_passes_between_webrtc_and_us() {
    for suite in SUITES {
        interop::control_passes(&setup(suite, MKI), webrtc);
        interop::control_passes(&setup(suite, &[]), webrtc);
    }
}

#[test]
fn traffic_key_changes_in_mid_stream() {
    for suite in SUITES {
        interop::key_change_passes(&setup(suite, MKI), webrtc, [1, 2, 4, 3, 5]);
    }
}

#[test]
fn late_joiner_continues_at_the_announced_rollover_counter() {
    for suite in SUITES {
        interop::late_join_passes(&setup(suite, MKI), webrtc);
    }
}

#[test]
fn webrtc_and_we_refuse_the_same_forgeries() {
    for suite in SUITES {
        interop::forgeries_are_refused_alike(&setup(suite, MKI), webrtc);
        interop::forgeries_are_refused_alike(&setup(suite, &[]), webrtc);
    }
}
