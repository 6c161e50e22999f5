//! Names in paths.

use axum::extract::{FromRequestParts, RawPathParams};
use hyper::http::request::Parts;
use mcast_srtp::{
    broadcast::{BroadcasterId, ChannelId},
    keyserver::ClientId,
};

use super::{App, Refusal};
use crate::control::check_name;

/// The channel that a path names.
pub(super) struct ChannelName(pub(super) ChannelId);

/// The client that a path names.
pub(super) struct ClientName(pub(super) ClientId);

/// The broadcaster that a path names.
pub(super) struct BroadcasterName(pub(super) BroadcasterId);

macro_rules! from_path {
    ($($name:ident, $id:ident, $segment:literal;)+) => {$(
        impl FromRequestParts<App> for $name {
            type Rejection = Refusal;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
                let name = segment(parts, app, $segment).await?;
                Ok(Self($id::from(name.as_str())))
            }
        }
    )+};
}

from_path! {
    ChannelName, ChannelId, "channel";
    ClientName, ClientId, "client";
    BroadcasterName, BroadcasterId, "broadcaster";
}

async fn segment(parts: &mut Parts, app: &App, name: &str) -> Result<String, Refusal> {
    let params = RawPathParams::from_request_parts(parts, app)
        .await
        .map_err(|_| Refusal::bad_request("the path is not UTF-8 behind its percent signs"))?;
    let value = params.iter().find(|(segment, _)| *segment == name).map_or("", |(_, value)| value);
    checked(value)?;
    Ok(value.to_owned())
}

/// Refuses what cannot be a name.
pub(super) fn checked(name: &str) -> Result<&str, Refusal> {
    check_name(name).map_err(Refusal::bad_request)?;
    Ok(name)
}
