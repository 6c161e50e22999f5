//! What the service has done, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::request::RefusedKind;
use crate::counter::{RejectCounters, RejectStats};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What a key service has done since its start.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
        pub struct KeyServiceCounters {
            $($(#[doc = $doc])+ pub $name: u64,)+
            /// Requests refused, in the order of [`RefusedKind::ALL`].
            pub refused: [u64; RefusedKind::ALL.len()],
            /// Verification messages refused, and why.
            pub verifications_refused: RejectStats,
        }

        impl KeyServiceCounters {
            /// Every plain number with its name, for metrics.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }
        }

        /// The same while they are counted, by several threads.
        #[derive(Debug, Default)]
        pub(super) struct Counts {
            $(pub(super) $name: Count,)+
            refused: [Count; RefusedKind::ALL.len()],
            /// Raised by the service's thread alone.
            pub(super) verifications_refused: RejectCounters,
        }

        impl Counts {
            pub(super) fn snapshot(&self) -> KeyServiceCounters {
                KeyServiceCounters {
                    $($name: self.$name.value(),)+
                    refused: std::array::from_fn(|kind| self.refused[kind].value()),
                    verifications_refused: self.verifications_refused.snapshot(),
                }
            }
        }
    };
}

counters! {
    /// Requests taken up, refused ones among them.
    requests,
    /// Requests that found the queue full; counted as refused (unavailable) also.
    queue_full,
    /// Commits that wrote something.
    commits,
    /// Commits that failed.
    commits_failed,
    /// MSK messages sent by UDP, repetitions included.
    msk_messages_sent,
    /// MSK messages that the system did not take, for example because the buffer of the socket was
    /// full; they are repeated as if they had been lost on the way.
    msk_messages_not_sent,
    /// SDP offers made ready.
    offers,
    /// MSKs confirmed by clients.
    confirmations,
    /// MSKs that were given up on.
    gave_up,
    /// MSK updates begun.
    updates,
    /// Switches to another MSK.
    switches,
    /// Datagrams to the MIKEY socket that found their queue full; clients repeat nothing, but the
    /// MSK message is repeated.
    datagrams_dropped,
    /// Versions of channel documents made ready for broadcasters.
    documents_published,
    /// Waits for a document that were refused.
    document_waits_refused,
    /// Events told.
    events,
    /// Events that readers have missed because they came too late, each counted for each reader.
    events_missed,
    /// Events taken off the membership bus and applied.
    bus_events,
    /// Events taken off the membership bus whose change could not be made.
    bus_events_failed,
    /// Events taken off the membership bus that are about channels which another PF controls.
    bus_ignored,
    /// Events published on the membership bus; after a restart some of them again.
    bus_published,
    /// Events of the membership bus that had been taken before.
    bus_repeated,
    /// Gaps seen on the membership bus.
    bus_gaps,
    /// Calls of the membership bus that failed.
    bus_failures,
    /// Callbacks (answers, looks, waits, news of events) that panicked.
    callback_panics,
}

impl KeyServiceCounters {
    /// How many requests were refused for this reason.
    #[must_use]
    pub const fn refused(&self, kind: RefusedKind) -> u64 {
        self.refused[kind as usize]
    }
}

impl Counts {
    pub(super) fn refused(&self, kind: RefusedKind) {
        self.refused[kind as usize].add(1);
    }
}

/// A number raised by any thread.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
