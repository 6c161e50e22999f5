//! The system's libsrtp as sender and as receiver: what goes over the wire is what the rest of the
//! world sends.

mod interop;

use interop::{MKI, Ours, SSRC, setup};
use peers::{Absent, LibSrtp, Peer, Refused, Setup, Suite};

/// Suites that this libsrtp has: all, or all but AES-192 where it derives keys against RFC 6188.
fn suites() -> impl Iterator<Item = Suite> {
    Suite::ALL.into_iter().filter(|suite| match libsrtp(&setup(*suite, MKI)) {
        Ok(_) => true,
        Err(why) => {
            assert!(suite.key_len() == 24 && why.to_string().contains("RFC 6188"), "{why}");
            false
        }
    })
}

fn libsrtp(setup: &Setup) -> Result<Box<dyn Peer>, Refused> {
    Ok(Box::new(LibSrtp::new(setup)?))
}

#[test]
fn libsrtp_client_hears_us_and_we_hear_it_across_a_sequence_wrap() {
    if Absent::present_or_said("media with libsrtp") {
        for suite in suites() {
            interop::media_passes(&setup(suite, MKI), libsrtp);
            interop::media_passes(&setup(suite, &[]), libsrtp);
        }
    }
}

#[test]
fn burst_control_passes_between_libsrtp_and_us() {
    if Absent::present_or_said("burst control with libsrtp") {
        for suite in suites() {
            interop::control_passes(&setup(suite, MKI), libsrtp);
            interop::control_passes(&setup(suite, &[]), libsrtp);
        }
    }
}

#[test]
fn unencrypted_control_of_libsrtp_is_authenticated_all_the_same() {
    if Absent::present_or_said("SRTCP with E=0 with libsrtp") {
        for suite in suites() {
            let setup = Setup { encrypt_srtcp: false, ..setup(suite, MKI) };
            for (mut from, mut to) in interop::both_ways(&setup, libsrtp) {
                let mut packet = from.protect_rtcp(&interop::compound()).unwrap();
                assert_eq!(packet[..interop::compound().len()], interop::compound(), "{suite}");
                assert_eq!(to.unprotect_rtcp(&packet), Ok(interop::compound()), "{suite}");
                let mut next = from.protect_rtcp(&interop::compound()).unwrap();
                next[20] ^= 1;
                packet[20] ^= 1;
                assert_eq!(to.unprotect_rtcp(&next), Err(Refused::Auth), "{suite}");
            }
        }
    }
}

#[test]
fn traffic_key_changes_while_the_sequence_number_wraps() {
    if Absent::present_or_said("key change with libsrtp") {
        for suite in suites() {
            let wrap = [0xfffd, 0xfffe, 0, 0xffff, 1];
            interop::key_change_passes(&setup(suite, MKI), libsrtp, wrap);
        }
    }
}

#[test]
fn late_joiner_continues_at_the_announced_rollover_counter() {
    if Absent::present_or_said("late join with libsrtp") {
        for suite in suites() {
            interop::late_join_passes(&setup(suite, MKI), libsrtp);
        }
    }
}

#[test]
fn libsrtp_and_we_refuse_the_same_forgeries() {
    if Absent::present_or_said("forgeries with libsrtp") {
        for suite in suites() {
            interop::forgeries_are_refused_alike(&setup(suite, MKI), libsrtp);
            interop::forgeries_are_refused_alike(&setup(suite, &[]), libsrtp);
        }
    }
}

#[test]
fn late_doubled_and_disordered_packets_meet_the_same_verdict() {
    if !Absent::present_or_said("replay verdicts with libsrtp") {
        return;
    }
    for suite in [Suite::AesCm128Sha1_80, Suite::AesGcm128] {
        let setup = setup(suite, MKI);
        let mut sender = LibSrtp::new(&setup).unwrap();
        let packets: Vec<_> = (0xff00..=0xffff)
            .chain(0..0x100)
            .map(|seq| sender.protect_rtp(&interop::rtp(seq, 20)).unwrap())
            .collect();
        let (mut ours, mut theirs) = (Ours::new(&setup), LibSrtp::new(&setup).unwrap());
        let (mut accepted, mut at, mut state) = (0, 0_usize, 1_u32);
        for step in 0..4000 {
            // Numerical Recipes' generator: jumps of up to 200 back and 15 on, over the wrap.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let jump = (state >> 24) as usize;
            at = if jump < 200 && step % 3 == 0 { at.saturating_sub(jump) } else { at + jump % 16 };
            let packet = &packets[at % packets.len()];
            let verdict = ours.unprotect_rtp(packet);
            assert_eq!(verdict, theirs.unprotect_rtp(packet), "{suite}, step {step}, packet {at}");
            accepted += usize::from(verdict.is_ok());
        }
        assert!((100..=packets.len()).contains(&accepted), "{accepted}");
    }
}

#[test]
fn another_stream_of_the_group_is_a_stream_of_its_own() {
    if !Absent::present_or_said("two streams with libsrtp") {
        return;
    }
    let setup = setup(Suite::AesCm128Sha1_80, MKI);
    let (mut ours, mut theirs) = (Ours::new(&setup), LibSrtp::new(&setup).unwrap());
    theirs.add_ssrc(SSRC + 1).unwrap();
    for seq in 1..4 {
        let (first, mut second) = (interop::rtp(seq, 20), interop::rtp(seq, 20));
        second[8..12].copy_from_slice(&(SSRC + 1).to_be_bytes());
        for plain in [first, second] {
            let protected = theirs.protect_rtp(&plain).unwrap();
            assert_eq!(ours.unprotect_rtp(&protected), Ok(plain));
        }
    }
}
