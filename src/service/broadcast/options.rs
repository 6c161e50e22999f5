//! How the service is started.

use std::time::Duration;

use crate::{
    broadcast::{BroadcastTiming, BroadcasterId},
    state::StateOptions,
};

/// Options of [`BroadcastService::start`](super::BroadcastService::start).
#[non_exhaustive]
#[derive(Debug)]
pub struct BroadcastServiceOptions {
    /// The journal of all channels. How often streams are kept is
    /// [`StateOptions::streams_interval`].
    pub state: StateOptions,
    /// The name that the key server has for this broadcaster. With it, documents for another one are
    /// refused: its MTK IDs must not be used here.
    pub name: Option<BroadcasterId>,
    /// Times and bounds of every channel. The service writes ahead and spreads MTK changes whatever
    /// these say of it.
    pub timing: BroadcastTiming,
    /// A channel whose key server was not heard for this long falls silent: it sends neither packets
    /// nor key messages until a document, also one that is held already, or
    /// [`BroadcastService::heard`](super::BroadcastService::heard) says that the key server is there.
    /// Counts from the start of the channel. Default `None`: it goes on under the key in force.
    ///
    /// With it, somebody who was expelled while the broadcaster was cut off from the key server hears
    /// no longer than this; without it, the group is not disturbed by a key server that is down.
    pub silence_after: Option<Duration>,
    /// Packets handed in that may wait for the thread. Default 4096.
    pub queue: usize,
    /// Octets of receive buffer of each UDP input. Default 1 MiB.
    pub input_buffer: usize,
}

impl BroadcastServiceOptions {
    /// The defaults, with this journal.
    #[must_use]
    pub fn new(state: StateOptions) -> Self {
        Self {
            state,
            name: None,
            timing: BroadcastTiming::default(),
            silence_after: None,
            queue: 4096,
            input_buffer: 1 << 20,
        }
    }

    /// The options with the name of this broadcaster.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<BroadcasterId>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The options with other times and bounds.
    #[must_use]
    pub const fn with_timing(mut self, timing: BroadcastTiming) -> Self {
        self.timing = timing;
        self
    }

    /// The options with a time after which a channel without its key server falls silent.
    #[must_use]
    pub const fn with_silence_after(mut self, time: Option<Duration>) -> Self {
        self.silence_after = time;
        self
    }
}
