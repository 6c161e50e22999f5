//! One MIKEY message from the network, and decrypted key data, before anything is known about its sender.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mcast_srtp::{
    Reject,
    wire::mikey::{KeyDataChain, Message, Payload},
};

fuzz_target!(|octets: &[u8]| {
    match Message::parse(octets) {
        Ok(message) => read_all(&message, octets),
        Err(reject) => refused(reject),
    }
    match KeyDataChain::parse(octets) {
        Ok(chain) => {
            assert!(chain.iter().count() > 0);
            drop(format!("{chain:?}"));
        }
        Err(reject) => refused(reject),
    }
});

fn read_all(message: &Message<'_>, octets: &[u8]) {
    assert!(octets.starts_with(message.without_mac()));
    let policies = message.payloads().filter(|payload| matches!(payload, Payload::Policy(_)));
    assert_eq!(policies.count(), message.policies().count());
    // Whatever a message holds, it can be shown.
    for payload in message.payloads() {
        drop(format!("{payload:?}"));
    }
    drop(format!("{message:?}"));
}

fn refused(reject: Reject) {
    assert!(matches!(reject, Reject::MikeyMalformed | Reject::MikeyUnsupported), "{reject}");
}
