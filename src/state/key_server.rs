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
    /// whether anything had. Costs one write and one `fdatasync`, now and then a new file: when it has
    /// grown, and, if MSKs or MUKs were replaced or erased, after five minutes, so that the old file does not
    /// keep them. What is erased when nobody commits any more is in the file until the next start.
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
        self.0.shed(now);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{ids::KeyDomainId, keyserver::ChannelSpec};

    #[test]
    fn destroyed_msk_is_not_in_the_file_for_months() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state");
        let (start, wall) = (Instant::now(), SystemTime::now());
        let mut state = KeyServerState::open(StateOptions::new(&file)).unwrap();
        let (mut server, _) = state.restore(Timing::default(), start, wall).unwrap();
        let (channel, spec) = ("17".into(), ChannelSpec::new(KeyDomainId::default(), 1));
        let random = &mut |out: &mut [u8]| out.fill(0x5a);
        server.open_channel(&channel, spec, start, random).unwrap();
        let has_key = || std::fs::read(&file).unwrap().windows(16).any(|part| part == [0x5a; 16]);
        let mut commit = |server: &mut KeyServer, seconds| {
            let time = Duration::from_secs(seconds);
            state.commit(server, start + time, wall + time).unwrap()
        };
        assert!(commit(&mut server, 1) && has_key());
        server.close_channel(&channel).unwrap();
        assert!(commit(&mut server, 2));
        assert!(!commit(&mut server, 3) && has_key());
        assert!(!commit(&mut server, 302) && has_key());
        assert!(commit(&mut server, 303) && !has_key());
        assert!(!commit(&mut server, 9_999), "one new file is enough");
    }
}
