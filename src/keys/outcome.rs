//! What an accepted key message brings, and how held keys are shown.

use std::sync::Arc;

use super::{CryptoSession, Interval, Mtk};
use crate::{
    ids::{KeyDomainId, MskId, MtkId},
    srtp::Profile,
};

/// What an accepted message brought.
#[non_exhaustive]
#[derive(Debug)]
pub enum Outcome {
    /// An MSK, new or delivered again.
    Msk(MskAccepted),
    /// An MSK was revoked and is no longer held.
    MskDeleted {
        /// Its key domain.
        domain: KeyDomainId,
        /// Its identifier.
        msk_id: MskId,
        /// The verification message to send back, if one was asked for.
        verification: Option<Vec<u8>>,
    },
    /// The server asks for an MSK request (solicited pull).
    MskRequested {
        /// Key domain to ask for.
        domain: KeyDomainId,
        /// Key group to ask for.
        key_group: u16,
    },
    /// A traffic key.
    Mtk(MtkAccepted),
}

/// An accepted MSK message.
#[non_exhaustive]
#[derive(Debug)]
pub struct MskAccepted {
    /// Key domain of the MSK.
    pub domain: KeyDomainId,
    /// Its identifier.
    pub msk_id: MskId,
    /// MTK IDs it may carry.
    pub interval: Interval,
    /// How packets under its traffic keys are protected.
    pub profile: Profile,
    /// Streams and their rollover counters.
    pub sessions: Arc<[CryptoSession]>,
    /// The MSK that made room, if the group held two.
    pub evicted: Option<MskId>,
    /// The same key was held already.
    pub redelivered: bool,
    /// Another key was held under the same identifier; it is gone, and so is what came under it.
    pub replaced: bool,
    /// The verification message to send back, if one was asked for.
    pub verification: Option<Vec<u8>>,
    /// Key management protocols that the SDP offered, as the initiator saw it (RFC 4567 §4.1.4).
    pub sdp_ids: Option<String>,
}

/// An accepted MTK message.
#[non_exhaustive]
#[derive(Debug)]
pub struct MtkAccepted {
    /// Key domain of the MSK.
    pub domain: KeyDomainId,
    /// The MSK the message came under.
    pub msk_id: MskId,
    /// Identifier of the traffic key.
    pub mtk_id: MtkId,
    /// The traffic key.
    pub mtk: Mtk,
    /// How packets under it are protected.
    pub profile: Profile,
    /// Streams and their rollover counters, from the MSK message.
    pub sessions: Arc<[CryptoSession]>,
}

/// An MSK as it is held, without its secrets: for display.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HeldMsk {
    /// Key domain.
    pub domain: KeyDomainId,
    /// Identifier.
    pub msk_id: MskId,
    /// MTK IDs it may carry.
    pub interval: Interval,
    /// The last MTK ID accepted (SEQs).
    pub last_mtk: Option<MtkId>,
    /// The last counter accepted.
    pub counter: Option<u32>,
}
