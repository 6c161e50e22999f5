//! What a listener learns from the server.

use super::{BurstMessage, Connect, Deny, Granted, QueueStatus, Revoke, Taken};
use crate::Reject;

/// Burst control as a listener gets it: the messages that a server sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BurstEvent<'a> {
    /// The addressed client may talk.
    Granted(Granted),
    /// Somebody talks.
    Taken(Taken<'a>),
    /// The addressed client may not talk.
    Denied(Deny<'a>),
    /// Nobody talks.
    Idle,
    /// The addressed client has to stop talking.
    Revoked(Revoke),
    /// Where the addressed client's request stands.
    Queued(QueueStatus),
    /// An invitation.
    Connected(Connect<'a>),
    /// The session is over.
    Disconnected,
}

impl BurstEvent<'_> {
    /// Snake-case name, as events are printed.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Granted(_) => "granted",
            Self::Taken(_) => "taken",
            Self::Denied(_) => "denied",
            Self::Idle => "idle",
            Self::Revoked(_) => "revoked",
            Self::Queued(_) => "queued",
            Self::Connected(_) => "connected",
            Self::Disconnected => "disconnected",
        }
    }
}

/// Refuses, as [`Reject::UnexpectedDirection`], what only a client sends.
impl<'a> TryFrom<BurstMessage<'a>> for BurstEvent<'a> {
    type Error = Reject;

    fn try_from(message: BurstMessage<'a>) -> Result<Self, Reject> {
        Ok(match message {
            BurstMessage::Granted(granted) => Self::Granted(granted),
            BurstMessage::Taken(taken) => Self::Taken(taken),
            BurstMessage::Deny(deny) => Self::Denied(deny),
            BurstMessage::Idle => Self::Idle,
            BurstMessage::Revoke(revoke) => Self::Revoked(revoke),
            BurstMessage::QueueStatusResponse(status) => Self::Queued(status),
            BurstMessage::Disconnect => Self::Disconnected,
            BurstMessage::Connect(connect) => Self::Connected(connect),
            BurstMessage::Request(_)
            | BurstMessage::Release(_)
            | BurstMessage::Acknowledgement(_)
            | BurstMessage::QueueStatusRequest => return Err(Reject::UnexpectedDirection),
        })
    }
}
