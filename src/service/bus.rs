//! The membership bus (D2): how the PF that controls a channel learns what happens to clients that
//! other PFs serve.
//!
//! ```text
//!  PF B: request ─► outbox in its state, numbered from 1 ─► commit ─► publish ─► stream of publisher B
//!                     ▲ let go up to `taken`                           PF A: fetch after the last one taken
//!                     └─ the other PFs have it for good ◄─ acknowledge ◄─┼─ apply to the core
//!                                                                        └─ commit, the number with it
//! ```
//! What B has answered for is in its state, and is handed over again until the bus says that it is
//! taken. The number of the last event taken is committed together with what the event changed, so that
//! an event counts exactly once whatever the bus repeats, and whenever a crash comes: before the commit
//! nothing was taken, and the event is fetched again; behind it, it is a repetition.

use std::{fmt, sync::Arc};

use crate::{
    error::Error,
    keyserver::{MembershipEvent, Notice, Publisher},
};

/// A stream of membership events for each publisher, as one PF uses it. It need not outlive the PFs.
///
/// A PF is known by its name, and by the numbers of its events, which are in its state: one that begins
/// with an empty state needs another name.
///
/// The calls are made by the service's thread and must not wait: an implementation over a network
/// keeps its connection on a thread of its own and answers from memory.
pub trait MembershipBus: Send + fmt::Debug {
    /// The publishers whose events concern this PF, itself not among them.
    fn publishers(&mut self) -> Vec<Publisher>;

    /// Up to `limit` events of a publisher behind the one numbered `after`, in their order; none if
    /// there are none yet. What was not acknowledged must be given again. Events that come twice do
    /// no harm; behind a gap nothing is taken, and what is missing is asked for again.
    ///
    /// # Errors
    /// The bus does not answer; it is asked again later.
    fn fetch(
        &mut self,
        publisher: &Publisher,
        after: u64,
        limit: usize,
    ) -> Result<Vec<MembershipEvent>, Error>;

    /// Everything of this publisher up to `sequence` has been taken and will survive a crash of
    /// this PF: it need not be given again.
    ///
    /// # Errors
    /// The bus does not answer; it is told again later.
    fn acknowledge(&mut self, publisher: &Publisher, sequence: u64) -> Result<(), Error>;

    /// Publishes what happened to a client of this PF, which is durable here. Numbers rise by one; after
    /// a restart, and after an error, a notice is published again, and must not come to others as
    /// another one.
    ///
    /// # Errors
    /// The bus does not take it; it is published again later.
    fn publish(&mut self, sequence: u64, notice: &Notice) -> Result<(), Error>;

    /// All events of this PF up to this number need not be published again, because everybody whom
    /// they concern has acknowledged them, or because the bus itself keeps them for good. 0: none.
    ///
    /// # Errors
    /// The bus does not answer; it is asked again later.
    fn taken(&mut self) -> Result<u64, Error>;

    /// Gives the bus the means to say that there may be new events. The service asks each second
    /// besides.
    fn on_news(&mut self, wake: BusWake) {
        drop(wake);
    }
}

/// Makes a service look at its bus.
#[derive(Clone)]
pub struct BusWake(Arc<dyn Fn() + Send + Sync>);

impl BusWake {
    pub(super) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// There may be new events.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for BusWake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BusWake")
    }
}
