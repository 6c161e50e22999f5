//! The keys of one talk group, by number, and the messages that carry them.

use mcast_srtp::{
    Error,
    ids::{CsbId, KeyDomainId, Mki, MskId, MtkId, Roc, Ssrc},
    keys::{
        CryptoSession, Interval, Msk, Mtk, Muk, MukId,
        issue::{MskIssue, MtkIssue, seal_msk, seal_mtk},
    },
    secret::{Secret, SecretBytes},
    srtp::{Profile, TrafficKey},
};

/// Makes the keys of one client and one talk group. Which octets they have follows from their numbers:
/// for load, not for secrets.
#[derive(Clone, Copy, Debug)]
pub struct Issuer {
    /// How the media is protected.
    pub profile: Profile,
}

impl Issuer {
    /// The client key and its identities.
    #[must_use]
    pub fn muk(&self) -> (MukId, Muk) {
        let id = MukId { idi: "bmsc.example".into(), idr: "load@bsf.example".into() };
        (id, Muk(Secret::new([0x4d; 32])))
    }

    /// Name of a traffic key in packets.
    #[must_use]
    pub fn mki(&self, msk: u16, mtk: u16) -> Mki {
        Mki::mbms(msk_id(msk), MtkId(mtk))
    }

    /// Master key and master salt of a traffic key.
    #[must_use]
    pub fn material(&self, msk: u16, mtk: u16) -> (Vec<u8>, Vec<u8>) {
        let octets = |len: usize, role: u8| {
            let ([a, b], [c, d]) = (msk.to_be_bytes(), mtk.to_be_bytes());
            [role, a, b, c, d].into_iter().cycle().take(len).collect()
        };
        let cipher = self.profile.cipher;
        (octets(cipher.key_len(), 0x6b), octets(cipher.salt_len(), 0x73))
    }

    /// A traffic key ready for use.
    ///
    /// # Errors
    /// A profile that does not take its keys.
    pub fn traffic_key(&self, msk: u16, mtk: u16) -> Result<TrafficKey, Error> {
        let (key, salt) = self.material(msk, mtk);
        TrafficKey::new(self.mki(msk, mtk), self.profile, &key, &salt)
    }

    /// The message of an MSK to the client. Numbers rise, and with them the counter.
    ///
    /// # Errors
    /// A profile that no message expresses.
    pub fn msk_message(&self, number: u16) -> Result<Vec<u8>, Error> {
        let (muk_id, muk) = self.muk();
        let issue = MskIssue {
            domain: DOMAIN,
            msk_id: msk_id(number),
            msk: &msk(number),
            interval: Interval { low: MtkId(0), high: MtkId(u16::MAX) },
            counter: number.into(),
            csb: CsbId(0),
            muk_id: &muk_id,
            verify: false,
            profile: self.profile,
            sessions: &[CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(0) }],
            sdp_ids: None,
        };
        seal_msk(&issue, &muk)
    }

    /// The message of a traffic key to the group.
    ///
    /// # Errors
    /// A profile that does not take its keys.
    pub fn mtk_message(&self, number: u16, mtk: u16) -> Result<Vec<u8>, Error> {
        let (key, salt) = self.material(number, mtk);
        let traffic = Mtk { key: SecretBytes::new(&key), salt: Some(SecretBytes::new(&salt)) };
        seal_mtk(&MtkIssue {
            domain: DOMAIN,
            msk_id: msk_id(number),
            mtk_id: MtkId(mtk),
            counter: mtk.into(),
            csb: CsbId(0),
            msk: &msk(number),
            mtk: &traffic,
        })
    }
}

const fn msk_id(number: u16) -> MskId {
    MskId { group: 1, number }
}

fn msk(number: u16) -> Msk {
    let [a, b] = number.to_be_bytes();
    Msk { key: SecretBytes::new(&[a ^ 0x4d, b].repeat(8)), rand: [a, b ^ 0x52].repeat(8) }
}

const DOMAIN: KeyDomainId = KeyDomainId([0x00, 0xf1, 0x10]);

#[cfg(test)]
mod tests {
    use mcast_srtp::keys::{KeyLimits, KeyStore, Outcome};

    use super::*;

    #[test]
    fn a_client_accepts_the_messages_and_finds_the_keys_in_them() {
        for profile in [Profile::AES_CM_128_HMAC_SHA1_80, Profile::AEAD_AES_256_GCM] {
            let issuer = Issuer { profile };
            let mut client = KeyStore::new(KeyLimits::default());
            let (id, muk) = issuer.muk();
            client.insert_muk(id, muk).unwrap();
            for number in [1, 2] {
                client.receive(&issuer.msk_message(number).unwrap()).unwrap();
                for mtk in [1, 2] {
                    let outcome = client.receive(&issuer.mtk_message(number, mtk).unwrap());
                    let Ok(Outcome::Mtk(accepted)) = outcome else { panic!("{outcome:?}") };
                    assert_eq!(accepted.mtk.key.expose(), issuer.material(number, mtk).0);
                }
            }
        }
    }
}
