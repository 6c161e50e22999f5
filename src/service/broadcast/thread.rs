//! The thread that has all channels: waits, takes what has come, does what is due, sends.

use std::{
    collections::{BTreeMap, HashMap},
    io, mem,
    net::UdpSocket,
    sync::Arc,
    time::{Duration, Instant},
};

use arrayvec::ArrayVec;
use crossbeam_channel::{Receiver, Sender};
use tracing::warn;

use super::{
    BroadcastChannel, ChannelReport,
    agenda::Agenda,
    counters::{Counted, Overall},
    input::HandedIn,
    journal::Journal,
    on_air::{Done, OnAir},
    outbox::{Letter, Outboxes, Spare},
    sealed::Checked,
    service::Bell,
};
use crate::{
    broadcast::{BroadcastTiming, Broadcaster, BroadcasterId, ChannelDocument, ChannelId},
    error::Error,
    net::{Arena, Poller},
    record::Record,
    runtime::Seldom,
    srtp::MAX_BATCH,
};

/// What the thread is asked to do.
pub(super) enum Command {
    /// Answers with the number of the channel.
    Open {
        channel: Box<BroadcastChannel>,
        counted: Arc<Counted>,
        done: Sender<Result<u64, Error>>,
    },
    Close {
        number: u64,
        done: Sender<()>,
    },
    Follow {
        document: Box<ChannelDocument>,
        done: Done,
    },
    Heard {
        number: u64,
    },
    Report {
        number: u64,
        done: Sender<Option<ChannelReport>>,
    },
    Stop,
}

/// The ends of the channels to the other threads.
pub(super) struct Ends {
    pub(super) commands: Receiver<Command>,
    pub(super) handed_in: Receiver<HandedIn>,
    pub(super) records: Sender<Vec<Record>>,
    pub(super) written: Receiver<Result<(), Error>>,
}

/// What stays as it was at the start.
pub(super) struct Settings {
    pub(super) name: Option<BroadcasterId>,
    pub(super) timing: BroadcastTiming,
    pub(super) silence_after: Option<Duration>,
    pub(super) streams_every: Duration,
    pub(super) input_buffer: usize,
}

impl Settings {
    /// Whether a document is for this broadcaster, as far as both have names.
    fn is_for_us(&self, document: &ChannelDocument) -> bool {
        let names = self.name.as_ref().zip(document.broadcaster.as_ref());
        names.is_none_or(|(ours, theirs)| ours == theirs)
    }
}

/// State of the thread.
pub(super) struct Thread {
    pub(super) ends: Ends,
    pub(super) settings: Settings,
    pub(super) overall: Arc<Overall>,
    bell: Arc<Bell>,
    pub(super) poller: Poller,
    arena: Arena,
    pub(super) channels: BTreeMap<u64, OnAir>,
    pub(super) numbers: HashMap<ChannelId, u64>,
    /// Of the next channel; numbers are not used again.
    pub(super) next_number: u64,
    /// Channels that the journal knows and nobody has opened.
    pub(super) at_rest: HashMap<ChannelId, Broadcaster>,
    /// UDP inputs; the place is the poller's token.
    pub(super) inputs: Vec<Option<UdpInput>>,
    pub(super) out: Outboxes,
    pub(super) agenda: Agenda,
    pub(super) journal: Journal,
    /// When the places of streams are looked at next.
    next_look: Instant,
    spare: Spare,
    pub(super) failing: Seldom,
}

/// An input at a UDP port.
pub(super) struct UdpInput {
    pub(super) socket: UdpSocket,
    pub(super) channel: u64,
    pub(super) medium: usize,
}

