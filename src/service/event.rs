//! What happened, for operators: told after it will survive a crash, never with key material.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, Serializer};

use crate::{
    broadcast::{BroadcasterId, ChannelId},
    error::Reject,
    ids::MskId,
    keyserver::{ClientId, Publisher, Purpose, Undelivered, UpdateCause},
};

/// One thing that happened.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Event {
    /// Rises from event to event, also over restarts: see [`KeyService::events`](super::KeyService::events).
    pub id: u64,
    /// When; in JSON, milliseconds since 1970 as `unix_ms`.
    #[serde(rename = "unix_ms", serialize_with = "unix_ms")]
    pub at: SystemTime,
    /// The channel it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelId>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened. In JSON, the name in snake case stands in the field `event`.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The service has started, with what it knew before.
    Started {
        /// Clients on the roster.
        clients: usize,
        /// Open channels.
        channels: usize,
    },
    /// A client was put on the roster.
    ClientAdded {
        /// The client.
        client: ClientId,
    },
    /// A client has a new MUK.
    MukRenewed {
        /// The client.
        client: ClientId,
    },
    /// A client is reached in another way.
    ClientMoved {
        /// The client.
        client: ClientId,
    },
    /// A client was taken off the roster.
    ClientRemoved {
        /// The client.
        client: ClientId,
    },
    /// The channel was opened.
    ChannelOpened {
        /// Its first MSK.
        msk_id: MskId,
    },
    /// The channel was closed.
    ChannelClosed,
    /// Settings of the channel changed.
    PolicyChanged,
    /// A client joined.
    Joined {
        /// The client.
        client: ClientId,
    },
    /// A client left of its own will.
    Left {
        /// The client.
        client: ClientId,
    },
    /// A client was expelled.
    Expelled {
        /// The client.
        client: ClientId,
    },
    /// An expelled client may join again.
    Readmitted {
        /// The client.
        client: ClientId,
    },
    /// Leaves or expulsions are gathered until this time, then cost one update.
    WindowOpened {
        /// What is gathered.
        cause: UpdateCause,
        /// Until when; in JSON, milliseconds since 1970 as `until_unix_ms`.
        #[serde(rename = "until_unix_ms", serialize_with = "unix_ms")]
        until: SystemTime,
    },
    /// An MSK update has begun.
    UpdateBegun {
        /// The new MSK.
        msk_id: MskId,
        /// Why.
        cause: UpdateCause,
        /// When the switch happens at the latest; in JSON, milliseconds since 1970 as
        /// `deadline_unix_ms`.
        #[serde(rename = "deadline_unix_ms", serialize_with = "unix_ms")]
        deadline: SystemTime,
    },
    /// MSK messages left in one go: as many as were due at the same time.
    MskSent {
        /// The MSK.
        msk_id: MskId,
        /// What they are for.
        purpose: Purpose,
        /// How many messages, repetitions included.
        messages: u64,
        /// Whose, if it was one message.
        #[serde(skip_serializing_if = "Option::is_none")]
        client: Option<ClientId>,
    },
    /// MSK messages that the system did not take; they are sent again when no answer comes.
    MskNotSent {
        /// The MSK.
        msk_id: MskId,
        /// What they are for.
        purpose: Purpose,
        /// How many messages.
        messages: u64,
        /// What the system said of the first.
        why: String,
    },
    /// An SDP offer is ready for a client: [`KeyService::offer`](super::KeyService::offer).
    OfferReady {
        /// The client.
        client: ClientId,
        /// The MSK in it.
        msk_id: MskId,
    },
    /// A client was asked to request the MSK (solicited pull).
    Solicited {
        /// The client.
        client: ClientId,
    },
    /// A client has confirmed that it holds an MSK.
    Confirmed {
        /// The client.
        client: ClientId,
        /// What it holds.
        msk_id: MskId,
    },
    /// No further copy of an MSK is sent to a client until it asks or is moved.
    GaveUp {
        /// The client.
        client: ClientId,
        /// What it did not confirm.
        msk_id: MskId,
        /// Why.
        why: Undelivered,
    },
    /// A client that did not confirm was struck off, as the channel's policy says.
    Removed {
        /// The client.
        client: ClientId,
        /// What it did not confirm.
        msk_id: MskId,
    },
    /// A client has confirmed none of the usual copies of an MSK; more follow, slowly.
    KeepsTrying {
        /// The client.
        client: ClientId,
        /// What it did not confirm.
        msk_id: MskId,
    },
    /// Another MSK is in force.
    Switched {
        /// The MSK.
        msk_id: MskId,
        /// Members that had not confirmed it when the deadline passed.
        unconfirmed: usize,
        /// Broadcasters that were not known to hold it when the deadline passed.
        lacking: Vec<BroadcasterId>,
    },
    /// An MSK was destroyed.
    Destroyed {
        /// The MSK.
        msk_id: MskId,
    },
    /// A version of the channel's document is ready for the broadcasters.
    DocumentPublished {
        /// Whose, if the channel names its broadcasters.
        #[serde(skip_serializing_if = "Option::is_none")]
        broadcaster: Option<BroadcasterId>,
        /// The version.
        version: u64,
        /// The MSK in force.
        in_force: MskId,
    },
    /// A broadcaster holds a version of the channel's document.
    DocumentHeld {
        /// The broadcaster.
        broadcaster: BroadcasterId,
        /// The version.
        version: u64,
    },
    /// Nothing was heard of a broadcaster for the time that the options name.
    BroadcasterSilent {
        /// The broadcaster.
        broadcaster: BroadcasterId,
    },
    /// A broadcaster that was silent is heard again.
    BroadcasterHeard {
        /// The broadcaster.
        broadcaster: BroadcasterId,
    },
    /// A broadcaster has few MTK IDs left under an MSK.
    MtkIdsLow {
        /// The broadcaster, if the channel names any.
        #[serde(skip_serializing_if = "Option::is_none")]
        broadcaster: Option<BroadcasterId>,
        /// The MSK.
        msk_id: MskId,
        /// MTK IDs left.
        left: u16,
    },
    /// Few key numbers of the key group are left for updates: close the channel before there is none, and
    /// open it with another key group.
    KeyNumbersLow {
        /// Key numbers left.
        left: u16,
    },
    /// An update that fell due cannot be made: the key group has no key number left.
    KeyNumbersUsedUp,
    /// Verification messages were refused; told at most once a minute for each reason.
    VerificationRefused {
        /// Why.
        reason: Reject,
        /// Where the first of them came from; `None` if from an SDP answer.
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<SocketAddr>,
        /// How many since the event before of this reason.
        count: u64,
    },
    /// An event of the membership bus was in order, but what it says cannot be done.
    BusEventFailed {
        /// Whose event.
        publisher: Publisher,
        /// Its number.
        sequence: u64,
        /// Why.
        why: String,
    },
    /// Events are missing on the membership bus; they are fetched again.
    BusGap {
        /// Whose events.
        publisher: Publisher,
        /// The number that is missing.
        expected: u64,
    },
    /// The membership bus does not answer, or does not take what is published here, which is tried
    /// again; or it knows this PF from a state that is lost, and requests to publish are refused.
    BusFailed {
        /// What it said.
        why: String,
    },
    /// The state cannot be written: nothing goes out, and requests are refused.
    StateNotWritable {
        /// What the system said.
        why: String,
    },
    /// The state can be written again, and all that waited has gone out.
    StateWritable,
}

fn unix_ms<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(since_1970(*time))
}

/// Milliseconds since 1970; 0 before.
pub(super) fn since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_flat_and_names_are_in_snake_case() {
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let kind = EventKind::GaveUp {
            client: "c1".into(),
            msk_id: MskId { group: 1, number: 2 },
            why: Undelivered::NoAnswer,
        };
        let event = Event { id: 7, at, channel: Some("17".into()), kind };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"id":7,"unix_ms":1700000000123,"channel":"17","event":"gave_up","client":"c1","msk_id":"00010002","why":"no_answer"}"#
        );
        let event = Event { id: 8, at, channel: None, kind: EventKind::StateWritable };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"id":8,"unix_ms":1700000000123,"event":"state_writable"}"#
        );
    }
}
