//! When each channel has something to do, in the order of time.

use std::{collections::BTreeSet, time::Instant};

/// The next moment of every channel.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    due: BTreeSet<(Instant, u64)>,
}

impl Agenda {
    /// Moves a channel, by its number, from its former moment to another, or to none.
    pub(super) fn set(&mut self, number: u64, from: &mut Option<Instant>, to: Option<Instant>) {
        if *from == to {
            return;
        }
        if let Some(from) = *from {
            self.due.remove(&(from, number));
        }
        if let Some(to) = to {
            self.due.insert((to, number));
        }
        *from = to;
    }

    /// The earliest moment.
    pub(super) fn first(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A channel whose moment has come, and when that was.
    pub(super) fn due(&self, now: Instant) -> Option<(Instant, u64)> {
        self.due.first().copied().filter(|(at, _)| *at <= now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn channels_come_in_the_order_of_their_moments_and_each_once() {
        let (now, mut agenda) = (Instant::now(), Agenda::default());
        let after = |ms| Some(now + Duration::from_millis(ms));
        let mut places = [None; 3];
        for (number, ms) in [(0, 30), (1, 10), (2, 20), (0, 5), (1, 40)] {
            agenda.set(number as u64, &mut places[number], after(ms));
        }
        agenda.set(2, &mut places[2], None);
        assert_eq!(agenda.first(), after(5));
        let mut seen = Vec::new();
        while let Some((at, number)) = agenda.due(now + Duration::from_millis(40)) {
            seen.push((at, number));
            agenda.set(number, &mut places[number as usize], None);
        }
        assert_eq!(seen, [(after(5).unwrap(), 0), (after(40).unwrap(), 1)]);
        assert_eq!(agenda.first(), None);
    }
}
