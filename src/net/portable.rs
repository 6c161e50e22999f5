//! The same functions for systems other than Linux: correct, one system call per datagram.
//!
//! Source filters are limited to a list of IPv4 senders to admit, and drops are not counted.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    ptr, slice,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use socket2::{InterfaceIndexOrAddress, SockRef};

use super::{Reader, Received, interface::ResolvedInterface};

pub(super) const BUFFER_FACTOR: usize = 1;

pub(super) fn join_group(socket: &UdpSocket, index: u32, group: IpAddr) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => SockRef::from(socket)
            .join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index)),
        IpAddr::V6(group) => SockRef::from(socket).join_multicast_v6(&group, index),
    }
}

pub(super) fn leave_group(socket: &UdpSocket, index: u32, group: IpAddr) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => SockRef::from(socket)
            .leave_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index)),
        IpAddr::V6(group) => SockRef::from(socket).leave_multicast_v6(&group, index),
    }
}

pub(super) fn join_source(
    socket: &UdpSocket,
    interface: &ResolvedInterface,
    group: IpAddr,
    source: IpAddr,
) -> io::Result<()> {
    let address = interface.addresses.iter().find_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    });
    match (group, source) {
        (IpAddr::V4(group), IpAddr::V4(source)) => SockRef::from(socket).join_ssm_v4(
            &source,
            &group,
            &address.unwrap_or(Ipv4Addr::UNSPECIFIED),
        ),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

pub(super) fn block_source(
    _: &UdpSocket,
    _: &ResolvedInterface,
    _: IpAddr,
    _: IpAddr,
) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Other systems deliver only what the socket itself has joined.
pub(super) fn hear_own_memberships_only(_: &UdpSocket, _: IpAddr) -> io::Result<()> {
    Ok(())
}

/// Windows binds to addresses of the host only.
pub(super) const fn bind_address(group: IpAddr) -> IpAddr {
    match group {
        IpAddr::V4(_) if cfg!(windows) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) if cfg!(windows) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => group,
    }
}

/// One socket serves one group here.
pub(super) const SHARES_SOCKETS: bool = false;