impl Thread {
    /// # Errors
    /// The system gives no poller.
    pub(super) fn new(
        ends: Ends,
        settings: Settings,
        overall: Arc<Overall>,
        restored: Vec<(ChannelId, Broadcaster)>,
    ) -> Result<Self, Error> {
        let poller = Poller::new().map_err(|error| Error::io("cannot wait for inputs", error))?;
        let bell = Arc::new(Bell::new(poller.waker()));
        let next_look = Instant::now() + settings.streams_every;
        Ok(Self {
            ends,
            settings,
            overall,
            bell,
            poller,
            arena: Arena::default(),
            channels: BTreeMap::new(),
            numbers: HashMap::new(),
            next_number: 0,
            at_rest: restored.into_iter().collect(),
            inputs: Vec::new(),
            out: Outboxes::default(),
            agenda: Agenda::default(),
            journal: Journal::default(),
            next_look,
            spare: Spare::default(),
            failing: Seldom::default(),
        })
    }

    pub(super) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// Runs until told to stop.
    pub(super) fn run(mut self) {
        let mut ready = ArrayVec::<usize, { Poller::READY_AT_ONCE }>::new();
        loop {
            self.take_written();
            for command in self.ends.commands.clone().try_iter().take(COMMANDS_IN_TURN) {
                if matches!(command, Command::Stop) {
                    return self.finish();
                }
                self.obey(command);
            }
            self.do_what_is_due();
            // Key messages leave before packets under their keys.
            self.flush();
            self.take_handed_in();
            ready.drain(..).for_each(|token| self.read(token));
            self.flush();
            self.write_changes();
            self.wait(&mut ready);
        }
    }

