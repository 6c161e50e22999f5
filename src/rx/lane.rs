//! One lane: the streams of its groups, its hold-back, and the loop over a batch.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use arrayvec::ArrayVec;

use super::{
    deliver::{Arrival, deliver},
    event::Sink,
    hold::{Held, HoldBack},
    limits::Limits,
    port::{Port, PortId},
    rate::{ByGroup, Rate},
    sorter::{Sorter, sort},
};
use crate::{
    error::Reject,
    ids::{PacketIndex, Ssrc},
    keys::{KeyTable, PublishedKeys},
    srtp::{KeyRing, MAX_BATCH, Packet, PacketKind, SessionId, Unprotector, Verdict},
};

/// One datagram as the socket gave it.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// The socket it came from.
    pub port: PortId,
    /// Who sent it.
    pub source: SocketAddr,
    /// It was longer than its slot.
    pub truncated: bool,
    /// Its octets; an accepted packet is decrypted in place.
    pub bytes: &'a mut [u8],
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BatchReport {
    /// Datagrams authenticated of which the sink got something, released ones included.
    pub accepted: usize,
    /// Datagrams refused, before authentication or after it, each counted under its reason.
    pub rejected: usize,
    /// Packets put aside for their key.
    pub held: usize,
    /// Packets put aside earlier whose key has come.
    pub released: usize,
    /// Key messages passed on.
    pub key_messages: usize,
}

impl BatchReport {
    /// One authentic datagram, and whether the sink got something of it.
    #[inline]
    fn count(&mut self, delivered: bool) {
        self.accepted += usize::from(delivered);
        self.rejected += usize::from(!delivered);
    }
}

/// Receives for the groups given to it. Owned by one thread.
#[derive(Debug)]
pub struct Lane {
    keys: Arc<PublishedKeys>,
    unprotector: Unprotector,
    sorter: Sorter,
    bursts: ByGroup<Rate>,
    hold: HoldBack,
    /// Generation of the last table.
    seen: u64,
    epoch: Option<Instant>,
}

impl Lane {
    /// A lane without ports that looks keys up in `keys`. Allocates what its limits allow.
    #[must_use]
    pub fn new(keys: Arc<PublishedKeys>, limits: &Limits) -> Self {
        Self {
            keys,
            unprotector: Unprotector::new(limits.streams),
            sorter: Sorter::new(limits),
            bursts: ByGroup::new(Rate::per_second(limits.burst_messages_per_second)),
            hold: HoldBack::new(limits),
            seen: 0,
            epoch: None,
        }
    }

    /// Adds a socket and numbers it.
    pub fn add_port(&mut self, port: Port) -> PortId {
        self.hold.add_group(port.group.0);
        self.bursts.add(port.group);
        self.sorter.add_port(port)
    }

    /// Forgets a socket, its streams and the packets held back for it.
    pub fn remove_port(&mut self, port: PortId) {
        if let Some(port) = self.sorter.remove_port(port) {
            self.unprotector.remove_session(port.session);
        }
        self.hold.retain(|held| held.port != port);
    }

    /// Treats a batch: key messages first, then packets against one table of keys.
    ///
    /// Costs no allocation, lock or system call of its own; the key table is loaded once.
    pub fn run_batch(
        &mut self,
        batch: &mut [Datagram<'_>],
        now: Instant,
        sink: &mut impl Sink,
    ) -> BatchReport {
        let mut report = BatchReport::default();
        for datagrams in batch.chunks_mut(MAX_BATCH) {
            let mut kinds = ArrayVec::<Option<PacketKind>, MAX_BATCH>::new();
            for datagram in datagrams.iter() {
                kinds.push(self.sorter.sort_out(datagram, now, sink, &mut report));
            }
            self.run_sorted(datagrams, &kinds, now, sink, &mut report);
        }
        report
    }

    /// What has to happen without traffic: held packets meet new keys or expire. Call it when
    /// [`Self::next_deadline`] is reached and after each new table.
    pub fn tick(&mut self, now: Instant, sink: &mut impl Sink) -> BatchReport {
        let mut report = BatchReport::default();
        let table = self.keys.load();
        self.meet(&table, now, sink, &mut report);
        sink.streams(now, &mut self.unprotector.newest());
        report
    }

    /// When [`Self::tick`] is due at the latest; `None` while nothing is held back.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.hold.next_expiry()
    }

