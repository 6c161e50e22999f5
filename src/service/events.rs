//! The events of the last while, for any number of readers that wait for none of each other.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::{
    counters::Count,
    event::{Event, EventKind, since_1970},
    log::log,
};
use crate::broadcast::ChannelId;

/// The newest events, up to a limit.
#[derive(Debug)]
pub(super) struct Ring {
    kept: Mutex<Kept>,
    news: Condvar,
    /// Events that readers have missed, each counted for each reader.
    pub(super) missed: Count,
    /// Wakers that panicked, and were not called again.
    pub(super) panics: Count,
}

struct Kept {
    events: VecDeque<Arc<Event>>,
    limit: usize,
    /// The first number of this run: those before it are of another one.
    first_id: u64,
    next_id: u64,
    ended: bool,
    wakers: Vec<Waker>,
}

/// Called when there is news; says whether it is to be called again.
type Waker = Box<dyn FnMut() -> bool + Send>;

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kept({} events of {}, next {})", self.events.len(), self.limit, self.next_id)
    }
}

impl Ring {
    /// An empty ring. The first number tells the time of the start, so that numbers rise over
    /// restarts unless the clock was set back; it stays exact in a JSON number for two centuries.
    pub(super) fn new(limit: usize, start: SystemTime) -> Self {
        let first_id = since_1970(start).saturating_mul(IDS_PER_MILLISECOND).max(1);
        let (events, wakers, limit) = (VecDeque::new(), Vec::new(), limit.max(1));
        let kept = Kept { events, limit, first_id, next_id: first_id, ended: false, wakers };
        Self {
            kept: Mutex::new(kept),
            news: Condvar::new(),
            missed: Count::default(),
            panics: Count::default(),
        }
    }

    pub(super) fn publish(
        &self,
        events: impl IntoIterator<Item = (Option<ChannelId>, EventKind)>,
        at: SystemTime,
    ) {
        let mut told = Vec::new();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for (channel, kind) in events {
            let id = kept.next_id;
            kept.next_id += 1;
            if kept.events.len() == kept.limit {
                kept.events.pop_front();
            }
            let event = Arc::new(Event { id, at, channel, kind });
            told.push(Arc::clone(&event));
            kept.events.push_back(event);
        }
        self.tell(kept);
        told.iter().for_each(|event| log(event));
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.ended = true;
        self.tell(kept);
    }

    /// Calls a waker; tells whether it is to be called again.
    fn wakes(&self, wake: &mut Waker) -> bool {
        catch_unwind(AssertUnwindSafe(wake)).unwrap_or_else(|_| {
            self.panics.add(1);
            false
        })
    }

    /// The events behind a number, which moves on.
    fn read(&self, kept: &Kept, after: &mut u64, limit: usize) -> Batch {
        let oldest = kept.events.front().map_or(kept.next_id, |event| event.id);
        let next = after.saturating_add(1).max(kept.first_id);
        let missed = oldest.saturating_sub(next);
        let from = usize::try_from(next.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let events: Vec<_> = kept.events.iter().skip(from).take(limit).cloned().collect();
        if let Some(last) = events.last() {
            self.missed.add(missed);
            *after = last.id;
        }
        let ended = kept.ended && events.is_empty();
        Batch { events, missed, ended }
    }

    fn tell(&self, mut kept: std::sync::MutexGuard<'_, Kept>) {
        kept.wakers.retain_mut(|wake| self.wakes(wake));
        drop(kept);
        self.news.notify_all();
    }
}

/// A reader's place among the events.
#[derive(Debug)]
pub struct Subscription {
    ring: Arc<Ring>,
    /// The number of the last event read.
    after: u64,
}

/// What a [`Subscription`] has to tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Batch {
    /// The events, oldest first.
    pub events: Vec<Arc<Event>>,
    /// Events before them that this reader has missed, because it came too late for the ring. Those
    /// of an earlier run are not counted: [`EventKind::Started`] tells that there was one.
    pub missed: u64,
    /// The service has stopped: nothing more will come.
    pub ended: bool,
}

impl Subscription {
    /// After the event with this number; `None`: from now on. A number of an earlier run, or of
    /// events that are gone, begins with the oldest event there is.
    pub(super) fn new(ring: Arc<Ring>, after: Option<u64>) -> Self {
        let newest = {
            let kept = ring.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.next_id - 1
        };
        // A number from the future would wait for centuries.
        Self { ring, after: after.map_or(newest, |after| after.min(newest)) }
    }

