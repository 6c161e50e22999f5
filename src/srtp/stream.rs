//! What a receiver keeps per stream.
//!
//! A stream's state is one cache line. It is created after the first packet that authenticates, so
//! forged packets leave nothing behind.

use std::{num::NonZeroU64, time::Duration};

use super::{
    index,
    key::{KeyAge, PacketKind},
    replay::{Fresh, ReplayWindow},
};
use crate::{
    error::Reject,
    ids::{PacketIndex, Seq, Ssrc},
};

/// The destination a stream arrives at: a number below 2^30 given by the caller for each pair of
/// group address and port. With the SSRC it is the context identifier of RFC 3711 §3.2.3.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub u32);

/// Key of one context: destination, SSRC, and which half of the crypto session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StreamKey(NonZeroU64);

impl StreamKey {
    #[inline]
    pub(crate) const fn new(session: SessionId, kind: PacketKind, ssrc: Ssrc) -> Self {
        // SRTP and SRTCP keep replay lists of their own (RFC 3711 §3.2.1), so they are two streams.
        let half = matches!(kind, PacketKind::Rtcp) as u64;
        let octets = (session.0 as u64) << 34 | half << 33 | 1 << 32 | ssrc.0 as u64;
        // The bit above the SSRC is never zero, which leaves that for an empty slot.
        match NonZeroU64::new(octets) {
            Some(octets) => Self(octets),
            None => unreachable!(),
        }
    }

    /// The key as a number, different for every stream.
    pub(crate) const fn number(self) -> u64 {
        self.0.get()
    }

    /// Session and SSRC of an RTP stream.
    pub(super) const fn rtp(self) -> Option<(SessionId, Ssrc)> {
        let octets = self.0.get();
        // The session has 30 bits, the SSRC the lowest 32.
        let (session, ssrc) = ((octets >> 34) as u32, (octets & u32::MAX as u64) as u32);
        if octets >> 33 & 1 == 0 { Some((SessionId(session), Ssrc(ssrc))) } else { None }
    }

    #[inline]
    pub(super) const fn destination(self) -> u64 {
        self.0.get() >> 33
    }
}

/// State of one stream: where it is, what was accepted, who sends it, when it last spoke, and what goes
/// with how it is known: by authentic packets, or by packets that nothing proves but which state their
/// index ([`super::unproven`]), of which the last is kept.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Stream<Known = KeysHeard> {
    pub(super) key: StreamKey,
    window: ReplayWindow,
    /// Source address of the stream as a number, 0 if unknown.
    source: u32,
    /// Milliseconds, as given by the caller; wraps.
    pub(super) last_seen: u32,
    known: Known,
}

/// Under which keys packets of a stream have been accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeysHeard {
    /// The one made last.
    newest: KeyAge,
    /// Older ones are not accepted: their packets belong to what the sender sent before it started again.
    oldest: KeyAge,
}

impl KeysHeard {
    /// A packet under this key was accepted, and under no other yet.
    pub(crate) fn first(newest: KeyAge) -> Self {
        Self { newest, oldest: KeyAge::default() }
    }
}

impl<Known> Stream<Known> {
    /// A stream whose first packet has this index.
    pub(super) fn starting_at(
        index: PacketIndex,
        key: StreamKey,
        known: Known,
        source: u32,
        now: u32,
    ) -> Self {
        let window = ReplayWindow::starting_at(index);
        Self { key, window, source, last_seen: now, known }
    }

    /// The index of a packet of this stream, which is `stated` if the packet says so itself, and proof
    /// that it was not accepted before, with a replay window of `window` packets. Changes nothing.
    ///
    /// # Errors
    /// No index is left for it, or [`Reject::TooOld`] or [`Reject::Replayed`].
    #[inline(always)]
    pub(crate) fn place(
        &self,
        seq: Seq,
        stated: Option<PacketIndex>,
        window: u16,
    ) -> Result<(PacketIndex, Fresh), Reject> {
        let index = match stated {
            Some(stated) => stated,
            None => index::estimate(self.window.highest(), seq)?,
        };
        //= RFC 3711 §3.3 step 5: the replay check comes before the costly one
        let fresh = self.window.check(index, window)?;
        Ok((index, fresh))
    }

    /// Whether a packet of this source may be one of this stream. Changes nothing.
    ///
    /// # Errors
    /// [`Reject::SourceConflict`] if another source was heard less than `timeout` ago.
    pub(crate) fn may_come_from(
        &self,
        source: u32,
        now: u32,
        timeout: Duration,
    ) -> Result<(), Reject> {
        let known = source == self.source || source == 0 || self.source == 0;
        if known || self.is_silent(now, timeout) { Ok(()) } else { Err(Reject::SourceConflict) }
    }

