//! The acceptance rules of key messages, each a function by the name of the rule.
//!
//! TS 33.246 is known second-hand here; a reading of its text changes these functions and nothing else.

use super::{Interval, Msk, Mtk};
use crate::{
    Reject,
    ids::MtkId,
    secret::SecretBytes,
    srtp::Profile,
    wire::mikey::{Kemac, KeyData, KeyDataChain, KeyType, Message, Validity},
};

/// A counter is newer than the last accepted one in serial number arithmetic; any is, if none was.
//= TS 33.246 §6.4.6.1, RFC 1982: newer(a, b) = a != b and (a - b mod 2^32) < 2^31
pub(super) fn counter_is_newer(counter: u32, last: Option<u32>) -> Result<(), Reject> {
    let newer = last.is_none_or(|last| counter != last && counter.wrapping_sub(last) < 1 << 31);
    if newer { Ok(()) } else { Err(Reject::KeyReplayed) }
}

/// The MTK ID lies within SEQl and SEQu of its MSK.
//= TS 33.246 §6.5.4: SEQl <= SEQp <= SEQu (SEQl itself is accepted: K25)
pub(super) fn mtk_id_is_in_interval(mtk: MtkId, interval: Interval) -> Result<(), Reject> {
    let inside = (interval.low..=interval.high).contains(&mtk);
    if inside { Ok(()) } else { Err(Reject::MtkOutOfInterval) }
}

/// The MTK ID is greater than the last accepted one: they never wrap under one MSK.
//= TS 33.246 §6.5.4: SEQs < SEQp
pub(super) fn mtk_id_is_newer(mtk: MtkId, last: Option<MtkId>) -> Result<(), Reject> {
    if last.is_none_or(|last| mtk > last) { Ok(()) } else { Err(Reject::MtkNotNewer) }
}

/// An MTK message carries no RAND: it would change that of the group.
//= K17
pub(super) fn mtk_message_has_no_rand(message: &Message<'_>) -> Result<(), Reject> {
    if message.rand().is_none() { Ok(()) } else { Err(Reject::MikeyMalformed) }
}

/// An MSK message carries the RAND that its MSK is bound to, of 16 octets or more.
//= TS 33.246 §6.4.5.1
pub(super) fn msk_message_has_a_rand<'a>(message: &Message<'a>) -> Result<&'a [u8], Reject> {
    let rand = message.rand().filter(|rand| Msk::RAND_LEN.contains(&rand.len()));
    rand.ok_or(Reject::MikeyMalformed)
}

/// A message has counter and KEMAC.
//= TS 33.246 §6.4.5: T is a COUNTER in every message of MBMS
pub(super) fn message_is_complete<'a>(message: &Message<'a>) -> Result<(u32, Kemac<'a>), Reject> {
    let counter = message.timestamp().and_then(|timestamp| timestamp.counter());
    counter.zip(message.kemac()).ok_or(Reject::MikeyMalformed)
}

/// An interval with SEQl above SEQu marks the MSK unusable.
//= TS 33.246 §6.5.3
pub(super) fn interval_revokes(interval: Interval) -> bool {
    interval.low > interval.high
}

/// Key data of an MSK message: one key of 16 to 32 octets with an interval.
//= TS 33.246 §6.4.5.1; K12: any of the key types 0 to 3, a salt is ignored
pub(super) fn key_data_is_one_msk(key_data: &[u8], rand: &[u8]) -> Result<(Msk, Interval), Reject> {
    let key = only_key(key_data)?;
    let Validity::Interval { from, to } = key.validity else { return Err(Reject::BadKeyData) };
    let low = u16::try_from(bound(from)?).map_err(|_| Reject::BadKeyData)?;
    let high = u16::try_from(bound(to)?).unwrap_or(u16::MAX);
    if !Msk::KEY_LEN.contains(&key.key.len()) {
        return Err(Reject::BadKeyData);
    }
    let msk = Msk { key: SecretBytes::new(key.key), rand: rand.to_vec() };
    Ok((msk, Interval { low: MtkId(low), high: MtkId(high) }))
}

/// Key data of an MTK message: one key and salt of the lengths that the policy asks for.
//= TS 33.246 §6.4.5.3; K13, K14: a missing salt counts as zero
pub(super) fn key_data_is_one_mtk(key_data: &[u8], profile: &Profile) -> Result<Mtk, Reject> {
    let key = only_key(key_data)?;
    let salt_fits = |salt: &[u8]| salt.len() == 14 || salt.len() == profile.cipher.salt_len();
    if key.key.len() != profile.cipher.key_len() || !key.salt.is_none_or(salt_fits) {
        return Err(Reject::BadKeyData);
    }
    Ok(Mtk { key: SecretBytes::new(key.key), salt: key.salt.map(SecretBytes::new) })
}

