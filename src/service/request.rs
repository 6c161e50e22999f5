//! What the key server is asked, and what it answers.

use std::{fmt, slice};

use serde::Serialize;

use crate::{
    broadcast::{BroadcasterId, ChannelId},
    ids::MskId,
    keys::{CryptoSession, Muk, MukId},
    keyserver::{Change, ChannelSpec, ClientId, Reach, UpdateCause},
};

/// One thing to do. Each may be asked again, for example because the answer was lost: what is done
/// already is answered with [`Reply::changed`] `false`, and costs no message, no key and no update.
/// Those that ask for a message (`RequestMsk`, `Solicit`, `JoinInAnswer`) give another one each time, and
/// `Update` without `replaces` another MSK.
#[non_exhaustive]
#[derive(Debug)]
pub enum Request {
    /// Put a client on the roster, with a MUK that has protected nothing yet.
    AddClient {
        /// Its name.
        client: ClientId,
        /// The identities of its MUK.
        muk_id: MukId,
        /// Its MUK.
        muk: Muk,
        /// How MSK messages get to it.
        reach: Reach,
    },
    /// Replace a client's MUK after a new bootstrapping; unconfirmed MSKs go out again.
    RenewMuk {
        /// The client.
        client: ClientId,
        /// The identities of the new MUK.
        muk_id: MukId,
        /// The new MUK.
        muk: Muk,
    },
    /// Reach a client in another way from now on; unconfirmed MSKs go there at once.
    Relocate {
        /// The client.
        client: ClientId,
        /// The new way.
        reach: Reach,
    },
    /// Take a client off the roster, and out of its channels as if it had left.
    RemoveClient {
        /// The client.
        client: ClientId,
    },
    /// Open a channel with its first MSK. Opening it again with the same settings changes nothing.
    OpenChannel {
        /// Its name.
        channel: ChannelId,
        /// Its settings.
        spec: ChannelSpec,
    },
    /// Change those settings of an open channel that may change.
    SetPolicy {
        /// The channel.
        channel: ChannelId,
        /// All settings, changed or not.
        spec: ChannelSpec,
    },
    /// End a channel: every MSK of it is destroyed.
    CloseChannel {
        /// The channel.
        channel: ChannelId,
    },
    /// A client joins and is given the MSK. A member is given nothing: see [`Self::RequestMsk`].
    Join {
        /// The channel.
        channel: ChannelId,
        /// The client.
        client: ClientId,
    },
    /// A client joins by an SDP offer of its own: the MSK rides in the answer, see
    /// [`Reply::key_mgmt`]. Asked again, the same MSK rides in another message.
    JoinInAnswer {
        /// The channel.
        channel: ChannelId,
        /// The client.
        client: ClientId,
    },
    /// A client leaves of its own will; whether that brings an update is the channel's policy.
    Leave {
        /// The channel.
        channel: ChannelId,
        /// The client.
        client: ClientId,
    },
    /// Expel clients: a new MSK for everybody who remains. They need not be members, because who
    /// left before may hold the MSK still. If all of them are expelled already, nothing happens.
    Expel {
        /// The channel.
        channel: ChannelId,
        /// The clients.
        clients: Vec<ClientId>,
    },
    /// Let an expelled client join again.
    Readmit {
        /// The channel.
        channel: ChannelId,
        /// The client.
        client: ClientId,
    },
    /// Replace the MSK.
    Update {
        /// The channel.
        channel: ChannelId,
        /// Why.
        cause: UpdateCause,
        /// The MSK to replace: the one in force; or, if the cause
        /// [supersedes](UpdateCause::supersedes) an update under way, the one that is coming. If it is
        /// another, nothing happens, so that the request may be repeated. `None` asks for an update in
        /// any case.
        replaces: Option<MskId>,
    },
    /// A member asks for the MSK (MSK request), or should be tried again: it is sent once more.
    RequestMsk {
        /// The channel.
        channel: ChannelId,
        /// The member.
        client: ClientId,
    },
    /// Make a member ask for the MSK (solicited pull).
    Solicit {
        /// The channel.
        channel: ChannelId,
        /// The member.
        client: ClientId,
    },
    /// The answer of a client to an SDP offer: the whole SDP, or the MIKEY message in it.
    Answer {
        /// The client of the SIP session.
        client: ClientId,
        /// What it answered.
        answer: Vec<u8>,
    },
    /// A broadcaster holds this version of the channel's document.
    BroadcasterHolds {
        /// The channel.
        channel: ChannelId,
        /// The broadcaster.
        broadcaster: BroadcasterId,
        /// The version.
        version: u64,
    },
    /// What a broadcaster has to tell; also the sign that it lives.
    BroadcasterReport {
        /// The channel.
        channel: ChannelId,
        /// The broadcaster; `None` where the channel names none.
        broadcaster: Option<BroadcasterId>,
        /// The streams on the air with their rollover counters, for late joiners.
        streams: Vec<CryptoSession>,
        /// MTK IDs left to it under `msk_id`, if they are few: asks for an update.
        mtk_ids_left: Option<u16>,
        /// The MSK that it makes MTKs under.
        msk_id: Option<MskId>,
    },
}

