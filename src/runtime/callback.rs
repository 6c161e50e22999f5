//! The user's callback, which may panic without taking a thread of the gateway along.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use crate::{
    error::Reject,
    rx::{Event, KeyMessage, Sink},
};

use super::{
    durable::{StreamPlace, StreamWatch},
    queue::KeyQueue,
};

/// The callback, and how often it has panicked. Shared by all threads.
pub(super) struct Callback<F> {
    call: F,
    panics: AtomicU64,
}

impl<F: Fn(Event<'_>)> Callback<F> {
    pub(super) const fn new(call: F) -> Self {
        Self { call, panics: AtomicU64::new(0) }
    }

    /// Hands an event over. If the callback panics, that event is lost to it and nothing else: streams
    /// have moved before, and the thread goes on.
    #[inline]
    pub(super) fn event(&self, event: Event<'_>) {
        if catch_unwind(AssertUnwindSafe(|| (self.call)(event))).is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How often a callback of whatever type has panicked.
pub(super) trait Panics: Send + Sync {
    fn panics(&self) -> u64;
}

impl<F: Send + Sync> Panics for Callback<F> {
    fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

/// Where a lane of the gateway delivers.
pub(super) struct LaneSink<F> {
    pub(super) callback: std::sync::Arc<Callback<F>>,
    pub(super) keys: KeyQueue,
    pub(super) streams: StreamWatch,
}

impl<F> Clone for LaneSink<F> {
    fn clone(&self) -> Self {
        let Self { callback, keys, streams } = self;
        let callback = std::sync::Arc::clone(callback);
        Self { callback, keys: keys.clone(), streams: streams.clone() }
    }
}

impl<F: Fn(Event<'_>)> Sink for LaneSink<F> {
    #[inline]
    fn event(&mut self, event: Event<'_>) {
        self.callback.event(event);
    }

    fn key_message(&mut self, message: KeyMessage<'_>) -> Result<(), Reject> {
        self.keys.offer_from(&message)
    }

    fn streams(&mut self, now: Instant, streams: &mut dyn Iterator<Item = StreamPlace>) {
        self.streams.look(now, streams);
    }
}
