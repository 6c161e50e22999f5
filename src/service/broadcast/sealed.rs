//! What may be sent: protected packets and key messages, and nothing else.

use std::{sync::Arc, time::Instant};

use arrayvec::ArrayVec;

use crate::{
    broadcast::{BroadcastAction, Broadcaster, Plain},
    error::{Error, Reject},
    srtp::{MAX_BATCH, PacketKind},
};

/// A datagram that may go to a group. Only this file makes one.
#[derive(Debug)]
pub(super) struct Sealed(Octets);

#[derive(Debug)]
enum Octets {
    Packet(Vec<u8>),
    KeyMessage(Arc<[u8]>),
}

impl Sealed {
    /// The key message of an action, if it has one.
    pub(super) fn key_message(action: &BroadcastAction) -> Option<Self> {
        match action {
            BroadcastAction::SendKeyMessage(octets) => {
                Some(Self(Octets::KeyMessage(Arc::clone(octets))))
            }
            _ => None,
        }
    }

    pub(super) fn octets(&self) -> &[u8] {
        match &self.0 {
            Octets::Packet(octets) => octets,
            Octets::KeyMessage(octets) => octets,
        }
    }

    pub(super) const fn is_key_message(&self) -> bool {
        matches!(self.0, Octets::KeyMessage(_))
    }

    /// The memory of a packet, to be used again.
    pub(super) fn into_buffer(self) -> Option<Vec<u8>> {
        match self.0 {
            Octets::Packet(octets) => Some(octets),
            Octets::KeyMessage(_) => None,
        }
    }
}

/// A plain packet, checked.
pub(super) type Checked = (PacketKind, Vec<u8>);

/// Protects up to a batch of packets, and hands each that is protected to `sealed`, each that is not,
/// with the reason, to `refused`. What is refused leaves its octets nowhere.
///
/// # Errors
/// No traffic key is in force: then all packets are still in `batch`.
pub(super) fn seal(
    broadcaster: &mut Broadcaster,
    batch: &mut ArrayVec<Checked, MAX_BATCH>,
    now: Instant,
    mut sealed: impl FnMut(PacketKind, Sealed),
    mut refused: impl FnMut(Reject, Vec<u8>),
) -> Result<(), Error> {
    let mut verdicts = [Err(Reject::Unsupported); MAX_BATCH];
    {
        let plain = batch.iter_mut().map(|(kind, bytes)| Plain { kind: *kind, bytes });
        let mut plain: ArrayVec<_, MAX_BATCH> = plain.collect();
        broadcaster.protect_batch(&mut plain, &mut verdicts, now)?;
    }
    for ((kind, bytes), verdict) in batch.drain(..).zip(verdicts) {
        match verdict {
            Ok(_) => sealed(kind, Sealed(Octets::Packet(bytes))),
            Err(reject) => refused(reject, bytes),
        }
    }
    Ok(())
}
