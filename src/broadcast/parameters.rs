//! What the key server hands to the broadcaster when a channel starts and after each MSK update.

use std::{fmt, sync::Arc};

use crate::{
    ids::{KeyDomainId, MskId},
    keys::{Interval, Msk},
    srtp::Profile,
};

/// Name of a Multicast PoC Channel (a talk group) among key server and broadcaster.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChannelId(Arc<str>);

impl ChannelId {
    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ChannelId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The security part of the multicast/broadcast parameters of one channel (requirement P6).
///
/// The MSK is shared, not copied: it is erased when the last holder lets it go.
#[derive(Clone, Debug)]
pub struct ChannelParameters {
    /// The channel.
    pub channel: ChannelId,
    /// Key domain of the channel's key group.
    pub domain: KeyDomainId,
    /// Which MSK this is; its number is higher than that of every earlier MSK of the key group.
    pub msk_id: MskId,
    /// The key and its RAND.
    pub msk: Arc<Msk>,
    /// MTK IDs that may be used under it. The lower end itself is not used.
    pub interval: Interval,
    /// How RTP and RTCP are protected.
    pub profile: Profile,
}
