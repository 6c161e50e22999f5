//! Counters of a reception, as JSON lines or as a table at the end.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use mcast_srtp::{
    Reject,
    runtime::{GatewayStats, KeyStats, SocketStats},
    rx::GroupStats,
};
use serde::Serialize;

use crate::{args::RecvArgs, table::Table};

/// The counters of one moment.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    seconds: f64,
    groups: Vec<GroupReport>,
    sockets: SocketReport,
    keys: KeyReport,
    /// Threads of the gateway that have ended before it was stopped: always 0, or a fault of ours.
    threads_ended: usize,
    /// How often taking an event has panicked: the same.
    callback_panics: u64,
    /// Media packets written out.
    written: u64,
    /// Deliveries for which the queue had no room.
    output_dropped: u64,
    /// Packets the system would not send to --to.
    not_forwarded: u64,
    /// The last report of the run.
    last: bool,
}

#[derive(Debug, Serialize)]
struct GroupReport {
    group: String,
    datagrams: u64,
    octets: u64,
    media: u64,
    /// Media that nothing authenticates: some RCC modes leave packets without a tag.
    unauthenticated: u64,
    burst: u64,
    rtcp: u64,
    key_messages: u64,
    held: u64,
    released: u64,
    streams: u64,
    /// Streams forgotten because others needed the room.
    evicted_streams: u64,
    /// Datagrams the system dropped because the receive buffer was full.
    socket_drops: u64,
    /// Octets behind burst-control messages that are neither padding nor items.
    ignored_octets: u64,
    verdicts: Verdicts,
}

#[derive(Debug, Serialize)]
struct SocketReport {
    open: usize,
    shared: usize,
    drops: u64,
    /// Datagrams at a shared socket that were sent to none of its groups.
    unknown_destination: u64,
    receive_errors: u64,
    interfaces_lost: u64,
    /// Groups joined again on an interface that came back.
    rejoined: u64,
}

#[derive(Debug, Serialize)]
struct KeyReport {
    msk: u64,
    mtk: u64,
    verifications: u64,
    /// Tables of keys published.
    publishes: u64,
    generation: u64,
    /// Writes to the state, and those that the system refused.
    commits: u64,
    commits_failed: u64,
    verdicts: Verdicts,
}

/// Refusals by name; only those that occurred.
type Verdicts = BTreeMap<&'static str, u64>;

impl Report {
    /// Takes the counters down.
    pub(super) fn new(
        elapsed: Duration,
        stats: &GatewayStats,
        written: u64,
        output_dropped: u64,
        not_forwarded: u64,
    ) -> Self {
        Self {
            seconds: elapsed.as_secs_f64(),
            groups: stats.groups.iter().map(|(_, name, stats)| group(name, stats)).collect(),
            sockets: sockets(&stats.sockets),
            keys: keys(&stats.keys),
            threads_ended: stats.threads_ended,
            callback_panics: stats.callback_panics,
            written,
            output_dropped,
            not_forwarded,
            last: false,
        }
    }

    /// A line each second, if JSON was asked for.
    ///
    /// # Errors
    /// Those of the standard output.
    pub(super) fn print_running(&self, args: &RecvArgs) -> io::Result<()> {
        if args.json { self.print_json() } else { Ok(()) }
    }

    /// The last line, or the table.
    ///
    /// # Errors
    /// Those of the output.
    pub(super) fn print_last(mut self, args: &RecvArgs) -> io::Result<()> {
        self.last = true;
        if args.json {
            self.print_json()
        } else if args.events.as_deref() == Some(Path::new("-")) {
            // The standard output is for the events.
            write!(io::stderr(), "{}", self.table())
        } else {
            write!(io::stdout(), "{}", self.table())
        }
    }

    fn print_json(&self) -> io::Result<()> {
        let mut line = serde_json::to_string(self)?;
        line.push('\n');
        io::stdout().write_all(line.as_bytes())
    }

    fn table(&self) -> String {
        let mut table = Table::new(&["", "delivered", "refused"]);
        let mut row = |name: String, delivered: Option<u64>, refused: Option<u64>| {
            let cell = |count: Option<u64>| count.map(|n| n.to_string()).unwrap_or_default();
            table.row(vec![name, cell(delivered), cell(refused)]);
        };
        for group in &self.groups {
            row(format!("{} ({} datagrams)", group.group, group.datagrams), None, None);
            row("  media packets".to_owned(), Some(group.media), None);
            row("  burst control".to_owned(), Some(group.burst), None);
            row("  other RTCP".to_owned(), Some(group.rtcp), None);
            for (verdict, count) in &group.verdicts {
                row(format!("  {verdict}"), None, Some(*count));
            }
            if group.socket_drops > 0 {
                row("  socket_drops".to_owned(), None, Some(group.socket_drops));
            }
        }
        for (name, count) in self.sockets.faults() {
            row(name.to_owned(), None, Some(count));
        }
        row("keys".to_owned(), None, None);
        row("  MSK messages".to_owned(), Some(self.keys.msk), None);
        row("  MTK messages".to_owned(), Some(self.keys.mtk), None);
        if self.keys.commits + self.keys.commits_failed > 0 {
            let (written, refused) = (self.keys.commits, self.keys.commits_failed);
            row("  commits to the state".to_owned(), Some(written), Some(refused));
        }
        for (verdict, count) in &self.keys.verdicts {
            row(format!("  {verdict}"), None, Some(*count));
        }
        if self.output_dropped > 0 {
            row("deliveries not written in time".to_owned(), None, Some(self.output_dropped));
        }
        if self.not_forwarded > 0 {
            row("packets not forwarded".to_owned(), None, Some(self.not_forwarded));
        }
        table.to_string()
    }
}

fn group(name: &str, stats: &GroupStats) -> GroupReport {
    GroupReport {
        group: name.to_owned(),
        datagrams: stats.datagrams,
        octets: stats.octets,
        media: stats.media,
        unauthenticated: stats.unauthenticated,
        burst: stats.burst,
        rtcp: stats.rtcp,
        key_messages: stats.key_messages,
        held: stats.held,
        released: stats.released,
        streams: stats.streams,
        evicted_streams: stats.evicted_streams,
        socket_drops: stats.socket_drops,
        ignored_octets: stats.ignored_octets,
        verdicts: verdicts(stats.rejects.iter()),
    }
}

fn sockets(stats: &SocketStats) -> SocketReport {
    SocketReport {
        open: stats.open,
        shared: stats.shared,
        drops: stats.drops,
        unknown_destination: stats.unknown_destination,
        receive_errors: stats.receive_errors,
        interfaces_lost: stats.interfaces_lost,
        rejoined: stats.rejoined,
    }
}

impl SocketReport {
    /// What went wrong, by the name of its counter; only what did. Drops stand with their group.
    fn faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = [
            ("unknown_destination", self.unknown_destination),
            ("receive_errors", self.receive_errors),
            ("interfaces_lost", self.interfaces_lost),
        ];
        all.into_iter().filter(|(_, count)| *count > 0)
    }
}

fn keys(stats: &KeyStats) -> KeyReport {
    KeyReport {
        msk: stats.msk,
        mtk: stats.mtk,
        verifications: stats.verifications,
        publishes: stats.publishes,
        generation: stats.generation,
        commits: stats.commits,
        commits_failed: stats.commits_failed,
        verdicts: verdicts(stats.rejects.iter()),
    }
}

fn verdicts(counts: impl Iterator<Item = (Reject, u64)>) -> Verdicts {
    counts.map(|(reject, count)| (reject.name(), count)).collect()
}
