//! The key thread: one key plane, a queue of commands, and the socket of MSK messages.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tracing::{debug, info, warn};

use super::{
    callback::Callback,
    doorbell::Doorbell,
    durable::{Durable, Pending},
    gateway::Gateway,
    queue::{Buffer, Command, KeyQueue, MAX_KEY_MESSAGE, NewGroup},
    spread::Work,
};
use crate::{
    counter::{Counter, RejectCounters},
    error::{Error, Reject},
    ids::GroupId,
    keys::{KeyEvent, KeyPlane},
    net::{Waker, bind_unicast},
    rx::{Event, RateBySource},
};

/// Counters of the key thread.
#[derive(Debug, Default)]
pub(super) struct KeyCounters {
    pub(super) msk: Counter,
    pub(super) mtk: Counter,
    pub(super) verifications: Counter,
    pub(super) publishes: Counter,
    pub(super) commits: Counter,
    pub(super) commits_failed: Counter,
    pub(super) rejects: RejectCounters,
    /// Of the thread that reads MSK messages from their socket.
    pub(super) not_queued: RejectCounters,
}

/// A lane, as the key thread knows it.
pub(super) struct Bell {
    pub(super) armed: Arc<Doorbell>,
    pub(super) wake: Wake,
}

/// How a lane's sleep is ended.
pub(super) enum Wake {
    Poller(Waker),
    Worker(Sender<Work>),
}

impl Bell {
    /// Wakes the lane if it waits for a table.
    fn ring(&self) {
        if !self.armed.ring() {
            return;
        }
        match &self.wake {
            Wake::Poller(waker) => waker.wake(),
            // One whose queue is full is awake.
            Wake::Worker(queue) => drop(queue.try_send(Work::Wake)),
        }
    }
}

/// State of the key thread.
pub(super) struct KeyThread<F> {
    pub(super) plane: KeyPlane,
    pub(super) commands: Receiver<Command>,
    pub(super) give_back: Sender<Buffer>,
    pub(super) socket: Option<Arc<UdpSocket>>,
    pub(super) counters: Arc<KeyCounters>,
    pub(super) bells: Vec<Bell>,
    pub(super) callback: Arc<Callback<F>>,
    pub(super) summary: Summary,
    pub(super) durable: Durable,
}

