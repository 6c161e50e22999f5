//! How the server is, and what it offers.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};
use hyper::{StatusCode, header::CONTENT_TYPE};

use super::{App, Refusal, body::Json, refusal::Refusals};
use crate::{control::HealthBody, key_server::metrics};

/// The OpenAPI document as JSON, made once.
#[derive(Clone)]
pub(super) struct Document(Arc<str>);

impl Document {
    pub(super) fn of(openapi: &utoipa::openapi::OpenApi) -> Self {
        // Texts, numbers and maps by text: there is nothing in it that JSON cannot say.
        Self(openapi.to_json().unwrap_or_default().into())
    }
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "server",
    responses((status = 200, body = Object, content_type = "application/json"), Refusals))]
pub(super) async fn openapi(Extension(document): Extension<Document>) -> Response {
    ([(CONTENT_TYPE, "application/json")], document.0.to_string()).into_response()
}

/// Whether the server can do its work.
///
/// Needs no token. 503 if it cannot, with the reasons; those beside a 200 want attention.
#[utoipa::path(get, path = "/v1/health", tag = "server", security(()),
    responses((status = 200, body = HealthBody), (status = 503, body = HealthBody)))]
pub(super) async fn health(State(app): State<App>) -> Response {
    let health = app.service.health();
    let silent = app.pushes.silent().into_iter();
    let reasons = health.fault.into_iter().chain(silent).collect();
    let status = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(HealthBody { ok: health.ok, reasons })).into_response()
}

/// Counters in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "server",
    responses((status = 200, body = String, content_type = "text/plain"), Refusals))]
pub(super) async fn metrics(State(app): State<App>) -> Result<Response, Refusal> {
    let text = metrics::text(&app).await;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
