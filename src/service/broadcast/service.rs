//! The handle of the service, and its start and end.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Sender, bounded};

use super::{
    BroadcastChannel, BroadcastCounters, BroadcastServiceOptions, ChannelReport, Held, Input,
    counters::{Counted, Overall},
    input::HandedIn,
    thread::{Command, Ends, Settings, Thread},
    writer,
};
use crate::{
    broadcast::{ChannelDocument, ChannelId},
    error::Error,
    net::Waker,
    runtime::Doorbell,
    state::BroadcastState,
};

/// Sends many channels: see the [module](super). Cheap to clone; the last clone that goes stops it.
#[derive(Clone)]
pub struct BroadcastService(Arc<Shared>);

impl BroadcastService {
    /// Opens the journal and starts the threads. Nothing is sent before a channel is opened.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::Io`] as [`BroadcastState::open`] gives them; [`Error::Io`]
    /// if the system gives no thread.
    pub fn start(options: BroadcastServiceOptions) -> Result<Self, Error> {
        let mut timing = options.timing;
        (timing.write_ahead, timing.spread) = (true, true);
        let streams_every = options.state.streams_interval();
        let state = BroadcastState::open(options.state)?;
        let restored = state.restore_all(timing, Instant::now(), &mut random)?;

        let (commands, obeyed) = bounded(COMMANDS);
        let (queue, handed_in) = bounded(options.queue);
        let (records, to_write) = bounded(1);
        let (wrote, written) = bounded(1);
        let overall = Arc::<Overall>::default();
        let thread = Thread::new(
            Ends { commands: obeyed, handed_in, records, written },
            Settings {
                name: options.name,
                timing,
                silence_after: options.silence_after,
                streams_every,
                input_buffer: options.input_buffer,
            },
            Arc::clone(&overall),
            restored,
        )?;
        let bell = thread.bell();
        let at_writer = Arc::clone(&bell);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
            thread.map_err(|error| Error::io(format!("cannot start thread {name}"), error))
        };
        let writer = spawn(
            "bcast-journal",
            Box::new(move || writer::write(state, &to_write, &wrote, &at_writer)),
        )?;
        let sender = spawn("bcast", Box::new(move || thread.run()))?;
        Ok(Self(Arc::new(Shared {
            commands,
            queue,
            bell,
            overall,
            channels: Mutex::default(),
            threads: Mutex::new(vec![sender, writer]),
        })))
    }

    /// Puts a channel on the air: opens its sockets, and goes on with the keys that the journal has of
    /// it. Without any it waits for its first document.
    ///
    /// # Errors
    /// [`Error::Invalid`] as [`BroadcastChannel::validate`], or a channel of this name is open;
    /// what opening the sockets gives. Nothing is open then.
    pub fn open(&self, channel: BroadcastChannel) -> Result<(), Error> {
        channel.validate()?;
        let (id, media) = (channel.id.clone(), channel.group.media.len());
        let counted = Arc::<Counted>::default();
        let (channel, given) = (Box::new(channel), Arc::clone(&counted));
        let number = self.call(|done| Command::Open { channel, counted: given, done })??;
        self.0.channels().insert(id, Open { number, counted, media });
        Ok(())
    }

    /// Takes a channel off the air and closes its sockets. Its keys and counters stay in the journal,
    /// for when it is opened again.
    ///
    /// # Errors
    /// [`Error::Invalid`]: no channel of this name is open.
    pub fn close(&self, channel: &ChannelId) -> Result<(), Error> {
        let open = self.0.channels().remove(channel).ok_or_else(|| not_open(channel))?;
        self.call(|done| Command::Close { number: open.number, done })
    }

    /// Follows the key server (P6), and returns when the version is held durably: until then the
    /// key server must not switch. A document as old as the one held, or older, changes nothing but
    /// tells that the key server is there.
    ///
    /// # Errors
    /// [`Error::Invalid`]: no channel of this name is open, or what
    /// [`Broadcaster::follow`](crate::broadcast::Broadcaster::follow) finds; the document has no
    /// effect then. [`Error::Io`] of the kind [`TimedOut`](std::io::ErrorKind::TimedOut): the
    /// journal cannot be written at the moment. The document is taken and will be written; asking
    /// again does no harm.
    pub fn follow(&self, document: ChannelDocument) -> Result<Held, Error> {
        let (tell, told) = bounded(1);
        self.follow_then(document, move |result| drop(tell.send(result)))?;
        match told.recv_timeout(DURABLE_WITHIN) {
            Ok(result) => result,
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => Err(Error::Stopped),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
                let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Err(Error::io("the document is taken, but the journal is not written yet", late))
            }
        }
    }

    /// As [`Self::follow`], without waiting: `done` is called from the thread of the service, and must
    /// not wait either. If the service ends before, it is dropped.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn follow_then(
        &self,
        document: ChannelDocument,
        done: impl FnOnce(Result<Held, Error>) + Send + 'static,
    ) -> Result<(), Error> {
        self.0.tell(Command::Follow { document: Box::new(document), done: Box::new(done) })
    }

    /// The key server was heard, and had nothing new to say about a channel.
    ///
    /// # Errors
    /// [`Error::Invalid`]: no channel of this name is open. [`Error::Stopped`].
    pub fn heard(&self, channel: &ChannelId) -> Result<(), Error> {
        let number = self.number(channel)?;
        self.0.tell(Command::Heard { number })
    }

    /// Where plain packets of a medium are handed in, by its place in the group.
    ///
    /// # Errors
    /// [`Error::Invalid`]: no channel of this name is open, or it has no such medium.
    pub fn input(&self, channel: &ChannelId, medium: usize) -> Result<Input, Error> {
        let channels = self.0.channels();
        let open = channels.get(channel).ok_or_else(|| not_open(channel))?;
        if medium >= open.media {
            return Err(Error::invalid(format!(
                "channel {channel}: no medium {medium}; the group has {}, counted from 0",
                open.media
            )));
        }
        let (queue, bell) = (self.0.queue.clone(), Arc::clone(&self.0.bell));
        let counted = Arc::clone(&open.counted);
        Ok(Input { channel: open.number, medium, queue, counted, bell })
    }

    /// Where a channel stands.
    ///
    /// # Errors
    /// [`Error::Invalid`]: no channel of this name is open. [`Error::Stopped`].
    pub fn report(&self, channel: &ChannelId) -> Result<ChannelReport, Error> {
        let number = self.number(channel)?;
        self.call(|done| Command::Report { number, done })?.ok_or_else(|| not_open(channel))
    }

    /// The channels that are open, by name.
    #[must_use]
    pub fn channels(&self) -> Vec<ChannelId> {
        self.0.channels().keys().cloned().collect()
    }

    /// What was taken, sent and refused.
    #[must_use]
    pub fn counters(&self) -> BroadcastCounters {
        let channels = self.0.channels();
        let overall = &self.0.overall;
        BroadcastCounters {
            channels: channels.iter().map(|(id, c)| (id.clone(), c.counted.snapshot())).collect(),
            commits: overall.commits.value(),
            commits_failed: overall.commits_failed.value(),
            receive_errors: overall.receive_errors.value(),
            late: overall.late.snapshot(),
        }
    }

    /// Ends all channels, writes where their streams are, and returns when the threads have ended.
    /// Clones, and inputs, find the service stopped.
    pub fn stop(&self) {
        self.0.stop();
    }

    fn number(&self, channel: &ChannelId) -> Result<u64, Error> {
        let channels = self.0.channels();
        channels.get(channel).map(|open| open.number).ok_or_else(|| not_open(channel))
    }

    fn call<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Result<T, Error> {
        let (done, answer) = bounded(1);
        self.0.tell(command(done))?;
        answer.recv().map_err(|_| Error::Stopped)
    }
}

