//! A thread that reads sockets: arena, poller, and what becomes of the datagrams.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arrayvec::ArrayVec;
use crossbeam_channel::{Receiver, Sender};
use tracing::warn;

use super::{
    intake::{IDLE, Intake, Settled},
    routes::Routes,
    seldom::Seldom,
};
use crate::{
    counter::Counter,
    error::Error,
    ids::GroupId,
    net::{Arena, Poller, Reader},
    rx::{Datagram, GroupCounters, Port},
    srtp::MAX_BATCH,
};

/// What a lane thread is asked to do.
pub(super) enum Command {
    /// Receives for a group, or for nothing of it if the answer is an error. Counters of the group: of
    /// this thread, then of each worker.
    Join {
        ports: Vec<NewPort>,
        counters: Vec<Arc<GroupCounters>>,
        done: Sender<Result<(), Error>>,
    },
    Leave {
        group: GroupId,
        done: Settled,
    },
}

/// A port to be received for, and where.
pub(super) struct NewPort {
    pub(super) reader: Reader,
    pub(super) address: IpAddr,
    pub(super) port: Port,
}

/// Counters of a lane's sockets.
#[derive(Debug, Default)]
pub(super) struct LaneCounters {
    pub(super) drops: Counter,
    pub(super) unknown_destination: Counter,
    pub(super) receive_errors: Counter,
}

/// State of a thread that reads sockets.
pub(super) struct LaneThread<I> {
    pub(super) intake: I,
    pub(super) poller: Poller,
    pub(super) arena: Arena,
    /// For sockets that merge datagrams; made with the first of them.
    pub(super) merged: Option<Arena>,
    pub(super) counters: Arc<LaneCounters>,
    pub(super) failing: Seldom,
    pub(super) commands: Receiver<Command>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) coalesce: Duration,
    pub(super) sockets: Vec<Option<LaneSocket>>,
}

/// A socket on its lane. Its position in the list is the poller's token.
pub(super) struct LaneSocket {
    reader: Reader,
    routes: Routes,
    /// Key messages alone come there.
    is_keys: bool,
    /// Drops of the socket as last heard of; the system's counter wraps at 32 bits.
    drops: u32,
    /// Reads so far, and the datagrams that they gave: as many, unless some were merged.
    read: (u64, u64),
}

