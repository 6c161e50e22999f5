//! What a gateway is started with.

use std::{net::SocketAddr, num::NonZeroUsize, time::Duration};

use super::{durable::Durable, gateway::Gateway};
use crate::{
    error::Error,
    group::GroupSpec,
    keys::{KeyPlane, Muk, MukId, PlaneLimits},
    net::ReceiveOptions,
    rx::{Event, Limits},
};

/// Settings of a [`Gateway`]; every one has a default.
#[derive(Debug)]
pub struct GatewayBuilder {
    pub(super) lanes: NonZeroUsize,
    pub(super) workers: usize,
    pub(super) worker_queue: usize,
    pub(super) limits: Limits,
    pub(super) plane: PlaneLimits,
    pub(super) receive: ReceiveOptions,
    pub(super) coalesce: Duration,
    pub(super) queue: usize,
    pub(super) key_address: Option<SocketAddr>,
    /// How often lanes tell where their streams are.
    pub(super) streams_every: Option<Duration>,
    #[cfg(feature = "state")]
    state: Option<crate::state::StateOptions>,
    muks: Vec<(MukId, Muk)>,
    groups: Vec<GroupSpec>,
}

impl Default for GatewayBuilder {
    fn default() -> Self {
        Self {
            lanes: NonZeroUsize::MIN,
            workers: 0,
            worker_queue: 64,
            limits: Limits::default(),
            plane: PlaneLimits::default(),
            receive: ReceiveOptions::default(),
            coalesce: Duration::from_millis(1),
            queue: 256,
            key_address: None,
            streams_every: None,
            #[cfg(feature = "state")]
            state: None,
            muks: Vec::new(),
            groups: Vec::new(),
        }
    }
}

impl GatewayBuilder {
    /// Lane threads; groups are spread over them. Default 1; 0 counts as 1.
    #[must_use]
    pub fn lanes(mut self, lanes: usize) -> Self {
        self.lanes = NonZeroUsize::new(lanes).unwrap_or(NonZeroUsize::MIN);
        self
    }

    /// Worker threads behind each lane thread, for groups that one core cannot keep up with: the lane
    /// thread only receives, and hands each packet to the worker of its SSRC. A stream stays on one
    /// worker, and its packets stay in order; limits of a lane count for each worker. Default 0: the
    /// lane thread does it all, which costs less as long as it keeps up.
    #[must_use]
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Batches of up to 64 packets that may be on their way to each worker. Default 64; counter
    /// `worker_queue_full`.
    #[must_use]
    pub const fn worker_queue(mut self, batches: usize) -> Self {
        self.worker_queue = batches;
        self
    }

    /// A client key; more than one for a process that stands for several clients.
    #[must_use]
    pub fn muk(mut self, id: MukId, muk: Muk) -> Self {
        self.muks.push((id, muk));
        self
    }

    /// A group to join at start; more with [`Gateway::join`].
    #[must_use]
    pub fn group(mut self, spec: GroupSpec) -> Self {
        self.groups.push(spec);
        self
    }

    /// Bounds of each lane, or of each worker behind it.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Bounds of the key plane.
    #[must_use]
    pub const fn plane_limits(mut self, limits: PlaneLimits) -> Self {
        self.plane = limits;
        self
    }

    /// Options of the multicast sockets; [`Gateway::join_with`] has others for one group.
    #[must_use]
    pub const fn receive_options(mut self, options: ReceiveOptions) -> Self {
        self.receive = options;
        self
    }

    /// How long a lane sleeps after a batch so that the next one gathers. Default 1 ms; zero for the
    /// lowest latency at many times the processor time (a wake-up costs more than a packet).
    #[must_use]
    pub const fn coalesce(mut self, time: Duration) -> Self {
        self.coalesce = time;
        self
    }

    /// Key messages that may wait for the key thread. Default 256; counter `mikey_queue_full`.
    #[must_use]
    pub const fn key_queue(mut self, messages: usize) -> Self {
        self.queue = messages;
        self
    }

    /// Listens for MSK messages over unicast UDP, by custom on port 2269, and answers there with
    /// verification messages. Default: MSK messages come with the group descriptions only.
    #[must_use]
    pub const fn key_address(mut self, address: SocketAddr) -> Self {
        self.key_address = Some(address);
        self
    }

    /// Keeps what the gateway knows in a file, so that it goes on after a crash or a restart: MSKs and
    /// traffic keys, counters, key groups of the talk groups, places of the streams. A key message has no
    /// effect before it is written; while it cannot be, none is accepted (`state_failed`). Default:
    /// all is forgotten at the end.
    #[cfg(feature = "state")]
    #[must_use]
    pub fn state(mut self, options: crate::state::StateOptions) -> Self {
        self.streams_every = Some(options.streams_interval());
        self.state = Some(options);
        self
    }

    /// Opens the state, if there is one, and gives the plane what it knew.
    #[cfg(feature = "state")]
    pub(super) fn restore(&mut self, plane: &mut KeyPlane) -> Result<Durable, Error> {
        let Some(options) = self.state.take() else { return Ok(Durable::default()) };
        let state = crate::state::ReceiverState::open(options)?;
        state.restore(plane)?;
        Ok(Durable::in_state(state))
    }

    #[cfg(not(feature = "state"))]
    #[expect(clippy::unnecessary_wraps, reason = "with the feature state it can fail")]
    pub(super) fn restore(&mut self, _: &mut KeyPlane) -> Result<Durable, Error> {
        Ok(Durable::default())
    }

    /// Starts the threads and joins the groups. `callback` runs on the lane threads (key events: on
    /// the key thread) and must not block; above all it must not wait for a thread that is inside
    /// [`Gateway::join`] or [`Gateway::leave`], which wait for it. If it panics, the event it was given is lost to it, the
    /// panic is counted ([`GatewayStats::callback_panics`](super::GatewayStats::callback_panics)), and
    /// the thread goes on.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Io`] with what to do, for the state, or the first client key, socket
    /// or group that cannot be set up. Nothing keeps running then.
    pub fn start(
        self,
        callback: impl Fn(Event<'_>) + Send + Sync + 'static,
    ) -> Result<Gateway, Error> {
        let mut builder = self;
        let (muks, groups) =
            (std::mem::take(&mut builder.muks), std::mem::take(&mut builder.groups));
        let mut gateway = Gateway::launch(&mut builder, callback)?;
        for (id, muk) in muks {
            gateway.insert_muk(id, muk)?;
        }
        for spec in groups {
            gateway.join(spec)?;
        }
        Ok(gateway)
    }
}
