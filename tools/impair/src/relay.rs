//! A [`Link`] between UDP sockets.
//!
//! ```text
//! socket of a route ──thread──► bounded channel ──► this thread: links, clock ──► socket to send
//! ```

use std::{
    convert::Infallible,
    fmt, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    str::FromStr,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::{Counts, Impairments, Link};

/// From where to where datagrams are relayed. A multicast address to receive from is joined.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Route {
    /// Group or own address, and port, to receive at.
    pub from: SocketAddr,
    /// Group or host, and port, to send to.
    pub to: SocketAddr,
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once('=').ok_or("write FROM=TO, both as ADDR:PORT")?;
        let address = |text: &str| text.parse::<SocketAddr>().map_err(|e| format!("{text:?}: {e}"));
        let (from, to) = (address(from)?, address(to)?);
        match from == to {
            true => Err("FROM and TO are the same: it would relay to itself".into()),
            false if from.is_ipv4() != to.is_ipv4() => Err("one is IPv4, the other IPv6".into()),
            false => Ok(Self { from, to }),
        }
    }
}

/// The network of multicast groups.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Interface {
    /// By its name, for example `lo`.
    Name(String),
    /// By one of its IPv4 addresses.
    Address(Ipv4Addr),
}

impl FromStr for Interface {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Address))
    }
}

/// When a relay ends; what is under way then still arrives.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    /// After this many datagrams over all routes.
    pub datagrams: Option<u64>,
    /// After this time.
    pub after: Option<Duration>,
}

/// What a relay did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Outcome {
    /// What became of the datagrams.
    #[serde(flatten)]
    pub counts: Counts,
    /// Datagrams that found the relay's own queue full.
    pub overrun: u64,
    /// Datagrams that the system would not send on.
    pub not_sent: u64,
}

/// Why a relay does not run.
#[derive(Debug)]
pub struct Error {
    context: String,
    source: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.context, self.source)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Relays until an end of `end` or until `stop` is set. `ready` is called once every socket receives.
/// Each route is a network of its own, with its own dice.
///
/// # Errors
/// If a socket cannot be set up or fails.
pub fn relay(
    routes: &[Route],
    interface: Option<&Interface>,
    impairments: Impairments,
    seed: u64,
    end: End,
    stop: &AtomicBool,
    ready: impl FnOnce(),
) -> Result<Outcome, Error> {
    let mut inward = Vec::new();
    let mut lines = Vec::new();
    for (route, number) in routes.iter().zip(0..) {
        let failed = |what: &str, address: SocketAddr| {
            let context = format!("cannot {what} {address}");
            move |source| Error { context, source }
        };
        inward.push(receiving(route.from, interface).map_err(failed("receive at", route.from))?);
        let socket = sending(route.to, interface).map_err(failed("send to", route.to))?;
        // Far apart, so that the dice of neighbours differ.
        let seed = seed.wrapping_add(u64::wrapping_mul(number, 0x9e37_79b9_7f4a_7c15));
        lines.push(Line { link: Link::new(impairments, seed), socket, to: route.to });
    }
    let finished = AtomicBool::new(false);
    thread::scope(|scope| {
        let (queue, arrived) = sync_channel(QUEUE);
        let readers: Vec<_> = inward
            .iter()
            .enumerate()
            .map(|(place, socket)| {
                let (queue, finished) = (queue.clone(), &finished);
                scope.spawn(move || read(place, socket, &queue, finished))
            })
            .collect();
        drop(queue);
        ready();
        let mut outcome =
            run(&mut lines, &arrived, end, stop, || finished.store(true, Ordering::Relaxed));
        drop(arrived);
        for (reader, route) in readers.into_iter().zip(routes) {
            let failed = |source| Error { context: format!("receiving at {}", route.from), source };
            outcome.overrun += reader.join().unwrap_or(Ok(0)).map_err(failed)?;
        }
        Ok(outcome)
    })
}

/// A route under way.
struct Line {
    link: Link,
    socket: UdpSocket,
    to: SocketAddr,
}

/// A datagram as a reader hands it over.
struct Datagram {
    route: usize,
    at: Instant,
    octets: Vec<u8>,
}

