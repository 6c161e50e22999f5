//! What happened to the datagrams of one group: written by its lane, read by anyone.

use std::{fmt, ops::Add};

use crate::counter::{Counter, RejectCounters, RejectStats};

/// Counters of one group. One lane writes, so that counting takes no locked instruction.
#[derive(Debug, Default)]
pub struct GroupCounters {
    pub(crate) datagrams: Counter,
    pub(crate) octets: Counter,
    pub(crate) media: Counter,
    pub(crate) unauthenticated: Counter,
    pub(crate) burst: Counter,
    pub(crate) rtcp: Counter,
    pub(crate) key_messages: Counter,
    pub(crate) held: Counter,
    pub(crate) released: Counter,
    pub(crate) streams: Counter,
    pub(crate) evicted_streams: Counter,
    pub(crate) socket_drops: Counter,
    pub(crate) ignored_octets: Counter,
    pub(crate) rejects: RejectCounters,
}

impl GroupCounters {
    /// The counters of this moment.
    #[must_use]
    pub fn snapshot(&self) -> GroupStats {
        GroupStats {
            datagrams: self.datagrams.value(),
            octets: self.octets.value(),
            media: self.media.value(),
            unauthenticated: self.unauthenticated.value(),
            burst: self.burst.value(),
            rtcp: self.rtcp.value(),
            key_messages: self.key_messages.value(),
            held: self.held.value(),
            released: self.released.value(),
            streams: self.streams.value(),
            evicted_streams: self.evicted_streams.value(),
            socket_drops: self.socket_drops.value(),
            ignored_octets: self.ignored_octets.value(),
            rejects: self.rejects.snapshot(),
        }
    }
}

/// Counters of one group at one moment; all grow from 0.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct GroupStats {
    /// Datagrams received.
    pub datagrams: u64,
    /// Their octets, UDP payload only.
    pub octets: u64,
    /// RTP packets delivered.
    pub media: u64,
    /// Of these, packets that nothing authenticates, as some RCC modes have them.
    pub unauthenticated: u64,
    /// Burst-control messages delivered.
    pub burst: u64,
    /// Other RTCP packets delivered.
    pub rtcp: u64,
    /// MIKEY messages passed on to the key plane.
    pub key_messages: u64,
    /// Packets held back for their key.
    pub held: u64,
    /// Held packets whose key came in time.
    pub released: u64,
    /// Streams seen for the first time.
    pub streams: u64,
    /// Streams forgotten because others of the same address needed the room.
    pub evicted_streams: u64,
    /// Datagrams the system dropped because a socket's buffer was full, at the sockets that the group
    /// uses; other groups may share them. Read once a second.
    pub socket_drops: u64,
    /// Octets behind burst-control messages that are neither padding nor items.
    pub ignored_octets: u64,
    /// Datagrams refused, by reason.
    pub rejects: RejectStats,
}

impl Add for GroupStats {
    type Output = Self;

    /// Both together: of one group on several threads.
    fn add(self, other: Self) -> Self {
        Self {
            datagrams: self.datagrams + other.datagrams,
            octets: self.octets + other.octets,
            media: self.media + other.media,
            unauthenticated: self.unauthenticated + other.unauthenticated,
            burst: self.burst + other.burst,
            rtcp: self.rtcp + other.rtcp,
            key_messages: self.key_messages + other.key_messages,
            held: self.held + other.held,
            released: self.released + other.released,
            streams: self.streams + other.streams,
            evicted_streams: self.evicted_streams + other.evicted_streams,
            socket_drops: self.socket_drops + other.socket_drops,
            ignored_octets: self.ignored_octets + other.ignored_octets,
            rejects: self.rejects + other.rejects,
        }
    }
}

impl fmt::Display for GroupStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { datagrams, media, burst, rtcp, key_messages, held, .. } = self;
        let Self { unauthenticated, socket_drops, evicted_streams, .. } = self;
        write!(
            f,
            "{datagrams} datagrams: {media} media, {burst} burst, {rtcp} rtcp, \
             {key_messages} key messages, {held} held"
        )?;
        let others = [
            ("unauthenticated", unauthenticated),
            ("socket_drops", socket_drops),
            ("evicted_streams", evicted_streams),
        ];
        for (name, count) in others.into_iter().filter(|(_, count)| **count > 0) {
            write!(f, ", {count} {name}")?;
        }
        self.rejects.iter().try_for_each(|(reject, count)| write!(f, ", {count} {reject}"))
    }
}
