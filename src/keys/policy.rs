//! A [`Profile`] as the SP payload of an MSK message, and back (RFC 3830 §6.10.1, RFC 4771 §4,
//! RFC 7714 §14.3).

use crate::{
    Error, Reject,
    srtp::{Cipher, Profile, Rcc, RccMode},
    wire::mikey::{
        CsIdMapFields, Encoder, HeaderFields, Message, ProtType, SecurityPolicy, SrtpAuth,
        SrtpEncr, SrtpParam,
    },
};

/// The profile as policy `number`: an SP payload behind its first octet, to be
/// [appended](Encoder::encoded_policy) to any number of messages.
///
/// # Errors
/// [`Error::Invalid`] for a profile that [`read`] would not give back: its receivers would expect other
/// packets than its senders make.
pub(super) fn encode(number: u8, profile: &Profile) -> Result<Vec<u8>, Error> {
    let params = params(profile);
    let params: Vec<_> = params.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
    let header = HeaderFields { map: CsIdMapFields::SrtpId(&[]), ..HeaderFields::default() };
    let mut probe = Encoder::new(&header);
    probe.srtp_policy(number, &params);
    let mut probe = probe.finish()?;
    let policy = Message::parse(&probe).ok().and_then(|message| message.policies().next());
    // Without a cipher there is nothing to switch on or off.
    let encrypts = profile.cipher != Cipher::Null;
    let expressed = Profile {
        encrypt_srtp: profile.encrypt_srtp && encrypts,
        encrypt_srtcp: profile.encrypt_srtcp && encrypts,
        ..*profile
    };
    if policy.and_then(|policy| read(&policy).ok()) != Some(expressed) {
        return Err(Error::invalid(format!("an MSK message cannot express {profile:?}")));
    }
    let before = Encoder::new(&header).finish()?.len();
    Ok(probe.split_off(before + 1))
}

fn params(profile: &Profile) -> Vec<(SrtpParam, Vec<u8>)> {
    let aead = profile.cipher.is_aead();
    let algorithm = match profile.cipher {
        Cipher::Null => SrtpEncr::NULL,
        Cipher::AesCm128 | Cipher::AesCm192 | Cipher::AesCm256 => SrtpEncr::AES_CM,
        Cipher::AesGcm128 | Cipher::AesGcm256 => SrtpEncr::AES_GCM,
    };
    let authentication = if aead { SrtpAuth::NULL } else { SrtpAuth::HMAC_SHA_1 };
    let octet = |n: usize| (n & 0xff) as u8;
    let flag = |on: bool| vec![u8::from(on)];
    let mut params: Vec<(SrtpParam, Vec<u8>)> = vec![
        (SrtpParam::ENCRYPTION_ALG, vec![algorithm.0]),
        (SrtpParam::ENCRYPTION_KEY_LEN, vec![octet(profile.cipher.key_len())]),
        (SrtpParam::AUTH_ALG, vec![authentication.0]),
        (SrtpParam::SALT_LEN, vec![octet(profile.cipher.salt_len())]),
        (SrtpParam::PRF, vec![0]),
        (SrtpParam::KDR, shortest(profile.kdr)),
        (SrtpParam::SRTP_ENCRYPTION, flag(profile.encrypt_srtp)),
        (SrtpParam::SRTCP_ENCRYPTION, flag(profile.encrypt_srtcp)),
    ];
    if aead {
        params.push((SrtpParam::AEAD_TAG_LEN, vec![octet(profile.aead_tag_len())]));
    } else {
        params.push((SrtpParam::AUTH_KEY_LEN, vec![octet(AUTH_KEY_LEN as usize)]));
        params.push((SrtpParam::TAG_LEN, vec![profile.srtp_tag_len]));
        if profile.srtcp_tag_len != profile.srtp_tag_len || profile.srtcp_tag_len < 10 {
            params.push((SrtpParam::SRTCP_TAG_LEN, vec![profile.srtcp_tag_len]));
        }
    }
    if let Some(Rcc { mode, rate }) = profile.rcc {
        let mode = match mode {
            RccMode::M1 => SrtpAuth::RCC_M1,
            RccMode::M2 => SrtpAuth::RCC_M2,
            RccMode::M3 => SrtpAuth::RCC_M3,
        };
        params.push((SrtpParam::ROC_RATE, rate.to_be_bytes().to_vec()));
        params.push((SrtpParam::SRTP_AUTH_ALG, vec![mode.0]));
        params.push((SrtpParam::SRTP_TAG_LEN, vec![profile.srtp_tag_len]));
    }
    params
}

