//! What of a broadcaster must survive a restart (D6), as plain data.
//!
//! Store it after every call that returns a key message, before that is sent, and at least every
//! 2^15 packets of a stream: then no counter, MTK ID or index is used twice, and receivers keep
//! their rollover counters. Traffic keys are not in it; the next one is made at once.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use super::{
    BroadcastAction, BroadcastTiming, Broadcaster, ChannelId, DocumentMsk, Lead, protect::Stream,
    traffic::HeldMsk,
};
use crate::{
    error::Error,
    ids::{KeyDomainId, MskId, MtkId, PacketIndex, Ssrc},
    srtp::{Profile, Protector, ReplayWindow},
};

/// Everything a broadcaster knows, apart from traffic keys.
#[derive(Debug)]
pub struct BroadcasterState {
    /// The channel.
    pub channel: ChannelId,
    /// Version of the document followed last.
    pub followed: u64,
    /// Key domain of the MSKs held.
    pub domain: KeyDomainId,
    /// How RTP and RTCP are protected.
    pub profile: Profile,
    /// How long an MTK is used.
    pub mtk_period: Option<Duration>,
    /// The MSKs held.
    pub msks: Vec<MskUse>,
    /// The MSK in use.
    pub in_use: Option<MskId>,
    /// The highest key number taken of each key group.
    pub taken: Vec<(KeyDomainId, u16, u16)>,
    /// The streams.
    pub streams: Vec<StreamState>,
}

/// An MSK and how much of it is used.
#[derive(Debug)]
pub struct MskUse {
    /// The MSK as it was listed last.
    pub listed: DocumentMsk,
    /// The last MTK ID used, which is the last counter too; at first the lower end.
    pub last_mtk: MtkId,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StreamState {
    /// The stream.
    pub ssrc: Ssrc,
    /// The highest index sent.
    pub highest: Option<PacketIndex>,
    /// The next SRTCP index.
    pub next_rtcp: u32,
}

impl Broadcaster {
    /// The state after the last call.
    #[must_use]
    pub fn state(&self) -> BroadcasterState {
        let taken = self.taken.iter();
        BroadcasterState {
            channel: self.channel.clone(),
            followed: self.followed,
            domain: self.domain,
            profile: self.profile,
            mtk_period: self.mtk_period,
            msks: self.msks.values().map(MskUse::of).collect(),
            in_use: self.newest_msk(),
            taken: taken.map(|((domain, group), number)| (*domain, *group, *number)).collect(),
            streams: self.streams.iter().map(|(ssrc, stream)| stream.state(*ssrc)).collect(),
        }
    }

    /// A broadcaster that goes on from a stored state, with a new MTK that is in force at once.
    ///
    /// # Errors
    /// The MSK in use is missing or has no MTK ID left.
    pub fn restore(
        timing: BroadcastTiming,
        state: BroadcasterState,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(Self, Vec<BroadcastAction>), Error> {
        let mut broadcaster = Self::new(&state.channel, timing);
        broadcaster.followed = state.followed;
        (broadcaster.domain, broadcaster.profile) = (state.domain, state.profile);
        broadcaster.mtk_period = state.mtk_period;
        let msks = state.msks.into_iter().map(|used| (used.listed.msk_id, used.restore()));
        broadcaster.msks = msks.collect::<BTreeMap<_, _>>();
        broadcaster.taken = state.taken.into_iter().map(|(d, group, n)| ((d, group), n)).collect();
        (broadcaster.protector, broadcaster.streams) = resume(&state.streams, now);
        let actions = match state.in_use {
            Some(msk_id) => broadcaster.announce(msk_id, Lead::None, now, random)?,
            None => Vec::new(),
        };
        Ok((broadcaster, actions))
    }
}

fn resume(states: &[StreamState], now: Instant) -> (Protector, HashMap<Ssrc, Stream>) {
    let mut protector = Protector::new();
    let mut streams = HashMap::new();
    for state in states {
        let mut stream = Stream::new(now);
        if let Some(highest) = state.highest {
            protector.resume(state.ssrc, highest);
            stream.used = Some(ReplayWindow::starting_at(highest));
        }
        // Receivers refuse an SRTCP index they have seen, so what may have been sent is skipped.
        stream.next_rtcp = state.next_rtcp.saturating_add(RTCP_SKIP);
        protector.resume_rtcp(state.ssrc, stream.next_rtcp);
        streams.insert(state.ssrc, stream);
    }
    (protector, streams)
}

impl MskUse {
    fn of(held: &HeldMsk) -> Self {
        Self { listed: held.listed.clone(), last_mtk: held.last_mtk }
    }

    fn restore(self) -> HeldMsk {
        let Self { listed, last_mtk } = self;
        HeldMsk { listed, last_mtk, reported: None }
    }
}

impl Stream {
    fn state(&self, ssrc: Ssrc) -> StreamState {
        let highest = self.used.map(|used| used.highest());
        StreamState { ssrc, highest, next_rtcp: self.next_rtcp }
    }
}

/// Packets that may have been sent since the state was stored.
const RTCP_SKIP: u32 = 1 << 15;
