//! Who talks when, and when keys change: fixed before the demo starts, so that a client can check
//! every packet it gets.

use std::{collections::HashMap, time::Duration};

use mcast_srtp::ids::{PacketIndex, Roc, Seq, Ssrc};

use super::clip::Clip;

/// Somebody who talks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talker {
    pub(super) ssrc: Ssrc,
    pub(super) uri: &'static str,
    pub(super) name: &'static str,
}

/// Alice's sequence numbers wrap in her first burst, as they do on the air once in 22 minutes.
const TALKERS: [(Talker, Seq); 2] = [
    (Talker { ssrc: Ssrc(0x5e45_0a11), uri: "sip:alice@example.com", name: "Alice" }, Seq(65_500)),
    (Talker { ssrc: Ssrc(0x5e45_0b0b), uri: "sip:bob@example.com", name: "Bob" }, Seq(1)),
];

/// What happens at a moment of the transmission.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// The talk burst is announced (Taken).
    BurstBegins(Talker),
    /// A media packet, by its place in [`Plan::packets`].
    Media(usize),
    /// The talk burst is over (Idle).
    BurstEnds(Talker),
    /// A new MTK under the MSK in force.
    ChangeMtk,
    /// The last client is expelled.
    Expel,
}

/// One media packet before it is protected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) ssrc: Ssrc,
    pub(super) index: PacketIndex,
    pub(super) timestamp: u32,
    /// First packet of a talk burst.
    pub(super) marker: bool,
    pub(super) payload: &'static [u8],
}

/// The whole transmission.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<(Duration, Step)>,
    pub(super) packets: Vec<Planned>,
    /// The MSK is updated by schedule after this time.
    pub(super) msk_lifetime: Duration,
    pub(super) bursts: usize,
    places: HashMap<(Ssrc, PacketIndex), usize>,
}

/// Slots of 20 ms that a talk burst lasts, and the silence after it.
const BURST: usize = 120;
const SILENCE: usize = 15;
/// A shorter rest is not worth a burst.
const SHORTEST: usize = 10;

impl Plan {
    /// A transmission of this length: talk bursts in turn, an MTK change at a fifth of the time, the
    /// scheduled MSK update near the middle, the expulsion at seven tenths.
    pub(super) fn new(length: Duration, clip: &Clip) -> Self {
        let mut plan = Self {
            steps: vec![(length / 5, Step::ChangeMtk), (length * 7 / 10, Step::Expel)],
            packets: Vec::new(),
            msk_lifetime: length * 9 / 20,
            bursts: 0,
            places: HashMap::new(),
        };
        let slots = usize::try_from(length.as_millis() / SLOT.as_millis()).unwrap_or(usize::MAX);
        let mut next = TALKERS.map(|(_, seq)| PacketIndex::new(Roc(0), seq));
        for (n, start) in (0..slots).step_by(BURST + SILENCE).enumerate() {
            let len = BURST.min(slots - start);
            if len < SHORTEST {
                break;
            }
            let turn = n % TALKERS.len();
            plan.burst(TALKERS[turn].0, &mut next[turn], start..start + len, clip);
        }
        plan.steps.sort_by_key(|(at, _)| *at);
        plan
    }

    /// The place of a packet in [`Plan::packets`].
    pub(super) fn place(&self, ssrc: Ssrc, index: PacketIndex) -> Option<usize> {
        self.places.get(&(ssrc, index)).copied()
    }

    fn burst(
        &mut self,
        talker: Talker,
        next: &mut PacketIndex,
        slots: std::ops::Range<usize>,
        clip: &Clip,
    ) {
        self.bursts += 1;
        self.steps.push((at(slots.start), Step::BurstBegins(talker)));
        for slot in slots.clone() {
            let place = self.packets.len();
            self.steps.push((at(slot), Step::Media(place)));
            self.places.insert((talker.ssrc, *next), place);
            self.packets.push(Planned {
                ssrc: talker.ssrc,
                index: *next,
                // The low 32 bits: RTP time wraps.
                timestamp: (slot as u64 * u64::from(Clip::CLOCK / Clip::RATE)) as u32,
                marker: slot == slots.start,
                payload: clip.payload(place),
            });
            *next = following(*next);
        }
        self.steps.push((at(slots.end), Step::BurstEnds(talker)));
    }
}

/// The next packet of a stream; its sequence number wraps, its rollover counter counts that.
fn following(index: PacketIndex) -> PacketIndex {
    match index.seq() {
        Seq(u16::MAX) => PacketIndex::new(Roc(index.roc().0 + 1), Seq(0)),
        Seq(seq) => PacketIndex::new(index.roc(), Seq(seq + 1)),
    }
}

const SLOT: Duration = Duration::from_millis(20);

fn at(slot: usize) -> Duration {
    SLOT * u32::try_from(slot).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seconds: u64) -> Plan {
        Plan::new(Duration::from_secs(seconds), &Clip::built_in().unwrap())
    }

    #[test]
    fn every_packet_has_a_place_of_its_own_even_over_an_hour() {
        let plan = plan(3600);
        assert_eq!(plan.places.len(), plan.packets.len());
        for (place, packet) in plan.packets.iter().enumerate() {
            assert_eq!(plan.place(packet.ssrc, packet.index), Some(place));
        }
    }

    #[test]
    fn keys_change_while_somebody_talks() {
        for seconds in [2, 3, 10] {
            let plan = plan(seconds);
            let is_talked_at = |wanted: Duration| {
                plan.steps.iter().any(|(at, step)| matches!(step, Step::Media(_)) && *at > wanted)
                    && plan.steps.iter().any(|(at, step)| {
                        matches!(step, Step::Media(_)) && wanted.saturating_sub(*at) < SLOT
                    })
            };
            for (at, step) in &plan.steps {
                if matches!(step, Step::ChangeMtk | Step::Expel) {
                    assert!(is_talked_at(*at), "{seconds} s: {step:?}");
                }
            }
            assert!(is_talked_at(plan.msk_lifetime), "{seconds} s");
        }
    }

    #[test]
    fn bursts_are_framed_and_sequence_numbers_wrap() {
        let plan = plan(10);
        let count =
            |wanted: fn(&Step) -> bool| plan.steps.iter().filter(|(_, s)| wanted(s)).count();
        assert_eq!(count(|step| matches!(step, Step::BurstBegins(_))), plan.bursts);
        assert_eq!(count(|step| matches!(step, Step::BurstEnds(_))), plan.bursts);
        assert_eq!(count(|step| matches!(step, Step::Media(_))), plan.packets.len());
        assert!(plan.steps.is_sorted_by_key(|(at, _)| *at));
        let wraps = plan.packets.iter().any(|packet| packet.index.roc() == Roc(1));
        assert!(wraps);
    }
}
