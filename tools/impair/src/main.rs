//! The command line of the relay.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Parser;
use impair::{Bursts, End, Impairments, Interface, Outcome, Route, relay};

/// Relays UDP datagrams through a bad network: some are lost, delayed, repeated, reordered, damaged.
///
/// The dice are seeded: the same datagrams in the same order get the same fates, and one impairment
/// more or less does not change what the others do. Times add up as the clock allows.
#[derive(Parser)]
#[command(version, after_help = EXAMPLE)]
struct Arguments {
    /// Where to receive and where to send to; groups are joined. Each route has its own dice
    #[arg(required = true, value_name = "FROM=TO")]
    routes: Vec<Route>,
    /// Interface of multicast groups, by name or by one of its IPv4 addresses
    #[arg(long, value_name = "NAME|ADDR")]
    iface: Option<Interface>,
    /// Decides the fates
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Part of the datagrams lost, each by itself, 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "P", value_parser = part)]
    drop: f64,
    /// Chance of a datagram to begin a burst of losses: 1 by the mean distance of bursts
    #[arg(long, default_value_t = 0.0, value_name = "P", value_parser = part)]
    burst_enter: f64,
    /// Chance of a datagram to end a burst: 1 by the mean length of bursts
    #[arg(long, default_value_t = 0.2, value_name = "P", value_parser = part)]
    burst_leave: f64,
    /// Part of the datagrams lost in a burst
    #[arg(long, default_value_t = 1.0, value_name = "P", value_parser = part)]
    burst_loss: f64,
    /// Delay of every datagram
    #[arg(long, default_value = "0", value_name = "MS", value_parser = milliseconds)]
    delay: Duration,
    /// Further delay, evenly distributed from 0 to this; near datagrams change places
    #[arg(long, default_value = "0", value_name = "MS", value_parser = milliseconds)]
    jitter: Duration,
    /// Part of the datagrams that arrive twice
    #[arg(long, default_value_t = 0.0, value_name = "P", value_parser = part)]
    duplicate: f64,
    /// Part of the datagrams that come late by --late
    #[arg(long, default_value_t = 0.0, value_name = "P", value_parser = part)]
    reorder: f64,
    /// How late those are
    #[arg(long, default_value = "20", value_name = "MS", value_parser = milliseconds)]
    late: Duration,
    /// Part of the datagrams of which one octet is damaged
    #[arg(long, default_value_t = 0.0, value_name = "P", value_parser = part)]
    corrupt: f64,
    /// End after this many datagrams
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    datagrams: Option<u64>,
    /// End after this time; without both ends, at Ctrl-C
    #[arg(long, value_name = "N", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

const EXAMPLE: &str =
    "Example: a talk group with 2 % loss in bursts of five, 40 ms of jitter and some damage
  impair --iface lo --burst-enter 0.004 --jitter 40 --corrupt 0.001 \\
         239.255.7.1:5004=239.255.8.1:5004 239.255.7.1:2269=239.255.8.1:2269

Exit status: 0 ended as asked, 1 stopped by an error or before --datagrams came, 2 usage.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    if let Err(error) = ctrlc::set_handler(move || raised.store(true, Ordering::Relaxed)) {
        eprintln!("impair: cannot wait for Ctrl-C: {error}");
        return ExitCode::FAILURE;
    }
    let Arguments { routes, iface, seed, .. } = &arguments;
    let end = End { datagrams: arguments.datagrams, after: arguments.seconds };
    // Whoever started it may send now.
    let ready = || eprintln!("impair: ready, {} routes", routes.len());
    match relay(routes, iface.as_ref(), impairments(&arguments), *seed, end, &stop, ready) {
        Ok(outcome) => conclude(&arguments, &outcome),
        Err(error) => {
            eprintln!("impair: {error}");
            ExitCode::FAILURE
        }
    }
}

fn impairments(arguments: &Arguments) -> Impairments {
    let Arguments { burst_enter: enter, burst_leave: leave, burst_loss: loss, .. } = *arguments;
    Impairments {
        drop: arguments.drop,
        bursts: (enter > 0.0).then_some(Bursts { enter, leave, loss }),
        delay: arguments.delay,
        jitter: arguments.jitter,
        duplicate: arguments.duplicate,
        reorder: arguments.reorder,
        late: arguments.late,
        corrupt: arguments.corrupt,
    }
}

fn conclude(arguments: &Arguments, outcome: &Outcome) -> ExitCode {
    let Outcome { counts, overrun, not_sent } = outcome;
    if arguments.json {
        match serde_json::to_string(outcome) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("impair: {error}"),
        }
    } else {
        println!(
            "{} datagrams: {} dropped, {} dropped in bursts, {} duplicated, {} reordered, \
             {} corrupted, {} passed on",
            counts.sent,
            counts.dropped,
            counts.burst_dropped,
            counts.duplicated,
            counts.reordered,
            counts.corrupted,
            counts.arrived - not_sent,
        );
        if overrun + not_sent > 0 {
            println!(
                "not by the dice: {overrun} found the queue full, {not_sent} could not be sent"
            );
        }
    }
    match arguments.datagrams {
        Some(wanted) if counts.sent < wanted => {
            eprintln!("impair: only {} of {wanted} datagrams came", counts.sent);
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn part(text: &str) -> Result<f64, String> {
    let part = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&part) { Ok(part) } else { Err("a part is from 0 to 1".into()) }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    duration(text, 1e-3)
}

fn seconds(text: &str) -> Result<Duration, String> {
    duration(text, 1.0)
}

fn duration(text: &str, unit: f64) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(number * unit).map_err(|e| e.to_string())
}
