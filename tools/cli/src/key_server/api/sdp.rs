//! MSKs by way of a SIP stack: offers to take, answers to feed back.

use axum::{
    extract::{Request, State},
    response::Response,
};
use mcast_srtp::service;
use zeroize::Zeroizing;

use super::{
    App, Refusal,
    body::{self, Json},
    names::{ChannelName, ClientName},
    refusal::Refusals,
};
use crate::control::{JoinedBody, ReplyBody};

/// The newest SDP offer for a member that is reached by SDP.
///
/// It carries the MSK under the client's MUK, to be put into a re-INVITE: the whole session
/// description if the channel has a template, else the line `a=key-mgmt` for the session level. There
/// until it is answered; the event `offer_ready` tells of a new one.
#[utoipa::path(get, path = "/v1/channels/{channel}/members/{client}/offer", tag = "members",
    params(("channel", Path), ("client", Path)),
    responses((status = 200, body = String, content_type = "application/sdp"), Refusals))]
pub(super) async fn offer(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
    ClientName(client): ClientName,
) -> Result<Response, Refusal> {
    let offer = app.service.offer(&channel, &client).ok_or_else(|| {
        Refusal::not_found(format!("no offer waits for client {client} in channel {channel}"))
    })?;
    let text = offer.sdp.clone().unwrap_or_else(|| format!("{}\r\n", offer.key_mgmt));
    Ok(body::secret(SDP, Zeroizing::new(text.into_bytes())))
}

/// The answer of a client to an offer: its SDP, or the MIKEY message in it.
#[utoipa::path(post, path = "/v1/channels/{channel}/members/{client}/answer", tag = "members",
    params(("channel", Path), ("client", Path)),
    request_body(content((String = "application/sdp"), (Vec<u8> = "application/mikey"))),
    responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn answer(
    State(app): State<App>,
    ChannelName(_): ChannelName,
    ClientName(client): ClientName,
    request: Request,
) -> Result<Json<ReplyBody>, Refusal> {
    let (_, answer) = body::octets(request, &[SDP, MIKEY], app.max_body).await?;
    app.change(service::Request::Answer { client, answer: answer.to_vec() }).await
}

/// A client joins by an SDP offer of its own: the MSK rides in the answer to it.
///
/// The client counts as holding the MSK. Asked again, the same MSK rides in another message.
#[utoipa::path(post, path = "/v1/channels/{channel}/members/{client}/join-in-answer",
    tag = "members", params(("channel", Path), ("client", Path)),
    responses((status = 200, body = JoinedBody), Refusals))]
pub(super) async fn join_in_answer(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
    ClientName(client): ClientName,
) -> Result<Json<JoinedBody>, Refusal> {
    let reply = app.ask(service::Request::JoinInAnswer { channel, client }).await?;
    Ok(Json(JoinedBody { changed: reply.changed, key_mgmt: reply.key_mgmt.unwrap_or_default() }))
}

const SDP: &str = "application/sdp";
const MIKEY: &str = "application/mikey";
