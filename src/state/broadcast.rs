//! The state of broadcasters: their records in one journal.

use std::{fmt, time::Instant};

use super::{StateOptions, journal::Journal, seal::Owner};
use crate::{
    broadcast::{BroadcastAction, BroadcastTiming, Broadcaster, ChannelId},
    error::Error,
    record::Record,
};

/// What the broadcasters of one process keep over restarts. Whoever drives [`Broadcaster`]s commits their
/// changes, of all of them at once, before actions are carried out and a packet is sent under a new MTK, or
/// has them [wait](BroadcastTiming::write_ahead) for it; and else every second, for the places of their
/// streams.
pub struct BroadcastState(Journal);

impl BroadcastState {
    /// Opens the file, or begins it.
    ///
    /// # Errors
    /// As [`ReceiverState::open`](super::ReceiverState::open).
    pub fn open(options: StateOptions) -> Result<Self, Error> {
        Journal::of(options, Owner::Broadcaster).map(Self)
    }

    /// The channels of which something is kept.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a record that cannot be read.
    pub fn channels(&self) -> Result<Vec<ChannelId>, Error> {
        Ok(Broadcaster::kept_by_channel(self.0.records())?.into_keys().collect())
    }

    /// The broadcaster of a channel as it was, with a new MTK that is in force at once, or a new one;
    /// and what it has to do first, which can be done at once: what follows from it is committed.
    ///
    /// # Errors
    /// As [`Broadcaster::restore`] and [`Self::commit`].
    pub fn restore(
        &mut self,
        channel: &ChannelId,
        timing: BroadcastTiming,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(Broadcaster, Vec<BroadcastAction>), Error> {
        let restored = Broadcaster::restore(channel, timing, self.0.records(), now, random);
        let (mut broadcaster, mut actions) =
            restored.map_err(|error| Error::invalid(format!("{}: {error}", self.0.name())))?;
        self.commit(broadcaster.take_changes())?;
        actions.append(&mut broadcaster.stored(now));
        Ok((broadcaster, actions))
    }

    /// Writes these records, what [`Broadcaster::take_changes`] of some broadcasters has given, and returns
    /// when they will survive a loss of power; tells whether anything was new. Costs one write and one
    /// `fdatasync` for all of them, now and then a new file; nothing if nothing is new.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing new may be sent then. Nothing is lost in memory: the next call, also one
    /// without records, begins another file with all there is.
    pub fn commit(&mut self, records: impl IntoIterator<Item = Record>) -> Result<bool, Error> {
        self.0.commit(records.into_iter().collect())
    }

    /// As [`Self::commit`] without records, but begins another file if MSKs were erased five minutes ago or
    /// earlier, as far as these calls show, so that the old file does not keep them. Cheap when there is
    /// nothing to do.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub fn shed(&mut self, now: Instant) -> Result<bool, Error> {
        self.0.shed(now);
        self.0.commit(Vec::new())
    }

    /// All broadcasters of which something is kept, each with a new MTK. Nothing is committed, so that
    /// the timing has to be one that [writes ahead](BroadcastTiming::write_ahead).
    ///
    /// # Errors
    /// As [`Broadcaster::restore`].
    #[cfg(feature = "service")]
    pub(crate) fn restore_all(
        &self,
        timing: BroadcastTiming,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<(ChannelId, Broadcaster)>, Error> {
        debug_assert!(timing.write_ahead);
        let named = |error| Error::invalid(format!("{}: {error}", self.0.name()));
        let kept = Broadcaster::kept_by_channel(self.0.records()).map_err(named)?;
        kept.into_iter()
            .map(|(id, records)| {
                let restored = Broadcaster::restore(&id, timing, records, now, random);
                let (broadcaster, _) = restored.map_err(named)?;
                Ok((id, broadcaster))
            })
            .collect()
    }

    #[cfg(test)]
    pub(super) fn on(journal: Journal) -> Self {
        Self(journal)
    }
}

impl fmt::Debug for BroadcastState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BroadcastState({})", self.0.name())
    }
}
