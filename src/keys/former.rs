//! Tables that have been replaced, while somebody may still look at them.
//!
//! A lane in the middle of a batch keeps the table it has loaded. Were it the last to let go, it would
//! free the table and erase its keys in the packet path; so the writer keeps what it has replaced, and
//! lets go when nobody else holds it. Nobody takes hold of it anew, because it cannot be loaded any more.

use super::sync::Arc;

/// What was published before. As many entries at most as there are lanes in the middle of a batch, and
/// one.
#[derive(Debug)]
pub(crate) struct Former<T>(Vec<Arc<T>>);

impl<T> Former<T> {
    /// Nothing has been replaced yet.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes what has just been replaced.
    pub(crate) fn put(&mut self, replaced: Arc<T>) {
        self.0.push(replaced);
        self.release();
    }

    /// Frees what nobody holds any more. To be called now and then.
    pub(crate) fn release(&mut self) {
        self.0.retain(|replaced| Arc::strong_count(replaced) > 1);
    }
}
