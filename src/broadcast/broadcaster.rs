//! The calls of the broadcaster.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    BroadcastTiming, ChannelDocument, ChannelId, Lead,
    protect::Stream,
    records::Changed,
    schedule::{Due, LONGEST_WAIT},
    traffic::{Announced, HeldMsk},
};
use crate::{
    error::Error,
    ids::{KeyDomainId, Mki, MskId, Ssrc},
    srtp::{Profile, Protector},
};

/// The broadcaster of one channel: makes MTKs, announces them, and protects under them.
#[derive(Debug)]
pub struct Broadcaster {
    pub(super) channel: ChannelId,
    pub(super) timing: BroadcastTiming,
    /// Version of the document followed last.
    pub(super) followed: u64,
    pub(super) domain: KeyDomainId,
    pub(super) profile: Profile,
    pub(super) mtk_period: Option<Duration>,
    pub(super) msks: BTreeMap<MskId, HeldMsk>,
    /// The highest key number taken of each key group: lower ones were used before.
    pub(super) taken: BTreeMap<(KeyDomainId, u16), u16>,
    pub(super) in_force: Option<InForce>,
    pub(super) coming: Option<Coming>,
    /// The MSK that was in use before a restart, if it has no MTK ID left.
    pub(super) spent: Option<MskId>,
    pub(super) protector: Protector,
    pub(super) streams: HashMap<Ssrc, Stream>,
    /// The SRTCP index that new streams begin with.
    pub(super) first_rtcp: u32,
    /// MTKs that have been in force since the start.
    pub(super) mtks: u64,
    /// The one of these under which no stream could be dropped for another.
    pub(super) full_under: u64,
    pub(super) streams_dropped: u64,
    pub(super) changed: Changed,
}

/// One thing to do, or to know.
#[non_exhaustive]
#[derive(Debug)]
pub enum BroadcastAction {
    /// Send this MTK message to the group.
    SendKeyMessage(Arc<[u8]>),
    /// Packets carry this MKI from now on; for the operator.
    InForce {
        /// MSK ID and MTK ID.
        mki: Mki,
    },
    /// Few MTK IDs are left under the MSK, or none: tell the key server, which updates it.
    MtkIdsLow {
        /// The MSK.
        msk_id: MskId,
        /// MTK IDs left.
        left: u16,
    },
    /// Nothing can be protected: the channel is closed, this broadcaster has no part in the MSK in
    /// force, or has no MTK ID left under it after a restart.
    Silent {
        /// The MSK in force.
        in_force: MskId,
    },
}

/// The traffic key that packets are protected under.
#[derive(Debug)]
pub(super) struct InForce {
    pub(super) announced: Announced,
    since: Instant,
    /// When the next one is due.
    until: Option<Instant>,
    /// The caller knows; not yet if it came into force while a packet was protected.
    told: bool,
}

/// The traffic key that will be in force soon.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) announced: Announced,
    /// From the first copy of its message to the first packet under it.
    lead: Duration,
    /// When it will be in force; `None`: nothing of it may be seen before the state is stored.
    at: Option<Instant>,
    /// How long it will be used.
    period: Option<Duration>,
}

impl Broadcaster {
    /// A broadcaster that has sent nothing.
    #[must_use]
    pub fn new(channel: &ChannelId, timing: BroadcastTiming) -> Self {
        Self {
            channel: channel.clone(),
            timing,
            followed: 0,
            domain: KeyDomainId::default(),
            profile: Profile::default(),
            mtk_period: None,
            msks: BTreeMap::new(),
            taken: BTreeMap::new(),
            in_force: None,
            coming: None,
            spent: None,
            protector: Protector::new(),
            streams: HashMap::new(),
            first_rtcp: 0,
            mtks: 0,
            full_under: 0,
            streams_dropped: 0,
            changed: Changed::default(),
        }
    }

