//! What a crypto session is protected with: cipher, tag lengths, MKI length, derivation rate, RCC.
//!
//! A [`Profile`] is plain data. It comes from the SP payload of an MSK message
//! ([`crate::keys`]), from SDP, or from a name on the command line.

use std::{fmt, str::FromStr};

use crate::{error::Error, ids::Seq};

/// Cipher and authentication transform of SRTP and SRTCP.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Cipher {
    /// No encryption; HMAC-SHA1 authentication (RFC 3711 §4.1.3).
    Null,
    /// AES-128 in counter mode; HMAC-SHA1 (RFC 3711 §4.1.1).
    AesCm128,
    /// AES-192 in counter mode; HMAC-SHA1 (RFC 6188).
    AesCm192,
    /// AES-256 in counter mode; HMAC-SHA1 (RFC 6188).
    AesCm256,
    /// AEAD_AES_128_GCM (RFC 7714).
    AesGcm128,
    /// AEAD_AES_256_GCM (RFC 7714).
    AesGcm256,
}

impl Cipher {
    /// Length of master key and session encryption key in octets.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Null | Self::AesCm128 | Self::AesGcm128 => 16,
            Self::AesCm192 => 24,
            Self::AesCm256 | Self::AesGcm256 => 32,
        }
    }

    /// Length of master salt and session salt in octets: 14, or 12 for GCM (RFC 7714 §12).
    #[must_use]
    pub const fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Whether encryption and authentication are one transform.
    #[must_use]
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::AesGcm128 | Self::AesGcm256)
    }
}

/// Where the rollover counter travels in the packets (RFC 4771 §2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RccMode {
    /// ROC and MAC on every R-th packet, no tag on the others.
    M1,
    /// ROC and MAC on every R-th packet, MAC on the others.
    M2,
    /// ROC alone on every R-th packet, no MAC anywhere.
    M3,
}

/// ROC-carrying transform: mode and rate R (RFC 4771). For SRTP alone; SRTCP stays as it is.
///
/// What nothing authenticates (mode 1 between the packets that carry the counter, mode 3 without
/// AEAD) is delivered marked as such; [`crate::guide::threat_model`] says what it cannot promise.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Rcc {
    /// Which packets carry what.
    pub mode: RccMode,
    /// R: packets with `SEQ mod R = 0` carry the ROC. Never zero.
    pub rate: u16,
}

impl Rcc {
    /// Octets of the rollover counter in the tag field.
    pub(crate) const ROC_LEN: u8 = 4;

    /// Whether the packet with this sequence number carries the rollover counter.
    #[must_use]
    pub const fn carries_roc(self, seq: Seq) -> bool {
        seq.0.is_multiple_of(self.rate)
    }
}

impl fmt::Display for Rcc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            RccMode::M1 => "RCCm1",
            RccMode::M2 => "RCCm2",
            RccMode::M3 => "RCCm3",
        };
        write!(f, "{mode}:{}", self.rate)
    }
}

/// Reads what [`Rcc`] displays: `RCCm2:64`, or `RCCm2` for a rate of 1.
impl FromStr for Rcc {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (mode, rate) = text.split_once(':').unwrap_or((text, "1"));
        let mode = match mode.to_ascii_lowercase().as_str() {
            "rccm1" => Some(RccMode::M1),
            "rccm2" => Some(RccMode::M2),
            "rccm3" => Some(RccMode::M3),
            _ => None,
        };
        let rate = rate.parse().ok().filter(|rate| *rate > 0);
        mode.zip(rate).map(|(mode, rate)| Self { mode, rate }).ok_or_else(|| {
            Error::invalid(format!(
                "{text:?} is no ROC-carrying transform; write RCCm1, RCCm2 or RCCm3, and the rate \
                 1 to 65535 behind a colon, as in RCCm2:64"
            ))
        })
    }
}

/// Parameters of one crypto session, fixed for the life of a key (RFC 3711 §3.2.1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Profile {
    /// Cipher, which also decides the authentication transform.
    pub cipher: Cipher,
    /// Octets of the SRTP tag field: 0 to 20; for GCM 0 (its tag is part of the ciphertext). With RCC
    /// the 4 octets of the rollover counter are counted in (RFC 4771 §4).
    pub srtp_tag_len: u8,
    /// Octets of the SRTCP tag field. 10 unless a peer is known to differ (RFC 3711 §5.2).
    pub srtcp_tag_len: u8,
    /// Octets of the MKI in every packet, 0 for none. MBMS uses 6.
    pub mki_len: u8,
    /// Key derivation rate: 0, or a power of two up to 2^24 (RFC 3711 §4.3.1).
    pub kdr: u32,
    /// Whether SRTP payloads are encrypted.
    pub encrypt_srtp: bool,
    /// Whether SRTCP is encrypted by a sender (the E flag tells a receiver).
    pub encrypt_srtcp: bool,
    /// ROC-carrying transform, if any.
    pub rcc: Option<Rcc>,
}

