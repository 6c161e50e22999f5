//! The multicast group of the demo, on the loopback interface.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mcast_srtp::{
    group::{GroupSpec, Interface, MediaSpec, RtcpPlace},
    net::{SendOptions, SendSocket},
};

use crate::exit::Failure;

/// Ports of media and burst control; key messages have their own by standard.
const MEDIA_PORT: u16 = 20_170;
const BURST_PORT: u16 = 20_172;

/// Where the broadcaster sends.
#[derive(Debug)]
pub(super) struct Air {
    address: IpAddr,
    socket: SendSocket,
}

impl Air {
    /// A group address that another demo on this host is unlikely to use.
    ///
    /// # Errors
    /// The system refuses a socket, or gives no randomness.
    pub(super) fn open() -> Result<Self, Failure> {
        let mut drawn = [0; 2];
        getrandom::fill(&mut drawn).map_err(Failure::failed)?;
        // RFC 2365: 239.255/16 never leaves the site; this never leaves the host.
        let address = IpAddr::from([239, 255, drawn[0], drawn[1].max(1)]);
        let socket = SendSocket::open(address, &loopback(), &SendOptions::default())?;
        Ok(Self { address, socket })
    }

    /// The group as its clients have it described.
    pub(super) fn group(&self, payload_type: u8) -> GroupSpec {
        let media = MediaSpec::rtp(self.address, MEDIA_PORT)
            .with_rtcp(RtcpPlace::None)
            .with_payload_types(&[payload_type]);
        GroupSpec::new("demo", loopback())
            .with_media(media)
            .with_media(MediaSpec::burst(self.address, BURST_PORT))
    }

    /// Sends a protected media packet.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn media(&self, packet: &[u8]) -> Result<(), Failure> {
        self.send(packet, MEDIA_PORT)
    }

    /// Sends a protected burst-control message.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn burst(&self, packet: &[u8]) -> Result<(), Failure> {
        self.send(packet, BURST_PORT)
    }

    /// Sends an MTK message.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn key_message(&self, message: &[u8]) -> Result<(), Failure> {
        self.send(message, GroupSpec::MIKEY_PORT)
    }

    fn send(&self, datagram: &[u8], port: u16) -> Result<(), Failure> {
        Ok(self.socket.send(datagram, SocketAddr::new(self.address, port))?)
    }
}

impl std::fmt::Display for Air {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} on loopback: media {MEDIA_PORT}, burst control {BURST_PORT}, keys {}",
            self.address,
            GroupSpec::MIKEY_PORT
        )
    }
}

fn loopback() -> Interface {
    Interface::Addr(Ipv4Addr::LOCALHOST.into())
}
