//! A thread that reads sockets: arena, poller, and what becomes of the datagrams.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arrayvec::ArrayVec;
use crossbeam_channel::Receiver;
use tracing::warn;

use super::intake::{IDLE, Intake, Settled};
use crate::{
    ids::GroupId,
    net::{Arena, Poller, ReceiveSocket},
    rx::{Datagram, GroupCounters, Port, PortId},
    srtp::MAX_BATCH,
};

/// What a lane thread is asked to do.
pub(super) enum Command {
    /// Counters of the group: of this thread, then of each worker.
    Join {
        sockets: Vec<(ReceiveSocket, Port)>,
        counters: Vec<Arc<GroupCounters>>,
    },
    Leave {
        group: GroupId,
        done: Settled,
    },
}

/// State of a thread that reads sockets.
pub(super) struct LaneThread<I> {
    pub(super) intake: I,
    pub(super) poller: Poller,
    pub(super) arena: Arena,
    pub(super) commands: Receiver<Command>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) coalesce: Duration,
    pub(super) sockets: Vec<Option<LaneSocket>>,
}

/// A socket on its lane. Its position in the list is the poller's token.
pub(super) struct LaneSocket {
    socket: ReceiveSocket,
    port: PortId,
    group: GroupId,
    counters: Arc<GroupCounters>,
    /// Drops of the socket as last read; the system's counter wraps at 32 bits.
    drops: u32,
}

impl<I: Intake> LaneThread<I> {
    /// Runs until told to stop.
    pub(super) fn run(mut self) {
        let mut next_look = Instant::now() + LOOK;
        while !self.stop.load(Ordering::Relaxed) {
            for command in self.commands.clone().try_iter() {
                self.obey(command);
            }
            let patience = self.intake.patience(Instant::now());
            let busy = self.receive(patience);
            let now = Instant::now();
            self.intake.tick(now);
            if now >= next_look {
                next_look = now + LOOK;
                self.look_at_drops();
            }
            if busy && !self.coalesce.is_zero() {
                // Waking, not receiving, is what costs: let the next batch gather.
                std::thread::sleep(self.coalesce);
            }
        }
    }

    /// Waits for datagrams and treats what has come; tells whether anything had.
    fn receive(&mut self, patience: Duration) -> bool {
        let mut ready = ArrayVec::<usize, { Poller::READY_AT_ONCE }>::new();
        match self.poller.wait(Some(patience)) {
            Ok(tokens) => ready.extend(tokens.iter().copied().take(Poller::READY_AT_ONCE)),
            Err(error) => {
                warn!(%error, "poll failed");
                std::thread::sleep(IDLE);
            }
        }
        for token in &ready {
            self.drain(*token);
        }
        !ready.is_empty()
    }

    /// Takes batches from one socket until it is empty or others' turn has come.
    fn drain(&mut self, token: usize) {
        let Some(Some(LaneSocket { socket, port, .. })) = self.sockets.get(token) else { return };
        for _ in 0..BATCHES_IN_TURN {
            let count = match self.arena.receive(socket.udp()) {
                Ok(count) => count,
                Err(error) => {
                    warn!(%error, group = %socket.local(), "receive failed");
                    return;
                }
            };
            let now = Instant::now();
            let mut batch = ArrayVec::<Datagram<'_>, MAX_BATCH>::new();
            batch.extend(self.arena.datagrams().take(MAX_BATCH).map(|received| Datagram {
                port: *port,
                source: received.source,
                truncated: received.truncated,
                bytes: received.bytes,
            }));
            self.intake.take(&mut batch, now);
            if count < MAX_BATCH {
                return;
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Join { sockets, counters } => {
                for (socket, port) in sockets {
                    self.add(socket, port, &counters);
                }
            }
            Command::Leave { group, done } => {
                for place in 0..self.sockets.len() {
                    let belongs = |s: &LaneSocket| s.group == group;
                    if self.sockets[place].as_ref().is_some_and(belongs)
                        && let Some(socket) = self.sockets[place].take()
                    {
                        // Closing the socket leaves the group and the poller.
                        self.intake.remove_port(socket.port);
                    }
                }
                self.intake.settle(&done);
            }
        }
    }

    fn add(&mut self, socket: ReceiveSocket, port: Port, counters: &[Arc<GroupCounters>]) {
        let token = self.sockets.iter().position(Option::is_none).unwrap_or_else(|| {
            self.sockets.push(None);
            self.sockets.len() - 1
        });
        if let Err(error) = self.poller.add(socket.udp(), token) {
            warn!(%error, group = %socket.local(), "socket cannot be polled; nothing is received");
            return;
        }
        let (group, own) = (port.group, Arc::clone(&port.counters));
        let port = self.intake.add_port(port, counters);
        self.sockets[token] = Some(LaneSocket { socket, port, group, counters: own, drops: 0 });
    }

    /// Reads the drop counters of the sockets: a system call each, once a second.
    fn look_at_drops(&mut self) {
        for socket in self.sockets.iter_mut().flatten() {
            if let Ok(drops) = socket.socket.drops() {
                socket.counters.socket_drops.add(drops.wrapping_sub(socket.drops).into());
                socket.drops = drops;
            }
        }
    }
}

/// Batches taken from one socket before the next has its turn.
const BATCHES_IN_TURN: usize = 16;
const LOOK: Duration = Duration::from_secs(1);
