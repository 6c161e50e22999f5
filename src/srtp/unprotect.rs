//! Protected packets in, plain packets out: check, open, commit (RFC 3711 §3.3, §3.4).
//!
//! [`Unprotector::unprotect`] treats one packet, step by step; `unprotect_batch` in
//! [`super::batch`] does the same for many at once and falls back on it for rare cases.

use std::time::Duration;

use arrayvec::ArrayVec;

use super::{
    attempt::Attempt,
    batch::MAX_BATCH,
    derived::DerivedKeys,
    kernel::Backend,
    key::{PacketKind, SessionKeys},
    replay::{Fresh, ReplayWindow},
    ring::KeyRing,
    stream::{KeysHeard, SessionId},
    stream_table::{Hint, Inserted, StreamTable},
    trials::Trials,
};
use crate::{
    error::Reject,
    ids::{PacketIndex, Ssrc},
};

/// One protected packet.
#[derive(Debug)]
pub struct Packet<'a> {
    /// Where it arrived.
    pub session: SessionId,
    /// Which half of the crypto session it belongs to; the caller has told them apart.
    pub kind: PacketKind,
    /// Its source address as a number, to notice two senders with one SSRC; 0 for do not care.
    pub source: u32,
    /// Keys it may name.
    pub keys: &'a KeyRing,
    /// The datagram. An accepted packet is decrypted in place; of a refused one the contents
    /// behind the header are unspecified.
    pub bytes: &'a mut [u8],
}

/// An accepted packet: `bytes[..len]` is the plain RTP or RTCP packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Opened {
    /// Its index, rollover counter included.
    pub index: PacketIndex,
    /// Its SSRC (RTCP: of the first header).
    pub ssrc: Ssrc,
    /// Octets of the clear header: RTP header with CSRCs and extension, or 8 for RTCP.
    pub header_len: usize,
    /// Octets of the plain packet.
    pub len: usize,
    /// The stream's state was created by this packet.
    pub new_stream: bool,
    /// Whether anything proves the packet. Only profiles with RCC mode 1, or mode 3 without AEAD, have
    /// packets that nothing does; anybody can have made them, and they may be copies.
    pub authenticated: bool,
}

/// What became of a packet.
pub type Verdict = Result<Opened, Reject>;

/// Bounds of a receiver's memory and work.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Streams kept in all; 64 octets each, allocated twice over. Default 4096.
    pub streams: usize,
    /// Streams kept of one session; the longest silent one makes room. Default 256.
    pub streams_per_session: usize,
    /// Replay window in packets, 64 to 256. Default 128.
    pub replay_window: u16,
    /// Rollover counters tried on the first packet of a stream, unknown or long silent. Default 4.
    pub roc_candidates: u32,
    /// Tries beyond the first of each packet that a batch adds to the budget of such streams, once for
    /// sources of which nothing authentic has come and once for the others. Default 16; counter
    /// `trial_limit`.
    pub roc_trials_per_batch: u32,
    /// Unused tries that the budget saves up. Default 256.
    pub roc_trials_saved: u32,
    /// How long a stream waits whose tries have failed, longer each time, up to 64 times as long.
    /// Default 20 ms.
    pub roc_trial_pause: Duration,
    /// A stream silent for this long may come back from another source address, and with a higher
    /// rollover counter than its last packets let expect. Default 30 s.
    pub source_timeout: Duration,
    /// Whether a sender may start again under a newer key with the SSRC it had, against RFC 3711 §3.3.1:
    /// rollover counter 0 is then tried with a packet under a newer MKI that is refused where the stream
    /// is, and if that opens it, the stream begins anew and takes no older MKIs any more. Not for packets
    /// under RCC. Default `false`; counters [`Unprotector::restarted_streams`], `mki_expired`.
    pub sender_restarts: bool,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            streams: 4096,
            streams_per_session: 256,
            replay_window: 128,
            roc_candidates: 4,
            roc_trials_per_batch: 16,
            roc_trials_saved: 256,
            roc_trial_pause: Duration::from_millis(20),
            source_timeout: Duration::from_secs(30),
            sender_restarts: false,
        }
    }
}

