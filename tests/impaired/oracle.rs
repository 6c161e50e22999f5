//! What can be decrypted of what arrived: the rules in their plainest form, without a cipher.
//!
//! It knows what each datagram was when it was sent, or that it arrived damaged. It keeps lists and
//! searches them.

use std::{collections::BTreeSet, time::Duration};

use crate::Bounds;

/// MSK number and MTK ID of a traffic key.
pub(crate) type Key = (u16, u16);

/// A datagram that arrived, as its sender knows it.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Msk {
        msk: u16,
        counter: u32,
    },
    Mtk {
        key: Key,
        counter: u32,
    },
    Media(Packet),
    /// A damaged message or no RTP at all: refused as it stands.
    Refused,
}

/// A media packet.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// The traffic key it names; of a damaged packet, whatever its octets say; `None` if that is of
    /// no key group of ours.
    pub(crate) names: Option<Key>,
    /// SSRC and index if it is intact.
    pub(crate) intact: Option<(u32, u64)>,
    pub(crate) len: usize,
}

pub(crate) struct Oracle {
    bounds: Bounds,
    /// What should have been delivered, in that order.
    pub(crate) delivered: Vec<(u32, u64)>,
    last_msk_counter: Option<u32>,
    /// MSKs held, at most two, the older first.
    msks: Vec<Msk>,
    /// MSKs in the order of their arrival, as long as traffic keys of theirs may be in use.
    ages: Vec<u16>,
    live: Vec<Live>,
    /// Traffic keys that were live once, and MSKs that went as a whole.
    gone: BTreeSet<Key>,
    gone_msks: BTreeSet<u16>,
    held: Vec<(Packet, Duration)>,
}

struct Msk {
    number: u16,
    /// The newest traffic key accepted under it, and the counter of its message.
    newest: Option<(u16, u32)>,
}

struct Live {
    key: Key,
    used: bool,
    used_since: Option<Duration>,
}

