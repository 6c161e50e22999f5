//! A sender that starts again under a new key with the SSRC it had, against RFC 3711 §3.3.1.
//!
//! Tolerated where [`StreamLimits::sender_restarts`](super::StreamLimits::sender_restarts) says so. Nothing
//! of the stream has been accepted under the new key or a newer one then, so that a replay list that
//! begins anew lets nothing in twice, as long as no older key is accepted after that.

use super::{
    attempt::Attempt,
    index,
    stream::Stream,
    unprotect::{Packet, Unprotector, Verdict},
};
use crate::{
    error::Reject,
    ids::{PacketIndex, Roc},
};

impl Unprotector {
    /// The index that a packet of this stream, refused as `refused`, has if its sender has started again.
    ///
    /// SRTP begins at rollover counter 0. SRTCP states its index, and any may be the first; the streams of
    /// SRTP and SRTCP restart each for itself.
    pub(super) fn restart(
        &self,
        stream: &Stream,
        attempt: &Attempt<'_>,
        packet: &Packet<'_>,
        refused: Reject,
    ) -> Option<PacketIndex> {
        let is_newer = || packet.keys.is_newer(attempt.key, stream.newest_key());
        //= RFC 4771 §2: the rollover counter that a packet carries is the one to use, and no other
        let has_rcc = attempt.key.profile().rcc.is_some();
        if !self.limits.sender_restarts || has_rcc || !is_newer() {
            return None;
        }
        let (seq, stated) = (attempt.clear.seq, attempt.stated_index());
        let index = stated.unwrap_or_else(|| PacketIndex::new(Roc(0), seq));
        let tried = stated.or_else(|| index::estimate(stream.highest(), seq).ok());
        // What has failed once fails again.
        (refused != Reject::AuthFailed || tried != Some(index)).then_some(index)
    }

    /// A stream begins anew here and nowhere else.
    #[cold]
    pub(super) fn commit_restart(
        &mut self,
        attempt: &Attempt<'_>,
        packet: &Packet<'_>,
        index: PacketIndex,
    ) -> Verdict {
        let key = attempt.stream(packet.session);
        let hint = self.streams.find(key).0;
        let stream = self.streams.get_mut(key, hint).ok_or(Reject::AuthFailed)?;
        let (age, timeout) = (attempt.key.age(), self.limits.source_timeout);
        stream.restart(index, age, packet.source, self.now, timeout)?;
        self.restarted += 1;
        Ok(attempt.opened(index, true))
    }
}
