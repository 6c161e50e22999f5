//! What the key server tells a broadcaster of a channel: one document, which says all of it.
//!
//! A broadcaster that was away needs the newest document only. Versions order documents, so that
//! it does not matter how, how often or in which order they arrive.

use std::{sync::Arc, time::Duration};

use crate::{
    ids::{KeyDomainId, MskId, MtkId, name},
    keys::{Interval, Msk},
    srtp::Profile,
};

name! {
    /// Name of a Multicast PoC Channel (a talk group) among key server and broadcaster.
    ChannelId
}

name! {
    /// Name of a broadcaster at the key server, which gives each its own part of the MTK IDs.
    BroadcasterId
}

/// The security part of the multicast/broadcast parameters of one channel (requirement P6), as one
/// broadcaster is to follow it: see [`Broadcaster::follow`](super::Broadcaster::follow).
#[derive(Clone, Debug)]
pub struct ChannelDocument {
    /// The channel.
    pub channel: ChannelId,
    /// Whose document it is; `None` where the channel names no broadcasters, because there is one.
    pub broadcaster: Option<BroadcasterId>,
    /// Rises with each change, also over closing and opening again a channel of the same name.
    pub version: u64,
    /// Key domain of the channel's key group.
    pub domain: KeyDomainId,
    /// How RTP and RTCP are protected.
    pub profile: Profile,
    /// How long an MTK is used before the next one; `None`: until a command.
    pub mtk_period: Option<Duration>,
    /// The MSKs to hold: those that retire, the one in force, the one that is coming. Others are to
    /// be erased. Without any, the broadcaster has nothing more to send: the channel is closed, or
    /// the broadcaster was taken out of it.
    pub msks: Vec<DocumentMsk>,
    /// The MSK to make MTKs under (D3 step 3). A broadcaster that entered the channel after this
    /// MSK was made has no part in it, and waits in silence for the next.
    pub in_force: MskId,
}

/// One MSK of a [`ChannelDocument`].
///
/// It is shared, not copied: it is erased when the last holder lets it go.
#[derive(Clone, Debug)]
pub struct DocumentMsk {
    /// Which MSK this is; its number is higher than that of every earlier MSK of the key group.
    pub msk_id: MskId,
    /// The key and its RAND.
    pub msk: Arc<Msk>,
    /// MTK IDs that this broadcaster may use under it. The lower end itself is not used. The
    /// counter of an MTK message is its MTK ID, so that no two broadcasters share one either.
    pub interval: Interval,
}

/// The part of an interval that belongs to the broadcaster in this `place` among `count`: equal
/// parts in their order, the last takes what is left over.
///
/// Lower ends are not used, so that the parts share no MTK ID although they touch.
pub(crate) fn part(whole: Interval, place: usize, count: usize) -> Interval {
    let Interval { low: MtkId(low), high: MtkId(high) } = whole;
    let (place, count) = (u64::try_from(place), u64::try_from(count.max(1)));
    let (Ok(place), Ok(count)) = (place, count) else {
        return Interval { high: whole.low, ..whole };
    };
    let share = u64::from(high.saturating_sub(low)) / count;
    let start = |place: u64| {
        let start = u64::from(low).saturating_add(share.saturating_mul(place));
        MtkId(u16::try_from(start).unwrap_or(high).min(high))
    };
    let end = if place + 1 == count { MtkId(high) } else { start(place + 1) };
    Interval { low: start(place), high: end }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(low: u16, high: u16) -> Interval {
        Interval { low: MtkId(low), high: MtkId(high) }
    }

    #[test]
    fn parts_touch_but_share_no_mtk_id() {
        for (low, high, count) in [(0, 0xffff, 1), (0, 0xffff, 3), (7, 17, 3), (0, 2, 2)] {
            let parts: Vec<_> =
                (0..count).map(|place| part(whole(low, high), place, count)).collect();
            assert_eq!((parts[0].low.0, parts[count - 1].high.0), (low, high));
            assert!(parts.windows(2).all(|pair| pair[0].high == pair[1].low), "{parts:?}");
            assert!(parts.iter().all(|part| part.low < part.high), "{parts:?}");
        }
    }
}
