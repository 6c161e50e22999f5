//! The control interface: every path, who may use it, and its OpenAPI document.
//!
//! A request is checked whole before any of it is passed on to the service, which does all of it or
//! nothing; so a bad request changes nothing. Each may be repeated when its answer was lost.

mod body;
mod channels;
mod clients;
mod documents;
mod events;
mod members;
mod names;
mod refusal;
mod sdp;
mod status;

pub(super) use body::parse;
pub(crate) use body::{Json, octets};
pub(super) use documents::take_report;
pub(crate) use refusal::Refusal;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use hyper::header::{CACHE_CONTROL, HeaderValue};
use mcast_srtp::{
    keyserver::KeyServer,
    service::{KeyService, Reply, Request},
};
use tokio::sync::{Mutex, Semaphore, oneshot, watch};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{access, access::Access, metrics::HttpCounts, push::Pushes};
use crate::control::{ChannelSettings, ReplyBody};

/// What the routes work with.
#[derive(Clone, Debug)]
pub(super) struct App(Arc<Shared>);

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What the routes share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) service: KeyService,
    pub(super) access: Access,
    /// Settings of channels that say nothing of their own.
    pub(super) defaults: ChannelSettings,
    /// Octets of a body.
    pub(super) max_body: usize,
    /// Places for readers of events.
    pub(super) event_readers: Arc<Semaphore>,
    /// Changes of settings read, then write: one at a time.
    pub(super) settings: Mutex<()>,
    /// Becomes true when the server is to end.
    pub(super) stop: watch::Receiver<bool>,
    pub(super) counts: HttpCounts,
    pub(super) pushes: Arc<Pushes>,
}

impl From<Shared> for App {
    fn from(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Shared {
    /// Asks the service, and waits until what follows is durable.
    pub(super) async fn ask(&self, request: Request) -> Result<Reply, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.service.submit(request, move |result| drop(answer.send(result)));
        Ok(in_time(answered).await??)
    }

    /// The same where only the usual is answered.
    async fn change(&self, request: Request) -> Result<Json<ReplyBody>, Refusal> {
        let reply = self.ask(request).await?;
        let update = reply.update.map(|msk_id| msk_id.to_string());
        Ok(Json(ReplyBody { changed: reply.changed, update }))
    }

    /// Looks at what the key server knows.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&KeyServer) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.service.look(move |server| drop(answer.send(server.map(look))));
        Ok(in_time(answered).await??)
    }
}

async fn in_time<T>(answered: oneshot::Receiver<T>) -> Result<T, Refusal> {
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(Refusal::unavailable("the service has stopped")),
        Err(_) => Err(Refusal::unavailable(
            "the service has not answered in time; what was asked may still be done: ask again",
        )),
    }
}

/// How long the service may take: it waits when the state cannot be written. Less than clients wait.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "mcast-srtp key server",
        description = "Clients, channels, membership and MSK updates. Each request may be repeated: \
                       what is done already is answered with `changed: false`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "clients", description = "The roster"),
        (name = "channels", description = "Channels and their MSK updates"),
        (name = "members", description = "Who takes part, and how MSKs get there"),
        (name = "broadcasters", description = "Channel documents"),
        (name = "server", description = "Events, health, metrics"),
    ),
    modifiers(&BearerToken)
)]
struct Description;

/// A bearer token opens every path but `/v1/health`.
struct BearerToken;

impl utoipa::Modify for BearerToken {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{
            Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
        };
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("token", bearer);
        openapi.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("token", [])]);
    }
}

fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(clients::list))
        .routes(routes!(clients::show, clients::add, clients::remove))
        .routes(routes!(clients::renew_muk))
        .routes(routes!(clients::relocate))
        .routes(routes!(channels::list))
        .routes(routes!(channels::show, channels::open, channels::set_policy, channels::close))
        .routes(routes!(channels::update))
        .routes(routes!(members::list))
        .routes(routes!(members::join, members::leave))
        .routes(routes!(members::expelled))
        .routes(routes!(members::expel_one, members::readmit))
        .routes(routes!(members::expel))
        .routes(routes!(members::request_msk))
        .routes(routes!(members::solicit))
        .routes(routes!(sdp::offer))
        .routes(routes!(sdp::answer))
        .routes(routes!(sdp::join_in_answer))
        .routes(routes!(events::events))
        .routes(routes!(status::openapi))
}

/// The routes ready to serve.
pub(super) fn router(app: &App) -> Router {
    let operator = routes().route_layer(from_fn_with_state(app.clone(), access::operator));
    let broadcaster = OpenApiRouter::new()
        .routes(routes!(documents::document))
        .routes(routes!(documents::report))
        .route_layer(from_fn_with_state(app.clone(), access::broadcaster));
    let metrics = OpenApiRouter::new()
        .routes(routes!(status::metrics))
        .route_layer(from_fn_with_state(app.clone(), access::metrics));
    let (router, openapi) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(status::health))
        .merge(operator)
        .merge(broadcaster)
        .merge(metrics)
        .split_for_parts();
    router
        .fallback(refusal::no_such_path)
        .method_not_allowed_fallback(refusal::method_not_allowed)
        .layer(axum::Extension(status::Document::of(&openapi)))
        .layer(from_fn_with_state(app.clone(), watched))
        .with_state(app.clone())
}

/// Counts and logs an answer. The path holds names, and no secrets.
async fn watched(State(app): State<App>, request: axum::extract::Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let status = response.status();
    app.counts.answered(status);
    if method.is_safe() {
        tracing::debug!(%method, path, status = status.as_u16(), "answered");
    } else {
        tracing::info!(%method, path, status = status.as_u16(), "answered");
    }
    not_stored(response)
}

/// Answers are of the moment, and documents carry keys.
fn not_stored(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