impl<F: Fn(Event<'_>)> KeyThread<F> {
    /// Runs until every sender of commands is gone.
    pub(super) fn run(mut self) {
        let mut next_tick = Instant::now() + TICK;
        loop {
            let wait = next_tick.saturating_duration_since(Instant::now());
            match self.commands.recv_timeout(wait) {
                Ok(command) => {
                    self.obey(command);
                    // One table for all that is waiting already.
                    for command in self.commands.clone().try_iter().take(PER_TABLE) {
                        self.obey(command);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.settle();
                    self.summary.write();
                    return;
                }
            }
            let now = Instant::now();
            let ticks = now >= next_tick;
            if ticks {
                next_tick = now + TICK;
                self.plane.tick(now);
                self.summary.log(now);
            }
            // A disk that is full is not asked again with every message.
            if ticks || !self.durable.is_failing() {
                self.settle();
            }
        }
    }

    /// Lets the effects of what has been accepted be seen, once it will survive a crash.
    fn settle(&mut self) {
        match self.durable.commit(&mut self.plane) {
            Ok((written, settled)) => {
                self.counters.commits.add(written.into());
                settled.into_iter().for_each(|pending| self.conclude(pending));
                if self.plane.publish() {
                    self.note_publish();
                }
            }
            Err(error) => {
                self.counters.commits_failed.add(1);
                self.summary.note_state(&error);
            }
        }
    }

    fn note_publish(&self) {
        self.counters.publishes.add(1);
        // Lanes may hold packets back for just these keys.
        self.bells.iter().for_each(Bell::ring);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Message { group, octets, len, source } => {
                let message = octets.get(..len).unwrap_or_default();
                match self.allow().and_then(|()| self.plane.receive(group, message, Instant::now()))
                {
                    Ok(event) => {
                        let from = Some((group, source));
                        self.durable.wait(Pending { event: Some(event), from, done: None });
                    }
                    Err(reject) => {
                        self.counters.rejects.add(reject);
                        if reject != Reject::KeyRepeated {
                            self.summary.note(group, reject, source);
                        }
                    }
                }
                let _ = self.give_back.try_send(octets);
            }
            Command::InsertMuk { id, muk, done } => {
                let _ = done.send(self.plane.insert_muk(id, muk));
            }
            Command::AddGroup { group: new, done } => {
                let NewGroup { group, domain, rcc, place, sessions } = new;
                self.plane.add_group(group, domain);
                self.plane.describe(group, rcc);
                self.plane.locate_group(group, place.as_bytes());
                self.durable.add_group(group, sessions);
                let _ = done.send(Ok(()));
            }
            Command::RemoveGroup { group } => {
                // At once: the next group to come may get its number, but none of its keys.
                self.plane.withdraw_group(group);
                self.note_publish();
                self.durable.remove_group(group);
            }
            Command::Announce { group, message, done } => {
                let allowed = self.allow();
                let announce = |()| self.plane.announce(group, &message, Instant::now());
                match allowed.and_then(announce) {
                    Ok(event) => {
                        self.durable.wait(Pending { event, from: None, done: Some(done) });
                    }
                    Err(reject) => {
                        self.counters.rejects.add(reject);
                        let _ = done.send(Err(reject.into()));
                    }
                }
            }
            Command::InsertFixed { group, key, done } => {
                let _ = done.send(self.plane.insert_fixed(group, key));
            }
            Command::Streams(list) => {
                self.durable.note_streams(&mut self.plane, &list.streams);
                list.give_back();
            }
        }
    }

    /// What is accepted now could not be kept.
    const fn allow(&self) -> Result<(), Reject> {
        if self.durable.is_failing() { Err(Reject::StateFailed) } else { Ok(()) }
    }

    /// Counts what was accepted, tells the user, and answers where an answer is due.
    fn conclude(&self, pending: Pending) {
        let Pending { event, from, done } = pending;
        if let Some(done) = done {
            let _ = done.send(Ok(()));
        }
        let Some(event) = event else { return };
        match &event {
            KeyEvent::Msk { domain, msk, redelivered, .. } => {
                self.counters.msk.add(1);
                info!(%domain, %msk, redelivered, "MSK accepted");
            }
            KeyEvent::Mtk { mki } => {
                self.counters.mtk.add(1);
                debug!(%mki, "MTK accepted");
            }
            KeyEvent::MskDeleted { domain, msk, .. } => info!(%domain, %msk, "MSK revoked"),
            KeyEvent::MskRequested { domain, key_group } => {
                info!(%domain, key_group, "MSK request solicited");
            }
        }
        if let (Some(message), Some((None, source))) = (event.verification(), from) {
            self.answer(message, source);
        }
        self.callback.event(Event::Key(&event));
    }

    //= K6: the verification message goes where the MSK message came from
    fn answer(&self, message: &[u8], to: SocketAddr) {
        let Some(socket) = &self.socket else { return };
        match socket.send_to(message, to) {
            Ok(_) => self.counters.verifications.add(1),
            Err(error) => warn!(%to, %error, "verification message not sent"),
        }
    }
}

/// Refused key messages and commits, logged at most once a minute and reason.
#[derive(Default)]
pub(super) struct Summary {
    state_told: Option<Instant>,
    refused: std::collections::BTreeMap<(Option<GroupId>, Reject), (u64, SocketAddr)>,
    next: Option<Instant>,
}

impl Summary {
    fn note(&mut self, group: Option<GroupId>, reject: Reject, source: SocketAddr) {
        if self.refused.len() < SUMMARY_LINES || self.refused.contains_key(&(group, reject)) {
            self.refused.entry((group, reject)).or_insert((0, source)).0 += 1;
        }
    }

    fn note_state(&mut self, error: &Error) {
        let now = Instant::now();
        if self.state_told.is_none_or(|told| now >= told + SUMMARY_INTERVAL) {
            self.state_told = Some(now);
            warn!(%error, "no key message is accepted until the state can be written again");
        }
    }

