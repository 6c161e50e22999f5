//! Bodies: read strictly and within limits, erased after use.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Query, Request},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
    http::request::Parts,
};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{App, Refusal};

/// JSON, in requests exactly of the form that is asked for.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let (_, octets) = octets(request, &["application/json"], app.max_body).await?;
        parse(&octets).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => ([(CONTENT_TYPE, "application/json")], json).into_response(),
            // None of the answers has a map with keys that are no texts.
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// A query of known fields only.
pub(super) struct StrictQuery<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<App> for StrictQuery<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => Err(Refusal::bad_request(error.body_text())),
        }
    }
}

/// A body of one of these media types, which is returned with it.
pub(crate) async fn octets(
    request: Request,
    media_types: &[&'static str],
    limit: usize,
) -> Result<(&'static str, Zeroizing<Vec<u8>>), Refusal> {
    let media_type = media_type(request.headers(), media_types)?;
    let collected = tokio::time::timeout(PATIENCE, collect(request.into_body(), limit)).await;
    let late = || Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
    Ok((media_type, collected.map_err(|_| late())??))
}

fn media_type(headers: &HeaderMap, media_types: &[&'static str]) -> Result<&'static str, Refusal> {
    let given = headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or(""));
    let given = given.split(';').next().unwrap_or("").trim();
    media_types.iter().find(|known| given.eq_ignore_ascii_case(known)).copied().ok_or_else(|| {
        let text = format!("send a body of Content-Type {}", media_types.join(" or "));
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
    })
}

async fn collect(mut body: Body, limit: usize) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    use hyper::body::Body as _;
    let too_large = || {
        let text = format!("a body has at most {limit} octets");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    // Of one piece where the length is announced, so that no copy of a key stays behind.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large());
    }
    let mut octets = Zeroizing::new(Vec::with_capacity(announced));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::bad_request("the body broke off"))?;
        let Some(data) = frame.data_ref() else { continue };
        if octets.len() + data.len() > limit {
            return Err(too_large());
        }
        octets.extend_from_slice(data);
    }
    Ok(octets)
}

/// JSON of the form that is asked for. No complaint quotes a value, for it may be a key.
pub(in crate::key_server) fn parse<T: DeserializeOwned>(octets: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(octets);
    let parsed = serde_path_to_error::deserialize(&mut json);
    let parsed = parsed.map_err(|error| {
        let (place, error) = (error.path().to_string(), error.into_inner());
        let at = format!("at line {}, column {}", error.line(), error.column());
        if !error.is_data() {
            return Refusal::bad_request(format!("the body is not JSON {at}"));
        }
        let said = error.to_string();
        let what = ["missing field", "unknown field", "duplicate field"]
            .iter()
            .find(|known| said.starts_with(**known))
            .map_or("wrong type or value", |_| said.split(" at line ").next().unwrap_or_default());
        let field = if place == "." { String::new() } else { format!("field {place}: ") };
        Refusal::invalid(format!("{field}{what} {at}"))
    })?;
    json.end().map_err(|_| Refusal::bad_request("there is something behind the JSON"))?;
    // The parser takes a list of the fields in their order for an object.
    if !octets.trim_ascii_start().starts_with(b"{") {
        return Err(Refusal::invalid("the body is no JSON object"));
    }
    Ok(parsed)
}

/// Octets that are erased when they have been sent.
pub(super) fn secret(media_type: &'static str, octets: Zeroizing<Vec<u8>>) -> Response {
    let body = Body::from(hyper::body::Bytes::from_owner(octets));
    ([(CONTENT_TYPE, HeaderValue::from_static(media_type))], body).into_response()
}

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;
    use crate::control::{ClientBody, UpdateBody};

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    async fn refusal<T: DeserializeOwned>(json: &str) -> (u16, String) {
        let Err(refusal) = parse::<T>(json.as_bytes()) else { panic!("{json}") };
        let response = refusal.into_response();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn refusal_names_the_field_and_the_place() {
        for (json, status, told) in [
            ("", 400, "not JSON at line 1, column 0"),
            ("{\"cause\":", 400, "not JSON"),
            ("{\"cause\":\"command\"} {}", 400, "behind the JSON"),
            ("[]", 422, "wrong type or value at line 1, column 2"),
            ("[\"command\",null]", 422, "the body is no JSON object"),
            ("{}", 422, "missing field `cause` at line 1"),
            ("{\"cause\":7}", 422, "field cause: wrong type or value at line 1, column 10"),
            ("{\"cause\":\"command\",\"why\":1}", 422, "unknown field `why`"),
            ("{\"cause\":\"a\",\"cause\":\"b\"}", 422, "duplicate field `cause`"),
        ] {
            let (code, text) = refusal::<UpdateBody>(json).await;
            assert!(code == status && text.contains(told), "{json}: {code} {text}");
        }
    }

    #[tokio::test]
    async fn refusal_never_quotes_a_key() {
        for muk in [
            format!("\"{KEY}\""),
            format!("{{\"idi\":\"a\",\"idr\":\"b\",\"key\":[\"{KEY}\"]}}"),
            format!("{{\"idi\":\"a\",\"idr\":\"b\",\"key\":\"{KEY}"),
            "{\"idi\":\"a\",\"idr\":\"b\",\"key\":101112131415161718}".to_owned(),
        ] {
            let json = format!("{{\"muk\":{muk},\"reach\":\"sdp\"}}");
            let (_, text) = refusal::<ClientBody>(&json).await;
            assert!(!text.contains("10111213141516"), "{text}");
        }
    }
}