impl LaneSocket {
    /// Counts the drops since last time, in datagrams: of merged ones the system counts one a run, so
    /// that the runs dropped are taken to be as long as those received. An older number than the last,
    /// which datagrams that have waited for long still carry, counts for nothing.
    fn note_drops(&mut self, drops: u32, counters: &LaneCounters) {
        let new = drops.wrapping_sub(self.drops);
        if new != 0 && new < u32::MAX / 2 {
            self.drops = drops;
            let (reads, datagrams) = self.read;
            let in_datagrams =
                u128::from(datagrams.max(1)) * u128::from(new) / u128::from(reads.max(1));
            let new = u64::try_from(in_datagrams).unwrap_or(u64::MAX);
            counters.drops.add(new);
            self.routes.count_drops(new);
        }
    }
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
                self.note_failure(&error, "waiting for datagrams");
                std::thread::sleep(IDLE);
            }
        }
        keys_first(&mut ready, |token| {
            self.sockets.get(token).and_then(Option::as_ref).is_some_and(|socket| socket.is_keys)
        });
        ready.iter().for_each(|token| self.drain(*token));
        !ready.is_empty()
    }

    /// Takes batches from one socket until it is empty or others' turn has come.
    fn drain(&mut self, token: usize) {
        let Some(Some(socket)) = self.sockets.get_mut(token) else { return };
        let arena = match &mut self.merged {
            Some(merged) if socket.reader.merges() => merged,
            _ => &mut self.arena,
        };
        for _ in 0..BATCHES_IN_TURN {
            let count = match arena.receive_from(&socket.reader) {
                Ok(count) => count,
                Err(error) => return self.note_failure(&error, "receiving"),
            };
            let now = Instant::now();
            let (mut datagrams, mut unknown, mut drops, mut near) = (0, 0, None, 0);
            let mut batch = ArrayVec::<Datagram<'_>, MAX_BATCH>::new();
            for received in arena.datagrams() {
                datagrams += 1;
                drops = received.drops.or(drops);
                let Some(port) = socket.routes.find(received.destination, &mut near) else {
                    unknown += 1;
                    continue;
                };
                let (source, truncated) = (received.source, received.truncated);
                batch.push(Datagram { port, source, truncated, bytes: received.bytes });
                if batch.is_full() {
                    self.intake.take(&mut batch, now);
                    batch.clear();
                }
            }
            self.intake.take(&mut batch, now);
            drop(batch);
            socket.read.0 += count as u64; // at most 1024
            socket.read.1 += datagrams;
            self.counters.unknown_destination.add(unknown);
            if let Some(drops) = drops {
                socket.note_drops(drops, &self.counters);
            }
            if count < arena.slots() {
                return;
            }
        }
    }

    /// Counts a failed call, and warns once a minute.
    fn note_failure(&mut self, error: &io::Error, what: &str) {
        self.counters.receive_errors.add(1);
        if let Some(times) = self.failing.note(Instant::now()) {
            warn!(%error, times, "{what} failed");
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Join { ports, counters, done } => {
                let group = ports.first().map(|new| new.port.group);
                let added = ports.into_iter().try_for_each(|new| self.add(new, &counters));
                if let (Err(_), Some(group)) = (&added, group) {
                    self.remove(group);
                }
                let _ = done.send(added);
            }
            Command::Leave { group, done } => {
                self.remove(group);
                self.intake.settle(&done);
            }
        }
    }

    fn add(&mut self, new: NewPort, counters: &[Arc<GroupCounters>]) -> Result<(), Error> {
        let NewPort { reader, address, port } = new;
        let (group, own) = (port.group, Arc::clone(&port.counters));
        let known = |socket: &&mut LaneSocket| socket.reader.is(&reader);
        if let Some(socket) = self.sockets.iter_mut().flatten().find(known) {
            socket.is_keys &= port.carries.is_keys_alone();
            let port = self.intake.add_port(port, counters);
            socket.routes.add(address, port, group, own);
            return Ok(());
        }
        let token = self.sockets.iter().position(Option::is_none).unwrap_or_else(|| {
            self.sockets.push(None);
            self.sockets.len() - 1
        });
        self.poller.add(reader.udp(), token).map_err(|error| {
            let what = "a lane cannot wait for one socket more (raise fs.epoll.max_user_watches)";
            Error::io(what, error)
        })?;
        if reader.merges() {
            self.merged.get_or_insert_with(Arena::for_merged);
        }
        let (mut routes, is_keys) = (Routes::new(reader.is_shared()), port.carries.is_keys_alone());
        routes.add(address, self.intake.add_port(port, counters), group, own);
        self.sockets[token] = Some(LaneSocket { reader, routes, is_keys, drops: 0, read: (0, 0) });
        Ok(())
    }

    fn remove(&mut self, group: GroupId) {
        for place in &mut self.sockets {
            let Some(socket) = place else { continue };
            socket.routes.remove(group, |port| self.intake.remove_port(port));
            if socket.routes.is_empty() {
                // Others may hold the socket for a moment longer.
                let _closed = self.poller.remove(socket.reader.udp());
                *place = None;
            }
        }
    }

    /// Reads the drop counters of the sockets: a system call each, once a second.
    fn look_at_drops(&mut self) {
        for socket in self.sockets.iter_mut().flatten() {
            if let Ok(drops) = socket.reader.drops() {
                socket.note_drops(drops, &self.counters);
            }
        }
    }
}

/// After a stall much waits: keys that wait with it come before the media that need them. Allocates
/// nothing.
fn keys_first(ready: &mut [usize], is_keys: impl Fn(usize) -> bool) {
    ready.sort_unstable_by_key(|token| !is_keys(*token));
}

/// Batches taken from one socket before the next has its turn.
const BATCHES_IN_TURN: usize = 16;
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{
        group::Interface,
        net::{ReceiveOptions, ReceiveSocket},
        rx::PortId,
    };

    #[test]
    fn sockets_of_keys_have_their_turn_before_media() {
        let mut ready = [4, 1, 3, 0, 2];
        keys_first(&mut ready, |token| token == 3 || token == 2);
        ready[..2].sort_unstable();
        ready[2..].sort_unstable();
        assert_eq!(ready, [2, 3, 0, 1, 4]);
    }

    #[test]
    fn drops_add_up_over_a_wrap_and_old_news_of_them_count_for_nothing() {
        let group = SocketAddr::from(([239, 255, 75, 1], 0));
        let (lo, options) = (Interface::name("lo"), ReceiveOptions::default());
        let socket = ReceiveSocket::bind(group.ip(), group.port(), &lo, &options).unwrap();
        let (reader, counters) = (socket.reader(), LaneCounters::default());
        let mut routes = Routes::new(false);
        let of_group = Arc::<GroupCounters>::default();
        routes.add(group.ip(), PortId(0), GroupId(0), Arc::clone(&of_group));
        let mut socket = LaneSocket { reader, routes, is_keys: false, drops: 0, read: (10, 10) };
        let mut note = |drops| {
            socket.note_drops(drops, &counters);
            counters.drops.value()
        };
        assert_eq!([3, 3, 2, 5].map(&mut note), [3, 3, 3, 5]);
        socket.drops = u32::MAX - 1;
        socket.note_drops(u32::MAX, &counters);
        socket.note_drops(2, &counters);
        assert_eq!(counters.drops.value(), 5 + 1 + 3);
        // Runs of four.
        socket.read = (100, 400);
        socket.note_drops(4, &counters);
        assert_eq!(counters.drops.value(), 9 + 8);
        assert_eq!(of_group.socket_drops.value(), 17);
    }
}
