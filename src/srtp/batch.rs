//! Many packets at once: the same steps as one by one, each taken for the whole batch.
//!
//! Authentications are independent of one another, so they run side by side in vector lanes; what
//! depends on order (index, replay, first packet of a stream) is decided again, in order, when the
//! authentications are known. A packet whose index came out differently then goes alone.

use arrayvec::ArrayVec;

use super::{
    kernel::{
        cipher::{CtrJob, GcmJob, ctr_batch, gcm_open_batch},
        hmac::{HmacJob, hmac_batch},
    },
    layout::{Clear, Layout},
    stream::StreamKey,
    unprotect::{Attempt, Packet, Unprotector, Verdict},
};
use crate::{error::Reject, ids::PacketIndex};

/// Packets treated together; longer batches are cut.
pub const MAX_BATCH: usize = 64;

impl Unprotector {
    /// Authenticates and decrypts a batch in place; `verdicts[i]` tells what became of `batch[i]`.
    ///
    /// Verdicts, plain texts and state are those of [`Self::unprotect`] called in order. Any mix of
    /// sessions, keys, profiles, lengths, RTP and RTCP. Packets beyond the length of `verdicts` are
    /// not looked at.
    pub fn unprotect_batch(&mut self, batch: &mut [Packet<'_>], verdicts: &mut [Verdict]) {
        self.trials_left = self.limits.roc_trials_per_batch;
        for (packets, verdicts) in batch.chunks_mut(MAX_BATCH).zip(verdicts.chunks_mut(MAX_BATCH)) {
            self.unprotect_chunk(packets, verdicts);
        }
    }

    fn unprotect_chunk(&mut self, batch: &mut [Packet<'_>], verdicts: &mut [Verdict]) {
        let count = batch.len().min(verdicts.len());
        let (batch, verdicts) = (&mut batch[..count], &mut verdicts[..count]);
        let mut plans: ArrayVec<Plan<'_>, MAX_BATCH> =
            batch.iter().map(|packet| self.plan(packet)).collect();
        self.authenticate(batch, &mut plans);
        self.open_aead(batch, &mut plans);
        for ((packet, plan), verdict) in batch.iter_mut().zip(&mut plans).zip(verdicts.iter_mut()) {
            *verdict = self.settle(packet, plan);
        }
        self.decrypt(batch, &plans);
    }

    /// What can be known of a packet before any authentication of this batch is.
    fn plan<'a>(&self, packet: &Packet<'a>) -> Plan<'a> {
        self.speculate(packet).unwrap_or_else(Plan::Refused)
    }

