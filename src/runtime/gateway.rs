//! The running gateway: start, join, leave, counters, stop.

use std::{
    collections::BTreeMap,
    fmt,
    net::{SocketAddr, UdpSocket},
    ops::Add,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use crossbeam_channel::{Sender, bounded};
use tracing::warn;

use super::{
    builder::GatewayBuilder,
    callback::{Callback, LaneSink, Panics},
    doorbell::Doorbell,
    intake::{Intake, Runner},
    keys::{self, Bell, KeyCounters, KeyQueue, KeyThread, Summary, Wake},
    lane::{Command, LaneThread},
    spread::{Spread, worker},
};
use crate::{
    counter::RejectStats,
    error::Error,
    group::GroupSpec,
    ids::{GroupId, Mki},
    keys::{KeyPlane, Muk, MukId, PublishedKeys},
    net::{Arena, Poller, ReceiveOptions, ReceiveSocket, Waker},
    rx::{Event, GroupCounters, GroupStats, Lane, Port, RateBySource, payload_types},
    srtp::{MAX_BATCH, Profile, SessionId, TrafficKey},
};

/// Protected groups in, plain media and burst events out.
///
/// ```no_run
/// use mcast_srtp::{
///     Gateway,
///     group::{GroupSpec, Interface, MediaSpec},
///     rx::Event,
/// };
///
/// let group = GroupSpec::new("Group 17", Interface::name("eth1"))
///     .with_media(MediaSpec::rtp("232.10.0.17".parse()?, 49170).from_source("192.0.2.10".parse()?));
/// let gateway = Gateway::builder().lanes(2).group(group).start(|event: Event<'_>| match event {
///     Event::Media(media) => println!("{} octets of {}", media.payload.len(), media.ssrc),
///     Event::Burst(burst) => println!("{}", burst.event.name()),
///     _ => {}
/// })?;
/// println!("{}", gateway.stats());
/// gateway.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Gateway {
    lanes: Vec<LaneHandle>,
    /// Workers behind each lane.
    workers: usize,
    callback: Arc<dyn Panics>,
    keys: Option<KeyQueue>,
    key_counters: Arc<KeyCounters>,
    key_address: Option<SocketAddr>,
    published: Arc<PublishedKeys>,
    receive: ReceiveOptions,
    groups: BTreeMap<GroupId, JoinedGroup>,
    next_session: u32,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

struct LaneHandle {
    commands: Sender<Command>,
    waker: Waker,
    groups: usize,
}

struct JoinedGroup {
    name: String,
    lane: usize,
    /// Of the lane's thread, then of each worker.
    counters: Vec<Arc<GroupCounters>>,
}

impl Gateway {
    /// Settings to start from.
    #[must_use]
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::default()
    }

    /// Joins a group while running, and opens the MSK messages of its description.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Io`] if the group cannot be joined, [`Error::Rejected`] if an
    /// MSK message of the description is refused (RFC 4567 §4.1.2: one failure is the failure of
    /// all). Nothing is joined then.
    pub fn join(&mut self, spec: GroupSpec) -> Result<GroupId, Error> {
        let counters: Vec<_> =
            (0..=self.workers).map(|_| Arc::<GroupCounters>::default()).collect();
        let group = self.free_number();
        let mut sockets = Vec::new();
        for socket in spec.sockets()? {
            let open = ReceiveSocket::open(&socket, &spec.interface, &self.receive)?;
            for warning in open.facts().warnings() {
                warn!(group = spec.name, "{warning}");
            }
            let session = SessionId(self.next_session);
            self.next_session += 1;
            let types = payload_types(&spec, &socket);
            let port = Port::new(group, session, socket.carries, &types, Arc::clone(&counters[0]));
            sockets.push((open, port));
        }
        let domain = spec.key_domain;
        self.ask_keys(|done| keys::Command::AddGroup { group, domain, done })?;
        for message in spec.key_messages {
            let answer = self.ask_keys(|done| keys::Command::Announce { group, message, done });
            if let Err(error) = answer {
                self.tell_keys(keys::Command::RemoveGroup { group })?;
                return Err(error);
            }
        }
        let least_busy = self.lanes.iter().enumerate().min_by_key(|(_, lane)| lane.groups);
        let lane = least_busy.map(|(place, _)| place).ok_or(Error::Stopped)?;
        let handle = &mut self.lanes[lane];
        let join = Command::Join { sockets, counters: counters.clone() };
        handle.commands.send(join).map_err(|_| Error::Stopped)?;
        handle.waker.wake();
        handle.groups += 1;
        self.groups.insert(group, JoinedGroup { name: spec.name, lane, counters });
        Ok(group)
    }

    /// Leaves a group. When this returns, the callback is not called for it any more, and its number
    /// may be given to the next group.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the group is not joined.
    pub fn leave(&mut self, group: GroupId) -> Result<(), Error> {
        let joined = self.groups.remove(&group);
        let joined =
            joined.ok_or_else(|| Error::invalid(format!("group {group} is not joined")))?;
        let handle = &mut self.lanes[joined.lane];
        handle.groups -= 1;
        let threads = self.workers.max(1);
        let (done, left) = bounded(threads);
        handle.commands.send(Command::Leave { group, done }).map_err(|_| Error::Stopped)?;
        handle.waker.wake();
        for _ in 0..threads {
            left.recv().map_err(|_| Error::Stopped)?;
        }
        self.tell_keys(keys::Command::RemoveGroup { group })
    }

    /// Adds a client key while running.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a limit is reached.
    pub fn insert_muk(&self, id: MukId, muk: Muk) -> Result<(), Error> {
        self.ask_keys(|done| keys::Command::InsertMuk { id, muk, done })
    }

    /// Adds a traffic key by hand, for tools.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it does not fit the profile, or if the group is not joined.
    pub fn insert_traffic_key(
        &self,
        group: GroupId,
        mki: Mki,
        profile: Profile,
        master_key: &[u8],
        master_salt: &[u8],
    ) -> Result<(), Error> {
        let key = Arc::new(TrafficKey::new(mki, profile, master_key, master_salt)?);
        self.ask_keys(|done| keys::Command::InsertFixed { group, key, done })
    }

    /// Counters of this moment, by group.
    #[must_use]
    pub fn stats(&self) -> GatewayStats {
        let groups = self.groups.iter();
        GatewayStats {
            groups: groups
                .map(|(id, joined)| {
                    let each = joined.counters.iter().map(|counters| counters.snapshot());
                    (*id, joined.name.clone(), each.fold(GroupStats::default(), Add::add))
                })
                .collect(),
            callback_panics: self.callback.panics(),
            threads_ended: self.threads.iter().filter(|thread| thread.is_finished()).count(),
            keys: KeyStats {
                msk: self.key_counters.msk.value(),
                mtk: self.key_counters.mtk.value(),
                verifications: self.key_counters.verifications.value(),
                publishes: self.key_counters.publishes.value(),
                generation: self.published.load().generation(),
                rejects: self.key_counters.rejects.snapshot()
                    + self.key_counters.not_queued.snapshot(),
            },
        }
    }

    /// Where MSK messages are received, if [`GatewayBuilder::key_address`] was given: with the port
    /// that the system chose for port 0.
    #[must_use]
    pub const fn key_address(&self) -> Option<SocketAddr> {
        self.key_address
    }

    /// Leaves all groups and ends the threads. Dropping does the same.
    pub fn stop(self) {
        drop(self);
    }

    pub(super) fn launch(
        builder: &GatewayBuilder,
        callback: impl Fn(Event<'_>) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let callback = Arc::new(Callback::new(callback));
        let plane = KeyPlane::new(builder.plane);
        let published = Arc::clone(plane.published());
        let (queue, commands, give_back) = KeyQueue::new(builder.queue);
        let socket = builder.key_address.map(open_key_socket).transpose()?;
        let key_address = socket.as_ref().and_then(|socket| socket.local_addr().ok());
        let mut gateway = Self {
            lanes: Vec::new(),
            workers: builder.workers,
            callback: Arc::clone(&callback) as Arc<dyn Panics>,
            keys: Some(queue.clone()),
            key_counters: Arc::default(),
            key_address,
            published: Arc::clone(&published),
            receive: builder.receive,
            groups: BTreeMap::new(),
            next_session: 0,
            stop: Arc::default(),
            threads: Vec::new(),
        };
        let sink = LaneSink { callback: Arc::clone(&callback), keys: queue.clone() };
        let mut bells = Vec::new();
        for _ in 0..builder.lanes.get() {
            gateway.add_lane(builder, &sink, &mut bells)?;
        }
        drop(sink);
        let thread = KeyThread {
            plane,
            commands,
            give_back,
            socket: socket.clone(),
            counters: Arc::clone(&gateway.key_counters),
            bells,
            callback,
            summary: Summary::default(),
        };
        gateway.spawn("mcast-keys", move || thread.run())?;
        if let Some(socket) = socket {
            let (stop, counters) = (Arc::clone(&gateway.stop), Arc::clone(&gateway.key_counters));
            let rate = RateBySource::per_second(builder.limits.key_messages_per_second);
            let listen = move || keys::listen(&socket, &queue, &counters, rate, &stop);
            gateway.spawn("mcast-msk", listen)?;
        }
        Ok(gateway)
    }

    /// Starts the threads of a lane.
    fn add_lane<F: Fn(Event<'_>) + Send + Sync + 'static>(
        &mut self,
        builder: &GatewayBuilder,
        sink: &LaneSink<F>,
        bells: &mut Vec<Bell>,
    ) -> Result<(), Error> {
        let poller = Poller::new()
            .map_err(|e| Error::io("no poller for a lane; raise the limit of open files", e))?;
        let waker = poller.waker();
        let published = Arc::clone(&self.published);
        let runner = || Runner {
            lane: Lane::new(Arc::clone(&published), &builder.limits),
            sink: sink.clone(),
            bell: Arc::new(Doorbell::new()),
        };
        if builder.workers == 0 {
            let runner = runner();
            let wake = Wake::Poller(waker.clone());
            bells.push(Bell { armed: Arc::clone(&runner.bell), wake });
            return self.read_into(runner, poller, builder);
        }
        let mut ends = Vec::new();
        for number in 0..builder.workers {
            let runner = runner();
            let armed = Arc::clone(&runner.bell);
            let (end, worker) = worker(runner, builder.worker_queue);
            bells.push(Bell { armed, wake: Wake::Worker(end.waker()) });
            ends.push(end);
            self.spawn(&format!("mcast-worker-{number}"), move || worker.run())?;
        }
        self.read_into(Spread::new(&builder.limits, sink.clone(), ends), poller, builder)
    }

    /// Starts the thread that reads the sockets of a lane.
    fn read_into(
        &mut self,
        intake: impl Intake + Send + 'static,
        poller: Poller,
        builder: &GatewayBuilder,
    ) -> Result<(), Error> {
        let (commands, inbox) = bounded(64);
        self.lanes.push(LaneHandle { commands, waker: poller.waker(), groups: 0 });
        let thread = LaneThread {
            intake,
            poller,
            arena: Arena::new(MAX_BATCH, Arena::SLOT_LEN),
            commands: inbox,
            stop: Arc::clone(&self.stop),
            coalesce: builder.coalesce,
            sockets: Vec::new(),
        };
        self.spawn("mcast-lane", move || thread.run())
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        self.threads.push(thread.map_err(|e| Error::io("cannot start a thread", e))?);
        Ok(())
    }

    /// The lowest number that no group has: tables and lanes are indexed by it, and do not grow with
    /// every group there ever was.
    fn free_number(&self) -> GroupId {
        let gap = self.groups.keys().zip(0..).find(|(id, number)| id.0 != *number);
        let behind = || u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        GroupId(gap.map_or_else(behind, |(_, number)| number))
    }

    fn tell_keys(&self, command: keys::Command) -> Result<(), Error> {
        let queue = self.keys.as_ref().ok_or(Error::Stopped)?;
        queue.commands.send(command).map_err(|_| Error::Stopped)
    }

    fn ask_keys(
        &self,
        command: impl FnOnce(Sender<Result<(), Error>>) -> keys::Command,
    ) -> Result<(), Error> {
        let (done, answer) = bounded(1);
        self.tell_keys(command(done))?;
        answer.recv().map_err(|_| Error::Stopped)?
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for lane in self.lanes.drain(..) {
            lane.waker.wake();
        }
        // The key thread ends when the last sender, here and on the lanes, is gone.
        self.keys = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lanes, groups, .. } = self;
        write!(f, "Gateway({} lanes, {} groups)", lanes.len(), groups.len())
    }
}

/// Counters of a gateway at one moment.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct GatewayStats {
    /// Number, name and counters of each group.
    pub groups: Vec<(GroupId, String, GroupStats)>,
    /// Counters of the key thread.
    pub keys: KeyStats,
    /// How often the callback has panicked; the events it was given then are lost to it.
    pub callback_panics: u64,
    /// Threads of the gateway that have ended before it was stopped: always 0, or a fault of this
    /// library.
    pub threads_ended: usize,
}

