//! System calls of Linux that the standard library and socket2 lack, as safe functions.

#![expect(unsafe_code, reason = "socket options and epoll are C interfaces")]

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use libc::{c_int, c_void, socklen_t};
use socket2::{SockAddr, SockRef};

use super::interface::ResolvedInterface;

/// Joins a group for every sender.
pub(super) fn join_group(socket: &UdpSocket, index: u32, group: IpAddr) -> io::Result<()> {
    group_option(socket, libc::MCAST_JOIN_GROUP, index, group)
}

/// Drops a membership with all its sources.
pub(super) fn leave_group(socket: &UdpSocket, index: u32, group: IpAddr) -> io::Result<()> {
    group_option(socket, libc::MCAST_LEAVE_GROUP, index, group)
}

/// Joins a group for one sender; repeated for further senders.
pub(super) fn join_source(
    socket: &UdpSocket,
    interface: &ResolvedInterface,
    group: IpAddr,
    source: IpAddr,
) -> io::Result<()> {
    source_option(socket, libc::MCAST_JOIN_SOURCE_GROUP, interface.index, group, source)
}

/// Keeps one sender out of a group joined for every sender.
pub(super) fn block_source(
    socket: &UdpSocket,
    interface: &ResolvedInterface,
    group: IpAddr,
    source: IpAddr,
) -> io::Result<()> {
    source_option(socket, libc::MCAST_BLOCK_SOURCE, interface.index, group, source)
}

/// Keeps out of this socket what only other sockets of the host have joined.
pub(super) fn hear_own_memberships_only(socket: &UdpSocket, group: IpAddr) -> io::Result<()> {
    match group {
        IpAddr::V4(_) => SockRef::from(socket).set_multicast_all_v4(false),
        IpAddr::V6(_) => SockRef::from(socket).set_multicast_all_v6(false),
    }
}

/// Several groups on one port may share a socket, because it tells their datagrams apart.
pub(super) const SHARES_SOCKETS: bool = true;

/// Asks for the destination of each datagram.
pub(super) fn tell_destination(socket: &UdpSocket, family: IpAddr) -> io::Result<()> {
    let name = match family {
        IpAddr::V4(_) => libc::IP_PKTINFO,
        IpAddr::V6(_) => libc::IPV6_RECVPKTINFO,
    };
    set_option(socket, level(family), name, &ON)
}

/// Asks for the number of drops with each datagram, once there are any.
pub(super) fn tell_drops(socket: &UdpSocket) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &ON)
}

/// Lets the kernel merge datagrams of one sender and length into one read.
pub(super) fn merge_datagrams(socket: &UdpSocket) -> io::Result<()> {
    set_option(socket, libc::SOL_UDP, libc::UDP_GRO, &ON)
}

/// Where a receive socket is bound: the group's address, so that no other group is delivered.
pub(super) const fn bind_address(group: IpAddr) -> IpAddr {
    group
}

fn group_option(socket: &UdpSocket, name: c_int, index: u32, group: IpAddr) -> io::Result<()> {
    let request = libc::group_req { gr_interface: index, gr_group: storage(group) };
    set_option(socket, level(group), name, &request)
}

fn source_option(
    socket: &UdpSocket,
    name: c_int,
    index: u32,
    group: IpAddr,
    source: IpAddr,
) -> io::Result<()> {
    let request = libc::group_source_req {
        gsr_interface: index,
        gsr_group: storage(group),
        gsr_source: storage(source),
    };
    set_option(socket, level(group), name, &request)
}

/// Sends multicast out of this interface, with this source address if there is one.
pub(super) fn set_send_interface_v4(
    socket: &UdpSocket,
    index: u32,
    address: Option<Ipv4Addr>,
) -> io::Result<()> {
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr {
            s_addr: address.map_or(0, |address| u32::from_ne_bytes(address.octets())),
        },
        imr_ifindex: c_int::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?,
    };
    set_option(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &request)
}

/// Asks for a receive buffer beyond `net.core.rmem_max`; needs CAP_NET_ADMIN.
pub(super) fn force_receive_buffer(socket: &UdpSocket, octets: usize) -> io::Result<()> {
    let octets = c_int::try_from(octets).unwrap_or(c_int::MAX);
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &octets)
}

/// Datagrams that the kernel dropped at this socket since it was opened, modulo 2^32.
pub(super) fn drops(socket: &UdpSocket) -> io::Result<u32> {
    let mut words = [0u32; libc::SK_MEMINFO_DROPS as usize + 1];
    let mut len = size_of_val(&words) as socklen_t; // 36
    // SAFETY: `words` is writable for `len` octets, and any bits are a u32.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    check(result)?;
    Ok(words[libc::SK_MEMINFO_DROPS as usize])
}

/// The kernel counts the receive buffer twice: once for the datagrams, once for its own book-keeping.
pub(super) const BUFFER_FACTOR: usize = 2;

/// An epoll instance.
#[derive(Debug)]
pub(super) struct Epoll(OwnedFd);

/// One entry of the list that [`Epoll::wait`] fills.
pub(super) type Event = libc::epoll_event;

/// An entry before the first wait.
pub(super) const NO_EVENT: Event = libc::epoll_event { events: 0, u64: 0 };

impl Epoll {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        check(fd)?;
        // SAFETY: `fd` was opened one line above and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(super) fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        let mut event = Event { events: libc::EPOLLIN as u32, u64: token }; // the flag is 1
        self.control(libc::EPOLL_CTL_ADD, fd, &mut event)
    }

    pub(super) fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, &mut { NO_EVENT })
    }

    fn control(&self, operation: c_int, fd: RawFd, event: &mut Event) -> io::Result<()> {
        // SAFETY: `event` is valid for the call; the kernel checks the descriptors.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, event) })
    }

    /// Waits for at most `millis` (-1: for ever); returns how many events were filled in.
    pub(super) fn wait(&self, events: &mut [Event], millis: c_int) -> io::Result<usize> {
        let room = c_int::try_from(events.len()).unwrap_or(c_int::MAX);
        // SAFETY: `events` is writable for `room` entries.
        let count =
            unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), room, millis) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}

const ON: c_int = 1;

fn set_option<T>(socket: &UdpSocket, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    // SAFETY: `value` is readable for the size given, which is its own. Padding inside the C
    // structures may be uninitialised; the kernel copies and ignores it.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(value).cast::<c_void>(),
            size_of::<T>() as socklen_t, // at most 264
        )
    })
}

fn storage(address: IpAddr) -> libc::sockaddr_storage {
    let mut address = SockAddr::from(SocketAddr::new(address, 0)).as_storage();
    // SAFETY: `sockaddr_storage` is one of the platform's `sockaddr_*` types, as `view_as` asks.
    *unsafe { address.view_as::<libc::sockaddr_storage>() }
}

const fn level(group: IpAddr) -> c_int {
    match group {
        IpAddr::V4(_) => libc::IPPROTO_IP,
        IpAddr::V6(_) => libc::IPPROTO_IPV6,
    }
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
