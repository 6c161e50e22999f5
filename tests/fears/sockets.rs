//! What a test on loopback sockets needs: addresses nobody uses, senders, and patience.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use mcast_srtp::{
    group::{GroupSpec, Interface, MediaSpec, RtcpPlace},
    net::{SendOptions, SendSocket},
};

/// A port that nobody uses.
pub(crate) fn free_port() -> u16 {
    UdpSocket::bind("[::]:0").unwrap().local_addr().unwrap().port()
}

/// A group on the loopback interface: media, burst control and keys on one port.
pub(crate) fn spec(group: SocketAddr) -> GroupSpec {
    spec_of(MediaSpec::rtp(group.ip(), group.port()))
}

/// The same for a medium with a source filter.
pub(crate) fn spec_of(media: MediaSpec) -> GroupSpec {
    let name = format!("{} port {}", media.group, media.port);
    let burst = MediaSpec::burst(media.group, media.port).with_sources(media.sources.clone());
    GroupSpec::new(name, Interface::name("lo"))
        .with_media(media.with_rtcp(RtcpPlace::Mux))
        .with_media(burst)
        .with_mikey_port(None)
}

/// A socket that sends out of the loopback interface, from this address if it is given.
pub(crate) fn sender(group: IpAddr, from: Option<IpAddr>) -> SendSocket {
    let options = SendOptions::default();
    let options = match from {
        Some(from) => options.with_source(SocketAddr::new(from, 0)),
        None => options,
    };
    SendSocket::open(group, &Interface::name("lo"), &options).unwrap()
}

/// Waits for something that other threads do.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