/// Counters of the key thread at one moment.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyStats {
    /// MSK messages accepted.
    pub msk: u64,
    /// MTK messages accepted.
    pub mtk: u64,
    /// Verification messages sent.
    pub verifications: u64,
    /// Tables published.
    pub publishes: u64,
    /// Number of the table in force.
    pub generation: u64,
    /// Key messages refused, by reason.
    pub rejects: RejectStats,
}

impl fmt::Display for GatewayStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (_, name, stats) in &self.groups {
            writeln!(f, "{name}: {stats}")?;
        }
        let KeyStats { msk, mtk, verifications, generation, .. } = self.keys;
        write!(f, "keys: {msk} MSK, {mtk} MTK, {verifications} verified, table {generation}")?;
        self.keys.rejects.iter().try_for_each(|(reject, count)| write!(f, ", {count} {reject}"))?;
        match self.callback_panics {
            0 => Ok(()),
            panics => write!(f, ", the callback panicked {panics} times"),
        }
    }
}

fn open_key_socket(address: SocketAddr) -> Result<Arc<UdpSocket>, Error> {
    let failed = |error| {
        Error::io(
            format!("cannot receive MSK messages on {address}; is another program on that port?"),
            error,
        )
    };
    let socket = UdpSocket::bind(address).map_err(failed)?;
    socket.set_read_timeout(Some(keys::TICK)).map_err(failed)?;
    Ok(Arc::new(socket))
}
