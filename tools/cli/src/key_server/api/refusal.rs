//! Why a request is not carried out, as status and JSON.

use axum::response::{IntoResponse, Response};
use hyper::{
    StatusCode,
    header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use mcast_srtp::service::{Refused, RefusedKind};
use utoipa::IntoResponses;

use super::body::Json;
use crate::{
    control::{ErrorBody, ErrorText},
    user_key::FieldFault,
};

/// A refusal; nothing has changed.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

/// The refusals that any path may answer with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is there for the document")]
pub(super) enum Refusals {
    /// The request cannot be read.
    #[response(status = 400)]
    BadRequest(ErrorBody),
    /// No token, or one that is not known.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// The token is not good for this.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// There is no such client, channel or broadcaster.
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// The body did not come in time.
    #[response(status = 408)]
    Timeout(ErrorBody),
    /// Something stands in its way that may change.
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// The body is too long.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The body is of another media type than the path takes.
    #[response(status = 415)]
    UnsupportedMediaType(ErrorBody),
    /// It can never work as it is asked.
    #[response(status = 422)]
    Invalid(ErrorBody),
    /// Not now: ask again.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let kind = match status {
            StatusCode::BAD_REQUEST => "bad_request",
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            StatusCode::REQUEST_TIMEOUT => "timeout",
            StatusCode::CONFLICT => "conflict",
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
            StatusCode::UNPROCESSABLE_ENTITY => "invalid",
            _ => "unavailable",
        };
        Self { status, kind, message: message.into() }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "send Authorization: Bearer with a token that is known")
    }

    pub(crate) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    #[cfg(test)]
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let status = match refused.kind {
            RefusedKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            RefusedKind::NotFound => StatusCode::NOT_FOUND,
            RefusedKind::Conflict => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, refused.text)
    }
}

impl From<FieldFault> for Refusal {
    fn from(fault: FieldFault) -> Self {
        Self::invalid(fault.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = ErrorText { kind: self.kind.to_owned(), message: self.message };
        let mut response = (self.status, Json(ErrorBody { error })).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

pub(super) async fn no_such_path() -> Refusal {
    Refusal::not_found("there is no such path; GET /openapi.json tells which there are")
}

pub(super) async fn method_not_allowed() -> Refusal {
    let text = "the path does not know this method; GET /openapi.json tells which it knows";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text)
}
