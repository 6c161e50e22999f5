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
    keyserver::MskMessage,
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
    pub(super) fn send<'a>(&self, messages: &'a [(MskMessage, SocketAddr)]) -> Vec<Unsent> {
        let v6 = self.address().is_some_and(|own| own.is_ipv6());
        let datagram = |(message, to): &'a (MskMessage, SocketAddr)| {
            (&*message.octets, if v6 { mapped(*to) } else { *to })
        };
        let datagrams: Vec<_> = messages.iter().map(datagram).collect();
        let send = |from| send_batch(&self.socket, datagrams.get(from..).unwrap_or_default());
        push(datagrams.len(), self.patience, send)
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

/// Has `send` send everything from a place on, until all is sent or has failed. Where there is no room
/// it is called again until `patience` is over: all that is left has failed then.
fn push(
    count: usize,
    patience: Duration,
    mut send: impl FnMut(usize) -> io::Result<usize>,
) -> Vec<Unsent> {
    let (give_up, mut done, mut unsent) = (Instant::now() + patience, 0, Vec::new());
    while done < count {
        match send(done) {
            Ok(sent) => done += sent,
            Err(error) if is_timeout(&error) => {
                if Instant::now() >= give_up {
                    let why = Arc::new(error);
                    unsent
                        .extend((done..count).map(|place| Unsent { place, why: Arc::clone(&why) }));
                    return unsent;
                }
            }
            Err(error) => {
                unsent.push(Unsent { place: done, why: Arc::new(error) });
                done += 1;
            }
        }
    }
    unsent
}

/// An address as a socket for both families writes it.
fn mapped(to: SocketAddr) -> SocketAddr {
    match to.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
        IpAddr::V6(_) => to,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(count: usize, send: impl FnMut(usize) -> io::Result<usize>) -> Vec<usize> {
        push(count, Duration::ZERO, send).into_iter().map(|unsent| unsent.place).collect()
    }

    #[test]
    fn buffer_that_stays_full_ends_the_attempt_and_nothing_is_lost_from_sight() {
        let full = |from| if from < 4 { Ok(2) } else { Err(io::ErrorKind::WouldBlock.into()) };
        assert_eq!(failed(7, full), [4, 5, 6]);
        assert!(failed(4, full).is_empty());
    }

    #[test]
    fn room_that_comes_in_time_is_used() {
        let mut calls = 0;
        let slow = |_| {
            calls += 1;
            if calls % 2 == 1 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(1) }
        };
        let unsent = push(3, Duration::from_secs(3600), slow);
        assert_eq!((unsent.len(), calls), (0, 6));
    }

    #[test]
    fn one_address_that_is_refused_costs_its_own_message_only() {
        let refuses =
            |from| if from == 2 { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(1) };
        assert_eq!(failed(5, refuses), [2]);
    }

    #[test]
    fn socket_for_both_families_sends_to_clients_of_either() {
        let any = MskSocket::open("[::]:0".parse().unwrap(), Duration::ZERO).unwrap();
        let v4 = MskSocket::open("127.0.0.1:0".parse().unwrap(), Duration::ZERO).unwrap();
        let [to_v4, to_v6] = ["127.0.0.1:9", "[::1]:9"].map(|to| to.parse().unwrap());
        assert_eq!((any.reaches(to_v4), any.reaches(to_v6)), (true, true));
        assert_eq!((v4.reaches(to_v4), v4.reaches(to_v6)), (true, false));
    }
}
