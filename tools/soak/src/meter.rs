//! What is delivered, how late, and what memory it takes.

use std::{
    fs,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::{CreationError, Histogram};
use mcast_srtp::ids::PacketIndex;
use serde::Serialize;

use crate::sender::Sent;

/// Where a packet lies in time between two changes of key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Far from any.
    Between,
    /// In the last 100 ms before one.
    Before,
    /// In the first 20 ms under a new key.
    During,
    /// In the 100 ms after that.
    After,
}

impl Phase {
    const ALL: [(Self, &str); 4] = [
        (Self::Between, "between changes"),
        (Self::Before, "100 ms before"),
        (Self::During, "first 20 ms"),
        (Self::After, "100 ms after"),
    ];

    /// By the time since the last change and until the next.
    pub(crate) fn of(since: Duration, until: Duration) -> Self {
        let ms = Duration::from_millis;
        match () {
            () if since < ms(20) => Self::During,
            () if since < ms(120) => Self::After,
            () if until <= ms(100) => Self::Before,
            () => Self::Between,
        }
    }
}

/// Payload of a packet: its number, when it was sent, its phase, and rest to make datagrams of 200
/// octets.
pub(crate) fn stamp(number: u64, sent: Duration, phase: Phase) -> [u8; PAYLOAD_LEN] {
    let mut payload = [0x5a; PAYLOAD_LEN];
    // A run is shorter than 500 years.
    let nanos = sent.as_nanos() as u64;
    payload[..8].copy_from_slice(&number.to_be_bytes());
    payload[8..16].copy_from_slice(&nanos.to_be_bytes());
    payload[16] = phase as u8;
    payload
}

/// With a header of 12, an MKI of 6 and a tag of 10 octets a datagram of 200.
pub(crate) const PAYLOAD_LEN: usize = 172;

/// Collects over a run.
pub(crate) struct Meter {
    start: Instant,
    lane: Mutex<Lane>,
    delivered: AtomicU64,
    memory: Mutex<Memory>,
}

/// What the lane thread writes.
struct Lane {
    latency: [Histogram<u32>; 4],
    next: u64,
    out_of_order: u64,
    wrong_octets: u64,
}

/// Resident memory in octets.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Memory {
    /// After the first tenth of the time.
    first: u64,
    highest: u64,
    last: u64,
}

impl Meter {
    pub(crate) fn new(start: Instant) -> Result<Self, CreationError> {
        // From 1 µs to a minute with three digits: a fixed amount of memory.
        let histogram = || Histogram::new_with_bounds(1, 60_000_000, 3);
        let latency = [histogram()?, histogram()?, histogram()?, histogram()?];
        Ok(Self {
            start,
            lane: Mutex::new(Lane { latency, next: 0, out_of_order: 0, wrong_octets: 0 }),
            delivered: AtomicU64::new(0),
            memory: Mutex::default(),
        })
    }

    /// Takes a delivery. One lane calls it, so that the lock is never waited for.
    pub(crate) fn note(&self, index: PacketIndex, payload: &[u8]) {
        let now = self.start.elapsed();
        self.delivered.fetch_add(1, Ordering::Relaxed);
        let mut lane = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        let number = index.value();
        if number != lane.next {
            lane.out_of_order += 1;
        }
        lane.next = number + 1;
        let stamped = payload.first_chunk::<16>().zip(payload.get(16)).map(|(head, phase)| {
            let [n, sent] = [&head[..8], &head[8..]]
                .map(|octets| octets.iter().fold(0_u64, |sum, octet| sum << 8 | u64::from(*octet)));
            (n, Duration::from_nanos(sent), usize::from(*phase))
        });
        let rest_is_right =
            payload.len() == PAYLOAD_LEN && payload[17..].iter().all(|o| *o == 0x5a);
        match stamped {
            Some((n, sent, phase)) if n == number && rest_is_right && phase < 4 => {
                // Clamped to the bounds of the histogram.
                let micros = now.saturating_sub(sent).as_micros() as u64;
                lane.latency[phase].saturating_record(micros);
            }
            _ => lane.wrong_octets += 1,
        }
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    pub(crate) fn look_at_memory(&self) {
        let Some(resident) = resident() else { return };
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.first == 0 {
            memory.first = resident;
        }
        memory.highest = memory.highest.max(resident);
        memory.last = resident;
    }

    pub(crate) fn report(&self, sent: &Sent, counters: String) -> Report {
        let lane = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = *self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let latency = Phase::ALL
            .iter()
            .map(|(phase, name)| Latency::of(name, &lane.latency[*phase as usize]))
            .collect();
        Report {
            sent: sent.packets,
            delivered: self.delivered(),
            out_of_order: lane.out_of_order,
            wrong_octets: lane.wrong_octets,
            mtk_changes: sent.mtk_changes,
            msk_changes: sent.msk_changes,
            sender_worst_delay_ms: sent.worst_delay.as_secs_f64() * 1e3,
            latency,
            memory,
            counters,
        }
    }
}

/// Of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    sent: u64,
    delivered: u64,
    /// Packets that did not follow the one before.
    out_of_order: u64,
    wrong_octets: u64,
    mtk_changes: u64,
    msk_changes: u64,
    sender_worst_delay_ms: f64,
    latency: Vec<Latency>,
    memory: Memory,
    counters: String,
}