/// Reads the profile of a policy; absent parameters have the defaults of RFC 3711 §8.2.
///
/// # Errors
/// [`Reject::MikeyUnsupported`] for parameters that no profile expresses.
pub(super) fn read(policy: &SecurityPolicy<'_>) -> Result<Profile, Reject> {
    // A parameter nobody here knows could change what packets look like.
    let known = policy.params().all(|param| param.kind.name().is_some());
    if policy.prot_type != ProtType::SRTP || !known {
        return Err(UNSUPPORTED);
    }
    let number = |kind, default| policy.param(kind).unwrap_or(default);
    let octet = |kind, default| u8::try_from(number(kind, default)).map_err(|_| UNSUPPORTED);
    let cipher =
        cipher(octet(SrtpParam::ENCRYPTION_ALG, 1)?, number(SrtpParam::ENCRYPTION_KEY_LEN, 16))?;
    let salt_len = number(SrtpParam::SALT_LEN, cipher.salt_len() as u32);
    if number(SrtpParam::PRF, 0) != 0
        || number(SrtpParam::FEC_ORDER, 0) != 0
        || number(SrtpParam::PREFIX_LEN, 0) != 0
        || AUTH_KEY_LENS.iter().any(|kind| number(*kind, AUTH_KEY_LEN) != AUTH_KEY_LEN)
        || SWITCHES.iter().any(|kind| number(*kind, 1) > 1)
        || number(SrtpParam::AEAD_TAG_LEN, 16) != 16
        || !(salt_len == 14 || salt_len == cipher.salt_len() as u32)
    {
        return Err(UNSUPPORTED);
    }
    let encrypted = |kind| cipher != Cipher::Null && number(kind, 1) != 0;
    //= RFC 4771 §4: types 14 to 19 win over 2, 3 and 11
    let authentication = octet(SrtpParam::SRTP_AUTH_ALG, number(SrtpParam::AUTH_ALG, 1))?;
    let rcc = rcc(authentication, number(SrtpParam::ROC_RATE, 1))?;
    let mut profile = Profile {
        cipher,
        srtp_tag_len: 0,
        srtcp_tag_len: 0,
        mki_len: Profile::default().mki_len,
        kdr: number(SrtpParam::KDR, 0),
        encrypt_srtp: encrypted(SrtpParam::SRTP_ENCRYPTION),
        encrypt_srtcp: encrypted(SrtpParam::SRTCP_ENCRYPTION),
        rcc,
    };
    let tag_len = number(SrtpParam::TAG_LEN, 10);
    let authenticated = number(SrtpParam::SRTP_AUTH, 1) != 0 && authentication != SrtpAuth::NULL.0;
    if rcc.is_some_and(|rcc| rcc.mode == RccMode::M3) {
        //= M11: the field holds the rollover counter alone, whatever is on or off
        profile.srtp_tag_len = octet(SrtpParam::SRTP_TAG_LEN, Rcc::ROC_LEN.into())?;
    } else if authenticated && (!cipher.is_aead() || rcc.is_some()) {
        profile.srtp_tag_len = octet(SrtpParam::SRTP_TAG_LEN, tag_len)?;
    }
    if !cipher.is_aead() {
        //= RFC 4771 §2, RFC 3711 §3.4: SRTCP never uses RCC, and is always authenticated
        let is_null = policy.param(SrtpParam::AUTH_ALG) == Some(SrtpAuth::NULL.0.into());
        let absent = if is_null { SrtpAuth::NULL } else { SrtpAuth::HMAC_SHA_1 };
        if octet(SrtpParam::SRTCP_AUTH_ALG, absent.0.into())? != SrtpAuth::HMAC_SHA_1.0 {
            return Err(UNSUPPORTED);
        }
        //= RFC 3711 §5.2: SRTCP keeps 80 bits unless its own parameter says otherwise
        profile.srtcp_tag_len = octet(SrtpParam::SRTCP_TAG_LEN, tag_len.max(10))?;
    }
    profile.validate().map_err(|_| UNSUPPORTED)?;
    Ok(profile)
}

