//! Many packets at once: the same steps as one by one, each taken for the whole batch.
//!
//! Authentications are independent of one another, so they run side by side in vector lanes; what
//! depends on order (index, replay, first packet of a stream) is decided again, in order, when the
//! authentications are known. A packet whose index came out differently then goes alone.
//!
//! What every packet passes through is inlined and keeps to registers: a result of several words
//! that comes back through memory is written in pieces and read in one, and that read has to wait for
//! all of them. What is rare stands in functions of its own and is not.

use arrayvec::ArrayVec;

use super::{
    attempt::Attempt,
    kernel::{
        cipher::{CtrJob, GcmJob, ctr_batch, gcm_open_batch},
        hmac::{HmacJob, hmac_batch},
        prefetch,
    },
    key::{Course, TrafficKey},
    layout::{Clear, Trailer},
    stream::StreamKey,
    stream_table::Hint,
    unprotect::{Opened, Packet, Unprotector, Verdict},
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
        self.trials.next_batch();
        if let ([packet], [verdict, ..]) = (&mut *batch, &mut *verdicts) {
            *verdict = self.unprotect_single(packet);
            return;
        }
        for (packets, verdicts) in batch.chunks_mut(MAX_BATCH).zip(verdicts.chunks_mut(MAX_BATCH)) {
            self.unprotect_chunk(packets, verdicts);
        }
    }

    /// A batch of one packet: nothing to gather.
    fn unprotect_single(&mut self, packet: &mut Packet<'_>) -> Verdict {
        let Some(attempt) = Attempt::read_plain(packet) else { return self.unprotect_one(packet) };
        let Some(tried) = self.place(packet, &attempt, None) else {
            return self.unprotect_one(packet);
        };
        let (session, index) = (attempt.session(), tried.opened.index);
        let proven = match tried.course {
            Course::Alone => return self.unprotect_one(packet),
            Course::Hashed => {
                let trailer = attempt.plain_trailer();
                attempt.verify_hmac(trailer, self.backend, session, index, packet.bytes)
            }
            Course::Sealed => attempt.open_aead(self.backend, session, index, packet.bytes),
        };
        if !(proven && self.accept(packet, &tried)) {
            return self.settle_otherwise(packet, &tried, proven, None);
        }
        if tried.course == Course::Hashed {
            attempt.decrypt(self.backend, session, index, packet.bytes);
        }
        Ok(tried.opened)
    }

    fn unprotect_chunk(&mut self, batch: &mut [Packet<'_>], verdicts: &mut [Verdict]) {
        let count = batch.len().min(verdicts.len());
        let (batch, verdicts) = (&mut batch[..count], &mut verdicts[..count]);
        let mut plans = ArrayVec::new();
        let mut proofs = Proofs { macs: [[0; 20]; MAX_BATCH], opened: [false; MAX_BATCH] };
        self.authenticate(batch, &mut plans, &mut proofs, verdicts);
        self.settle(batch, &plans, &proofs, verdicts);
    }

    /// Plans every packet and runs all authentications; AEAD packets that are authentic are decrypted.
    #[inline(never)]
    fn authenticate<'a>(
        &self,
        batch: &mut [Packet<'a>],
        plans: &mut Plans<'a>,
        proofs: &mut Proofs,
        verdicts: &mut [Verdict],
    ) {
        let mut jobs = Jobs { hashes: ArrayVec::new(), seals: ArrayVec::new() };
        let mut rest = batch;
        self.look_ahead(&[], rest);
        while !rest.is_empty() {
            let (now, behind) = rest.split_at_mut(rest.len().min(STEP));
            rest = behind;
            self.look_ahead(now, rest);
            for packet in now {
                if let Some(attempt) = Attempt::read_plain(packet)
                    && let Some(mut tried) = self.place(packet, &attempt, None)
                {
                    jobs.add(&mut tried, &attempt, attempt.plain_trailer(), packet.bytes);
                    plans.push(Some(tried));
                } else {
                    let planned = self.plan_otherwise(packet, &mut verdicts[plans.len()]);
                    plans.push(jobs.add_otherwise(planned, packet.bytes));
                }
            }
        }
        let Jobs { hashes, seals } = &mut jobs;
        hmac_batch(self.backend, hashes, &mut proofs.macs[..hashes.len()]);
        let count = seals.len();
        gcm_open_batch(self.backend, seals, &mut proofs.opened[..count]);
    }

    /// Asks for what will be looked at of the packets behind those that are planned `now`: for the
    /// octets of the step after the next, and for the state of the streams that the next step names,
    /// whose headers have come.
    #[inline(never)]
    fn look_ahead(&self, now: &[Packet<'_>], behind: &[Packet<'_>]) {
        let known = if now.is_empty() { 0 } else { STEP };
        behind.iter().take(2 * STEP).skip(known).for_each(prefetch_packet);
        if self.streams.len() > CACHED_STREAMS {
            behind.iter().take(STEP).for_each(|packet| self.prefetch_stream(packet));
        }
    }

    #[inline(always)]
    fn prefetch_stream(&self, packet: &Packet<'_>) {
        if let Some(clear) = Clear::read_plain(packet.kind, packet.bytes) {
            self.streams.prefetch(StreamKey::new(packet.session, clear.kind, clear.ssrc));
        }
    }

    /// The plan for a packet of a known stream, whose index is known unless the batch changes it.
    #[inline(always)]
    fn place<'a>(
        &self,
        packet: &Packet<'_>,
        attempt: &Attempt<'a>,
        stated: Option<PacketIndex>,
    ) -> Option<Tried<'a>> {
        let stream = attempt.stream(packet.session);
        let (hint, state) = self.streams.find(stream);
        let placed = state?.place(attempt.clear.seq, stated, self.limits.replay_window);
        let (index, _) = placed.ok()?;
        Some(Tried::new(attempt, index, stream, hint, attempt.course()))
    }

    /// The plan for a packet that is not plain, or not of a known stream. `None` once it has its
    /// verdict, because no key can open it.
    #[inline(never)]
    fn plan_otherwise<'a>(
        &self,
        packet: &Packet<'a>,
        verdict: &mut Verdict,
    ) -> Option<(Attempt<'a>, Tried<'a>)> {
        let Some(attempt) = Attempt::read(packet) else {
            *verdict = Err(Attempt::why_not(packet));
            return None;
        };
        if let Some(tried) = self.place(packet, &attempt, attempt.stated_index()) {
            return Some((attempt, tried));
        }
        let stream = attempt.stream(packet.session);
        let (hint, state) = self.streams.find(stream);
        let first = match state {
            None => self.candidate(0, &attempt, packet.keys),
            // An earlier packet of the batch may still move the stream.
            Some(_) => None,
        };
        let course = match first {
            Some(_) => attempt.course(),
            None => Course::Alone,
        };
        let index = first.unwrap_or_default();
        Some((attempt, Tried::new(&attempt, index, stream, hint, course)))
    }

    /// Decides each packet in its turn, and decrypts what was accepted and is not decrypted yet.
    #[inline(never)]
    fn settle(
        &mut self,
        batch: &mut [Packet<'_>],
        plans: &[Option<Tried<'_>>],
        proofs: &Proofs,
        verdicts: &mut [Verdict],
    ) {
        let done = self.settle_sealed(batch, plans, &proofs.opened, verdicts);
        let (batch, plans, verdicts) = (&mut batch[done..], &plans[done..], &mut verdicts[done..]);
        let (mut macs, mut opened) = (proofs.macs.iter(), proofs.opened[done..].iter());
        let mut texts = ArrayVec::<CtrJob<'_>, MAX_BATCH>::new();
        for ((packet, plan), verdict) in batch.iter_mut().zip(plans).zip(verdicts) {
            let Some(tried) = plan else { continue };
            let mut mac = None;
            let proven = match tried.course {
                Course::Alone => {
                    *verdict = self.unprotect_one(packet);
                    continue;
                }
                Course::Hashed => {
                    mac = macs.next();
                    let trailer = tried.key.trailer(packet.kind);
                    mac.is_some_and(|mac| Attempt::tag_matches(trailer, packet.bytes, mac))
                }
                Course::Sealed => opened.next().is_some_and(|opened| *opened),
            };
            if !(proven && self.accept(packet, tried)) {
                *verdict = self.settle_otherwise(packet, tried, proven, mac);
                continue;
            }
            *verdict = Ok(tried.opened);
            if tried.course == Course::Hashed
                && let Some(job) =
                    tried.opened.text_job(tried.key.session(packet.kind), packet.bytes)
            {
                texts.push(job);
            }
        }
        ctr_batch(self.backend, &mut texts);
    }

    /// Decides packets under AEAD from the first on, as far as each is authentic and goes on with its
    /// stream. Returns how many. A loop with nothing rare in it keeps to registers.
    #[inline(never)]
    fn settle_sealed(
        &mut self,
        batch: &[Packet<'_>],
        plans: &[Option<Tried<'_>>],
        opened: &[bool],
        verdicts: &mut [Verdict],
    ) -> usize {
        let mut done = 0;
        for (((packet, plan), opened), verdict) in batch.iter().zip(plans).zip(opened).zip(verdicts)
        {
            let Some(tried) = plan else { break };
            if !(tried.course == Course::Sealed && *opened && self.accept(packet, tried)) {
                break;
            }
            *verdict = Ok(tried.opened);
            done += 1;
        }
        done
    }

    /// Accepts an authentic packet that goes on with its stream, which most do, and tells its key.
    #[inline(always)]
    fn accept(&mut self, packet: &Packet<'_>, tried: &Tried<'_>) -> bool {
        let (age, now) = (tried.key.age(), self.now);
        let accepted = self
            .streams
            .get_mut(tried.stream, tried.hint)
            .is_some_and(|stream| stream.accept_next(tried.opened.index, age, packet.source, now));
        if accepted {
            tried.key.mark_used();
        }
        accepted
    }

    /// What becomes of a packet that [`Self::accept`] does not take, or whose MAC does not stand where
    /// that of a plain one does.
    #[inline(never)]
    fn settle_otherwise(
        &mut self,
        packet: &mut Packet<'_>,
        tried: &Tried<'_>,
        proven: bool,
        mac: Option<&[u8; 20]>,
    ) -> Verdict {
        // Nothing of what is read has changed, whether or not the text has been decrypted.
        let Some(attempt) = Attempt::read(packet) else { return Err(Attempt::why_not(packet)) };
        let (attempt, index) = (&attempt, tried.opened.index);
        let tag_matches = |mac| Attempt::tag_matches(attempt.trailer(), packet.bytes, mac);
        let proven = proven || mac.is_some_and(tag_matches);
        let (hint, stream) = self.streams.find(tried.stream);
        let (seq, stated) = (attempt.clear.seq, attempt.stated_index());
        let placed = stream.map(|stream| stream.place(seq, stated, self.limits.replay_window));
        let now = match &placed {
            Some(placed) => placed.as_ref().ok().map(|(index, _)| *index),
            // Known when the packet was planned, the stream may have made room since.
            None => self.candidate(0, attempt, packet.keys),
        };
        if now != Some(index) {
            // Alone, from the octets as they came.
            if proven && tried.course == Course::Sealed {
                attempt.undo(self.backend, index, packet.bytes);
            }
            return self.unprotect_one(packet);
        }
        if !proven {
            return match placed {
                Some(_) => self.unprotect_refused(attempt, packet, Reject::AuthFailed),
                None => self.unprotect_first(attempt, packet, 1),
            };
        }
        let opened = match placed {
            Some(placed) => self.commit(attempt, packet, hint, index, placed?.1)?,
            None => self.commit_first(attempt, packet, index)?,
        };
        if tried.course == Course::Hashed {
            attempt.decrypt(self.backend, attempt.session(), index, packet.bytes);
        }
        Ok(opened)
    }
}

/// Asks for the first and the last line of a packet, where header and MKI are. The text between them
/// is read in order, which the processor follows; asking for more costs packets in cache more than it
/// saves others.
#[inline(always)]
fn prefetch_packet(packet: &Packet<'_>) {
    let (start, len) = (packet.bytes.as_ptr(), packet.bytes.len());
    prefetch(start);
    prefetch(start.wrapping_add(len).wrapping_sub(1));
}

/// Packets that are planned before others are asked for.
const STEP: usize = 8;
/// So few streams are taken to be in cache.
const CACHED_STREAMS: usize = 256;

/// What is authenticated together.
struct Jobs<'a> {
    hashes: ArrayVec<HmacJob<'a>, MAX_BATCH>,
    seals: ArrayVec<GcmJob<'a>, MAX_BATCH>,
}

impl<'a> Jobs<'a> {
    /// A packet that gave no job would shift the results of the others: it goes alone.
    #[inline(always)]
    fn add(
        &mut self,
        tried: &mut Tried<'_>,
        attempt: &Attempt<'a>,
        trailer: &Trailer,
        bytes: &'a mut [u8],
    ) {
        let (session, index) = (attempt.session(), tried.opened.index);
        match tried.course {
            Course::Alone => {}
            Course::Hashed => match attempt.hmac_job(trailer, session, index, bytes) {
                Some(job) => self.hashes.push(job),
                None => tried.course = Course::Alone,
            },
            Course::Sealed => match attempt.gcm_job(session, index, bytes) {
                Some(job) => self.seals.push(job),
                None => tried.course = Course::Alone,
            },
        }
    }

    #[inline(never)]
    fn add_otherwise<'k: 'a>(
        &mut self,
        planned: Option<(Attempt<'k>, Tried<'k>)>,
        bytes: &'a mut [u8],
    ) -> Option<Tried<'k>> {
        let (attempt, mut tried) = planned?;
        self.add(&mut tried, &attempt, attempt.trailer(), bytes);
        Some(tried)
    }
}

/// What is tried with each packet; `None` for one that has its verdict, which depends on no other.
type Plans<'a> = ArrayVec<Option<Tried<'a>>, MAX_BATCH>;

/// A packet under the index it has unless the batch itself changes that. Less than a cache line.
struct Tried<'a> {
    /// What is told of it if it is authentic and goes on with its stream.
    opened: Opened,
    key: &'a TrafficKey,
    stream: StreamKey,
    hint: Hint,
    course: Course,
}

impl<'a> Tried<'a> {
    #[inline(always)]
    fn new(
        attempt: &Attempt<'a>,
        index: PacketIndex,
        stream: StreamKey,
        hint: Hint,
        course: Course,
    ) -> Self {
        let opened = attempt.delivered(index, false, true);
        Self { opened, key: attempt.key, stream, hint, course }
    }
}

/// What the authentications came to, in the order of their packets.
struct Proofs {
    macs: [[u8; 20]; MAX_BATCH],
    opened: [bool; MAX_BATCH],
}
