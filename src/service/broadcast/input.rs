//! Packets handed in by the program that the service is part of.

use std::sync::{Arc, atomic::Ordering};

use crossbeam_channel::{Sender, TrySendError};

use super::{counters::Counted, service::Bell};

/// A plain packet on its way to the thread.
pub(super) struct HandedIn {
    /// Number of the channel.
    pub(super) channel: u64,
    pub(super) medium: usize,
    pub(super) packet: Vec<u8>,
}

/// One medium of a channel, to hand plain packets to: RTP, or RTCP with reports or burst control.
/// Cheap to clone; never waits.
#[derive(Clone)]
pub struct Input {
    pub(super) channel: u64,
    pub(super) medium: usize,
    pub(super) queue: Sender<HandedIn>,
    pub(super) counted: Arc<Counted>,
    pub(super) bell: Arc<Bell>,
}

impl Input {
    /// Hands a packet in. It is protected and sent as one that came by UDP: what is wrong with it is
    /// counted, not told.
    ///
    /// # Errors
    /// [`NotTaken`], with the packet.
    pub fn push(&self, packet: Vec<u8>) -> Result<(), (NotTaken, Vec<u8>)> {
        let handed_in = HandedIn { channel: self.channel, medium: self.medium, packet };
        match self.queue.try_send(handed_in) {
            Ok(()) => {
                self.bell.ring();
                Ok(())
            }
            Err(TrySendError::Full(HandedIn { packet, .. })) => {
                self.counted.queue_full.fetch_add(1, Ordering::Relaxed);
                Err((NotTaken::Full, packet))
            }
            Err(TrySendError::Disconnected(HandedIn { packet, .. })) => {
                Err((NotTaken::Stopped, packet))
            }
        }
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Input(channel {}, medium {})", self.channel, self.medium)
    }
}

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotTaken {
    /// More packets wait than the queue holds; counted as
    /// [`queue_full`](super::ChannelCounters::queue_full).
    Full,
    /// The service has been stopped.
    Stopped,
}
