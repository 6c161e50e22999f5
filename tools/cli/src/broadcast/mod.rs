//! `broadcast`: the broadcast service with its inputs, following a key server.
//!
//! ```text
//!  UDP, recordings ─► BroadcastService (a thread, a journal) ══► groups
//!                          ▲ channel documents
//!  key server ─► pull: long polls, or push: PUT to [http] listen
//! ```

mod config;
mod metrics;
mod player;
mod pull;
mod push;
mod recording;
mod report;
mod sdp;

use std::{
    io::{self, Write},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use mcast_srtp::service::BroadcastService;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    args::BroadcastArgs,
    exit::Failure,
    key_server::{Listen, Listener, notify},
};
use config::{Config, Opened};
use player::Player;
use pull::{Counts, Source};
use push::{App, Shared};
use report::Report;

/// Runs the broadcaster until one of its ends.
///
/// # Errors
/// Usage: the configuration or a file it names cannot be used. Failed: the system refuses a socket,
/// or with --once a packet was not sent.
pub(crate) fn run(args: &BroadcastArgs) -> Result<(), Failure> {
    let mut config = Config::read(&args.config)?;
    let opened = config.open()?;
    if args.check {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("no runtime: {error}")))?;
    runtime.block_on(serve(args, &config, opened))
}

async fn serve(args: &BroadcastArgs, config: &Config, opened: Opened) -> Result<(), Failure> {
    // Before anything is sent, so that no signal is missed.
    let no_signals = |error| Failure::failed(format!("cannot wait for SIGTERM: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let listener = match &config.listen {
        Some(listen) => Some(
            Listener::open(listen)
                .await
                .map_err(|error| Failure::failed(format!("[http] listen: {error}")))?,
        ),
        None => None,
    };
    let service = BroadcastService::start(opened.service)?;
    for channel in &config.channels {
        service.open(channel.channel.clone())?;
    }
    sdp::write(&config.channels)?;
    let player = Player::start(&service, &config.channels)?;
    let polls = Arc::<Counts>::default();
    let (stopper, stop) = watch::channel(false);
    let mut tasks = JoinSet::new();
    if let Some(endpoint) = opened.key_server {
        let source = Source { endpoint, name: opened.name, counts: Arc::clone(&polls) };
        let source = Arc::new(source);
        for channel in &config.channels {
            let (source, service) = (Arc::clone(&source), service.clone());
            tasks.spawn(pull::follow(source, service, channel.id().clone()));
        }
    }
    if let Some(listener) = listener {
        let app = App(Arc::new(Shared {
            service: service.clone(),
            local_names_only: opened.token.is_none()
                && matches!(config.listen, Some(Listen::Tcp(_))),
            token: opened.token,
            metrics_token: opened.metrics_token,
            polls: Arc::clone(&polls),
        }));
        announce(args, &listener.address()).map_err(Failure::output)?;
        tasks.spawn(listener.serve(push::router(app), CONNECTIONS, stop));
    }
    notify::ready();
    let started = Instant::now();
    let report = |last| {
        let polls = (polls.answered.load(Ordering::Relaxed), polls.failed.load(Ordering::Relaxed));
        Report::new(started.elapsed(), &service, polls, last)
    };
    let mut end = pin!(async {
        match args.seconds {
            Some(time) => sleep(time).await,
            None => std::future::pending().await,
        }
    });
    let mut second = interval(SECOND);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = interval(LOOK);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = &mut end => break,
            _ = second.tick(), if args.json => print_json(&report(false))?,
            _ = look.tick(), if args.once => if player.has_finished() { break },
        }
    }
    let played = player.has_finished();
    drop(player);
    notify::stopping();
    // What was handed in last is still on its way out.
    sleep(LAST_PACKETS).await;
    let last = report(true);
    let _ = stopper.send(true);
    tasks.shutdown().await;
    service.stop();
    if args.json {
        print_json(&last)?;
    } else {
        write!(io::stdout(), "{}", last.table()).map_err(Failure::output)?;
    }
    match last.refused() {
        _ if args.once && !played => Err(Failure::failed("the recordings were not over")),
        refused @ 1.. if args.once => {
            Err(Failure::failed(format!("{refused} packets were not sent; the counters say why")))
        }
        _ => Ok(()),
    }
}

/// Says on the standard output where it listens: with port 0 nobody knows before.
fn announce(args: &BroadcastArgs, address: &str) -> io::Result<()> {
    let mut out = io::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "listening": address }))?;
    } else {
        writeln!(out, "listening on {address}")?;
    }
    out.flush()
}

fn print_json(report: &Report) -> Result<(), Failure> {
    let mut line = serde_json::to_string(report).map_err(Failure::failed)?;
    line.push('\n');
    io::stdout().write_all(line.as_bytes()).map_err(Failure::output)
}

/// HTTP connections at a time: a key server has one, and whoever reads counters.
const CONNECTIONS: usize = 64;
const SECOND: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(50);
const LAST_PACKETS: Duration = Duration::from_millis(100);
