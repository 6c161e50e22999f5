//! When things are due, and how long to wait before a message is sent again.
//!
//! Time comes in as an argument; nothing here reads a clock.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{ChannelSpec, ClientId, Reach};
use crate::broadcast::ChannelId;

/// How often an unanswered MSK message is sent again, and how many times in all.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retry {
    /// Wait before the second copy; it doubles with each further one.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Copies sent in all, the first included. At least 1.
    pub tries: u32,
}

impl Retry {
    /// Over UDP: 8 copies within about half a minute.
    pub const UDP: Self =
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(8), tries: 8 };

    /// In a SIP session, which repeats lost requests by itself: 3 offers.
    pub const SDP: Self =
        Self { first: Duration::from_secs(10), longest: Duration::from_secs(40), tries: 3 };

    /// Other waits and another number of tries; 0 tries count as 1, waits below a millisecond as one,
    /// and beyond a day as a day.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration, tries: u32) -> Self {
        Self { first, longest, tries: if tries == 0 { 1 } else { tries } }
    }

    /// How long to wait for an answer after the copy with this number, counted from 1.
    #[must_use]
    pub fn wait_after(&self, copy: u32) -> Duration {
        let doublings = copy.saturating_sub(1).min(31);
        let wait = self.first.saturating_mul(1 << doublings).min(self.longest);
        wait.clamp(SHORTEST_WAIT, ChannelSpec::LONGEST_WAIT)
    }
}

/// The waits of the key server for clients, in all channels. Defaults suit a radio network; deadline
/// and grace of an update are in the [`ChannelSpec`](super::ChannelSpec).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// Repetition over UDP.
    pub udp: Retry,
    /// Repetition in SDP.
    pub sdp: Retry,
}

impl Timing {
    /// How messages to a client that is reached like this are repeated.
    pub(super) const fn retry(&self, reach: Reach) -> Retry {
        match reach {
            Reach::Udp(_) => self.udp,
            Reach::Sdp => self.sdp,
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self { udp: Retry::UDP, sdp: Retry::SDP }
    }
}

/// Something to look at when its time has come. It may have become pointless meanwhile: whoever
/// takes it up checks the state it refers to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Job {
    /// The deadline of an update, the end of a window, of an MSK's lifetime or an old MSK's grace.
    Channel(ChannelId),
    /// No answer yet from a client.
    Client(ChannelId, ClientId),
}

/// What is due when, soonest first. An update makes as many jobs as it has members, most of them for
/// the same time.
#[derive(Debug, Default)]
pub(super) struct Agenda(BTreeMap<Instant, VecDeque<Job>>);

impl Agenda {
    pub(super) fn add(&mut self, due: Instant, job: Job) {
        let jobs = self.0.entry(due).or_default();
        if jobs.back() != Some(&job) {
            jobs.push_back(job);
        }
    }

    /// The next job whose time has come.
    pub(super) fn take(&mut self, now: Instant) -> Option<Job> {
        let mut first = self.0.first_entry().filter(|first| *first.key() <= now)?;
        let job = first.get_mut().pop_front();
        if first.get().is_empty() {
            first.remove();
        }
        job
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first_key_value().map(|(due, _)| *due)
    }
}

/// So that a wait of 0 cannot spin.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let retry = Retry::new(Duration::from_millis(500), Duration::from_secs(3), 9);
        let waits: Vec<_> = (1..=5).map(|copy| retry.wait_after(copy).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 3000, 3000]);
        assert_eq!(retry.wait_after(u32::MAX), Duration::from_secs(3));
    }

    #[test]
    fn waits_that_would_hang_or_overflow_are_bounded() {
        let (none, forever) = (Duration::ZERO, Duration::MAX);
        assert_eq!(Retry::new(none, none, 3).wait_after(2), SHORTEST_WAIT);
        assert_eq!(Retry::new(forever, forever, 3).wait_after(9), ChannelSpec::LONGEST_WAIT);
    }

    #[test]
    fn agenda_gives_what_is_due_in_order_and_nothing_early() {
        let (mut agenda, start) = (Agenda::default(), Instant::now());
        let job = |name: &str| Job::Channel(name.into());
        agenda.add(start + Duration::from_secs(2), job("late"));
        agenda.add(start + Duration::from_secs(1), job("soon"));
        assert_eq!(agenda.next(), Some(start + Duration::from_secs(1)));
        assert_eq!(agenda.take(start), None);
        let then = start + Duration::from_secs(3);
        assert_eq!((agenda.take(then), agenda.take(then)), (Some(job("soon")), Some(job("late"))));
        assert_eq!(agenda.next(), None);
    }
}