    /// Starts the next MTK under the MSK in use. If one has been announced and protects nothing
    /// yet, that is the one.
    ///
    /// # Errors
    /// No MSK is in use yet, or it has no MTK ID left.
    pub fn new_mtk(
        &mut self,
        lead: Lead,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<BroadcastAction>, Error> {
        let msk_id = self.newest_msk().ok_or_else(|| {
            Error::invalid("no MSK is in use; follow the document of the channel first")
        })?;
        if self.coming.is_some() {
            return Ok(self.hasten(lead, now));
        }
        self.announce(msk_id, lead, now, random)
    }

    /// Says that all changes up to now are stored: with
    /// [`BroadcastTiming::write_ahead`] this is when the message of a new MTK goes out. Without news
    /// nothing happens.
    pub fn stored(&mut self, now: Instant) -> Vec<BroadcastAction> {
        let Some(coming) = self.coming.as_mut().filter(|coming| coming.at.is_none()) else {
            return Vec::new();
        };
        coming.at = Some(now + coming.lead);
        self.tell(now)
    }

    /// Whether an MTK waits for [`Broadcaster::stored`].
    #[must_use]
    pub fn is_unstored(&self) -> bool {
        self.coming.as_ref().is_some_and(|coming| coming.at.is_none())
    }

    /// Does what is due: repeats the MTK message, brings the announced MTK into force, starts the
    /// next one at the end of the period.
    pub fn poll(
        &mut self,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Vec<BroadcastAction> {
        self.advance(now);
        let mut actions = Vec::new();
        let over = self.in_force.as_mut().and_then(|f| f.until.take_if(|until| *until <= now));
        // Without an MTK ID left the key in force stays; the key server has been told.
        if over.is_some()
            && self.coming.is_none()
            && let Some(msk_id) = self.newest_msk()
            && let Ok(mut announced) = self.announce(msk_id, Due::BySchedule, now, random)
        {
            actions.append(&mut announced);
        }
        actions.append(&mut self.tell(now));
        actions
    }

    /// When [`Broadcaster::poll`] has something to do, unless another call comes first.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let stored = self.coming.iter().filter_map(|coming| Some((coming.at?, coming)));
        let coming = stored.flat_map(|(at, coming)| [at, coming.announced.message.due()]);
        let in_force = self.in_force.iter().flat_map(|in_force| {
            let repeat = self.coming.as_ref().is_none_or(|coming| coming.at.is_none());
            let repeat = repeat.then(|| in_force.announced.message.due());
            let untold = (!in_force.told).then_some(in_force.since);
            [in_force.until, repeat, untold].into_iter().flatten()
        });
        coming.chain(in_force).min()
    }

    /// The identifier of the traffic key in force.
    #[must_use]
    pub fn mki(&self) -> Option<&Mki> {
        self.in_force.as_ref().map(|in_force| in_force.announced.key.mki())
    }

    /// The MSKs held.
    pub fn msk_ids(&self) -> impl Iterator<Item = MskId> {
        self.msks.keys().copied()
    }

    /// MTK IDs left under the MSK in use.
    #[must_use]
    pub fn mtk_ids_left(&self) -> Option<u16> {
        Some(self.msks.get(&self.newest_msk()?)?.ids_left())
    }

    /// Whether so few of them are left that the key server has to know.
    #[must_use]
    pub fn mtk_ids_are_low(&self) -> bool {
        let held = self.newest_msk().and_then(|msk_id| self.msks.get(&msk_id));
        held.is_some_and(|held| held.reported.is_some())
    }

    /// Brings the announced traffic key into force when its time has come.
    pub(super) fn advance(&mut self, now: Instant) {
        let over = |coming: &mut Coming| coming.at.is_some_and(|at| at <= now);
        if let Some(Coming { announced, at: Some(since), period, .. }) = self.coming.take_if(over) {
            let until = period.map(|period| since + period);
            self.in_force = Some(InForce { announced, since, until, told: false });
            self.mtks += 1;
        }
    }

    /// Makes a traffic key and announces it. One announced before, under an older MSK, is dropped:
    /// it protects nothing.
    pub(super) fn announce(
        &mut self,
        msk_id: MskId,
        due: impl Into<Due>,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<BroadcastAction>, Error> {
        let held = self.msks.get_mut(&msk_id).ok_or_else(|| {
            Error::invalid(format!("MSK {msk_id} is not held; it is in no document followed"))
        })?;
        let announced = held.next_key(self.domain, self.profile, now, &self.timing, random)?;
        self.changed.msk(msk_id);
        self.changed.followed();
        let due = due.into();
        let lead = due.lead(&self.timing);
        let period = self.mtk_period.map(|period| due.period(period, &self.timing, random));
        let at = (!self.timing.write_ahead).then(|| now + lead);
        self.coming = Some(Coming { announced, lead, at, period });
        self.spent = None;
        Ok(self.tell(now))
    }

    /// How long an MTK is used, the one in force included.
    pub(super) fn set_mtk_period(&mut self, document: &ChannelDocument) {
        let period = document.mtk_period.map(|period| period.min(LONGEST_WAIT));
        if self.mtk_period == period {
            return;
        }
        self.mtk_period = period;
        if let Some(in_force) = &mut self.in_force {
            in_force.until = self.mtk_period.map(|period| in_force.since + period);
        }
        if let Some(coming) = &mut self.coming {
            coming.period = self.mtk_period;
        }
    }

    /// The key that is announced comes into force at once, if that is asked for.
    fn hasten(&mut self, lead: Lead, now: Instant) -> Vec<BroadcastAction> {
        if let Some(coming) = self.coming.as_mut().filter(|_| lead == Lead::None) {
            coming.lead = Duration::ZERO;
            coming.at = coming.at.and(Some(now));
        }
        self.tell(now)
    }

    /// Gathers what there is to send and to say.
    pub(super) fn tell(&mut self, now: Instant) -> Vec<BroadcastAction> {
        let mut actions = Vec::new();
        // While a key is announced, its predecessor's message rests: a client that has the newer
        // key would refuse it, and one that has neither needs the newer first.
        let stored = self.coming.as_mut().filter(|coming| coming.at.is_some());
        let newest = stored.map(|coming| &mut coming.announced);
        let newest = newest.or_else(|| self.in_force.as_mut().map(|f| &mut f.announced));
        if let Some(octets) = newest.and_then(|newest| newest.message.take(now, &self.timing)) {
            actions.push(BroadcastAction::SendKeyMessage(octets));
        }
        self.advance(now);
        if let Some(in_force) = self.in_force.as_mut().filter(|in_force| !in_force.told) {
            in_force.told = true;
            actions.push(BroadcastAction::InForce { mki: *in_force.announced.key.mki() });
        }
        if let Some(msk_id) = self.newest_msk()
            && let Some(held) = self.msks.get_mut(&msk_id)
            && let Some(left) = held.low_ids(self.timing.mtk_ids_low)
        {
            actions.push(BroadcastAction::MtkIdsLow { msk_id, left });
        }
        actions
    }

    /// The MSK under which the newest traffic key was made.
    pub(super) fn newest_msk(&self) -> Option<MskId> {
        let coming = self.coming.as_ref().map(|coming| coming.announced.msk_id);
        let in_force = self.in_force.as_ref().map(|in_force| in_force.announced.msk_id);
        coming.or(in_force).or(self.spent)
    }
}
