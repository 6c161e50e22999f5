//! Waiting for datagrams on many sockets, with a bound and a way to be woken.

use std::{
    io::{self, Read, Write},
    net::UdpSocket,
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::Arc,
    time::Duration,
};

use super::sys::{Epoll, Event, NO_EVENT};

/// Waits for the sockets of one lane. Allocates nothing once the sockets are added.
#[derive(Debug)]
pub struct Poller {
    epoll: Epoll,
    events: [Event; Self::READY_AT_ONCE],
    ready: Vec<usize>,
    wake: UnixStream,
    waker: Waker,
}

impl Poller {
    /// How many sockets one wait reports; the others' turn comes with the next.
    pub const READY_AT_ONCE: usize = 64;

    /// A poller without sockets.
    ///
    /// # Errors
    /// The system's answer.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let (wake, far) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        epoll.add(wake.as_raw_fd(), WAKE)?;
        Ok(Self {
            epoll,
            events: [NO_EVENT; Self::READY_AT_ONCE],
            ready: Vec::with_capacity(Self::READY_AT_ONCE),
            wake,
            waker: Waker(Arc::new(far)),
        })
    }

    /// Adds a socket, to be reported by this token (anything but `usize::MAX`).
    ///
    /// # Errors
    /// The system's answer.
    pub fn add(&mut self, socket: &UdpSocket, token: usize) -> io::Result<()> {
        self.add_any(socket, token)
    }

    /// The same for any descriptor.
    pub(super) fn add_any(&mut self, waited_for: &impl AsRawFd, token: usize) -> io::Result<()> {
        self.epoll.add(waited_for.as_raw_fd(), token as u64) // no wider than 64 bits
    }

    /// Removes a socket; one that is closed removes itself.
    ///
    /// # Errors
    /// The system's answer.
    pub fn remove(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.epoll.remove(socket.as_raw_fd())
    }

    /// Waits until a socket has datagrams, a [`Waker`] calls, or the time is over (rounded up to
    /// milliseconds; `None`: never). Returns the tokens of sockets that have datagrams.
    ///
    /// # Errors
    /// The system's answer; a signal counts as the time being over.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<&[usize]> {
        self.ready.clear();
        let millis = timeout.map_or(-1, |time| {
            i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        let count = match self.epoll.wait(&mut self.events, millis) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => other?,
        };
        for event in self.events.iter().take(count) {
            if event.u64 == WAKE {
                self.waker.settle(&self.wake);
            } else {
                self.ready.push(event.u64 as usize); // came from a usize
            }
        }
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
pub struct Waker(Arc<UnixStream>);

impl Waker {
    /// Wakes the poller. Never waits; calls before it has woken count as one.
    pub fn wake(&self) {
        // The only failures are a full buffer, which means that a wake is under way, and a poller
        // that is gone.
        let _pending = (&*self.0).write(&[1]);
    }

    fn settle(&self, mut wake: &UnixStream) {
        let mut calls = [0; 64];
        while matches!(wake.read(&mut calls), Ok(n) if n == calls.len()) {}
    }
}

/// Token of the poller's own descriptor.
const WAKE: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(10));

    #[test]
    fn only_sockets_with_datagrams_are_reported() {
        let sockets: Vec<_> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let mut poller = Poller::new().unwrap();
        for (token, socket) in sockets.iter().enumerate() {
            poller.add(socket, token).unwrap();
        }
        assert!(poller.wait(Some(Duration::ZERO)).unwrap().is_empty());
        sockets[0].send_to(b"x", sockets[2].local_addr().unwrap()).unwrap();
        assert_eq!(poller.wait(LONG).unwrap(), [2]);
        assert_eq!(poller.wait(LONG).unwrap(), [2], "until it is read");
        poller.remove(&sockets[2]).unwrap();
        assert!(poller.wait(Some(Duration::ZERO)).unwrap().is_empty());
    }

    #[test]
    fn a_waker_ends_a_wait_once_however_often_it_calls() {
        let mut poller = Poller::new().unwrap();
        let waker = poller.waker();
        let thread = std::thread::spawn(move || (0..200).for_each(|_| waker.wake()));
        assert!(poller.wait(None).unwrap().is_empty());
        thread.join().unwrap();
        poller.waker().wake();
        assert!(poller.wait(None).unwrap().is_empty());
        let before = std::time::Instant::now();
        assert!(poller.wait(Some(Duration::from_micros(1500))).unwrap().is_empty());
        assert!(before.elapsed() >= Duration::from_millis(1));
    }
}
