//! The traffic keys of one key group while packets may name them, and when they stop.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    CryptoSession, Mtk,
    plane::LiveKey,
    records::{read_profile, read_roc, write_profile, write_roc},
};
use crate::{
    error::Error,
    ids::{Mki, MskId, MtkId, Roc, Ssrc},
    record::{RecordReader, RecordWriter},
    secret::SecretBytes,
    srtp::{KeyRing, Profile, TrafficKey},
};

/// Traffic keys, newest first: by arrival of their MSK, then by MTK ID.
#[derive(Debug, Default)]
pub(super) struct LiveKeys {
    keys: Vec<Live>,
    /// MSKs in order of first arrival, the newest last.
    msks: Vec<MskId>,
    retired: Vec<(MskId, Option<MtkId>)>,
    announced: Vec<(Ssrc, Roc)>,
}

#[derive(Debug)]
pub(super) struct Live {
    msk: MskId,
    mtk: MtkId,
    key: Arc<TrafficKey>,
    /// What the key was made of, to be kept.
    material: Mtk,
    /// When a packet under it was first noticed.
    used_since: Option<Instant>,
}

impl Live {
    /// A traffic key ready for use.
    ///
    /// # Errors
    /// It does not fit the profile.
    pub(super) fn new(
        msk: MskId,
        mtk: MtkId,
        profile: &Profile,
        material: Mtk,
    ) -> Result<Self, Error> {
        //= K14: a missing salt counts as zero
        let salt = material.salt.as_ref().map_or(&[][..], |salt| salt.expose());
        let profile = profile.with_mki_len(Mki::MBMS_LEN as u8);
        let key = TrafficKey::new(Mki::mbms(msk, mtk), profile, material.key.expose(), salt)?;
        Ok(Self { msk, mtk, key: Arc::new(key), material, used_since: None })
    }

    fn write(&self, out: RecordWriter) -> RecordWriter {
        let out = out.u16(self.msk.number).u16(self.mtk.0);
        write_profile(out, self.key.profile())
            .prefixed(self.material.key.expose())
            .option(self.material.salt.as_ref(), |out, salt| out.prefixed(salt.expose()))
    }

    fn read(value: &mut RecordReader<'_>, group: u16) -> Option<Self> {
        let (msk, mtk) = (MskId { group, number: value.u16()? }, MtkId(value.u16()?));
        let profile = read_profile(value)?;
        let key = SecretBytes::new(value.prefixed()?);
        let salt = value.option(|value| value.prefixed().map(SecretBytes::new))?;
        Self::new(msk, mtk, &profile, Mtk { key, salt }).ok()
    }
}

/// What [`LiveKeys::retire_unused`] took out.
#[derive(Debug, Default)]
pub(super) struct Retired {
    pub(super) any: bool,
    /// MSKs all of whose traffic keys are older than the one in use.
    pub(super) msks: Vec<MskId>,
}

impl LiveKeys {
    /// Notes the arrival of an MSK. Delivered again it changes nothing: its traffic keys that are
    /// retired stay so, and their packets are not held back.
    pub(super) fn note_msk(&mut self, msk: MskId) {
        if !self.msks.contains(&msk) {
            self.retired.retain(|(retired, _)| *retired != msk);
            self.msks.push(msk);
        }
    }

    /// Takes the rollover counters of the newest MSK message (RFC 3830 §6.1.1).
    pub(super) fn announce(&mut self, sessions: &[CryptoSession]) {
        self.announced = sessions.iter().map(|s| (s.ssrc, s.roc)).collect();
    }

    /// Adds a traffic key; beyond `limit` the oldest goes.
    pub(super) fn insert(&mut self, added: Live, limit: usize) {
        let (msk, mtk) = (added.msk, added.mtk);
        if !self.msks.contains(&msk) {
            self.msks.push(msk);
        }
        self.keys.retain(|live| (live.msk, live.mtk) != (msk, mtk));
        let newer = |live: &Live| (self.order(live.msk), live.mtk) > (self.order(msk), mtk);
        let place = self.keys.iter().position(|live| !newer(live)).unwrap_or(self.keys.len());
        self.keys.insert(place, added);
        while self.keys.len() > limit.max(1) {
            self.retire_from(self.keys.len() - 1);
        }
    }

    /// Takes every traffic key of an MSK out at once.
    pub(super) fn retire_msk(&mut self, msk: MskId) {
        self.keys.retain(|live| live.msk != msk);
        self.forget(msk);
    }

