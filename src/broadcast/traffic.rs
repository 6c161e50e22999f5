//! MTKs made under an MSK: number, counter, key, and the message that carries it.

use std::time::Instant;

use super::{
    DocumentMsk,
    schedule::{BroadcastTiming, Repetition},
};
use crate::{
    error::Error,
    ids::{CsbId, KeyDomainId, Mki, MskId, MtkId},
    keys::{
        Interval, Mtk,
        issue::{MtkIssue, seal_mtk},
    },
    secret::SecretBytes,
    srtp::{Profile, TrafficKey},
};

/// An MSK at the broadcaster, and how much of it is used.
#[derive(Debug)]
pub(super) struct HeldMsk {
    pub(super) listed: DocumentMsk,
    /// The last MTK ID used; at first SEQl, which is not used itself.
    //= TS 33.246 §6.4.6.2: readings differ on whether SEQl is valid; SEQl + 1 is under both
    pub(super) last_mtk: MtkId,
    /// How many MTK IDs were left when that was reported last.
    pub(super) reported: Option<u16>,
}

impl HeldMsk {
    pub(super) const fn unused(listed: DocumentMsk) -> Self {
        let last_mtk = listed.interval.low;
        Self { listed, last_mtk, reported: None }
    }

    /// Whether this is the key that a document lists.
    pub(super) fn is(&self, listed: &DocumentMsk) -> bool {
        self.listed.msk.key.same_as(&listed.msk.key) && self.listed.msk.rand == listed.msk.rand
    }

    /// The same MSK is listed once more, perhaps with other MTK IDs.
    pub(super) fn relist(&mut self, listed: &DocumentMsk) {
        self.last_mtk = self.last_mtk.max(listed.interval.low);
        self.listed = listed.clone();
    }

    /// MTK IDs that are left.
    pub(super) const fn ids_left(&self) -> u16 {
        self.listed.interval.high.0.saturating_sub(self.last_mtk.0)
    }

    /// Whether no further MTK can be made.
    pub(super) const fn is_used_up(&self) -> bool {
        self.ids_left() == 0
    }

    /// MTK IDs left, if that has to be reported: few of them, and again when there is none.
    pub(super) fn low_ids(&mut self, threshold: u16) -> Option<u16> {
        let Interval { low, high } = self.listed.interval;
        // A small interval is not low from the start, else each MSK would at once ask for the next.
        let threshold = threshold.min(high.0.saturating_sub(low.0) / 4);
        let left = self.ids_left();
        let news = match self.reported {
            None => left <= threshold,
            Some(reported) => left == 0 && reported > 0,
        };
        news.then(|| *self.reported.insert(left))
    }

    /// Draws the next traffic key and seals its message. Number and counter are used up only if
    /// this succeeds.
    pub(super) fn next_key(
        &mut self,
        domain: KeyDomainId,
        profile: Profile,
        now: Instant,
        timing: &BroadcastTiming,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Announced, Error> {
        let DocumentMsk { msk_id, ref msk, .. } = self.listed;
        //= TS 33.246 §6.3.3.1: the MTK ID grows by 1 with each MTK and never wraps
        if self.ids_left() == 0 {
            return Err(Error::invalid(format!(
                "MSK {msk_id} has no MTK ID left; the key server has to update it"
            )));
        }
        let mtk_id = MtkId(self.last_mtk.0 + 1);
        //= TS 33.246 §6.4.6.2: one counter per MSK, a new value for each distinct message
        // The MTK ID is one, and is shared with no other broadcaster.
        let counter = u32::from(mtk_id.0);
        let mtk = draw(profile, random);
        let salt = mtk.salt.as_ref().map_or(&[][..], |salt| salt.expose());
        let key = TrafficKey::new(Mki::mbms(msk_id, mtk_id), profile, mtk.key.expose(), salt)?;
        let octets =
            seal_mtk(&MtkIssue { domain, msk_id, mtk_id, counter, csb: CsbId(0), msk, mtk: &mtk })?;
        self.last_mtk = mtk_id;
        Ok(Announced { msk_id, key, message: Repetition::starting(octets, now, timing) })
    }
}

/// A traffic key whose message is on the air.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) msk_id: MskId,
    pub(super) key: TrafficKey,
    pub(super) message: Repetition,
}

