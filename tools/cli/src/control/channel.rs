//! Channels and who is in them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ChannelSettings;

/// A channel as the server knows it, without its keys.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct ChannelView {
    /// Its name.
    pub(crate) channel: String,
    /// Its settings, all of them.
    pub(crate) settings: ChannelSettings,
    /// The MSK in force.
    #[schema(example = "00010001")]
    pub(crate) msk_in_force: Option<String>,
    /// The MSK update under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) update: Option<UpdateView>,
    /// How many members there are.
    pub(crate) members: usize,
    /// How many clients were expelled and not readmitted.
    pub(crate) expelled: usize,
    /// Version of the newest document for broadcasters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) document: Option<u64>,
}

/// An MSK update under way.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct UpdateView {
    /// The MSK that is being delivered.
    #[schema(example = "00010002")]
    pub(crate) msk_id: String,
    /// When the switch happens at the latest: milliseconds from now.
    pub(crate) switch_within_ms: u64,
    /// Members that have not confirmed.
    pub(crate) waits_for: usize,
}

/// The open channels, by name.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Channels {
    pub(crate) channels: Vec<ChannelView>,
}

/// A member of a channel.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct MemberView {
    /// The client.
    pub(crate) client: String,
    /// The newest MSK it is known to hold.
    #[schema(example = "00010001")]
    pub(crate) holds: Option<String>,
}

/// The members of a channel, by name.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Members {
    pub(crate) members: Vec<MemberView>,
}

/// Who was expelled from a channel and not readmitted, by name.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Expelled {
    pub(crate) expelled: Vec<String>,
}

/// Clients to expel in one go, at the cost of one update.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpelBody {
    pub(crate) clients: Vec<String>,
}

/// An MSK update that the operator wants.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateBody {
    /// `command`; `compromise` if the MSK may be in the wrong hands.
    #[schema(example = "command")]
    pub(crate) cause: String,
    /// The MSK to replace: if it is not in force any more, or is being replaced, nothing happens, so
    /// that the request may be repeated. Without it, there is an update in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "00010001")]
    pub(crate) replaces: Option<String>,
}

/// What goes into the answer to the offer of a client that joins by it.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct JoinedBody {
    /// Whether the client was no member before.
    pub(crate) changed: bool,
    /// The attribute line for the session level, without a line end.
    #[schema(example = "a=key-mgmt:mikey AQAFgA==")]
    pub(crate) key_mgmt: String,
}
