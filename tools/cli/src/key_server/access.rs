//! Who asks, and what it may do.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, HOST},
};
use mcast_srtp::broadcast::BroadcasterId;

use super::api::{App, Refusal};
use crate::http::Token;

/// The tokens, and what each is good for.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// Good for everything. Without one everybody is the operator who reaches the socket.
    pub(crate) operator: Option<Token>,
    /// Good for the metrics.
    pub(crate) metrics: Option<Token>,
    /// Good for the documents of one broadcaster and its reports.
    pub(crate) broadcasters: Vec<(BroadcasterId, Token)>,
    /// Whether requests have to name this host. A web page that a name server leads here does not.
    pub(crate) local_names_only: bool,
}

/// What a request may do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    Operator,
    Metrics,
    Broadcaster(BroadcasterId),
}

impl Access {
    /// What these headers allow.
    ///
    /// # Errors
    /// 401 without a token that is known, 403 for a strange host.
    fn scope(&self, headers: &HeaderMap) -> Result<Scope, Refusal> {
        if self.local_names_only && !names_this_host(headers) {
            return Err(Refusal::forbidden(
                "without a token only requests to localhost or a loopback address are served",
            ));
        }
        let Some(operator) = &self.operator else { return Ok(Scope::Operator) };
        let given = bearer(headers).ok_or_else(Refusal::unauthorized)?;
        // Each is compared, so that the time says nothing of which one it is.
        let mut scope = operator.is(given).then_some(Scope::Operator);
        if self.metrics.as_ref().is_some_and(|token| token.is(given)) {
            scope.get_or_insert(Scope::Metrics);
        }
        for (broadcaster, token) in &self.broadcasters {
            if token.is(given) {
                scope.get_or_insert_with(|| Scope::Broadcaster(broadcaster.clone()));
            }
        }
        scope.ok_or_else(Refusal::unauthorized)
    }
}

/// Lets the operator through alone.
pub(super) async fn operator(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    match app.access.scope(request.headers())? {
        Scope::Operator => Ok(next.run(request).await),
        _ => Err(Refusal::forbidden("this token is not the operator's")),
    }
}

/// Lets the operator through, and who reads the metrics.
pub(super) async fn metrics(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    match app.access.scope(request.headers())? {
        Scope::Operator | Scope::Metrics => Ok(next.run(request).await),
        Scope::Broadcaster(_) => Err(Refusal::forbidden("this token is not for the metrics")),
    }
}

/// Lets the operator through, and broadcasters, whose name the routes compare: see [`Scope::is_for`].
pub(super) async fn broadcaster(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let scope = app.access.scope(request.headers())?;
    request.extensions_mut().insert(scope);
    Ok(next.run(request).await)
}

impl Scope {
    /// Lets through what concerns this broadcaster; `None` is the undivided document.
    ///
    /// # Errors
    /// 403 for another's.
    pub(super) fn is_for(&self, broadcaster: Option<&BroadcasterId>) -> Result<(), Refusal> {
        match (self, broadcaster) {
            (Self::Operator, _) => Ok(()),
            (Self::Broadcaster(own), Some(wanted)) if own == wanted => Ok(()),
            _ => Err(Refusal::forbidden("this token is not for that broadcaster")),
        }
    }
}

/// The token of a request: of one header only.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    //= RFC 9110 §11.1: the scheme is case-insensitive
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
}

/// Whether the request is to this host by a name that no name server gives away.
pub(crate) fn names_this_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let authority = host.to_str().ok().and_then(|text| text.parse().ok());
    let Some(authority): Option<hyper::http::uri::Authority> = authority else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    const OPERATOR: &str = "operator-operator";
    const METRICS: &str = "metrics-metrics-1";
    const EAST: &str = "east-east-east-1";

    fn access() -> Access {
        let token = |text| Token::new(text).unwrap();
        Access {
            operator: Some(token(OPERATOR)),
            metrics: Some(token(METRICS)),
            broadcasters: vec![("east".into(), token(EAST))],
            local_names_only: false,
        }
    }

    fn headers(given: &[(HeaderName, &str)]) -> HeaderMap {
        given
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn scope(access: &Access, given: &[(HeaderName, &str)]) -> Result<Scope, u16> {
        access.scope(&headers(given)).map_err(|refusal| refusal.status().as_u16())
    }

    #[test]
    fn token_is_good_for_what_it_is_and_nothing_else() {
        let with = |value: &str| scope(&access(), &[(AUTHORIZATION, value)]);
        assert_eq!(with(&format!("Bearer {OPERATOR}")), Ok(Scope::Operator));
        assert_eq!(with(&format!("bearer {METRICS}")), Ok(Scope::Metrics));
        assert_eq!(with(&format!("Bearer {EAST}")), Ok(Scope::Broadcaster("east".into())));
        for value in ["", "Bearer", "Bearer ", "Bearer wrong", OPERATOR, "Basic b3BlcmF0b3I="] {
            assert_eq!(with(value), Err(401), "{value}");
        }
        let twice = format!("Bearer {OPERATOR}");
        let twice = [(AUTHORIZATION, twice.as_str()), (AUTHORIZATION, twice.as_str())];
        let mut both = HeaderMap::new();
        for (name, value) in &twice {
            both.append(name, HeaderValue::from_str(value).unwrap());
        }
        assert!(access().scope(&both).is_err());
        assert_eq!(scope(&access(), &[]), Err(401));
    }

    #[test]
    fn broadcaster_gets_its_own_documents_only() {
        let (east, west) = (BroadcasterId::from("east"), BroadcasterId::from("west"));
        let scope = Scope::Broadcaster(east.clone());
        assert!(scope.is_for(Some(&east)).is_ok());
        assert!(scope.is_for(Some(&west)).is_err());
        assert!(scope.is_for(None).is_err());
        assert!(Scope::Operator.is_for(None).is_ok());
        assert!(Scope::Metrics.is_for(Some(&east)).is_err());
    }

    #[test]
    fn page_under_a_name_that_leads_here_is_refused() {
        let open = Access { local_names_only: true, ..Access::default() };
        let with = |host: &str| scope(&open, &[(HOST, host)]);
        for host in ["localhost", "LOCALHOST:7269", "127.0.0.1:7269", "127.1.2.3", "[::1]:7269"] {
            assert_eq!(with(host), Ok(Scope::Operator), "{host}");
        }
        for host in ["evil.example", "evil.example:7269", "192.0.2.1", "localhost.evil.example", ""]
        {
            assert_eq!(with(host), Err(403), "{host}");
        }
    }
}