    /// An MSK is no longer held. Its traffic keys may still be on the air, and retire as others do.
    pub(super) fn evict_msk(&mut self, msk: MskId) {
        if !self.keys.iter().any(|live| live.msk == msk) {
            self.forget(msk);
        }
    }

    /// Whether neither a traffic key nor an MSK is left.
    pub(super) const fn is_spent(&self) -> bool {
        self.keys.is_empty() && self.msks.is_empty()
    }

    /// MSKs noted.
    #[cfg(test)]
    pub(super) const fn msks(&self) -> usize {
        self.msks.len()
    }

    /// Takes out what is older than a key that has been in use for `grace`.
    pub(super) fn retire_unused(&mut self, now: Instant, grace: Duration) -> Retired {
        for live in self.keys.iter_mut().filter(|live| live.key.is_used()) {
            live.used_since.get_or_insert(now);
        }
        let settled = |live: &Live| {
            live.used_since.is_some_and(|since| now.saturating_duration_since(since) >= grace)
        };
        let Some(current) = self.keys.iter().position(settled) else { return Retired::default() };
        let any = current + 1 < self.keys.len();
        self.retire_from(current + 1);
        let in_use = self.order(self.keys[current].msk);
        let msks: Vec<_> =
            self.msks.iter().copied().filter(|msk| self.order(*msk) < in_use).collect();
        msks.iter().for_each(|msk| self.forget(*msk));
        Retired { any: any || !msks.is_empty(), msks }
    }

    /// The ring of some key groups, in general one, with keys given by hand behind them.
    pub(super) fn ring(of: &[&Self], fixed: &[Arc<TrafficKey>]) -> KeyRing {
        let keys = of.iter().flat_map(|live| &live.keys).map(|live| &live.key).chain(fixed);
        let announced = of.iter().flat_map(|live| &live.announced).copied().collect();
        let ring = KeyRing::new(keys.cloned().collect()).with_announced(announced);
        let retired = of.iter().flat_map(|live| &live.retired);
        retired.fold(ring, |ring, (msk, lowest)| ring.with_retired(*msk, *lowest))
    }

    /// Names and use of the keys, newest first.
    pub(super) fn list(&self) -> Vec<LiveKey> {
        let name = |l: &Live| LiveKey { msk: l.msk, mtk: l.mtk, used: l.key.is_used() };
        self.keys.iter().map(name).collect()
    }

    /// What is to be kept of them, apart from which keys are in use; `None`: nothing.
    pub(super) fn write(&self) -> Option<SecretBytes> {
        if self.keys.is_empty() && self.msks.is_empty() {
            return None;
        }
        let out = RecordWriter::default()
            .list(self.msks.iter(), |out, msk| out.u16(msk.number))
            // Oldest first, so that they are made in that order when they are read back.
            .list(self.keys.iter().rev(), |out, live| live.write(out))
            .list(self.announced.iter(), write_roc)
            .list(self.retired.iter(), |out, (msk, lowest)| {
                out.u16(msk.number).option(*lowest, |out, mtk| out.u16(mtk.0))
            });
        Some(out.into_value())
    }

    /// Reads back what [`Self::write`] has written of the key group.
    pub(super) fn read(value: &[u8], group: u16) -> Option<Self> {
        let mut value = RecordReader::new(value);
        let msk = |value: &mut RecordReader<'_>| Some(MskId { group, number: value.u16()? });
        let mut live = Self {
            msks: value.list(msk)?,
            keys: value.list(|value| Live::read(value, group))?,
            announced: value.list(read_roc)?,
            retired: value
                .list(|value| Some((msk(value)?, value.option(|value| value.u16().map(MtkId))?)))?,
        };
        live.keys.reverse();
        value.finish().map(|()| live)
    }

    /// Retires the keys from this place on, which are the oldest.
    fn retire_from(&mut self, place: usize) {
        for live in self.keys.split_off(place) {
            let floor = Some(MtkId(live.mtk.0.saturating_add(1)));
            match self.retired.iter_mut().find(|(msk, _)| *msk == live.msk) {
                Some((_, lowest)) => *lowest = (*lowest).max(floor).filter(|_| lowest.is_some()),
                None => self.retired.push((live.msk, floor)),
            }
        }
    }

    /// Every key of the MSK is gone for good.
    fn forget(&mut self, msk: MskId) {
        self.msks.retain(|held| *held != msk);
        self.retired.retain(|(retired, _)| *retired != msk);
        self.retired.push((msk, None));
        if self.retired.len() > RETIRED_MSKS {
            self.retired.remove(0);
        }
    }

