//! What the key thread is asked, and the bounded queue on which it is.

use std::{net::SocketAddr, sync::Arc};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::durable::StreamList;
use crate::{
    error::{Error, Reject},
    ids::{GroupId, KeyDomainId},
    keys::{Muk, MukId},
    rx::KeyMessage,
    srtp::{Rcc, SessionId, TrafficKey},
};

/// Memory for one key message on its way from a lane; there are as many as the queue is long.
pub(super) type Buffer = Box<[u8; MAX_KEY_MESSAGE]>;

/// Longest key message taken from a lane or a socket.
pub(super) const MAX_KEY_MESSAGE: usize = 2048;

/// What the key thread is asked to do.
pub(super) enum Command {
    Message { group: Option<GroupId>, octets: Buffer, len: usize, source: SocketAddr },
    InsertMuk { id: MukId, muk: Muk, done: Sender<Result<(), Error>> },
    AddGroup { group: NewGroup, done: Sender<Result<(), Error>> },
    RemoveGroup { group: GroupId },
    Announce { group: GroupId, message: Vec<u8>, done: Sender<Result<(), Error>> },
    InsertFixed { group: GroupId, key: Arc<TrafficKey>, done: Sender<Result<(), Error>> },
    Streams(StreamList),
}

/// A group, as the key thread knows it.
pub(super) struct NewGroup {
    pub(super) group: GroupId,
    pub(super) domain: Option<KeyDomainId>,
    pub(super) rcc: Option<Rcc>,
    /// Its name over restarts.
    pub(super) place: String,
    pub(super) sessions: Vec<SessionId>,
}

/// The lanes' end: buffers to copy a message into, and the queue to put it on.
#[derive(Clone)]
pub(super) struct KeyQueue {
    pub(super) commands: Sender<Command>,
    free: Receiver<Buffer>,
    give_back: Sender<Buffer>,
}

impl KeyQueue {
    /// A queue for `len` messages, with its buffers, and the two ends of the key thread.
    pub(super) fn new(len: usize) -> (Self, Receiver<Command>, Sender<Buffer>) {
        // Some places more than buffers, so that commands find room beside messages.
        let (commands, queue) = bounded(len.max(1) + 64);
        let (give_back, free) = bounded(len.max(1));
        for _ in 0..len.max(1) {
            // The channel holds as many as are made.
            let _ = give_back.try_send(Box::new([0; MAX_KEY_MESSAGE]));
        }
        (Self { commands, free, give_back: give_back.clone() }, queue, give_back)
    }

    /// Copies a message onto the queue without waiting or allocating.
    pub(super) fn offer(
        &self,
        group: Option<GroupId>,
        message: &[u8],
        source: SocketAddr,
    ) -> Result<(), Reject> {
        if message.len() > MAX_KEY_MESSAGE {
            return Err(Reject::Oversized);
        }
        let mut octets = self.free.try_recv().map_err(|_| Reject::MikeyQueueFull)?;
        octets[..message.len()].copy_from_slice(message);
        let command = Command::Message { group, octets, len: message.len(), source };
        self.commands.try_send(command).map_err(|refused| {
            if let Command::Message { octets, .. } = refused.into_inner() {
                let _ = self.give_back.try_send(octets);
            }
            Reject::MikeyQueueFull
        })
    }

    /// The same for a lane's message.
    pub(super) fn offer_from(&self, message: &KeyMessage<'_>) -> Result<(), Reject> {
        self.offer(Some(message.group), message.bytes, message.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_that_was_full_of_commands_takes_messages_again() {
        let (queue, inbox, give_back) = KeyQueue::new(1);
        let source = SocketAddr::from(([192, 0, 2, 1], 2269));
        let offer = || queue.offer(None, &[1; 40], source);
        while queue.commands.try_send(Command::RemoveGroup { group: GroupId(0) }).is_ok() {}
        assert_eq!((offer(), offer()), (Err(Reject::MikeyQueueFull), Err(Reject::MikeyQueueFull)));
        inbox.try_iter().for_each(drop);
        assert_eq!((offer(), offer()), (Ok(()), Err(Reject::MikeyQueueFull)));
        let Ok(Command::Message { octets, .. }) = inbox.try_recv() else { panic!("no message") };
        give_back.send(octets).unwrap();
        assert_eq!(offer(), Ok(()));
    }
}
