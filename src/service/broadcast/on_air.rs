//! One channel: its broadcaster, where its datagrams go, and what waits for the journal.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arrayvec::ArrayVec;
use tracing::{info, warn};

use super::{
    ChannelReport, Held,
    channel::{Destination, Place},
    check::Check,
    counters::Counted,
    outbox::{Letter, Outboxes, Spare},
    sealed::{Checked, Sealed, seal},
    service::random,
};
use crate::{
    broadcast::{BroadcastAction, Broadcaster, ChannelDocument, ChannelId},
    error::{Error, Reject},
    net::Arena,
    record::Record,
    srtp::{MAX_BATCH, PacketKind},
};

/// Says that a document is held, or why it is not.
pub(super) type Done = Box<dyn FnOnce(Result<Held, Error>) + Send>;

/// A channel that is open.
pub(super) struct OnAir {
    pub(super) number: u64,
    pub(super) id: ChannelId,
    pub(super) broadcaster: Broadcaster,
    pub(super) media: Vec<(Place, Check)>,
    /// Where key messages go.
    pub(super) keys: Vec<Destination>,
    pub(super) counted: Arc<Counted>,
    /// Its place in the agenda.
    pub(super) scheduled: Option<Instant>,
    /// Has records for the next write.
    pub(super) changed: bool,
    /// Documents that were followed since the last write, and who waits to hear that they are held.
    pub(super) answers: Vec<(u64, Done)>,
    /// When the new key should have been announced that waits for the journal.
    pub(super) late_since: Option<Instant>,
    /// When the key server was heard last, and how long it may be quiet.
    pub(super) heard: Instant,
    pub(super) silence_after: Option<Duration>,
    pub(super) silent: bool,
    /// Packets sent since the places of the streams were written.
    pub(super) sent_since: usize,
}

impl OnAir {
    /// Does what is due, and what has been due since `since`.
    pub(super) fn poll(&mut self, since: Instant, now: Instant, out: &mut Outboxes) {
        if self.falls_silent(now) {
            return;
        }
        let waited = self.broadcaster.is_unstored();
        let actions = self.broadcaster.poll(now, &mut random);
        if self.broadcaster.is_unstored() && !waited {
            (self.changed, self.late_since) = (true, Some(since));
        }
        self.act(actions, Some(since), out);
    }

    /// Follows a document; `done` is told when it is held durably.
    pub(super) fn follow(
        &mut self,
        document: &ChannelDocument,
        done: Done,
        now: Instant,
        out: &mut Outboxes,
    ) {
        self.hear(now);
        let before = self.broadcaster.followed();
        match self.broadcaster.follow(document, now, &mut random) {
            Ok(actions) => {
                let version = self.broadcaster.followed();
                if version != before {
                    self.counted.documents.add(1);
                    (self.changed, self.late_since) = (true, Some(now));
                    info!(channel = %self.id, version, "channel document followed");
                }
                self.answers.push((version, done));
                self.act(actions, None, out);
            }
            Err(error) => {
                warn!(channel = %self.id, %error, "channel document refused");
                done(Err(error));
            }
        }
    }

    /// The key server is there.
    pub(super) fn hear(&mut self, now: Instant) {
        self.heard = now;
        if std::mem::take(&mut self.silent) {
            info!(channel = %self.id, "the key server is heard again; the channel is on the air");
        }
    }

    /// All that had changed is in the journal: the new key may be seen.
    pub(super) fn stored(&mut self, now: Instant, out: &mut Outboxes) {
        let since = self.late_since.take();
        let actions = self.broadcaster.stored(now);
        self.act(actions, since, out);
    }

    /// Counts a plain packet, and tells what it is.
    ///
    /// # Errors
    /// As [`Check::kind`]; or the packet is longer than any that is taken.
    pub(super) fn check(
        &self,
        medium: usize,
        packet: &[u8],
        truncated: bool,
    ) -> Result<PacketKind, Reject> {
        self.counted.packets_in.add(1);
        self.counted.octets_in.add(packet.len() as u64); // below 2^64
        if truncated || packet.len() > MAX_PACKET {
            return Err(Reject::Oversized);
        }
        self.media.get(medium).ok_or(Reject::UnknownProtocol)?.1.kind(packet)
    }

