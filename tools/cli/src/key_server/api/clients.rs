//! The roster.

use axum::extract::State;
use mcast_srtp::{
    keyserver::{self, ClientId, KeyServer},
    service::Request,
};

use super::{App, Refusal, body::Json, names::ClientName, refusal::Refusals};
use crate::{
    control::{ClientBody, ClientView, Clients, MukBody, ReachBody, ReplyBody},
    user_key::reach_text,
};

/// The clients, by name.
#[utoipa::path(get, path = "/v1/clients", tag = "clients",
    responses((status = 200, body = Clients), Refusals))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Clients>, Refusal> {
    let all = |server: &KeyServer| {
        let clients = server.clients();
        clients.filter_map(|(client, _)| Some(view(client, &server.client(client)?))).collect()
    };
    let clients = app.look(all).await?;
    Ok(Json(Clients { clients }))
}

/// A client.
#[utoipa::path(get, path = "/v1/clients/{client}", tag = "clients", params(("client", Path)),
    responses((status = 200, body = ClientView), Refusals))]
pub(super) async fn show(
    State(app): State<App>,
    ClientName(client): ClientName,
) -> Result<Json<ClientView>, Refusal> {
    let wanted = client.clone();
    let found =
        app.look(move |server| server.client(&wanted).map(|seen| view(&wanted, &seen))).await?;
    found
        .map(Json)
        .ok_or_else(|| Refusal::not_found(format!("client {client} is not on the roster")))
}

/// Puts a client on the roster.
///
/// The same again changes nothing. Other contents for a client that is there are a conflict: renew
/// its MUK, or move it.
#[utoipa::path(put, path = "/v1/clients/{client}", tag = "clients", params(("client", Path)),
    request_body = ClientBody, responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn add(
    State(app): State<App>,
    ClientName(client): ClientName,
    Json(body): Json<ClientBody>,
) -> Result<Json<ReplyBody>, Refusal> {
    let (muk_id, muk, reach) = body.read()?;
    app.change(Request::AddClient { client, muk_id, muk, reach }).await
}

/// Takes a client off the roster.
///
/// It has to have left its channels.
#[utoipa::path(delete, path = "/v1/clients/{client}", tag = "clients", params(("client", Path)),
    responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn remove(
    State(app): State<App>,
    ClientName(client): ClientName,
) -> Result<Json<ReplyBody>, Refusal> {
    app.change(Request::RemoveClient { client }).await
}

/// Replaces a client's MUK after a new bootstrapping.
///
/// MSKs that it has not confirmed go out again under the new one.
#[utoipa::path(put, path = "/v1/clients/{client}/muk", tag = "clients", params(("client", Path)),
    request_body = MukBody, responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn renew_muk(
    State(app): State<App>,
    ClientName(client): ClientName,
    Json(body): Json<MukBody>,
) -> Result<Json<ReplyBody>, Refusal> {
    let (muk_id, muk) = body.read()?;
    app.change(Request::RenewMuk { client, muk_id, muk }).await
}

/// Reaches a client in another way from now on.
///
/// MSKs that it has not confirmed go there at once.
#[utoipa::path(put, path = "/v1/clients/{client}/reach", tag = "clients", params(("client", Path)),
    request_body = ReachBody, responses((status = 200, body = ReplyBody), Refusals))]
pub(super) async fn relocate(
    State(app): State<App>,
    ClientName(client): ClientName,
    Json(body): Json<ReachBody>,
) -> Result<Json<ReplyBody>, Refusal> {
    let reach = body.read()?;
    app.change(Request::Relocate { client, reach }).await
}

fn view(client: &ClientId, seen: &keyserver::ClientView<'_>) -> ClientView {
    ClientView {
        client: client.to_string(),
        idi: seen.muk_id.idi.clone(),
        idr: seen.muk_id.idr.clone(),
        reach: reach_text(seen.reach),
        last_counter: seen.last_counter,
        channels: seen.channels.iter().map(ToString::to_string).collect(),
    }
}
