//! One hot group on several cores: the thread that reads its sockets hands the packets to workers, each
//! stream to the same one always.
//!
//! ```text
//! sockets ─► reader ─► sort out ─► by SSRC ─► parcels, bounded ─► worker: lane ─► callback
//!                        │                        ▲                  │
//!                        └─ MIKEY ─► key thread   └── empty parcels ─┘
//! ```
//! Packets are copied into parcels that go back and forth, so that nothing is allocated. A worker
//! whose parcels are all under way gets no more: its packets are counted drops, and the reader never
//! waits for it. Order is kept for each SSRC, and between SSRCs of one worker.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::{
    callback::LaneSink,
    intake::{IDLE, Intake, Runner, Settled},
    parcel::Parcel,
};
use crate::{
    error::Reject,
    rx::{BatchReport, Datagram, Event, GroupCounters, Limits, Port, PortId, Sorter},
    srtp::PacketKind,
};

/// What a worker is to do, in this order.
pub(super) enum Work {
    Treat(Box<Parcel>),
    AddPort(PortId, Port),
    RemovePort(PortId),
    Settle(Settled),
    /// Look at the table.
    Wake,
    End,
}

/// The reader's side of all workers.
pub(super) struct Spread<F> {
    sorter: Sorter,
    sink: LaneSink<F>,
    workers: Vec<WorkerEnd>,
}

/// The reader's side of one worker.
pub(super) struct WorkerEnd {
    queue: Sender<Work>,
    empty: Receiver<Box<Parcel>>,
    open: Option<Box<Parcel>>,
}

/// State of a worker thread.
pub(super) struct Worker<F> {
    runner: Runner<F>,
    queue: Receiver<Work>,
    give_back: Sender<Box<Parcel>>,
}

/// The two ends of a queue to a worker, for so many parcels.
pub(super) fn worker<F>(runner: Runner<F>, parcels: usize) -> (WorkerEnd, Worker<F>) {
    let parcels = parcels.max(1);
    // Room for commands beside every parcel there is.
    let (queue, inbox) = bounded(parcels + COMMANDS);
    let (give_back, empty) = bounded(parcels);
    for _ in 0..parcels {
        // The channel holds as many as are made.
        let _ = give_back.try_send(Box::new(Parcel::new()));
    }
    let end = WorkerEnd { queue, empty, open: None };
    (end, Worker { runner, queue: inbox, give_back })
}

impl<F> Spread<F> {
    pub(super) fn new(limits: &Limits, sink: LaneSink<F>, workers: Vec<WorkerEnd>) -> Self {
        Self { sorter: Sorter::new(limits), sink, workers }
    }
}

impl<F: Fn(Event<'_>)> Intake for Spread<F> {
    fn add_port(&mut self, port: Port, counters: &[Arc<GroupCounters>]) -> PortId {
        let id = self.sorter.add_port(port.clone());
        for (worker, counters) in self.workers.iter_mut().zip(counters.iter().skip(1)) {
            worker.tell(Work::AddPort(id, port.counted_by(Arc::clone(counters))));
        }
        id
    }

    fn remove_port(&mut self, port: PortId) {
        self.sorter.remove_port(port);
        for worker in &mut self.workers {
            worker.tell(Work::RemovePort(port));
        }
    }

    fn take(&mut self, batch: &mut [Datagram<'_>], now: Instant) {
        let mut report = BatchReport::default();
        for datagram in batch {
            let Some(kind) = self.sorter.sort_out(datagram, now, &mut self.sink, &mut report)
            else {
                continue;
            };
            let worker = worker_of(kind, datagram.bytes, self.workers.len());
            if !self.workers[worker].put(datagram, kind)
                && let Some(port) = self.sorter.port(datagram.port)
            {
                port.counters.rejects.add(Reject::WorkerQueueFull);
            }
        }
    }

    fn tick(&mut self, _: Instant) {
        self.workers.iter_mut().for_each(WorkerEnd::flush);
    }

    fn patience(&mut self, _: Instant) -> Duration {
        IDLE
    }

    fn settle(&mut self, done: &Settled) {
        for worker in &mut self.workers {
            worker.tell(Work::Settle(done.clone()));
        }
    }
}

impl<F> Drop for Spread<F> {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            worker.tell(Work::End);
        }
    }
}

impl WorkerEnd {
    /// Ends the sleep of the worker, if it sleeps.
    pub(super) fn waker(&self) -> Sender<Work> {
        self.queue.clone()
    }

    /// Copies a packet into the open parcel; `false` if all parcels are under way.
    #[inline]
    fn put(&mut self, datagram: &Datagram<'_>, kind: PacketKind) -> bool {
        if let Some(open) = &mut self.open {
            if open.push(datagram, kind) {
                if open.is_full() {
                    self.flush();
                }
                return true;
            }
            self.flush();
        }
        if self.open.is_none() {
            self.open = self.empty.try_recv().ok();
        }
        self.open.as_mut().is_some_and(|empty| empty.push(datagram, kind))
    }

