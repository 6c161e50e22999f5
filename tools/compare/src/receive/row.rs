//! What is measured: rows of the table, each with its receivers and its target.

use std::{thread, time::Duration};

use clap::ValueEnum;
use serde::Serialize;

use super::{
    namespace::Wire,
    own::Kind,
    program::{Running, Who},
    stream::{Keying, Sending, Stream},
};
use crate::measure::Spread;

/// A row.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Row {
    /// 4000 datagrams wait in the socket, the receiver takes them without a pause
    Saturated,
    /// 50 000 packets a second in bursts of 8, a wait of 1 ms after each batch
    Bursts,
    /// A million packets at 150 000 a second in bursts of 64: none lost, none twice
    Million,
    /// The same with an MSK update in the middle and an MTK change every 100 ms
    Rekey,
}

/// A row, measured.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(super) row: Row,
    /// What the ratios are over: first of the outcomes.
    pub(super) outcomes: Vec<Outcome>,
    pub(super) targets: Vec<Target>,
}

/// What a receiver took for a packet.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) name: &'static str,
    pub(super) ns: Spread,
    /// Its time over that of mcast-srtp, round by round.
    pub(super) ratio: Spread,
    /// Part of the datagrams that its socket dropped, over all rounds.
    pub(super) dropped: f64,
}

/// A comparison that was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Target {
    pub(super) text: &'static str,
    pub(super) reached: f64,
    pub(super) met: bool,
}

/// Everything that rows need.
pub(super) struct Bench<'a> {
    wire: &'a Wire,
    rounds: usize,
    rivals: Vec<Who>,
    not_run: Vec<String>,
    /// One key without MKI, one key with, changing keys.
    plain: Stream,
    mikey: Stream,
    changing: Stream,
}

impl<'a> Bench<'a> {
    pub(super) fn new(wire: &'a Wire, rounds: usize, packets: usize) -> Result<Self, String> {
        let rate_in_100_ms = 15_000;
        let plain = Stream::new(Keying::Plain, WARM_UP + BURSTS_PACKETS.max(DRAINS * DRAIN))?;
        let (mut rivals, mut not_run) = (Vec::new(), Vec::new());
        for rival in [Who::GStreamer, Who::FFmpeg] {
            match rival.absent() {
                Some(why) => not_run.push(why),
                None => match rival.check(wire, &plain) {
                    Ok(()) => rivals.push(rival),
                    Err(why) => not_run.push(why),
                },
            }
        }
        Ok(Self {
            wire,
            rounds,
            rivals,
            not_run,
            plain,
            mikey: Stream::new(Keying::Mikey, packets)?,
            changing: Stream::new(Keying::Changing { every: rate_in_100_ms }, packets)?,
        })
    }

    pub(super) fn not_run(&self) -> Vec<String> {
        self.not_run.clone()
    }

    pub(super) fn measure(&self, row: Row) -> Result<Measured, String> {
        match row {
            Row::Saturated | Row::Bursts => self.beside_others(row),
            Row::Million | Row::Rekey => self.without_loss(row),
        }
    }

