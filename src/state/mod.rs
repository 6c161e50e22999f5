//! What a receiver, a key server or broadcasters know, in a file that a crash at any moment leaves whole
//! (feature `state`).
//!
//! ```text
//! key plane ────records──► ReceiverState ──┐
//! key server ───records──► KeyServerState ─┼─one frame a commit──► Journal ──octets──► file, lock, mode
//! broadcasters ─records──► BroadcastState ─┘                   sealed or hashed
//! ```
//! All of it fits in memory and is read once, so the file is a journal: a snapshot, and behind it one
//! frame for each commit, which costs one write and one `fdatasync`. A tree of pages on disk, as general
//! stores have, would write several pages for it, and serve reads that never come. A journal that has
//! grown, was read at start, could not be written, or has had erased keys in it for some minutes is replaced by
//! a new file with a snapshot.
//!
//! **Order.** What was accepted is committed before its effect is visible: before the key table is
//! published and before the verification message is sent. What is issued is committed before it is sent:
//! before the key server's actions are carried out, and before a key message of a broadcaster goes out.

mod broadcast;
mod file;
mod frame;
mod journal;
mod key_server;
mod medium;
mod receiver;
mod seal;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::secret::Secret;

use seal::SealingKeys;

pub use broadcast::BroadcastState;
pub use key_server::KeyServerState;
pub use receiver::ReceiverState;

/// Where state is kept, and how.
///
/// ```
/// use mcast_srtp::{Gateway, secret::Secret, state::StateOptions};
///
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("gateway.state");
/// let options = StateOptions::new(file).sealed_with(Secret::new([0x2a; 32]));
/// let gateway = Gateway::builder().state(options).start(|_| {})?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StateOptions {
    path: PathBuf,
    keys: SealingKeys,
    streams_every: Duration,
}

impl StateOptions {
    /// Keeps the state in this file, of mode 0600 and not sealed. `PATH.lock` and, for a moment,
    /// `PATH.new` stand beside it; the folder has to belong to the user of the process.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            keys: SealingKeys::default(),
            streams_every: Duration::from_secs(10),
        }
    }

    /// Seals the file with AES-256-GCM under a key derived from this one.
    #[must_use]
    pub fn sealed_with(mut self, key: Secret<32>) -> Self {
        self.keys.key = Some(key);
        self
    }

    /// The key that the file may have been sealed with so far. If it does not open under the key of
    /// [`Self::sealed_with`], it is read under this one; the file that takes its place at start is under
    /// the other, or is not sealed if there is none. Can stay until the next change of the key.
    #[must_use]
    pub fn formerly_sealed_with(mut self, key: Secret<32>) -> Self {
        self.keys.former = Some(key);
        self
    }

    /// How often the places of the streams are looked at, and once more at the end; those that are new or
    /// have moved by 2^13 packets are written. Default 10 s; for receivers only. They are only where the search for a stream's
    /// rollover counter begins, so that an old one costs tries and nothing else.
    #[must_use]
    pub const fn streams_every(mut self, time: Duration) -> Self {
        self.streams_every = time;
        self
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As [`Self::streams_every`] set it.
    #[must_use]
    pub const fn streams_interval(&self) -> Duration {
        self.streams_every
    }
}

#[cfg(test)]
mod tests;
