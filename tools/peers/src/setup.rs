//! What a peer is built from, and how it refuses.

use std::fmt;

use crate::{LibSrtp, Peer, WebrtcSrtp};

/// Cipher and authentication with the tag lengths of the named suites.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Suite {
    /// NULL cipher, 80-bit tag.
    NullSha1_80,
    /// NULL cipher, 32-bit tag.
    NullSha1_32,
    /// AES-128 counter mode, 80-bit tag.
    AesCm128Sha1_80,
    /// AES-128 counter mode, 32-bit tag.
    AesCm128Sha1_32,
    /// AES-192 counter mode, 80-bit tag.
    AesCm192Sha1_80,
    /// AES-192 counter mode, 32-bit tag.
    AesCm192Sha1_32,
    /// AES-256 counter mode, 80-bit tag.
    AesCm256Sha1_80,
    /// AES-256 counter mode, 32-bit tag.
    AesCm256Sha1_32,
    /// AEAD AES-128-GCM.
    AesGcm128,
    /// AEAD AES-256-GCM.
    AesGcm256,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Self; 10] = [
        Self::NullSha1_80,
        Self::NullSha1_32,
        Self::AesCm128Sha1_80,
        Self::AesCm128Sha1_32,
        Self::AesCm192Sha1_80,
        Self::AesCm192Sha1_32,
        Self::AesCm256Sha1_80,
        Self::AesCm256Sha1_32,
        Self::AesGcm128,
        Self::AesGcm256,
    ];

    /// The name in SDP (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14.2); the NULL suites have none
    /// there and are named alike.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NullSha1_80 => "NULL_HMAC_SHA1_80",
            Self::NullSha1_32 => "NULL_HMAC_SHA1_32",
            Self::AesCm128Sha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128Sha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm192Sha1_80 => "AES_192_CM_HMAC_SHA1_80",
            Self::AesCm192Sha1_32 => "AES_192_CM_HMAC_SHA1_32",
            Self::AesCm256Sha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256Sha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AesGcm128 => "AEAD_AES_128_GCM",
            Self::AesGcm256 => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of this name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Octets of the master key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm192Sha1_80 | Self::AesCm192Sha1_32 => 24,
            Self::AesCm256Sha1_80 | Self::AesCm256Sha1_32 | Self::AesGcm256 => 32,
            _ => 16,
        }
    }

    /// Octets of the master salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Octets of the tag field behind the MKI of an SRTP packet; none for GCM, whose tag belongs to
    /// the ciphertext (RFC 7714 §8.2).
    #[must_use]
    pub const fn srtp_tag_len(self) -> usize {
        match self {
            Self::AesGcm128 | Self::AesGcm256 => 0,
            Self::NullSha1_32
            | Self::AesCm128Sha1_32
            | Self::AesCm192Sha1_32
            | Self::AesCm256Sha1_32 => 4,
            _ => 10,
        }
    }

    /// Octets of the tag field behind the MKI of an SRTCP packet: never below 80 bits
    /// (RFC 3711 §5.2).
    #[must_use]
    pub const fn srtcp_tag_len(self) -> usize {
        if self.is_aead() { 0 } else { 10 }
    }

    /// Whether encryption and authentication are one transform.
    #[must_use]
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::AesGcm128 | Self::AesGcm256)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A master key of a test session, with the identifier that packets under it carry.
#[derive(Clone)]
pub struct MasterKey {
    /// [`Suite::key_len`] octets.
    pub key: Vec<u8>,
    /// [`Suite::salt_len`] octets.
    pub salt: Vec<u8>,
    /// Octets of the MKI; empty for none. All keys of a setup have the same length.
    pub mki: Vec<u8>,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey {{ mki: {:02x?}, .. }}", self.mki)
    }
}

/// What both ends of a session agree on.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Cipher and tag lengths.
    pub suite: Suite,
    /// At least one master key.
    pub keys: Vec<MasterKey>,
    /// The stream. WebRTC's implementations take any other as well.
    pub ssrc: u32,
    /// Rollover counter of the first packet in either direction.
    pub roc: u32,
    /// SRTCP packets sent so far; the next one sent has the index after this.
    pub srtcp_sent: u32,
    /// Whether SRTCP is encrypted (the E flag).
    pub encrypt_srtcp: bool,
    /// Packets that the replay window spans.
    pub window: usize,
}

impl Setup {
    /// One key, ROC 0, SRTCP encrypted unless the cipher is NULL, a replay window of 128.
    #[must_use]
    pub fn new(suite: Suite, key: &[u8], salt: &[u8], mki: &[u8], ssrc: u32) -> Self {
        let key = MasterKey { key: key.to_vec(), salt: salt.to_vec(), mki: mki.to_vec() };
        Self {
            suite,
            keys: vec![key],
            ssrc,
            roc: 0,
            srtcp_sent: 0,
            encrypt_srtcp: !matches!(suite, Suite::NullSha1_80 | Suite::NullSha1_32),
            window: 128,
        }
    }

    /// Checks the lengths that the types cannot express.
    ///
    /// # Errors
    /// [`Refused::Other`] that names the field.
    pub fn validate(&self) -> Result<(), Refused> {
        let first = self.keys.first().ok_or_else(|| Refused::other("no master key"))?;
        for key in &self.keys {
            let lens = [
                ("master key", key.key.len(), self.suite.key_len()),
                ("master salt", key.salt.len(), self.suite.salt_len()),
                ("MKI", key.mki.len(), first.mki.len()),
            ];
            if let Some((what, has, needs)) = lens.into_iter().find(|(_, has, needs)| has != needs)
            {
                let suite = self.suite;
                return Err(Refused::Other(format!(
                    "{what} has {has} octets, {suite} needs {needs}"
                )));
            }
        }
        Ok(())
    }
}

/// Which implementation, where that is a choice made at run time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Implementation {
    /// The system's libsrtp2.
    LibSrtp,
    /// The crate `webrtc-srtp`.
    WebrtcSrtp,
}

impl Implementation {
    /// Builds a peer.
    ///
    /// # Errors
    /// What the implementation cannot do, or that it is absent.
    pub fn peer(self, setup: &Setup) -> Result<Box<dyn Peer>, Refused> {
        Ok(match self {
            Self::LibSrtp => Box::new(LibSrtp::new(setup)?),
            Self::WebrtcSrtp => Box::new(WebrtcSrtp::new(setup)?),
        })
    }
}

/// Why a peer did not accept a packet or a setup.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refused {
    /// The tag does not match.
    Auth,
    /// Received before, or older than the window.
    Replay,
    /// The MKI names no key of the setup.
    UnknownMki,
    /// Anything else, in the implementation's words.
    Other(String),
}

impl Refused {
    pub(crate) fn other(text: impl fmt::Display) -> Self {
        Self::Other(text.to_string())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auth => f.write_str("authentication failed"),
            Self::Replay => f.write_str("replayed or too old"),
            Self::UnknownMki => f.write_str("unknown MKI"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_wrong_length_is_named() {
        let setup = Setup::new(Suite::AesGcm256, &[0; 16], &[0; 12], &[], 1);
        let text = setup.validate().unwrap_err().to_string();
        assert_eq!(text, "master key has 16 octets, AEAD_AES_256_GCM needs 32");
    }

    #[test]
    fn names_lead_back_to_their_suite() {
        for suite in Suite::ALL {
            assert_eq!(Suite::from_name(&suite.name().to_lowercase()), Some(suite));
        }
        assert_eq!(Suite::from_name("ROT13"), None);
    }
}
