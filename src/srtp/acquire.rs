//! The rollover counter of a stream whose place is not known: found by authentication, over bounded
//! candidates (D5).

use super::{
    attempt::Attempt,
    index,
    ring::KeyRing,
    trials::Claim,
    unprotect::{Packet, Unprotector, Verdict},
};
use crate::{
    error::Reject,
    ids::{PacketIndex, Roc},
};

impl Unprotector {
    /// The `n`-th index to try on the first packet of a stream, `None` when the tries are used up.
    ///
    /// Order: the announced rollover counter, or the one expected after a restart, its successor, its
    /// predecessor, then onwards; with neither from 0 on (D5).
    pub(super) fn candidate(
        &self,
        n: u32,
        attempt: &Attempt<'_>,
        keys: &KeyRing,
    ) -> Option<PacketIndex> {
        //= RFC 4771 §2: the rollover counter that a packet carries is the one to use, and no other
        if let Some(stated) = attempt.stated_index() {
            return (n == 0).then_some(stated);
        }
        let hint = keys.expected_roc(attempt.clear.ssrc, attempt.clear.seq);
        self.candidate_near(hint, n, attempt)
    }

    /// First packet of an unknown stream: its rollover counter is found by authentication, from the
    /// `n`-th candidate on.
    #[cold]
    pub(super) fn unprotect_first(
        &mut self,
        attempt: &Attempt<'_>,
        packet: &mut Packet<'_>,
        mut n: u32,
    ) -> Verdict {
        let (claim, now) = (claim(attempt, packet), self.now);
        while let Some(index) = self.candidate(n, attempt, packet.keys) {
            if n > 0 && !self.trials.take(claim, now) {
                return Err(Reject::TrialLimit);
            }
            if self.open(attempt, index, packet.bytes).is_ok() {
                return self.commit_first(attempt, packet, index);
            }
            n += 1;
        }
        if n > 1 {
            self.trials.fail(claim, now);
        }
        Err(Reject::AuthFailed)
    }

    /// Packet of a known stream that was refused as `refused`. Its sender may have started again; or, if
    /// nothing of the stream has been accepted for long, more may have been missed than the estimate
    /// bridges.
    #[cold]
    pub(super) fn unprotect_refused(
        &mut self,
        attempt: &Attempt<'_>,
        packet: &mut Packet<'_>,
        refused: Reject,
    ) -> Verdict {
        let (now, claim) = (self.now, claim(attempt, packet));
        let Some(stream) = self.streams.find(attempt.stream(packet.session)).1 else {
            return Err(refused);
        };
        stream.takes(attempt.key.age())?;
        let silent = stream.is_silent(now, self.limits.source_timeout);
        let (highest, restart) = (stream.highest(), self.restart(stream, attempt, packet, refused));
        if let Some(index) = restart {
            if !self.trials.take(claim, now) {
                return Err(refused);
            }
            if self.open(attempt, index, packet.bytes).is_ok() {
                return self.commit_restart(attempt, packet, index);
            }
        }
        if silent && attempt.stated_index().is_none() {
            return self.unprotect_after_silence(attempt, packet, highest, claim, refused);
        }
        if restart.is_some() {
            self.trials.fail(claim, now);
        }
        Err(refused)
    }

    //= RFC 3711 §3.3.1: 2^15 packets lost in a row are more than the index estimate allows for
    fn unprotect_after_silence(
        &mut self,
        attempt: &Attempt<'_>,
        packet: &mut Packet<'_>,
        highest: PacketIndex,
        claim: Claim,
        refused: Reject,
    ) -> Verdict {
        let now = self.now;
        let tried = index::estimate(highest, attempt.clear.seq).ok();
        let expected = packet.keys.expected_roc(attempt.clear.ssrc, attempt.clear.seq);
        let (nearby, mut n) = (expected.max(highest.roc()), 0);
        while let Some(index) = self.candidate_near(nearby, n, attempt) {
            n += 1;
            // Only ahead of everything accepted, so that nothing is accepted twice.
            if index <= highest || tried == Some(index) {
                continue;
            }
            if !self.trials.take(claim, now) {
                return Err(refused);
            }
            if self.open(attempt, index, packet.bytes).is_ok() {
                let (hint, stream) = self.streams.find(attempt.stream(packet.session));
                let fresh = stream.ok_or(refused)?.check(index, self.limits.replay_window)?;
                return self.commit(attempt, packet, hint, index, fresh);
            }
        }
        self.trials.fail(claim, now);
        Err(refused)
    }

    /// The `n`-th index to try if the rollover counter was `hint` not long ago.
    fn candidate_near(&self, hint: Roc, n: u32, attempt: &Attempt<'_>) -> Option<PacketIndex> {
        if n >= self.limits.roc_candidates {
            return None;
        }
        let roc = match (hint, n) {
            (Roc(0), n) => n,
            (Roc(hint), 0) => hint,
            (Roc(hint), 2) => hint - 1,
            (Roc(hint), 1) => hint.checked_add(1)?,
            (Roc(hint), n) => hint.checked_add(n - 1)?,
        };
        Some(PacketIndex::new(Roc(roc), attempt.clear.seq))
    }
}

//= D5: the tries are bounded, so that forged SSRCs stay cheap
fn claim(attempt: &Attempt<'_>, packet: &Packet<'_>) -> Claim {
    let near = packet.keys.announced_roc(attempt.clear.ssrc).unwrap_or_default();
    Claim::new(packet.session, attempt.stream(packet.session), packet.source, near)
}