/// Feeds the links and sends what comes out of them, until an end; then until nothing is under way.
fn run(
    lines: &mut [Line],
    arrived: &Receiver<Datagram>,
    end: End,
    stop: &AtomicBool,
    finish: impl Fn(),
) -> Outcome {
    let start = Instant::now();
    let (mut taken, mut not_sent, mut open) = (0, 0, true);
    loop {
        let now = start.elapsed();
        let enough = end.datagrams.is_some_and(|count| taken >= count);
        if open
            && (enough || end.after.is_some_and(|end| now >= end) || stop.load(Ordering::Relaxed))
        {
            open = false;
            finish();
        }
        for line in &mut *lines {
            while let Some(arrival) = line.link.receive(now) {
                not_sent += u64::from(line.socket.send_to(&arrival.octets, line.to).is_err());
            }
        }
        let next = lines.iter().filter_map(|line| line.link.next_arrival()).min();
        let wait = match (open, next) {
            (false, None) => break,
            (false, Some(next)) => {
                thread::sleep(next.saturating_sub(start.elapsed()));
                continue;
            }
            (true, Some(next)) => next.saturating_sub(start.elapsed()).min(PATIENCE),
            (true, None) => PATIENCE,
        };
        match arrived.recv_timeout(wait) {
            Ok(Datagram { route, at, octets }) => {
                taken += 1;
                lines[route].link.send(at.saturating_duration_since(start), &octets);
            }
            Err(RecvTimeoutError::Timeout) => {}
            // Every reader has failed; joining them tells why.
            Err(RecvTimeoutError::Disconnected) => open = false,
        }
    }
    let mut outcome = Outcome { not_sent, ..Outcome::default() };
    for line in lines {
        outcome.counts = outcome.counts + line.link.counts();
    }
    outcome
}

/// Receives at one socket until told to finish; returns how many datagrams found the queue full.
fn read(
    route: usize,
    socket: &UdpSocket,
    queue: &SyncSender<Datagram>,
    finished: &AtomicBool,
) -> io::Result<u64> {
    let (mut octets, mut overrun) = (vec![0; MAX_DATAGRAM], 0);
    while !finished.load(Ordering::Relaxed) {
        let len = match socket.recv(&mut octets) {
            Ok(len) => len,
            Err(error) if is_timeout(&error) => continue,
            Err(error) => return Err(error),
        };
        let datagram = Datagram { route, at: Instant::now(), octets: octets[..len].to_vec() };
        match queue.try_send(datagram) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => overrun += 1,
            Err(TrySendError::Disconnected(_)) => break,
        }
    }
    Ok(overrun)
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

fn receiving(from: SocketAddr, interface: Option<&Interface>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(from), Type::DGRAM, Some(Protocol::UDP))?;
    // What the system does not grant shows as loss at the sender's rate, not as an error.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_read_timeout(Some(PATIENCE))?;
    if from.ip().is_multicast() {
        socket.set_reuse_address(true)?;
        if from.is_ipv4() {
            // Before bind: no datagram of a group that another process has joined.
            socket.set_multicast_all_v4(false)?;
        } else {
            socket.set_multicast_all_v6(false)?;
        }
    }
    socket.bind(&from.into())?;
    match from.ip() {
        IpAddr::V4(group) if group.is_multicast() => {
            let on = match interface {
                None => InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED),
                Some(Interface::Address(address)) => InterfaceIndexOrAddress::Address(*address),
                Some(Interface::Name(name)) => InterfaceIndexOrAddress::Index(index(name)?),
            };
            socket.join_multicast_v4_n(&group, &on)?;
        }
        IpAddr::V6(group) if group.is_multicast() => {
            socket.join_multicast_v6(&group, index_v6(interface)?)?;
        }
        _ => {}
    }
    Ok(socket.into())
}

fn sending(to: SocketAddr, interface: Option<&Interface>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    let mut source = match to {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    if to.ip().is_multicast() {
        match (to, interface) {
            (SocketAddr::V4(_), Some(Interface::Address(address))) => {
                socket.set_multicast_if_v4(address)?;
                source = (*address).into();
            }
            (SocketAddr::V4(_), Some(Interface::Name(name))) => {
                socket.bind_device(Some(name.as_bytes()))?;
            }
            (SocketAddr::V4(_), None) => {}
            (SocketAddr::V6(_), _) => socket.set_multicast_if_v6(index_v6(interface)?)?,
        }
    }
    socket.bind(&SocketAddr::new(source, 0).into())?;
    Ok(socket.into())
}

fn index_v6(interface: Option<&Interface>) -> io::Result<u32> {
    match interface {
        None => Ok(0),
        Some(Interface::Name(name)) => index(name),
        Some(Interface::Address(_)) => {
            Err(io::Error::other("an IPv6 group needs its interface by name"))
        }
    }
}

/// The number of an interface, as Linux lists it.
fn index(name: &str) -> io::Result<u32> {
    let text = fs::read_to_string(format!("/sys/class/net/{name}/ifindex"))
        .map_err(|_| io::Error::other(format!("there is no interface {name}")))?;
    text.trim().parse().map_err(io::Error::other)
}

/// How long the end of a relay may go unnoticed.
const PATIENCE: Duration = Duration::from_millis(50);
/// Datagrams between a socket and its link.
const QUEUE: usize = 65_536;
const MAX_DATAGRAM: usize = 65_535;
const RECEIVE_BUFFER: usize = 4 << 20;
