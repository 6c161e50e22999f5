//! What the key server is told of a channel.

use crate::{
    broadcast::{Broadcaster, ChannelId},
    ids::{Mki, MskId, PacketIndex, Ssrc},
    keys::CryptoSession,
};

/// A channel document is held, and would be after a loss of power.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Held {
    /// The channel.
    pub channel: ChannelId,
    /// The version held: that of the document, or a newer one.
    pub version: u64,
}

/// Where a channel stands; the key server needs `streams` for late joiners and `mtk_ids_left` to
/// update the MSK in time.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct ChannelReport {
    /// The channel.
    pub channel: ChannelId,
    /// The version of the document followed last, 0 if there was none. It may not be durable yet.
    pub version: u64,
    /// What packets carry now.
    pub mki: Option<Mki>,
    /// MTK IDs left under the MSK in use.
    pub mtk_ids_left: Option<u16>,
    /// So few of them that the key server has to know.
    pub mtk_ids_are_low: bool,
    /// The highest index used of each RTP stream; after a crash that of the journal, behind which up
    /// to 2^14 have been used.
    pub highest: Vec<(Ssrc, PacketIndex)>,
    /// RTP streams with their rollover counters, the most recently heard first.
    pub streams: Vec<CryptoSession>,
    /// The key server was not heard for too long.
    pub silent: bool,
    /// A new MTK waits for the journal.
    pub waits_for_journal: bool,
}

impl ChannelReport {
    pub(super) fn of(channel: &ChannelId, broadcaster: &Broadcaster, silent: bool) -> Self {
        Self {
            channel: channel.clone(),
            version: broadcaster.followed(),
            mki: broadcaster.mki().copied(),
            mtk_ids_left: broadcaster.mtk_ids_left(),
            mtk_ids_are_low: broadcaster.mtk_ids_are_low(),
            highest: broadcaster.highest_indexes().collect(),
            streams: broadcaster.streams(),
            silent,
            waits_for_journal: broadcaster.is_unstored(),
        }
    }

    /// The MSK that the key in force was made under.
    #[must_use]
    pub fn msk_id(&self) -> Option<MskId> {
        Some(self.mki.as_ref()?.split_mbms()?.0)
    }
}
