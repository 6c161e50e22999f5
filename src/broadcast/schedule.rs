//! When an MTK message goes out: once ahead of its key, soon again, then steadily for late joiners.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Times and bounds of a broadcaster. Defaults suit speech over a radio network.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BroadcastTiming {
    /// How long an MTK message goes out before the first packet under its key. Default 200 ms.
    pub lead: Duration,
    /// Wait before the second copy of an MTK message; it doubles with each further copy. Default
    /// 50 ms: four copies within the lead.
    pub repeat_first: Duration,
    /// The longest wait between copies: what a late joiner waits at most. Default 1 s.
    pub repeat_every: Duration,
    /// The broadcaster reports when only so many MTK IDs are left under an MSK. Default 16.
    pub mtk_ids_low: u16,
    /// Streams (SSRCs) that are protected at most. Default 4096.
    pub max_streams: usize,
}

impl Default for BroadcastTiming {
    fn default() -> Self {
        Self {
            lead: Duration::from_millis(200),
            repeat_first: Duration::from_millis(50),
            repeat_every: Duration::from_secs(1),
            mtk_ids_low: 16,
            max_streams: 4096,
        }
    }
}

/// When a new traffic key comes into force.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Lead {
    /// After the lead of the [`BroadcastTiming`].
    #[default]
    Usual,
    /// At once: the next packet is protected under it, however late its MTK message arrives.
    None,
}

/// One MTK message and when its next copy is due.
//= TS 33.246 §6.3.3: a message repeated for late joiners is the identical octets
#[derive(Debug)]
pub(super) struct Repetition {
    octets: Arc<[u8]>,
    due: Instant,
    wait: Duration,
}

impl Repetition {
    /// The first copy is due now.
    pub(super) fn starting(octets: Vec<u8>, now: Instant, timing: &BroadcastTiming) -> Self {
        Self { octets: octets.into(), due: now, wait: timing.repeat_first }
    }

    /// The next copy, if it is due. Copies that were missed are not made up for.
    pub(super) fn take(&mut self, now: Instant, timing: &BroadcastTiming) -> Option<Arc<[u8]>> {
        if self.due > now {
            return None;
        }
        let wait = self.wait.clamp(SHORTEST_WAIT, timing.repeat_every.max(SHORTEST_WAIT));
        self.due = now + wait;
        self.wait = wait.saturating_mul(2);
        Some(Arc::clone(&self.octets))
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }
}

/// No schedule sends copies closer together than this, so that a wait of 0 cannot spin.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_come_close_at_first_then_steadily_and_are_the_same_octets() {
        let (timing, start) = (BroadcastTiming::default(), Instant::now());
        let mut repetition = Repetition::starting(vec![1, 2, 3], start, &timing);
        let mut at = Vec::new();
        for millisecond in 0..4000 {
            let now = start + Duration::from_millis(millisecond);
            if let Some(octets) = repetition.take(now, &timing) {
                assert_eq!(&*octets, [1, 2, 3]);
                at.push(millisecond);
            }
        }
        assert_eq!(at, [0, 50, 150, 350, 750, 1550, 2550, 3550]);
    }

    #[test]
    fn schedule_without_waits_does_not_spin() {
        let none = Duration::ZERO;
        let timing = BroadcastTiming {
            repeat_first: none,
            repeat_every: none,
            ..BroadcastTiming::default()
        };
        let now = Instant::now();
        let mut repetition = Repetition::starting(vec![1], now, &timing);
        assert!(repetition.take(now, &timing).is_some());
        assert!(repetition.take(now, &timing).is_none());
    }
}
