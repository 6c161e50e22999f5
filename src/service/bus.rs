//! The membership bus (D2): how the PF that controls a channel learns what happens to clients that
//! other PFs serve.
//!
//! ```text
//!  PF B: publish ─► stream of publisher B, numbered from 1 ─► PF A: fetch after the last one taken
//!                                                                   ├─ apply to the core
//!                                                                   ├─ commit, the number with it
//!                                                                   └─ acknowledge up to it
//! ```
//! The number of the last event taken is committed together with what the event changed, so that an
//! event counts exactly once whatever the bus repeats, and whenever a crash comes: before the commit
//! nothing was taken, and the event is fetched again; behind it, it is a repetition.

use std::{fmt, sync::Arc};

use crate::{
    broadcast::ChannelId,
    error::Error,
    keyserver::{Change, ClientId, MembershipEvent, Publisher},
};

/// A durable stream of membership events for each publisher, as one PF uses it.
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

    /// Publishes that something happened to a client of this PF; returns the number of the event,
    /// which is durable then.
    ///
    /// # Errors
    /// The bus does not take it at the moment: the request that it stands for is refused, and may be
    /// asked again.
    fn publish(
        &mut self,
        channel: &ChannelId,
        client: &ClientId,
        change: Change,
    ) -> Result<u64, Error>;

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
