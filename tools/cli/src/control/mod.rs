//! What `key-server` and its clients say to each other in JSON: requests, answers, settings.
//!
//! Every object is strict: a field that is not known is refused. Keys come in only.

mod channel;
mod client;
mod report;
mod settings;

pub(crate) use channel::{
    ChannelView, Channels, ExpelBody, Expelled, JoinedBody, MemberView, Members, UpdateBody,
    UpdateView,
};
pub(crate) use client::{ClientBody, ClientView, Clients, GivenMukBody, MukBody, ReachBody};
pub(crate) use report::{ReportBody, StreamBody};
pub(crate) use settings::{ChannelSettings, Leave, MtkIds, Seconds, UnconfirmedPolicy};

use mcast_srtp::ids::MskId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What became of a request. When it is there, it survives a crash of the server.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub(crate) struct ReplyBody {
    /// Whether anything is different now; not so if it had been done already.
    pub(crate) changed: bool,
    /// The MSK that is being delivered by an update which this request began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "00010002")]
    pub(crate) update: Option<String>,
}

/// Why a request was not carried out. Nothing has changed.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    pub(crate) error: ErrorText,
}

/// What kind of fault it is, and what to do.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct ErrorText {
    /// For programs.
    #[schema(example = "not_found")]
    pub(crate) kind: String,
    /// For people.
    pub(crate) message: String,
}

/// Whether the server can do its work.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct HealthBody {
    /// Whether it can.
    pub(crate) ok: bool,
    /// Why not, or what else wants attention.
    pub(crate) reasons: Vec<String>,
}

/// An MSK ID as 8 hex digits: key group and key number.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn msk_id(text: &str) -> Result<MskId, String> {
    let mut octets = [0; 4];
    hex::decode_to_slice(text, &mut octets)
        .map_err(|_| "an MSK ID is of 8 hex digits, for example 00010001".to_owned())?;
    Ok(MskId::from_bytes(octets))
}

/// Checks a name of a channel, client or broadcaster.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(format!("a name has 1 to {MAX_NAME} octets, not {}", name.len()));
    }
    if name.chars().any(char::is_control) {
        return Err("a name has no control characters".to_owned());
    }
    Ok(())
}

/// Octets of a name. Fits SIP URIs and B-TIDs as they are in use.
pub(crate) const MAX_NAME: usize = 128;
