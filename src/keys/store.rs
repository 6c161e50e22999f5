//! The receiving side: MUKs and MSKs held, one message in, one outcome out.
//!
//! Check, open, commit: a message is decoded, its counter and numbers are compared, its MAC is
//! verified, and only then does anything here change (RFC 3830 §5.3, TS 33.246 §6.4.6). No sockets, no
//! time, no randomness. A refused repeat costs a comparison, a forged message the derivation of one key.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::{
    Muk, MukId,
    accept::{
        counter_is_newer, interval_revokes, key_data_is_one_msk, key_data_is_one_mtk,
        message_is_complete, msk_message_has_a_rand, mtk_id_is_in_interval, mtk_id_is_newer,
        mtk_message_has_no_rand,
    },
    counters::MukCounters,
    held::{CountedMuk, Entry, HeldMuk, MukPrint},
    message::{muk_id, named_msk, profile_and_sessions, verification_message},
    outcome::{HeldMsk, MskAccepted, MtkAccepted, Outcome},
    records::Changed,
};
use crate::{
    error::{Error, Reject},
    ids::{KeyDomainId, MskId, MtkId},
    srtp::Profile,
    wire::mikey::{DataType, KeyIds, Message, Timestamp},
};

/// Bounds of a store.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct KeyLimits {
    /// Client keys held. Default 4096.
    pub muks: usize,
    /// Key groups with MSKs; the standard allows two MSKs each. Default 4096; counter `key_limit`.
    pub key_groups: usize,
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self { muks: 4096, key_groups: 4096 }
    }
}

/// Client keys and service keys of one process.
#[derive(Debug)]
pub struct KeyStore {
    pub(super) limits: KeyLimits,
    muks: HashMap<MukId, HeldMuk>,
    /// Also of keys that are not held at the moment.
    pub(super) counters: MukCounters,
    /// At most two MSKs a group, the older first (TS 31.102 §4.2.80).
    pub(super) msks: BTreeMap<(KeyDomainId, u16), Vec<Entry>>,
    pub(super) changed: Changed,
}

impl KeyStore {
    /// A store without keys.
    #[must_use]
    pub fn new(limits: KeyLimits) -> Self {
        Self {
            limits,
            muks: HashMap::new(),
            counters: MukCounters::new(limits.muks),
            msks: BTreeMap::new(),
            changed: Changed::default(),
        }
    }

    /// Adds a client key. One that replaces another leaves it in place until the first message
    /// under the new key verifies (K23). The counter of a key that was held before, also before
    /// [`Self::restore`], goes on.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an identity is empty or [`KeyLimits::muks`] is reached.
    pub fn insert_muk(&mut self, id: MukId, muk: Muk) -> Result<(), Error> {
        if id.idi.is_empty() || id.idr.is_empty() {
            return Err(Error::invalid("a MUK needs both identities, IDi and IDr"));
        }
        //= K15: the Ua security protocol identifier behind the FQDN makes no other server of it
        let id = match id.idi.strip_suffix(UA_MBMS_TEXT) {
            Some(fqdn) => MukId { idi: fqdn.to_owned(), ..id },
            None => id,
        };
        let print = MukPrint::of(&muk);
        let muk = CountedMuk::new(muk, print, self.counters.last(&id, print));
        if let Some(held) = self.muks.get_mut(&id) {
            held.replace(muk);
            return Ok(());
        }
        if self.muks.len() >= self.limits.muks {
            return Err(Error::invalid(format!("more than {} client keys", self.limits.muks)));
        }
        self.muks.insert(id, HeldMuk::new(muk));
        Ok(())
    }

    /// Forgets a client key, but not its counter; tells whether it was held.
    pub fn remove_muk(&mut self, id: &MukId) -> bool {
        self.muks.remove(id).is_some()
    }

    /// Takes one MIKEY message: an MSK message or an MTK message, told apart by the Key ID extension
    /// alone (TS 33.246 §6.5.2).
    ///
    /// # Errors
    /// The reason it is refused. Nothing has changed then, except that the counter of an authentic
    /// message with unusable key data counts as seen.
    pub fn receive(&mut self, message: &[u8]) -> Result<Outcome, Reject> {
        self.receive_described(message, Profile::default())
    }