impl Profile {
    /// AES_CM_128_HMAC_SHA1_80 with the six-octet MKI of MBMS: the default.
    pub const AES_CM_128_HMAC_SHA1_80: Self = Self::new(Cipher::AesCm128, 10);
    /// AES_CM_128_HMAC_SHA1_32; SRTCP keeps 80 bits (RFC 3711 §5.2).
    pub const AES_CM_128_HMAC_SHA1_32: Self = Self::new(Cipher::AesCm128, 4);
    /// AES_192_CM_HMAC_SHA1_80.
    pub const AES_192_CM_HMAC_SHA1_80: Self = Self::new(Cipher::AesCm192, 10);
    /// AES_192_CM_HMAC_SHA1_32.
    pub const AES_192_CM_HMAC_SHA1_32: Self = Self::new(Cipher::AesCm192, 4);
    /// AES_256_CM_HMAC_SHA1_80.
    pub const AES_256_CM_HMAC_SHA1_80: Self = Self::new(Cipher::AesCm256, 10);
    /// AES_256_CM_HMAC_SHA1_32.
    pub const AES_256_CM_HMAC_SHA1_32: Self = Self::new(Cipher::AesCm256, 4);
    /// NULL cipher with HMAC-SHA1-80.
    pub const NULL_HMAC_SHA1_80: Self = Self::new(Cipher::Null, 10);
    /// NULL cipher with HMAC-SHA1-32.
    pub const NULL_HMAC_SHA1_32: Self = Self::new(Cipher::Null, 4);
    /// AEAD_AES_128_GCM.
    pub const AEAD_AES_128_GCM: Self = Self::new(Cipher::AesGcm128, 0);
    /// AEAD_AES_256_GCM.
    pub const AEAD_AES_256_GCM: Self = Self::new(Cipher::AesGcm256, 0);

