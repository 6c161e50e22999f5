//! A send socket: for the broadcaster, the key server's repeats, and tests.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use socket2::SockRef;

use super::{
    advice::{Tried, advise},
    interface::ResolvedInterface,
    send_batch, sys,
};
use crate::{error::Error, group::Interface};

/// Options of [`SendSocket::open`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SendOptions {
    /// TTL or hop limit of multicast datagrams; the default, 1, stays in the subnet.
    pub ttl: u8,
    /// Whether members on this host hear them too; they do by default.
    pub to_this_host: bool,
    /// Source address and port; by default the system chooses. Source-specific members must know it.
    pub source: Option<SocketAddr>,
}

impl SendOptions {
    /// The options with another TTL or hop limit.
    #[must_use]
    pub const fn with_ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// The options with a source address and port.
    #[must_use]
    pub const fn with_source(self, source: SocketAddr) -> Self {
        Self { source: Some(source), ..self }
    }

    /// The options with or without delivery to members on this host.
    #[must_use]
    pub const fn with_delivery_to_this_host(self, to_this_host: bool) -> Self {
        Self { to_this_host, ..self }
    }
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { ttl: 1, to_this_host: true, source: None }
    }
}

/// A blocking UDP socket that sends to groups of one address family out of one interface.
#[derive(Debug)]
pub struct SendSocket {
    socket: UdpSocket,
    is_ipv4: bool,
    interface: String,
}

impl SendSocket {
    /// Opens a socket that can reach groups of the family of `group`.
    ///
    /// ```
    /// use std::net::{IpAddr, SocketAddr};
    ///
    /// use mcast_srtp::{
    ///     group::Interface,
    ///     net::{SendOptions, SendSocket},
    /// };
    ///
    /// let group: IpAddr = "239.255.17.1".parse()?;
    /// let socket = SendSocket::open(group, &Interface::name("lo"), &SendOptions::default())?;
    /// socket.send(b"x", SocketAddr::new(group, 49170))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown interface; [`Error::Io`] where the system refuses.
    pub fn open(
        group: IpAddr,
        interface: &Interface,
        options: &SendOptions,
    ) -> Result<Self, Error> {
        let resolved = ResolvedInterface::find(interface)?;
        let any = match group {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let local = options.source.unwrap_or_else(|| SocketAddr::new(any, 0));
        if local.is_ipv4() != group.is_ipv4() {
            return Err(Error::invalid(format!(
                "source {local} and group {group} are of different address families"
            )));
        }
        let socket = UdpSocket::bind(local)
            .map_err(|error| advise(Tried::Bind(local.ip(), local.port()), error))?;
        let sockopts = SockRef::from(&socket);
        let label = resolved.label();
        let sent_from = |error| advise(Tried::SendInterface(&label), error);
        if group.is_ipv4() {
            let address = resolved.source_v4(interface);
            sys::set_send_interface_v4(&socket, resolved.index, address).map_err(sent_from)?;
            let to_this_host = options.to_this_host;
            sockopts.set_multicast_loop_v4(to_this_host).map_err(option("IP_MULTICAST_LOOP"))?;
        } else {
            sockopts.set_multicast_if_v6(resolved.index).map_err(sent_from)?;
            let to_this_host = options.to_this_host;
            sockopts.set_multicast_loop_v6(to_this_host).map_err(option("IPV6_MULTICAST_LOOP"))?;
        }
        let socket = Self { socket, is_ipv4: group.is_ipv4(), interface: label };
        socket.set_ttl(options.ttl)?;
        Ok(socket)
    }

    /// Sets the TTL or hop limit of what is sent from now on.
    ///
    /// # Errors
    /// [`Error::Io`] where the system refuses.
    pub fn set_ttl(&self, ttl: u8) -> Result<(), Error> {
        let sockopts = SockRef::from(&self.socket);
        if self.is_ipv4 {
            sockopts.set_multicast_ttl_v4(ttl.into()).map_err(option("IP_MULTICAST_TTL"))
        } else {
            sockopts.set_multicast_hops_v6(ttl.into()).map_err(option("IPV6_MULTICAST_HOPS"))
        }
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// [`Error::Io`], with what would help.
    pub fn send(&self, datagram: &[u8], to: SocketAddr) -> Result<(), Error> {
        self.socket.send_to(datagram, to).map(drop).map_err(|error| self.advise(to, error))
    }

    /// Sends datagrams in order, up to 64 in a system call; returns how many were sent. Fewer than
    /// all means that the next one was refused: sending it again tells why.
    ///
    /// # Errors
    /// [`Error::Io`], with what would help, if not even the first could be sent.
    pub fn send_batch(&self, datagrams: &[(&[u8], SocketAddr)]) -> Result<usize, Error> {
        send_batch(&self.socket, datagrams).map_err(|error| match datagrams.first() {
            Some((_, to)) => self.advise(*to, error),
            None => Error::io("cannot send", error),
        })
    }

    /// The socket itself.
    #[must_use]
    pub const fn udp(&self) -> &UdpSocket {
        &self.socket
    }

    fn advise(&self, to: SocketAddr, error: io::Error) -> Error {
        advise(Tried::Send(to, &self.interface), error)
    }
}

fn option(name: &'static str) -> impl Fn(io::Error) -> Error {
    move |error| advise(Tried::Option(name), error)
}
