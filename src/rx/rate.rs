//! How often something may happen, and whose share of a bound a datagram counts to.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use crate::ids::GroupId;

/// A number of events a second, of which a second's worth may come at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    interval: Duration,
    /// When the events so far would have been over, had they kept their distance.
    over: Option<Instant>,
}

impl Rate {
    /// At most so many events a second; 0 for none at all.
    pub(super) const fn per_second(events: u32) -> Self {
        let interval = match SECOND.checked_div(events) {
            Some(interval) => interval,
            None => Duration::MAX,
        };
        Self { interval, over: None }
    }

    /// Whether another event may happen now; if so, it counts.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let start = self.over.map_or(now, |over| over.max(now));
        let over = start.checked_add(self.interval);
        let over = over.filter(|over| over.saturating_duration_since(now) <= SECOND);
        self.over = over.or(self.over);
        over.is_some()
    }
}

/// The same for each source of a group apart, as far as [`source_place`] tells them apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateBySource([Rate; SOURCES]);

impl RateBySource {
    pub(crate) const fn per_second(events: u32) -> Self {
        Self([Rate::per_second(events); SOURCES])
    }

    pub(crate) fn allows(&mut self, source: SocketAddr, now: Instant) -> bool {
        self.0[source_place(source)].allows(now)
    }
}

/// A rate for each group, by its number.
#[derive(Debug)]
pub(super) struct ByGroup<R> {
    rates: Vec<R>,
    new: R,
}

impl<R: Clone> ByGroup<R> {
    pub(super) const fn new(new: R) -> Self {
        Self { rates: Vec::new(), new }
    }

    pub(super) fn add(&mut self, group: GroupId) {
        let len = self.rates.len().max(group.0 as usize + 1);
        self.rates.resize(len, self.new.clone());
    }

    pub(super) fn of(&mut self, group: GroupId) -> &mut R {
        // Groups that were not added share what is there for new ones.
        self.rates.get_mut(group.0 as usize).unwrap_or(&mut self.new)
    }
}

/// A source address as one of a few numbers, whatever its port: what comes from one host counts to one
/// share, so that the shares of other hosts are left alone.
pub(super) fn source_place(source: SocketAddr) -> usize {
    let bits = match source.ip() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            (bits ^ bits >> 64) as u64
        }
    };
    // The upper five bits of Fibonacci hashing.
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59) as usize
}

/// Shares by source.
pub(super) const SOURCES: usize = 32;
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_may_come_at_once_and_then_each_in_its_time() {
        let (mut rate, start) = (Rate::per_second(10), Instant::now());
        let allowed = |rate: &mut Rate, ms: u64| {
            let now = start + Duration::from_millis(ms);
            (0..100).filter(|_| rate.allows(now)).count()
        };
        assert_eq!(allowed(&mut rate, 0), 10);
        assert_eq!((allowed(&mut rate, 99), allowed(&mut rate, 100)), (0, 1));
        assert_eq!((allowed(&mut rate, 550), allowed(&mut rate, 9000)), (4, 10));
        assert!(!Rate::per_second(0).allows(start));
    }

    #[test]
    fn sources_of_one_network_have_different_shares() {
        let place = |host: u8| source_place(SocketAddr::from(([192, 0, 2, host], 5)));
        let places: std::collections::BTreeSet<_> = (0..=255).map(place).collect();
        assert_eq!(places.len(), SOURCES);
        assert_eq!(place(1), source_place(SocketAddr::from(([192, 0, 2, 1], 6))));
    }
}
