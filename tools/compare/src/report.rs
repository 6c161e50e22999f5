//! The table, and the same as JSON.

use std::fs;

use serde::Serialize;

use crate::measure::{Line, Outcome};

/// What the run was made on and with.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) processor: String,
    pub(crate) backend: String,
    pub(crate) mki_len: usize,
    pub(crate) replay_window: usize,
    pub(crate) rounds: usize,
    /// Contenders that could not take part, and why.
    pub(crate) not_run: Vec<String>,
    pub(crate) lines: Vec<Line>,
}

/// The processor's name as Linux tells it.
pub(crate) fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find(|line| line.starts_with("model name"));
    let name = name.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_owned());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

impl Report {
    /// What stands above the table.
    pub(crate) fn print_head(&self) {
        println!(
            "Nanoseconds to authenticate and decrypt one SRTP packet; in brackets the ratio to \
             mcast-srtp,\nas median (lowest-highest) of {} interleaved rounds.",
            self.rounds
        );
        println!(
            "{}, one thread; mcast-srtp with {} kernels through unprotect_batch; MKI of {} octets \
             (cut out by hand\nfor webrtc-srtp and rtc-srtp), replay window {}.",
            self.processor, self.backend, self.mki_len, self.replay_window
        );
        println!(
            "Fresh packets each round, protected by webrtc-srtp; protecting them and copying them \
             into the arena is not timed.\nA round counts by its middle section of 64 packets, so \
             that interruptions do not."
        );
        for text in &self.not_run {
            println!("Not run: {text}");
        }
    }

    /// The names above the columns, once they are known.
    pub(crate) fn print_names(line: &Line) {
        print!("\n{:<24} {:>8} {:>5} {:>6} {:>5}", "suite", "payload", "batch", "SSRCs", "cache");
        for Outcome { name, .. } in &line.contenders {
            print!("  {name:>WIDTH$}");
        }
        println!();
    }

    /// One line of the table.
    pub(crate) fn print_line(line: &Line) {
        let s = &line.scenario;
        let cache = if s.cold { "cold" } else { "hot" };
        let suite = s.suite.name();
        let payload = s.payload.to_string();
        print!("{suite:<24} {payload:>8} {:>5} {:>6} {cache:>5}", s.batch, s.ssrcs);
        for (place, outcome) in line.contenders.iter().enumerate() {
            let (ns, ratio) = (&outcome.ns, &outcome.ratio);
            let cell = if place == 0 {
                format!("{:.1} ({:.1}-{:.1})", ns.median, ns.min, ns.max)
            } else {
                format!(
                    "{:.0} [{:.2} ({:.2}-{:.2})]",
                    ns.median, ratio.median, ratio.min, ratio.max
                )
            };
            print!("  {cell:>WIDTH$}");
        }
        println!();
    }
}

const WIDTH: usize = 26;
