//! Packets that nothing proves (RFC 4771 §3): under RCC mode 1 those between two that carry the
//! rollover counter, under mode 3 without AEAD all of them.
//!
//! They are decrypted and delivered, marked as not authenticated, and nothing of them is remembered:
//! two copies are delivered twice. Where they lie is known from the packets that carry the counter.
//! Under mode 1 those are authentic. Under mode 3 they are not; what they state is kept apart from the
//! streams that authentic packets made, and a jump of it is followed only when two packets agree.

use super::{
    attempt::Attempt,
    profile::{Rcc, RccMode},
    stream::Stream,
    stream_table::{Inserted, StreamTable},
    unprotect::{Packet, Unprotector, Verdict},
};
use crate::{error::Reject, ids::PacketIndex};

impl Unprotector {
    /// Decrypts a packet that has neither a MAC nor an AEAD tag, if its place is known.
    #[cold]
    pub(super) fn unprotect_unproven(
        &mut self,
        attempt: &Attempt<'_>,
        packet: &mut Packet<'_>,
    ) -> Verdict {
        let rcc = attempt.key.profile().rcc.ok_or(Reject::Unsupported)?;
        let (index, new_stream) = match attempt.stated_index() {
            Some(stated) => (stated, self.claim(attempt, packet, rcc, stated)?),
            None => (self.guess(attempt, packet, rcc)?, false),
        };
        let backend = self.backend;
        let session = self.session(attempt, index)?;
        attempt.decrypt(backend, session, index, packet.bytes);
        Ok(attempt.delivered(index, new_stream, false))
    }

    /// Takes the index that a packet states under mode 3; tells whether its stream is new.
    fn claim(
        &mut self,
        attempt: &Attempt<'_>,
        packet: &Packet<'_>,
        rcc: Rcc,
        stated: PacketIndex,
    ) -> Result<bool, Reject> {
        let limits = &self.limits;
        let claimed = self
            .claimed
            .get_or_insert_with(|| StreamTable::new(limits.streams, limits.streams_per_session));
        let key = attempt.stream(packet.session);
        let (hint, known) = claimed.find(key);
        if known.is_some()
            && let Some(stream) = claimed.get_mut(key, hint)
        {
            stream.claim(stated, rcc.rate, limits.replay_window, self.now)?;
            return Ok(false);
        }
        // Whoever sends first can claim a stream, so it is tied to no source.
        match claimed.insert(key, stated, stated, 0, self.now) {
            Inserted::Added => {}
            Inserted::Evicted => self.note_eviction(packet.session),
            Inserted::Full => return Err(Reject::StreamLimit),
        }
        Ok(true)
    }

    /// The index of a packet that neither carries its rollover counter nor is authenticated.
    fn guess(
        &self,
        attempt: &Attempt<'_>,
        packet: &Packet<'_>,
        rcc: Rcc,
    ) -> Result<PacketIndex, Reject> {
        let key = attempt.stream(packet.session);
        match rcc.mode {
            RccMode::M1 | RccMode::M2 => {
                let stream = self.streams.find(key).1.ok_or(Reject::Unsynchronized)?;
                stream.takes(attempt.key.age())?;
                self.guess_in(stream, attempt, packet, rcc)
            }
            RccMode::M3 => {
                let stream = self.claimed.as_ref().and_then(|table| table.find(key).1);
                self.guess_in(stream.ok_or(Reject::Unsynchronized)?, attempt, packet, rcc)
            }
        }
    }

    fn guess_in<Known>(
        &self,
        stream: &Stream<Known>,
        attempt: &Attempt<'_>,
        packet: &Packet<'_>,
        rcc: Rcc,
    ) -> Result<PacketIndex, Reject> {
        stream.may_come_from(packet.source, self.now, self.limits.source_timeout)?;
        stream.guess(attempt.clear.seq, rcc.rate, self.limits.replay_window)
    }
}
