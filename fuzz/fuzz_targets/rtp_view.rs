//! One datagram from the network, before and after authentication.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mcast_srtp::{
    Reject,
    ids::Ssrc,
    wire::{
        classify::{Class, classify},
        rtp::{RtpView, RtpWriter, header_len},
    },
};

fuzz_target!(|datagram: &[u8]| {
    let class = classify(datagram);
    let view = match RtpView::parse(datagram) {
        Ok(view) => view,
        Err(reject) => {
            assert!(matches!(reject, Reject::Truncated | Reject::BadVersion));
            assert_eq!(header_len(datagram), Err(reject));
            return;
        }
    };
    assert!(matches!(class, Class::Rtp | Class::Rtcp));
    assert_eq!(header_len(datagram), Ok(view.header_len()));
    assert_eq!(view.header_len() + view.payload().len(), datagram.len());

    let csrcs: Vec<Ssrc> = view.csrcs().collect();
    let mut writer = RtpWriter::new(view.payload_type(), view.seq(), view.timestamp(), view.ssrc())
        .marker(view.marker())
        .csrcs(&csrcs);
    if let Some(extension) = view.extension() {
        writer = writer.extension(extension);
    }
    let mut out = vec![0; datagram.len()];
    match view.unpadded_payload() {
        Ok(payload) => {
            let padding = view.payload().len() - payload.len();
            writer = writer.padding(padding.try_into().expect("the count is one octet"));
            assert_eq!(writer.write(payload, &mut out).expect("it was read"), datagram.len());
            let unpadded = view.header_len() + payload.len();
            assert_eq!(out[..unpadded], datagram[..unpadded]);
            assert_eq!(out.last(), datagram.last());
        }
        Err(reject) => assert_eq!(reject, Reject::BadPadding),
    }
});
