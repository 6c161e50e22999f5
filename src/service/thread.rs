//! The thread that owns the core: requests, datagrams and deadlines in, one commit for all of them,
//! then their effects.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{
    apply::{Desk, random},
    carry::Shared,
    consumer::Consumer,
    effect::{Done, Effects},
    event::EventKind,
    health::HealthCell,
    refusals::Refusals,
    request::{Refused, RefusedKind, Reply, Request},
    socket::{Incoming, MskSocket},
    watch::Watch,
};
use crate::{
    error::Reject,
    keyserver::{KeyServer, Sender},
    state::KeyServerState,
};
use crossbeam_channel::{Receiver, never, select};

/// What the thread is asked.
pub(super) enum Work {
    Request(Box<Request>, Done),
    /// A look at the core.
    Look(Look),
    /// Something else wants attention.
    Wake,
}

/// A look at the core, or why there is none.
pub(super) type Look = Box<dyn FnOnce(Result<&KeyServer, Refused>) + Send>;

/// State of the thread.
pub(super) struct Thread {
    pub(super) server: KeyServer,
    pub(super) state: KeyServerState,
    pub(super) shared: Arc<Shared>,
    pub(super) health: Arc<HealthCell>,
    pub(super) socket: Option<MskSocket>,
    pub(super) work: Receiver<Work>,
    pub(super) datagrams: Option<Receiver<Incoming>>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) per_commit: usize,
    pub(super) consumer: Option<Consumer>,
    pub(super) watch: Watch,
    pub(super) refusals: Refusals,
    /// When silent broadcasters are looked for, and refusals told.
    pub(super) tick: Instant,
    /// What waits for the next commit.
    pub(super) effects: Effects,
    /// When the state is to be written again, after it could not be.
    pub(super) retry: Option<Instant>,
}

