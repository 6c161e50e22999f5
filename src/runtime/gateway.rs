//! The running gateway: start, join, leave, counters, stop.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    ops::Add,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Sender, bounded};

use super::{
    builder::GatewayBuilder,
    callback::Panics,
    keys::KeyCounters,
    lane::{Command, LaneCounters, NewPort},
    links::LinkCounters,
    queue::{self, KeyQueue, NewGroup},
    sockets::SocketTable,
    stats::{GatewayStats, KeyStats, SocketStats},
};
use crate::{
    error::Error,
    group::GroupSpec,
    ids::{GroupId, Mki},
    keys::{Muk, MukId, PublishedKeys},
    net::{ReceiveOptions, Waker},
    rx::{GroupCounters, GroupStats, Port, payload_types},
    srtp::{Profile, SessionId, TrafficKey},
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
    pub(super) lanes: Vec<LaneHandle>,
    /// Workers behind each lane.
    pub(super) workers: usize,
    pub(super) callback: Arc<dyn Panics>,
    pub(super) keys: Option<KeyQueue>,
    pub(super) key_counters: Arc<KeyCounters>,
    pub(super) key_address: Option<SocketAddr>,
    pub(super) published: Arc<PublishedKeys>,
    pub(super) receive: ReceiveOptions,
    pub(super) groups: BTreeMap<GroupId, JoinedGroup>,
    pub(super) sockets: Arc<Mutex<SocketTable>>,
    pub(super) link_counters: Arc<LinkCounters>,
    pub(super) link_waker: Option<Waker>,
    pub(super) next_session: u32,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) threads: Vec<JoinHandle<()>>,
}

pub(super) struct LaneHandle {
    pub(super) commands: Sender<Command>,
    pub(super) waker: Waker,
    pub(super) groups: usize,
    pub(super) counters: Arc<LaneCounters>,
}

pub(super) struct JoinedGroup {
    name: String,
    lane: usize,
    /// Of the lane's thread, then of each worker.
    counters: Vec<Arc<GroupCounters>>,
}

impl Gateway {
    /// How long a retired key stays in memory at the most, whether packets come or not; the coalescing
    /// time and the longest run of the callback come on top.
    pub const KEYS_ERASED_WITHIN: Duration = Duration::from_millis(500);

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
        let options = self.receive;
        self.join_with(spec, &options)
    }

    /// The same with other options of its sockets than [`GatewayBuilder::receive_options`].
    ///
    /// # Errors
    /// As [`Gateway::join`].
    pub fn join_with(
        &mut self,
        spec: GroupSpec,
        options: &ReceiveOptions,
    ) -> Result<GroupId, Error> {
        let group = self.free_number();
        let least_busy = self.lanes.iter().enumerate().min_by_key(|(_, lane)| lane.groups);
        let lane = least_busy.map(|(place, _)| place).ok_or(Error::Stopped)?;
        let counters: Vec<_> =
            (0..=self.workers).map(|_| Arc::<GroupCounters>::default()).collect();
        let joined = self.enter(lane, group, &spec, options, &counters);
        if let Err(error) = joined {
            self.sockets().leave(group);
            self.tell_keys(queue::Command::RemoveGroup { group })?;
            return Err(error);
        }
        self.lanes[lane].groups += 1;
        self.groups.insert(group, JoinedGroup { name: spec.name, lane, counters });
        Ok(group)
    }

    /// Opens the sockets of a group, its key messages, and its ports on the lane.
    fn enter(
        &mut self,
        lane: usize,
        group: GroupId,
        spec: &GroupSpec,
        options: &ReceiveOptions,
        counters: &[Arc<GroupCounters>],
    ) -> Result<(), Error> {
        let mut ports = Vec::new();
        for socket in spec.sockets()? {
            let reader = self.sockets().join(lane, group, &socket, &spec.interface, options)?;
            let session = SessionId(self.next_session);
            self.next_session += 1;
            let types = payload_types(spec, &socket);
            let port = Port::new(group, session, socket.carries, &types, Arc::clone(&counters[0]));
            ports.push(NewPort { reader, address: socket.group, port });
        }
        let sessions = ports.iter().map(|new| new.port.session).collect();
        let (domain, rcc, place) = (spec.key_domain, spec.rcc(), spec.place());
        let new = NewGroup { group, domain, rcc, place, sessions };
        self.ask_keys(|done| queue::Command::AddGroup { group: new, done })?;
        for message in spec.key_messages.iter().cloned() {
            self.ask_keys(|done| queue::Command::Announce { group, message, done })?;
        }
        let (done, answer) = bounded(1);
        let handle = &self.lanes[lane];
        let join = Command::Join { ports, counters: counters.to_vec(), done };
        handle.commands.send(join).map_err(|_| Error::Stopped)?;
        handle.waker.wake();
        answer.recv().map_err(|_| Error::Stopped)?
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
        self.sockets().leave(group);
        self.tell_keys(queue::Command::RemoveGroup { group })
    }

    /// Adds a client key while running.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a limit is reached.
    pub fn insert_muk(&self, id: MukId, muk: Muk) -> Result<(), Error> {
        self.ask_keys(|done| queue::Command::InsertMuk { id, muk, done })
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
        self.ask_keys(|done| queue::Command::InsertFixed { group, key, done })
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
            sockets: self.socket_stats(),
            keys: KeyStats {
                msk: self.key_counters.msk.value(),
                mtk: self.key_counters.mtk.value(),
                verifications: self.key_counters.verifications.value(),
                publishes: self.key_counters.publishes.value(),
                commits: self.key_counters.commits.value(),
                commits_failed: self.key_counters.commits_failed.value(),
                generation: self.published.load().generation(),
                rejects: self.key_counters.rejects.snapshot()
                    + self.key_counters.not_queued.snapshot(),
            },
        }
    }

    fn socket_stats(&self) -> SocketStats {
        let (open, shared) = self.sockets().count();
        let lanes = || self.lanes.iter().map(|lane| &lane.counters);
        SocketStats {
            open,
            shared,
            drops: lanes().map(|lane| lane.drops.value()).sum(),
            unknown_destination: lanes().map(|lane| lane.unknown_destination.value()).sum(),
            receive_errors: lanes().map(|lane| lane.receive_errors.value()).sum(),
            interfaces_lost: self.link_counters.lost.value(),
            rejoined: self.link_counters.rejoined.value(),
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

    /// The lowest number that no group has: tables and lanes are indexed by it, and do not grow with
    /// every group there ever was.
    fn free_number(&self) -> GroupId {
        let gap = self.groups.keys().zip(0..).find(|(id, number)| id.0 != *number);
        let behind = || u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        GroupId(gap.map_or_else(behind, |(_, number)| number))
    }

    fn sockets(&self) -> MutexGuard<'_, SocketTable> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_keys(&self, command: queue::Command) -> Result<(), Error> {
        let queue = self.keys.as_ref().ok_or(Error::Stopped)?;
        queue.commands.send(command).map_err(|_| Error::Stopped)
    }

    fn ask_keys(
        &self,
        command: impl FnOnce(Sender<Result<(), Error>>) -> queue::Command,
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
        self.link_waker.iter().for_each(Waker::wake);
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