/// Receiver side of SRTP and SRTCP: the state of all streams of one lane.
#[derive(Debug)]
pub struct Unprotector {
    pub(super) streams: StreamTable,
    pub(super) limits: StreamLimits,
    pub(super) backend: Backend,
    pub(super) now: u32,
    pub(super) trials: Trials,
    evicted: u64,
    evictions: ArrayVec<SessionId, MAX_BATCH>,
    pub(super) restarted: u64,
    /// Streams that only packets without authentication tell of (RCC mode 3); allocated with the first.
    pub(super) claimed: Option<StreamTable<PacketIndex>>,
    derived: DerivedKeys,
}

impl Unprotector {
    /// Allocates the stream table; nothing is allocated later.
    #[must_use]
    pub fn new(limits: StreamLimits) -> Self {
        Self::with_backend(limits, Backend::active())
    }

    /// The same with chosen kernels, for tests and benchmarks.
    #[must_use]
    pub fn with_backend(mut limits: StreamLimits, backend: Backend) -> Self {
        limits.replay_window = limits.replay_window.clamp(64, ReplayWindow::CAPACITY);
        Self {
            streams: StreamTable::new(limits.streams, limits.streams_per_session),
            limits,
            backend,
            now: 0,
            trials: Trials::new(&limits),
            evicted: 0,
            evictions: ArrayVec::new(),
            restarted: 0,
            claimed: None,
            derived: DerivedKeys::default(),
        }
    }

    /// Tells the time since any fixed moment; it dates streams. Once a batch is enough.
    pub fn set_now(&mut self, now: Duration) {
        // Milliseconds, wrapping after 49 days; only differences are used.
        self.now = (now.as_millis() & u128::from(u32::MAX)) as u32;
    }

    /// Authenticates and decrypts one packet in place.
    ///
    /// # Errors
    /// The reason it is not accepted. No state has changed then.
    pub fn unprotect(&mut self, packet: &mut Packet<'_>) -> Verdict {
        self.trials.next_batch();
        self.unprotect_one(packet)
    }

    /// Forgets the streams of a session that has been left.
    pub fn remove_session(&mut self, session: SessionId) {
        self.streams.remove_session(session);
        if let Some(claimed) = &mut self.claimed {
            claimed.remove_session(session);
        }
    }