/// Checks that traffic keys can be made for a profile, and that MBMS clients can use them.
pub(crate) fn check_profile(profile: Profile) -> Result<(), Error> {
    //= TS 33.246 §6.6.2.1: the MKI is MSK ID and MTK ID; no parameter tells clients another length
    if usize::from(profile.mki_len) != Mki::MBMS_LEN {
        return Err(Error::invalid(format!(
            "packets keyed by MBMS carry an MKI of 6 octets, the profile says {}",
            profile.mki_len
        )));
    }
    let mki = Mki::mbms(MskId { group: 0, number: 0 }, MtkId(0));
    TrafficKey::new(mki, profile, &[0; 32][..profile.cipher.key_len()], &[]).map(drop)
}

fn draw(profile: Profile, random: &mut dyn FnMut(&mut [u8])) -> Mtk {
    Mtk {
        key: SecretBytes::fresh(profile.cipher.key_len(), random),
        salt: Some(SecretBytes::fresh(profile.cipher.salt_len(), random)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{keys::Msk, wire::mikey::Message};

    fn held(low: u16, high: u16) -> HeldMsk {
        let msk = Msk { key: SecretBytes::new(&[1; 16]), rand: vec![2; 16] };
        HeldMsk::unused(DocumentMsk {
            msk_id: MskId { group: 1, number: 1 },
            msk: Arc::new(msk),
            interval: Interval { low: MtkId(low), high: MtkId(high) },
        })
    }

    fn next(held: &mut HeldMsk) -> Result<Announced, Error> {
        let (domain, timing) = (KeyDomainId([0, 0xf1, 0x10]), BroadcastTiming::default());
        held.next_key(domain, Profile::default(), Instant::now(), &timing, &mut |out| out.fill(7))
    }

    #[test]
    fn mtk_ids_start_behind_the_lower_end_and_end_at_the_upper_one() {
        let mut held = held(4, 6);
        let mut made = || {
            let mut announced = next(&mut held).unwrap();
            let (now, timing) = (Instant::now(), BroadcastTiming::default());
            let message = announced.message.take(now, &timing).unwrap();
            let counter = Message::parse(&message).unwrap().timestamp().unwrap().counter();
            (announced.key.mki().to_string(), counter)
        };
        assert_eq!(made(), ("000100010005".to_owned(), Some(5)));
        assert_eq!(made(), ("000100010006".to_owned(), Some(6)));
        assert!(next(&mut held).unwrap_err().to_string().contains("no MTK ID left"));
        assert_eq!((held.last_mtk, held.ids_left()), (MtkId(6), 0));
    }

    #[test]
    fn whole_id_space_ends_without_wrapping() {
        let mut held = held(0, 0xffff);
        held.last_mtk = MtkId(0xfffe);
        assert!(next(&mut held).is_ok());
        assert!(next(&mut held).is_err());
    }

    #[test]
    fn few_ids_are_reported_once_and_their_end_once_more() {
        let mut held = held(0, 40);
        let reports: Vec<_> = (0..40)
            .filter_map(|_| {
                next(&mut held).unwrap();
                held.low_ids(3)
            })
            .collect();
        assert_eq!(reports, [3, 0]);
        assert_eq!(held.low_ids(3), None);
    }

    #[test]
    fn key_and_salt_have_the_lengths_of_the_profile() {
        for (_, profile) in Profile::NAMED {
            let mtk = draw(*profile, &mut |out| out.fill(7));
            assert_eq!(mtk.key.len(), profile.cipher.key_len());
            assert_eq!(mtk.salt.unwrap().len(), profile.cipher.salt_len());
            check_profile(*profile).unwrap();
        }
    }

    #[test]
    fn profile_that_clients_cannot_follow_is_refused() {
        let other_mki = check_profile(Profile::default().with_mki_len(4));
        assert!(other_mki.unwrap_err().to_string().contains("6 octets"));
    }
}
