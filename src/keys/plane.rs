//! The key plane: the only writer of the key table.
//!
//! Key messages go in, a [`KeyTable`] comes out. No socket, no thread, no clock of its
//! own: [`crate::runtime`] runs it on the key thread, [`crate::rx::Receiver`] in place.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Muk, MukId,
    former::Former,
    live::{Live, LiveKeys},
    outcome::{MskAccepted, MtkAccepted, Outcome},
    store::{KeyLimits, KeyStore},
    streams::Streams,
    table::{KeyTable, PublishedKeys},
};
use crate::{
    error::{Error, Reject},
    ids::{GroupId, KeyDomainId, Mki, MskId, MtkId},
    srtp::{KeyRing, Rcc, TrafficKey},
};

/// Bounds of the key plane.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct PlaneLimits {
    /// Bounds of the message store below.
    pub store: KeyLimits,
    /// Traffic keys kept of one key group; the oldest makes room. Default 8.
    pub keys_per_group: usize,
    /// How long keys older than the one in use are kept. Default 10 s.
    ///
    /// Counted from the first packet authenticated under the newer key, not from its delivery: keys
    /// may arrive long ahead of use.
    pub grace: Duration,
}

impl Default for PlaneLimits {
    fn default() -> Self {
        Self { store: KeyLimits::default(), keys_per_group: 8, grace: Duration::from_secs(10) }
    }
}

/// What an accepted key message changed.
#[non_exhaustive]
#[derive(Debug)]
pub enum KeyEvent {
    /// An MSK is held now, or has been delivered again.
    Msk {
        /// Its key domain.
        domain: KeyDomainId,
        /// Its identifier.
        msk: MskId,
        /// It was held already; counters and traffic keys stay as they were.
        redelivered: bool,
        /// The verification message to send back, if one was asked for.
        verification: Option<Vec<u8>>,
    },
    /// An MSK was revoked by its server; its traffic keys are gone with it.
    MskDeleted {
        /// Its key domain.
        domain: KeyDomainId,
        /// Its identifier.
        msk: MskId,
        /// The verification message to send back, if one was asked for.
        verification: Option<Vec<u8>>,
    },
    /// The server asks for an MSK request (solicited pull).
    MskRequested {
        /// Its key domain.
        domain: KeyDomainId,
        /// The key group to ask for.
        key_group: u16,
    },
    /// A traffic key is in the table from the next publish on.
    Mtk {
        /// The identifier packets will carry.
        mki: Mki,
    },
}

impl KeyEvent {
    /// The verification message to send back, if one was asked for.
    #[must_use]
    pub fn verification(&self) -> Option<&[u8]> {
        match self {
            Self::Msk { verification, .. } | Self::MskDeleted { verification, .. } => {
                verification.as_deref()
            }
            Self::MskRequested { .. } | Self::Mtk { .. } => None,
        }
    }
}

/// Keys of many talk groups, from key messages to the published table.
#[derive(Debug)]
pub struct KeyPlane {
    pub(super) store: KeyStore,
    published: Arc<PublishedKeys>,
    /// Freed and their keys erased here, not on a lane.
    former: Former<KeyTable>,
    pub(super) groups: BTreeMap<GroupId, Group>,
    pub(super) live: BTreeMap<KeyGroupId, LiveKeys>,
    /// What is known of talk groups that are not here, or not yet.
    pub(super) remembered: BTreeMap<Box<[u8]>, Remembered>,
    pub(super) changed: BTreeSet<GroupId>,
    limits: PlaneLimits,
}

/// Key domain and Key Group part: what the MSKs of one group of users share.
pub(super) type KeyGroupId = (KeyDomainId, u16);

