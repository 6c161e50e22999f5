//! Pushes channel documents to broadcasters, and takes their reports.
//!
//! ```text
//!  news of a document, or the time of the heartbeat
//!      └─► PUT {url}/v1/channels/{channel}/document ─► report: holds version, streams, MTK IDs left
//! ```
//! One task for each broadcaster, so that one that does not answer holds up no other. After a failure
//! it waits twice as long each time, up to [`LONGEST_BACK_OFF`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::Method;
use mcast_srtp::{
    broadcast::{BroadcasterId, ChannelDocument, ChannelId},
    keyserver::KeyServer,
    service::{self, EventKind, Request, Subscription},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::api::{App, parse, take_report};
use crate::{
    control::ReportBody,
    http::{Call, Endpoint, path},
};

/// A broadcaster to push to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: BroadcasterId,
    pub(super) endpoint: Endpoint,
    /// Time between heartbeats.
    pub(super) every: Duration,
}

/// How the pushes go, by broadcaster.
#[derive(Debug, Default)]
pub(super) struct Pushes(Mutex<BTreeMap<BroadcasterId, Push>>);

/// How the pushes to one broadcaster go.
#[derive(Debug, Default)]
pub(super) struct Push {
    pub(super) held: u64,
    pub(super) failed: u64,
    /// Why the last push failed.
    fault: Option<String>,
}

impl Pushes {
    /// Shows each.
    pub(super) fn each(&self, mut show: impl FnMut(&str, &Push)) {
        let pushes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pushes.iter().for_each(|(name, push)| show(name.as_str(), push));
    }

    /// Those that fail at the moment.
    pub(super) fn silent(&self) -> Vec<String> {
        let mut silent = Vec::new();
        self.each(|name, push| {
            silent.extend(push.fault.iter().map(|why| format!("broadcaster {name}: {why}")));
        });
        silent
    }

    fn held(&self, name: &BroadcasterId) {
        let mut pushes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let push = pushes.entry(name.clone()).or_default();
        push.held += 1;
        if push.fault.take().is_some() {
            tracing::info!(broadcaster = %name, "documents are taken again");
        }
    }

    fn failed(&self, name: &BroadcasterId, why: &str) {
        let mut pushes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let push = pushes.entry(name.clone()).or_default();
        push.failed += 1;
        if push.fault.replace(why.to_owned()).is_none() {
            tracing::warn!(broadcaster = %name, why, "documents are not taken");
        }
    }
}

/// Pushes to one broadcaster until the server ends.
pub(super) async fn push(app: App, target: Target) {
    let mut stop = app.stop.clone();
    let mut pusher = Pusher { app, target, held: BTreeMap::new() };
    tokio::select! {
        () = pusher.run() => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

struct Pusher {
    app: App,
    target: Target,
    /// The version that the broadcaster said it holds.
    held: BTreeMap<ChannelId, u64>,
}

impl Pusher {
    async fn run(&mut self) {
        // What is there already is pushed in the first round.
        let mut subscription = self.app.service.events(None);
        let news = Arc::new(Notify::new());
        let waker = Arc::downgrade(&news);
        subscription.on_news(move || waker.upgrade().map(|news| news.notify_one()).is_some());
        let mut back_off = FIRST_BACK_OFF;
        let mut heartbeat = Instant::now();
        loop {
            let due = heartbeat <= Instant::now();
            if due {
                heartbeat = Instant::now() + self.target.every;
            }
            if due || tells_of_documents(&mut subscription) {
                match self.round(due).await {
                    Ok(()) => back_off = FIRST_BACK_OFF,
                    Err(trouble) => {
                        self.app.pushes.failed(&self.target.name, &trouble.to_string());
                        tokio::time::sleep(back_off).await;
                        back_off = (2 * back_off).min(LONGEST_BACK_OFF);
                        heartbeat = Instant::now();
                        continue;
                    }
                }
            }
            tokio::select! {
                () = news.notified() => {}
                () = sleep_until(heartbeat) => {}
            }
        }
    }

    /// Pushes the documents that are not held, in a heartbeat all.
    async fn round(&mut self, all: bool) -> Result<(), Trouble> {
        for channel in self.channels().await? {
            let Some(document) = self.app.service.document(&channel, Some(&self.target.name))
            else {
                self.held.remove(&channel);
                continue;
            };
            if all || self.held.get(&channel) != Some(&document.version) {
                self.push(channel, &document).await?;
            }
        }
        Ok(())
    }

    /// The channels that name the broadcaster, and those that it is still to be told the end of.
    async fn channels(&self) -> Result<BTreeSet<ChannelId>, Trouble> {
        let name = self.target.name.clone();
        let naming = move |server: &KeyServer| {
            let channels = server.channels().filter(|(_, spec)| spec.broadcasters.contains(&name));
            let open = channels.map(|(channel, _)| channel.clone());
            let last =
                server.last_documents().filter(|last| last.broadcaster.as_ref() == Some(&name));
            open.chain(last.map(|last| last.channel)).collect::<BTreeSet<_>>()
        };
        self.app.look(naming).await.map_err(|_| Trouble::Own)
    }

    async fn push(
        &mut self,
        channel: ChannelId,
        document: &ChannelDocument,
    ) -> Result<(), Trouble> {
        let json = service::document::to_json(document).map_err(|_| Trouble::Own)?;
        let call = Call::new(Method::PUT, path(&["v1", "channels", channel.as_str(), "document"]))
            .with_body(service::document::MEDIA_TYPE, json)
            .with_timeout(PATIENCE);
        let answer = self.target.endpoint.send(&call).await.map_err(Trouble::Http)?;
        if !answer.status.is_success() {
            return Err(Trouble::Refused(channel, answer.status.as_u16()));
        }
        let report: ReportBody = parse(&answer.body).map_err(|_| Trouble::NoReport)?;
        self.app.pushes.held(&self.target.name);
        let name = self.target.name.clone();
        let taken = if document.msks.is_empty() {
            // It has been told the end: nothing more is to be said.
            self.held.remove(&channel);
            let version = document.version;
            let holds = Request::BroadcasterHolds { channel, broadcaster: name, version };
            self.app.ask(holds).await.map(drop)
        } else {
            if let Some(version) = report.holds {
                self.held.insert(channel.clone(), version);
            }
            take_report(&self.app, channel, name, &report).await.map(drop)
        };
        if let Err(refusal) = taken {
            tracing::warn!(broadcaster = %self.target.name, ?refusal, "report not taken");
        }
        Ok(())
    }
}

/// Whether the news is of documents.
fn tells_of_documents(subscription: &mut Subscription) -> bool {
    let mut tells = false;
    loop {
        let batch = subscription.take(256);
        tells |= batch.missed > 0;
        tells |= batch.events.iter().any(|event| {
            matches!(event.kind, EventKind::DocumentPublished { .. } | EventKind::ChannelClosed)
        });
        if batch.events.is_empty() {
            return tells;
        }
    }
}

/// Why a push failed.
enum Trouble {
    Http(crate::http::Trouble),
    Refused(ChannelId, u16),
    NoReport,
    /// The service does not answer.
    Own,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(trouble) => trouble.fmt(f),
            Self::Refused(channel, status) => {
                write!(f, "status {status} for the document of channel {channel}")
            }
            Self::NoReport => f.write_str("its answer is no report"),
            Self::Own => f.write_str("the key server is too busy"),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);