    fn order(&self, msk: MskId) -> Option<usize> {
        self.msks.iter().position(|held| *held == msk)
    }
}

/// MSKs whose retirement is remembered, so that their packets count as expired, not as unknown.
const RETIRED_MSKS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    const OLD: MskId = MskId { group: 1, number: 1 };
    const NEW: MskId = MskId { group: 1, number: 2 };
    const GRACE: Duration = Duration::from_secs(10);

    fn add(live: &mut LiveKeys, msk: MskId, mtk: u16) -> Arc<TrafficKey> {
        let salt = Some(SecretBytes::new(&[2; 14]));
        let material = Mtk { key: SecretBytes::new(&[1; 16]), salt };
        let added = Live::new(msk, MtkId(mtk), &Profile::default(), material).unwrap();
        let key = Arc::clone(&added.key);
        live.insert(added, 4);
        key
    }

    fn names(live: &LiveKeys) -> Vec<(u16, u16)> {
        live.list().iter().map(|key| (key.msk.number, key.mtk.0)).collect()
    }

    #[test]
    fn keys_are_ordered_by_msk_then_number_whatever_their_arrival() {
        let mut live = LiveKeys::default();
        live.note_msk(OLD);
        live.note_msk(NEW);
        for (msk, mtk) in [(NEW, 2), (OLD, 8), (OLD, 7), (NEW, 3), (OLD, 9)] {
            add(&mut live, msk, mtk);
        }
        assert_eq!(names(&live), [(2, 3), (2, 2), (1, 9), (1, 8)]);
    }

    #[test]
    fn a_key_delivered_ahead_retires_nothing_until_it_is_used() {
        let start = Instant::now();
        let mut live = LiveKeys::default();
        live.note_msk(OLD);
        add(&mut live, OLD, 7).mark_used();
        assert!(!live.retire_unused(start, GRACE).any);
        live.note_msk(NEW);
        let next = add(&mut live, NEW, 2);
        assert!(!live.retire_unused(start + 10 * GRACE, GRACE).any);
        assert_eq!(names(&live), [(2, 2), (1, 7)]);
        next.mark_used();
        assert!(!live.retire_unused(start + 11 * GRACE, GRACE).any);
        let retired = live.retire_unused(start + 12 * GRACE, GRACE);
        assert_eq!((retired.any, retired.msks), (true, vec![OLD]));
        assert_eq!(names(&live), [(2, 2)]);
        assert!(!live.retire_unused(start + 13 * GRACE, GRACE).any);
    }

    #[test]
    fn an_msk_delivered_again_brings_no_retired_key_back() {
        let mut live = LiveKeys::default();
        live.note_msk(OLD);
        add(&mut live, OLD, 7);
        for mtk in 8..12 {
            add(&mut live, OLD, mtk);
        }
        let floors = live.retired.clone();
        assert_eq!(floors, [(OLD, Some(MtkId(8)))]);
        live.note_msk(OLD);
        assert_eq!(live.retired, floors);
        live.retire_msk(OLD);
        assert_eq!(live.retired, [(OLD, None)]);
        // It is issued anew.
        live.note_msk(OLD);
        assert_eq!(live.retired, []);
    }

    #[test]
    fn a_deleted_msk_takes_its_traffic_keys_along() {
        let mut live = LiveKeys::default();
        live.note_msk(OLD);
        live.note_msk(NEW);
        add(&mut live, OLD, 7);
        add(&mut live, NEW, 1);
        live.retire_msk(NEW);
        assert_eq!(names(&live), [(1, 7)]);
    }

    #[test]
    fn what_is_kept_is_read_back_in_the_same_order() {
        let mut live = LiveKeys::default();
        assert!(live.write().is_none());
        live.note_msk(OLD);
        live.note_msk(NEW);
        for (msk, mtk) in [(OLD, 6), (OLD, 7), (NEW, 1), (OLD, 8), (NEW, 2)] {
            add(&mut live, msk, mtk);
        }
        live.announced.push((Ssrc(5), Roc(9)));
        let kept = live.write().unwrap();
        let read = LiveKeys::read(kept.expose(), OLD.group).unwrap();
        assert_eq!((names(&read), &read.msks), (names(&live), &live.msks));
        assert_eq!((&read.announced, &read.retired), (&live.announced, &live.retired));
        assert!(!read.retired.is_empty());
        for len in 0..kept.len() {
            assert!(LiveKeys::read(&kept.expose()[..len], OLD.group).is_none(), "{len}");
        }
    }
}