    /// Protects packets and puts them into the outbox; what cannot be sent is counted. The memory of
    /// what was refused goes to `spare`.
    pub(super) fn send(
        &mut self,
        medium: usize,
        batch: &mut ArrayVec<Checked, MAX_BATCH>,
        now: Instant,
        out: &mut Outboxes,
        spare: &mut Spare,
    ) {
        let count = batch.len() as u64; // at most 64
        let counted = &self.counted;
        let Some((place, _)) = self.media.get(medium).filter(|_| !self.silent) else {
            counted.silenced.add(count);
            return batch.drain(..).for_each(|(_, bytes)| spare.keep(bytes));
        };
        let mut sealed = 0;
        let tried = seal(
            &mut self.broadcaster,
            batch,
            now,
            |kind, datagram| match place.of(kind) {
                Some(to) => {
                    sealed += 1;
                    let letter = Letter { datagram, to, channel: self.number, due: None };
                    out.put(letter);
                }
                None => counted.refused.add(Reject::UnknownProtocol),
            },
            |reject, bytes| {
                counted.refused.add(reject);
                spare.keep(bytes);
            },
        );
        if tried.is_err() {
            counted.without_key.add(count);
            batch.drain(..).for_each(|(_, bytes)| spare.keep(bytes));
        }
        self.sent_since += sealed;
        self.changed |= self.sent_since >= KEPT_EVERY;
    }

    /// What the journal does not have yet.
    pub(super) fn take_changes(&mut self) -> Vec<Record> {
        (self.changed, self.sent_since) = (false, 0);
        self.broadcaster.take_changes()
    }

    /// Whether there is something to write, or somebody who waits for that.
    pub(super) fn has_news(&self) -> bool {
        self.changed || !self.answers.is_empty()
    }

    /// When the channel has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.silent {
            return None;
        }
        let silence = self.silence_after.map(|time| self.heard + time);
        self.broadcaster.next_deadline().into_iter().chain(silence).min()
    }

    pub(super) fn report(&self) -> ChannelReport {
        ChannelReport::of(&self.id, &self.broadcaster, self.silent)
    }

    /// Whether nothing may be sent because the key server was not heard.
    fn falls_silent(&mut self, now: Instant) -> bool {
        let over = self.silence_after.is_some_and(|time| now >= self.heard + time);
        if over && !self.silent {
            warn!(channel = %self.id, "the key server was not heard; the channel is silent");
        }
        self.silent = over;
        over
    }

    /// Carries actions out. Key messages are for this moment of the schedule, where there is one.
    fn act(&mut self, actions: Vec<BroadcastAction>, due: Option<Instant>, out: &mut Outboxes) {
        for action in actions {
            match action {
                BroadcastAction::SendKeyMessage(_) => {
                    for to in &self.keys {
                        let Some(datagram) = Sealed::key_message(&action) else { continue };
                        out.put(Letter { datagram, to: *to, channel: self.number, due });
                    }
                }
                BroadcastAction::InForce { mki } => {
                    self.counted.mtk_changes.add(1);
                    info!(channel = %self.id, %mki, "traffic key in force");
                }
                BroadcastAction::MtkIdsLow { msk_id, left } => {
                    warn!(channel = %self.id, %msk_id, left, "few MTK IDs are left");
                }
                BroadcastAction::Silent { in_force } => {
                    warn!(channel = %self.id, %in_force, "no MSK to send under");
                }
            }
        }
    }
}

/// Longest plain packet.
const MAX_PACKET: usize = Arena::SLOT_LEN;

/// Packets of a channel after which the places of its streams are written, if their time has not come
/// before: far fewer than the 2^15 after which a restarted broadcaster would give wrong rollover
/// counters.
const KEPT_EVERY: usize = 1 << 13;
