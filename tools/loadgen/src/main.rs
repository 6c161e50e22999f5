//! The command line of the load generator.

use std::{fs, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use loadgen::{Destination, Error, Generator, Interface, Schedule, Summary, Traffic, send};
use peers::Implementation;

/// Sends SRTP and SRTCP that mcast-srtp had no hand in: packets of the rtp crate, protected by
/// webrtc-srtp (MKI added by hand) or by the system's libsrtp, under keys that change by a schedule.
#[derive(Parser)]
#[command(version, after_help = EXAMPLE)]
struct Arguments {
    /// Group and port of the media, for example 239.255.7.1:5004 or [ff15::7]:5004
    #[arg(long, value_name = "ADDR:PORT")]
    to: SocketAddr,
    /// Traffic keys and when they start (TOML; tools/loadgen/schedule.toml is an example)
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// Interface by name, or by one of its IPv4 addresses, which becomes the source
    #[arg(long, value_name = "NAME|ADDR")]
    iface: Option<Interface>,
    /// TTL or hop limit
    #[arg(long, default_value_t = 1)]
    ttl: u8,
    /// Port of RTCP: one above the media's if absent
    #[arg(long, value_name = "PORT")]
    rtcp_port: Option<u16>,
    /// Media packets in all
    #[arg(long, default_value_t = 500)]
    count: u64,
    /// Media packets a second over all streams, 0 for as fast as possible
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Packets sent at the same moment
    #[arg(long, default_value_t = 1)]
    burst: u64,
    /// Payload octets; several sizes are used in turn
    #[arg(long, value_delimiter = ',', default_value = "32")]
    payload: Vec<usize>,
    /// RTP payload type
    #[arg(long, default_value_t = 97)]
    payload_type: u8,
    /// Streams, which take turns
    #[arg(long, default_value_t = 1)]
    streams: u32,
    /// SSRC of the first stream, in hexadecimal; the others count on
    #[arg(long, value_parser = ssrc, default_value = "cafebabe")]
    ssrc: u32,
    /// Sequence number the streams start with
    #[arg(long, default_value_t = 1)]
    seq: u16,
    /// Rollover counter the streams start with
    #[arg(long, default_value_t = 0)]
    roc: u32,
    /// Timestamp units between packets of a stream
    #[arg(long, default_value_t = 160)]
    timestamp_step: u32,
    /// An RTCP packet after every N media packets of a stream, 0 for none
    #[arg(long, default_value_t = 0, value_name = "N")]
    rtcp_every: u64,
    /// A forgery before every Nth media packet, 0 for none
    #[arg(long, default_value_t = 0, value_name = "N")]
    forge_every: u64,
    /// Who protects the packets
    #[arg(long, value_enum, default_value_t = Protector::WebrtcSrtp)]
    peer: Protector,
    /// Protect everything before the first packet is sent, so that only sending takes time
    #[arg(long)]
    prepare: bool,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Protector {
    WebrtcSrtp,
    Libsrtp,
}

const EXAMPLE: &str =
    "Example: speech of three talkers with a key change every few seconds, on this machine
  loadgen --to 239.255.7.1:5004 --iface lo --keys tools/loadgen/schedule.toml --streams 3 \\
          --count 600 --rtcp-every 50

Exit status: 0 all sent, 1 stopped by an error, 2 usage.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.json;
    match run(arguments) {
        Ok(summary) => {
            print(&summary, json);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("loadgen: {error}");
            ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn run(arguments: Arguments) -> Result<Summary, Error> {
    let file = &arguments.keys;
    let text = fs::read_to_string(file)
        .map_err(|e| Error::Usage(format!("cannot read {}: {e}", file.display())))?;
    let schedule =
        Schedule::from_toml(&text).map_err(|e| Error::Usage(format!("{}: {e}", file.display())))?;
    let to = Destination {
        media: arguments.to,
        control_port: match arguments.rtcp_port {
            Some(port) => port,
            None => arguments.to.port().checked_add(1).ok_or_else(|| {
                Error::Usage("there is no port above 65535; give --rtcp-port".into())
            })?,
        },
        interface: arguments.iface,
        ttl: arguments.ttl,
    };
    let traffic = Traffic {
        count: arguments.count,
        rate: arguments.rate,
        burst: arguments.burst,
        payload: arguments.payload,
        payload_type: arguments.payload_type,
        streams: arguments.streams,
        first_ssrc: arguments.ssrc,
        first_seq: arguments.seq,
        roc: arguments.roc,
        timestamp_step: arguments.timestamp_step,
        rtcp_every: arguments.rtcp_every,
        forge_every: arguments.forge_every,
        implementation: match arguments.peer {
            Protector::WebrtcSrtp => Implementation::WebrtcSrtp,
            Protector::Libsrtp => Implementation::LibSrtp,
        },
    };
    let generator = Generator::new(traffic, schedule)?;
    if arguments.prepare {
        let datagrams: Vec<_> = generator.collect();
        send(&to, datagrams)
    } else {
        send(&to, generator)
    }
}

fn print(summary: &Summary, json: bool) {
    if json {
        match serde_json::to_string(summary) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("loadgen: {error}"),
        }
        return;
    }
    println!(
        "sent {} media, {} control, {} forged ({} octets), {} key changes",
        summary.media, summary.control, summary.forged, summary.octets, summary.key_changes
    );
    println!(
        "in {:.3} s, {:.0} datagrams/s, the latest {:.3} ms after its time",
        summary.seconds, summary.datagrams_per_second, summary.worst_delay_ms
    );
}

fn ssrc(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u32::from_str_radix(digits, 16).map_err(|_| "an SSRC is up to eight hexadecimal digits".into())
}
