//! The network between two points, as a function of seed, time and datagrams.

use std::{collections::BTreeMap, ops::Add, time::Duration};

use serde::Serialize;

use crate::random::Random;

/// What is wrong with a network. The default is a perfect one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairments {
    /// Part of the datagrams that are lost, each by itself: 0 to 1.
    pub drop: f64,
    /// Losses that come in bursts.
    pub bursts: Option<Bursts>,
    /// Delay of every datagram.
    pub delay: Duration,
    /// Further delay of each copy, evenly distributed from nothing to this. Datagrams closer to each
    /// other than that may change places.
    pub jitter: Duration,
    /// Part of the datagrams that arrive twice; the second copy has a jitter of its own.
    pub duplicate: f64,
    /// Part of the copies that come late by [`Self::late`], behind what was sent after them.
    pub reorder: f64,
    /// How late those are.
    pub late: Duration,
    /// Part of the copies of which one octet is damaged: one to eight of its bits.
    pub corrupt: f64,
}

/// Burst loss after Gilbert and Elliott: in its bad state the network loses more than in its good one,
/// where [`Impairments::drop`] holds alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// Chance that a datagram turns a good network bad: 1 by the mean distance of bursts.
    pub enter: f64,
    /// Chance that a datagram turns a bad network good: 1 by the mean length of bursts.
    pub leave: f64,
    /// Part of the datagrams that a bad network loses.
    pub loss: f64,
}

/// What became of the datagrams so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Counts {
    /// Datagrams sent into the network.
    pub sent: u64,
    /// Lost by themselves.
    pub dropped: u64,
    /// Lost in a burst.
    pub burst_dropped: u64,
    /// Second copies.
    pub duplicated: u64,
    /// Copies that were late on purpose.
    pub reordered: u64,
    /// Copies with a damaged octet.
    pub corrupted: u64,
    /// Copies that arrived, damaged ones included.
    pub arrived: u64,
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            dropped: self.dropped + other.dropped,
            burst_dropped: self.burst_dropped + other.burst_dropped,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            corrupted: self.corrupted + other.corrupted,
            arrived: self.arrived + other.arrived,
        }
    }
}

/// One direction of a network.
#[derive(Debug)]
pub struct Link {
    impairments: Impairments,
    seed: u64,
    bad: bool,
    /// By time of arrival, those of the same moment in the order they were sent.
    under_way: BTreeMap<(Duration, u64), (Vec<u8>, bool)>,
    copies: u64,
    counts: Counts,
}

/// A datagram at the end of its way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Arrival {
    /// When it arrives.
    pub at: Duration,
    /// Its octets.
    pub octets: Vec<u8>,
    /// Whether one of them is damaged.
    pub corrupted: bool,
}

impl Link {
    /// A network with nothing under way. The same seed and datagrams give the same arrivals.
    #[must_use]
    pub fn new(impairments: Impairments, seed: u64) -> Self {
        let (under_way, counts) = (BTreeMap::new(), Counts::default());
        Self { impairments, seed, bad: false, under_way, copies: 0, counts }
    }

    /// Sends a datagram at this time, counted from any fixed moment.
    pub fn send(&mut self, now: Duration, datagram: &[u8]) {
        let random = &mut Random::of_datagram(self.seed, self.counts.sent);
        self.counts.sent += 1;
        // Every number is drawn, needed or not: one impairment does not change the dice of another.
        let dropped = random.chance(self.impairments.drop);
        if self.is_lost_in_burst(random) {
            self.counts.burst_dropped += 1;
            return;
        }
        if dropped {
            self.counts.dropped += 1;
            return;
        }
        let twice = random.chance(self.impairments.duplicate);
        self.counts.duplicated += u64::from(twice);
        for _ in 0..1 + usize::from(twice) {
            self.send_copy(now, datagram, random);
        }
    }

    /// When the next datagram arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Duration> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }

    /// Takes the next datagram that has arrived by this time.
    pub fn receive(&mut self, now: Duration) -> Option<Arrival> {
        let entry = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((at, _), (octets, corrupted)) = entry.remove_entry();
        self.counts.arrived += 1;
        Some(Arrival { at, octets, corrupted })
    }

    /// What became of the datagrams so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Moves between the good and the bad state, and tells whether the bad one takes the datagram.
    fn is_lost_in_burst(&mut self, random: &mut Random) -> bool {
        let (turn, loss) = (random.fraction(), random.fraction());
        let Some(bursts) = self.impairments.bursts else { return false };
        self.bad = if self.bad { turn >= bursts.leave } else { turn < bursts.enter };
        self.bad && loss < bursts.loss
    }

