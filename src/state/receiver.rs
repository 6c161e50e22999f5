//! The state of a receiver: the key plane's records in a journal.

use std::fmt;

use super::{StateOptions, journal::Journal, seal::Owner};
use crate::{error::Error, keys::KeyPlane};

/// What a receiver keeps over restarts. [`Gateway`](crate::Gateway) has one if it is told to; a program
/// that drives a [`Receiver`](crate::rx::Receiver) itself commits before each
/// [`KeyPlane::publish`] and before it sends a verification message.
pub struct ReceiverState(Journal);

impl ReceiverState {
    /// Opens the file, or begins it.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the file is used by another process, is none of this kind, is damaged, or
    /// does not go with the key; it is as it was then. [`Error::Io`] if the system refuses.
    pub fn open(options: StateOptions) -> Result<Self, Error> {
        Journal::of(options, Owner::Receiver).map(Self)
    }

    #[cfg(test)]
    pub(super) fn on(journal: Journal) -> Self {
        Self(journal)
    }

    /// Gives a plane that has nothing yet what it had before.
    ///
    /// # Errors
    /// As [`KeyPlane::restore`].
    pub fn restore(&self, plane: &mut KeyPlane) -> Result<(), Error> {
        plane.restore(self.0.records())
    }

    /// Writes what has changed in the plane, and returns when it will survive a loss of power; tells
    /// whether anything had. Costs one write and one `fdatasync`, now and then a new file.
    ///
    /// # Errors
    /// [`Error::Io`]. Nothing is lost in memory: the next call begins another file with all there is.
    pub fn commit(&mut self, plane: &mut KeyPlane) -> Result<bool, Error> {
        self.0.commit(plane.take_changes())
    }

    #[cfg(test)]
    pub(super) fn put(&mut self, records: Vec<crate::record::Record>) -> Result<bool, Error> {
        self.0.commit(records)
    }
}

impl fmt::Debug for ReceiverState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiverState({})", self.0.name())
    }
}
