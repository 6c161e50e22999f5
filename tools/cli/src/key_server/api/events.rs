//! What happens, as it happens: server-sent events.

#![expect(unused_qualifications, reason = "utoipa's, of the type of the query")]

use std::{
    fmt::Write,
    sync::{Arc, Weak},
    time::Duration,
};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http_body_util::channel::{Channel, Sender};
use hyper::{
    HeaderMap,
    body::Bytes,
    header::{CONTENT_TYPE, HeaderName},
};
use mcast_srtp::service::{Batch, Subscription};
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use utoipa::IntoParams;

use super::{App, Refusal, body::StrictQuery, refusal::Refusals};

/// Where to begin.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Number of the last event known; 0: everything that is kept. Without, and without
    /// `Last-Event-ID`: from now on.
    after: Option<u64>,
    /// End after what there is.
    #[serde(default)]
    once: bool,
}

/// Events, as a rule without end.
///
/// Each has its number as `id`, its name as `event`, and all of it as JSON in `data`. The event
/// `missed` says how many are gone that a reader would have got. Numbers rise over restarts. A
/// comment comes every 15 seconds.
#[utoipa::path(get, path = "/v1/events", tag = "server",
    params(("Last-Event-ID" = Option<u64>, Header, description = "As `after`, which it overrides"),
        EventsQuery),
    responses((status = 200, body = String, content_type = "text/event-stream"), Refusals))]
pub(super) async fn events(
    State(app): State<App>,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<EventsQuery>,
) -> Result<Response, Refusal> {
    let after = last_event_id(&headers)?.or(query.after);
    let place = Arc::clone(&app.event_readers).try_acquire_owned();
    let place = place.map_err(|_| Refusal::unavailable("too many read the events already"))?;
    let (sender, body) = Channel::new(1);
    let subscription = app.service.events(after);
    let stop = app.stop.clone();
    tokio::spawn(async move {
        tell(subscription, sender, query.once, stop).await;
        drop(place);
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (X_ACCEL_BUFFERING, "no")];
    Ok((headers, Body::new(body)).into_response())
}

/// Passes events on until the reader has gone or the server ends.
async fn tell(
    mut subscription: Subscription,
    mut sender: Sender<Bytes>,
    once: bool,
    mut stop: watch::Receiver<bool>,
) {
    let news = Arc::new(Notify::new());
    wake(&subscription, Arc::downgrade(&news));
    let mut text = String::from(": mcast-srtp key server\n\n");
    loop {
        let batch = subscription.take(BATCH);
        let ended = batch.ended;
        append(&mut text, &batch);
        if !text.is_empty() {
            let octets = Bytes::from(std::mem::take(&mut text));
            tokio::select! {
                sent = sender.send_data(octets) => if sent.is_err() { return },
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
        if ended || once && batch.events.is_empty() {
            return;
        }
        if !batch.events.is_empty() {
            continue;
        }
        tokio::select! {
            () = news.notified() => {}
            () = tokio::time::sleep(HEARTBEAT) => text.push_str(":\n\n"),
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

fn wake(subscription: &Subscription, news: Weak<Notify>) {
    subscription.on_news(move || match news.upgrade() {
        Some(news) => {
            news.notify_one();
            true
        }
        None => false,
    });
}

/// A batch in the form of the stream.
fn append(text: &mut String, batch: &Batch) {
    if batch.missed > 0 {
        // Writing to a text does not fail, here and below.
        let _ = write!(text, "event: missed\ndata: {{\"missed\":{}}}\n\n", batch.missed);
    }
    for event in &batch.events {
        let id = event.id;
        let Ok(json) = serde_json::to_string(&**event) else { continue };
        let Ok(Named { event: name }) = serde_json::from_str(&json) else { continue };
        let _ = write!(text, "id: {id}\nevent: {name}\ndata: {json}\n\n");
    }
}

/// The name of an event in its JSON.
#[derive(Deserialize)]
struct Named<'a> {
    event: &'a str,
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().map(str::trim);
    match number {
        Some("") => Ok(None),
        Some(number) => number.parse().map(Some).map_err(|_| bad_id()),
        None => Err(bad_id()),
    }
}

fn bad_id() -> Refusal {
    Refusal::bad_request("Last-Event-ID is the number of an event")
}

/// Tells a proxy to pass on each event at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Events in one piece.
const BATCH: usize = 256;
/// Keeps proxies from taking the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
