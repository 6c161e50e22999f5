//! Protected packets in, plain packets out: check, open, commit (RFC 3711 §3.3, §3.4).
//!
//! [`Unprotector::unprotect`] treats one packet, step by step; `unprotect_batch` in
//! [`super::batch`] does the same for many at once and falls back on it for rare cases.

use std::time::Duration;

use subtle::ConstantTimeEq;

use super::{
    derived::DerivedKeys,
    index,
    kernel::{
        Backend,
        cipher::{CtrJob, GcmJob, ctr_batch, gcm_open_batch},
        hmac::{HmacJob, hmac_batch},
    },
    key::{PacketKind, SessionKeys, TrafficKey},
    layout::{Clear, Layout},
    replay::{Fresh, ReplayWindow},
    ring::KeyRing,
    stream::{Inserted, SessionId, StreamKey, StreamTable},
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
    /// Authenticated index.
    pub index: PacketIndex,
    /// Authenticated SSRC (RTCP: of the first header).
    pub ssrc: Ssrc,
    /// Octets of the clear header: RTP header with CSRCs and extension, or 8 for RTCP.
    pub header_len: usize,
    /// Octets of the plain packet.
    pub len: usize,
    /// The stream's state was created by this packet.
    pub new_stream: bool,
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
    /// Tries beyond the first of each packet that one batch may spend on such streams. Default 16.
    pub roc_trials_per_batch: u32,
    /// A stream silent for this long may come back from another source address, and with a higher
    /// rollover counter than its last packets let expect. Default 30 s.
    pub source_timeout: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            streams: 4096,
            streams_per_session: 256,
            replay_window: 128,
            roc_candidates: 4,
            roc_trials_per_batch: 16,
            source_timeout: Duration::from_secs(30),
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
    pub(super) trials_left: u32,
    evicted: u64,
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
            trials_left: limits.roc_trials_per_batch,
            evicted: 0,
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
        self.trials_left = self.limits.roc_trials_per_batch;
        self.unprotect_one(packet)
    }

    /// Forgets the streams of a session that has been left.
    pub fn remove_session(&mut self, session: SessionId) {
        self.streams.remove_session(session);
    }

    /// Streams kept at the moment.
    #[must_use]
    pub const fn streams(&self) -> usize {
        self.streams.len()
    }

    /// How often a stream was forgotten because [`StreamLimits::streams_per_session`] was reached.
    #[must_use]
    pub const fn evicted_streams(&self) -> u64 {
        self.evicted
    }

    /// As [`Self::unprotect`], within the batch's budget of rollover counter trials.
    pub(super) fn unprotect_one(&mut self, packet: &mut Packet<'_>) -> Verdict {
        let clear = Clear::parse(packet.kind, packet.bytes)?;
        let keys = packet.keys;
        let key = keys
            .find(clear.kind, clear.seq, packet.bytes)
            .ok_or_else(|| keys.why_not(clear.kind, clear.seq, packet.bytes))?;
        let layout = Layout::parse(&clear, key.profile(), packet.bytes)?;
        let place = StreamKey::new(packet.session, clear.kind, clear.ssrc);
        let attempt = Attempt { clear, layout, key };
        let refused = match self.known_index(place, &attempt) {
            Ok(None) => return self.unprotect_first(place, &attempt, packet, 0),
            Ok(Some((index, fresh))) => match self.open(&attempt, index, packet.bytes) {
                Ok(()) => return self.commit(place, packet.source, index, Some(fresh), &attempt),
                Err(reject) => reject,
            },
            Err(reject) => reject,
        };
        self.unprotect_after_silence(place, &attempt, packet, refused)
    }

    /// Index and replay check of a packet of a known stream; `None` for an unknown stream.
    pub(super) fn known_index(
        &self,
        place: StreamKey,
        attempt: &Attempt<'_>,
    ) -> Result<Option<(PacketIndex, Fresh)>, Reject> {
        let Some(stream) = self.streams.get(place) else { return Ok(None) };
        let index = match attempt.clear.kind {
            PacketKind::Rtp => index::estimate(stream.window.highest(), attempt.clear.seq)?,
            PacketKind::Rtcp => PacketIndex::srtcp(attempt.layout.e_word),
        };
        //= RFC 3711 §3.3 step 5: the replay check comes before the costly one
        let fresh = stream.window.check(index, self.limits.replay_window)?;
        Ok(Some((index, fresh)))
    }

    /// The only step that proves origin: authenticates, then decrypts in place. If the tag does not
    /// match, the packet is as it was.
    pub(super) fn open(
        &mut self,
        attempt: &Attempt<'_>,
        index: PacketIndex,
        bytes: &mut [u8],
    ) -> Result<(), Reject> {
        let Attempt { clear, key, .. } = attempt;
        let r = key.derivation(index);
        let session = if r == 0 {
            key.session(clear.kind)
        } else {
            self.derived.get(key, clear.kind, r).ok_or(Reject::Unsupported)?
        };
        let opened = match &session.hmac {
            Some(_) => {
                let good = hmac_verify(self.backend, session, attempt, index, bytes);
                if good {
                    ctr_decrypt(self.backend, session, attempt, index, bytes);
                }
                good
            }
            None => gcm_open(self.backend, session, attempt, index, bytes),
        };
        if opened { Ok(()) } else { Err(Reject::AuthFailed) }
    }

    /// State moves here and nowhere else. `fresh` is `None` for the first packet of a stream.
    pub(super) fn commit(
        &mut self,
        place: StreamKey,
        source: u32,
        index: PacketIndex,
        fresh: Option<Fresh>,
        attempt: &Attempt<'_>,
    ) -> Verdict {
        let new_stream = fresh.is_none();
        match (fresh, self.streams.get_mut(place)) {
            (Some(fresh), Some(stream)) => {
                let other_source = source != stream.source && source != 0 && stream.source != 0;
                if other_source && !stream.is_silent(self.now, self.limits.source_timeout) {
                    return Err(Reject::SourceConflict);
                }
                stream.window.commit(fresh);
                stream.last_seen = self.now;
                if source != 0 {
                    stream.source = source;
                }
            }
            _ => match self.streams.insert(place, index, source, self.now) {
                Inserted::Added => {}
                Inserted::Evicted => self.evicted += 1,
                Inserted::Full => return Err(Reject::StreamLimit),
            },
        }
        attempt.key.mark_used();
        Ok(Opened {
            index,
            ssrc: attempt.clear.ssrc,
            header_len: attempt.clear.header_len,
            len: attempt.layout.text_end,
            new_stream,
        })
    }
}

