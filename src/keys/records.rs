//! What of MUKs, MSKs and MTKs must survive a restart (D6), as records, and back.
//!
//! One record per pair of identities of a client key: counters, not the key. One per key group for its
//! MSKs with counters and SEQs, another for its traffic keys: they let media go on at once, and an MTK
//! message that was accepted before need not be accepted again for it. One per talk group for the key
//! groups seen on its address.

use std::collections::BTreeSet;

use super::{
    CryptoSession, Interval, KeyLimits, Msk, MukId,
    held::Entry,
    plane::KeyGroupId,
    store::{KeyStore, MSKS_PER_GROUP},
};
use crate::{
    error::Error,
    ids::{KeyDomainId, MskId, MtkId, Roc, Ssrc},
    record::{Record, RecordReader, RecordWriter, Table, unreadable},
    secret::SecretBytes,
    srtp::{Cipher, Profile, Rcc, RccMode},
};

/// What has changed since it was last asked for. Nothing is noted until somebody wants to know.
#[derive(Debug, Default)]
pub(super) struct Changed(Option<Box<Kept>>);

/// Keys of records, not their values: what changes often before it is asked for is written once.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) muks: BTreeSet<MukId>,
    /// MSKs and traffic keys.
    pub(super) key_groups: BTreeSet<KeyGroupId>,
    pub(super) places: BTreeSet<Box<[u8]>>,
}

impl Changed {
    pub(super) fn begin(&mut self) {
        self.0.get_or_insert_default();
    }

    pub(super) fn muk(&mut self, id: &MukId) {
        if let Some(kept) = &mut self.0 {
            kept.muks.insert(id.clone());
        }
    }

    pub(super) fn key_group(&mut self, id: KeyGroupId) {
        if let Some(kept) = &mut self.0 {
            kept.key_groups.insert(id);
        }
    }

    pub(super) fn place(&mut self, place: &[u8]) {
        if let Some(kept) = &mut self.0 {
            kept.places.insert(place.into());
        }
    }

    pub(super) fn take(&mut self) -> Kept {
        self.0.as_deref_mut().map(std::mem::take).unwrap_or_default()
    }
}

impl KeyStore {
    /// Takes back what [`Self::take_changes`] has given, and notes changes from now on. The client
    /// keys themselves are not in it: [`Self::insert_muk`] gives each its counter back.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a record that cannot be read, or for more of them than the limits allow.
    pub fn restore<'a>(
        &mut self,
        records: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), Error> {
        self.changed.begin();
        for (key, value) in records {
            let restored = match Table::split(key) {
                Some((Table::Muk, key)) => self.counters.restore(key, value),
                Some((Table::Msks, key)) => self.restore_msks(key, value),
                Some((Table::Live | Table::Bound | Table::Streams, _)) => Some(()),
                _ => None,
            };
            restored.ok_or_else(|| unreadable(key))?;
        }
        let KeyLimits { key_groups, .. } = self.limits;
        if self.msks.len() > key_groups {
            let held = self.msks.len();
            return Err(Error::invalid(format!(
                "{held} key groups were kept, more than the limit of {key_groups}; raise it"
            )));
        }
        Ok(())
    }

    /// What has changed since the last call, to be kept before anything is done with it. Empty without
    /// a call of [`Self::restore`] before.
    pub fn take_changes(&mut self) -> Vec<Record> {
        let kept = self.changed.take();
        self.records(&kept)
    }

    pub(super) fn records(&self, kept: &Kept) -> Vec<Record> {
        let muks = kept.muks.iter().map(|id| self.counters.record(id));
        muks.chain(kept.key_groups.iter().map(|id| self.msks_record(*id))).collect()
    }

    fn msks_record(&self, id: KeyGroupId) -> Record {
        let value = self.msks.get(&id).map(|group| {
            RecordWriter::default().list(group.iter(), |out, entry| entry.write(out)).into_value()
        });
        Record { key: key_group_key(Table::Msks, id), value }
    }

    fn restore_msks(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let id = read_key_group_key(key)?;
        let mut value = RecordReader::new(value);
        let entries = value.list(|value| Entry::read(value, id.1))?;
        value.finish()?;
        if !(1..=MSKS_PER_GROUP).contains(&entries.len()) {
            return None;
        }
        self.msks.insert(id, entries);
        Some(())
    }
}

impl Entry {
    fn write(&self, out: RecordWriter) -> RecordWriter {
        let out = write_msk(out.u16(self.msk_id.number), &self.msk, self.interval);
        write_sessions(write_profile(out, &self.profile), &self.sessions)
            .option(self.last_mtk, |out, mtk| out.u16(mtk.0))
            .option(self.counter, RecordWriter::u32)
            .prefixed(&self.last_message)
    }

    fn read(value: &mut RecordReader<'_>, group: u16) -> Option<Self> {
        let msk_id = MskId { group, number: value.u16()? };
        let (msk, interval) = read_msk(value)?;
        Some(Self {
            msk_id,
            msk,
            interval,
            profile: read_profile(value)?,
            sessions: read_sessions(value)?.into(),
            last_mtk: value.option(|value| value.u16().map(MtkId))?,
            counter: value.option(RecordReader::u32)?,
            keys: None,
            last_message: value.prefixed()?.into(),
        })
    }
}

/// An MSK with its RAND, and the MTK IDs it may carry.
pub(crate) fn write_msk(out: RecordWriter, msk: &Msk, interval: Interval) -> RecordWriter {
    let out = out.prefixed(msk.key.expose()).prefixed(&msk.rand);
    out.u16(interval.low.0).u16(interval.high.0)
}

