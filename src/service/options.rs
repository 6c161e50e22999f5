//! How a key service is set up.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use super::bus::MembershipBus;
use crate::{broadcast::ChannelId, keyserver::Timing, state::StateOptions};

/// Settings of a [`KeyService`](super::KeyService).
#[non_exhaustive]
#[derive(Debug)]
pub struct KeyServiceOptions {
    /// Where the state is kept.
    pub state: StateOptions,
    /// How MSK messages are repeated.
    pub timing: Timing,
    /// Address of the socket for MSK and verification messages, in general with the port
    /// [`MIKEY_PORT`](crate::keyserver::MIKEY_PORT). `None`: every client is reached by SDP.
    pub mikey: Option<SocketAddr>,
    /// Bounds.
    pub limits: KeyServiceLimits,
    /// A broadcaster of which nothing was heard for this long is told to be silent. Default 30 s.
    pub broadcaster_silence: Duration,
    /// The membership bus, if other PFs serve clients of channels here, or the other way round. The
    /// clients of channels here are on the roster here, whoever serves them.
    pub bus: Option<Box<dyn MembershipBus>>,
    /// Channels that another PF controls: who joins, leaves or is expelled is published on the bus, and
    /// nothing else happens here. Such a request is answered when it is durable here, and always with
    /// `changed`; asked again, it is published again, which changes nothing there. What
    /// [`Change`](crate::keyserver::Change) has no word for, such as answers to SDP offers, is for the PF
    /// that controls the channel. None of these channels may be open here.
    pub elsewhere: BTreeSet<ChannelId>,
}

impl KeyServiceOptions {
    /// Default settings, without a socket and without a bus.
    #[must_use]
    pub fn new(state: StateOptions) -> Self {
        Self {
            state,
            timing: Timing::default(),
            mikey: None,
            limits: KeyServiceLimits::default(),
            broadcaster_silence: Duration::from_secs(30),
            bus: None,
            elsewhere: BTreeSet::new(),
        }
    }
}

/// Bounds of a key service; each has a counter for what it refused.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeyServiceLimits {
    /// Requests that wait at most; more are refused as unavailable
    /// ([`KeyServiceCounters::queue_full`](super::KeyServiceCounters::queue_full)). Default 1024.
    pub requests: usize,
    /// Requests, datagrams and bus events that share one commit at most, of each kind. Default 256.
    pub per_commit: usize,
    /// Verification messages that wait at most; more are dropped
    /// ([`KeyServiceCounters::datagrams_dropped`](super::KeyServiceCounters::datagrams_dropped)).
    /// Default 16 384.
    pub datagrams: usize,
    /// Events kept for readers that come late; readers are told how many they missed. Default
    /// 16 384.
    pub events: usize,
    /// Waits for a document ([`KeyService::when_document`](super::KeyService::when_document)) at a
    /// time; more are refused as unavailable
    /// ([`KeyServiceCounters::document_waits_refused`](super::KeyServiceCounters::document_waits_refused)).
    /// Default 4096.
    pub document_waits: usize,
    /// How long the socket is waited for in one go when its buffer is full. What is unsent then is
    /// repeated as if lost
    /// ([`KeyServiceCounters::msk_messages_not_sent`](super::KeyServiceCounters::msk_messages_not_sent)).
    /// Default 200 ms.
    pub send_patience: Duration,
}

impl Default for KeyServiceLimits {
    fn default() -> Self {
        Self {
            requests: 1024,
            per_commit: 256,
            datagrams: 16_384,
            events: 16_384,
            document_waits: 4096,
            send_patience: Duration::from_millis(200),
        }
    }
}
