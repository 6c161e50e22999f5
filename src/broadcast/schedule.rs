//! When an MTK message goes out: once ahead of its key, soon again, then steadily for late joiners.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Times and bounds of a broadcaster. Defaults suit speech over a radio network. Waits are a day at most,
/// and copies a millisecond apart at least, whatever is set.
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
    /// Streams (SSRCs) that are kept at most. Another one takes the place of the one that has been quiet
    /// for longest, if that has sent nothing under the MTK in force; else it is refused. Default 4096.
    pub max_streams: usize,
    /// A new MTK waits until the caller says that the state is [stored](super::Broadcaster::stored):
    /// before that its message is not sent and nothing is protected under it, and the MTK before goes
    /// on. Off by default: then the caller stores before it carries the actions of a call out.
    pub write_ahead: bool,
    /// After a key change that was not by schedule the first MTK period is cut down to a random part,
    /// so that channels switched together do not change MTKs together. Off by default.
    pub spread: bool,
}

impl BroadcastTiming {
    /// The timing for a caller that stores on another thread; see
    /// [`write_ahead`](Self::write_ahead).
    #[must_use]
    pub const fn with_write_ahead(self) -> Self {
        Self { write_ahead: true, ..self }
    }

    /// The timing for one of many channels; see [`spread`](Self::spread).
    #[must_use]
    pub const fn with_spread(self) -> Self {
        Self { spread: true, ..self }
    }
}

impl Default for BroadcastTiming {
    fn default() -> Self {
        Self {
            lead: Duration::from_millis(200),
            repeat_first: Duration::from_millis(50),
            repeat_every: Duration::from_secs(1),
            mtk_ids_low: 16,
            max_streams: 4096,
            write_ahead: false,
            spread: false,
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

/// Why a new traffic key is made.
#[derive(Clone, Copy)]
pub(super) enum Due {
    /// The period of the one before is over.
    BySchedule,
    /// Somebody wants it: the key server, the operator.
    ByCommand(Lead),
}

impl Due {
    /// From the first copy of its message to the first packet under it.
    pub(super) fn lead(self, timing: &BroadcastTiming) -> Duration {
        match self {
            Self::ByCommand(Lead::None) => Duration::ZERO,
            _ => timing.lead.min(LONGEST_WAIT),
        }
    }

    /// How long it will be used, where keys are used for this period.
    pub(super) fn period(
        self,
        period: Duration,
        timing: &BroadcastTiming,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Duration {
        match self {
            Self::ByCommand(_) if timing.spread => part_of(period, random),
            _ => period,
        }
    }
}

impl From<Lead> for Due {
    fn from(lead: Lead) -> Self {
        Self::ByCommand(lead)
    }
}

/// A random part of a period, an eighth of it at least.
fn part_of(period: Duration, random: &mut dyn FnMut(&mut [u8])) -> Duration {
    let mut drawn = [0; 2];
    random(&mut drawn);
    let part = f64::from(u16::from_be_bytes(drawn)) / f64::from(u16::MAX);
    let eighth = period / 8;
    eighth + (period - eighth).mul_f64(part)
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
        let wait =
            self.wait.clamp(SHORTEST_WAIT, timing.repeat_every.clamp(SHORTEST_WAIT, LONGEST_WAIT));
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

/// No longer time is waited for, so that no sum of times overflows.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

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
    fn channels_switched_together_change_their_next_mtk_at_times_of_their_own() {
        let period = Duration::from_secs(8);
        let timing = BroadcastTiming::default();
        let first =
            |due: Due, timing, drawn: u8| due.period(period, timing, &mut |out| out.fill(drawn));
        let (command, spread) = (Due::ByCommand(Lead::None), timing.with_spread());
        assert_eq!(first(command, &timing, 0x80), period);
        assert_eq!(first(command, &spread, 0), period / 8);
        assert_eq!(first(command, &spread, 0xff), period);
        let half = first(command, &spread, 0x80);
        assert!((4_500..4_600).contains(&half.as_millis()), "{half:?}");
        assert_eq!(first(Due::BySchedule, &spread, 0), period, "the distance stays");
    }

    #[test]
    fn waits_without_end_are_a_day() {
        let forever = Duration::MAX;
        let timing = BroadcastTiming {
            lead: forever,
            repeat_first: forever,
            repeat_every: forever,
            ..BroadcastTiming::default()
        };
        let now = Instant::now();
        let mut repetition = Repetition::starting(vec![1], now, &timing);
        assert!(repetition.take(now, &timing).is_some());
        assert_eq!(repetition.due(), now + LONGEST_WAIT);
        assert_eq!(Due::BySchedule.lead(&timing), LONGEST_WAIT);
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
