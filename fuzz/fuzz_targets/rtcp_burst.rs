//! One RTCP datagram after authentication: a member of the group may still send anything.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mcast_srtp::{
    Reject,
    ids::Ssrc,
    wire::{
        burst::{BurstEvent, BurstPacket, NAME, Subtype, bursts},
        rtcp::{App, Compound, RtcpView},
    },
};

fuzz_target!(|datagram: &[u8]| {
    match Compound::parse(datagram) {
        Ok(compound) => {
            compound.packets().filter_map(|packet| packet.view().ok()).for_each(read_all);
            bursts(compound).filter_map(Result::ok).for_each(|burst| write_again(&burst));
        }
        Err(reject) => assert!(matches!(reject, Reject::BadRtcp | Reject::BadVersion)),
    }
    // The same octets as the data of a message, so that no length field has to be guessed first.
    if let Some((subtype, data)) = datagram.split_first() {
        let app = App { subtype: subtype & 0x1f, ssrc: Ssrc(1), name: NAME, data };
        match BurstPacket::parse(&app) {
            Ok(burst) => write_again(&burst),
            Err(reject) => assert!(matches!(reject, Reject::BadBurst | Reject::UnknownBurst)),
        }
    }
});

fn read_all(view: RtcpView<'_>) {
    match view {
        RtcpView::SenderReport(report) => assert!(report.blocks().len() < 32),
        RtcpView::ReceiverReport(report) => assert!(report.blocks().len() < 32),
        RtcpView::SourceDescription(sdes) => {
            for chunk in sdes.chunks() {
                chunk.items().for_each(|item| drop(item.text.to_string()));
            }
        }
        RtcpView::Bye(bye) => {
            assert!(bye.ssrcs().len() < 32);
            drop(bye.reason.map(|reason| reason.to_string()));
        }
        _ => {}
    }
}

fn write_again(burst: &BurstPacket<'_>) {
    assert_eq!(BurstEvent::try_from(burst.message).is_err(), burst.message.is_client_only());
    let mut out = vec![0; BurstPacket::MAX_LEN + 0x4_0000];
    let len = burst.write(&mut out).expect("it was read");
    assert_eq!(Subtype::peek(&out), Some(burst.message.subtype()));
    let again = bursts(Compound::parse(&out[..len]).expect("it was written"));
    let again = again.map(|again| again.expect("it was written")).next().expect("it was written");
    assert_eq!((again.sender, again.message), (burst.sender, burst.message));
    assert!(again.trailing.items().eq(burst.trailing.items()));
    assert_eq!(again.trailing.ignored(), 0);
}