#[derive(Debug, Default)]
pub(super) struct Group {
    /// The key domain its description binds it to (K22).
    domain: Option<KeyDomainId>,
    /// Whose keys its packets may name: the key group of its description, or else those of the MTK
    /// messages seen on its address, the latest last.
    pub(super) key_groups: Vec<KeyGroupId>,
    /// Bound by its description, not by an MTK message seen on its address.
    announced: bool,
    /// The name that its record has, if it has one.
    pub(super) place: Option<Box<[u8]>>,
    /// Where its streams were before the restart.
    pub(super) expected: Streams,
    /// Where they are.
    pub(super) streams: Streams,
    /// The ROC-carrying transform that its description asks for.
    pub(super) rcc: Option<Rcc>,
    /// Keys given by hand.
    fixed: Vec<Arc<TrafficKey>>,
}

/// What is known of a talk group by its place alone.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    pub(super) key_groups: Vec<KeyGroupId>,
    pub(super) streams: Streams,
}

impl KeyPlane {
    /// A plane without keys, and the place where its table appears.
    #[must_use]
    pub fn new(limits: PlaneLimits) -> Self {
        Self {
            store: KeyStore::new(limits.store),
            published: Arc::default(),
            former: Former::new(),
            groups: BTreeMap::new(),
            live: BTreeMap::new(),
            remembered: BTreeMap::new(),
            changed: BTreeSet::new(),
            limits,
        }
    }

    /// Adds a client key.
    ///
    /// # Errors
    /// As [`KeyStore::insert_muk`].
    pub fn insert_muk(&mut self, id: MukId, muk: Muk) -> Result<(), Error> {
        self.store.insert_muk(id, muk)
    }

    /// Adds a talk group, bound to a key domain if its description names one.
    pub fn add_group(&mut self, group: GroupId, domain: Option<KeyDomainId>) {
        self.groups.insert(group, Group { domain, ..Group::default() });
        self.changed.insert(group);
    }

    /// Forgets a talk group. Its MSKs stay: other groups may use them.
    pub fn remove_group(&mut self, group: GroupId) {
        let removed = self.groups.remove(&group);
        if let Some(place) = removed.and_then(|removed| removed.place) {
            self.store.changed.place(&place);
        }
        self.changed.insert(group);
    }

    /// The same, and publishes at once that it is gone, and nothing else.
    pub fn withdraw_group(&mut self, group: GroupId) {
        self.remove_group(group);
        self.changed.remove(&group);
        let table = self.published.load().with_rings([(group, None)]);
        self.former.put(self.published.replace(table));
    }

    /// Adds a traffic key by hand, for tools and tests.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no such group.
    pub fn insert_fixed(&mut self, group: GroupId, key: Arc<TrafficKey>) -> Result<(), Error> {
        let entry = self.groups.get_mut(&group);
        entry.ok_or_else(|| Error::invalid(format!("no group {group}")))?.fixed.insert(0, key);
        self.changed.insert(group);
        Ok(())
    }