fn only_key(key_data: &[u8]) -> Result<KeyData<'_>, Reject> {
    let chain = KeyDataChain::parse(key_data).map_err(|_| Reject::BadKeyData)?;
    let known = |key: &KeyData<'_>| {
        [KeyType::TGK, KeyType::TGK_SALT, KeyType::TEK, KeyType::TEK_SALT].contains(&key.key_type)
    };
    chain.only().filter(known).ok_or(Reject::BadKeyData)
}

/// SEQl or SEQu: 1 to 8 octets, big-endian (K3).
fn bound(octets: &[u8]) -> Result<u64, Reject> {
    if !(1..=8).contains(&octets.len()) {
        return Err(Reject::BadKeyData);
    }
    Ok(octets.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_is_newer_in_serial_number_arithmetic() {
        let newer = |counter, last| counter_is_newer(counter, last).is_ok();
        assert!(newer(0, None) && newer(5, Some(4)) && newer(0, Some(u32::MAX)));
        assert!(newer(0x7fff_ffff, Some(0)) && !newer(0x8000_0000, Some(0)));
        assert!(!newer(4, Some(4)) && !newer(3, Some(4)));
    }

    #[test]
    fn mtk_id_is_in_interval_with_both_ends() {
        let interval = Interval { low: MtkId(3), high: MtkId(5) };
        for (id, inside) in [(2, false), (3, true), (5, true), (6, false)] {
            assert_eq!(mtk_id_is_in_interval(MtkId(id), interval).is_ok(), inside, "{id}");
        }
    }

    #[test]
    fn mtk_id_is_newer_only_if_greater() {
        let newer = |id, last| mtk_id_is_newer(MtkId(id), last).is_ok();
        assert!(newer(0, None) && newer(7, Some(MtkId(6))));
        assert!(!newer(6, Some(MtkId(6))) && !newer(5, Some(MtkId(6))));
    }

    #[test]
    fn key_data_is_one_msk_with_interval_of_any_width() {
        let data = |from: &[u8], to: &[u8], len: usize| {
            let validity = Validity::Interval { from, to };
            let key = KeyData { key_type: KeyType::TGK, key: &vec![7; len], salt: None, validity };
            let encoded = key.encode().unwrap();
            key_data_is_one_msk(&encoded, &[1; 16]).map(|(_, interval)| interval)
        };
        let interval = |low, high| Ok(Interval { low: MtkId(low), high: MtkId(high) });
        assert_eq!(data(&[0, 1], &[0, 9], 16), interval(1, 9));
        assert_eq!(data(&[1], &[0, 0, 0, 0, 0, 1, 0, 0], 32), interval(1, 0xffff));
        assert_eq!(data(&[1, 0, 0], &[9], 16), Err(Reject::BadKeyData));
        assert_eq!(data(&[], &[9], 16), Err(Reject::BadKeyData));
        assert_eq!(data(&[1], &[9], 15), Err(Reject::BadKeyData));
        assert_eq!(data(&[1], &[9], 33), Err(Reject::BadKeyData));
    }

    #[test]
    fn key_data_is_one_mtk_of_the_lengths_of_its_policy() {
        let data = |len: usize, salt: Option<usize>, profile: &Profile| {
            let salt = salt.map(|len| vec![3; len]);
            let key_type = if salt.is_some() { KeyType::TEK_SALT } else { KeyType::TEK };
            let validity = Validity::Always;
            let key = KeyData { key_type, key: &vec![7; len], salt: salt.as_deref(), validity };
            key_data_is_one_mtk(&key.encode().unwrap(), profile).is_ok()
        };
        let (cm, gcm) = (Profile::AES_CM_128_HMAC_SHA1_80, Profile::AEAD_AES_256_GCM);
        assert!(data(16, Some(14), &cm) && data(16, None, &cm));
        assert!(!data(32, Some(14), &cm) && !data(16, Some(12), &cm));
        assert!(data(32, Some(12), &gcm) && data(32, Some(14), &gcm) && !data(16, Some(12), &gcm));
    }

    #[test]
    fn two_keys_in_one_message_are_refused() {
        let two = [20, 0x20, 0, 1, 9, 0, 0x20, 0, 1, 8];
        assert_eq!(only_key(&two).unwrap_err(), Reject::BadKeyData);
    }
}
