//! What a thread does with the datagrams it has read: treats them itself, or hands them to workers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{callback::LaneSink, doorbell::Doorbell};
use crate::{
    rx::{BatchReport, Datagram, Event, GroupCounters, Lane, Port, PortId},
    srtp::PacketKind,
};

/// Takes what a thread reads from its sockets.
pub(super) trait Intake {
    /// Adds a socket. `counters` are those of its group, of this thread and then of each worker.
    fn add_port(&mut self, port: Port, counters: &[Arc<GroupCounters>]) -> PortId;

    /// Forgets a socket, which has been closed.
    fn remove_port(&mut self, port: PortId);

    /// Treats a batch.
    fn take(&mut self, batch: &mut [Datagram<'_>], now: Instant);

    /// The sockets are empty for now: what must not wait for the next batch.
    fn tick(&mut self, now: Instant);

    /// How long the thread may wait for datagrams.
    fn patience(&mut self, now: Instant) -> Duration;

    /// Calls `done` when nothing of what has been taken is under way any more, once for each thread
    /// that treats datagrams.
    fn settle(&mut self, done: &Settled);
}

/// Where to tell that a thread has settled.
pub(super) type Settled = crossbeam_channel::Sender<()>;

/// A lane, and where it delivers.
pub(super) struct Runner<F> {
    pub(super) lane: Lane,
    pub(super) sink: LaneSink<F>,
    pub(super) bell: Arc<Doorbell>,
}

impl<F: Fn(Event<'_>)> Runner<F> {
    /// Treats datagrams that have been sorted out by another thread.
    pub(super) fn run_sorted(
        &mut self,
        batch: &mut [Datagram<'_>],
        kinds: &[Option<PacketKind>],
        now: Instant,
    ) {
        let mut report = BatchReport::default();
        self.lane.run_sorted(batch, kinds, now, &mut self.sink, &mut report);
    }
}

impl<F: Fn(Event<'_>)> Intake for Runner<F> {
    fn add_port(&mut self, port: Port, _: &[Arc<GroupCounters>]) -> PortId {
        self.lane.add_port(port)
    }

    fn remove_port(&mut self, port: PortId) {
        self.lane.remove_port(port);
    }

    fn take(&mut self, batch: &mut [Datagram<'_>], now: Instant) {
        self.lane.run_batch(batch, now, &mut self.sink);
    }

    fn tick(&mut self, now: Instant) {
        self.lane.tick(now, &mut self.sink);
    }

    /// Not past the time when a held packet expires, and not at all if its key has come.
    fn patience(&mut self, now: Instant) -> Duration {
        let Some(deadline) = self.lane.next_deadline() else { return IDLE };
        if !self.bell.arm(|| self.lane.is_behind()) {
            return Duration::ZERO;
        }
        deadline.saturating_duration_since(now).clamp(BRIEF, IDLE)
    }

    fn settle(&mut self, done: &Settled) {
        let _ = done.send(());
    }
}

impl<F> Drop for Runner<F> {
    fn drop(&mut self) {
        self.sink.streams.finish(self.lane.newest());
    }
}

/// Longest wait without traffic; commands wake the thread at once, and tables if packets wait for them.
pub(super) const IDLE: Duration = Duration::from_millis(100);
/// Shortest wait while packets are held back.
const BRIEF: Duration = Duration::from_millis(1);