    fn speculate<'a>(&self, packet: &Packet<'a>) -> Result<Plan<'a>, Reject> {
        let clear = Clear::parse(packet.kind, packet.bytes)?;
        let key = packet
            .keys
            .find(clear.kind, clear.seq, packet.bytes)
            .ok_or_else(|| packet.keys.why_not(clear.kind, clear.seq, packet.bytes))?;
        let layout = Layout::parse(&clear, key.profile(), packet.bytes)?;
        let attempt = Attempt { clear, layout, key };
        let place = StreamKey::new(packet.session, clear.kind, clear.ssrc);
        let index = match self.known_index(place, &attempt) {
            Ok(Some((index, _))) => index,
            Ok(None) => match self.candidate(0, &attempt, packet.keys) {
                Some(index) => index,
                None => return Ok(Plan::Alone),
            },
            // An earlier packet of the batch may still move the stream: decided in order.
            Err(_) => return Ok(Plan::Alone),
        };
        if key.profile().kdr != 0 {
            return Ok(Plan::Alone);
        }
        Ok(Plan::Together { attempt, place, index, state: State::Unproven })
    }

    /// All HMACs of the batch; compares the tags.
    fn authenticate(&self, batch: &[Packet<'_>], plans: &mut [Plan<'_>]) {
        let mut jobs = ArrayVec::<HmacJob<'_>, MAX_BATCH>::new();
        for (packet, plan) in batch.iter().zip(plans.iter()) {
            if let Some((attempt, index)) = plan.hmac() {
                let Some(key) = &attempt.key.session(attempt.clear.kind).hmac else { continue };
                let message = packet.bytes.get(..attempt.layout.auth_end).unwrap_or_default();
                jobs.push(HmacJob { key, message, suffix: attempt.suffix(index) });
            }
        }
        let mut macs = [[0; 20]; MAX_BATCH];
        hmac_batch(self.backend, &jobs, &mut macs[..jobs.len()]);
        let proven = batch.iter().zip(plans).filter(|(_, plan)| plan.hmac().is_some());
        for ((packet, plan), mac) in proven.zip(&macs) {
            if let Plan::Together { attempt, state, .. } = plan {
                let good = attempt.tag_matches(packet.bytes, mac);
                *state = if good { State::Authentic } else { State::Refused };
            }
        }
    }

    /// Opens all AEAD packets of the batch in place.
    fn open_aead(&self, batch: &mut [Packet<'_>], plans: &mut [Plan<'_>]) {
        let mut jobs = ArrayVec::<GcmJob<'_>, MAX_BATCH>::new();
        let mut states = ArrayVec::<&mut State, MAX_BATCH>::new();
        for (packet, plan) in batch.iter_mut().zip(plans) {
            if let Plan::Together { attempt, index, state, .. } = plan
                && *state == State::Unproven
            {
                *state = State::Refused;
                let session = attempt.key.session(attempt.clear.kind);
                if let Some(job) = attempt.gcm_job(session, *index, packet.bytes) {
                    jobs.push(job);
                    states.push(state);
                }
            }
        }
        let mut opened = [false; MAX_BATCH];
        gcm_open_batch(self.backend, &mut jobs, &mut opened[..states.len()]);
        for (state, _) in states.into_iter().zip(opened).filter(|(_, opened)| *opened) {
            *state = State::Opened;
        }
    }

    /// Decides one packet in its turn, on the state the packets before it have left.
    fn settle(&mut self, packet: &mut Packet<'_>, plan: &mut Plan<'_>) -> Verdict {
        let (attempt, place, index, state) = match plan {
            Plan::Refused(reject) => return Err(*reject),
            Plan::Alone => return self.unprotect_one(packet),
            Plan::Together { attempt, place, index, state } => (*attempt, *place, *index, state),
        };
        let (now, fresh) = match self.known_index(place, &attempt) {
            Ok(Some((now, fresh))) => (now, Some(fresh)),
            Ok(None) => match self.candidate(0, &attempt, packet.keys) {
                Some(now) => (now, None),
                None => return Err(Reject::AuthFailed),
            },
            Err(reject) => {
                if *state == State::Opened {
                    attempt.undo(self.backend, index, packet.bytes);
                }
                *plan = Plan::Alone;
                return self.unprotect_after_silence(place, &attempt, packet, reject);
            }
        };
        let proven = matches!(state, State::Authentic | State::Opened);
        if now != index {
            // Another index than the one tried: alone, from the octets as they came.
            if *state == State::Opened {
                attempt.undo(self.backend, index, packet.bytes);
            }
            *plan = Plan::Alone;
            return self.unprotect_one(packet);
        }
        let verdict = match (proven, fresh) {
            (true, fresh) => self.commit(place, packet.source, index, fresh, &attempt),
            (false, Some(_)) => {
                *plan = Plan::Alone;
                return self.unprotect_after_silence(place, &attempt, packet, Reject::AuthFailed);
            }
            (false, None) => {
                *plan = Plan::Alone;
                return self.unprotect_first(place, &attempt, packet, 1);
            }
        };
        if verdict.is_err() {
            *state = State::Refused;
        }
        verdict
    }

    /// Counter mode over every accepted packet that is not decrypted yet.
    fn decrypt(&self, batch: &mut [Packet<'_>], plans: &[Plan<'_>]) {
        let mut jobs = ArrayVec::<CtrJob<'_>, MAX_BATCH>::new();
        for (packet, plan) in batch.iter_mut().zip(plans) {
            if let Plan::Together { attempt, index, state: State::Authentic, .. } = plan {
                let session = attempt.key.session(attempt.clear.kind);
                jobs.extend(attempt.ctr_job(session, *index, packet.bytes));
            }
        }
        ctr_batch(self.backend, &mut jobs);
    }
}

/// How a packet of a batch is treated.
enum Plan<'a> {
    /// Its verdict depends on no other packet.
    Refused(Reject),
    /// In its turn, by [`Unprotector::unprotect_one`].
    Alone,
    /// With the others, under the index it has unless the batch itself changes that.
    Together { attempt: Attempt<'a>, place: StreamKey, index: PacketIndex, state: State },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Unproven,
    /// Not to be delivered.
    Refused,
    /// HMAC matches; not decrypted yet.
    Authentic,
    /// AEAD opened and decrypted.
    Opened,
}

impl<'a> Plan<'a> {
    fn hmac(&self) -> Option<(Attempt<'a>, PacketIndex)> {
        match self {
            Self::Together { attempt, index, .. } if !attempt.key.profile().cipher.is_aead() => {
                Some((*attempt, *index))
            }
            _ => None,
        }
    }
}
