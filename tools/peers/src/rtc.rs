//! `rtc-srtp`: the sans-I/O sibling of `webrtc-srtp`, with the primitives of ring.

use std::sync::Arc;

use bytes::BytesMut;
use rtc_srtp::{
    context::Context,
    crypto::{self, RTCCryptoProvider},
    option::{srtcp_replay_protection, srtp_replay_protection},
    protection_profile::ProtectionProfile,
};

use crate::{Refused, Setup, Suite, mki};

/// `rtc-srtp` as a receiver of one key, with the MKI cut out by hand. It is here to be measured;
/// `webrtc-srtp`, whose wire code it shares, plays in the interop tests.
pub struct RtcSrtp {
    suite: Suite,
    mki: Vec<u8>,
    receiver: Context,
}

impl RtcSrtp {
    /// Builds the receiving direction.
    ///
    /// # Errors
    /// [`Refused::Other`] for what the crate cannot do: other suites than WebRTC's, a rollover
    /// counter to start from, more than one key.
    pub fn new(setup: &Setup) -> Result<Self, Refused> {
        setup.validate()?;
        let ([key], 0) = (setup.keys.as_slice(), setup.roc) else {
            return Err(Refused::other("one key, and a rollover counter of 0, is all it can do"));
        };
        let provider: Arc<dyn RTCCryptoProvider> =
            crypto::default_provider().map_err(Refused::other)?;
        let receiver = Context::new(
            &key.key,
            &key.salt,
            profile(setup.suite)?,
            Some(srtp_replay_protection(setup.window)),
            Some(srtcp_replay_protection(setup.window)),
            provider.crypto(),
        )
        .map_err(Refused::other)?;
        Ok(Self { suite: setup.suite, mki: key.mki.clone(), receiver })
    }

    /// Name and version, as a table prints it.
    #[must_use]
    pub fn name(&self) -> String {
        "rtc-srtp 0.21 (ring)".to_owned()
    }

    /// Opens a packet as the crate does, but for the MKI, which is cut out of `packet` in place.
    ///
    /// # Errors
    /// Why the packet was not accepted.
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<BytesMut, Refused> {
        let short = || Refused::other("too short");
        let (tag_len, mki_len) = (self.suite.srtp_tag_len(), self.mki.len());
        if mki::find(packet, tag_len, mki_len).ok_or_else(short)? != self.mki {
            return Err(Refused::UnknownMki);
        }
        let len = mki::remove(packet, tag_len, mki_len).ok_or_else(short)?;
        self.receiver.decrypt_rtp(&packet[..len]).map_err(Refused::other)
    }
}

fn profile(suite: Suite) -> Result<ProtectionProfile, Refused> {
    Ok(match suite {
        Suite::AesCm128Sha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128Sha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Suite::AesCm256Sha1_80 => ProtectionProfile::Aes256CmHmacSha1_80,
        Suite::AesCm256Sha1_32 => ProtectionProfile::Aes256CmHmacSha1_32,
        Suite::AesGcm128 => ProtectionProfile::AeadAes128Gcm,
        Suite::AesGcm256 => ProtectionProfile::AeadAes256Gcm,
        _ => return Err(Refused::Other(format!("rtc-srtp has no {suite}"))),
    })
}
