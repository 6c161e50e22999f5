//! Where MKI and tag stand: only a key or its policy tells, so they are sought in the input itself.

use mcast_srtp::{
    ids::{Mki, MskId, Seq},
    srtp::{PacketKind, Profile},
};

/// Profiles and MSKs that key messages and key file name.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    profiles: Vec<Profile>,
    msks: Vec<MskId>,
    mkis: Vec<Mki>,
}

/// A profile, and whether the MKI it leads to is one that something else has named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Layout {
    pub(super) profile: Profile,
    pub(super) confirmed: bool,
}

impl Layouts {
    /// Notes a profile; those noted first are tried first.
    pub(super) fn note_profile(&mut self, profile: Profile) {
        if !self.profiles.contains(&profile) {
            self.profiles.push(profile);
        }
    }

    /// Notes an MSK that MKIs may start with.
    pub(super) fn note_msk(&mut self, msk: MskId) {
        if !self.msks.contains(&msk) {
            self.msks.push(msk);
        }
    }

    /// Notes the MKI of a traffic key given outright.
    pub(super) fn note_mki(&mut self, mki: Mki) {
        self.mkis.push(mki);
    }

    /// The profile that fits a packet best.
    pub(super) fn of(&self, kind: PacketKind, seq: Seq, packet: &[u8]) -> Layout {
        let fallback = self.profiles.first().copied().unwrap_or_default();
        let named = Profile::NAMED.iter().map(|(_, profile)| *profile);
        let confirmed = self.profiles.iter().copied().chain(named).find(|profile| {
            mki(profile, kind, seq, packet).is_some_and(|octets| self.is_named(octets))
        });
        Layout { profile: confirmed.unwrap_or(fallback), confirmed: confirmed.is_some() }
    }

    fn is_named(&self, octets: &[u8]) -> bool {
        let Some(mki) = Mki::new(octets).filter(|_| !octets.is_empty()) else { return false };
        self.mkis.contains(&mki)
            || mki.split_mbms().is_some_and(|(msk, _)| self.msks.contains(&msk))
    }
}

fn mki<'a>(profile: &Profile, kind: PacketKind, seq: Seq, packet: &'a [u8]) -> Option<&'a [u8]> {
    let tag_len = match kind {
        PacketKind::Rtp => profile.tag_len_at(seq),
        PacketKind::Rtcp => usize::from(profile.srtcp_tag_len),
    };
    let end = packet.len().checked_sub(tag_len)?;
    packet.get(end.checked_sub(usize::from(profile.mki_len))?..end)
}

#[cfg(test)]
mod tests {
    use mcast_srtp::ids::MtkId;

    use super::*;

    const MSK: MskId = MskId { group: 1, number: 2 };

    fn packet(tag_len: usize) -> Vec<u8> {
        let mut packet = vec![0x80; 20];
        packet.extend(Mki::mbms(MSK, MtkId(7)).as_bytes());
        packet.extend(vec![0xee; tag_len]);
        packet
    }

    #[test]
    fn profile_whose_mki_is_named_wins() {
        let mut layouts = Layouts::default();
        let of = |layouts: &Layouts, tag_len| {
            let layout = layouts.of(PacketKind::Rtp, Seq(1), &packet(tag_len));
            (layout.profile.srtp_tag_len, layout.confirmed)
        };
        assert_eq!(of(&layouts, 4), (10, false));
        layouts.note_profile(Profile::AES_CM_128_HMAC_SHA1_32);
        assert_eq!(of(&layouts, 10), (4, false));
        layouts.note_msk(MSK);
        assert_eq!((of(&layouts, 10), of(&layouts, 4)), ((10, true), (4, true)));
        assert_eq!(of(&layouts, 0), (0, true));
    }
}
