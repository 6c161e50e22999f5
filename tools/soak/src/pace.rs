//! The time of bursts.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Bursts at even intervals from the first on. One that was missed is made up for at no more than
/// twice the pace, because real senders do not send a second's packets at once either.
#[derive(Debug)]
pub struct Pace {
    start: Instant,
    interval: Duration,
    bursts: u32,
    last: Instant,
    worst: Duration,
}

impl Pace {
    /// The first burst is due now.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        let now = Instant::now();
        Self { start: now, interval, bursts: 0, last: now, worst: Duration::ZERO }
    }

    /// Waits for the next burst: sleeps while the system's timer is good enough, then watches the
    /// clock.
    pub fn wait(&mut self) {
        let due = self.start + self.interval.saturating_mul(self.bursts);
        let due = if self.bursts == 0 { due } else { due.max(self.last + self.interval / 2) };
        self.bursts = self.bursts.saturating_add(1);
        loop {
            let now = Instant::now();
            match due.checked_duration_since(now) {
                None | Some(Duration::ZERO) => {
                    self.worst = self.worst.max(now - due);
                    self.last = now;
                    return;
                }
                Some(left) if left > TIMER => thread::sleep(left - TIMER),
                Some(_) => thread::yield_now(),
            }
        }
    }

    /// The longest that a burst was late.
    #[must_use]
    pub const fn worst(&self) -> Duration {
        self.worst
    }
}

/// How late a sleeping thread may wake.
const TIMER: Duration = Duration::from_micros(100);
