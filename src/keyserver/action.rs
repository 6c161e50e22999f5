//! What the key server asks its caller to do, in the order in which it is to be done.

use std::{fmt, time::Instant};

use super::{ClientId, MskMessage};
use crate::{
    broadcast::{BroadcasterId, ChannelDocument, ChannelId},
    ids::MskId,
};

/// One thing to do, or to know.
#[non_exhaustive]
#[derive(Debug)]
pub enum Action {
    /// Send this MSK message to its client.
    SendMsk(MskMessage),
    /// Bring this document to its broadcaster (requirement P6). A newer one of the same channel and
    /// broadcaster makes it pointless.
    Publish(ChannelDocument),
    /// The first leave or expulsion has opened a window; the update begins when it closes.
    WindowOpened {
        /// The channel.
        channel: ChannelId,
        /// What the update will be for.
        cause: UpdateCause,
        /// When it closes.
        closes: Instant,
    },
    /// An update has begun; for the operator.
    UpdateBegun {
        /// The channel.
        channel: ChannelId,
        /// The new MSK.
        msk_id: MskId,
        /// Why.
        cause: UpdateCause,
        /// When the switch happens at the latest.
        deadline: Instant,
    },
    /// A client has confirmed that it holds an MSK; for the operator.
    Confirmed {
        /// The channel.
        channel: ChannelId,
        /// The client.
        client: ClientId,
        /// What it holds.
        msk_id: MskId,
    },
    /// The MSK that was coming is in force (D3 step 2).
    Switched {
        /// The channel.
        channel: ChannelId,
        /// The MSK in force.
        msk_id: MskId,
        /// Members that had not confirmed it when the deadline passed; 0 if that was not awaited.
        unconfirmed: usize,
        /// Broadcasters that were not known to hold it when the deadline passed. They go on under
        /// the old MSK until the document reaches them.
        lacking: Vec<BroadcasterId>,
    },
    /// An MSK is out of use, and the key server has erased it.
    Destroyed {
        /// The channel.
        channel: ChannelId,
        /// The MSK.
        msk_id: MskId,
    },
    /// The channel is closed.
    Closed {
        /// The channel.
        channel: ChannelId,
    },
    /// A member has confirmed none of the usual copies; copies go on, at the longest wait
    /// ([`Unconfirmed::KeepTrying`](super::Unconfirmed::KeepTrying)).
    KeepsTrying {
        /// The channel.
        channel: ChannelId,
        /// The client.
        client: ClientId,
        /// What it did not confirm.
        msk_id: MskId,
    },
    /// A member has confirmed none of the copies and was struck off, as if it had left
    /// ([`Unconfirmed::Remove`](super::Unconfirmed::Remove)).
    Removed {
        /// The channel.
        channel: ChannelId,
        /// The client.
        client: ClientId,
        /// What it did not confirm.
        msk_id: MskId,
    },
    /// No further copy of an MSK is sent to a client until it asks or is moved.
    GaveUp {
        /// The channel.
        channel: ChannelId,
        /// The client. A late confirmation still counts.
        client: ClientId,
        /// What it did not confirm.
        msk_id: MskId,
        /// Why no more copies are sent.
        why: Undelivered,
    },
    /// The key group has few key numbers left for updates; told each time they are half as many, from 1024
    /// on. Close the channel before there is none, and open it with another key group.
    KeyNumbersLow {
        /// The channel.
        channel: ChannelId,
        /// Key numbers left.
        left: u16,
    },
    /// An update that fell due cannot be made, because the key group has no key number left: close
    /// the channel and open it with another key group.
    KeyNumbersUsedUp {
        /// The channel, which goes on under the MSK it has.
        channel: ChannelId,
    },
}

/// Why an MSK is updated (P4, P5, D1).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum UpdateCause {
    /// A client was expelled.
    Expulsion,
    /// A client left or was removed, and the policy is to update.
    Leave,
    /// The MSK reached its lifetime.
    Lifetime,
    /// The broadcaster has few MTK IDs left.
    MtkIds,
    /// The operator wants it.
    Command,
    /// The MSK, or the one that is coming, may be known to somebody else.
    Compromise,
    /// The channel names other broadcasters, which need MTK IDs of their own.
    Broadcasters,
}

impl UpdateCause {
    /// Every cause.
    pub const ALL: [Self; 7] = [
        Self::Expulsion,
        Self::Leave,
        Self::Lifetime,
        Self::MtkIds,
        Self::Command,
        Self::Compromise,
        Self::Broadcasters,
    ];

    /// The name, in snake case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expulsion => "expulsion",
            Self::Leave => "leave",
            Self::Lifetime => "lifetime",
            Self::MtkIds => "mtk_ids",
            Self::Command => "command",
            Self::Compromise => "compromise",
            Self::Broadcasters => "broadcasters",
        }
    }

    /// Whether the MSK of an update under way will not do: the wrong hands may hold it, or a
    /// broadcaster has no part in it.
    #[must_use]
    pub const fn supersedes(self) -> bool {
        matches!(self, Self::Expulsion | Self::Compromise | Self::Broadcasters)
    }
}

impl fmt::Display for UpdateCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the key server stopped sending an MSK to a client.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Undelivered {
    /// All copies went unanswered.
    NoAnswer,
    /// The client's MUK has no counter left: it must bootstrap again.
    CountersUsedUp,
    /// The client is not on the roster.
    NotOnRoster,
    /// A part of the message does not fit its field, for example an identity.
    NotEncodable,
}

impl Undelivered {
    /// The name, in snake case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoAnswer => "no_answer",
            Self::CountersUsedUp => "counters_used_up",
            Self::NotOnRoster => "not_on_roster",
            Self::NotEncodable => "not_encodable",
        }
    }
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAnswer => "no copy was answered",
            Self::CountersUsedUp => "its MUK has no counter left; it must bootstrap again",
            Self::NotOnRoster => "it is not on the roster",
            Self::NotEncodable => "a part of its message does not fit its field",
        })
    }
}
