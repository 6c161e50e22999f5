//! `recv`: the gateway in one command.
//!
//! ```text
//! lane threads ──copies, bounded queue──► this thread ──► UDP, rtpdump file, events, counters
//! ```

mod output;
mod report;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant, SystemTime},
};

use mcast_srtp::{
    Error, Gateway,
    group::{GroupSpec, Interface},
    net::ReceiveOptions,
    rx::Event,
    state::StateOptions,
};

use crate::{args::RecvArgs, exit::Failure, key_source::sealing_key, keyfile::KeyFile};
use output::{BurstLine, Outputs};
use report::Report;

/// Deliveries that may wait for this thread; what finds no room is counted and lost.
const QUEUE: usize = 8192;

/// Runs the command until one of its ends.
///
/// # Errors
/// Usage: a file or an argument cannot be used. Failed: the system refuses, a key message of the
/// description is refused, or --packets was not reached.
pub(crate) fn run(args: &RecvArgs) -> Result<(), Failure> {
    let keys = KeyFile::read(&args.keys)?;
    let spec = description(args, &keys)?;
    let stop = stop_signal()?;
    let mut outputs = Outputs::open(args)?;
    let (queue, deliveries) = sync_channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let gateway = start(args, keys, spec, queue, Arc::clone(&dropped))?;
    let mut reception =
        Reception { args, gateway, deliveries, dropped, started: Instant::now(), media: 0 };
    let reached = reception.receive(&mut outputs, &stop)?;
    reception.report(&outputs).print_last(args).map_err(Failure::output)?;
    outputs.finish().map_err(Failure::output)?;
    match args.packets {
        Some(wanted) if !reached => Err(Failure::failed(format!(
            "{} of {wanted} packets delivered; the counters say why",
            reception.media
        ))),
        _ => Ok(()),
    }
}

/// What a lane hands over: owned, so that the lane can go on.
enum Delivery {
    Media { at: Instant, packet: Vec<u8> },
    Burst(BurstLine),
}

fn description(args: &RecvArgs, keys: &KeyFile) -> Result<GroupSpec, Failure> {
    let in_file = |path: &Path, text: String| Failure::usage(format!("{}: {text}", path.display()));
    let interface = match &args.iface {
        Some(text) => text.parse().map_err(|e| Failure::usage(format!("--iface: {e}")))?,
        None => Interface::Any,
    };
    let text = std::fs::read_to_string(&args.sdp)
        .map_err(|error| in_file(&args.sdp, format!("cannot be read: {error}")))?;
    let spec = GroupSpec::from_sdp(&text, interface)
        .map_err(|error| in_file(&args.sdp, error.to_string()))?;
    let spec = spec.with_mikey_port(Some(args.mikey_port));
    Ok(keys.msk_messages.iter().cloned().fold(spec, GroupSpec::with_key_message))
}

fn start(
    args: &RecvArgs,
    keys: KeyFile,
    spec: GroupSpec,
    queue: SyncSender<Delivery>,
    dropped: Arc<AtomicU64>,
) -> Result<Gateway, Failure> {
    let mut builder = Gateway::builder()
        .workers(args.workers.into())
        .receive_options(ReceiveOptions::default().with_gro(args.gro));
    for given in keys.muks {
        builder = builder.muk(given.id, given.muk);
    }
    if let Some(address) = args.msk_at {
        builder = builder.key_address(SocketAddr::new(address, args.mikey_port));
    }
    if let Some(path) = &args.state {
        let mut state = StateOptions::new(path);
        if let Some(source) = &args.state_key {
            state = state.sealed_with(sealing_key("--state-key", source)?);
        }
        builder = builder.state(state);
    }
    let (name, wants_bursts) = (spec.name.clone(), args.events.is_some());
    let mut gateway = builder.start(move |event| {
        let delivery = match event {
            Event::Media(media) => {
                Delivery::Media { at: Instant::now(), packet: media.packet.to_vec() }
            }
            Event::Burst(burst) if wants_bursts => {
                Delivery::Burst(BurstLine::new(SystemTime::now(), &name, &burst))
            }
            _ => return,
        };
        // A lane must not wait for a file or a socket.
        if queue.try_send(delivery).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    })?;
    let group = gateway.join(spec).map_err(|error| match error {
        Error::Rejected(_) => Failure::failed(format!(
            "key message {error}; `mcast-srtp inspect` shows what the messages of the description say"
        )),
        other => other.into(),
    })?;
    for given in keys.traffic_keys {
        let (key, salt) = (given.key.expose(), given.salt.expose());
        gateway.insert_traffic_key(group, given.mki, given.profile, key, salt)?;
    }
    Ok(gateway)
}

/// Becomes true at Ctrl-C and SIGTERM.
fn stop_signal() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    ctrlc::set_handler(move || raised.store(true, Ordering::Relaxed))
        .map_err(|error| Failure::failed(format!("cannot wait for Ctrl-C: {error}")))?;
    Ok(stop)
}

struct Reception<'a> {
    args: &'a RecvArgs,
    gateway: Gateway,
    deliveries: Receiver<Delivery>,
    dropped: Arc<AtomicU64>,
    started: Instant,
    media: u64,
}

impl Reception<'_> {
    /// Writes out deliveries until an end; tells whether the wanted number of packets was reached.
    fn receive(&mut self, outputs: &mut Outputs, stop: &AtomicBool) -> Result<bool, Failure> {
        const SECOND: Duration = Duration::from_secs(1);
        // How long Ctrl-C may go unnoticed.
        const PATIENCE: Duration = Duration::from_millis(100);
        let end = self.args.seconds.map(|seconds| self.started + seconds);
        let mut next_report = self.started + SECOND;
        loop {
            let now = Instant::now();
            if now >= next_report {
                next_report += SECOND;
                outputs.flush().map_err(Failure::output)?;
                self.report(outputs).print_running(self.args).map_err(Failure::output)?;
            }
            if stop.load(Ordering::Relaxed) || end.is_some_and(|end| now >= end) {
                return Ok(false);
            }
            let mut wait = PATIENCE.min(next_report.saturating_duration_since(now));
            wait = end.map_or(wait, |end| wait.min(end.saturating_duration_since(now)));
            match self.deliveries.recv_timeout(wait) {
                Ok(Delivery::Media { at, packet }) => {
                    let offset = at.saturating_duration_since(self.started);
                    outputs.media(offset, &packet).map_err(Failure::output)?;
                    self.media += 1;
                    if self.args.packets == Some(self.media) {
                        return Ok(true);
                    }
                }
                Ok(Delivery::Burst(line)) => outputs.burst(&line).map_err(Failure::output)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
        }
    }

    fn report(&self, outputs: &Outputs) -> Report {
        Report::new(
            self.started.elapsed(),
            &self.gateway.stats(),
            self.media,
            self.dropped.load(Ordering::Relaxed),
            outputs.not_forwarded(),
        )
    }
}
