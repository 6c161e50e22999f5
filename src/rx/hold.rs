//! Packets whose key has not come yet, in memory allocated once (D4).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    limits::Limits,
    port::PortId,
    rate::{SOURCES, source_place},
};
use crate::error::Reject;

/// A queue in order of arrival, bounded in packets, octets and time.
#[derive(Debug)]
pub(super) struct HoldBack {
    entries: Vec<Held>,
    octets: Box<[u8]>,
    used: usize,
    /// What of each group is held, by the group's number.
    of_group: Vec<Share>,
    per_group: usize,
    time: Duration,
}

/// One packet held back.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) port: PortId,
    pub(super) group: u32,
    pub(super) source: SocketAddr,
    /// It has its verdict and goes with the next [`HoldBack::remove_done`].
    pub(super) done: bool,
    start: usize,
    len: usize,
    expires: Instant,
}

/// What is held of one group.
#[derive(Clone, Debug, Default)]
struct Share {
    packets: usize,
    octets: usize,
    of_source: [usize; SOURCES],
}

impl HoldBack {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            entries: Vec::with_capacity(limits.held_packets),
            octets: vec![0; limits.held_octets].into(),
            used: 0,
            of_group: Vec::new(),
            per_group: limits.held_packets_per_group,
            time: limits.hold_time,
        }
    }

    /// Makes room to count a group's packets. Groups that were not added hold nothing.
    pub(super) fn add_group(&mut self, group: u32) {
        let len = self.of_group.len().max(group as usize + 1);
        self.of_group.resize(len, Share::default());
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// When the first packet's time is over.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.entries.first().map(|held| held.expires)
    }

    /// Copies a packet in.
    ///
    /// A group may hold no more than is left free, in packets and in octets, and one source of it no
    /// more packets than the group has left: whoever floods takes half of what there is, and others
    /// find room.
    ///
    /// # Errors
    /// [`Reject::HoldFull`] if a bound is reached.
    pub(super) fn push(
        &mut self,
        port: PortId,
        group: u32,
        source: SocketAddr,
        packet: &[u8],
        now: Instant,
    ) -> Result<(), Reject> {
        let share = self.of_group.get_mut(group as usize).ok_or(Reject::HoldFull)?;
        let of_source = &mut share.of_source[source_place(source)];
        let free = self.entries.capacity() - self.entries.len();
        let (start, len) = (self.used, packet.len());
        let room = self.octets.get_mut(start..).unwrap_or_default();
        if share.packets >= free.min(self.per_group)
            || *of_source >= self.per_group - share.packets
            || share.octets + len > room.len()
        {
            return Err(Reject::HoldFull);
        }
        room.get_mut(..len).ok_or(Reject::HoldFull)?.copy_from_slice(packet);
        share.packets += 1;
        share.octets += len;
        *of_source += 1;
        self.used += len;
        let expires = now + self.time;
        self.entries.push(Held { port, group, source, done: false, start, len, expires });
        Ok(())
    }

    /// The packets from the `first` on, at most `N`, each with its octets.
    pub(super) fn batch<const N: usize>(
        &mut self,
        first: usize,
    ) -> arrayvec::ArrayVec<(&mut Held, &mut [u8]), N> {
        let mut batch = arrayvec::ArrayVec::new();
        let mut rest = &mut self.octets[..self.used];
        let mut start = 0;
        for held in self.entries.iter_mut().skip(first).take(N) {
            // Entries lie in order of their octets, so each is split off the rest.
            let Some((_, behind)) = rest.split_at_mut_checked(held.start - start) else { break };
            let Some((bytes, behind)) = behind.split_at_mut_checked(held.len) else { break };
            rest = behind;
            start = held.start + held.len;
            batch.push((held, bytes));
        }
        batch
    }

    /// Lets go of the packets that have their verdict.
    pub(super) fn remove_done(&mut self) {
        self.retain(|held| !held.done);
    }

    /// Keeps the packets for which `keep` says so, and moves them together.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Held) -> bool) {
        let mut used = 0;
        let (octets, of_group) = (&mut self.octets, &mut self.of_group);
        self.entries.retain_mut(|held| {
            let kept = keep(held);
            if kept {
                octets.copy_within(held.start..held.start + held.len, used);
                held.start = used;
                used += held.len;
            } else {
                let share = &mut of_group[held.group as usize];
                share.packets -= 1;
                share.octets -= held.len;
                share.of_source[source_place(held.source)] -= 1;
            }
            kept
        });
        self.used = used;
    }
}

impl Held {
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        now >= self.expires
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(packets: usize, octets: usize, per_group: usize) -> HoldBack {
        let limits = Limits {
            held_packets: packets,
            held_octets: octets,
            held_packets_per_group: per_group,
            ..Limits::default()
        };
        let mut hold = HoldBack::new(&limits);
        hold.add_group(9);
        hold
    }

    fn push(hold: &mut HoldBack, group: u32, host: u8, bytes: &[u8]) -> Result<(), Reject> {
        let source = SocketAddr::from(([192, 0, 2, host], 9));
        hold.push(PortId(0), group, source, bytes, Instant::now())
    }

    /// How many packets of two octets find room.
    fn fill(hold: &mut HoldBack, group: u32, host: u8) -> usize {
        (0..1000).take_while(|_| push(hold, group, host, &[7; 2]).is_ok()).count()
    }

    #[test]
    fn one_source_leaves_room_for_others_and_one_group_too() {
        let mut hold = hold(64, 10_000, 32);
        assert_eq!(
            (fill(&mut hold, 1, 1), fill(&mut hold, 1, 2), fill(&mut hold, 1, 3)),
            (16, 8, 4)
        );
        assert_eq!((1..=255).map(|host| fill(&mut hold, 1, host)).sum::<usize>(), 32 - 28);
        assert_eq!((fill(&mut hold, 2, 1), fill(&mut hold, 3, 1)), (16, 8));
        assert_eq!(hold.len(), 56);
        hold.retain(|held| held.group != 1);
        assert_eq!(fill(&mut hold, 1, 1), 16);
    }

    #[test]
    fn octets_are_shared_like_packets() {
        let mut hold = hold(64, 100, 32);
        assert_eq!(push(&mut hold, 1, 1, &[1; 101]), Err(Reject::HoldFull));
        assert_eq!(push(&mut hold, 1, 1, &[1; 50]), Ok(()));
        assert_eq!(push(&mut hold, 1, 2, &[1; 1]), Err(Reject::HoldFull));
        assert_eq!(push(&mut hold, 2, 1, &[1; 25]), Ok(()));
        assert_eq!(push(&mut hold, 3, 1, &[]), Ok(()));
    }

    #[test]
    fn packets_with_a_verdict_go_and_the_others_move_together() {
        let mut hold = hold(64, 1000, 32);
        for octet in 1..=5 {
            push(&mut hold, 1, 1, &[octet; 3]).unwrap();
        }
        for (held, bytes) in hold.batch::<2>(1) {
            held.done = bytes[0] == 2;
        }
        hold.remove_done();
        let left: Vec<_> = hold.batch::<8>(0).iter().map(|(_, bytes)| bytes[0]).collect();
        assert_eq!((left, hold.batch::<8>(3).len()), (vec![1, 3, 4, 5], 1));
    }
}
