//! The service as everybody else sees it: calls to its thread, and looks at what that has published.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use crossbeam_channel::{Sender, TrySendError, bounded};

use super::{
    bus::BusWake,
    carry::Shared,
    consumer::Consumer,
    counters::{Counts, KeyServiceCounters},
    documents::{DocumentWait, Documents},
    effect::Effects,
    event::EventKind,
    events::{Ring, Subscription},
    health::{Health, HealthCell},
    offers::{Offer, Offers},
    options::KeyServiceOptions,
    refusals::Refusals,
    request::{Refused, RefusedKind, Reply, Request},
    socket::MskSocket,
    thread::{Thread, Work},
    watch::Watch,
};
use crate::{
    broadcast::{BroadcasterId, ChannelDocument, ChannelId},
    error::Error,
    keyserver::{ClientId, KeyServer},
    state::KeyServerState,
};

/// A key server at work: its thread, its socket, its state. Clones are the same service, which stops
/// when the last one is dropped.
#[derive(Clone)]
pub struct KeyService(Arc<Running>);

struct Running {
    work: Sender<Work>,
    shared: Arc<Shared>,
    health: Arc<HealthCell>,
    address: Option<SocketAddr>,
    stop: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl KeyService {
    /// Reads the state, opens the socket and starts. What was under way goes on.
    ///
    /// # Errors
    /// The state cannot be read or is in use, the socket cannot be opened, channels are controlled
    /// elsewhere but there is no bus or one of them is open here, or the system has no threads or no random numbers.
    pub fn start(options: KeyServiceOptions) -> Result<Self, Error> {
        getrandom::fill(&mut [0; 16])
            .map_err(|error| Error::io("no random numbers from the system", error.into()))?;
        if options.bus.is_none() && !options.elsewhere.is_empty() {
            return Err(Error::invalid(
                "channels that another PF controls need a membership bus to publish on",
            ));
        }
        let limits = options.limits;
        let mut state = KeyServerState::open(options.state)?;
        let (now, wall) = (Instant::now(), SystemTime::now());
        let (server, actions) = state.restore(options.timing, now, wall)?;
        if let Some(channel) = options.elsewhere.iter().find(|id| server.spec(id).is_some()) {
            return Err(Error::invalid(format!(
                "channel {channel} is open here and controlled by another PF; close it first"
            )));
        }
        let open = |address| MskSocket::open(address, limits.send_patience);
        let socket = options.mikey.map(open).transpose()?;
        let (work, queue) = bounded(limits.requests.max(1));
        let (to_thread, datagrams) = bounded(limits.datagrams.max(1));
        let shared = Arc::new(Shared {
            counts: Counts::default(),
            ring: Arc::new(Ring::new(limits.events, wall)),
            offers: Offers::default(),
            documents: Arc::new(Documents::new(limits.document_waits)),
        });
        let mut effects = Effects::default();
        let started = EventKind::Started {
            clients: server.clients().count(),
            channels: server.channels().count(),
        };
        effects.tell(None, started);
        effects.act(actions, now, wall);
        let consumer = options.bus.map(|mut bus| {
            let wake = work.clone();
            // A full queue wakes the thread as well.
            bus.on_news(BusWake::new(move || drop(wake.try_send(Work::Wake))));
            Consumer::new(bus, options.elsewhere, now)
        });
        let (health, stop) = (Arc::<HealthCell>::default(), Arc::<AtomicBool>::default());
        let thread = Thread {
            server,
            state,
            shared: Arc::clone(&shared),
            health: Arc::clone(&health),
            socket: socket.clone(),
            work: queue,
            datagrams: socket.is_some().then_some(datagrams),
            stop: Arc::clone(&stop),
            per_commit: limits.per_commit.max(1),
            consumer,
            watch: Watch::new(options.broadcaster_silence),
            refusals: Refusals::default(),
            tick: now,
            effects,
            retry: None,
        };
        let address = socket.as_ref().and_then(MskSocket::address);
        let service = Self(Arc::new(Running {
            work,
            shared,
            health,
            address,
            stop,
            threads: Mutex::default(),
        }));
        service.spawn("key-service", move || thread.run())?;
        if let Some(socket) = socket {
            let (shared, stop) = (Arc::clone(&service.0.shared), Arc::clone(&service.0.stop));
            let listen = move || socket.listen(&to_thread, &shared.counts, &stop);
            service.spawn("key-service-udp", listen)?;
        }
        Ok(service)
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
        let thread = spawned.map_err(|error| Error::io("cannot start a thread", error))?;
        self.0.threads().push(thread);
        Ok(())
    }

    /// Asks, and waits until what follows is durable and has gone out: while the state cannot be
    /// written, for as long as that lasts.
    ///
    /// # Errors
    /// Why it was not done; nothing has changed then.
    pub fn call(&self, request: Request) -> Result<Reply, Refused> {
        let (answer, answers) = bounded(1);
        self.submit(request, move |result| drop(answer.send(result)));
        answers.recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// Asks, and goes on; `done` is told when what follows is durable and has gone out, as a rule on
    /// the service's thread: it must neither wait nor [`call`](Self::call). Should the service stop at
    /// that very moment, it may be dropped instead.
    pub fn submit(
        &self,
        request: Request,
        done: impl FnOnce(Result<Reply, Refused>) + Send + 'static,
    ) {
        if let Err((Work::Request(_, done), refused)) =
            self.put(Work::Request(Box::new(request), Box::new(done)))
        {
            self.0.shared.counts.refused(refused.kind);
            done(Err(refused));
        }
    }

    /// Looks at the core, and waits for what was seen.
    ///
    /// What is seen may not be durable yet: do not act on it towards the world.
    ///
    /// # Errors
    /// The service has stopped, or too much waits.
    pub fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&KeyServer) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let (answer, answers) = bounded(1);
        self.look(move |server| drop(answer.send(server.map(look))));
        answers.recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// The same without waiting: `look` runs on the service's thread, and must not wait.
    pub fn look(&self, look: impl FnOnce(Result<&KeyServer, Refused>) + Send + 'static) {
        if let Err((Work::Look(look), refused)) = self.put(Work::Look(Box::new(look))) {
            look(Err(refused));
        }
    }

    /// The newest document of an open channel: of this broadcaster, or the undivided one where the
    /// channel names none.
    #[must_use]
    pub fn document(
        &self,
        channel: &ChannelId,
        broadcaster: Option<&BroadcasterId>,
    ) -> Option<Arc<ChannelDocument>> {
        self.0.shared.documents.newest(channel, broadcaster)
    }

    /// Waits for a document newer than version `after`, for some time at most.
    ///
    /// A broadcaster that asks for what comes after a version holds that version: pass it on as
    /// [`Request::BroadcasterHolds`] before waiting.
    ///
    /// # Errors
    /// Too many wait.
    pub fn wait_document(
        &self,
        channel: &ChannelId,
        broadcaster: Option<&BroadcasterId>,
        after: u64,
        timeout: Duration,
    ) -> Result<Option<Arc<ChannelDocument>>, Refused> {
        let (answer, answers) = bounded(1);
        let done = move |document| drop(answer.send(document));
        let _wait = self.when_document(channel, broadcaster, after, done)?;
        Ok(answers.recv_timeout(timeout).ok())
    }

    /// Has `done` called with a document newer than version `after`: at once if there is one, else on
    /// the service's thread, which it must not hold up. Dropping what is returned calls the wait off.
    ///
    /// # Errors
    /// Too many wait.
    pub fn when_document(
        &self,
        channel: &ChannelId,
        broadcaster: Option<&BroadcasterId>,
        after: u64,
        done: impl FnOnce(Arc<ChannelDocument>) + Send + 'static,
    ) -> Result<DocumentWait, Refused> {
        let Shared { documents, counts, .. } = &*self.0.shared;
        let wait = documents.when_newer(channel, broadcaster, after, Box::new(done));
        wait.inspect_err(|_| counts.document_waits_refused.add(1))
    }

    /// The newest SDP offer for a client, until it is answered or the client has gone.
    #[must_use]
    pub fn offer(&self, channel: &ChannelId, client: &ClientId) -> Option<Arc<Offer>> {
        self.0.shared.offers.get(channel, client)
    }

    /// The events behind the one with this number, or from now on.
    ///
    /// Numbers begin with the time of the start, in milliseconds times 1024: those of a later run are
    /// above those of an earlier one, unless the clock is set back over it.
    #[must_use]
    pub fn events(&self, after: Option<u64>) -> Subscription {
        Subscription::new(Arc::clone(&self.0.shared.ring), after)
    }

    /// What the service has done since its start.
    #[must_use]
    pub fn counters(&self) -> KeyServiceCounters {
        let ring = &self.0.shared.ring;
        let counted = self.0.shared.counts.snapshot();
        KeyServiceCounters {
            events_missed: ring.missed.value(),
            callback_panics: counted.callback_panics + ring.panics.value(),
            ..counted
        }
    }

    /// Whether the service does its work.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut threads = self.0.threads();
        if self.0.stop.load(Ordering::Relaxed) || threads.iter_mut().any(|one| one.is_finished()) {
            return Health::of(Some("the service has stopped".to_owned()));
        }
        drop(threads);
        self.0.health.look(Instant::now())
    }

    /// The address of the socket for MSK messages, if there is one.
    #[must_use]
    pub fn mikey_address(&self) -> Option<SocketAddr> {
        self.0.address
    }

    /// Stops: what has been taken up is finished, what waits still and what is asked from now on is
    /// refused.
    pub fn stop(&self) {
        self.0.stop();
    }

    fn put(&self, work: Work) -> Result<(), (Work, Refused)> {
        self.0.work.try_send(work).map_err(|error| match error {
            TrySendError::Full(work) => {
                self.0.shared.counts.queue_full.add(1);
                let text = "too many requests wait already; ask again later";
                (work, Refused::unavailable(text))
            }
            TrySendError::Disconnected(work) => (work, stopped()),
        })
    }
}

impl fmt::Debug for KeyService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyService({:?})", self.health())
    }
}

impl Running {
    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        // A full queue wakes the thread as well.
        let _ = self.work.try_send(Work::Wake);
        let threads = std::mem::take(&mut *self.threads());
        // A callback that holds the last clone cannot wait for the thread it runs on.
        let own = thread::current().id();
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != own) {
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

fn stopped() -> Refused {
    Refused::new(RefusedKind::Unavailable, "the service has stopped")
}
