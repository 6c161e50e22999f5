//! Arbitrary octets as a channel document: what is read is written again, and that is read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mcast_srtp::service::document::{from_json, to_json};

fuzz_target!(|json: &[u8]| {
    let Ok(document) = from_json(json) else { return };
    let written = to_json(&document).unwrap();
    let again = to_json(&from_json(&written).unwrap()).unwrap();
    assert_eq!(written, again);
});