    /// Whether a table has been published that this lane has not looked at: [`Self::tick`] is due.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.keys.load().generation() != self.seen
    }

    /// Packets held back at the moment.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.hold.len()
    }

    /// Streams kept at the moment.
    #[must_use]
    pub const fn streams(&self) -> usize {
        self.unprotector.streams()
    }

    /// The newest authenticated index of each RTP stream, to be kept over a restart.
    pub fn newest(&self) -> impl Iterator<Item = (SessionId, Ssrc, PacketIndex)> {
        self.unprotector.newest()
    }

    /// Session keys kept beside those of the table.
    #[cfg(test)]
    pub(crate) fn derived_keys(&self) -> usize {
        self.unprotector.derived_keys()
    }

    /// Treats at most [`MAX_BATCH`] datagrams that have been sorted out and counted.
    pub(crate) fn run_sorted(
        &mut self,
        batch: &mut [Datagram<'_>],
        kinds: &[Option<PacketKind>],
        now: Instant,
        sink: &mut impl Sink,
        report: &mut BatchReport,
    ) {
        // Behind the key messages: a plane that works in place has published by now.
        let table = self.keys.load();
        self.meet(&table, now, sink, report);
        let since_epoch = self.since_epoch(now);
        self.unprotector.set_now(since_epoch);

        let mut places = ArrayVec::<(PortId, SocketAddr), MAX_BATCH>::new();
        let mut packets = ArrayVec::<Packet<'_>, MAX_BATCH>::new();
        for (datagram, kind) in batch.iter_mut().zip(kinds) {
            if let (Some(kind), Some(port)) = (kind, self.sorter.port(datagram.port)) {
                places.push((datagram.port, datagram.source));
                packets.push(packet(port, *kind, datagram.source, &table, datagram.bytes));
            }
        }
        let mut verdicts = [NO_VERDICT; MAX_BATCH];
        self.unprotector.unprotect_batch(&mut packets, &mut verdicts);
        for ((packet, (id, source)), verdict) in packets.iter().zip(places).zip(verdicts) {
            let Some(port) = self.sorter.port(id) else { continue };
            let held = &mut self.hold;
            let verdict = match verdict {
                //= D4: a packet may overtake its key message
                Err(Reject::UnknownMki) => {
                    held.push(id, port.group.0, source, packet.bytes, now).map(|()| None)
                }
                verdict => verdict.map(Some),
            };
            match verdict {
                Ok(Some(opened)) => {
                    let plain = packet.bytes.get(..opened.len).unwrap_or_default();
                    port.counters.streams.add(opened.new_stream.into());
                    let bursts = self.bursts.of(port.group);
                    let mut arrival = Arrival { port, source, now, bursts };
                    report.count(deliver(&mut arrival, packet.kind, &opened, plain, sink));
                }
                Ok(None) => {
                    report.held += 1;
                    port.counters.held.add(1);
                }
                Err(reject) => {
                    report.rejected += 1;
                    port.counters.rejects.add(reject);
                }
            }
        }
        self.count_evictions();
    }

    /// Counts the streams that made room for others, at the port of both.
    fn count_evictions(&mut self) {
        for session in self.unprotector.take_evictions() {
            if let Some(port) = self.sorter.port_of(session) {
                port.counters.evicted_streams.add(1);
            }
        }
    }

    /// What a table brings: with a new one the held packets are tried again, and what was derived from
    /// keys that it may lack is erased; and with time those go whose time is over.
    fn meet(
        &mut self,
        table: &KeyTable,
        now: Instant,
        sink: &mut impl Sink,
        report: &mut BatchReport,
    ) {
        if table.generation() != self.seen {
            self.seen = table.generation();
            self.unprotector.forget_derived();
            if !self.hold.is_empty() {
                self.release(table, now, sink, report);
            }
        }
        if self.hold.next_expiry().is_some_and(|expiry| expiry <= now) {
            let sorter = &self.sorter;
            self.hold.retain(|held| {
                let expired = held.is_expired(now);
                if let (true, Some(port)) = (expired, sorter.port(held.port)) {
                    port.counters.rejects.add(Reject::HoldExpired);
                    report.rejected += 1;
                }
                !expired
            });
        }
    }

    fn release(
        &mut self,
        table: &KeyTable,
        now: Instant,
        sink: &mut impl Sink,
        report: &mut BatchReport,
    ) {
        let since_epoch = self.since_epoch(now);
        self.unprotector.set_now(since_epoch);
        let mut first = 0;
        while first < self.hold.len() {
            let mut batch = self.hold.batch::<MAX_BATCH>(first);
            let mut packets = ArrayVec::<Packet<'_>, MAX_BATCH>::new();
            let mut places = ArrayVec::<(&Port, &mut Held), MAX_BATCH>::new();
            for (held, bytes) in &mut batch {
                // Whatever becomes of it, it is not tried twice, unless its key is still missing.
                held.done = true;
                let Some(port) = self.sorter.port(held.port) else { continue };
                // `sort` put it aside as RTP or RTCP, so it says so again.
                let Ok(Some(kind)) = sort(port, bytes) else { continue };
                packets.push(packet(port, kind, held.source, table, bytes));
                places.push((port, held));
            }
            let mut verdicts = [NO_VERDICT; MAX_BATCH];
            self.unprotector.unprotect_batch(&mut packets, &mut verdicts);
            for ((packet, (port, held)), verdict) in packets.iter().zip(places).zip(verdicts) {
                match verdict {
                    Ok(opened) => {
                        report.released += 1;
                        port.counters.released.add(1);
                        port.counters.streams.add(opened.new_stream.into());
                        let plain = packet.bytes.get(..opened.len).unwrap_or_default();
                        let bursts = self.bursts.of(port.group);
                        let mut arrival = Arrival { port, source: held.source, now, bursts };
                        report.count(deliver(&mut arrival, packet.kind, &opened, plain, sink));
                    }
                    Err(Reject::UnknownMki) => {
                        held.done = false;
                        first += 1;
                    }
                    Err(reject) => {
                        report.rejected += 1;
                        port.counters.rejects.add(reject);
                    }
                }
            }
            drop(packets);
            drop(batch);
            self.hold.remove_done();
            self.count_evictions();
        }
    }

    fn since_epoch(&mut self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.epoch.get_or_insert(now))
    }
}

#[inline]
fn packet<'a>(
    port: &Port,
    kind: PacketKind,
    source: SocketAddr,
    table: &'a KeyTable,
    bytes: &'a mut [u8],
) -> Packet<'a> {
    static NO_KEYS: KeyRing = KeyRing::EMPTY;
    let keys = table.ring(port.group).unwrap_or(&NO_KEYS);
    Packet { session: port.session, kind, source: address_number(source), keys, bytes }
}

/// A source address as a number that is not zero; equal addresses give equal numbers.
fn address_number(source: SocketAddr) -> u32 {
    let ip = match source.ip() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            (bits ^ bits >> 64) as u64
        }
    };
    let mixed =
        (ip << 16 ^ ip >> 48 ^ u64::from(source.port())).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32 | 1
}

const NO_VERDICT: Verdict = Err(Reject::Unsupported);
