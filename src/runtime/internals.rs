//! The hand-over to workers without sockets, for benches. Not part of the interface.

use std::{sync::Arc, thread::JoinHandle, time::Instant};

use crossbeam_channel::bounded;

use super::{
    callback::{Callback, LaneSink},
    doorbell::Doorbell,
    durable::StreamWatch,
    intake::{Intake, Runner},
    queue::KeyQueue,
    spread::{Spread, worker},
};
use crate::{
    error::Error,
    group::Carries,
    ids::GroupId,
    keys::{KeyPlane, PlaneLimits},
    rx::{Datagram, Event, GroupCounters, GroupStats, Lane, Limits, Port, PortId},
    srtp::{SessionId, TrafficKey},
};

/// What a thread does with batches of one group: by itself, or through workers.
pub struct Handover {
    intake: Option<Box<dyn Intake>>,
    port: PortId,
    workers: Vec<JoinHandle<()>>,
    counters: Vec<Arc<GroupCounters>>,
}

impl Handover {
    /// So many workers, 0 for none, that all know this key.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn new(workers: usize, key: Arc<TrafficKey>) -> Result<Self, Error> {
        let (group, limits) = (GroupId(0), Limits::default());
        let mut plane = KeyPlane::new(PlaneLimits::default());
        plane.add_group(group, None);
        plane.insert_fixed(group, key)?;
        plane.publish();
        let (keys, ..) = KeyQueue::new(1);
        let callback = Arc::new(Callback::new(|event: Event<'_>| {
            std::hint::black_box(&event);
        }));
        let streams = StreamWatch::new(None, 0, keys.commands.clone());
        let sink = LaneSink { callback, keys, streams };
        let runner = || Runner {
            lane: Lane::new(Arc::clone(plane.published()), &limits),
            sink: sink.clone(),
            bell: Arc::new(Doorbell::new()),
        };
        let mut threads = Vec::new();
        let mut intake: Box<dyn Intake> = if workers == 0 {
            Box::new(runner())
        } else {
            let (ends, workers): (Vec<_>, Vec<_>) =
                (0..workers).map(|_| worker(runner(), 64)).unzip();
            threads.extend(workers.into_iter().map(|w| std::thread::spawn(move || w.run())));
            Box::new(Spread::new(&limits, sink.clone(), ends))
        };
        let counters: Vec<_> = (0..=workers).map(|_| Arc::<GroupCounters>::default()).collect();
        let carries = Carries { rtp: true, ..Carries::default() };
        let port = Port::new(group, SessionId(0), carries, &[], Arc::clone(&counters[0]));
        let port = intake.add_port(port, &counters);
        Ok(Self { intake: Some(intake), port, workers: threads, counters })
    }

    /// The port to give datagrams.
    #[must_use]
    pub const fn port(&self) -> PortId {
        self.port
    }

    /// Treats a batch, or hands it over.
    pub fn take(&mut self, batch: &mut [Datagram<'_>]) {
        if let Some(intake) = &mut self.intake {
            intake.take(batch, Instant::now());
            intake.tick(Instant::now());
        }
    }

    /// Waits until everything is delivered.
    pub fn settle(&mut self) {
        let threads = self.workers.len().max(1);
        let (done, settled) = bounded(threads);
        if let Some(intake) = &mut self.intake {
            intake.settle(&done);
        }
        settled.iter().take(threads).for_each(drop);
    }

    /// Counters of all threads.
    #[must_use]
    pub fn stats(&self) -> GroupStats {
        self.counters.iter().map(|c| c.snapshot()).fold(GroupStats::default(), |a, b| a + b)
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        self.intake = None;
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handover({} workers)", self.workers.len())
    }
}