impl Oracle {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            delivered: Vec::new(),
            last_msk_counter: None,
            msks: Vec::new(),
            ages: Vec::new(),
            live: Vec::new(),
            gone: BTreeSet::new(),
            gone_msks: BTreeSet::new(),
            held: Vec::new(),
        }
    }

    /// A message arrives alone.
    pub(crate) fn key_message(&mut self, what: &What) {
        match *what {
            What::Msk { msk, counter } => self.msk_message(msk, counter),
            What::Mtk { key, counter } => self.mtk_message(key, counter),
            What::Media(_) | What::Refused => {}
        }
    }

    /// Datagrams arrive together: messages are looked at first.
    pub(crate) fn batch(&mut self, batch: &[What], now: Duration) {
        batch.iter().for_each(|what| self.key_message(what));
        self.look_at_held(now);
        for what in batch {
            let What::Media(packet) = what else { continue };
            if self.is_live(packet) {
                self.open(packet);
            } else if !self.is_gone(packet) {
                self.hold(packet.clone(), now);
            }
        }
    }

    /// Time passes: older keys go once a newer one has been in use for the grace period, and packets
    /// have waited long enough.
    pub(crate) fn tick(&mut self, now: Duration) {
        for live in self.live.iter_mut().filter(|live| live.used) {
            live.used_since.get_or_insert(now);
        }
        let grace = self.bounds.grace;
        let settled = |live: &&Live| live.used_since.is_some_and(|since| now - since >= grace);
        if let Some(current) = self.live.iter().filter(settled).map(|live| self.age(live.key)).max()
        {
            let older: Vec<_> =
                self.live.iter().map(|l| l.key).filter(|key| self.age(*key) < current).collect();
            older.into_iter().for_each(|key| self.retire(key));
            // A whole MSK before the one in use goes too: nothing more is accepted under it.
            for msk in self.ages.drain(..current.0) {
                self.gone_msks.insert(msk);
                self.msks.retain(|held| held.number != msk);
            }
        }
        self.look_at_held(now);
    }

    fn msk_message(&mut self, msk: u16, counter: u32) {
        if self.last_msk_counter.is_some_and(|last| counter <= last) {
            return;
        }
        self.last_msk_counter = Some(counter);
        if !self.msks.iter().any(|held| held.number == msk) {
            if self.msks.len() == 2 {
                self.evict(0);
            }
            self.msks.push(Msk { number: msk, newest: None });
        }
        if !self.ages.contains(&msk) {
            self.ages.push(msk);
            self.gone.retain(|key| key.0 != msk);
            self.gone_msks.remove(&msk);
        }
    }

    /// Nothing more is accepted under the MSK. Traffic keys of it that are there stay; if there are
    /// none, none will come.
    fn evict(&mut self, place: usize) {
        let Msk { number, .. } = self.msks.remove(place);
        if !self.live.iter().any(|live| live.key.0 == number) {
            self.ages.retain(|msk| *msk != number);
            self.gone_msks.insert(number);
        }
    }

    fn mtk_message(&mut self, key: Key, counter: u32) {
        let Some(msk) = self.msks.iter_mut().find(|held| held.number == key.0) else { return };
        if msk.newest.is_some_and(|(mtk, last)| key.1 <= mtk || counter <= last) {
            return;
        }
        msk.newest = Some((key.1, counter));
        self.live.push(Live { key, used: false, used_since: None });
        if self.live.len() > self.bounds.keys {
            let oldest = self.live.iter().map(|live| live.key).min_by_key(|key| self.age(*key));
            oldest.into_iter().for_each(|key| self.retire(key));
        }
    }

    /// Newer keys are greater: by arrival of their MSK, then by number.
    fn age(&self, key: Key) -> (usize, u16) {
        (self.ages.iter().position(|msk| *msk == key.0).unwrap_or(0), key.1)
    }

    fn retire(&mut self, key: Key) {
        self.live.retain(|live| live.key != key);
        self.gone.insert(key);
    }

    fn is_live(&self, packet: &Packet) -> bool {
        self.live.iter().any(|live| Some(live.key) == packet.names)
    }

    /// A key older than one of the same MSK that is gone will not come any more.
    fn is_gone(&self, packet: &Packet) -> bool {
        let Some((msk, mtk)) = packet.names.filter(|_| !self.live.is_empty()) else { return false };
        self.gone_msks.contains(&msk)
            || self.gone.range((msk, mtk)..=(msk, u16::MAX)).next().is_some()
    }

    /// The one source of the one group takes no more than it leaves free for others.
    fn hold(&mut self, packet: Packet, now: Duration) {
        let octets: usize = self.held.iter().map(|(held, _)| held.len).sum();
        let Bounds { held_packets, held_octets, hold_time, .. } = self.bounds;
        let packets = 2 * self.held.len() < held_packets;
        if packets && 2 * octets + packet.len <= held_octets {
            self.held.push((packet, now + hold_time));
        }
    }

    fn look_at_held(&mut self, now: Duration) {
        for (packet, expires) in std::mem::take(&mut self.held) {
            if self.is_live(&packet) {
                self.open(&packet);
            } else if !self.is_gone(&packet) && expires > now {
                self.held.push((packet, expires));
            }
        }
    }

    /// An intact packet whose key is there is delivered, unless it was before or is too far behind.
    fn open(&mut self, packet: &Packet) {
        let Some((ssrc, index)) = packet.intact else { return };
        let of_stream = self.delivered.iter().filter(|(delivered, _)| *delivered == ssrc);
        let highest = of_stream.map(|(_, index)| *index).max();
        let too_old =
            highest.is_some_and(|highest| index + u64::from(self.bounds.window) <= highest);
        if too_old || self.delivered.contains(&(ssrc, index)) {
            return;
        }
        self.delivered.push((ssrc, index));
        let live = self.live.iter_mut().find(|live| Some(live.key) == packet.names);
        live.into_iter().for_each(|live| live.used = true);
    }
}