    /// Takes a key message that came with the description of a group (RFC 4567), and binds the
    /// group to the key group it names. `Ok(None)`: it is older than what has been received since,
    /// and its MSK or a later one of the key group is held, which is no fault: a description is read
    /// again after a restart.
    ///
    /// # Errors
    /// The verdict of the message.
    pub fn announce(
        &mut self,
        group: GroupId,
        message: &[u8],
        now: Instant,
    ) -> Result<Option<KeyEvent>, Reject> {
        let outcome = self.receive_for(None, Some(group), message, now);
        let (domain, msk) = super::named_msk(message).ok_or(Reject::MikeyNotMbms)?;
        let is_held = self.store.holds(domain, msk.group);
        if outcome.is_ok() || is_held {
            self.bind(group, (domain, msk.group), true);
        }
        match outcome {
            Err(Reject::KeyReplayed) if is_held => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Takes a key message; `from` is the group on whose address it arrived. The table changes with
    /// the next [`Self::publish`].
    ///
    /// # Errors
    /// The verdict of the message; nothing has changed then, except that an identical repeat of an
    /// accepted MTK message tells which keys the packets of `from` may name.
    pub fn receive(
        &mut self,
        from: Option<GroupId>,
        message: &[u8],
        now: Instant,
    ) -> Result<KeyEvent, Reject> {
        self.receive_for(from, from, message, now)
    }

    /// As [`Self::receive`]; `described` is the group whose description the message goes with.
    fn receive_for(
        &mut self,
        from: Option<GroupId>,
        described: Option<GroupId>,
        message: &[u8],
        now: Instant,
    ) -> Result<KeyEvent, Reject> {
        let repeated = self.store.expect_repeat(message);
        let described = self.described_profile(described, message);
        let outcome = self.store.receive_described(message, described);
        let learned = match &outcome {
            Ok(Outcome::Mtk(mtk)) => Some((mtk.domain, mtk.msk_id)),
            Err(Reject::KeyRepeated) => repeated,
            _ => None,
        };
        if let (Some(group), Some((domain, msk))) = (from, learned) {
            self.bind(group, (domain, msk.group), false);
        }
        match outcome? {
            Outcome::Msk(accepted) => Ok(self.accept_msk(accepted)),
            Outcome::Mtk(accepted) => self.accept_mtk(accepted, now),
            Outcome::MskDeleted { domain, msk_id, verification } => {
                if let Some(live) = self.live.get_mut(&(domain, msk_id.group)) {
                    live.retire_msk(msk_id);
                }
                self.mark((domain, msk_id.group));
                Ok(KeyEvent::MskDeleted { domain, msk: msk_id, verification })
            }
            Outcome::MskRequested { domain, key_group } => {
                Ok(KeyEvent::MskRequested { domain, key_group })
            }
        }
    }

    /// Retires keys whose time is over, and erases those that were retired and that no lane uses any
    /// more. To be called a few times a second, each time followed by [`Self::publish`]: a key goes with
    /// the publish that follows its retirement, or, if a lane was in the middle of a batch then, with the
    /// tick after that batch.
    pub fn tick(&mut self, now: Instant) {
        self.former.release();
        let mut changed = Vec::new();
        for (id, live) in &mut self.live {
            let retired = live.retire_unused(now, self.limits.grace);
            for msk in &retired.msks {
                //= D3: the old MSK is destroyed after a grace period
                self.store.remove_msk(id.0, *msk);
            }
            if retired.any {
                changed.push(*id);
            }
        }
        changed.into_iter().for_each(|id| self.mark(id));
        // What is left of a key group is the names of its keys, for the sake of verdicts.
        let groups = &self.groups;
        self.live.retain(|id, live| {
            !live.is_spent() || groups.values().any(|group| group.key_groups.contains(id))
        });
    }

    /// Builds and publishes the next table if anything has changed; tells whether it did.
    pub fn publish(&mut self) -> bool {
        if self.changed.is_empty() {
            return false;
        }
        let mut built = BTreeMap::new();
        let rings: Vec<_> = std::mem::take(&mut self.changed)
            .into_iter()
            .map(|id| (id, self.groups.get(&id).map(|group| self.ring(group, &mut built))))
            .collect();
        let table = self.published.load().with_rings(rings);
        self.former.put(self.published.replace(table));
        true
    }

    /// Where the table appears.
    #[must_use]
    pub const fn published(&self) -> &Arc<PublishedKeys> {
        &self.published
    }

    /// Key groups of which keys are held, or names of retired ones.
    #[cfg(test)]
    pub(super) fn key_groups(&self) -> usize {
        self.live.len()
    }

    /// MSKs noted with them.
    #[cfg(test)]
    pub(super) fn key_group_msks(&self) -> usize {
        self.live.values().map(LiveKeys::msks).sum()
    }

    /// The message store, for display.
    #[must_use]
    pub const fn store(&self) -> &KeyStore {
        &self.store
    }

    fn accept_msk(&mut self, accepted: MskAccepted) -> KeyEvent {
        let MskAccepted {
            domain,
            msk_id,
            evicted,
            redelivered,
            replaced,
            verification,
            sessions,
            ..
        } = accepted;
        let live = self.live.entry((domain, msk_id.group)).or_default();
        if replaced {
            // Its traffic keys are numbered from the start again: those of the key that is gone
            // would pass for newer ones.
            live.retire_msk(msk_id);
        }
        if let Some(evicted) = evicted {
            live.evict_msk(evicted);
        }
        live.note_msk(msk_id);
        live.announce(&sessions);
        self.mark((domain, msk_id.group));
        KeyEvent::Msk { domain, msk: msk_id, redelivered, verification }
    }

    fn accept_mtk(&mut self, accepted: MtkAccepted, _now: Instant) -> Result<KeyEvent, Reject> {
        let MtkAccepted { domain, msk_id, mtk_id, mtk, profile, .. } = accepted;
        let key = Live::new(msk_id, mtk_id, &profile, mtk).map_err(|_| Reject::BadKeyData)?;
        let live = self.live.entry((domain, msk_id.group)).or_default();
        live.insert(key, self.limits.keys_per_group);
        self.mark((domain, msk_id.group));
        Ok(KeyEvent::Mtk { mki: Mki::mbms(msk_id, mtk_id) })
    }

    /// Ties a talk group to a key group that its packets will name.
    ///
    /// Anybody can repeat an MTK message on the address of another group, so a key group that was
    /// only seen there comes beside those known before and drives none of them out.
    pub(super) fn bind(&mut self, group: GroupId, key_group: KeyGroupId, announced: bool) {
        let Some(entry) = self.groups.get_mut(&group) else { return };
        let foreign = entry.domain.is_some_and(|domain| domain != key_group.0);
        if foreign || (entry.announced && !announced) {
            return;
        }
        entry.announced = announced;
        let known = entry.key_groups.contains(&key_group);
        entry.key_groups.retain(|id| *id != key_group && !announced);
        if entry.key_groups.len() >= KEY_GROUPS_SEEN {
            entry.key_groups.remove(0);
        }
        entry.key_groups.push(key_group);
        if !known || announced {
            self.changed.insert(group);
            if let Some(place) = &entry.place {
                self.store.changed.place(place);
            }
        }
    }

    /// Every talk group of a key group gets a new ring with the next publish.
    fn mark(&mut self, key_group: KeyGroupId) {
        self.store.changed.key_group(key_group);
        let users = self.groups.iter().filter(|(_, group)| group.key_groups.contains(&key_group));
        self.changed.extend(users.map(|(id, _)| *id));
    }

    fn ring(&self, group: &Group, built: &mut BTreeMap<KeyGroupId, Arc<KeyRing>>) -> Arc<KeyRing> {
        let live: Vec<_> = group.key_groups.iter().filter_map(|id| self.live.get(id)).collect();
        let expected = group.expected.places();
        let ring = || {
            let ring = LiveKeys::ring(&live, &group.fixed);
            Arc::new(ring.with_expected(expected.to_vec()))
        };
        match *group.key_groups {
            // Groups that share a key group share the ring.
            [id] if group.fixed.is_empty() && expected.is_empty() => {
                Arc::clone(built.entry(id).or_insert_with(ring))
            }
            _ => ring(),
        }
    }
}

/// Names of what a talk group has, without its secrets: for display.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LiveKey {
    /// The MSK the traffic key came under.
    pub msk: MskId,
    /// The traffic key.
    pub mtk: MtkId,
    /// A packet has been authenticated under it.
    pub used: bool,
}

impl KeyPlane {
    /// The traffic keys of a talk group, newest first.
    #[must_use]
    pub fn live_keys(&self, group: GroupId) -> Vec<LiveKey> {
        let key_groups = self.groups.get(&group).map(|group| &group.key_groups);
        let live = key_groups.into_iter().flatten().filter_map(|id| self.live.get(id));
        live.flat_map(LiveKeys::list).collect()
    }
}

/// Key groups whose MTK messages may be seen on the address of one talk group.
pub(super) const KEY_GROUPS_SEEN: usize = 4;