impl fmt::Debug for BroadcastService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastService").field("channels", &self.channels()).finish()
    }
}

struct Shared {
    commands: Sender<Command>,
    queue: Sender<HandedIn>,
    bell: Arc<Bell>,
    overall: Arc<Overall>,
    channels: Mutex<BTreeMap<ChannelId, Open>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// An open channel, as its callers need it.
struct Open {
    number: u64,
    counted: Arc<Counted>,
    media: usize,
}

impl Shared {
    fn channels(&self) -> MutexGuard<'_, BTreeMap<ChannelId, Open>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| Error::Stopped)?;
        self.bell.ring();
        Ok(())
    }

    fn stop(&self) {
        let _ended_already = self.tell(Command::Stop);
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _panicked = thread.join();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Wakes the thread if it sleeps, and costs little if it does not.
#[derive(Debug)]
pub(super) struct Bell {
    armed: Doorbell,
    waker: Waker,
}

impl Bell {
    pub(super) fn new(waker: Waker) -> Self {
        Self { armed: Doorbell::new(), waker }
    }

    /// The thread's side: whether it may sleep, because nothing has come.
    pub(super) fn arm(&self, is_news: impl FnOnce() -> bool) -> bool {
        self.armed.arm(is_news)
    }

    /// The other side, after something was put where the thread looks.
    pub(super) fn ring(&self) {
        if self.armed.ring() {
            self.waker.wake();
        }
    }
}

/// Fills with randomness of the system.
///
/// # Panics
/// If the system has none: nothing is sent rather than under keys that can be guessed.
pub(super) fn random(out: &mut [u8]) {
    getrandom::fill(out).expect("the system gives no randomness");
}

fn not_open(channel: &ChannelId) -> Error {
    Error::invalid(format!("channel {channel} is not open here"))
}

/// Calls that may wait for the thread.
const COMMANDS: usize = 1024;

/// How long [`BroadcastService::follow`] waits for the journal.
const DURABLE_WITHIN: Duration = Duration::from_secs(10);
