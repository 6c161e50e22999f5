//! Whether a lane that is about to sleep has to be woken for the next table.
//!
//! A lane that holds no packets back does not care: it loads the table with its next batch, or with its
//! tick. One that does arms its bell and then looks for a table once more; the key thread publishes and
//! then looks at the bell. Either sees what the other did, so that no lane sleeps over a table that it
//! waits for, and no wake-up is spent on a lane that does not.

use super::atomic::{AtomicBool, Ordering, fence};

/// One lane's bell.
#[derive(Debug)]
pub(crate) struct Doorbell(AtomicBool);

impl Doorbell {
    /// A bell that is not armed.
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// The lane's side, before it sleeps: whether it may. `is_news` tells whether a table has been
    /// published that the lane has not looked at.
    pub(crate) fn arm(&self, is_news: impl FnOnce() -> bool) -> bool {
        self.0.store(true, Ordering::Relaxed);
        // Pairs with the fence in `ring`: of the two, at least the later one sees the other's store.
        fence(Ordering::SeqCst);
        !is_news()
    }

    /// The key thread's side, after it has published: whether the lane has to be woken.
    pub(crate) fn ring(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::AcqRel)
    }
}
