//! `key-server`: the key service with an interface over HTTP.
//!
//! ```text
//!  configuration ─► KeyService (a thread, UDP 2269, state file)
//!                       ▲ requests, looks          │ events, documents
//!  HTTP ─► access ─► routes ◄──────────────────────┴─► push to broadcasters
//! ```

mod access;
mod api;
mod config;
mod listen;
mod metrics;
pub(crate) mod notify;
mod push;

pub(crate) use access::{bearer, names_this_host};
pub(crate) use api::{Json, Refusal, octets};
pub(crate) use config::Listen;
pub(crate) use listen::Listener;
pub(crate) use metrics::Page;

use std::{
    io::{self, Write},
    sync::{Arc, mpsc},
};

use mcast_srtp::service::{KeyService, RefusedKind, Request};
use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Mutex, Semaphore, watch},
    task::JoinSet,
};

use crate::{args::KeyServerArgs, exit::Failure, keyfile::GivenClient};
use api::{App, Shared};
use config::{Config, Opened};

/// Runs the key server until SIGTERM or Ctrl-C.
///
/// # Errors
/// Usage: the configuration or a file it names cannot be used. Failed: the system refuses a socket.
pub(crate) fn run(args: &KeyServerArgs) -> Result<(), Failure> {
    let mut config = Config::read(&args.config)?;
    let opened = config.open()?;
    if args.check {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("no runtime: {error}")))?;
    runtime.block_on(serve(args, &config, opened))
}

async fn serve(args: &KeyServerArgs, config: &Config, opened: Opened) -> Result<(), Failure> {
    // Before anybody can ask anything, so that no signal is missed.
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let listener = Listener::open(&config.listen).await;
    let listener = listener.map_err(|error| Failure::failed(format!("[http] listen: {error}")))?;
    let together = opened.service.limits.requests.clamp(1, 256);
    let service = KeyService::start(opened.service)?;
    enter(&service, opened.clients, together)?;
    let (stopper, stop) = watch::channel(false);
    let app = App::from(Shared {
        service: service.clone(),
        access: opened.access,
        defaults: config.defaults.clone(),
        max_body: config.max_body,
        event_readers: Arc::new(Semaphore::new(config.event_readers)),
        settings: Mutex::new(()),
        stop: stop.clone(),
        counts: metrics::HttpCounts::default(),
        pushes: Arc::default(),
    });
    let mut pushers = JoinSet::new();
    for target in opened.targets {
        pushers.spawn(push::push(app.clone(), target));
    }
    announce(args, &listener, &service).map_err(Failure::output)?;
    notify::ready();
    let router = api::router(&app);
    let serving = tokio::spawn(listener.serve(router, config.connections, stop));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ends");
    notify::stopping();
    let _ = stopper.send(true);
    let _ = serving.await;
    pushers.shutdown().await;
    service.stop();
    Ok(())
}

fn no_signals(error: io::Error) -> Failure {
    Failure::failed(format!("cannot wait for SIGTERM: {error}"))
}

/// Enters the clients of the key file that are not on the roster. Those that are stay as they are:
/// they may have bootstrapped again since.
fn enter(
    service: &KeyService,
    mut clients: Vec<GivenClient>,
    together: usize,
) -> Result<(), Failure> {
    while !clients.is_empty() {
        // So many share commits; not more than may wait.
        let (answer, answers) = mpsc::channel();
        for GivenClient { client, id, muk, reach } in
            clients.split_off(clients.len().saturating_sub(together))
        {
            let answer = answer.clone();
            let name = client.as_str().into();
            let request = Request::AddClient { client: name, muk_id: id, muk, reach };
            service.submit(request, move |result| drop(answer.send((client, result))));
        }
        drop(answer);
        for (client, result) in answers {
            match result {
                Ok(_) => {}
                Err(refused) if refused.kind == RefusedKind::Conflict => {
                    tracing::info!(client, why = %refused, "not entered");
                }
                Err(refused) => return Err(Failure::failed(format!("client {client}: {refused}"))),
            }
        }
    }
    Ok(())
}

/// Says on the standard output where it listens: with port 0 nobody knows before.
fn announce(args: &KeyServerArgs, listener: &Listener, service: &KeyService) -> io::Result<()> {
    let (http, mikey) = (listener.address(), service.mikey_address());
    tracing::info!(%http, ?mikey, "serves");
    let mut out = io::stdout();
    if args.json {
        writeln!(out, "{}", json!({ "listening": http, "mikey": mikey }))?;
    } else {
        writeln!(out, "listening on {http}")?;
        if let Some(mikey) = mikey {
            writeln!(out, "MIKEY on {mikey}")?;
        }
    }
    out.flush()
}
