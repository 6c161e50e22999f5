//! The clock around the packets: only opening is timed, and the least is remembered.

use std::{
    cell::Cell,
    hint::black_box,
    time::{Duration, Instant},
};

use mcast_srtp::srtp::MAX_BATCH;

use super::{
    contender::{Contender, Section},
    feed::Feed,
    slots::Slots,
};

/// A feed and the slots it is opened in, stretch by stretch.
pub(crate) struct Track {
    feed: Feed,
    slots: Slots,
    /// The packet that comes next; `None` before the streams are known.
    next: Option<usize>,
    /// Written over before each stretch, so that the packets are out of cache.
    scratch: Vec<u8>,
}

impl Track {
    /// Packets opened in cache, where the copy from the socket has left them: 64 slots, refilled
    /// before each stretch.
    pub(crate) fn hot(feed: Feed) -> Self {
        Self { feed, slots: Slots::in_order(MAX_BATCH), next: None, scratch: Vec::new() }
    }

    /// Packets out of cache: a slot for each packet of the feed, and all filled before twice the
    /// third-level cache is written over.
    pub(crate) fn cold(feed: Feed) -> Self {
        let slots = Slots::shuffled(feed.packets.len());
        Self { feed, slots, next: None, scratch: vec![0; 64 << 20] }
    }

    /// Every receiver has to open the packets to the octets that were sent. Starts over for it.
    pub(crate) fn check(&mut self, receiver: &mut impl Contender) {
        self.next = None;
        self.refill(receiver);
        let mut packets = self.slots.packets();
        let mut first = packets.by_ref().take(self.feed.plain.len()).collect();
        let plain = receiver.open_and_keep(&mut first);
        drop(packets);
        self.next = None;
        assert!(plain == self.feed.plain, "{} differs", receiver.name());
    }

    /// Lets a receiver open at least `packets` packets; returns the time for exactly that many. The
    /// clock is read twice for 64 packets.
    pub(crate) fn run(
        &mut self,
        receiver: &mut impl Contender,
        packets: u64,
        least: &Least,
    ) -> Duration {
        let (mut done, mut spent) = (0, Duration::ZERO);
        while done < packets {
            self.refill(receiver);
            let mut slots = self.slots.packets();
            loop {
                let mut section: Section<'_> = slots.by_ref().take(MAX_BATCH).collect();
                if section.is_empty() {
                    break;
                }
                let mut clock = Clock::default();
                let accepted = receiver.open(&mut section, &mut clock);
                assert_eq!(accepted, section.len(), "{} refused packets", receiver.name());
                least.note(clock.spent, accepted as u32);
                spent += clock.spent;
                done += accepted as u64;
            }
        }
        spent.mul_f64(packets as f64 / done as f64)
    }

    /// Puts the next stretch into the slots. Where the feed ends, the receiver forgets its streams and
    /// meets them again.
    fn refill(&mut self, receiver: &mut impl Contender) {
        let left = |next: &usize| next + self.slots.len() <= self.feed.packets.len();
        let first = self.next.filter(left).unwrap_or_else(|| {
            meet_streams(receiver, &self.feed);
            0
        });
        self.slots.fill(&self.feed.packets, first);
        self.next = Some(first + self.slots.len());
        self.scratch.fill(0x5a);
        black_box(&self.scratch);
    }
}

fn meet_streams(receiver: &mut impl Contender, feed: &Feed) {
    receiver.reset();
    let mut slot = Slots::in_order(1);
    for place in 0..feed.first.len() {
        slot.fill(&feed.first, place);
        let accepted = receiver.open(&mut slot.packets().collect(), &mut Clock::default());
        assert_eq!(accepted, 1, "{} refused a stream", receiver.name());
    }
}

/// Time spent in calls.
#[derive(Default)]
pub(crate) struct Clock {
    spent: Duration,
}

impl Clock {
    pub(crate) fn time<R>(&mut self, calls: impl FnOnce() -> R) -> R {
        let before = Instant::now();
        let result = calls();
        self.spent += before.elapsed();
        result
    }
}

/// The least time of a packet in any 1024 in a row: what the work takes when nothing disturbs it.
#[derive(Default)]
pub(crate) struct Least {
    least: Cell<Option<f64>>,
    /// Packets and time since the last thousand.
    since: Cell<(u32, Duration)>,
}

impl Least {
    fn note(&self, time: Duration, packets: u32) {
        let (noted, spent) = self.since.get();
        let (packets, spent) = (noted + packets, spent + time);
        if packets < 1024 {
            self.since.set((packets, spent));
            return;
        }
        self.since.set((0, Duration::ZERO));
        let ns = spent.as_secs_f64() * 1e9 / f64::from(packets);
        self.least.set(Some(self.least.get().map_or(ns, |least| least.min(ns))));
    }

    /// Nanoseconds; `None` if the bench did not run.
    pub(crate) fn ns(&self) -> Option<f64> {
        self.least.get()
    }
}