pub(super) fn tell_destination(_: &UdpSocket, _: IpAddr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn tell_drops(_: &UdpSocket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn merge_datagrams(_: &UdpSocket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn set_send_interface_v4(
    socket: &UdpSocket,
    _: u32,
    address: Option<Ipv4Addr>,
) -> io::Result<()> {
    SockRef::from(socket).set_multicast_if_v4(&address.unwrap_or(Ipv4Addr::UNSPECIFIED))
}

pub(super) fn force_receive_buffer(_: &UdpSocket, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn drops(_: &UdpSocket) -> io::Result<u32> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Slots to receive into, and the last batch received.
#[derive(Debug)]
pub struct Arena {
    memory: Vec<u8>,
    slot_len: usize,
    filled: Vec<(usize, SocketAddr, bool)>,
}

impl Arena {
    /// Datagrams in a batch by default.
    pub const SLOTS: usize = 64;
    /// Octets of a slot by default: more than an Ethernet frame.
    pub const SLOT_LEN: usize = 2048;

    /// An arena for batches of `slots` datagrams (1 to 1024) of up to `slot_len` octets (1 to 65535).
    #[must_use]
    pub fn new(slots: usize, slot_len: usize) -> Self {
        let (slots, slot_len) = (slots.clamp(1, 1024), slot_len.clamp(1, 0xffff));
        // One octet more tells a datagram that fits from one that does not.
        let memory = vec![0; slots * (slot_len + 1)];
        Self { memory, slot_len, filled: Vec::with_capacity(slots) }
    }

    /// An arena for sockets that merge datagrams, which none does here.
    #[must_use]
    pub fn for_merged() -> Self {
        Self::default()
    }

    /// How many slots a full batch takes.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.memory.len() / (self.slot_len + 1)
    }

    /// Takes what a reader has: [`Arena::receive`].
    ///
    /// # Errors
    /// As there.
    pub fn receive_from(&mut self, reader: &Reader) -> io::Result<usize> {
        self.receive(reader.udp())
    }

    /// Takes what the nonblocking socket has, up to a batch; 0 if it has nothing.
    ///
    /// # Errors
    /// The system's answer, if not even the first datagram could be received.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.filled.clear();
        for slot in self.memory.chunks_exact_mut(self.slot_len + 1) {
            match socket.recv_from(slot) {
                Ok((len, source)) => {
                    self.filled.push((len.min(self.slot_len), source, len > self.slot_len));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if self.filled.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(self.filled.len())
    }

    /// The datagrams of the last batch, each with its own octets, so that all can be held at once.
    pub fn datagrams(&mut self) -> Datagrams<'_> {
        Datagrams {
            filled: self.filled.iter(),
            slots: self.memory.chunks_exact_mut(self.slot_len + 1),
        }
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new(Self::SLOTS, Self::SLOT_LEN)
    }
}

/// Iterator over the last batch: [`Arena::datagrams`].
#[derive(Debug)]
pub struct Datagrams<'a> {
    filled: slice::Iter<'a, (usize, SocketAddr, bool)>,
    slots: slice::ChunksExactMut<'a, u8>,
}

impl<'a> Iterator for Datagrams<'a> {
    type Item = Received<'a>;

    fn next(&mut self) -> Option<Received<'a>> {
        let ((len, source, truncated), slot) = (self.filled.next()?, self.slots.next()?);
        Some(Received {
            bytes: slot.get_mut(..*len)?,
            source: *source,
            destination: None,
            drops: None,
            truncated: *truncated,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.filled.size_hint()
    }
}

/// Sends datagrams in order; returns how many were sent.
///
/// # Errors
/// The system's answer, if not even the first could be sent.
pub fn send_batch(socket: &UdpSocket, datagrams: &[(&[u8], SocketAddr)]) -> io::Result<usize> {
    for (sent, (bytes, to)) in datagrams.iter().enumerate() {
        match socket.send_to(bytes, to) {
            Err(error) if sent == 0 => return Err(error),
            Err(_) => return Ok(sent),
            Ok(_) => {}
        }
    }
    Ok(datagrams.len())
}

/// Waits for the sockets of one lane: here, by looking at all of them every millisecond.
#[derive(Debug)]
pub struct Poller {
    /// Each socket by its place in memory, and its token.
    tokens: Vec<(usize, usize)>,
    ready: Vec<usize>,
    waker: Waker,
}

impl Poller {
    /// How many sockets one wait reports; the others' turn comes with the next.
    pub const READY_AT_ONCE: usize = 64;

    /// A poller without sockets.
    ///
    /// # Errors
    /// None on this system.
    pub fn new() -> io::Result<Self> {
        let waker = Waker(Arc::default());
        Ok(Self { tokens: Vec::new(), ready: Vec::new(), waker })
    }

    /// Adds a socket, which must stay where it is, to be reported by this token (anything but
    /// `usize::MAX`).
    ///
    /// # Errors
    /// None on this system.
    pub fn add(&mut self, socket: &UdpSocket, token: usize) -> io::Result<()> {
        self.tokens.push((ptr::from_ref(socket).addr(), token));
        Ok(())
    }

    /// Removes a socket.
    ///
    /// # Errors
    /// None on this system.
    pub fn remove(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let place = ptr::from_ref(socket).addr();
        self.tokens.retain(|(of, _)| *of != place);
        Ok(())
    }

    /// Waits a millisecond at most, or until a [`Waker`] calls; returns tokens of
    /// sockets, all of them in turn.
    ///
    /// # Errors
    /// None on this system.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<&[usize]> {
        let longest = Duration::from_millis(1);
        let (called, bell) = &*self.waker.0;
        let called = called.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = timeout.map_or(longest, |timeout| timeout.min(longest));
        let (mut called, _) = bell
            .wait_timeout_while(called, longest, |called| !*called)
            .unwrap_or_else(PoisonError::into_inner);
        *called = false;
        self.ready.clear();
        let turn = Self::READY_AT_ONCE.min(self.tokens.len());
        self.ready.extend(self.tokens.iter().take(turn).map(|(_, token)| *token));
        self.tokens.rotate_left(turn);
        Ok(&self.ready)
    }

    /// A handle that ends a wait from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

/// Ends a [`Poller::wait`], the one going on or the next one.
#[derive(Clone, Debug)]
pub struct Waker(Arc<(Mutex<bool>, Condvar)>);

impl Waker {
    /// Wakes the poller. Never waits; calls before it has woken count as one.
    pub fn wake(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_one();
    }
}

/// News of network interfaces, which these systems do not give in this way.
#[derive(Debug)]
pub(crate) enum LinkWatch {}

/// What has happened to the interfaces.
#[derive(Debug, Default)]
pub(crate) struct LinkChanges {
    /// Whether anything has.
    pub(crate) any: bool,
    /// Numbers of interfaces that were deleted.
    pub(crate) deleted: [u32; 0],
}

impl LinkWatch {
    /// Refuses.
    pub(crate) fn open() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn wait(&mut self, _: Option<Duration>) -> io::Result<LinkChanges> {
        match *self {}
    }

    pub(crate) fn waker(&self) -> Waker {
        match *self {}
    }
}
