//! The rows as text, and the same as JSON.

use serde::Serialize;

use super::row::{Measured, Row};
use crate::report::processor;

/// A run.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    processor: String,
    rounds: usize,
    /// Receivers that could not take part, and why.
    not_run: Vec<String>,
    pub(super) rows: Vec<Measured>,
}

impl Table {
    pub(super) fn new(rounds: usize, not_run: Vec<String>) -> Self {
        Self { processor: processor(), rounds, not_run, rows: Vec::new() }
    }

    pub(super) fn print_head(&self) {
        println!(
            "Nanoseconds of processor time that a datagram of 200 octets costs the process that receives \
             it, as median\n(lowest-highest) of {} interleaved rounds; in brackets the ratio to the first \
             line of the row, round by round.",
            self.rounds
        );
        println!(
            "{}; two network namespaces and a veth pair; AES-CM-128, HMAC-SHA1-80, protected by \
             webrtc-srtp.\nGStreamer and FFmpeg get the same stream without its MKI, which they do not \
             know: 194 octets. All ask for 4 MiB of buffer.",
            self.processor
        );
        for text in &self.not_run {
            println!("Not run: {text}");
        }
    }

    pub(super) fn print_row(measured: &Measured) {
        let title = match measured.row {
            Row::Saturated => "saturated: 4000 datagrams in the socket, taken without a pause",
            Row::Bursts => {
                "50 000 packets/s in bursts of 8, 1 ms wait (not in GStreamer and FFmpeg)"
            }
            Row::Million => "a million packets at 150 000/s in bursts of 64",
            Row::Rekey => "the same, with an MTK change every 100 ms and an MSK update",
        };
        println!("\n{title}");
        for outcome in &measured.outcomes {
            let (ns, ratio) = (&outcome.ns, &outcome.ratio);
            print!(
                "  {:<18} {:>7.0} ({:.0}-{:.0})  [{:.2} ({:.2}-{:.2})]",
                outcome.name, ns.median, ns.min, ns.max, ratio.median, ratio.min, ratio.max
            );
            if outcome.dropped > 0.0 {
                print!("  {:.1} % of the datagrams dropped at its socket", outcome.dropped * 100.0);
            }
            println!();
        }
        for target in &measured.targets {
            let met = if target.met { "met" } else { "NOT met" };
            println!("  target: {}: {:.2}, {met}", target.text, target.reached);
        }
    }
}