fn cipher(algorithm: u8, key_len: u32) -> Result<Cipher, Reject> {
    match (SrtpEncr(algorithm), key_len) {
        (SrtpEncr::NULL, 16) => Ok(Cipher::Null),
        (SrtpEncr::AES_CM, 16) => Ok(Cipher::AesCm128),
        (SrtpEncr::AES_CM, 24) => Ok(Cipher::AesCm192),
        (SrtpEncr::AES_CM, 32) => Ok(Cipher::AesCm256),
        //= RFC 7714 §15: the key length selects the suite
        (SrtpEncr::AES_GCM, 16) => Ok(Cipher::AesGcm128),
        (SrtpEncr::AES_GCM, 32) => Ok(Cipher::AesGcm256),
        _ => Err(UNSUPPORTED),
    }
}

fn rcc(authentication: u8, rate: u32) -> Result<Option<Rcc>, Reject> {
    let mode = match SrtpAuth(authentication) {
        SrtpAuth::NULL | SrtpAuth::HMAC_SHA_1 => return Ok(None),
        SrtpAuth::RCC_M1 => RccMode::M1,
        SrtpAuth::RCC_M2 => RccMode::M2,
        SrtpAuth::RCC_M3 => RccMode::M3,
        _ => return Err(UNSUPPORTED),
    };
    Ok(Some(Rcc { mode, rate: u16::try_from(rate).map_err(|_| UNSUPPORTED)? }))
}

/// A key derivation rate as a number (M6), in as few octets as it needs.
fn shortest(kdr: u32) -> Vec<u8> {
    let octets = kdr.to_be_bytes();
    let zeros = octets.iter().take(3).take_while(|octet| **octet == 0).count();
    octets.get(zeros..).unwrap_or_default().to_vec()
}

const AUTH_KEY_LEN: u32 = 20;
const AUTH_KEY_LENS: [SrtpParam; 3] =
    [SrtpParam::AUTH_KEY_LEN, SrtpParam::SRTP_AUTH_KEY_LEN, SrtpParam::SRTCP_AUTH_KEY_LEN];
/// Parameters that are 0 or 1.
const SWITCHES: [SrtpParam; 3] =
    [SrtpParam::SRTP_ENCRYPTION, SrtpParam::SRTCP_ENCRYPTION, SrtpParam::SRTP_AUTH];