    fn log(&mut self, now: Instant) {
        if self.refused.is_empty() || self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + SUMMARY_INTERVAL);
        self.write();
    }

    fn write(&mut self) {
        for ((group, reason), (count, first_source)) in std::mem::take(&mut self.refused) {
            let group = group.map(|group| group.0);
            warn!(group, %reason, count, %first_source, "key messages refused");
        }
    }
}

/// Opens the socket of MSK messages.
pub(super) fn open_socket(address: SocketAddr) -> Result<Arc<UdpSocket>, Error> {
    let failed = |error| {
        Error::io(
            format!("cannot receive MSK messages on {address}; is another program on that port?"),
            error,
        )
    };
    let socket = bind_unicast(address).map_err(failed)?;
    socket.set_read_timeout(Some(TICK)).map_err(failed)?;
    Ok(Arc::new(socket))
}

/// Reads MSK messages from their socket until told to stop.
pub(super) fn listen(
    socket: &UdpSocket,
    queue: &KeyQueue,
    counters: &KeyCounters,
    mut rate: RateBySource,
    stop: &AtomicBool,
) {
    // One octet more than a message may have, so that a longer one is noticed.
    let mut octets = [0; MAX_KEY_MESSAGE + 1];
    while !stop.load(Ordering::Relaxed) {
        match socket.recv_from(&mut octets) {
            Ok((len, source)) => {
                // The key thread is the slower one; what finds no room its sender repeats.
                let message = octets.get(..len).unwrap_or_default();
                let offered = if rate.allows(source, Instant::now()) {
                    queue.offer(None, message, source)
                } else {
                    Err(Reject::KeyRateLimit)
                };
                if let Err(reject) = offered {
                    counters.not_queued.add(reject);
                }
            }
            Err(error) if is_timeout(&error) => {}
            Err(error) => {
                debug!(%error, "socket of MSK messages");
                std::thread::sleep(TICK);
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

/// How often keys are looked at for retirement.
pub(super) const TICK: Duration = Duration::from_millis(100);
// Noticed with one tick, gone with the next if a lane was in a batch; a lane looks when it wakes.
const _: () = assert!(
    Gateway::KEYS_ERASED_WITHIN.as_millis()
        >= 2 * TICK.as_millis() + super::intake::IDLE.as_millis()
);
/// Commands obeyed before their effects are committed and a table is published.
const PER_TABLE: usize = 256;
/// Reasons and groups counted for the log between two summaries.
const SUMMARY_LINES: usize = 64;
const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;
    use crate::srtp::TrafficKey;

    fn wait_until(mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_key_is_erased_after_the_batch_that_uses_it_although_nothing_else_happens() {
        let plane = KeyPlane::new(crate::keys::PlaneLimits::default());
        let published = Arc::clone(plane.published());
        let (queue, commands, give_back) = KeyQueue::new(1);
        let thread = KeyThread {
            plane,
            commands,
            give_back,
            socket: None,
            counters: Arc::default(),
            bells: Vec::new(),
            callback: Arc::new(Callback::new(|_: Event<'_>| ())),
            summary: Summary::default(),
            durable: Durable::default(),
        };
        let thread = std::thread::spawn(|| thread.run());
        let group = GroupId(0);
        let key = || {
            let profile = crate::srtp::Profile::default().with_mki_len(0);
            let mki = crate::ids::Mki::new(&[]).unwrap();
            Arc::new(TrafficKey::new(mki, profile, &[1; 16], &[2; 14]).unwrap())
        };
        let (done, _answers) = bounded(2);
        let send = |command| queue.commands.send(command).unwrap();
        let (place, sessions) = (String::new(), Vec::new());
        let new = NewGroup { group, domain: None, rcc: None, place, sessions };
        send(Command::AddGroup { group: new, done: done.clone() });
        send(Command::InsertFixed { group, key: key(), done });
        wait_until(|| published.load().ring(group).is_some_and(|ring| !ring.keys().is_empty()));
        let batch = published.load();
        let held = Arc::downgrade(&batch.ring(group).unwrap().keys()[0]);
        send(Command::RemoveGroup { group });
        wait_until(|| published.load().ring(group).is_none());
        assert!(held.strong_count() > 0);
        drop(batch);
        wait_until(|| held.strong_count() == 0);
        drop(queue);
        thread.join().unwrap();
    }
}
