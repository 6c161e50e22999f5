//! Packets whose key has not come yet, in memory allocated once (D4).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{limits::Limits, port::PortId};
use crate::error::Reject;

/// A queue in order of arrival, bounded in packets, octets and time.
#[derive(Debug)]
pub(super) struct HoldBack {
    entries: Vec<Held>,
    octets: Box<[u8]>,
    used: usize,
    /// How many packets of each group are held, by the group's number.
    of_group: Vec<usize>,
    per_group: usize,
    time: Duration,
}

/// One packet held back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) port: PortId,
    pub(super) group: u32,
    pub(super) source: SocketAddr,
    start: usize,
    len: usize,
    expires: Instant,
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
        self.of_group.resize(len, 0);
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
        let of_group = self.of_group.get_mut(group as usize).ok_or(Reject::HoldFull)?;
        if self.entries.len() == self.entries.capacity() || *of_group >= self.per_group {
            return Err(Reject::HoldFull);
        }
        let (start, len) = (self.used, packet.len());
        let room = self.octets.get_mut(start..start + len).ok_or(Reject::HoldFull)?;
        room.copy_from_slice(packet);
        *of_group += 1;
        self.used += len;
        self.entries.push(Held { port, group, source, start, len, expires: now + self.time });
        Ok(())
    }

    /// The packets from the `first` on, at most `N`, each with its octets.
    pub(super) fn batch<const N: usize>(
        &mut self,
        first: usize,
    ) -> arrayvec::ArrayVec<(Held, &mut [u8]), N> {
        let mut batch = arrayvec::ArrayVec::new();
        let mut rest = &mut self.octets[..self.used];
        let mut start = 0;
        for held in self.entries.iter().skip(first).take(N) {
            // Entries lie in order of their octets, so each is split off the rest.
            let Some((_, behind)) = rest.split_at_mut_checked(held.start - start) else { break };
            let Some((bytes, behind)) = behind.split_at_mut_checked(held.len) else { break };
            batch.push((*held, bytes));
            rest = behind;
            start = held.start + held.len;
        }
        batch
    }

    /// Keeps the packets for which `keep` says so, given their position, and moves them together.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize, &Held) -> bool) {
        let (mut place, mut used) = (0, 0);
        let (octets, of_group) = (&mut self.octets, &mut self.of_group);
        self.entries.retain_mut(|held| {
            let kept = keep(place, held);
            place += 1;
            if kept {
                octets.copy_within(held.start..held.start + held.len, used);
                held.start = used;
                used += held.len;
            } else {
                of_group[held.group as usize] -= 1;
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

    fn source() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 9))
    }

    #[test]
    fn every_bound_refuses_and_room_comes_back() {
        let limits = Limits {
            held_packets: 4,
            held_octets: 10,
            held_packets_per_group: 3,
            ..Limits::default()
        };
        let now = Instant::now();
        let mut hold = HoldBack::new(&limits);
        hold.add_group(3);
        let push = |hold: &mut HoldBack, group, bytes: &[u8]| {
            hold.push(PortId(0), group, source(), bytes, now)
        };
        assert_eq!(push(&mut hold, 1, &[1; 11]), Err(Reject::HoldFull));
        for n in 1..=3 {
            assert_eq!(push(&mut hold, 1, &[n; 2]), Ok(()));
        }
        assert_eq!(push(&mut hold, 1, &[4; 2]), Err(Reject::HoldFull));
        assert_eq!(push(&mut hold, 2, &[5; 4]), Ok(()));
        assert_eq!(push(&mut hold, 3, &[]), Err(Reject::HoldFull));
        hold.retain(|place, _| place != 1);
        let left: Vec<_> = hold.batch::<8>(0).iter().map(|(_, bytes)| bytes.to_vec()).collect();
        assert_eq!(left, [vec![1, 1], vec![3, 3], vec![5; 4]]);
        assert_eq!(hold.batch::<8>(2).len(), 1);
        assert_eq!(push(&mut hold, 3, &[6; 2]), Ok(()));
        assert_eq!(hold.len(), 4);
    }
}