impl Thread {
    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        let _last = LastEvent(Arc::clone(&self.shared));
        // What was under way before the start goes on.
        self.commit();
        while !self.stop.load(Ordering::Relaxed) {
            self.wait();
            self.turn();
        }
        self.end();
    }

    /// Waits for something to do, and takes the first of it up.
    fn wait(&mut self) {
        let now = Instant::now();
        let due = match self.retry {
            Some(retry) => Some(retry),
            None => {
                let bus = self.consumer.as_ref().map(Consumer::due);
                self.server.next_deadline().into_iter().chain(bus).min()
            }
        };
        let wait = due.map_or(IDLE, |due| due.saturating_duration_since(now).min(IDLE));
        let none = never();
        let datagrams = self.datagrams.as_ref().unwrap_or(&none);
        select! {
            recv(self.work) -> work => if let Ok(work) = work {
                self.take(work);
            },
            recv(datagrams) -> datagram => if let Ok(datagram) = datagram {
                self.receive(&datagram);
            },
            default(wait) => {}
        }
    }

    /// One commit for all that is waiting already, up to a limit.
    fn turn(&mut self) {
        for work in self.work.clone().try_iter().take(self.per_commit) {
            self.take(work);
        }
        if let Some(datagrams) = self.datagrams.clone() {
            for datagram in datagrams.try_iter().take(self.per_commit) {
                self.receive(&datagram);
            }
        }
        let now = Instant::now();
        match self.retry {
            None => self.look_around(now),
            Some(retry) if now < retry => return,
            Some(_) => {}
        }
        self.commit();
    }

    /// Does what is due, and takes what the bus has.
    fn look_around(&mut self, now: Instant) {
        if self.server.next_deadline().is_some_and(|due| due <= now) {
            let actions = self.server.poll(now, &mut random);
            self.desk(now).act(actions);
        }
        if let Some(mut consumer) = self.consumer.take() {
            let limit = self.per_commit;
            consumer.take(&mut self.desk(now), limit);
            self.consumer = Some(consumer);
        }
        if now >= self.tick {
            self.tick = now + IDLE;
            self.watch.look(&self.server, now, &mut self.effects);
            self.refusals.tell(now, &mut self.effects);
        }
    }

    fn take(&mut self, work: Work) {
        match work {
            Work::Request(request, done) => self.request(*request, done),
            Work::Look(look) => self.shared.call_back(|| look(Ok(&self.server))),
            Work::Wake => {
                if let Some(consumer) = &mut self.consumer {
                    consumer.wake(Instant::now());
                }
            }
        }
    }

    fn request(&mut self, request: Request, done: Done) {
        self.shared.counts.requests.add(1);
        if self.retry.is_some() {
            let refused = Refused::unavailable(
                "the state cannot be written at the moment, so that nothing may change; ask again later",
            );
            self.shared.counts.refused(refused.kind);
            return self.shared.call_back(|| done(Err(refused)));
        }
        let result = match self.elsewhere(&request) {
            Some(result) => result,
            None => self.desk(Instant::now()).apply(request),
        };
        self.effects.answer(done, result);
    }

    /// What becomes of a request about a channel that another PF controls: a change of membership is
    /// published, and the channel is not opened here.
    fn elsewhere(&mut self, request: &Request) -> Option<Result<Reply, Refused>> {
        let consumer = self.consumer.as_ref()?;
        if let Request::OpenChannel { channel, .. } = request
            && consumer.is_elsewhere(channel)
        {
            let text = format!("another PF controls channel {channel}; open it there");
            return Some(Err(Refused::new(RefusedKind::Conflict, text)));
        }
        let (channel, clients, change) = request.membership()?;
        if !consumer.is_elsewhere(channel) {
            return None;
        }
        let published = match consumer.unknown() {
            Some(why) => Err(why.to_owned()),
            None => {
                self.server.publish(channel, clients, change).map_err(|error| error.to_string())
            }
        };
        Some(published.map(|()| Reply::of(true)).map_err(Refused::unavailable))
    }

    fn receive(&mut self, datagram: &Incoming) {
        // What is confirmed has to be durable; the MSK message is repeated, and answered again.
        let received = match self.retry {
            Some(_) => Err(Reject::StateFailed),
            None => {
                let from = Sender::Address(datagram.source);
                self.desk(Instant::now()).receive(&datagram.octets, from)
            }
        };
        if let Err(reject) = received {
            self.desk(Instant::now()).refuse(reject, Some(datagram.source));
        }
    }

    /// Makes durable what has changed, then carries out what follows from it.
    fn commit(&mut self) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        self.health.writes_since(Some(now));
        let committed = self.state.commit(&mut self.server, now, wall);
        self.health.writes_since(None);
        match committed {
            Ok(written) => {
                self.shared.counts.commits.add(written.into());
                if let Some(consumer) = &mut self.consumer {
                    let counts = &self.shared.counts;
                    consumer.acknowledge(&self.server, counts);
                    consumer.publish(&self.server, now, &mut self.effects, counts);
                }
                if self.retry.take().is_some() {
                    self.watch.forgive(now);
                    self.health.writable();
                    self.effects.tell(None, EventKind::StateWritable);
                }
                let effects = std::mem::take(&mut self.effects);
                self.shared.carry_out(effects, &self.server, self.socket.as_ref(), wall);
            }
            Err(error) => {
                self.shared.counts.commits_failed.add(1);
                if self.retry.is_none() {
                    let why = error.to_string();
                    self.health.not_writable(&why);
                    let event = (None, EventKind::StateNotWritable { why });
                    self.shared.ring.publish([event], wall);
                }
                self.retry = Some(now + RETRY);
            }
        }
    }

    /// Commits for the last time; who waits still is told that there is nobody any more.
    fn end(mut self) {
        self.commit();
        let stopped = || Refused::unavailable("the service has stopped");
        for (done, _) in std::mem::take(&mut self.effects.answers) {
            self.shared.call_back(|| done(Err(stopped())));
        }
        for work in self.work.try_iter() {
            match work {
                Work::Request(_, done) => self.shared.call_back(|| done(Err(stopped()))),
                Work::Look(look) => self.shared.call_back(|| look(Err(stopped()))),
                Work::Wake => {}
            }
        }
    }

    fn desk(&mut self, now: Instant) -> Desk<'_> {
        Desk {
            server: &mut self.server,
            socket: self.socket.as_ref(),
            effects: &mut self.effects,
            watch: &mut self.watch,
            refusals: &mut self.refusals,
            counts: &self.shared.counts,
            now,
            wall: SystemTime::now(),
        }
    }
}

/// Tells readers of events and whoever waits for documents that no more will come, however the thread
/// ends.
struct LastEvent(Arc<Shared>);

impl Drop for LastEvent {
    fn drop(&mut self) {
        self.0.documents.end();
        self.0.ring.end();
    }
}

/// How long the thread sleeps at most.
const IDLE: Duration = Duration::from_secs(1);
/// How long after a failed commit the next one is tried.
const RETRY: Duration = Duration::from_secs(1);
