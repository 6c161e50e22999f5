//! Channel documents for broadcasters that pull them, and what broadcasters report.

#![expect(unused_qualifications, reason = "utoipa's, of the type of the query")]

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};
use hyper::StatusCode;
use mcast_srtp::{
    broadcast::{BroadcasterId, ChannelDocument, ChannelId},
    service::{self, Request},
};
use serde::Deserialize;
use tokio::sync::oneshot;
use utoipa::IntoParams;

use super::{
    App, Refusal,
    body::{Json, StrictQuery, secret},
    channels::not_open,
    names::{BroadcasterName, ChannelName, checked},
    refusal::Refusals,
};
use crate::{
    control::{ReplyBody, ReportBody},
    key_server::access::Scope,
};

/// Which document, and how long to wait for it.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DocumentQuery {
    /// The broadcaster; not where the channel names none.
    broadcaster: Option<String>,
    /// The version that the broadcaster holds: wait for a newer one.
    after: Option<u64>,
    /// Seconds to wait at most, up to 60; without, none.
    #[param(maximum = 60)]
    wait: Option<u64>,
}

/// The document of a channel, with keys, for one broadcaster.
///
/// Who asks for what comes after a version says that it holds that version: it is what a switch to
/// another MSK waits for. 204: there is none newer yet, ask again.
#[utoipa::path(get, path = "/v1/channels/{channel}/document", tag = "broadcasters",
    params(("channel", Path), DocumentQuery),
    responses((status = 200, body = Object, content_type = "application/json"),
        (status = 204), Refusals))]
pub(super) async fn document(
    State(app): State<App>,
    Extension(scope): Extension<Scope>,
    ChannelName(channel): ChannelName,
    StrictQuery(query): StrictQuery<DocumentQuery>,
) -> Result<Response, Refusal> {
    let broadcaster = query.broadcaster.as_deref().map(checked).transpose()?;
    let broadcaster = broadcaster.map(BroadcasterId::from);
    scope.is_for(broadcaster.as_ref())?;
    let wait = Duration::from_secs(query.wait.unwrap_or(0));
    if wait > LONGEST_WAIT {
        let text = format!("wait: at most {} seconds", LONGEST_WAIT.as_secs());
        return Err(Refusal::bad_request(text));
    }
    let after = query.after.unwrap_or(0);
    let newest = app.service.document(&channel, broadcaster.as_ref());
    let newest = newest.ok_or_else(|| match &broadcaster {
        Some(name) => Refusal::not_found(format!(
            "channel {channel} is not open, or does not name broadcaster {name}"
        )),
        None => not_open(&channel),
    })?;
    if after > newest.version {
        return Err(Refusal::invalid(format!(
            "after: version {after} has not been published; the newest is {}",
            newest.version
        )));
    }
    if let (Some(broadcaster), 1..) = (&broadcaster, after) {
        let (channel, broadcaster) = (channel.clone(), broadcaster.clone());
        let holds = Request::BroadcasterHolds { channel, broadcaster, version: after };
        match app.ask(holds).await {
            Err(refusal) if !closing(&newest) => return Err(refusal),
            _ => {}
        }
    }
    match next(&app, &channel, broadcaster.as_ref(), after, wait).await? {
        Some(document) => text(&document),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// Whether the broadcaster is told to end: the channel has no place for it any more.
fn closing(document: &ChannelDocument) -> bool {
    document.msks.is_empty()
}

/// Waits for a document newer than `after`.
async fn next(
    app: &App,
    channel: &ChannelId,
    broadcaster: Option<&BroadcasterId>,
    after: u64,
    wait: Duration,
) -> Result<Option<Arc<ChannelDocument>>, Refusal> {
    let (give, given) = oneshot::channel();
    let done = move |document| drop(give.send(document));
    let waiting = app.service.when_document(channel, broadcaster, after, done)?;
    let mut stop = app.stop.clone();
    let newer = tokio::select! {
        biased;
        newer = given => newer.ok(),
        () = tokio::time::sleep(wait) => None,
        _ = stop.wait_for(|stop| *stop) => None,
    };
    drop(waiting);
    Ok(newer)
}

fn text(document: &ChannelDocument) -> Result<Response, Refusal> {
    let json = service::document::to_json(document)
        .map_err(|error| Refusal::unavailable(error.to_string()))?;
    Ok(secret(service::document::MEDIA_TYPE, json))
}

/// How a broadcaster is with a channel; also the sign that it lives.
#[utoipa::path(post, path = "/v1/channels/{channel}/broadcasters/{broadcaster}/report",
    tag = "broadcasters", params(("channel", Path), ("broadcaster", Path)),
    request_body = ReportBody, responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn report(
    State(app): State<App>,
    Extension(scope): Extension<Scope>,
    ChannelName(channel): ChannelName,
    BroadcasterName(broadcaster): BroadcasterName,
    Json(body): Json<ReportBody>,
) -> Result<Json<ReplyBody>, Refusal> {
    scope.is_for(Some(&broadcaster))?;
    take_report(&app, channel, broadcaster, &body).await.map(Json)
}

/// Passes on what a broadcaster says of itself.
pub(in crate::key_server) async fn take_report(
    app: &App,
    channel: ChannelId,
    broadcaster: BroadcasterId,
    body: &ReportBody,
) -> Result<ReplyBody, Refusal> {
    let (streams, msk_id) = (body.sessions()?, body.msk_id()?);
    let mut changed = false;
    if let Some(version) = body.holds {
        let (channel, broadcaster) = (channel.clone(), broadcaster.clone());
        changed |=
            app.ask(Request::BroadcasterHolds { channel, broadcaster, version }).await?.changed;
    }
    let (broadcaster, mtk_ids_left) = (Some(broadcaster), body.mtk_ids_left);
    let report = Request::BroadcasterReport { channel, broadcaster, streams, mtk_ids_left, msk_id };
    let Json(mut reply) = app.change(report).await?;
    reply.changed |= changed;
    Ok(reply)
}

/// Below what proxies cut off as a rule.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
