//! A warning that is written once a minute, however often there is cause.

use std::time::{Duration, Instant};

/// When a warning may be written again, and how often there was cause since.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    next: Option<Instant>,
    causes: u64,
}

impl Seldom {
    /// Notes a cause; `Some` of how many there were since the last warning, if one is due.
    pub(crate) fn note(&mut self, now: Instant) -> Option<u64> {
        self.causes += 1;
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        self.next = Some(now + INTERVAL);
        Some(std::mem::take(&mut self.causes))
    }
}

const INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_repeats_is_written_once_a_minute_with_its_count() {
        let (mut seldom, start) = (Seldom::default(), Instant::now());
        let written: Vec<_> =
            (0..130).map(|second| seldom.note(start + Duration::from_secs(second))).collect();
        assert_eq!(written.iter().flatten().collect::<Vec<_>>(), [&1, &60, &60]);
    }
}