/// A packet whose key and parts are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    pub(super) clear: Clear,
    pub(super) layout: Layout,
    pub(super) key: &'a TrafficKey,
}

impl Attempt<'_> {
    /// Whether the text is encrypted: by policy for SRTP, by the E flag for SRTCP.
    pub(super) const fn is_encrypted(&self) -> bool {
        match self.clear.kind {
            PacketKind::Rtp => true,
            PacketKind::Rtcp => self.layout.is_encrypted_rtcp(),
        }
    }

    /// What the HMAC covers besides the octets on the wire (RFC 3711 §4.2).
    pub(super) const fn suffix(&self, index: PacketIndex) -> Option<[u8; 4]> {
        match self.clear.kind {
            PacketKind::Rtp => Some(index.roc().0.to_be_bytes()),
            PacketKind::Rtcp => None,
        }
    }

    /// Compares the tag on the wire with a computed MAC, in constant time.
    pub(super) fn tag_matches(&self, bytes: &[u8], mac: &[u8; 20]) -> bool {
        let tag = bytes.get(self.layout.tag_start..).unwrap_or_default();
        mac.get(..tag.len()).is_some_and(|mac| bool::from(mac.ct_eq(tag)))
    }

    /// Associated data, text, and tag of an AEAD packet (RFC 7714 §8.2, §9.2, §9.3).
    pub(super) fn gcm_job<'b>(
        &self,
        session: &'b SessionKeys,
        index: PacketIndex,
        bytes: &'b mut [u8],
    ) -> Option<GcmJob<'b>> {
        let key = session.cipher.as_ref()?;
        let iv = session.nonce(self.clear.ssrc.0, index);
        let (head, behind) = bytes.split_at_mut_checked(self.layout.text_end)?;
        let tag = *behind.first_chunk()?;
        let e_word = match self.clear.kind {
            PacketKind::Rtp => &[][..],
            PacketKind::Rtcp => behind.get(16..20)?,
        };
        let clear_len = if self.is_encrypted() { self.clear.header_len } else { head.len() };
        let (aad, data) = head.split_at_mut_checked(clear_len)?;
        Some(GcmJob { key, iv, aad: [aad, e_word], data, tag })
    }

    /// Restores the ciphertext of an AEAD packet that was opened under this index: counter mode is
    /// its own inverse.
    pub(super) fn undo(&self, backend: Backend, index: PacketIndex, bytes: &mut [u8]) {
        let session = self.key.session(self.clear.kind);
        let Some(GcmJob { key, iv, data, .. }) = self.gcm_job(session, index, bytes) else {
            return;
        };
        let mut block = [0; 16];
        block[..12].copy_from_slice(&iv);
        //= SP 800-38D §7.1: block 1 masks the tag, the text starts with block 2
        block[15] = 2;
        ctr_batch(backend, &mut [CtrJob { key, iv: block, data }]);
    }

    /// The text to run counter mode over, if any.
    pub(super) fn ctr_job<'b>(
        &self,
        session: &'b SessionKeys,
        index: PacketIndex,
        bytes: &'b mut [u8],
    ) -> Option<CtrJob<'b>> {
        let key = session.cipher.as_ref().filter(|_| self.is_encrypted())?;
        let data = bytes.get_mut(self.clear.header_len..self.layout.text_end)?;
        Some(CtrJob { key, iv: session.counter_block(self.clear.ssrc.0, index), data })
    }
}

fn hmac_verify(
    backend: Backend,
    session: &SessionKeys,
    attempt: &Attempt<'_>,
    index: PacketIndex,
    bytes: &[u8],
) -> bool {
    let Some(key) = &session.hmac else { return false };
    let message = bytes.get(..attempt.layout.auth_end).unwrap_or_default();
    let mut mac = [[0; 20]];
    hmac_batch(backend, &[HmacJob { key, message, suffix: attempt.suffix(index) }], &mut mac);
    attempt.tag_matches(bytes, &mac[0])
}

fn ctr_decrypt(
    backend: Backend,
    session: &SessionKeys,
    attempt: &Attempt<'_>,
    index: PacketIndex,
    bytes: &mut [u8],
) {
    if let Some(job) = attempt.ctr_job(session, index, bytes) {
        ctr_batch(backend, &mut [job]);
    }
}

fn gcm_open(
    backend: Backend,
    session: &SessionKeys,
    attempt: &Attempt<'_>,
    index: PacketIndex,
    bytes: &mut [u8],
) -> bool {
    let mut ok = [false];
    if let Some(job) = attempt.gcm_job(session, index, bytes) {
        gcm_open_batch(backend, &mut [job], &mut ok);
    }
    ok[0]
}