    /// Every profile with a name, in the order of the table of suites.
    pub const NAMED: &'static [(&'static str, Self)] = &[
        ("AES_CM_128_HMAC_SHA1_80", Self::AES_CM_128_HMAC_SHA1_80),
        ("AES_CM_128_HMAC_SHA1_32", Self::AES_CM_128_HMAC_SHA1_32),
        ("AES_192_CM_HMAC_SHA1_80", Self::AES_192_CM_HMAC_SHA1_80),
        ("AES_192_CM_HMAC_SHA1_32", Self::AES_192_CM_HMAC_SHA1_32),
        ("AES_256_CM_HMAC_SHA1_80", Self::AES_256_CM_HMAC_SHA1_80),
        ("AES_256_CM_HMAC_SHA1_32", Self::AES_256_CM_HMAC_SHA1_32),
        ("NULL_HMAC_SHA1_80", Self::NULL_HMAC_SHA1_80),
        ("NULL_HMAC_SHA1_32", Self::NULL_HMAC_SHA1_32),
        ("AEAD_AES_128_GCM", Self::AEAD_AES_128_GCM),
        ("AEAD_AES_256_GCM", Self::AEAD_AES_256_GCM),
    ];

    const fn new(cipher: Cipher, srtp_tag_len: u8) -> Self {
        Self {
            cipher,
            srtp_tag_len,
            //= RFC 3711 §5.2: SRTCP never uses less than 80 bits, whatever the SRTP tag
            srtcp_tag_len: if cipher.is_aead() { 0 } else { 10 },
            mki_len: 6,
            kdr: 0,
            encrypt_srtp: !matches!(cipher, Cipher::Null),
            encrypt_srtcp: !matches!(cipher, Cipher::Null),
            rcc: None,
        }
    }

    /// The profile with another MKI length; 0 means that packets carry none.
    #[must_use]
    pub const fn with_mki_len(self, mki_len: u8) -> Self {
        Self { mki_len, ..self }
    }

    /// The profile with another key derivation rate.
    #[must_use]
    pub const fn with_kdr(self, kdr: u32) -> Self {
        Self { kdr, ..self }
    }

    /// The profile with the ROC-carrying transform. The tag field grows by the rollover counter, which
    /// makes 14 octets of the usual 10; in mode 3 it holds nothing else.
    #[must_use]
    pub const fn with_rcc(self, rcc: Rcc) -> Self {
        let mac_len = match rcc.mode {
            RccMode::M1 | RccMode::M2 => self.srtp_tag_len,
            RccMode::M3 => 0,
        };
        Self { srtp_tag_len: mac_len + Rcc::ROC_LEN, rcc: Some(rcc), ..self }
    }

    /// Reads what a profile displays: a suite's name, or that and a ROC-carrying transform behind a
    /// plus sign, as in `AES_CM_128_HMAC_SHA1_80+RCCm2:64`. Case does not matter.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the list of names, or what [`Profile::validate`] finds.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        let Some((suite, rcc)) = name.split_once('+') else { return Self::of_suite(name) };
        let profile = Self::of_suite(suite)?.with_rcc(rcc.parse()?);
        profile.validate()?;
        Ok(profile)
    }

    /// Looks a suite up by its name in SDP (RFC 4568 §6.2), case-insensitively.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the list of names.
    pub fn of_suite(name: &str) -> Result<Self, Error> {
        Self::NAMED.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, p)| *p).ok_or_else(
            || {
                let names: Vec<_> = Self::NAMED.iter().map(|(n, _)| *n).collect();
                Error::invalid(format!("unknown profile {name:?}; one of {}", names.join(", ")))
            },
        )
    }

    /// The suite's name, or `None` if the parameters are no named suite's (MKI length and
    /// derivation rate aside).
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        Self::NAMED
            .iter()
            .find(|(_, p)| p.with_mki_len(self.mki_len).with_kdr(self.kdr) == *self)
            .map(|(n, _)| *n)
    }

    /// The name of the suite that [`Self::with_rcc`] made this profile of. Mode 3 leaves nothing of the
    /// tag length; the first suite that it fits stands for all.
    fn suite_of(&self, rcc: Rcc) -> Option<&'static str> {
        let fits = |suite: &Self| {
            suite.with_mki_len(self.mki_len).with_kdr(self.kdr).with_rcc(rcc) == *self
        };
        Self::NAMED.iter().find(|(_, suite)| fits(suite)).map(|(name, _)| *name)
    }

    /// Octets of the SRTP tag field of the packet with this sequence number (RFC 4771 §2).
    #[must_use]
    pub const fn tag_len_at(&self, seq: Seq) -> usize {
        let full = self.srtp_tag_len as usize;
        match self.rcc {
            None | Some(Rcc { mode: RccMode::M2, .. }) => full,
            Some(rcc) if rcc.carries_roc(seq) => full,
            Some(_) => 0,
        }
    }

    /// Whether SRTP packets are authenticated, those that carry the rollover counter or the others.
    pub(crate) const fn authenticates(&self, carries_roc: bool) -> bool {
        match self.rcc {
            _ if self.cipher.is_aead() => true,
            None => self.srtp_tag_len > 0,
            Some(Rcc { mode: RccMode::M1, .. }) => carries_roc,
            Some(Rcc { mode: RccMode::M2, .. }) => true,
            Some(Rcc { mode: RccMode::M3, .. }) => false,
        }
    }

    /// Octets a protected RTP packet is longer than the plain one, RCC's shorter packets aside.
    #[must_use]
    pub const fn srtp_overhead(&self) -> usize {
        self.srtp_tag_len as usize + self.mki_len as usize + self.aead_tag_len()
    }

    /// Octets of the AEAD tag inside the ciphertext (RFC 7714 §13.2).
    #[must_use]
    pub const fn aead_tag_len(&self) -> usize {
        if self.cipher.is_aead() { 16 } else { 0 }
    }

    /// Checks what the types cannot express.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the field.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |text: String| Err(Error::invalid(text));
        if self.kdr != 0 && (!self.kdr.is_power_of_two() || self.kdr > 1 << 24) {
            return bad(format!("key derivation rate {} is no power of two up to 2^24", self.kdr));
        }
        if self.srtp_tag_len > 20 || self.srtcp_tag_len > 20 {
            return bad("an HMAC-SHA1 tag has at most 20 octets".to_owned());
        }
        if !self.cipher.is_aead() && self.srtcp_tag_len == 0 {
            //= RFC 3711 §3.4: SRTCP is always authenticated
            return bad("SRTCP needs an authentication tag".to_owned());
        }
        if usize::from(self.mki_len) > crate::ids::Mki::MAX_LEN {
            return bad(format!("an MKI has at most {} octets", crate::ids::Mki::MAX_LEN));
        }
        match self.rcc {
            Some(Rcc { rate: 0, .. }) => bad("the ROC transmission rate is never 0".to_owned()),
            Some(Rcc { mode: RccMode::M1 | RccMode::M2, .. }) if self.cipher.is_aead() => {
                //= RFC 7714 §7.1: beside AEAD the tag field holds no second MAC
                bad("with GCM only mode 3 of RCC makes sense".to_owned())
            }
            Some(Rcc { mode: RccMode::M3, .. }) if self.srtp_tag_len != 4 => {
                bad("RCC mode 3 has a tag field of 4 octets".to_owned())
            }
            Some(Rcc { mode: RccMode::M1 | RccMode::M2, .. }) if self.srtp_tag_len < 5 => {
                bad("RCC modes 1 and 2 need more than 4 octets of tag".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::AES_CM_128_HMAC_SHA1_80
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (suite, rcc) = match self.rcc {
            Some(rcc) => (self.suite_of(rcc), Some(rcc)),
            None => (self.name(), None),
        };
        match (suite, rcc) {
            (Some(name), None) => f.write_str(name),
            (Some(name), Some(rcc)) => write!(f, "{name}+{rcc}"),
            (None, _) => write!(f, "{self:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_profile() {
        for (name, profile) in Profile::NAMED {
            assert_eq!(Profile::from_name(&name.to_lowercase()).unwrap(), *profile);
            assert_eq!(profile.with_mki_len(0).name(), Some(*name));
            profile.validate().unwrap();
        }
        assert!(Profile::from_name("ROT13").unwrap_err().to_string().contains("AEAD_AES_128_GCM"));
    }

    #[test]
    fn rcc_tag_length_follows_the_sequence_number() {
        let rcc = |mode, len| Profile {
            srtp_tag_len: len,
            rcc: Some(Rcc { mode, rate: 64 }),
            ..Profile::default()
        };
        let lens = |p: Profile| (p.tag_len_at(Seq(64)), p.tag_len_at(Seq(65)));
        assert_eq!(lens(rcc(RccMode::M1, 14)), (14, 0));
        assert_eq!(lens(rcc(RccMode::M2, 14)), (14, 14));
        assert_eq!(lens(rcc(RccMode::M3, 4)), (4, 0));
        assert_eq!(lens(Profile::default()), (10, 10));
    }

    #[test]
    fn names_with_rcc_lead_back_to_their_profile() {
        for name in [
            "AES_CM_128_HMAC_SHA1_80+RCCm1:64",
            "AES_CM_128_HMAC_SHA1_32+RCCm2:1",
            "AES_256_CM_HMAC_SHA1_80+RCCm2:65535",
            "NULL_HMAC_SHA1_80+RCCm3:10",
            "AEAD_AES_128_GCM+RCCm3:300",
        ] {
            assert_eq!(Profile::from_name(name).unwrap().to_string(), name);
        }
        let default_rate = Profile::from_name("aes_cm_128_hmac_sha1_80+rccm2").unwrap();
        assert_eq!(default_rate.rcc, Some(Rcc { mode: RccMode::M2, rate: 1 }));
        assert_eq!(default_rate.srtp_tag_len, 14);
        for wrong in ["+RCCm4", "+RCCm2:0", "+RCCm2:65536", "+RCCm2:", "+", "+2"] {
            assert!(Profile::from_name(&format!("AES_CM_128_HMAC_SHA1_80{wrong}")).is_err());
        }
        assert!(Profile::from_name("AEAD_AES_128_GCM+RCCm2:4").is_err());
    }

    #[test]
    fn impossible_parameters_are_named() {
        let message = |p: Profile| p.validate().unwrap_err().to_string();
        assert!(message(Profile::default().with_kdr(3)).contains("rate 3"));
        assert!(message(Profile { srtcp_tag_len: 0, ..Profile::default() }).contains("SRTCP"));
        let rcc = |profile: Profile, mode, rate, srtp_tag_len| {
            Profile { srtp_tag_len, ..profile.with_rcc(Rcc { mode, rate }) }.validate().is_ok()
        };
        let cm = Profile::default();
        assert!([5, 14, 20].iter().all(|len| rcc(cm, RccMode::M1, 1, *len)));
        assert!([0, 4, 21].iter().all(|len| !rcc(cm, RccMode::M2, 1, *len)));
        assert!(rcc(cm, RccMode::M3, u16::MAX, 4) && !rcc(cm, RccMode::M3, 1, 5));
        assert!(!rcc(cm, RccMode::M2, 0, 14));
        let gcm = Profile::AEAD_AES_128_GCM;
        assert!(rcc(gcm, RccMode::M3, 1, 4) && !rcc(gcm, RccMode::M1, 1, 14));
    }
}