    fn send_copy(&mut self, now: Duration, datagram: &[u8], random: &mut Random) {
        let Impairments { delay, jitter, reorder, late, corrupt, .. } = self.impairments;
        let mut at = now.saturating_add(delay).saturating_add(jitter.mul_f64(random.fraction()));
        if random.chance(reorder) {
            self.counts.reordered += 1;
            at = at.saturating_add(late);
        }
        let mut octets = datagram.to_vec();
        let (damaged, pattern) = (random.chance(corrupt), random.below(255));
        let corrupted = damaged && !octets.is_empty();
        if corrupted {
            self.counts.corrupted += 1;
            let place = random.below(octets.len());
            // 1 to 255: at least one bit changes.
            octets[place] ^= pattern as u8 + 1;
        }
        self.under_way.insert((at, self.copies), (octets, corrupted));
        self.copies += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends this many datagrams of one octet-encoded number each, a millisecond apart.
    fn run(impairments: Impairments, seed: u64, count: u32) -> (Vec<Arrival>, Counts) {
        let mut link = Link::new(impairments, seed);
        for n in 0..count {
            link.send(n * MS, &n.to_be_bytes());
        }
        let arrivals = std::iter::from_fn(|| link.receive(Duration::MAX)).collect();
        assert_eq!(link.next_arrival(), None);
        (arrivals, link.counts())
    }

    fn numbers(arrivals: &[Arrival]) -> Vec<u32> {
        let number = |a: &Arrival| u32::from_be_bytes(*a.octets.first_chunk().unwrap());
        arrivals.iter().map(number).collect()
    }

    #[test]
    fn a_perfect_network_changes_nothing() {
        let (arrivals, counts) = run(Impairments::default(), 1, 50);
        assert_eq!(numbers(&arrivals), (0..50).collect::<Vec<_>>());
        assert!(arrivals.iter().zip(0..).all(|(a, n)| a.at == n * MS && !a.corrupted));
        assert_eq!(counts, Counts { sent: 50, arrived: 50, ..Counts::default() });
    }

    #[test]
    fn the_same_seed_gives_the_same_network() {
        let all = Impairments {
            drop: 0.1,
            bursts: Some(Bursts { enter: 0.05, leave: 0.3, loss: 0.9 }),
            delay: 5 * MS,
            jitter: 10 * MS,
            duplicate: 0.1,
            reorder: 0.1,
            late: 30 * MS,
            corrupt: 0.1,
        };
        assert_eq!(run(all, 3, 500), run(all, 3, 500));
        assert_ne!(run(all, 3, 500), run(all, 4, 500));
        let (arrivals, counts) = run(all, 3, 500);
        assert_eq!(counts.arrived, arrivals.len() as u64);
        assert_eq!(counts.sent + counts.duplicated, {
            counts.arrived + counts.dropped + counts.burst_dropped
        });
        let one_by_one = [
            counts.dropped,
            counts.burst_dropped,
            counts.duplicated,
            counts.reordered,
            counts.corrupted,
        ];
        assert!(one_by_one.iter().all(|count| (10..150).contains(count)), "{counts:?}");
    }

    #[test]
    fn another_impairment_leaves_the_lost_ones_lost() {
        let lossy = Impairments { drop: 0.2, ..Impairments::default() };
        let worse = Impairments { jitter: 100 * MS, corrupt: 0.5, ..lossy };
        let lost = |impairments| run(impairments, 9, 300).1.dropped;
        assert_eq!(lost(lossy), lost(worse));
        assert!((30..90).contains(&lost(lossy)));
    }

    #[test]
    fn losses_of_a_bad_network_come_in_bursts() {
        let bursts = Some(Bursts { enter: 0.02, leave: 0.2, loss: 1.0 });
        let arrived = numbers(&run(Impairments { bursts, ..Impairments::default() }, 5, 5000).0);
        let gaps: Vec<_> =
            arrived.windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|gap| *gap > 0).collect();
        let mean = f64::from(gaps.iter().sum::<u32>()) / gaps.len() as f64;
        assert!((4.0..6.5).contains(&mean), "mean length {mean} of 5 expected");
    }

    #[test]
    fn a_late_datagram_comes_behind_later_ones_and_a_damaged_one_differs() {
        let late = Impairments { reorder: 0.1, late: 10 * MS, ..Impairments::default() };
        let order = numbers(&run(late, 1, 200).0);
        assert!(!order.is_sorted());
        let damaged = Impairments { corrupt: 1.0, ..Impairments::default() };
        let (arrivals, _) = run(damaged, 1, 200);
        let sent = (0..200_u32).map(u32::to_be_bytes);
        assert!(arrivals.iter().zip(sent).all(|(a, sent)| a.corrupted && a.octets != sent));
    }
}
