//! The socket of MSK messages out and verification messages in.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Sender, TrySendError};
use socket2::SockRef;
use tracing::debug;

use super::counters::Counts;
use crate::{
    error::Error,
    keyserver::{MskMessage, Route},
    net::{bind_unicast, send_batch},
};

/// A verification message, or whatever somebody has sent instead.
pub(super) struct Incoming {
    pub(super) octets: Vec<u8>,
    pub(super) source: SocketAddr,
}

/// The socket, for sending.
#[derive(Clone, Debug)]
pub(super) struct MskSocket {
    socket: Arc<UdpSocket>,
    patience: Duration,
}

/// A message that did not leave.
pub(super) struct Unsent {
    /// Its place among the messages.
    pub(super) place: usize,
    pub(super) why: Arc<io::Error>,
}

impl MskSocket {
    pub(super) fn open(address: SocketAddr, patience: Duration) -> Result<Self, Error> {
        let failed = |error| {
            let context =
                format!("cannot use {address} for MSK messages; is it this host's, and free?");
            Error::io(context, error)
        };
        let socket = bind_unicast(address).map_err(failed)?;
        socket.set_read_timeout(Some(TICK)).map_err(failed)?;
        socket.set_write_timeout(Some(SEND_TICK)).map_err(failed)?;
        let buffers = SockRef::from(&socket);
        // The system gives what it allows. All members may answer an update at the same time.
        let _ = buffers.set_recv_buffer_size(BUFFER);
        let _ = buffers.set_send_buffer_size(BUFFER);
        Ok(Self { socket: Arc::new(socket), patience })
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// Whether the socket can send to this address: of its family, or IPv4 from a socket for both.
    pub(super) fn reaches(&self, to: SocketAddr) -> bool {
        self.address().is_some_and(|own| match own.ip() {
            IpAddr::V4(_) => to.is_ipv4(),
            IpAddr::V6(own) => to.is_ipv6() || own.is_unspecified(),
        })
    }

    /// Sends messages in their order, many in a system call; returns those that did not leave. Waits
    /// for room in the socket's buffer, but not for ever.
    pub(super) fn send(&self, messages: &[MskMessage]) -> Vec<Unsent> {
        let v6 = self.address().is_some_and(|own| own.is_ipv6());
        let datagram = |message| datagram(message, v6);
        let (places, datagrams): (Vec<_>, Vec<_>) = messages
            .iter()
            .enumerate()
            .filter_map(|(place, message)| Some((place, datagram(message)?)))
            .unzip();
        let mut unsent = Vec::new();
        let give_up = Instant::now() + self.patience;
        let mut done = 0;
        while let Some(rest) = datagrams.get(done..).filter(|rest| !rest.is_empty()) {
            match send_batch(&self.socket, rest) {
                Ok(sent) => done += sent,
                Err(error) if is_timeout(&error) && Instant::now() < give_up => {}
                Err(error) if is_timeout(&error) => {
                    let why = Arc::new(error);
                    let left = places.iter().skip(done);
                    unsent
                        .extend(left.map(|place| Unsent { place: *place, why: Arc::clone(&why) }));
                    break;
                }
                Err(error) => {
                    let place = places.get(done).copied().unwrap_or_default();
                    unsent.push(Unsent { place, why: Arc::new(error) });
                    done += 1;
                }
            }
        }
        unsent
    }

    /// Reads datagrams until told to stop.
    pub(super) fn listen(&self, queue: &Sender<Incoming>, counts: &Counts, stop: &AtomicBool) {
        let mut octets = [0; MAX_MESSAGE];
        while !stop.load(Ordering::Relaxed) {
            match self.socket.recv_from(&mut octets) {
                Ok((len, source)) => {
                    let octets = octets.get(..len).unwrap_or_default().to_vec();
                    let source = SocketAddr::new(source.ip().to_canonical(), source.port());
                    match queue.try_send(Incoming { octets, source }) {
                        Ok(()) => {}
                        Err(TrySendError::Full(_)) => counts.datagrams_dropped.add(1),
                        Err(TrySendError::Disconnected(_)) => return,
                    }
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) => {
                    debug!(%error, "socket of verification messages");
                    std::thread::sleep(TICK);
                }
            }
        }
    }
}

/// What leaves for a message by UDP.
fn datagram(message: &MskMessage, v6: bool) -> Option<(&[u8], SocketAddr)> {
    let Route::Udp(to) = message.to else { return None };
    let ip = match to.ip() {
        IpAddr::V4(ip) if v6 => ip.to_ipv6_mapped().into(),
        ip => ip,
    };
    Some((&message.octets, SocketAddr::new(ip, to.port())))
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

/// Longest message that is read; verification messages have about a hundred octets.
const MAX_MESSAGE: usize = 2048;
/// How soon the reading thread notices that it is to stop.
const TICK: Duration = Duration::from_millis(100);
/// One wait for room in the socket's buffer.
const SEND_TICK: Duration = Duration::from_millis(20);
/// Octets asked for in each direction: ten thousand small datagrams.
const BUFFER: usize = 8 << 20;
