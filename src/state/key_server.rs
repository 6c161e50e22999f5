//! The state of a key server: its records in a journal.

use std::{
    fmt,
    time::{Instant, SystemTime},
};

use super::{StateOptions, journal::Journal, seal::Owner};
use crate::{
    error::Error,
    keyserver::{Action, KeyServer, Timing},
};

/// What a key server keeps over restarts. Whoever drives a [`KeyServer`] commits after each call, or
/// once after several, and only then carries their actions out.
///
/// ```
/// use std::time::{Instant, SystemTime};
///
/// use mcast_srtp::{keyserver::Timing, state::{KeyServerState, StateOptions}};
///
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("key-server.state");
/// let (now, wall) = (Instant::now(), SystemTime::now());
/// let mut state = KeyServerState::open(StateOptions::new(file))?;
/// let (mut server, actions) = state.restore(Timing::default(), now, wall)?;
/// assert!(actions.is_empty(), "it has just begun");
/// // … calls of the server, whose actions wait …
/// state.commit(&mut server, now, wall)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KeyServerState(Journal);

impl KeyServerState {
    /// Opens the file, or begins it.
    ///
    /// # Errors
    /// As [`ReceiverState::open`](super::ReceiverState::open).
    pub fn open(options: StateOptions) -> Result<Self, Error> {
        Journal::of(options, Owner::KeyServer).map(Self)
    }

    /// The key server as it was, or a new one, and what it has to do first, which can be done at once:
    /// what follows from it is committed. `wall` is the time of day at `now`.
    ///
    /// # Errors
    /// As [`KeyServer::restore`] and [`Self::commit`].
    pub fn restore(
        &mut self,
        timing: Timing,
        now: Instant,
        wall: SystemTime,
    ) -> Result<(KeyServer, Vec<Action>), Error> {
        let restored = KeyServer::restore(timing, self.0.records(), now, wall);
        let (mut server, actions) =
            restored.map_err(|error| Error::invalid(format!("{}: {error}", self.0.name())))?;
        self.commit(&mut server, now, wall)?;
        Ok((server, actions))
    }

    /// Writes what has changed in the server, and returns when it will survive a loss of power; tells
    /// whether anything had. Costs one write and one `fdatasync`, now and then a new file.
    ///
    /// # Errors
    /// [`Error::Io`]; no action may be carried out then. Nothing is lost in memory: the next call, also
    /// one without changes, begins another file with all there is.
    pub fn commit(
        &mut self,
        server: &mut KeyServer,
        now: Instant,
        wall: SystemTime,
    ) -> Result<bool, Error> {
        self.0.commit(server.take_changes(now, wall))
    }

    #[cfg(test)]
    pub(super) fn on(journal: Journal) -> Self {
        Self(journal)
    }
}

impl fmt::Debug for KeyServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyServerState({})", self.0.name())
    }
}
