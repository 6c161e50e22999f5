//! The threads of a gateway, started.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use crossbeam_channel::bounded;
use tracing::debug;

use super::{
    builder::GatewayBuilder,
    callback::{Callback, LaneSink, Panics},
    doorbell::Doorbell,
    durable::StreamWatch,
    gateway::{Gateway, LaneHandle},
    intake::{Intake, Runner},
    keys::{self, Bell, KeyThread, Summary, Wake},
    lane::{LaneCounters, LaneThread},
    links,
    queue::KeyQueue,
    seldom::Seldom,
    sockets::SocketTable,
    spread::{Spread, worker},
};
use crate::{
    error::Error,
    keys::KeyPlane,
    net::{Arena, LinkWatch, Poller},
    rx::{Event, Lane, RateBySource},
    srtp::MAX_BATCH,
};

impl Gateway {
    /// Starts all threads, without a group yet.
    pub(super) fn launch(
        builder: &mut GatewayBuilder,
        callback: impl Fn(Event<'_>) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let callback = Arc::new(Callback::new(callback));
        let mut plane = KeyPlane::new(builder.plane);
        let durable = builder.restore(&mut plane)?;
        let published = Arc::clone(plane.published());
        let (queue, commands, give_back) = KeyQueue::new(builder.queue);
        let socket = builder.key_address.map(keys::open_socket).transpose()?;
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
            sockets: Arc::new(Mutex::new(SocketTable::new(key_address))),
            link_counters: Arc::default(),
            link_waker: None,
            next_session: 0,
            stop: Arc::default(),
            threads: Vec::new(),
        };
        let limit = builder.limits.streams.streams;
        let streams = StreamWatch::new(builder.streams_every, limit, queue.commands.clone());
        // The last of the queue's senders here, and gone before the gateway is: where a thread cannot be
        // started, the gateway waits for the others to end, and the key thread ends with its queue.
        let sink = LaneSink { callback: Arc::clone(&callback), keys: queue, streams };
        let mut bells = Vec::new();
        for _ in 0..builder.lanes.get() {
            gateway.add_lane(builder, &sink, &mut bells)?;
        }
        let thread = KeyThread {
            plane,
            commands,
            give_back,
            socket: socket.clone(),
            counters: Arc::clone(&gateway.key_counters),
            bells,
            callback,
            summary: Summary::default(),
            durable,
        };
        gateway.spawn("mcast-keys", move || thread.run())?;
        if let Some(socket) = socket {
            let (stop, counters) = (Arc::clone(&gateway.stop), Arc::clone(&gateway.key_counters));
            let rate = RateBySource::per_second(builder.limits.key_messages_per_second);
            let queue = sink.keys.clone();
            let listen = move || keys::listen(&socket, &queue, &counters, rate, &stop);
            gateway.spawn("mcast-msk", listen)?;
        }
        gateway.follow_links()?;
        Ok(gateway)
    }

    /// Starts the thread that follows network interfaces, where the system tells about them.
    fn follow_links(&mut self) -> Result<(), Error> {
        let mut watch = match LinkWatch::open() {
            Ok(watch) => watch,
            Err(error) => {
                let what = "an interface that is deleted and made again will not be noticed";
                debug!(%error, "{what}");
                return Ok(());
            }
        };
        self.link_waker = Some(watch.waker());
        let (sockets, counters) = (Arc::clone(&self.sockets), Arc::clone(&self.link_counters));
        let stop = Arc::clone(&self.stop);
        self.spawn("mcast-links", move || links::follow(&mut watch, &sockets, &counters, &stop))
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
        let published = Arc::clone(&self.published);
        let runner = || Runner {
            lane: Lane::new(Arc::clone(&published), &builder.limits),
            sink: sink.clone(),
            bell: Arc::new(Doorbell::new()),
        };
        if builder.workers == 0 {
            let runner = runner();
            let (armed, wake) = (Arc::clone(&runner.bell), Wake::Poller(poller.waker()));
            bells.push(Bell { armed, wake });
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
        let counters = Arc::<LaneCounters>::default();
        let (waker, shown) = (poller.waker(), Arc::clone(&counters));
        self.lanes.push(LaneHandle { commands, waker, groups: 0, counters: shown });
        let thread = LaneThread {
            intake,
            poller,
            arena: Arena::new(MAX_BATCH, Arena::SLOT_LEN),
            merged: None,
            counters,
            failing: Seldom::default(),
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
}
