//! Where a key server pushes documents, and where health and counters are read.
//!
//! | path | what |
//! |---|---|
//! | `PUT /v1/channels/{channel}/document` | answered with a report when the version is held durably |
//! | `GET /v1/health` | 200, or 503 with the reasons; needs no token |
//! | `GET /metrics` | counters in the text format of Prometheus |

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use hyper::{
    HeaderMap, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use mcast_srtp::{
    Error,
    broadcast::ChannelId,
    service::{BroadcastService, document},
};
use tokio::sync::oneshot;

use super::{metrics, pull::Counts, report::report_body};
use crate::{
    control::HealthBody,
    http::Token,
    key_server::{Json, Refusal, bearer, names_this_host, octets},
};

/// What the routes work with.
#[derive(Clone, Debug)]
pub(super) struct App(pub(super) Arc<Shared>);

/// What the routes share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) service: BroadcastService,
    pub(super) token: Option<Token>,
    pub(super) metrics_token: Option<Token>,
    /// Without a token: requests have to name this host, which a web page cannot.
    pub(super) local_names_only: bool,
    pub(super) polls: Arc<Counts>,
}

/// The routes ready to serve.
pub(super) fn router(app: App) -> Router {
    Router::new()
        .route("/v1/channels/{channel}/document", put(take))
        .route("/v1/health", get(health))
        .route("/metrics", get(counters))
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "there is no such path"))
        .with_state(app)
}

async fn take(
    State(App(app)): State<App>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refusal> {
    app.admit(&headers, &[&app.token])?;
    let (_, json) = octets(request, &[document::MEDIA_TYPE], MAX_DOCUMENT).await?;
    let given = document::from_json(&json).map_err(invalid)?;
    let channel = ChannelId::from(channel.as_str());
    if given.channel != channel {
        let text = format!("the document is of channel {}, the path of {channel}", given.channel);
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    let (tell, told) = oneshot::channel();
    app.service.follow_then(given, move |held| drop(tell.send(held))).map_err(invalid)?;
    let held = match tokio::time::timeout(DURABLE_WITHIN, told).await {
        Ok(Ok(held)) => held.map_err(invalid)?,
        _ => {
            let text = "the document is taken, but the journal cannot be written at the moment";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
        }
    };
    let report = app.service.report(&channel).map_err(invalid)?;
    let body = Json(report_body(&report, Some(held.version)));
    Ok(([(CACHE_CONTROL, "no-store")], body).into_response())
}

async fn health(State(App(app)): State<App>) -> Response {
    let mut reasons = Vec::new();
    for channel in app.service.channels() {
        let Ok(report) = app.service.report(&channel) else { continue };
        if report.silent {
            reasons.push(format!("channel {channel}: the key server was not heard"));
        } else if report.mki.is_none() {
            reasons.push(format!("channel {channel}: no traffic key is in force"));
        }
        if report.waits_for_journal {
            reasons.push(format!("channel {channel}: a new key waits for the journal"));
        }
    }
    let ok = reasons.is_empty();
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(HealthBody { ok, reasons })).into_response()
}

async fn counters(State(App(app)): State<App>, headers: HeaderMap) -> Result<Response, Refusal> {
    app.admit(&headers, &[&app.token, &app.metrics_token])?;
    let text = metrics::text(&app.service, &app.polls);
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

impl Shared {
    /// Lets a request through that has one of these tokens, where there are any.
    fn admit(&self, headers: &HeaderMap, tokens: &[&Option<Token>]) -> Result<(), Refusal> {
        if self.local_names_only && !names_this_host(headers) {
            return Err(Refusal::forbidden(
                "without a token only requests to localhost or a loopback address are served",
            ));
        }
        if self.token.is_none() {
            return Ok(());
        }
        let given = bearer(headers).ok_or_else(Refusal::unauthorized)?;
        // Each is compared, so that the time says nothing of which one it is.
        let known = tokens.iter().filter_map(|token| token.as_ref());
        let matches = known.filter(|token| token.is(given)).count();
        if matches > 0 { Ok(()) } else { Err(Refusal::unauthorized()) }
    }
}

fn invalid(error: Error) -> Refusal {
    let status = match error {
        Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(status, error.to_string())
}

/// Octets of a document: hundreds of MSKs.
const MAX_DOCUMENT: usize = 1 << 20;
/// Less than a key server waits for its answer.
const DURABLE_WITHIN: std::time::Duration = std::time::Duration::from_secs(4);
