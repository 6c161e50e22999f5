//! A receive socket: bound to one group and port, and joined on one interface.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{
    Reader, ReceiveOptions, SocketFacts,
    advice::{Tried, advise},
    facts::InterfaceFacts,
    interface::ResolvedInterface,
    sys,
};
use crate::{
    error::Error,
    group::{Interface, SocketSpec, SourceFilter, check_group, check_sources},
};

/// A nonblocking UDP socket that receives one group, or several on one port.
///
/// It hears its own memberships only, whatever other programs on the host have joined. Dropping it and
/// its readers leaves every group.
#[derive(Debug)]
pub struct ReceiveSocket {
    reader: Reader,
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
    /// That interface is gone, and the group with it.
    lost: bool,
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
        let local = bind_address(group, port, interface)?;
        Self::bind_to(local, SocketAddr::new(group, port), false, options)
    }

    /// Opens and binds a socket on which groups of the family of `group` share a port; none is joined
    /// yet. [`Received::destination`](super::Received::destination) tells their datagrams apart.
    ///
    /// Besides its groups it gets what is sent to the port by unicast, unless another socket is bound
    /// to that very address.
    ///
    /// # Errors
    /// As [`ReceiveSocket::open`]; on systems other than Linux always.
    pub fn bind_shared(group: IpAddr, port: u16, options: &ReceiveOptions) -> Result<Self, Error> {
        check_group(group)?;
        let local = SocketAddr::new(unspecified(group), port);
        Self::bind_to(local, local, true, options)
    }

    fn bind_to(
        address: SocketAddr,
        local: SocketAddr,
        shared: bool,
        options: &ReceiveOptions,
    ) -> Result<Self, Error> {
        let domain = if local.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))
            .map_err(|error| advise(Tried::Open, error))?;
        let option = |name| move |error| advise(Tried::Option(name), error);
        socket.set_nonblocking(true).map_err(option("O_NONBLOCK"))?;
        socket.set_reuse_address(true).map_err(option("SO_REUSEADDR"))?;
        if local.is_ipv6() {
            socket.set_only_v6(true).map_err(option("IPV6_V6ONLY"))?;
        }
        let socket = UdpSocket::from(socket);
        // Before bind: from then on datagrams of other programs' groups could be queued.
        sys::hear_own_memberships_only(&socket, local.ip()).map_err(option("IP_MULTICAST_ALL"))?;
        if shared {
            sys::tell_destination(&socket, local.ip()).map_err(option("IP_PKTINFO"))?;
        }
        // An older kernel lacks it; then every datagram is read alone.
        let merges = options.gro && sys::merge_datagrams(&socket).is_ok();
        if shared || merges {
            sys::tell_drops(&socket).map_err(option("SO_RXQ_OVFL"))?;
        }
        let buffer_granted =
            enlarge_buffer(&socket, options.buffer).map_err(option("SO_RCVBUF"))?;
        SockRef::from(&socket)
            .bind(&address.into())
            .map_err(|error| advise(Tried::Bind(local.ip(), local.port()), error))?;
        Ok(Self {
            reader: Reader::new(socket, local, shared, merges),
            memberships: Vec::new(),
            buffer_requested: options.buffer,
            buffer_granted,
        })
    }

    /// Joins a group. A socket that is not shared delivers only the group it is bound to.
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
            lost: false,
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
        sys::leave_group(self.udp(), left.joined.index, group)
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
            let found = ResolvedInterface::find(&self.memberships[place].wanted)?;
            self.renew(place, &found)?;
        }
        Ok(())
    }

    /// Notes that an interface is gone, and its memberships with it.
    pub(crate) fn lose(&mut self, index: u32) {
        let on_it = |m: &&mut Membership| m.joined.index == index;
        self.memberships.iter_mut().filter(on_it).for_each(|m| m.lost = true);
    }

    /// Joins again what was lost, or was joined on an interface that is another now, and adds up how
    /// many groups. `found` is what the interface means at present that all of them were joined on.
    ///
    /// # Errors
    /// As [`ReceiveSocket::join`], for the first group that cannot be joined; it counts as lost.
    pub(crate) fn follow(
        &mut self,
        found: &ResolvedInterface,
        renewed: &mut u64,
    ) -> Result<(), Error> {
        for place in 0..self.memberships.len() {
            let membership = &self.memberships[place];
            let moved = match membership.wanted {
                Interface::Any => !self.is_alive(place),
                _ => membership.lost || membership.joined.index != found.index,
            };
            if moved {
                self.renew(place, found)?;
                *renewed += 1;
            }
        }
        Ok(())
    }

    /// Whether a group is joined on the interface that routing chooses now. Where it is, the system
    /// refuses to join it again, and nothing changes; where it is not, it is joined by asking.
    fn is_alive(&self, place: usize) -> bool {
        let membership = &self.memberships[place];
        let (socket, joined, group) = (self.reader.udp(), &membership.joined, membership.group);
        let again = match &membership.sources {
            SourceFilter::Include(sources) => sources
                .iter()
                .try_for_each(|source| sys::join_source(socket, joined, group, *source)),
            _ => sys::join_group(socket, joined.index, group),
        };
        use io::ErrorKind::{AddrInUse, AddrNotAvailable};
        again.is_err_and(|error| matches!(error.kind(), AddrInUse | AddrNotAvailable))
    }

    fn renew(&mut self, place: usize, found: &ResolvedInterface) -> Result<(), Error> {
        let membership = &mut self.memberships[place];
        let (group, old) = (membership.group, membership.joined.index);
        // The membership may be gone with its interface, or by an earlier attempt: no matter.
        let _gone = sys::leave_group(self.reader.udp(), old, group);
        membership.lost = true;
        let membership = &self.memberships[place];
        self.add_membership(group, &membership.sources, found)?;
        let membership = &mut self.memberships[place];
        (membership.joined, membership.lost) = (found.clone(), false);
        Ok(())
    }

    /// The groups joined, with the senders admitted.
    pub fn memberships(&self) -> impl Iterator<Item = (IpAddr, &SourceFilter)> {
        self.memberships.iter().map(|m| (m.group, &m.sources))
    }

    /// The socket, to receive from or to wait for.
    #[must_use]
    pub fn udp(&self) -> &UdpSocket {
        self.reader.udp()
    }

    /// The end to read from, for a thread that receives.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Group address and port; the unspecified address for a socket that groups share.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.reader.local()
    }

    /// Octets of receive buffer granted.
    #[must_use]
    pub const fn buffer_granted(&self) -> usize {
        self.buffer_granted
    }

    /// Asks the system about the socket: two system calls and some small files, once a second is fine.
    #[must_use]
    pub fn facts(&self) -> SocketFacts {
        let interface = self.memberships.first().and_then(|m| m.joined.name.clone());
        let by_source = |m: &Membership| matches!(m.sources, SourceFilter::Include(_));
        let system = interface.as_deref().map(|name| InterfaceFacts::of(name, self.local().ip()));
        let system = system.unwrap_or_default();
        SocketFacts {
            drops: self.drops().ok(),
            buffer_requested: self.buffer_requested,
            buffer_granted: self.buffer_granted,
            reverse_path_filter: system.reverse_path_filter,
            membership_protocol: system.membership_protocol,
            source_specific: self.memberships.iter().any(by_source),
            interface,
        }
    }

    /// Datagrams that the kernel dropped at this socket since it was opened, modulo 2^32.
    ///
    /// # Errors
    /// The system's answer, where it does not count.
    pub fn drops(&self) -> io::Result<u32> {
        self.reader.drops()
    }

    fn add_membership(
        &self,
        group: IpAddr,
        sources: &SourceFilter,
        interface: &ResolvedInterface,
    ) -> Result<(), Error> {
        let (socket, index, label) = (self.udp(), interface.index, interface.label());
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

/// The address that stands for every address of the family.
fn unspecified(group: IpAddr) -> IpAddr {
    match group {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
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