pub(crate) fn read_msk(value: &mut RecordReader<'_>) -> Option<(Msk, Interval)> {
    let (key, rand) = (value.prefixed()?, value.prefixed()?);
    if !Msk::KEY_LEN.contains(&key.len()) || !Msk::RAND_LEN.contains(&rand.len()) {
        return None;
    }
    let msk = Msk { key: SecretBytes::new(key), rand: rand.to_vec() };
    Some((msk, Interval { low: MtkId(value.u16()?), high: MtkId(value.u16()?) }))
}

/// Records of an SRTP-ID map.
pub(crate) fn write_sessions(out: RecordWriter, sessions: &[CryptoSession]) -> RecordWriter {
    out.list(sessions.iter(), |out, session| {
        write_roc(out.u8(session.policy), &(session.ssrc, session.roc))
    })
}

pub(crate) fn read_sessions(value: &mut RecordReader<'_>) -> Option<Vec<CryptoSession>> {
    value.list(|value| {
        let policy = value.u8()?;
        let (ssrc, roc) = read_roc(value)?;
        Some(CryptoSession { policy, ssrc, roc })
    })
}

pub(super) fn key_group_key(table: Table, (domain, group): KeyGroupId) -> Box<[u8]> {
    write_key_group(RecordWriter::key(table), &(domain, group)).into_key()
}

pub(super) fn read_key_group_key(key: &[u8]) -> Option<KeyGroupId> {
    let mut key = RecordReader::new(key);
    let id = read_key_group(&mut key)?;
    key.finish().map(|()| id)
}

pub(crate) fn write_key_group(out: RecordWriter, (domain, group): &KeyGroupId) -> RecordWriter {
    out.octets(&domain.0).u16(*group)
}

pub(crate) fn read_key_group(value: &mut RecordReader<'_>) -> Option<KeyGroupId> {
    Some((KeyDomainId(value.array()?), value.u16()?))
}

pub(super) fn write_roc(out: RecordWriter, (ssrc, roc): &(Ssrc, Roc)) -> RecordWriter {
    out.u32(ssrc.0).u32(roc.0)
}

pub(super) fn read_roc(value: &mut RecordReader<'_>) -> Option<(Ssrc, Roc)> {
    Some((Ssrc(value.u32()?), Roc(value.u32()?)))
}

pub(crate) fn write_profile(out: RecordWriter, profile: &Profile) -> RecordWriter {
    let place = CIPHERS.iter().position(|cipher| *cipher == profile.cipher);
    let flags = u8::from(profile.encrypt_srtp) | u8::from(profile.encrypt_srtcp) << 1;
    out.u8(place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX))
        .octets(&[profile.srtp_tag_len, profile.srtcp_tag_len, profile.mki_len, flags])
        .u32(profile.kdr)
        .option(profile.rcc, |out, rcc| {
            let mode = match rcc.mode {
                RccMode::M1 => 1,
                RccMode::M2 => 2,
                RccMode::M3 => 3,
            };
            out.u8(mode).u16(rcc.rate)
        })
}

pub(crate) fn read_profile(value: &mut RecordReader<'_>) -> Option<Profile> {
    let cipher = *CIPHERS.get(usize::from(value.u8()?))?;
    let [srtp_tag_len, srtcp_tag_len, mki_len, flags] = value.array()?;
    let profile = Profile {
        cipher,
        srtp_tag_len,
        srtcp_tag_len,
        mki_len,
        kdr: value.u32()?,
        encrypt_srtp: flags & 1 != 0,
        encrypt_srtcp: flags & 2 != 0,
        rcc: value.option(|value| {
            let mode = match value.u8()? {
                1 => RccMode::M1,
                2 => RccMode::M2,
                3 => RccMode::M3,
                _ => return None,
            };
            Some(Rcc { mode, rate: value.u16()? })
        })?,
    };
    profile.validate().ok().map(|()| profile)
}

/// Their places are their numbers in a record.
const CIPHERS: [Cipher; 6] = [
    Cipher::Null,
    Cipher::AesCm128,
    Cipher::AesCm192,
    Cipher::AesCm256,
    Cipher::AesGcm128,
    Cipher::AesGcm256,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_read_back() {
        let rcc = |mode| Some(Rcc { mode, rate: 300 });
        let with_rcc = [RccMode::M1, RccMode::M2, RccMode::M3].map(|mode| Profile {
            rcc: rcc(mode),
            srtp_tag_len: 14,
            ..Profile::default()
        });
        let switched = [
            Profile { encrypt_srtp: false, kdr: 1 << 20, mki_len: 0, ..Profile::default() },
            Profile { encrypt_srtcp: false, ..Profile::default() },
        ];
        let named = Profile::NAMED.iter().map(|(_, profile)| *profile);
        for profile in named.chain(with_rcc).chain(switched) {
            let octets = write_profile(RecordWriter::default(), &profile).into_value();
            let mut reader = RecordReader::new(octets.expose());
            let read = read_profile(&mut reader);
            let valid = profile.validate().is_ok();
            assert_eq!(read, valid.then_some(profile), "{profile:?}");
            assert_eq!(reader.finish(), Some(()));
        }
    }

    #[test]
    fn a_profile_that_cannot_be_is_refused() {
        for octets in [&[6, 10, 10, 6, 3, 0, 0, 0, 0, 0][..], &[1, 99, 10, 6, 3, 0, 0, 0, 0, 0]] {
            assert_eq!(read_profile(&mut RecordReader::new(octets)), None);
        }
    }
}