    /// Where a packet lies that nothing proves and that does not carry its rollover counter, as every
    /// `rate`-th does. Changes nothing.
    ///
    /// # Errors
    /// As [`Self::place`].
    pub(crate) fn guess(&self, seq: Seq, rate: u16, window: u16) -> Result<PacketIndex, Reject> {
        // It follows the last that carries the counter and precedes the next: half way is nearest to all.
        let half_way = self.window.highest().value() + u64::from(rate / 2);
        let half_way = PacketIndex::from_value(half_way.min(PacketIndex::MAX.value()));
        let index = index::estimate(half_way, seq)?;
        self.check(index, window).map(|_| index)
    }

    /// Whether nothing of it has been accepted for this long.
    pub(crate) fn is_silent(&self, now: u32, time: Duration) -> bool {
        u128::from(now.wrapping_sub(self.last_seen)) >= time.as_millis()
    }

    /// The highest index accepted.
    pub(crate) fn highest(&self) -> PacketIndex {
        self.window.highest()
    }

    /// Proof that an index was not accepted before, as [`Self::place`] gives it.
    ///
    /// # Errors
    /// [`Reject::TooOld`] or [`Reject::Replayed`].
    pub(crate) fn check(&self, index: PacketIndex, window: u16) -> Result<Fresh, Reject> {
        self.window.check(index, window)
    }
}

impl Stream {
    /// Records an authenticated packet that has been placed at `index` before, if it lies ahead of all that
    /// has been accepted by now, so near that it would be placed there again, and comes from the usual
    /// source under the newest key. `false`, and nothing has changed, if not: [`Self::accept`] decides.
    #[inline(always)]
    pub(crate) fn accept_next(
        &mut self,
        index: PacketIndex,
        age: KeyAge,
        source: u32,
        now: u32,
    ) -> bool {
        let usual = source == self.source && age == self.known.newest;
        let accepted = usual && self.window.advance(index);
        if accepted {
            self.last_seen = now;
        }
        accepted
    }

    /// Records an authenticated packet under a key of this age.
    ///
    /// # Errors
    /// [`Reject::SourceConflict`] if another source was heard less than `source_timeout` ago;
    /// [`Reject::MkiExpired`] as [`Self::takes`] gives it.
    pub(crate) fn accept(
        &mut self,
        fresh: Fresh,
        age: KeyAge,
        source: u32,
        now: u32,
        source_timeout: Duration,
    ) -> Result<(), Reject> {
        self.takes(age)?;
        self.may_come_from(source, now, source_timeout)?;
        if source != 0 {
            self.source = source;
        }
        self.known.newest = self.known.newest.max(age);
        self.window.commit(fresh);
        self.last_seen = now;
        Ok(())
    }

    /// Whether a packet under a key of this age may be one of this stream.
    ///
    /// # Errors
    /// [`Reject::MkiExpired`] if the sender has started again under a newer one.
    pub(crate) fn takes(&self, age: KeyAge) -> Result<(), Reject> {
        if age < self.known.oldest { Err(Reject::MkiExpired) } else { Ok(()) }
    }

    /// The newest key under which a packet has been accepted.
    pub(crate) fn newest_key(&self) -> KeyAge {
        self.known.newest
    }

    /// Begins anew with an authenticated packet at this index, under a key of this age that is newer than
    /// all so far. Packets under those are not accepted any more.
    ///
    /// # Errors
    /// [`Reject::SourceConflict`] if another source was heard less than `timeout` ago.
    pub(crate) fn restart(
        &mut self,
        index: PacketIndex,
        age: KeyAge,
        source: u32,
        now: u32,
        timeout: Duration,
    ) -> Result<(), Reject> {
        self.may_come_from(source, now, timeout)?;
        let source = if source == 0 { self.source } else { source };
        let known = KeysHeard { newest: age, oldest: age };
        *self = Self::starting_at(index, self.key, known, source, now);
        Ok(())
    }
}

impl Stream<PacketIndex> {
    /// Moves to the index that a packet states without proof, as every `rate`-th does, with a replay
    /// window of `window` packets. It is believed if it lies near those believed before, or else if it
    /// follows the one stated last, so that two agree.
    ///
    /// # Errors
    /// [`Reject::Unsynchronized`] if it stands alone; [`Reject::TooOld`] or [`Reject::Replayed`].
    pub(crate) fn claim(
        &mut self,
        index: PacketIndex,
        rate: u16,
        window: u16,
        now: u32,
    ) -> Result<(), Reject> {
        //= RFC 3711 §3.3.1: further apart than this, an estimate would be wrong
        let far = rate.max(0x8000);
        let is_near = |other: PacketIndex| index.value().abs_diff(other.value()) <= far.into();
        let agrees = index > self.known && is_near(self.known);
        self.known = index;
        if is_near(self.window.highest()) {
            let fresh = self.window.check(index, window)?;
            self.window.commit(fresh);
        } else if agrees {
            self.window = ReplayWindow::starting_at(index);
        } else {
            return Err(Reject::Unsynchronized);
        }
        self.last_seen = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_of_a_stream_is_one_cache_line() {
        assert_eq!(size_of::<Option<Stream>>(), 64);
        assert_eq!(size_of::<Option<Stream<PacketIndex>>>(), 64);
    }
}