    fn beside_others(&self, row: Row) -> Result<Measured, String> {
        let own = [Kind::Gateway, Kind::Sockets, Kind::Bare].map(Who::Own);
        let contenders: Vec<_> = own.into_iter().chain(self.rivals.iter().copied()).collect();
        let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); contenders.len()];
        for round in 0..self.rounds {
            for turn in 0..contenders.len() {
                // Each round starts with another one.
                let place = (turn + round) % contenders.len();
                costs[place].push(self.cost(row, contenders[place])?);
            }
        }
        let outcomes = outcomes(&contenders, &costs);
        let of = |who: Who| contenders.iter().position(|c| *c == who).map(|n| &costs[n]);
        let ratio = |over: Who, under: Who| {
            let (over, under) = (of(over)?, of(under)?);
            Some(Spread::of(over.iter().zip(under).map(|(o, u)| o.ns / u.ns).collect()).median)
        };
        let [gateway, sockets, bare] = own;
        let mut targets = Vec::new();
        let mut target = |text, reached: Option<f64>, met: fn(f64) -> bool| {
            targets.extend(reached.map(|reached| Target { text, reached, met: met(reached) }));
        };
        target("receive only over the bare loop, at most 1.10", ratio(sockets, bare), |r| r <= 1.1);
        target("GStreamer over mcast-srtp, at least 6", ratio(Who::GStreamer, gateway), |r| {
            r >= 6.0
        });
        Ok(Measured { row, outcomes, targets })
    }

    /// One run of one receiver.
    fn cost(&self, row: Row, who: Who) -> Result<Cost, String> {
        let wait = if row == Row::Bursts { COALESCE } else { Duration::ZERO };
        let running = who.start(self.wire, wait)?;
        let mut sending = Sending::new(if who.knows_mki() { &self.mikey } else { &self.plain })?;
        self.warm_up(&running, &mut sending)?;
        let (before, drops) = (running.cpu()?, running.drops()?);
        let mut packets = 0;
        match row {
            Row::Saturated => {
                for _ in 0..DRAINS {
                    running.hold(true)?;
                    sending.packets(DRAIN, 0.0, 64)?;
                    running.hold(false)?;
                    running.wait_until_drained()?;
                    packets += DRAIN;
                }
            }
            _ => {
                sending.packets(BURSTS_PACKETS, 50_000.0, 8)?;
                packets += BURSTS_PACKETS;
                running.wait_until_drained()?;
            }
        }
        thread::sleep(SETTLE);
        let (after, dropped) = (running.cpu()?, running.drops()? - drops);
        let seen = (who == Who::Own(Kind::Gateway)).then(|| running.end()).transpose()?;
        if let Some(seen) = seen.filter(|seen| seen.packets + dropped != (WARM_UP + packets) as u64)
        {
            return Err(format!(
                "the gateway delivered {} packets: {}",
                seen.packets, seen.counters
            ));
        }
        Cost::new(after - before, packets, dropped)
    }

    fn without_loss(&self, row: Row) -> Result<Measured, String> {
        let who = Who::Own(Kind::Gateway);
        let streams = [&self.mikey, &self.changing];
        let chosen = if row == Row::Million { &streams[..1] } else { &streams[..] };
        let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); chosen.len()];
        let (mut lost, mut not_rising) = (0, 0);
        for round in 0..self.rounds {
            for turn in 0..chosen.len() {
                let place = (turn + round) % chosen.len();
                let running = who.start(self.wire, COALESCE)?;
                let mut sending = Sending::new(chosen[place])?;
                let all = sending.left();
                self.warm_up(&running, &mut sending)?;
                let (before, count) = (running.cpu()?, sending.left());
                sending.packets(count, 150_000.0, 64)?;
                running.wait_until_drained()?;
                thread::sleep(SETTLE);
                let (after, dropped) = (running.cpu()?, running.drops()?);
                let seen = running.end()?;
                lost += (all as u64).saturating_sub(seen.packets);
                not_rising += seen.not_rising;
                if seen.packets != all as u64 {
                    eprintln!("compare: {} of {all} delivered: {}", seen.packets, seen.counters);
                }
                costs[place].push(Cost::new(after - before, count, dropped)?);
            }
        }
        let names = ["one key", "changing keys"];
        let mut outcomes = outcomes(&vec![who; chosen.len()], &costs);
        outcomes.iter_mut().zip(names).for_each(|(outcome, name)| outcome.name = name);
        let mut targets = vec![
            Target { text: "packets lost, none", reached: lost as f64, met: lost == 0 },
            Target {
                text: "packets twice or out of order, none",
                reached: not_rising as f64,
                met: not_rising == 0,
            },
        ];
        if let Some(changing) = outcomes.get(1) {
            let reached = changing.ratio.median;
            let text = "packet time over that with one key, at most 1.05";
            targets.push(Target { text, reached, met: reached <= 1.05 });
        }
        Ok(Measured { row, outcomes, targets })
    }

    /// Keys arrive, code and buffers come into cache.
    fn warm_up(&self, running: &Running<'_>, sending: &mut Sending<'_>) -> Result<(), String> {
        sending.messages()?;
        thread::sleep(SETTLE);
        sending.packets(WARM_UP, 10_000.0, 8)?;
        running.wait_until_drained()?;
        thread::sleep(SETTLE);
        Ok(())
    }
}

/// Of one receiver in one round.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Processor time a packet received.
    ns: f64,
    dropped: f64,
}

impl Cost {
    fn new(cpu: Duration, sent: usize, dropped: u64) -> Result<Self, String> {
        let received = (sent as u64).checked_sub(dropped).filter(|received| *received > 0);
        let received = received.ok_or("a receiver received nothing")? as f64;
        Ok(Self { ns: cpu.as_secs_f64() * 1e9 / received, dropped: dropped as f64 / sent as f64 })
    }
}

fn outcomes(contenders: &[Who], costs: &[Vec<Cost>]) -> Vec<Outcome> {
    contenders
        .iter()
        .zip(costs)
        .map(|(who, own)| Outcome {
            name: who.name(),
            ns: Spread::of(own.iter().map(|cost| cost.ns).collect()),
            ratio: Spread::of(
                own.iter().zip(&costs[0]).map(|(c, first)| c.ns / first.ns).collect(),
            ),
            dropped: own.iter().map(|cost| cost.dropped).sum::<f64>() / own.len().max(1) as f64,
        })
        .collect()
}

const WARM_UP: usize = 1000;
/// Packets in the socket at a time, well within 4 MiB of buffer, and how often.
const DRAIN: usize = 4000;
const DRAINS: usize = 20;
/// Two seconds.
const BURSTS_PACKETS: usize = 100_000;
const COALESCE: Duration = Duration::from_millis(1);
const SETTLE: Duration = Duration::from_millis(100);