    /// As [`Self::receive`], with the profile that applies if an MSK message has no policy (K9).
    pub(super) fn receive_described(
        &mut self,
        message: &[u8],
        described: Profile,
    ) -> Result<Outcome, Reject> {
        let view = Message::parse(message)?;
        if view.header().data_type != DataType::PRE_SHARED {
            return Err(Reject::MikeyUnsupported);
        }
        let KeyIds { domain: Some(domain), msk: Some(msk_id), mtk, .. } =
            view.key_ids().ok_or(Reject::MikeyNotMbms)?
        else {
            return Err(Reject::MikeyNotMbms);
        };
        match mtk {
            None => self.receive_msk(&view, domain, msk_id, described),
            Some(mtk_id) => self.receive_mtk(message, &view, domain, msk_id, mtk_id),
        }
    }

    /// The MSK of a message that is, octet by octet, the MTK message accepted last under it.
    #[must_use]
    pub fn expect_repeat(&self, message: &[u8]) -> Option<(KeyDomainId, MskId)> {
        let (domain, msk_id) = named_msk(message)?;
        let entry = self.entry(domain, msk_id)?;
        (!message.is_empty() && *entry.last_message == *message).then_some((domain, msk_id))
    }

    /// Forgets an MSK; tells whether it was held.
    pub fn remove_msk(&mut self, domain: KeyDomainId, msk_id: MskId) -> bool {
        let place = (domain, msk_id.group);
        let Some(group) = self.msks.get_mut(&place) else { return false };
        let before = group.len();
        group.retain(|entry| entry.msk_id != msk_id);
        let removed = group.len() < before;
        if group.is_empty() {
            self.msks.remove(&place);
        }
        if removed {
            self.changed.key_group(place);
        }
        removed
    }

    /// Whether an MSK of a key group is held.
    #[must_use]
    pub fn holds(&self, domain: KeyDomainId, key_group: u16) -> bool {
        self.msks.contains_key(&(domain, key_group))
    }