    fn wait(&mut self, ready: &mut ArrayVec<usize, { Poller::READY_AT_ONCE }>) {
        let ends = &self.ends;
        let may_sleep = self.bell.arm(|| {
            !(ends.commands.is_empty() && ends.handed_in.is_empty() && ends.written.is_empty())
        });
        let retry = self.journal.retry_at;
        let next = self.agenda.first().into_iter().chain(retry).fold(self.next_look, Instant::min);
        let patience = next.saturating_duration_since(Instant::now());
        match self.poller.wait(Some(if may_sleep { patience } else { Duration::ZERO })) {
            Ok(tokens) => ready.extend(tokens.iter().copied().take(Poller::READY_AT_ONCE)),
            Err(error) => {
                self.note_failure(&error, "waiting for packets");
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Open { channel, counted, done } => {
                let _nobody_waits = done.send(self.open(channel, counted, now));
            }
            Command::Close { number, done } => {
                self.close(number);
                let _nobody_waits = done.send(());
            }
            Command::Follow { document, done } => {
                let number = self.numbers.get(&document.channel);
                match number.and_then(|number| self.channels.get_mut(number)) {
                    Some(_) if !self.settings.is_for_us(&document) => {
                        done(Err(Error::invalid(format!(
                            "this document of channel {} is for another broadcaster, whose MTK IDs \
                             are not ours",
                            document.channel
                        ))));
                    }
                    Some(channel) => {
                        channel.follow(&document, done, now, &mut self.out);
                        let number = channel.number;
                        self.reschedule(number);
                        self.note_news(number);
                    }
                    None => done(Err(Error::invalid(format!(
                        "channel {} is not open here",
                        document.channel
                    )))),
                }
            }
            Command::Heard { number } => {
                if let Some(channel) = self.channels.get_mut(&number) {
                    channel.hear(now);
                    self.reschedule(number);
                }
            }
            Command::Report { number, done } => {
                let _nobody_waits = done.send(self.channels.get(&number).map(OnAir::report));
            }
            Command::Stop => {}
        }
    }

    pub(super) fn reschedule(&mut self, number: u64) {
        if let Some(channel) = self.channels.get_mut(&number) {
            let next = channel.next_deadline();
            self.agenda.set(number, &mut channel.scheduled, next);
        }
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        while let Some((since, number)) = self.agenda.due(now) {
            let Some(channel) = self.channels.get_mut(&number) else { continue };
            channel.poll(since, now, &mut self.out);
            // What is due again already waits for the next turn, so that no channel holds up others.
            let next = channel.next_deadline().map(|at| at.max(now + SHORTEST));
            self.agenda.set(number, &mut channel.scheduled, next);
            self.note_news(number);
        }
        if now >= self.next_look {
            self.next_look = now + self.settings.streams_every;
            for channel in self.channels.values_mut().filter(|channel| channel.sent_since > 0) {
                self.journal.records.append(&mut channel.take_changes());
            }
        }
    }

    /// Takes what was handed in, channel by channel.
    fn take_handed_in(&mut self) {
        let mut taken: Vec<_> = self.ends.handed_in.try_iter().take(HANDED_IN_TURN).collect();
        taken.sort_by_key(|packet| (packet.channel, packet.medium));
        for run in taken.chunk_by_mut(|a, b| (a.channel, a.medium) == (b.channel, b.medium)) {
            for part in run.chunks_mut(MAX_BATCH) {
                let (number, medium) = (part[0].channel, part[0].medium);
                let packets = part.iter_mut().map(|one| (mem::take(&mut one.packet), false));
                self.take(number, medium, packets);
            }
        }
    }

    /// Takes batches from a UDP input until it is empty or others' turn has come.
    fn read(&mut self, token: usize) {
        for _ in 0..BATCHES_IN_TURN {
            let Some(Some(UdpInput { socket, channel, medium })) = self.inputs.get(token) else {
                return;
            };
            let count = match self.arena.receive(socket) {
                Ok(count) => count,
                Err(error) => return self.note_failure(&error, "receiving"),
            };
            let datagrams = self.arena.datagrams();
            let packets: ArrayVec<_, MAX_BATCH> = datagrams
                .map(|received| (self.spare.filled(received.bytes), received.truncated))
                .collect();
            let (channel, medium) = (*channel, *medium);
            self.take(channel, medium, packets.into_iter());
            if count < self.arena.slots() {
                return;
            }
        }
    }

    /// Takes up to a batch of plain packets of one medium. The flag tells that the end of a packet is
    /// missing.
    fn take(&mut self, number: u64, medium: usize, packets: impl Iterator<Item = (Vec<u8>, bool)>) {
        // Handed in for a channel that has been closed: nobody counts it any more.
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let mut batch = ArrayVec::<Checked, MAX_BATCH>::new();
        for (packet, truncated) in packets {
            match channel.check(medium, &packet, truncated) {
                Ok(kind) => batch.push((kind, packet)),
                Err(reject) => {
                    channel.counted.refused.add(reject);
                    self.spare.keep(packet);
                }
            }
        }
        if !batch.is_empty() {
            channel.send(medium, &mut batch, Instant::now(), &mut self.out, &mut self.spare);
            self.note_news(number);
        }
    }

    /// Sends all that waits.
    fn flush(&mut self) {
        let Self { out, channels, overall, spare, failing, .. } = self;
        out.flush(|Letter { datagram, channel, due, to }, sent| {
            let octets = datagram.octets().len() as u64; // below 2^16
            let is_key_message = datagram.is_key_message();
            datagram.into_buffer().into_iter().for_each(|buffer| spare.keep(buffer));
            let Some(channel) = channels.get(&channel) else { return };
            let counted = &channel.counted;
            match sent {
                Ok(()) if is_key_message => {
                    counted.key_messages.add(1);
                    due.inspect(|due| overall.late.add(due.elapsed()));
                }
                Ok(()) => {
                    counted.packets_out.add(1);
                    counted.octets_out.add(octets);
                }
                Err(error) => {
                    counted.send_errors.add(1);
                    if let Some(times) = failing.note(Instant::now()) {
                        warn!(channel = %channel.id, to = %to.address, %error, times, "sending failed");
                    }
                }
            }
        });
    }

    fn note_failure(&mut self, error: &io::Error, what: &str) {
        self.overall.receive_errors.add(1);
        if let Some(times) = self.failing.note(Instant::now()) {
            warn!(%error, times, "{what} failed");
        }
    }
}

/// No channel does something more often, so that a schedule of zeros cannot spin.
const SHORTEST: Duration = Duration::from_micros(100);
/// Wait after the system has refused to wait for packets.
const PAUSE: Duration = Duration::from_millis(10);
const COMMANDS_IN_TURN: usize = 256;
const HANDED_IN_TURN: usize = 1024;
const BATCHES_IN_TURN: usize = 4;
