//! A receive socket: bound to one group and port, and joined on one interface.

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{
    SocketFacts,
    advice::{Tried, advise},
    facts,
    interface::ResolvedInterface,
    sys,
};
use crate::{
    error::Error,
    group::{Interface, SocketSpec, SourceFilter, check_group, check_sources},
};

/// Options of [`ReceiveSocket::open`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReceiveOptions {
    /// Octets of receive buffer to ask for. The default, 4 MiB, holds about 10 000 speech datagrams.
    pub buffer: usize,
}

impl ReceiveOptions {
    /// The options with another receive buffer.
    #[must_use]
    pub const fn with_buffer(self, octets: usize) -> Self {
        Self { buffer: octets }
    }
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        Self { buffer: 4 << 20 }
    }
}

/// A nonblocking UDP socket that receives one group, or several on one port.
///
/// It hears its own memberships only, whatever other programs on the host have joined. Dropping it
/// leaves every group.
#[derive(Debug)]
pub struct ReceiveSocket {
    socket: UdpSocket,
    local: SocketAddr,
    memberships: Vec<Membership>,
    buffer_requested: usize,
    buffer_granted: usize,
}

#[derive(Debug)]
struct Membership {
    group: IpAddr,
    sources: SourceFilter,
    wanted: Interface,
    /// The interface as it was when the group was joined: a later one of that name is another.
    joined: ResolvedInterface,
}

impl ReceiveSocket {
    /// Opens, binds and joins what [`crate::group::GroupSpec::sockets`] asks for.
    ///
    /// ```
    /// use mcast_srtp::{
    ///     group::{Interface, SocketSpec},
    ///     net::{ReceiveOptions, ReceiveSocket},
    /// };
    ///
    /// let spec = SocketSpec::new("239.255.17.1".parse()?, 49170);
    /// let socket = ReceiveSocket::open(&spec, &Interface::name("lo"), &ReceiveOptions::default())?;
    /// assert_eq!(socket.facts().drops, Some(0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown interface or an address that is not multicast;
    /// [`Error::Io`], with what would help, where the system refuses.
    pub fn open(
        spec: &SocketSpec,
        interface: &Interface,
        options: &ReceiveOptions,
    ) -> Result<Self, Error> {
        let mut socket = Self::bind(spec.group, spec.port, interface, options)?;
        socket.join(spec.group, &spec.sources, interface)?;
        Ok(socket)
    }

