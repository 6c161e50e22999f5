//! Channels and their MSK updates.

use std::time::Instant;

use axum::extract::State;
use mcast_srtp::{
    broadcast::ChannelId,
    keyserver::{ChannelSpec, KeyServer, UpdateCause},
    service::{KeyService, Request},
};

use super::{App, Refusal, body::Json, names::ChannelName, refusal::Refusals};
use crate::{
    control::{ChannelSettings, ChannelView, Channels, ReplyBody, UpdateBody, UpdateView, msk_id},
    user_key::FieldFault,
};

/// The open channels, by name.
#[utoipa::path(get, path = "/v1/channels", tag = "channels",
    responses((status = 200, body = Channels), Refusals))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Channels>, Refusal> {
    let view = |server: &KeyServer| {
        server.channels().map(|(channel, spec)| view(server, channel, spec)).collect::<Vec<_>>()
    };
    let mut channels = app.look(view).await?;
    channels.iter_mut().for_each(|channel| add_document(channel, &app.service));
    Ok(Json(Channels { channels }))
}

/// A channel.
#[utoipa::path(get, path = "/v1/channels/{channel}", tag = "channels", params(("channel", Path)),
    responses((status = 200, body = ChannelView), Refusals))]
pub(super) async fn show(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
) -> Result<Json<ChannelView>, Refusal> {
    let wanted = channel.clone();
    let look =
        move |server: &KeyServer| server.spec(&wanted).map(|spec| view(server, &wanted, spec));
    let mut found = app.look(look).await?.ok_or_else(|| not_open(&channel))?;
    add_document(&mut found, &app.service);
    Ok(Json(found))
}

/// Opens a channel with its first MSK.
///
/// The same again changes nothing. Other settings for an open channel are a conflict: change its
/// policy, or close it.
#[utoipa::path(put, path = "/v1/channels/{channel}", tag = "channels", params(("channel", Path)),
    request_body = ChannelSettings, responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn open(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
    Json(settings): Json<ChannelSettings>,
) -> Result<Json<ReplyBody>, Refusal> {
    let spec = settings.over(&app.defaults).spec()?;
    app.change(Request::OpenChannel { channel, spec }).await
}

/// Changes settings of an open channel.
///
/// What the body does not name stays. Domain, key group and profile cannot change.
#[utoipa::path(patch, path = "/v1/channels/{channel}", tag = "channels", params(("channel", Path)),
    request_body = ChannelSettings, responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn set_policy(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
    Json(settings): Json<ChannelSettings>,
) -> Result<Json<ReplyBody>, Refusal> {
    let _alone = app.settings.lock().await;
    let wanted = channel.clone();
    let present = app.look(move |server| server.spec(&wanted).map(ChannelSettings::of)).await?;
    let present = present.ok_or_else(|| not_open(&channel))?;
    let spec = settings.over(&present).spec()?;
    app.change(Request::SetPolicy { channel, spec }).await
}

/// Closes a channel: every MSK of it is destroyed.
#[utoipa::path(delete, path = "/v1/channels/{channel}", tag = "channels",
    params(("channel", Path)), responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn close(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
) -> Result<Json<ReplyBody>, Refusal> {
    app.change(Request::CloseChannel { channel }).await
}

/// Replaces the MSK.
///
/// Only a request that says which MSK it replaces may be repeated safely.
#[utoipa::path(post, path = "/v1/channels/{channel}/update", tag = "channels",
    params(("channel", Path)),
    request_body = UpdateBody, responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn update(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
    Json(body): Json<UpdateBody>,
) -> Result<Json<ReplyBody>, Refusal> {
    let cause = match body.cause.as_str() {
        "command" => UpdateCause::Command,
        "compromise" => UpdateCause::Compromise,
        _ => return Err(FieldFault::new("cause", "neither command nor compromise").into()),
    };
    let replaces = body.replaces.as_deref().map(msk_id).transpose();
    let replaces = replaces.map_err(|what| FieldFault::new("replaces", what))?;
    app.change(Request::Update { channel, cause, replaces }).await
}

/// The refusal of a channel that is not open.
pub(super) fn not_open(channel: &ChannelId) -> Refusal {
    Refusal::not_found(format!("channel {channel} is not open"))
}

fn view(server: &KeyServer, channel: &ChannelId, spec: &ChannelSpec) -> ChannelView {
    let update = server.coming_msk(channel).map(|(coming, deadline)| {
        let left = deadline.saturating_duration_since(Instant::now());
        UpdateView {
            msk_id: coming.to_string(),
            switch_within_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            waits_for: server.members(channel).filter(|(_, held)| *held != Some(coming)).count(),
        }
    });
    ChannelView {
        channel: channel.to_string(),
        settings: ChannelSettings::of(spec),
        msk_in_force: server.current_msk(channel).map(|msk_id| msk_id.to_string()),
        update,
        members: server.members(channel).count(),
        expelled: server.expelled(channel).count(),
        document: None,
    }
}

/// The version that broadcasters are given, of any of them.
fn add_document(view: &mut ChannelView, service: &KeyService) {
    let channel = ChannelId::from(view.channel.as_str());
    let names = view.settings.broadcasters.iter().flatten();
    let newest = names
        .map(|name| service.document(&channel, Some(&name.as_str().into())))
        .chain([service.document(&channel, None)])
        .flatten();
    view.document = newest.map(|document| document.version).max();
}