    /// Erases the session keys that profiles with a key derivation rate have had derived. To be called
    /// when keys have been retired; those still in use are derived again, a microsecond each.
    pub fn forget_derived(&mut self) {
        self.derived.clear();
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn derived_keys(&self) -> usize {
        self.derived.len()
    }

    /// Streams kept at the moment.
    #[must_use]
    pub const fn streams(&self) -> usize {
        let claimed = match &self.claimed {
            Some(claimed) => claimed.len(),
            None => 0,
        };
        self.streams.len() + claimed
    }

    /// The newest authenticated index of each RTP stream. Walks the whole table: a few dozen
    /// microseconds with the default limits.
    pub fn newest(&self) -> impl Iterator<Item = (SessionId, Ssrc, PacketIndex)> {
        self.streams.rtp()
    }

    /// How often a stream was forgotten because [`StreamLimits::streams_per_session`] was reached.
    #[must_use]
    pub const fn evicted_streams(&self) -> u64 {
        self.evicted
    }

    /// Sessions that have forgotten a stream for another since the last call, once for each stream; of
    /// more than [`MAX_BATCH`] at a time the last are left out.
    pub fn take_evictions(&mut self) -> impl Iterator<Item = SessionId> {
        self.evictions.drain(..)
    }

    /// How often a stream has begun anew, as [`StreamLimits::sender_restarts`] allows.
    #[must_use]
    pub const fn restarted_streams(&self) -> u64 {
        self.restarted
    }

    /// As [`Self::unprotect`], within the batch's budget of rollover counter trials.
    pub(super) fn unprotect_one(&mut self, packet: &mut Packet<'_>) -> Verdict {
        let Some(attempt) = Attempt::read(packet) else { return Err(Attempt::why_not(packet)) };
        if !attempt.is_authenticated() {
            return self.unprotect_unproven(&attempt, packet);
        }
        let key = attempt.stream(packet.session);
        let (hint, Some(stream)) = self.streams.find(key) else {
            return self.unprotect_first(&attempt, packet, 0);
        };
        let placed =
            stream.place(attempt.clear.seq, attempt.stated_index(), self.limits.replay_window);
        let refused = match placed {
            Ok((index, fresh)) => match self.open(&attempt, index, packet.bytes) {
                Ok(()) => return self.commit(&attempt, packet, hint, index, fresh),
                Err(reject) => reject,
            },
            Err(reject) => reject,
        };
        self.unprotect_refused(&attempt, packet, refused)
    }

    /// The only step that proves origin: authenticates, then decrypts in place. If the tag does not
    /// match, the packet is as it was.
    pub(super) fn open(
        &mut self,
        attempt: &Attempt<'_>,
        index: PacketIndex,
        bytes: &mut [u8],
    ) -> Result<(), Reject> {
        let backend = self.backend;
        let session = self.session(attempt, index)?;
        let opened = if session.hmac.is_none() {
            attempt.open_aead(backend, session, index, bytes)
        } else {
            let good = attempt.verify_hmac(attempt.trailer(), backend, session, index, bytes);
            if good {
                attempt.decrypt(backend, session, index, bytes);
            }
            good
        };
        if opened { Ok(()) } else { Err(Reject::AuthFailed) }
    }

    /// The session keys for a packet with this index.
    pub(super) fn session<'k>(
        &'k mut self,
        attempt: &Attempt<'k>,
        index: PacketIndex,
    ) -> Result<&'k SessionKeys, Reject> {
        let Attempt { clear, key, .. } = attempt;
        match key.derivation(index) {
            0 => Ok(key.session(clear.kind)),
            r => self.derived.get(key, clear.kind, r).ok_or(Reject::Unsupported),
        }
    }

    /// The state of a known stream moves here and nowhere else.
    #[inline]
    pub(super) fn commit(
        &mut self,
        attempt: &Attempt<'_>,
        packet: &Packet<'_>,
        hint: Hint,
        index: PacketIndex,
        fresh: Fresh,
    ) -> Verdict {
        let (key, age) = (attempt.stream(packet.session), attempt.key.age());
        match self.streams.get_mut(key, hint) {
            Some(stream) => {
                let timeout = self.limits.source_timeout;
                stream.accept(fresh, age, packet.source, self.now, timeout)?;
            }
            // `fresh` came from a look at the stream in this very table.
            None => return self.commit_first(attempt, packet, index),
        }
        Ok(attempt.opened(index, false))
    }

    pub(super) fn note_eviction(&mut self, session: SessionId) {
        self.evicted += 1;
        let _ = self.evictions.try_push(session);
    }

    /// The state of a new stream begins here and nowhere else.
    #[cold]
    pub(super) fn commit_first(
        &mut self,
        attempt: &Attempt<'_>,
        packet: &Packet<'_>,
        index: PacketIndex,
    ) -> Verdict {
        let key = attempt.stream(packet.session);
        let known = KeysHeard::first(attempt.key.age());
        match self.streams.insert(key, index, known, packet.source, self.now) {
            Inserted::Added => {}
            Inserted::Evicted => self.note_eviction(packet.session),
            Inserted::Full => return Err(Reject::StreamLimit),
        }
        self.trials.know(packet.session, packet.source);
        Ok(attempt.opened(index, true))
    }
}