/// Percentiles in microseconds.
#[derive(Debug, Serialize)]
struct Latency {
    when: &'static str,
    packets: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl Latency {
    fn of(when: &'static str, histogram: &Histogram<u32>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            when,
            packets: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
        }
    }
}

impl Report {
    /// What was not as it should be.
    pub(crate) fn verdict(&self, growth: u64) -> Vec<String> {
        let mut faults = Vec::new();
        if self.delivered != self.sent {
            faults.push(format!("{} sent, {} delivered", self.sent, self.delivered));
        }
        if self.out_of_order + self.wrong_octets > 0 {
            let Self { out_of_order, wrong_octets, .. } = self;
            faults.push(format!("{out_of_order} out of order, {wrong_octets} with wrong octets"));
        }
        let grown = self.memory.highest.saturating_sub(self.memory.first);
        if grown > growth {
            faults.push(format!("resident memory grew by {grown} octets"));
        }
        faults
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            match serde_json::to_string(self) {
                Ok(text) => println!("{text}"),
                Err(error) => eprintln!("soak: {error}"),
            }
            return;
        }
        println!(
            "{} packets sent, {} delivered; {} changes of MTK, {} of MSK; sender at worst {:.1} ms late",
            self.sent,
            self.delivered,
            self.mtk_changes,
            self.msk_changes,
            self.sender_worst_delay_ms
        );
        println!(
            "{:<16} {:>10} {:>7} {:>7} {:>7} {:>7} {:>8}  µs from sending to delivery",
            "change of key", "packets", "50 %", "90 %", "99 %", "99.9 %", "most"
        );
        for l in &self.latency {
            println!(
                "{:<16} {:>10} {:>7} {:>7} {:>7} {:>7} {:>8}",
                l.when, l.packets, l.p50, l.p90, l.p99, l.p999, l.max
            );
        }
        let mib = |octets: u64| octets as f64 / f64::from(1 << 20);
        let Memory { first, highest, last } = self.memory;
        println!(
            "resident memory: {:.2} MiB after a tenth of the time, {:.2} at most, {:.2} at the end",
            mib(first),
            mib(highest),
            mib(last)
        );
        println!("{}", self.counters);
    }
}

/// Resident memory of this process as Linux counts it.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(sent: u64, indexes: &[u64]) -> Report {
        let start = Instant::now();
        let meter = Meter::new(start).unwrap();
        for index in indexes {
            let payload = stamp(*index, Duration::ZERO, Phase::During);
            meter.note(PacketIndex::from_value(*index), &payload);
        }
        let worst_delay = Duration::ZERO;
        let sent = Sent { packets: sent, mtk_changes: 0, msk_changes: 0, worst_delay };
        meter.report(&sent, String::new())
    }

    #[test]
    fn a_loss_a_repetition_and_growth_are_faults() {
        assert_eq!(report(3, &[0, 1, 2]).verdict(0), Vec::<String>::new());
        assert_eq!(report(3, &[0, 2]).verdict(0).len(), 2);
        assert_eq!(report(3, &[0, 1, 1]).verdict(0), ["1 out of order, 0 with wrong octets"]);
        let mut grown = report(1, &[0]);
        grown.memory = Memory { first: 100, highest: 120, last: 100 };
        assert_eq!(grown.verdict(20), Vec::<String>::new());
        assert_eq!(grown.verdict(19), ["resident memory grew by 20 octets"]);
    }

    #[test]
    fn a_packet_belongs_to_the_change_that_is_near() {
        let of =
            |since, until| Phase::of(Duration::from_millis(since), Duration::from_millis(until));
        assert_eq!((of(0, 1000), of(19, 50)), (Phase::During, Phase::During));
        assert_eq!((of(20, 80), of(119, 500)), (Phase::After, Phase::After));
        assert_eq!((of(900, 100), of(900, 101)), (Phase::Before, Phase::Between));
    }
}