impl Request {
    /// The name, in snake case, as counters and logs have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AddClient { .. } => "add_client",
            Self::RenewMuk { .. } => "renew_muk",
            Self::Relocate { .. } => "relocate",
            Self::RemoveClient { .. } => "remove_client",
            Self::OpenChannel { .. } => "open_channel",
            Self::SetPolicy { .. } => "set_policy",
            Self::CloseChannel { .. } => "close_channel",
            Self::Join { .. } => "join",
            Self::JoinInAnswer { .. } => "join_in_answer",
            Self::Leave { .. } => "leave",
            Self::Expel { .. } => "expel",
            Self::Readmit { .. } => "readmit",
            Self::Update { .. } => "update",
            Self::RequestMsk { .. } => "request_msk",
            Self::Solicit { .. } => "solicit",
            Self::Answer { .. } => "answer",
            Self::BroadcasterHolds { .. } => "broadcaster_holds",
            Self::BroadcasterReport { .. } => "broadcaster_report",
        }
    }

    /// The change of membership that it asks for, if it is one.
    pub(super) fn membership(&self) -> Option<(&ChannelId, &[ClientId], Change)> {
        match self {
            Self::Join { channel, client } => {
                Some((channel, slice::from_ref(client), Change::Joined))
            }
            Self::Leave { channel, client } => {
                Some((channel, slice::from_ref(client), Change::Left))
            }
            Self::Expel { channel, clients } => Some((channel, clients, Change::Expelled)),
            Self::Readmit { channel, client } => {
                Some((channel, slice::from_ref(client), Change::Readmitted))
            }
            Self::RequestMsk { channel, client } => {
                Some((channel, slice::from_ref(client), Change::MskRequested))
            }
            _ => None,
        }
    }
}

/// What became of a request. When it is there, it will survive a crash.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Reply {
    /// Whether anything is different now.
    pub changed: bool,
    /// The MSK that is being delivered by an update which this request began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<MskId>,
    /// Of [`Request::JoinInAnswer`]: the attribute line `a=key-mgmt:mikey …` for the session level of
    /// the SDP answer, without a line end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_mgmt: Option<String>,
}

impl Reply {
    pub(super) fn of(changed: bool) -> Self {
        Self { changed, ..Self::default() }
    }
}

/// Why a request was not carried out. Nothing has changed.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Refused {
    /// What kind of fault it is.
    pub kind: RefusedKind,
    /// What was wrong and what to do.
    #[serde(rename = "message")]
    pub text: String,
}

impl Refused {
    pub(super) fn new(kind: RefusedKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(super) fn unavailable(text: impl Into<String>) -> Self {
        Self::new(RefusedKind::Unavailable, text)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refused {}

/// The kinds of refusal. The discriminant indexes the counters.
#[repr(u8)]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedKind {
    /// It can never work as it is asked.
    Invalid,
    /// It names a channel, client or broadcaster that is not there.
    NotFound,
    /// Something stands in its way that may change, for example another client of that name.
    Conflict,
    /// Not now: the state cannot be written, the queue is full, or the service has stopped. Ask
    /// again later.
    Unavailable,
}

impl RefusedKind {
    /// Every kind, in the order of the discriminants.
    pub const ALL: [Self; 4] = [Self::Invalid, Self::NotFound, Self::Conflict, Self::Unavailable];

    /// The name, in snake case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for RefusedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