    /// The MSKs held, by group, the older first.
    pub fn msks(&self) -> impl Iterator<Item = HeldMsk> + '_ {
        self.msks.iter().flat_map(|((domain, _), group)| {
            group.iter().map(|entry| HeldMsk {
                domain: *domain,
                msk_id: entry.msk_id,
                interval: entry.interval,
                last_mtk: entry.last_mtk,
                counter: entry.counter,
            })
        })
    }

    /// The last accepted counter of each client key, for display.
    pub fn muk_counters(&self) -> impl Iterator<Item = (&MukId, Option<u32>)> {
        self.muks.iter().map(|(id, held)| (id, held.current.counter))
    }

    fn entry(&self, domain: KeyDomainId, msk_id: MskId) -> Option<&Entry> {
        self.msks.get(&(domain, msk_id.group))?.iter().find(|entry| entry.msk_id == msk_id)
    }

    fn receive_msk(
        &mut self,
        message: &Message<'_>,
        domain: KeyDomainId,
        msk_id: MskId,
        described: Profile,
    ) -> Result<Outcome, Reject> {
        let (counter, kemac) = message_is_complete(message)?;
        let rand = msk_message_has_a_rand(message)?;
        let id = muk_id(message)?;
        let held = self.muks.get_mut(&id).ok_or(Reject::UnknownMuk)?;
        let (keys, print) = held.authenticate(message, &kemac, counter, rand)?;
        self.counters.accepted(&id, print, counter, &mut self.changed);
        let mut key_data = Zeroizing::new(kemac.encr_data.to_vec());
        keys.crypt(Timestamp::Counter(counter), &mut key_data);
        //= K4: Key Number 0 is no key, whatever the key data holds
        if msk_id.number == 0 {
            return Ok(Outcome::MskRequested { domain, key_group: msk_id.group });
        }
        let (msk, interval) = key_data_is_one_msk(&key_data, rand)?;
        let verification =
            message.header().verify.then(|| verification_message(message, counter, &keys));
        let verification = verification.transpose()?;
        if interval_revokes(interval) {
            self.remove_msk(domain, msk_id);
            return Ok(Outcome::MskDeleted { domain, msk_id, verification });
        }
        let (profile, sessions) = profile_and_sessions(message, described)?;
        let entry = Entry {
            msk_id,
            msk,
            interval,
            profile,
            sessions: Arc::clone(&sessions),
            last_mtk: None,
            counter: None,
            keys: None,
            last_message: Box::default(),
        };
        let Placed { evicted, redelivered, replaced } = self.insert_msk(domain, entry)?;
        let sdp_ids =
            message.sdp_ids().map(|protocols| String::from_utf8_lossy(protocols).into_owned());
        Ok(Outcome::Msk(MskAccepted {
            domain,
            msk_id,
            interval,
            profile,
            sessions,
            evicted,
            redelivered,
            replaced,
            verification,
            sdp_ids,
        }))
    }

    /// Puts an MSK in its place.
    fn insert_msk(&mut self, domain: KeyDomainId, entry: Entry) -> Result<Placed, Reject> {
        let place = (domain, entry.msk_id.group);
        if !self.msks.contains_key(&place) && self.msks.len() >= self.limits.key_groups {
            return Err(Reject::KeyLimit);
        }
        self.changed.key_group(place);
        let group = self.msks.entry(place).or_default();
        let before = group.len();
        if let Some(at) = group.iter().position(|held| held.msk_id == entry.msk_id) {
            let held = &mut group[at];
            if held.msk.key.same_as(&entry.msk.key) && held.msk.rand == entry.msk.rand {
                //= TS 33.246 §6.5.3, K21: the interval is new, counters stay as they are
                held.interval = entry.interval;
                held.profile = entry.profile;
                held.sessions = entry.sessions;
                return Ok(Placed { evicted: None, redelivered: true, replaced: false });
            }
            // Another key under the identifier replaces the entry whole: it arrives now.
            group.remove(at);
        }
        let replaced = group.len() < before;
        //= TS 33.246 §6.3.2.1: at most two MSKs a group, the older one makes room
        let evicted = (group.len() >= MSKS_PER_GROUP).then(|| group.remove(0).msk_id);
        group.push(entry);
        Ok(Placed { evicted, redelivered: false, replaced })
    }

    fn receive_mtk(
        &mut self,
        octets: &[u8],
        message: &Message<'_>,
        domain: KeyDomainId,
        msk_id: MskId,
        mtk_id: MtkId,
    ) -> Result<Outcome, Reject> {
        mtk_message_has_no_rand(message)?;
        let (counter, kemac) = message_is_complete(message)?;
        let group = self.msks.get_mut(&(domain, msk_id.group)).ok_or(Reject::UnknownMsk)?;
        let entry =
            group.iter_mut().find(|entry| entry.msk_id == msk_id).ok_or(Reject::UnknownMsk)?;
        if *entry.last_message == *octets {
            return Err(Reject::KeyRepeated);
        }
        counter_is_newer(counter, entry.counter)?;
        mtk_id_is_in_interval(mtk_id, entry.interval)?;
        mtk_id_is_newer(mtk_id, entry.last_mtk)?;
        let keys = entry.authenticate(message, &kemac)?;
        let mut key_data = Zeroizing::new(kemac.encr_data.to_vec());
        keys.crypt(Timestamp::Counter(counter), &mut key_data);
        // The message is authentic: from here on state moves.
        self.changed.key_group((domain, msk_id.group));
        entry.keys = Some(keys);
        entry.counter = Some(counter);
        entry.last_mtk = Some(mtk_id);
        entry.last_message = octets.into();
        let mtk = key_data_is_one_mtk(&key_data, &entry.profile)?;
        let (profile, sessions) = (entry.profile, Arc::clone(&entry.sessions));
        Ok(Outcome::Mtk(MtkAccepted { domain, msk_id, mtk_id, mtk, profile, sessions }))
    }
}

/// How an MSK came to its place.
struct Placed {
    /// The MSK that made room.
    evicted: Option<MskId>,
    /// It was held already.
    redelivered: bool,
    /// Another key was held under its identifier.
    replaced: bool,
}

/// MSKs of one key group.
pub(super) const MSKS_PER_GROUP: usize = 2;

/// [`gba::UA_MBMS`](super::gba::UA_MBMS) as it stands behind a name.
const UA_MBMS_TEXT: &str = "\u{1}\0\0\0\u{1}";