    /// What there is, up to `limit` events, without waiting.
    pub fn take(&mut self, limit: usize) -> Batch {
        let kept = self.ring.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.ring.read(&kept, &mut self.after, limit)
    }

    /// Waits for events, for some time at most, and takes up to `limit` of them.
    pub fn wait(&mut self, limit: usize, timeout: Duration) -> Batch {
        let deadline = Instant::now().checked_add(timeout);
        let mut kept = self.ring.kept.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let batch = self.ring.read(&kept, &mut self.after, limit);
            let left = deadline.map_or(LONG, |at| at.saturating_duration_since(Instant::now()));
            if !batch.events.is_empty() || batch.ended || left.is_zero() {
                return batch;
            }
            let waited = self.ring.news.wait_timeout(kept, left);
            kept = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Has `wake` called with each news from now on, and at once if there are any, until it returns
    /// `false`: for asynchronous shells. It is called by the service's thread, and must neither
    /// wait nor call the service.
    pub fn on_news(&self, wake: impl FnMut() -> bool + Send + 'static) {
        let mut kept = self.ring.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let news = kept.next_id - 1 > self.after || kept.ended;
        let mut wake: Waker = Box::new(wake);
        if !news || self.ring.wakes(&mut wake) {
            kept.wakers.push(wake);
        }
    }
}

/// More events a millisecond on average than any key server tells.
const IDS_PER_MILLISECOND: u64 = 1 << 10;
/// Waits without a deadline are cut into pieces of this length.
const LONG: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn ring(limit: usize, start_ms: u64) -> Arc<Ring> {
        Arc::new(Ring::new(limit, UNIX_EPOCH + Duration::from_millis(start_ms)))
    }

    fn publish(ring: &Ring, count: usize) {
        let events = std::iter::repeat_n((None, EventKind::StateWritable), count);
        ring.publish(events, UNIX_EPOCH);
    }

    #[test]
    fn slow_reader_is_told_what_it_missed_and_goes_on_with_the_oldest() {
        let ring = ring(3, 1);
        let mut reader = Subscription::new(Arc::clone(&ring), None);
        publish(&ring, 5);
        let batch = reader.take(2);
        assert_eq!((batch.events.len(), batch.missed), (2, 2), "events 3 and 4 of 5");
        let batch = reader.take(9);
        assert_eq!((batch.events.len(), batch.missed), (1, 0));
        assert!(reader.take(9).events.is_empty());
    }

    #[test]
    fn reader_goes_on_where_it_was_and_a_number_of_the_future_is_no_wait_for_ever() {
        let ring = ring(8, 1);
        publish(&ring, 3);
        let first = Subscription::new(Arc::clone(&ring), Some(0)).take(9).events;
        let mut again = Subscription::new(Arc::clone(&ring), Some(first[0].id));
        assert_eq!(again.take(9).events, first[1..]);
        let mut lost = Subscription::new(Arc::clone(&ring), Some(u64::MAX));
        publish(&ring, 1);
        assert_eq!(lost.take(9).events.len(), 1);
    }

    #[test]
    fn numbers_go_on_above_the_former_after_a_restart() {
        let former = ring(8, 1_800_000_000_000);
        publish(&former, 8);
        let newest = Subscription::new(former, Some(0)).take(9).events.pop().unwrap().id;
        let next = ring(8, 1_800_000_000_001);
        let mut reader = Subscription::new(Arc::clone(&next), Some(newest));
        publish(&next, 1);
        assert!(reader.take(9).events[0].id > newest);
        assert!(newest < 1 << 53, "exact in a JSON number");
    }

    #[test]
    fn end_wakes_who_waits() {
        let ring = ring(3, 1);
        let mut reader = Subscription::new(Arc::clone(&ring), None);
        let waits = std::thread::spawn(move || reader.wait(1, Duration::from_secs(60)));
        ring.end();
        assert!(waits.join().unwrap().ended);
    }

    #[test]
    fn waker_is_called_at_once_for_what_is_there_and_gone_when_it_says_so() {
        let ring = ring(3, 1);
        let reader = Subscription::new(Arc::clone(&ring), None);
        publish(&ring, 1);
        let (told, hears) = crossbeam_channel::unbounded();
        reader.on_news(move || told.send(()).is_ok());
        publish(&ring, 1);
        assert_eq!(hears.try_iter().count(), 2);
        drop(hears);
        publish(&ring, 1);
        assert!(ring.kept.lock().unwrap().wakers.is_empty());
    }
}
