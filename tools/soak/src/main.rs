//! The soak: a gateway in this process, fed over the loopback interface, for as long as asked.

mod meter;
mod sender;

use std::{
    io::{IsTerminal, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use mcast_srtp::{
    Gateway,
    group::{GroupSpec, Interface, MediaSpec, RtcpPlace},
    rx::Event,
    srtp::Profile,
};
use meter::{Meter, Report};
use sender::{Load, Sender};
use soak::Issuer;

/// Runs a gateway under steady load while its keys change, and tells loss, resident memory, and the
/// time from sending a packet to its delivery before, during and after each change of key.
///
/// Sender and gateway run in this process and meet on the loopback interface. Each traffic key comes by
/// an MTK message to the group 300 ms before its first packet, each service key by an MSK message over
/// unicast a second before; both are sent twice.
#[derive(Clone, Parser)]
#[command(version, after_help = EXAMPLE)]
struct Arguments {
    /// How long
    #[arg(long, default_value_t = 600, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    seconds: u32,
    /// Packets a second, sent in bursts a millisecond apart
    #[arg(long, default_value_t = 50_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..=1_000_000))]
    rate: u32,
    /// Time between changes of the traffic key
    #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = interval)]
    mtk_every: Duration,
    /// Time between changes of the service key, rounded up to changes of the traffic key
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = interval)]
    msk_every: Duration,
    /// Protection of the media by its SDP name
    #[arg(long, default_value = "AES_CM_128_HMAC_SHA1_80", value_parser = profile)]
    profile: Profile,
    /// Multicast group on the loopback interface
    #[arg(long, default_value = "239.255.83.1", value_name = "ADDR", value_parser = group)]
    group: IpAddr,
    /// Port of the media; the two above it are for keys
    #[arg(long, default_value_t = 21_700, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65_000))]
    port: u16,
    /// How long the lane waits after a batch for the next to gather
    #[arg(long, default_value = "0.001", value_name = "SECONDS", value_parser = seconds)]
    coalesce: Duration,
    /// Octets that resident memory may grow by after the first tenth of the time
    #[arg(long, default_value_t = 1 << 20, value_name = "N")]
    growth: u64,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

const EXAMPLE: &str = "Example: ten minutes, as in benches/README.md; or a minute of hard re-keying
  cargo run --release -p soak
  cargo run --release -p soak -- --seconds 60 --mtk-every 0.1 --msk-every 1

Exit status: 0 nothing lost and memory flat, 1 otherwise, 2 usage.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) => {
            report.print(arguments.json);
            let verdict = report.verdict(arguments.growth);
            verdict.iter().for_each(|text| eprintln!("soak: {text}"));
            ExitCode::from(u8::from(!verdict.is_empty()))
        }
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report, Box<dyn std::error::Error + Send + Sync>> {
    let issuer = Issuer { profile: arguments.profile };
    let start = Instant::now();
    let meter = Arc::new(Meter::new(start)?);
    let (loopback, key_port) = (IpAddr::V4(Ipv4Addr::LOCALHOST), arguments.port + 1);
    let media = MediaSpec::rtp(arguments.group, arguments.port).with_rtcp(RtcpPlace::None);
    let spec = GroupSpec::new("soak", Interface::Addr(loopback))
        .with_media(media)
        .with_mikey_port(Some(key_port))
        .with_key_message(issuer.msk_message(1)?);
    let (muk_id, muk) = issuer.muk();
    let key_address = SocketAddr::new(loopback, arguments.port + 2);
    let sink = Arc::clone(&meter);
    let gateway = Gateway::builder()
        .muk(muk_id, muk)
        .key_address(key_address)
        .coalesce(arguments.coalesce)
        .group(spec)
        .start(move |event| {
            if let Event::Media(media) = event {
                sink.note(media.index, media.payload);
            }
        })?;
    let load = Load {
        rate: arguments.rate,
        seconds: arguments.seconds,
        mtk_every: arguments.mtk_every,
        msk_every: arguments.msk_every,
        group: SocketAddr::new(arguments.group, arguments.port),
        key_port,
        key_address,
    };
    let sender = Sender::new(load, issuer, start)?;
    let stop = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let sent = sender.run();
            stop.store(true, Ordering::Relaxed);
            sent
        });
        watch(arguments, &meter, &stop);
        sending.join().unwrap_or_else(|_| Err("the sender panicked".into()))
    })?;
    // What is in the socket still comes.
    thread::sleep(Duration::from_millis(500) + arguments.coalesce);
    meter.look_at_memory();
    let counters = gateway.stats().to_string();
    gateway.stop();
    Ok(meter.report(&sent, counters))
}

/// Looks at memory and draws progress until the sender is done.
fn watch(arguments: &Arguments, meter: &Meter, stop: &AtomicBool) {
    let (start, end) = (Instant::now(), Duration::from_secs(arguments.seconds.into()));
    let drawn = std::io::stderr().is_terminal();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(250));
        let part = start.elapsed().div_duration_f64(end).min(1.0);
        if part >= WARM {
            meter.look_at_memory();
        }
        if drawn {
            // Of 40 columns.
            let full = (part * 40.0) as usize;
            let _ = write!(
                std::io::stderr(),
                "\r[{:<40}] {:>3.0} %  {} packets",
                "#".repeat(full),
                part * 100.0,
                meter.delivered()
            );
        }
    }
    if drawn {
        eprintln!();
    }
}

/// Part of the time after which memory has to be flat.
const WARM: f64 = 0.1;

fn profile(name: &str) -> Result<Profile, String> {
    Profile::from_name(name).map_err(|error| error.to_string())
}

fn group(text: &str) -> Result<IpAddr, String> {
    match text.parse::<Ipv4Addr>() {
        Ok(group) if group.is_multicast() => Ok(group.into()),
        _ => Err("an IPv4 multicast address, for example 239.255.83.1".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = seconds(text)?;
    if interval >= Duration::from_millis(50) { Ok(interval) } else { Err("at least 0.05".into()) }
}
