//! One lane and one key plane without threads: the whole receive path as a function of bytes and time.

use std::{sync::Arc, time::Instant};

use super::{
    counters::{GroupCounters, GroupStats},
    event::{Event, KeyMessage, Sink},
    lane::{BatchReport, Datagram, Lane},
    limits::Limits,
    port::{Port, PortId},
};
use crate::{
    error::{Error, Reject},
    group::{GroupSpec, SocketSpec},
    ids::GroupId,
    keys::{KeyEvent, KeyPlane, Muk, MukId, PlaneLimits},
    srtp::SessionId,
};

/// The receive path without I/O: for tests, for tools, and for programs with sockets of their own.
///
/// ```
/// use mcast_srtp::{
///     group::{GroupSpec, Interface, MediaSpec},
///     rx::{Event, Receiver},
/// };
///
/// let mut receiver = Receiver::default();
/// let group = GroupSpec::new("Group 17", Interface::Any)
///     .with_media(MediaSpec::rtp("239.1.2.3".parse()?, 5004));
/// let ports = receiver.add_group(&group)?;
/// for (socket, port) in ports.sockets {
///     // Open `socket`, and hand what it receives to `run_batch` under `port`.
///     println!("{}:{} is {port:?}", socket.group, socket.port);
/// }
/// let report = receiver.run_batch(&mut [], std::time::Instant::now(), &mut |event: Event<'_>| {
///     println!("{event:?}");
/// });
/// assert_eq!(report.accepted, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Receiver {
    plane: KeyPlane,
    lane: Lane,
    groups: Vec<Arc<GroupCounters>>,
    /// The group of each session.
    sessions: Vec<GroupId>,
}

/// A group added to a receiver: its number, and the port number of each of its sockets.
#[derive(Clone, Debug)]
pub struct GroupPorts {
    /// The group's number.
    pub group: GroupId,
    /// What to open, and the number to hand its datagrams over under.
    pub sockets: Vec<(SocketSpec, PortId)>,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new(&Limits::default(), PlaneLimits::default())
    }
}

impl Receiver {
    /// A receiver without groups and keys.
    #[must_use]
    pub fn new(limits: &Limits, plane: PlaneLimits) -> Self {
        let plane = KeyPlane::new(plane);
        let lane = Lane::new(Arc::clone(plane.published()), limits);
        Self { plane, lane, groups: Vec::new(), sessions: Vec::new() }
    }

    /// Adds a client key.
    ///
    /// # Errors
    /// As [`KeyPlane::insert_muk`].
    pub fn insert_muk(&mut self, id: MukId, muk: Muk) -> Result<(), Error> {
        self.plane.insert_muk(id, muk)
    }

    /// Adds a group. Key messages of its description are for [`Self::announce`].
    ///
    /// # Errors
    /// As [`GroupSpec::sockets`].
    pub fn add_group(&mut self, spec: &GroupSpec) -> Result<GroupPorts, Error> {
        let sockets = spec.sockets()?;
        let number = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        let group = GroupId(number);
        let counters = Arc::new(GroupCounters::default());
        self.groups.push(Arc::clone(&counters));
        self.plane.add_group(group, spec.key_domain);
        self.plane.locate_group(group, spec.place().as_bytes());
        self.plane.describe(group, spec.rcc());
        self.plane.publish();
        let lane = &mut self.lane;
        let sockets = sockets
            .into_iter()
            .map(|socket| {
                let session = SessionId(u32::try_from(self.sessions.len()).unwrap_or(u32::MAX));
                self.sessions.push(group);
                let types = payload_types(spec, &socket);
                let counters = Arc::clone(&counters);
                let port = Port::new(group, session, socket.carries, &types, counters);
                (socket, lane.add_port(port))
            })
            .collect();
        Ok(GroupPorts { group, sockets })
    }

    /// Takes a MIKEY message that came with a group's description.
    ///
    /// # Errors
    /// As [`KeyPlane::announce`].
    pub fn announce(
        &mut self,
        group: GroupId,
        message: &[u8],
        now: Instant,
    ) -> Result<Option<KeyEvent>, Reject> {
        let outcome = self.plane.announce(group, message, now);
        self.plane.publish();
        outcome
    }

    /// Takes a key message that came to this client alone, over UDP.
    ///
    /// # Errors
    /// The verdict of the message.
    pub fn key_message(&mut self, message: &[u8], now: Instant) -> Result<KeyEvent, Reject> {
        let outcome = self.plane.receive(None, message, now);
        self.plane.publish();
        outcome
    }

    /// Treats a batch of datagrams: MIKEY messages in it are opened in place, before its packets.
    pub fn run_batch(
        &mut self,
        batch: &mut [Datagram<'_>],
        now: Instant,
        sink: &mut impl FnMut(Event<'_>),
    ) -> BatchReport {
        self.lane.run_batch(batch, now, &mut InPlace { plane: &mut self.plane, sink, now })
    }

    /// What has to happen without traffic, a few times a second: keys retire, held packets expire.
    pub fn tick(&mut self, now: Instant, sink: &mut impl FnMut(Event<'_>)) -> BatchReport {
        self.plane.tick(now);
        self.plane.publish();
        self.lane.tick(now, &mut InPlace { plane: &mut self.plane, sink, now })
    }

    /// Tells the key plane where the streams are, for its records: once every few seconds, and before
    /// the last of them are taken.
    pub fn note_streams(&mut self) {
        let group = |session: SessionId| self.sessions.get(session.0 as usize).copied();
        let streams = self
            .lane
            .newest()
            .filter_map(|(session, ssrc, index)| group(session).map(|group| (group, ssrc, index)));
        self.plane.note_streams(streams);
    }

    /// Counters of a group.
    #[must_use]
    pub fn stats(&self, group: GroupId) -> Option<GroupStats> {
        self.groups.get(group.0 as usize).map(|counters| counters.snapshot())
    }

    /// The key plane, to look at what is held.
    #[must_use]
    pub const fn plane(&self) -> &KeyPlane {
        &self.plane
    }

    /// The key plane, to give it keys by hand; call [`KeyPlane::publish`] afterwards.
    pub const fn plane_mut(&mut self) -> &mut KeyPlane {
        &mut self.plane
    }

    /// The lane, to look at what is held back.
    #[must_use]
    pub const fn lane(&self) -> &Lane {
        &self.lane
    }
}

/// Payload types that the media sharing a socket list; none if one of them lists none.
pub(crate) fn payload_types(spec: &GroupSpec, socket: &SocketSpec) -> Vec<u8> {
    let lists = || socket.media.iter().filter_map(|place| spec.media.get(*place));
    if lists().any(|media| media.payload_types.is_empty()) {
        return Vec::new();
    }
    lists().flat_map(|media| media.payload_types.iter().copied()).collect()
}

/// The sink of a lane whose key plane is at hand.
struct InPlace<'a, F> {
    plane: &'a mut KeyPlane,
    sink: &'a mut F,
    now: Instant,
}

impl<F: FnMut(Event<'_>)> Sink for InPlace<'_, F> {
    fn event(&mut self, event: Event<'_>) {
        (self.sink)(event);
    }

    fn key_message(&mut self, message: KeyMessage<'_>) -> Result<(), Reject> {
        let outcome = self.plane.receive(Some(message.group), message.bytes, self.now);
        self.plane.publish();
        outcome.map(|event| (self.sink)(Event::Key(&event)))
    }
}
