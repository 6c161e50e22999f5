//! Fear: after some thousand talkers, or a flood of made-up ones, nobody new is heard for ever.

use std::time::{Duration, Instant};

use mcast_srtp::{
    Error, Reject,
    broadcast::{BroadcastTiming, Broadcaster, Lead},
    ids::Ssrc,
};

use crate::{
    broadcaster::document,
    kept::Kept,
    world::{Entropy, FRAME, rtp},
};

const LIMIT: u32 = 4;

struct Air {
    broadcaster: Broadcaster,
    now: Instant,
    entropy: Entropy,
}

impl Air {
    fn new() -> Self {
        let (now, mut entropy) = (Instant::now(), Entropy(5));
        let mut broadcaster = Broadcaster::new(&"group 17".into(), timing());
        let random = &mut |out: &mut [u8]| entropy.fill(out);
        broadcaster.follow(&document(1, &[1], 1, 99), now, random).unwrap();
        Self { broadcaster, now, entropy }
    }

    /// A talker sends a packet.
    fn talk(&mut self, talker: u32, number: u32) -> Result<(), Error> {
        self.now += FRAME;
        let mut packet = rtp(number);
        packet[8..12].copy_from_slice(&talker.to_be_bytes());
        self.broadcaster.protect_rtp(&mut packet, self.now).map(drop)
    }

    fn new_mtk(&mut self) {
        let random = &mut |out: &mut [u8]| self.entropy.fill(out);
        self.broadcaster.new_mtk(Lead::None, self.now, random).unwrap();
    }

    fn talkers(&self) -> Vec<u32> {
        let mut talkers: Vec<_> = self.broadcaster.streams().iter().map(|s| s.ssrc.0).collect();
        talkers.sort_unstable();
        talkers
    }
}

fn timing() -> BroadcastTiming {
    let mut timing = BroadcastTiming::default();
    timing.max_streams = usize::try_from(LIMIT).unwrap();
    timing.lead = Duration::ZERO;
    timing
}

#[test]
fn new_talker_takes_the_place_of_the_one_quiet_for_longest_once_the_key_is_another() {
    let mut air = Air::new();
    for talker in 1..=LIMIT {
        air.talk(talker, 1).unwrap();
    }
    for _ in 0..2 {
        let refused = air.talk(5, 1).unwrap_err();
        assert!(matches!(refused, Error::Rejected(Reject::StreamLimit)), "indexes could repeat");
    }
    air.new_mtk();
    air.talk(1, 2).unwrap();
    air.talk(5, 1).unwrap();
    assert_eq!((air.talkers(), air.broadcaster.streams_dropped()), (vec![1, 3, 4, 5], 1));
    air.talk(2, 2).unwrap();
    air.talk(6, 1).unwrap();
    assert_eq!(air.talkers(), [1, 2, 5, 6]);
    assert!(air.talk(7, 1).is_err(), "all have sent under this key");
    air.talk(1, 3).unwrap();
}

#[test]
fn server_that_sends_burst_control_alone_is_not_the_quiet_one() {
    let mut air = Air::new();
    let idle = || mcast_srtp::wire::burst::BurstMessage::Idle;
    air.broadcaster.burst(Ssrc(0x5e), idle(), air.now).unwrap();
    for talker in 1..LIMIT {
        air.talk(talker, 1).unwrap();
    }
    air.broadcaster.burst(Ssrc(0x5e), idle(), air.now + FRAME).unwrap();
    air.new_mtk();
    air.talk(9, 1).unwrap();
    assert_eq!(air.talkers(), [2, 3, 9]);
    let next = air.broadcaster.burst(Ssrc(0x5e), idle(), air.now + 2 * FRAME).unwrap();
    let at = next.len() - timing_tag();
    assert_eq!(next[at..at + 4], (0x8000_0000_u32 | 2).to_be_bytes(), "its index goes on");
}

/// From the SRTCP index to the end of a packet: index, MKI, tag.
fn timing_tag() -> usize {
    4 + 6 + 10
}

#[test]
fn restart_does_not_bring_dropped_streams_back() {
    let (mut air, mut kept) = (Air::new(), Kept::default());
    kept.take(air.broadcaster.take_changes());
    for talker in 1..=3 * LIMIT {
        if talker % LIMIT == 1 {
            air.new_mtk();
        }
        air.talk(talker, 1).unwrap();
        kept.take(air.broadcaster.take_changes());
    }
    let random = &mut |out: &mut [u8]| out.fill(9);
    let records = kept.records();
    let restored =
        Broadcaster::restore(&"group 17".into(), timing(), records, air.now, random).unwrap();
    air.broadcaster = restored.0;
    assert_eq!(air.talkers(), [9, 10, 11, 12]);
    air.talk(13, 1).unwrap();
    assert_eq!(air.talkers().len(), 4);
}