    /// Sends the open parcel. It stays open if commands have taken its place, as only very many groups
    /// that are joined or left during one callback do. A worker that is gone drops it.
    fn flush(&mut self) {
        if let Some(parcel) = self.open.take()
            && let Err(TrySendError::Full(Work::Treat(parcel))) =
                self.queue.try_send(Work::Treat(parcel))
        {
            self.open = Some(parcel);
        }
    }

    /// Sends a command behind the packets so far. Waits for a place if very many are under way.
    fn tell(&mut self, work: Work) {
        if let Some(parcel) = self.open.take() {
            let _ = self.queue.send(Work::Treat(parcel));
        }
        let _ = self.queue.send(work);
    }
}

impl<F: Fn(Event<'_>)> Worker<F> {
    /// Runs until told to stop, when everything before that is done.
    pub(super) fn run(mut self) {
        loop {
            let patience = self.runner.patience(Instant::now());
            match self.queue.recv_timeout(patience) {
                Ok(Work::Treat(mut parcel)) => {
                    let (mut datagrams, kinds) = parcel.datagrams();
                    self.runner.run_sorted(&mut datagrams, &kinds, Instant::now());
                    drop(datagrams);
                    parcel.clear();
                    let _ = self.give_back.try_send(parcel);
                }
                Ok(Work::AddPort(id, port)) => {
                    let added = self.runner.add_port(port, &[]);
                    debug_assert_eq!(added, id, "ports come and go here as they do at the reader");
                }
                Ok(Work::RemovePort(id)) => self.runner.remove_port(id),
                Ok(Work::Settle(done)) => self.runner.settle(&done),
                Ok(Work::Wake) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Work::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.runner.tick(Instant::now());
        }
    }
}

/// The worker of a stream: SRTP and SRTCP of one SSRC go to the same.
#[inline]
fn worker_of(kind: PacketKind, packet: &[u8], workers: usize) -> usize {
    let at = match kind {
        PacketKind::Rtp => 8,
        PacketKind::Rtcp => 4,
    };
    let ssrc = packet.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u32::from_be_bytes(*b));
    // Fibonacci hashing, and the upper bits of a product with the number of workers.
    let mixed = u64::from(ssrc.wrapping_mul(0x9e37_79b9));
    ((mixed * workers as u64) >> 32) as usize
}

/// Places for what is no parcel.
const COMMANDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_spread_evenly_and_both_halves_of_one_go_together() {
        for workers in 1..=8 {
            let mut counts = vec![0; workers];
            for ssrc in 0..8000_u32 {
                let (mut rtp, mut rtcp) = (vec![0x80; 8], vec![0x80; 4]);
                rtp.extend(ssrc.to_be_bytes());
                rtcp.extend(ssrc.to_be_bytes());
                let worker = worker_of(PacketKind::Rtp, &rtp, workers);
                assert_eq!(worker_of(PacketKind::Rtcp, &rtcp, workers), worker);
                counts[worker] += 1;
            }
            assert!(counts.iter().all(|n| n * workers > 7000 && n * workers < 9000), "{counts:?}");
        }
        assert_eq!(worker_of(PacketKind::Rtp, &[0x80; 11], 8), 0);
    }

    #[test]
    fn packets_whose_place_commands_have_taken_wait_and_go_before_the_next_command() {
        let (queue, inbox) = bounded(2);
        let (give_back, empty) = bounded(1);
        give_back.send(Box::new(Parcel::new())).unwrap();
        let mut end = WorkerEnd { queue, empty, open: None };
        let source = std::net::SocketAddr::from(([192, 0, 2, 1], 7));
        let put = |end: &mut WorkerEnd, octet: u8| {
            let bytes = &mut [octet; 12];
            let datagram = Datagram { port: PortId(0), source, truncated: false, bytes };
            end.put(&datagram, PacketKind::Rtp)
        };
        end.tell(Work::Wake);
        end.tell(Work::Wake);
        for octet in 0..64 {
            assert!(put(&mut end, octet));
            end.flush();
        }
        assert!(!put(&mut end, 64), "no parcel has come back");
        assert_eq!(inbox.try_iter().filter(|work| matches!(work, Work::Wake)).count(), 2);
        end.tell(Work::Wake);
        let Ok(Work::Treat(mut parcel)) = inbox.try_recv() else { panic!("no packets") };
        let (datagrams, _) = parcel.datagrams();
        assert!(datagrams.iter().map(|datagram| datagram.bytes[0]).eq(0..64));
        assert!(matches!(inbox.try_recv(), Ok(Work::Wake)));
    }
}
