//! What is told of the channels: to the key server, as JSON lines, and as a table at the end.

use std::{collections::BTreeMap, time::Duration};

use mcast_srtp::service::{
    BroadcastService,
    broadcast::{ChannelCounters, ChannelReport, Lateness},
};
use serde::Serialize;

use crate::{
    control::{ReportBody, StreamBody},
    table::Table,
};

/// A channel as the key server is told of it.
pub(super) fn report_body(report: &ChannelReport, holds: Option<u64>) -> ReportBody {
    ReportBody {
        holds: holds.filter(|version| *version > 0),
        msk_id: report.msk_id().map(|msk_id| msk_id.to_string()),
        mtk_ids_left: report.mtk_ids_left.filter(|_| report.mtk_ids_are_low),
        streams: streams(report),
    }
}

fn streams(report: &ChannelReport) -> Vec<StreamBody> {
    let stream = |of: &mcast_srtp::keys::CryptoSession| StreamBody {
        ssrc: format!("{:08x}", of.ssrc.0),
        roc: of.roc.0,
    };
    report.streams.iter().map(stream).collect()
}

/// Plain packets that were not sent, by reason; only those that occurred.
pub(super) fn refusals(counters: &ChannelCounters) -> BTreeMap<&'static str, u64> {
    let own = [
        ("without_key", counters.without_key),
        ("silenced", counters.silenced),
        ("queue_full", counters.queue_full),
    ];
    let refused = counters.refused.iter().map(|(reject, count)| (reject.name(), count));
    refused.chain(own).filter(|(_, count)| *count > 0).collect()
}

/// The counters of one moment.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    seconds: f64,
    channels: Vec<ChannelLine>,
    commits: u64,
    commits_failed: u64,
    receive_errors: u64,
    late: LateLine,
    /// Answers of the key server to polls, and polls without one.
    polls: u64,
    polls_failed: u64,
    /// The last report of the run.
    last: bool,
}

#[derive(Debug, Serialize)]
struct ChannelLine {
    channel: String,
    version: u64,
    mki: Option<String>,
    mtk_ids_left: Option<u16>,
    silent: bool,
    waits_for_journal: bool,
    streams: Vec<StreamBody>,
    packets_in: u64,
    octets_in: u64,
    packets_out: u64,
    octets_out: u64,
    refused: BTreeMap<&'static str, u64>,
    key_messages: u64,
    mtk_changes: u64,
    documents: u64,
    send_errors: u64,
}

/// How late key messages left, in seconds.
#[derive(Debug, Serialize)]
struct LateLine {
    messages: u64,
    mean: f64,
    p50: f64,
    p99: f64,
    max: f64,
}

impl Report {
    pub(super) fn new(
        elapsed: Duration,
        service: &BroadcastService,
        (polls, polls_failed): (u64, u64),
        last: bool,
    ) -> Self {
        let counters = service.counters();
        let lines = counters
            .channels
            .iter()
            .filter_map(|(channel, counters)| Some(line(&service.report(channel).ok()?, counters)));
        Self {
            seconds: elapsed.as_secs_f64(),
            channels: lines.collect(),
            commits: counters.commits,
            commits_failed: counters.commits_failed,
            receive_errors: counters.receive_errors,
            late: late(&counters.late),
            polls,
            polls_failed,
            last,
        }
    }

    /// Plain packets that were not sent.
    pub(super) fn refused(&self) -> u64 {
        self.channels.iter().flat_map(|channel| channel.refused.values()).sum()
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new(&["", "taken", "sent", "refused"]);
        let mut row = |name: String, counts: [Option<u64>; 3]| {
            let cell = |count: Option<u64>| count.map(|n| n.to_string()).unwrap_or_default();
            let [taken, sent, refused] = counts.map(cell);
            table.row(vec![name, taken, sent, refused]);
        };
        for channel in &self.channels {
            let refused = channel.refused.values().sum();
            let packets = [Some(channel.packets_in), Some(channel.packets_out), Some(refused)];
            row(channel.channel.clone(), packets);
            for (reason, count) in &channel.refused {
                row(format!("  {reason}"), [None, None, Some(*count)]);
            }
            row("  key messages".to_owned(), [None, Some(channel.key_messages), None]);
            if channel.send_errors > 0 {
                row("  send_errors".to_owned(), [None, None, Some(channel.send_errors)]);
            }
        }
        table.to_string()
    }
}

fn line(report: &ChannelReport, counters: &ChannelCounters) -> ChannelLine {
    ChannelLine {
        channel: report.channel.to_string(),
        version: report.version,
        mki: report.mki.map(|mki| mki.to_string()),
        mtk_ids_left: report.mtk_ids_left,
        silent: report.silent,
        waits_for_journal: report.waits_for_journal,
        streams: streams(report),
        packets_in: counters.packets_in,
        octets_in: counters.octets_in,
        packets_out: counters.packets_out,
        octets_out: counters.octets_out,
        refused: refusals(counters),
        key_messages: counters.key_messages,
        mtk_changes: counters.mtk_changes,
        documents: counters.documents,
        send_errors: counters.send_errors,
    }
}

fn late(late: &Lateness) -> LateLine {
    let quantile = |part| late.quantile(part).as_secs_f64();
    LateLine {
        messages: late.count(),
        mean: late.mean().as_secs_f64(),
        p50: quantile(0.5),
        p99: quantile(0.99),
        max: late.max().as_secs_f64(),
    }
}
