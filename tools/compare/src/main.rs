//! One command, one run: mcast-srtp beside the implementations people use today.

mod contender;
mod feed;
mod measure;
mod receive;
mod report;
mod scenario;

use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use contender::{Contender, Ours, Rival};
use feed::{CAN_FLUSH, FIRST_SSRC, Feed};
use mcast_srtp::srtp::Backend;
use measure::{Effort, Line, measure};
use peers::{Setup, Suite};
use report::Report;
use scenario::{Payload, Scenario};

/// Measures how long mcast-srtp, webrtc-srtp, rtc-srtp and the system's libsrtp take to open the
/// same packets. First each has to open them to the same octets.
///
/// Without options that choose lines, the table of the project's targets is measured.
#[derive(Parser)]
#[command(version, after_help = EXAMPLE, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Suites by their SDP names
    #[arg(long, value_delimiter = ',', value_parser = suite)]
    suite: Vec<Suite>,
    /// Payload octets, or mix for 160 and 1200 in turn
    #[arg(long, value_delimiter = ',')]
    payload: Vec<Payload>,
    /// Packets that mcast-srtp gets at a time
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=64))]
    batch: Vec<usize>,
    /// Streams, whose packets come in turn
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    ssrcs: Vec<u32>,
    /// Flush the packets from the caches before they are opened
    #[arg(long)]
    cold: bool,
    /// Who takes part besides mcast-srtp
    #[arg(long, value_delimiter = ',', value_enum)]
    rival: Vec<Rival>,
    /// Kernels of mcast-srtp: portable, avx2 or avx512; the best if absent
    #[arg(long, value_parser = backend)]
    backend: Option<Backend>,
    /// Octets of the MKI
    #[arg(long, default_value_t = 6, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=128))]
    mki: usize,
    /// Rounds; every contender takes part in each
    #[arg(long, default_value_t = 21, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    rounds: usize,
    /// Packets a round, at least one for each stream
    #[arg(long, default_value_t = 4096)]
    packets: usize,
    /// Print one JSON object at the end instead of the table
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum What {
    Receive(receive::ReceiveArgs),
    /// A receiver that `receive` starts
    #[command(hide = true)]
    Receiver(receive::ReceiverArgs),
}

const EXAMPLE: &str = "Examples:
  cargo run --release -p compare
  cargo run --release -p compare -- receive
  cargo run --release -p compare -- --suite AEAD_AES_128_GCM --payload 32,mix --batch 1,64 --json
  LIBSRTP=$(tools/compare/libsrtp-openssl.sh) cargo run --release -p compare -- --rival libsrtp

Exit status: 0 measured, 1 a contender did not open a packet to the right octets, 2 usage.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.what {
        Some(What::Receive(args)) => return conclude(receive::run(args)),
        Some(What::Receiver(args)) => return conclude(receive::receiver(args)),
        None => {}
    }
    let scenarios = scenarios(&arguments);
    if !CAN_FLUSH && scenarios.iter().any(|s| s.cold) {
        eprintln!("compare: cold packets need x86-64, whose caches can be flushed");
        return ExitCode::from(2);
    }
    conclude(run(&arguments, scenarios))
}

fn conclude(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn scenarios(arguments: &Arguments) -> Vec<Scenario> {
    let Arguments { suite, payload, batch, ssrcs, cold, .. } = arguments;
    let chosen =
        !suite.is_empty() || !payload.is_empty() || !batch.is_empty() || !ssrcs.is_empty() || *cold;
    if chosen { Scenario::product(suite, payload, batch, ssrcs, *cold) } else { Scenario::table() }
}

fn run(arguments: &Arguments, scenarios: Vec<Scenario>) -> Result<(), String> {
    let backend = arguments.backend.unwrap_or_else(Backend::active);
    let rivals = if arguments.rival.is_empty() { &Rival::ALL[..] } else { &arguments.rival };
    let mut report = Report {
        processor: report::processor(),
        backend: backend.to_string(),
        mki_len: arguments.mki,
        replay_window: WINDOW,
        rounds: arguments.rounds,
        not_run: Vec::new(),
        lines: Vec::new(),
    };
    let (rivals, not_run) = present(rivals, arguments.mki);
    report.not_run = not_run;
    if !arguments.json {
        report.print_head();
    }
    for scenario in scenarios {
        let line = line(arguments, scenario, &rivals, backend)?;
        if !arguments.json {
            if report.lines.is_empty() {
                Report::print_names(&line);
            }
            Report::print_line(&line);
        }
        report.lines.push(line);
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&report).map_err(|e| e.to_string())?);
    }
    Ok(())
}

/// The rivals that can take part here, and why the others cannot.
fn present(rivals: &[Rival], mki: usize) -> (Vec<Rival>, Vec<String>) {
    let (mut present, mut not_run) = (Vec::new(), Vec::new());
    for rival in rivals {
        match rival.contender(&setup(Suite::AesCm128Sha1_80, mki)) {
            Ok(_) => present.push(*rival),
            Err(why) => not_run.push(why.to_string()),
        }
    }
    (present, not_run)
}

fn line(
    arguments: &Arguments,
    scenario: Scenario,
    rivals: &[Rival],
    backend: Backend,
) -> Result<Line, String> {
    let setup = setup(scenario.suite, arguments.mki);
    let refused = |e: peers::Refused| e.to_string();
    let mut feed = Feed::new(scenario, &setup).map_err(refused)?;
    let mut contenders: Vec<Contender> =
        vec![Ours::contender(&scenario, &setup, backend).map_err(refused)?];
    for rival in rivals {
        contenders.push(rival.contender(&setup).map_err(refused)?);
    }
    let effort = Effort {
        rounds: arguments.rounds,
        packets: arguments.packets,
        budget: Duration::from_millis(50),
    };
    measure(scenario, &mut feed, &mut contenders, effort)
}

fn setup(suite: Suite, mki_len: usize) -> Setup {
    let octets = |len: usize, first: u8| (first..=255).cycle().take(len).collect::<Vec<_>>();
    let (key, salt) = (octets(suite.key_len(), 0x21), octets(suite.salt_len(), 0x83));
    let mki = octets(mki_len, 0x01);
    Setup { window: WINDOW, ..Setup::new(suite, &key, &salt, &mki, FIRST_SSRC) }
}

/// Packets of the replay window, for everybody.
const WINDOW: usize = 128;

fn suite(name: &str) -> Result<Suite, String> {
    Suite::from_name(name)
        .ok_or_else(|| format!("one of {}", Suite::ALL.map(Suite::name).join(", ")))
}

fn backend(name: &str) -> Result<Backend, String> {
    let names: Vec<_> = Backend::available().iter().map(|b| b.name()).collect();
    match Backend::from_name(name) {
        Some(backend) if Backend::available().contains(&backend) => Ok(backend),
        _ => Err(format!("this processor has {}", names.join(", "))),
    }
}
