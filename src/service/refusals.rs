//! Verification messages that were refused, told as one event a minute for each reason: whoever can
//! send datagrams could fill the events else.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{effect::Effects, event::EventKind};
use crate::error::Reject;

/// Refusals by reason.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Reject, Untold>);

#[derive(Debug, Default)]
struct Untold {
    count: u64,
    first: Option<SocketAddr>,
    told: Option<Instant>,
}

impl Refusals {
    pub(super) fn note(&mut self, reason: Reject, source: Option<SocketAddr>) {
        let untold = self.0.entry(reason).or_default();
        if untold.count == 0 {
            untold.first = source;
        }
        untold.count += 1;
    }

    /// Tells what has not been told for a minute.
    pub(super) fn tell(&mut self, now: Instant, effects: &mut Effects) {
        for (reason, untold) in &mut self.0 {
            let lately =
                untold.told.is_some_and(|told| now.saturating_duration_since(told) < MINUTE);
            if untold.count == 0 || lately {
                continue;
            }
            untold.told = Some(now);
            let (source, count) = (untold.first.take(), std::mem::take(&mut untold.count));
            let kind = EventKind::VerificationRefused { reason: *reason, source, count };
            effects.tell(None, kind);
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::effect::Effect;

    #[test]
    fn flood_of_forged_answers_is_one_event_a_minute_with_its_count() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let source = |port| Some(SocketAddr::from(([192, 0, 2, 1], port)));
        let mut effects = Effects::default();
        for second in 0..=60 {
            for port in 1..=100 {
                refusals.note(Reject::KeyAuthFailed, source(port));
            }
            refusals.tell(start + Duration::from_secs(second), &mut effects);
        }
        let told: Vec<_> = effects
            .list
            .iter()
            .map(|effect| match effect {
                Effect::Tell(_, EventKind::VerificationRefused { source, count, .. }) => {
                    (*source, *count)
                }
                _ => panic!("nothing else is told"),
            })
            .collect();
        assert_eq!(told, [(source(1), 100), (source(1), 6000)]);
    }
}
