//! Counters in the text format of Prometheus.

use std::sync::atomic::Ordering;

use mcast_srtp::service::{BroadcastService, broadcast::ChannelCounters};

use super::{pull::Counts, report::refusals};
use crate::key_server::Page;

/// All that is counted.
pub(super) fn text(service: &BroadcastService, polls: &Counts) -> String {
    let counters = service.counters();
    let mut page = Page::new("mcast_srtp_broadcast");
    type Of = fn(&ChannelCounters) -> u64;
    let by_channel: [(&str, &str, Of); 8] = [
        ("packets_in_total", "Plain packets taken.", |c| c.packets_in),
        ("octets_in_total", "Their octets.", |c| c.octets_in),
        ("packets_out_total", "Protected packets sent.", |c| c.packets_out),
        ("octets_out_total", "Their octets.", |c| c.octets_out),
        ("key_messages_total", "Key messages sent, copies included.", |c| c.key_messages),
        ("mtk_changes_total", "Traffic keys that came into force.", |c| c.mtk_changes),
        ("documents_total", "Channel documents that were new.", |c| c.documents),
        ("send_errors_total", "Datagrams that the system would not send.", |c| c.send_errors),
    ];
    for (name, help, of) in by_channel {
        page.family(name, "counter", help);
        for (channel, counters) in &counters.channels {
            page.sample(&[("channel", channel.as_str())], of(counters));
        }
    }
    page.family("packets_refused_total", "counter", "Plain packets not sent, by reason.");
    for (channel, counters) in &counters.channels {
        for (reason, count) in refusals(counters) {
            page.sample(&[("channel", channel.as_str()), ("reason", reason)], count);
        }
    }
    page.family("silent", "gauge", "1 if the key server was not heard for too long.");
    for channel in service.channels() {
        if let Ok(report) = service.report(&channel) {
            page.sample(&[("channel", channel.as_str())], u8::from(report.silent));
        }
    }
    for (name, help, count) in [
        ("commits_total", "Writes to the journal.", counters.commits),
        ("commits_failed_total", "Writes that the system refused.", counters.commits_failed),
        ("receive_errors_total", "Reads that the system refused.", counters.receive_errors),
        ("polls_total", "Answers of the key server.", polls.answered.load(Ordering::Relaxed)),
        ("polls_failed_total", "Polls without one.", polls.failed.load(Ordering::Relaxed)),
    ] {
        page.family(name, "counter", help).sample(&[], count);
    }
    let late = counters.late;
    page.family("key_message_lateness_seconds", "summary", "Key messages behind their schedule.");
    for part in [0.5, 0.99, 1.0] {
        let label = part.to_string();
        page.sample(&[("quantile", &label)], late.quantile(part).as_secs_f64());
    }
    page.into_text()
}
