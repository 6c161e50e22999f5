//! How late key messages leave, as a distribution that takes fixed memory.

use std::time::Duration;

use crate::counter::Counter;

/// Four steps an octave from 1 µs to over an hour.
const STEPS: usize = 4 * 32;

/// Raised by the thread that sends.
#[derive(Debug)]
pub(super) struct LatenessCounter {
    steps: [Counter; STEPS],
    micros: Counter,
    max: Counter,
}

impl LatenessCounter {
    pub(super) fn add(&self, late: Duration) {
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.steps[step(micros)].add(1);
        self.micros.add(micros);
        self.max.add(micros.saturating_sub(self.max.value()));
    }

    pub(super) fn snapshot(&self) -> Lateness {
        Lateness {
            steps: std::array::from_fn(|step| self.steps[step].value()),
            micros: self.micros.value(),
            max: self.max.value(),
        }
    }
}

impl Default for LatenessCounter {
    fn default() -> Self {
        let steps = std::array::from_fn(|_| Counter::default());
        Self { steps, micros: Counter::default(), max: Counter::default() }
    }
}

/// How long after their moment key messages left: from the time that the schedule says, over the
/// journal where the message is a new one, to the return of the send call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lateness {
    steps: [u64; STEPS],
    micros: u64,
    max: u64,
}

impl Lateness {
    /// How many messages.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.steps.iter().sum()
    }

    /// The latest of all.
    #[must_use]
    pub const fn max(&self) -> Duration {
        Duration::from_micros(self.max)
    }

    /// The mean; zero without messages.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_micros(self.micros / self.count().max(1))
    }

    /// What this part of the messages, from 0 to 1, was no later than; up to a fifth too high.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Duration {
        let wanted = part.clamp(0.0, 1.0) * self.count() as f64; // counts below 2^53 are exact
        let mut seen = 0;
        let found = self.steps.iter().position(|count| {
            seen += count;
            *count > 0 && seen as f64 >= wanted
        });
        let above = found.map_or(0, |step| lowest(step + 1));
        Duration::from_micros(above.saturating_sub(1).min(self.max))
    }
}

impl Default for Lateness {
    fn default() -> Self {
        Self { steps: [0; STEPS], micros: 0, max: 0 }
    }
}

/// The step of a number: its highest bit and the two behind it.
fn step(micros: u64) -> usize {
    let octave = micros.max(4).ilog2();
    let quarter = (micros >> (octave - 2)) & 3;
    let small = micros < 4;
    let step = if small { micros } else { 4 * u64::from(octave - 1) + quarter };
    usize::try_from(step).unwrap_or(STEPS).min(STEPS - 1)
}

/// The smallest number of a step.
const fn lowest(step: usize) -> u64 {
    match step {
        0..4 => step as u64,
        _ => (4 + step as u64 % 4) << (step / 4 - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_in_order_and_contain_their_numbers() {
        for micros in (0..5000).chain([1 << 20, (1 << 31) + 7]) {
            let step = step(micros);
            assert!(lowest(step) <= micros && micros < lowest(step + 1), "{micros} in {step}");
        }
        assert_eq!(step(u64::MAX), STEPS - 1);
    }

    #[test]
    fn quantiles_are_no_lower_than_what_was_measured() {
        let counter = LatenessCounter::default();
        assert_eq!(counter.snapshot(), Lateness::default());
        assert_eq!(Lateness::default().quantile(0.5), Duration::ZERO);
        for micros in 1..=1000 {
            counter.add(Duration::from_micros(micros));
        }
        let late = counter.snapshot();
        assert_eq!((late.count(), late.mean().as_micros()), (1000, 500));
        assert_eq!(late.max(), Duration::from_millis(1));
        let median = late.quantile(0.5).as_micros();
        assert!((500..600).contains(&median), "{median}");
        assert_eq!(late.quantile(1.0), late.max());
    }
}
