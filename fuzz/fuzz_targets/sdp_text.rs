//! A session description from anywhere: reading never panics, and what was understood of it survives being
//! written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mcast_srtp::{
    group::{GroupSpec, Interface},
    wire::sdp::Origin,
};

fuzz_target!(|octets: &[u8]| {
    let text = String::from_utf8_lossy(octets);
    let Ok(spec) = GroupSpec::from_sdp(&text, Interface::Any) else { return };
    let Ok(places) = places(&spec) else { return };
    let Ok(written) = spec.to_sdp(origin()) else { return };
    let again = GroupSpec::from_sdp(&written, Interface::Any).expect("it was written");
    assert_eq!(self::places(&again).expect("they were sockets"), places, "{written}");
    assert_eq!(again.key_messages, spec.key_messages, "{written}");
    assert_eq!(again.profile, spec.profile, "{written}");
    assert_eq!(again.to_sdp(origin()).expect("it was written"), written);
});

/// What a gateway would open, in an order of its own.
fn places(spec: &GroupSpec) -> Result<Vec<String>, mcast_srtp::Error> {
    let sockets = spec.sockets()?;
    let mut places: Vec<_> = sockets
        .iter()
        .map(|s| format!("{} {} {:?} {:?}", s.group, s.port, s.carries, s.sources))
        .collect();
    places.sort();
    Ok(places)
}

fn origin() -> Origin {
    Origin::new(1, "192.0.2.10".parse().expect("an address"))
}
