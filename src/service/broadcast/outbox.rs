//! Datagrams on their way out: gathered in a turn of the thread, sent many in a system call.

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use arrayvec::ArrayVec;

use super::{channel::Destination, sealed::Sealed};
use crate::{
    error::Error,
    group::Interface,
    net::{SendOptions, SendSocket},
    srtp::MAX_BATCH,
};

/// What makes two channels use one socket. The TTL is no part of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Way {
    pub(super) is_ipv4: bool,
    pub(super) interface: Interface,
    pub(super) options: SendOptions,
}

/// A datagram, where it goes, and whose it is.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) datagram: Sealed,
    pub(super) to: Destination,
    /// Number of the channel.
    pub(super) channel: u64,
    /// When it should have left, where that is measured.
    pub(super) due: Option<Instant>,
}

/// One socket, and what waits for it.
#[derive(Debug)]
struct Outbox {
    way: Way,
    socket: SendSocket,
    /// What the socket is set to.
    ttl: u8,
    letters: Vec<Letter>,
    users: usize,
}

/// All sockets; one for each family, interface and source address.
#[derive(Debug, Default)]
pub(super) struct Outboxes(Vec<Option<Outbox>>);

impl Outboxes {
    /// The number of the outbox for this way, with one user more.
    ///
    /// # Errors
    /// Those of [`SendSocket::open`].
    pub(super) fn take(&mut self, way: Way, group: IpAddr) -> Result<usize, Error> {
        let same =
            |outbox: &Option<Outbox>| outbox.as_ref().is_some_and(|outbox| outbox.way == way);
        if let Some(number) = self.0.iter().position(same) {
            if let Some(outbox) = &mut self.0[number] {
                outbox.users += 1;
            }
            return Ok(number);
        }
        let socket = SendSocket::open(group, &way.interface, &way.options)?;
        let ttl = way.options.ttl;
        let outbox = Some(Outbox { way, socket, ttl, letters: Vec::new(), users: 1 });
        match self.0.iter().position(Option::is_none) {
            Some(number) => {
                self.0[number] = outbox;
                Ok(number)
            }
            None => {
                self.0.push(outbox);
                Ok(self.0.len() - 1)
            }
        }
    }

    /// Takes a user away; with the last one the socket is closed.
    pub(super) fn release(&mut self, number: usize) {
        if let Some(place) = self.0.get_mut(number)
            && let Some(outbox) = place
        {
            outbox.users -= 1;
            if outbox.users == 0 {
                *place = None;
            }
        }
    }

    pub(super) fn put(&mut self, letter: Letter) {
        if let Some(Some(outbox)) = self.0.get_mut(letter.to.outbox) {
            outbox.letters.push(letter);
        }
    }

    /// Sends everything, and tells of each datagram what became of it. One that the system refuses is
    /// passed over; those behind it are sent.
    pub(super) fn flush(&mut self, mut done: impl FnMut(Letter, Result<(), Error>)) {
        for outbox in self.0.iter_mut().flatten() {
            let mut letters = std::mem::take(&mut outbox.letters);
            let mut left = &letters[..];
            let mut refusals = Vec::new();
            while let Some(first) = left.first() {
                let ttl = first.to.ttl;
                let alike = left.iter().take_while(|letter| letter.to.ttl == ttl).take(MAX_BATCH);
                let batch: ArrayVec<(&[u8], SocketAddr), MAX_BATCH> =
                    alike.map(|letter| (letter.datagram.octets(), letter.to.address)).collect();
                let set = if outbox.ttl == ttl { Ok(()) } else { outbox.socket.set_ttl(ttl) };
                let sent = match set.and_then(|()| {
                    outbox.ttl = ttl;
                    outbox.socket.send_batch(&batch)
                }) {
                    Ok(sent) => sent.max(1),
                    Err(error) => {
                        refusals.push((letters.len() - left.len(), error));
                        1
                    }
                };
                left = left.get(sent..).unwrap_or_default();
            }
            let mut refusals = refusals.into_iter().peekable();
            for (place, letter) in letters.drain(..).enumerate() {
                let refusal = refusals.next_if(|(refused, _)| *refused == place);
                done(letter, refusal.map_or(Ok(()), |(_, error)| Err(error)));
            }
            outbox.letters = letters;
        }
    }
}

/// Memory of packets that are gone, for the next ones; so much of it that a burst allocates once.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<Vec<u8>>);

impl Spare {
    const ROOM: usize = 4096;

    /// A buffer with these octets.
    pub(super) fn filled(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut buffer = self.0.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(octets);
        buffer
    }

    pub(super) fn keep(&mut self, buffer: Vec<u8>) {
        if self.0.len() < Self::ROOM {
            self.0.push(buffer);
        }
    }
}
