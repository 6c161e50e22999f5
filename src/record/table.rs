//! What records are about.

/// What a record is about: the first octet of its key.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Table {
    /// Counters of a client key, by its identities.
    Muk = 1,
    /// MSKs of a key group with their counters.
    Msks = 2,
    /// Traffic keys of a key group.
    Live = 3,
    /// Key groups that a talk group was seen to use, by its place.
    Bound = 4,
    /// Streams of a talk group, by its place.
    Streams = 5,
    /// A client of the key server: its MUK, and how it is reached.
    Client = 6,
    /// The last counter used under a client's MUK.
    Counter = 7,
    /// The last key number used in a key group.
    KeyNumber = 8,
    /// An open channel: settings, MSKs, what is due when.
    Channel = 9,
    /// The SRTP-ID map of a channel.
    ChannelStreams = 10,
    /// A member of a channel, and the newest MSK it is known to hold.
    Member = 11,
    /// Who was expelled from a channel.
    Expelled = 12,
    /// The highest counter under a MUK that is on the roster no more.
    CounterFloor = 13,
    /// What stays of a channel that was closed: the version of its documents.
    Closed = 14,
    /// The last membership event consumed of a publisher.
    Consumed = 15,
    /// What a broadcaster follows.
    Broadcaster = 16,
    /// An MSK at a broadcaster, and how much of it is used.
    BroadcastMsk = 17,
    /// Where a stream of a broadcaster stands.
    BroadcastStream = 18,
    /// The last document of a broadcaster that is out of a channel.
    Ended = 19,
    /// An event for the membership bus that is not known to be taken.
    Outbox = 20,
    /// The number of the last event for the membership bus.
    Published = 21,
}

impl Table {
    /// The table of a key, and the rest of the key.
    pub(crate) fn split(key: &[u8]) -> Option<(Self, &[u8])> {
        let (table, rest) = key.split_first()?;
        let place = usize::from(*table).checked_sub(1)?;
        Some((*Self::ALL.get(place)?, rest))
    }

    /// Whether its records have keys in them.
    #[cfg(feature = "state")]
    pub(crate) const fn has_keys(self) -> bool {
        matches!(
            self,
            Self::Muk | Self::Msks | Self::Live | Self::Client | Self::Channel | Self::BroadcastMsk
        )
    }

    /// In the order of their numbers, from 1.
    pub(super) const ALL: [Self; 21] = [
        Self::Muk,
        Self::Msks,
        Self::Live,
        Self::Bound,
        Self::Streams,
        Self::Client,
        Self::Counter,
        Self::KeyNumber,
        Self::Channel,
        Self::ChannelStreams,
        Self::Member,
        Self::Expelled,
        Self::CounterFloor,
        Self::Closed,
        Self::Consumed,
        Self::Broadcaster,
        Self::BroadcastMsk,
        Self::BroadcastStream,
        Self::Ended,
        Self::Outbox,
        Self::Published,
    ];
}
