//! The datagrams of a run on the network, each at its time.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{Datagram, Error, Kind};

/// Where the datagrams go.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Group and port of the media.
    pub media: SocketAddr,
    /// Port of the RTCP; the same as the media's if the receiver tells them apart.
    pub control_port: u16,
    /// Network they leave by; the system's choice if absent.
    pub interface: Option<Interface>,
    /// Routers they may pass: TTL or hop limit.
    pub ttl: u8,
}

/// A local network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Interface {
    /// By its name, for example `lo`; the system chooses the source address.
    Name(String),
    /// By one of its IPv4 addresses, which becomes the source address.
    Address(Ipv4Addr),
}

impl FromStr for Interface {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Address))
    }
}

/// What was sent.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// SRTP packets.
    pub media: u64,
    /// SRTCP packets.
    pub control: u64,
    /// Packets with a wrong tag.
    pub forged: u64,
    /// UDP payload octets of all.
    pub octets: u64,
    /// Times that the traffic key changed.
    pub key_changes: u64,
    /// From the first datagram to the last.
    pub seconds: f64,
    /// Datagrams of all kinds a second.
    pub datagrams_per_second: f64,
    /// Longest time that a datagram left after it was due.
    pub worst_delay_ms: f64,
}

/// Sends the datagrams at their time.
///
/// # Errors
/// [`Error::Io`] if the socket cannot be set up or does not take a datagram, and what `datagrams`
/// yields.
pub fn send(
    to: &Destination,
    datagrams: impl IntoIterator<Item = Result<Datagram, Error>>,
) -> Result<Summary, Error> {
    let socket = open(to)?;
    let control = SocketAddr::new(to.media.ip(), to.control_port);
    let mut summary = Summary::default();
    let (mut worst, mut key) = (Duration::ZERO, 0);
    let mut started = None;
    for datagram in datagrams {
        let datagram = datagram?;
        let start = *started.get_or_insert_with(Instant::now);
        worst = worst.max(wait(start, datagram.due));
        let address = if datagram.kind == Kind::Control { control } else { to.media };
        socket.send_to(&datagram.bytes, &address.into()).map_err(|source| Error::Io {
            context: format!("cannot send {} octets to {address}", datagram.bytes.len()),
            source,
        })?;
        *match datagram.kind {
            Kind::Media => &mut summary.media,
            Kind::Control => &mut summary.control,
            Kind::Forged => &mut summary.forged,
        } += 1;
        summary.octets += datagram.bytes.len() as u64;
        summary.key_changes += u64::from(datagram.key != key);
        key = datagram.key;
    }
    summary.seconds = started.map_or(0.0, |start| start.elapsed().as_secs_f64());
    let all = summary.media + summary.control + summary.forged;
    summary.datagrams_per_second = all as f64 / summary.seconds.max(f64::MIN_POSITIVE);
    summary.worst_delay_ms = worst.as_secs_f64() * 1e3;
    Ok(summary)
}

/// Waits until `due` after `start` and returns by how much that was missed. Sleeps while the time
/// is long enough for the system's timer, then watches the clock.
fn wait(start: Instant, due: Duration) -> Duration {
    const TIMER: Duration = Duration::from_micros(200);
    loop {
        let elapsed = start.elapsed();
        match due.checked_sub(elapsed) {
            None | Some(Duration::ZERO) => return elapsed.saturating_sub(due),
            Some(left) if left > TIMER => thread::sleep(left - TIMER),
            Some(_) => thread::yield_now(),
        }
    }
}

fn open(to: &Destination) -> Result<Socket, Error> {
    let failed = |context: String| move |source: io::Error| Error::Io { context, source };
    let domain = Domain::for_address(to.media);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))
        .map_err(failed("cannot open a UDP socket".into()))?;
    match &to.interface {
        Some(Interface::Name(name)) => socket
            .bind_device(Some(name.as_bytes()))
            .map_err(failed(format!("cannot send by interface {name}")))?,
        Some(Interface::Address(address)) => socket
            .set_multicast_if_v4(address)
            .map_err(failed(format!("no interface has the address {address}")))?,
        None => {}
    }
    let ttl = u32::from(to.ttl);
    let options = match to.media {
        SocketAddr::V4(_) => {
            let source = match to.interface {
                Some(Interface::Address(address)) => address,
                _ => Ipv4Addr::UNSPECIFIED,
            };
            socket
                .set_multicast_ttl_v4(ttl)
                .and_then(|()| socket.set_multicast_loop_v4(true))
                .and_then(|()| socket.bind(&SocketAddr::from((source, 0)).into()))
        }
        SocketAddr::V6(_) => socket
            .set_multicast_hops_v6(ttl)
            .and_then(|()| socket.set_multicast_loop_v6(true))
            .and_then(|()| socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())),
    };
    options.map_err(failed(format!("cannot prepare a socket for {}", to.media)))?;
    Ok(socket)
}
