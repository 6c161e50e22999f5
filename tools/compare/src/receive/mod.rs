//! `compare receive`: the whole receive path beside a bare loop, GStreamer and FFmpeg, over a pair of
//! virtual Ethernet interfaces between two network namespaces.
//!
//! ```text
//! this process, namespace A ──veth──► namespace B: one receiver at a time, a process of its own
//!      protected datagrams, made before         its CPU time and drops, read from /proc
//! ```

mod bare;
mod namespace;
mod own;
mod program;
mod row;
mod stream;
mod table;

use std::{
    env,
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    process::Command,
};

use clap::{Args, ValueEnum};

use namespace::Wire;
pub(crate) use own::{ReceiverArgs, receiver};
use row::{Bench, Row};
use table::Table;

/// Measures the processor time that a packet costs the process that receives it: mcast-srtp through its
/// gateway, its sockets alone, a bare recvmmsg loop, and GStreamer and FFmpeg where they are installed.
///
/// Runs in network namespaces of its own, which needs `unshare` and `nsenter` of util-linux, `ip` of
/// iproute2, and a kernel that lets the user make them. Receivers take turns, one at a time.
#[derive(Args, Clone)]
pub(crate) struct ReceiveArgs {
    /// Rows of the table; all if absent
    #[arg(long, value_delimiter = ',', value_enum)]
    row: Vec<Row>,
    /// Rounds; every receiver takes part in each
    #[arg(long, default_value_t = 5, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    rounds: usize,
    /// Packets of the rows `million` and `rekey`, in thousands
    #[arg(long, default_value_t = 1000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(200..=10_000))]
    thousands: usize,
    /// Print one JSON object at the end instead of the table
    #[arg(long)]
    json: bool,
}

/// Runs the rows.
pub(crate) fn run(args: &ReceiveArgs) -> Result<(), String> {
    if env::var_os(INSIDE).is_none() {
        return Err(enter_namespace());
    }
    let wire = Wire::new()?;
    let rows = if args.row.is_empty() { Row::value_variants() } else { &args.row };
    let bench = Bench::new(&wire, args.rounds, args.thousands * 1000)?;
    let mut table = Table::new(args.rounds, bench.not_run());
    if !args.json {
        table.print_head();
    }
    for row in rows {
        let measured = bench.measure(*row)?;
        if !args.json {
            Table::print_row(&measured);
        }
        table.rows.push(measured);
    }
    if args.json {
        println!("{}", serde_json::to_string(&table).map_err(|e| e.to_string())?);
    }
    Ok(())
}

/// Becomes this program again in a namespace of its own; returns only why it could not.
fn enter_namespace() -> String {
    let this = match env::current_exe() {
        Ok(this) => this,
        Err(error) => return format!("where this program is cannot be told: {error}"),
    };
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let error = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net"])
        .arg(this)
        .args(arguments)
        .env(INSIDE, "1")
        .exec();
    format!("cannot run unshare, which makes the network namespaces: {error}")
}

const INSIDE: &str = "COMPARE_RECEIVE_INSIDE";

/// Where the datagrams go.
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 77, 0, 1));
const MEDIA: SocketAddr = SocketAddr::new(GROUP, 5004);
const MTK: SocketAddr = SocketAddr::new(GROUP, 2269);
/// Ends of the wire.
const SENDER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
const RECEIVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
const MSK: SocketAddr = SocketAddr::new(RECEIVER, 2270);
/// The receiving interface.
const INTERFACE: &str = "veth-b";
/// Receive buffer asked for by everybody.
const BUFFER: usize = 4 << 20;
