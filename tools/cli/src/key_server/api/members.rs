//! Who takes part, and how MSKs get there.

use axum::extract::State;
use mcast_srtp::{
    keyserver::{ClientId, KeyServer},
    service::Request,
};

use super::{
    App, Refusal,
    body::Json,
    channels::not_open,
    names::{ChannelName, ClientName, checked},
    refusal::Refusals,
};
use crate::control::{ExpelBody, Expelled, MemberView, Members, ReplyBody};

/// The members of a channel, each with the MSK it is known to hold.
#[utoipa::path(get, path = "/v1/channels/{channel}/members", tag = "members",
    params(("channel", Path)), responses((status = 200, body = Members), Refusals))]
pub(super) async fn list(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
) -> Result<Json<Members>, Refusal> {
    let wanted = channel.clone();
    let members = move |server: &KeyServer| {
        server.spec(&wanted)?;
        let view = |(client, holds): (&ClientId, Option<_>)| MemberView {
            client: client.to_string(),
            holds: holds.map(|msk_id: mcast_srtp::ids::MskId| msk_id.to_string()),
        };
        Some(server.members(&wanted).map(view).collect())
    };
    let members = app.look(members).await?.ok_or_else(|| not_open(&channel))?;
    Ok(Json(Members { members }))
}

/// A client joins and is given the MSK.
///
/// A member is given nothing: see `msk-request`.
#[utoipa::path(put, path = "/v1/channels/{channel}/members/{client}", tag = "members",
    params(("channel", Path), ("client", Path)),
    responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn join(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
    ClientName(client): ClientName,
) -> Result<Json<ReplyBody>, Refusal> {
    app.change(Request::Join { channel, client }).await
}

/// A client leaves of its own will.
///
/// Whether that brings an update is the channel's policy.
#[utoipa::path(delete, path = "/v1/channels/{channel}/members/{client}", tag = "members",
    params(("channel", Path), ("client", Path)),
    responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn leave(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
    ClientName(client): ClientName,
) -> Result<Json<ReplyBody>, Refusal> {
    app.change(Request::Leave { channel, client }).await
}

/// Who was expelled and not readmitted.
#[utoipa::path(get, path = "/v1/channels/{channel}/expelled", tag = "members",
    params(("channel", Path)), responses((status = 200, body = Expelled), Refusals))]
pub(super) async fn expelled(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
) -> Result<Json<Expelled>, Refusal> {
    let wanted = channel.clone();
    let expelled = move |server: &KeyServer| {
        server.spec(&wanted)?;
        Some(server.expelled(&wanted).map(ToString::to_string).collect())
    };
    let expelled = app.look(expelled).await?.ok_or_else(|| not_open(&channel))?;
    Ok(Json(Expelled { expelled }))
}

/// Expels a client: a new MSK for everybody who remains.
#[utoipa::path(put, path = "/v1/channels/{channel}/expelled/{client}", tag = "members",
    params(("channel", Path), ("client", Path)),
    responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn expel_one(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
    ClientName(client): ClientName,
) -> Result<Json<ReplyBody>, Refusal> {
    app.change(Request::Expel { channel, clients: vec![client] }).await
}

/// Lets an expelled client join again.
#[utoipa::path(delete, path = "/v1/channels/{channel}/expelled/{client}", tag = "members",
    params(("channel", Path), ("client", Path)),
    responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn readmit(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
    ClientName(client): ClientName,
) -> Result<Json<ReplyBody>, Refusal> {
    app.change(Request::Readmit { channel, client }).await
}

/// Expels several clients at the cost of one update.
#[utoipa::path(post, path = "/v1/channels/{channel}/expel", tag = "members",
    params(("channel", Path)),
    request_body = ExpelBody, responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn expel(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
    Json(body): Json<ExpelBody>,
) -> Result<Json<ReplyBody>, Refusal> {
    let client = |name: &String| checked(name).map(ClientId::from);
    let clients = body.clients.iter().map(client).collect::<Result<Vec<_>, _>>()?;
    if clients.is_empty() {
        return Err(Refusal::invalid("field clients: name at least one"));
    }
    app.change(Request::Expel { channel, clients }).await
}

/// A member asks for the MSK: it is sent once more.
#[utoipa::path(post, path = "/v1/channels/{channel}/members/{client}/msk-request", tag = "members",
    params(("channel", Path), ("client", Path)),
    responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn request_msk(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
    ClientName(client): ClientName,
) -> Result<Json<ReplyBody>, Refusal> {
    app.change(Request::RequestMsk { channel, client }).await
}

/// Makes a member ask for the MSK (solicited pull).
#[utoipa::path(post, path = "/v1/channels/{channel}/members/{client}/solicit", tag = "members",
    params(("channel", Path), ("client", Path)),
    responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn solicit(
    State(app): State<App>,
    ChannelName(channel): ChannelName,
    ClientName(client): ClientName,
) -> Result<Json<ReplyBody>, Refusal> {
    app.change(Request::Solicit { channel, client }).await
}
