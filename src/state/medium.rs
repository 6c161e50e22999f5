//! What a journal is written to: a file, or in tests one that breaks.

use std::io;

use zeroize::Zeroizing;

/// A place for octets with two contents at most: the current one, and a new one that will replace it.
pub(super) trait Medium {
    /// What errors call it.
    fn name(&self) -> String;

    /// Octets the contents may grow by, beside twice the snapshot they begin with, before others are
    /// begun.
    fn growth(&self) -> u64 {
        1 << 20
    }

    /// The current contents, if there are any.
    fn read(&mut self) -> io::Result<Option<Zeroizing<Vec<u8>>>>;

    /// Begins new contents, empty. What is written from now on goes there.
    fn begin(&mut self) -> io::Result<()>;

    /// Appends to the new contents, or to the current ones if none have been begun.
    fn write(&mut self, octets: &[u8]) -> io::Result<()>;

    /// Returns when what has been written will survive a loss of power.
    fn sync(&mut self) -> io::Result<()>;

    /// Puts the new contents in place of the current ones, whole; returns when that will survive.
    fn adopt(&mut self) -> io::Result<()>;
}