const UNSUPPORTED: Reject = Reject::MikeyUnsupported;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Roc, Ssrc};
    use crate::wire::mikey::SrtpIdRecord;

    fn there_and_back(profile: &Profile) -> Result<Profile, Reject> {
        let records = [SrtpIdRecord { policy: 3, ssrc: Ssrc(0), roc: Roc(0) }];
        let map = CsIdMapFields::SrtpId(&records);
        let mut encoder = Encoder::new(&HeaderFields { map, ..HeaderFields::default() });
        encoder.encoded_policy(&encode(3, profile).unwrap());
        let octets = encoder.finish().unwrap();
        let message = Message::parse(&octets).unwrap();
        let policy = message.policies().next().unwrap();
        assert_eq!(policy.number, 3);
        read(&policy)
    }

    fn policy(params: &[(SrtpParam, &[u8])]) -> Result<Profile, Reject> {
        let records = [SrtpIdRecord { policy: 0, ssrc: Ssrc(0), roc: Roc(0) }];
        let map = CsIdMapFields::SrtpId(&records);
        let mut encoder = Encoder::new(&HeaderFields { map, ..HeaderFields::default() });
        encoder.srtp_policy(0, params);
        let octets = encoder.finish().unwrap();
        let message = Message::parse(&octets).unwrap();
        read(&message.policies().next().unwrap())
    }

    #[test]
    fn every_profile_survives_the_way_through_a_policy() {
        for (name, profile) in Profile::NAMED {
            for kdr in [0, 1, 256, 1 << 24] {
                let profile = profile.with_kdr(kdr);
                assert_eq!(there_and_back(&profile), Ok(profile), "{name}");
            }
        }
        for profile in [
            Profile { srtp_tag_len: 0, ..Profile::default() },
            Profile { srtp_tag_len: 4, srtcp_tag_len: 4, ..Profile::default() },
            Profile { encrypt_srtp: false, ..Profile::default() },
            Profile { encrypt_srtcp: false, ..Profile::AEAD_AES_256_GCM },
        ] {
            assert_eq!(there_and_back(&profile), Ok(profile));
        }
        for name in [
            "AES_CM_128_HMAC_SHA1_80+RCCm1:300",
            "AES_CM_128_HMAC_SHA1_32+RCCm2:1",
            "AES_256_CM_HMAC_SHA1_80+RCCm3:65535",
            "NULL_HMAC_SHA1_80+RCCm2:64",
            "AEAD_AES_128_GCM+RCCm3:64",
            "AEAD_AES_256_GCM+RCCm3:1",
        ] {
            let profile = Profile::from_name(name).unwrap();
            assert_eq!(there_and_back(&profile), Ok(profile), "{name}");
        }
    }

    #[test]
    fn a_policy_without_parameters_is_the_default_of_rfc_3711() {
        assert_eq!(policy(&[]), Ok(Profile::AES_CM_128_HMAC_SHA1_80));
        let four = policy(&[(SrtpParam::TAG_LEN, &[4])]);
        assert_eq!(four, Ok(Profile::AES_CM_128_HMAC_SHA1_32));
        for (kind, value) in [
            (SrtpParam::ENCRYPTION_ALG, 2),
            (SrtpParam::ENCRYPTION_KEY_LEN, 17),
            (SrtpParam::AUTH_KEY_LEN, 16),
            (SrtpParam::SALT_LEN, 8),
            (SrtpParam::PRF, 1),
            (SrtpParam::KDR, 3),
            (SrtpParam::AUTH_ALG, 0),
            (SrtpParam::AUTH_ALG, 5),
            (SrtpParam::SRTP_AUTH_KEY_LEN, 16),
            (SrtpParam::SRTCP_AUTH_KEY_LEN, 16),
            (SrtpParam::SRTCP_AUTH_ALG, 0),
            (SrtpParam::SRTCP_AUTH_ALG, 2),
            (SrtpParam::FEC_ORDER, 1),
            (SrtpParam::PREFIX_LEN, 4),
            (SrtpParam::SRTP_ENCRYPTION, 2),
            (SrtpParam::TAG_LEN, 21),
            (SrtpParam::AEAD_TAG_LEN, 8),
            (SrtpParam(21), 0),
        ] {
            assert_eq!(policy(&[(kind, &[value])]), Err(UNSUPPORTED), "{kind}");
        }
    }

    #[test]
    fn rcc_is_read_from_either_authentication_parameter_and_the_special_one_wins() {
        let read =
            |params: &[(SrtpParam, &[u8])]| policy(params).map(|profile| profile.to_string());
        let gcm = (SrtpParam::ENCRYPTION_ALG, &[6][..]);
        let (general, special) = (SrtpParam::AUTH_ALG, SrtpParam::SRTP_AUTH_ALG);
        let (m1, m2, m3) = (&[2][..], &[3][..], &[4][..]);
        let rate = SrtpParam::ROC_RATE;
        let fourteen = (SrtpParam::SRTP_TAG_LEN, &[14][..]);
        for (params, expected) in [
            (
                &[(general, m2), (rate, &[0, 64][..]), fourteen][..],
                "AES_CM_128_HMAC_SHA1_80+RCCm2:64",
            ),
            (&[(general, m1), (special, m2), fourteen], "AES_CM_128_HMAC_SHA1_80+RCCm2:1"),
            (
                &[(special, m1), (rate, &[0xff, 0xff][..]), fourteen],
                "AES_CM_128_HMAC_SHA1_80+RCCm1:65535",
            ),
            (&[(special, m3), (rate, &[7][..])], "AES_CM_128_HMAC_SHA1_80+RCCm3:7"),
            (&[gcm, (general, m3)], "AEAD_AES_128_GCM+RCCm3:1"),
            (&[gcm, (special, m3), (SrtpParam::SRTP_AUTH, &[0][..])], "AEAD_AES_128_GCM+RCCm3:1"),
        ] {
            assert_eq!(read(params).as_deref(), Ok(expected), "{params:?}");
        }
        for params in [
            &[(special, m2), (rate, &[0, 0][..]), fourteen][..],
            &[(special, m2), (rate, &[1, 0, 0][..]), fourteen],
            &[(special, m2), (SrtpParam::SRTP_TAG_LEN, &[4][..])],
            &[(special, m2), (SrtpParam::SRTP_AUTH, &[0][..]), fourteen],
            &[(special, m3), fourteen],
            &[gcm, (special, m1), fourteen],
        ] {
            assert_eq!(read(params), Err(UNSUPPORTED), "{params:?}");
        }
    }

    #[test]
    fn a_profile_that_receivers_would_read_as_another_is_not_written() {
        for profile in [
            Profile::default().with_mki_len(4),
            Profile::default().with_kdr(3),
            Profile { srtcp_tag_len: 10, ..Profile::AEAD_AES_128_GCM },
        ] {
            let error = encode(0, &profile).unwrap_err().to_string();
            assert!(error.contains("cannot express"), "{error}");
        }
    }
}
