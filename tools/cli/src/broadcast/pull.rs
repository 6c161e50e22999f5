//! Channel documents taken from the key server, one long poll a channel, and reports to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{Method, StatusCode};
use mcast_srtp::{
    broadcast::ChannelId,
    service::{BroadcastService, document},
};
use tokio::{sync::oneshot, time::sleep};
use zeroize::Zeroizing;

use super::report::report_body;
use crate::http::{Answer, Call, Endpoint, Trouble, path};

/// The key server, as the tasks of all channels see it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) endpoint: Endpoint,
    /// This broadcaster's name there.
    pub(super) name: Option<String>,
    pub(super) counts: Arc<Counts>,
}

/// What has become of the polls.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// Follows the documents of one channel until the task is dropped.
pub(super) async fn follow(source: Arc<Source>, service: BroadcastService, channel: ChannelId) {
    // What the journal gave is held durably.
    let Ok(report) = service.report(&channel) else { return };
    let mut puller = Puller { source, service, channel, held: report.version, reported: None };
    let mut wait = FIRST_WAIT;
    let mut failing = false;
    loop {
        match puller.round().await {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    tracing::info!(channel = %puller.channel, "the key server answers again");
                }
                puller.source.counts.answered.fetch_add(1, Ordering::Relaxed);
                wait = FIRST_WAIT;
            }
            Err(what) => {
                puller.source.counts.failed.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(channel = %puller.channel, what, "no channel document");
                }
                sleep(wait).await;
                wait = (2 * wait).min(LONGEST_WAIT);
            }
        }
    }
}

struct Puller {
    source: Arc<Source>,
    service: BroadcastService,
    channel: ChannelId,
    held: u64,
    reported: Option<Instant>,
}

impl Puller {
    /// Waits for one answer, follows it, and reports.
    async fn round(&mut self) -> Result<(), String> {
        let answer = self.send(self.question()).await?;
        let news = match answer.status {
            StatusCode::OK => {
                self.take(&answer).await?;
                true
            }
            StatusCode::NO_CONTENT => {
                self.service.heard(&self.channel).map_err(|error| error.to_string())?;
                false
            }
            status => return Err(refusal(status, &answer)),
        };
        let due = self.reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY);
        if self.source.name.is_some() && (news || due) {
            self.report().await?;
            self.reported = Some(Instant::now());
        }
        Ok(())
    }

    /// Asking for what comes after a version says that this one is held.
    fn question(&self) -> Call {
        let mut at = path(&["v1", "channels", self.channel.as_str(), "document"]);
        let wait = POLL.as_secs();
        at.push_str(&format!("?after={}&wait={wait}", self.held));
        if let Some(name) = &self.source.name {
            // A segment is a value too.
            at.push_str(&format!("&broadcaster={}", path(&[name]).trim_start_matches('/')));
        }
        Call::new(Method::GET, at).with_timeout(POLL + PATIENCE)
    }

    async fn take(&mut self, answer: &Answer) -> Result<(), String> {
        let given = document::from_json(&answer.body).map_err(|error| error.to_string())?;
        let (tell, told) = oneshot::channel();
        self.service
            .follow_then(given, move |held| drop(tell.send(held)))
            .map_err(|error| error.to_string())?;
        let held = told.await.map_err(|_| "the service has stopped".to_owned())?;
        self.held = held.map_err(|error| error.to_string())?.version;
        Ok(())
    }

    async fn report(&self) -> Result<(), String> {
        let Some(name) = &self.source.name else { return Ok(()) };
        let report = self.service.report(&self.channel).map_err(|error| error.to_string())?;
        let body = serde_json::to_vec(&report_body(&report, Some(self.held)));
        let body = Zeroizing::new(body.map_err(|error| error.to_string())?);
        let at = ["v1", "channels", self.channel.as_str(), "broadcasters", name, "report"];
        let call = Call::new(Method::POST, path(&at)).with_body("application/json", body);
        let answer = self.send(call.with_timeout(PATIENCE)).await?;
        if answer.status.is_success() { Ok(()) } else { Err(refusal(answer.status, &answer)) }
    }

    async fn send(&self, call: Call) -> Result<Answer, String> {
        self.source.endpoint.send(&call).await.map_err(|trouble: Trouble| trouble.to_string())
    }
}

/// What the server says of a request that it refuses.
fn refusal(status: StatusCode, answer: &Answer) -> String {
    use crate::control::ErrorBody;
    match serde_json::from_slice::<ErrorBody>(&answer.body) {
        Ok(body) => format!("{}: {}", status.as_u16(), body.error.message),
        Err(_) => format!("status {}", status.as_u16()),
    }
}

/// How long the key server may hold a question back; also how often it is known to be there.
const POLL: Duration = Duration::from_secs(20);
/// How long it may take beyond that.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Streams are told at least so often, for clients that join late.
const REPORT_EVERY: Duration = Duration::from_secs(10);
