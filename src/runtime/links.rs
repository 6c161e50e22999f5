//! The thread that follows network interfaces: one that was deleted and made again is another to the
//! kernel, and what was joined on it is gone.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tracing::debug;

use super::sockets::SocketTable;
use crate::{
    counter::Counter,
    net::{LinkChanges, LinkWatch},
};

/// Counters of the thread.
#[derive(Debug, Default)]
pub(super) struct LinkCounters {
    pub(super) lost: Counter,
    pub(super) rejoined: Counter,
}

/// Follows the interfaces until told to stop.
pub(super) fn follow(
    watch: &mut LinkWatch,
    sockets: &Mutex<SocketTable>,
    counters: &LinkCounters,
    stop: &AtomicBool,
) {
    let mut patience = None;
    while !stop.load(Ordering::Relaxed) {
        let changes = watch.wait(patience).unwrap_or_else(|error| {
            debug!(%error, "news of interfaces");
            // One that stays would come again at once.
            std::thread::sleep(RETRY);
            LinkChanges { any: true, ..LinkChanges::default() }
        });
        if changes.any || patience.is_some() {
            let mut sockets = sockets.lock().unwrap_or_else(PoisonError::into_inner);
            let followed = sockets.follow(&changes.deleted);
            // An interface may be back before it can be joined on.
            patience = sockets.waits().then_some(RETRY);
            drop(sockets);
            counters.lost.add(followed.lost);
            counters.rejoined.add(followed.rejoined);
            // Changes come in swarms.
            std::thread::sleep(SETTLE);
        }
    }
}

const RETRY: Duration = Duration::from_secs(1);
const SETTLE: Duration = Duration::from_millis(20);