    /// Opens and binds without joining: nothing is received yet.
    ///
    /// # Errors
    /// As [`ReceiveSocket::open`].
    pub fn bind(
        group: IpAddr,
        port: u16,
        interface: &Interface,
        options: &ReceiveOptions,
    ) -> Result<Self, Error> {
        check_group(group)?;
        let domain = if group.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))
            .map_err(|error| advise(Tried::Open, error))?;
        let option = |name| move |error| advise(Tried::Option(name), error);
        socket.set_nonblocking(true).map_err(option("O_NONBLOCK"))?;
        socket.set_reuse_address(true).map_err(option("SO_REUSEADDR"))?;
        if group.is_ipv6() {
            socket.set_only_v6(true).map_err(option("IPV6_V6ONLY"))?;
        }
        let socket = UdpSocket::from(socket);
        // Before bind: from then on datagrams of other programs' groups could be queued.
        sys::hear_own_memberships_only(&socket, group).map_err(option("IP_MULTICAST_ALL"))?;
        let buffer_granted =
            enlarge_buffer(&socket, options.buffer).map_err(option("SO_RCVBUF"))?;

        let local = bind_address(group, port, interface)?;
        SockRef::from(&socket)
            .bind(&local.into())
            .map_err(|error| advise(Tried::Bind(group, port), error))?;
        Ok(Self {
            socket,
            local: SocketAddr::new(group, port),
            memberships: Vec::new(),
            buffer_requested: options.buffer,
            buffer_granted,
        })
    }

    /// Joins a group. The socket delivers those groups only that have the address it is bound to.
    ///
    /// # Errors
    /// As [`ReceiveSocket::open`]; nothing is joined then.
    pub fn join(
        &mut self,
        group: IpAddr,
        sources: &SourceFilter,
        interface: &Interface,
    ) -> Result<(), Error> {
        check_group(group)?;
        check_sources(group, sources)?;
        let joined = ResolvedInterface::find(interface)?;
        self.add_membership(group, sources, &joined)?;
        self.memberships.push(Membership {
            group,
            sources: sources.clone(),
            wanted: interface.clone(),
            joined,
        });
        Ok(())
    }

    /// Leaves a group, for all its senders.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the socket has not joined it; [`Error::Io`] if the system refuses.
    pub fn leave(&mut self, group: IpAddr) -> Result<(), Error> {
        let Some(place) = self.memberships.iter().position(|m| m.group == group) else {
            return Err(Error::invalid(format!("{group} has not been joined")));
        };
        let left = self.memberships.remove(place);
        sys::leave_group(&self.socket, left.joined.index, group)
            .map_err(|error| advise(Tried::Leave(group, &left.joined.label()), error))
    }

    /// Leaves and joins every group, which sends new reports to routers and switches, and follows an
    /// interface that was deleted and made again.
    ///
    /// # Errors
    /// As [`ReceiveSocket::join`], for the first group that cannot be joined; it and those after it
    /// stay as they are on the list and are tried by the next call.
    pub fn rejoin(&mut self) -> Result<(), Error> {
        for place in 0..self.memberships.len() {
            let membership = &self.memberships[place];
            let (group, old) = (membership.group, membership.joined.index);
            let joined = ResolvedInterface::find(&membership.wanted)?;
            // The membership may be gone with its interface, or by an earlier attempt: no matter.
            let _gone = sys::leave_group(&self.socket, old, group);
            self.add_membership(group, &membership.sources, &joined)?;
            self.memberships[place].joined = joined;
        }
        Ok(())
    }

    /// The groups joined, with the senders admitted.
    pub fn memberships(&self) -> impl Iterator<Item = (IpAddr, &SourceFilter)> {
        self.memberships.iter().map(|m| (m.group, &m.sources))
    }

    /// The socket, to receive from or to wait for.
    #[must_use]
    pub const fn udp(&self) -> &UdpSocket {
        &self.socket
    }

    /// Group address and port.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Octets of receive buffer granted.
    #[must_use]
    pub const fn buffer_granted(&self) -> usize {
        self.buffer_granted
    }

    /// Asks the system about the socket: two system calls and two small files, once a second is fine.
    #[must_use]
    pub fn facts(&self) -> SocketFacts {
        let interface = self.memberships.first().and_then(|m| m.joined.name.clone());
        let filtered = interface.as_deref().filter(|_| self.local.is_ipv4());
        SocketFacts {
            drops: sys::drops(&self.socket).ok(),
            buffer_requested: self.buffer_requested,
            buffer_granted: self.buffer_granted,
            reverse_path_filter: filtered.and_then(facts::reverse_path_filter),
            interface,
        }
    }

    /// Datagrams that the kernel dropped at this socket since it was opened, modulo 2^32.
    ///
    /// # Errors
    /// The system's answer, where it does not count.
    pub fn drops(&self) -> io::Result<u32> {
        sys::drops(&self.socket)
    }

    fn add_membership(
        &self,
        group: IpAddr,
        sources: &SourceFilter,
        interface: &ResolvedInterface,
    ) -> Result<(), Error> {
        let (socket, index, label) = (&self.socket, interface.index, interface.label());
        let by_source = |source, result: io::Result<()>| {
            result.map_err(|error| {
                // Half a membership is none.
                let _gone = sys::leave_group(socket, index, group);
                advise(Tried::JoinSource(group, source, &label), error)
            })
        };
        if let SourceFilter::Include(sources) = sources {
            return sources.iter().try_for_each(|source| {
                by_source(*source, sys::join_source(socket, interface, group, *source))
            });
        }
        sys::join_group(socket, index, group)
            .map_err(|error| advise(Tried::Join(group, &label), error))?;
        sources.addresses().iter().try_for_each(|source| {
            by_source(*source, sys::block_source(socket, interface, group, *source))
        })
    }
}

/// Asks for a buffer, beyond the system's limit if the program may; returns what was granted.
fn enlarge_buffer(socket: &UdpSocket, wanted: usize) -> io::Result<usize> {
    let options = SockRef::from(socket);
    options.set_recv_buffer_size(wanted)?;
    if options.recv_buffer_size()? / sys::BUFFER_FACTOR < wanted {
        // Without CAP_NET_ADMIN this is refused, and the limited buffer stays.
        let _refused = sys::force_receive_buffer(socket, wanted);
    }
    Ok(options.recv_buffer_size()? / sys::BUFFER_FACTOR)
}

fn bind_address(group: IpAddr, port: u16, interface: &Interface) -> Result<SocketAddr, Error> {
    match sys::bind_address(group) {
        // Groups of link-local scope exist once per link, so the address includes the link.
        IpAddr::V6(addr) if matches!(addr.segments()[0] & 0x000f, 1 | 2) => {
            let scope = ResolvedInterface::find(interface)?.index;
            Ok(SocketAddrV6::new(addr, port, 0, scope).into())
        }
        addr => Ok(SocketAddr::new(addr, port)),
    }
}
