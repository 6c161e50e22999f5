//! `webrtc-srtp`: always there, but without MKI, NULL cipher or AES-192, and with one key a context.

use bytes::Bytes;
use webrtc_srtp::{
    Error,
    context::Context,
    option::{srtcp_replay_protection, srtp_replay_protection},
    protection_profile::ProtectionProfile,
};

use crate::{Peer, Refused, Setup, Suite, mki, walk};

/// `webrtc-srtp` with the MKI handled by hand.
///
/// Each key has contexts of its own, so its rollover counter does not see packets under another
/// key: [`Setup::roc`] is where each of them starts.
pub struct WebrtcSrtp {
    setup: Setup,
    keys: Vec<Contexts>,
    sending: usize,
}

impl WebrtcSrtp {
    /// Highest [`Setup::roc`]: there is no way to set it, so it is walked to, four packets a turn.
    pub const MAX_ROC: u32 = 1 << 16;

    /// Builds both directions.
    ///
    /// # Errors
    /// [`Refused::Other`] for what the crate cannot do, and for wrong lengths.
    pub fn new(setup: &Setup) -> Result<Self, Refused> {
        setup.validate()?;
        if setup.roc > Self::MAX_ROC {
            return Err(Refused::other("webrtc-srtp cannot be set to this rollover counter"));
        }
        if !setup.encrypt_srtcp {
            return Err(Refused::other("webrtc-srtp always encrypts SRTCP"));
        }
        let keys = (0..setup.keys.len())
            .map(|place| Contexts::new(setup, place))
            .collect::<Result<_, _>>()?;
        Ok(Self { setup: setup.clone(), keys, sending: 0 })
    }

    /// Opens a packet as the crate does, but for the MKI, which is cut out of `packet` in place:
    /// what a measurement calls.
    ///
    /// # Errors
    /// Why the packet was not accepted.
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<Bytes, Refused> {
        let tag_len = self.setup.suite.srtp_tag_len();
        let (key, len) = select(&self.setup, packet, tag_len)?;
        let contexts = &mut self.keys[key];
        contexts.walk_receiver(&self.setup, key, packet)?;
        contexts.receiver.decrypt_rtp(&packet[..len]).map_err(refused)
    }
}

impl Peer for WebrtcSrtp {
    fn name(&self) -> String {
        "webrtc-srtp 0.17".to_owned()
    }

    fn use_key(&mut self, place: usize) -> Result<(), Refused> {
        if place >= self.keys.len() {
            return Err(Refused::Other(format!("no master key at place {place}")));
        }
        self.sending = place;
        Ok(())
    }

    fn protect_rtp(&mut self, plain: &[u8]) -> Result<Vec<u8>, Refused> {
        let contexts = &mut self.keys[self.sending];
        contexts.walk_sender(&self.setup, plain)?;
        let mut packet = Vec::from(contexts.sender.encrypt_rtp(plain).map_err(refused)?);
        let mki = &self.setup.keys[self.sending].mki;
        mki::insert(&mut packet, self.setup.suite.srtp_tag_len(), mki);
        Ok(packet)
    }

    fn unprotect_rtp(&mut self, protected: &[u8]) -> Result<Vec<u8>, Refused> {
        self.open_rtp(&mut protected.to_vec()).map(Vec::from)
    }

    fn protect_rtcp(&mut self, plain: &[u8]) -> Result<Vec<u8>, Refused> {
        let sender = &mut self.keys[self.sending].sender;
        let mut packet = Vec::from(sender.encrypt_rtcp(plain).map_err(refused)?);
        let mki = &self.setup.keys[self.sending].mki;
        mki::insert(&mut packet, self.setup.suite.srtcp_tag_len(), mki);
        Ok(packet)
    }

    fn unprotect_rtcp(&mut self, protected: &[u8]) -> Result<Vec<u8>, Refused> {
        let suite = self.setup.suite;
        let mut packet = protected.to_vec();
        let (key, len) = select(&self.setup, &mut packet, suite.srtcp_tag_len())?;
        // The crate panics on less.
        let aead_tag = if suite.is_aead() { 16 } else { 0 };
        if len < 8 + aead_tag + 4 + suite.srtcp_tag_len() {
            return Err(Refused::other("too short"));
        }
        self.keys[key].receiver.decrypt_rtcp(&packet[..len]).map(Vec::from).map_err(refused)
    }
}

/// The contexts of one key; the crate wants one for each direction.
struct Contexts {
    sender: Context,
    receiver: Context,
    walked_sender: Vec<u32>,
    walked_receiver: Vec<u32>,
}

impl Contexts {
    fn new(setup: &Setup, place: usize) -> Result<Self, Refused> {
        let mut sender = context(setup, place)?;
        for _ in 0..setup.srtcp_sent {
            sender.encrypt_rtcp(&walk::empty_report(setup.ssrc)).map_err(refused)?;
        }
        let receiver = context(setup, place)?;
        Ok(Self { sender, receiver, walked_sender: Vec::new(), walked_receiver: Vec::new() })
    }

    /// Before a stream's first packet: brings its sender to the rollover counter.
    fn walk_sender(&mut self, setup: &Setup, plain: &[u8]) -> Result<(), Refused> {
        if let Some((seq, ssrc)) = first_sight(setup.roc, &mut self.walked_sender, plain) {
            for seq in walk::sequence_numbers(setup.roc, seq) {
                self.sender.encrypt_rtp(&walk::empty_packet(ssrc, seq)).map_err(refused)?;
            }
        }
        Ok(())
    }

    /// The same for its receiver, which only moves for packets that authenticate.
    fn walk_receiver(&mut self, setup: &Setup, place: usize, packet: &[u8]) -> Result<(), Refused> {
        if let Some((seq, ssrc)) = first_sight(setup.roc, &mut self.walked_receiver, packet) {
            let mut sender = context(setup, place)?;
            for seq in walk::sequence_numbers(setup.roc, seq) {
                let protected = sender.encrypt_rtp(&walk::empty_packet(ssrc, seq));
                self.receiver.decrypt_rtp(&protected.map_err(refused)?).map_err(refused)?;
            }
        }
        Ok(())
    }
}

/// Sequence number and SSRC of a packet whose stream has still to be walked to `roc`.
fn first_sight(roc: u32, walked: &mut Vec<u32>, packet: &[u8]) -> Option<(u16, u32)> {
    if roc == 0 {
        return None;
    }
    let (seq, ssrc) = walk::seq_and_ssrc(packet)?;
    if walked.contains(&ssrc) {
        return None;
    }
    walked.push(ssrc);
    Some((seq, ssrc))
}

/// The key that a packet names, and the packet's length once the MKI is cut out.
fn select(setup: &Setup, packet: &mut [u8], tag_len: usize) -> Result<(usize, usize), Refused> {
    let mki_len = setup.keys[0].mki.len();
    let mki = mki::find(packet, tag_len, mki_len).ok_or_else(|| Refused::other("too short"))?;
    let key = setup.keys.iter().position(|key| key.mki == mki).ok_or(Refused::UnknownMki)?;
    let len = mki::remove(packet, tag_len, mki_len).ok_or_else(|| Refused::other("too short"))?;
    Ok((key, len))
}

fn context(setup: &Setup, place: usize) -> Result<Context, Refused> {
    let key = &setup.keys[place];
    Context::new(
        &key.key,
        &key.salt,
        profile(setup.suite)?,
        Some(srtp_replay_protection(setup.window)),
        Some(srtcp_replay_protection(setup.window)),
    )
    .map_err(Refused::other)
}

fn profile(suite: Suite) -> Result<ProtectionProfile, Refused> {
    Ok(match suite {
        Suite::AesCm128Sha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128Sha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Suite::AesCm256Sha1_80 => ProtectionProfile::Aes256CmHmacSha1_80,
        Suite::AesCm256Sha1_32 => ProtectionProfile::Aes256CmHmacSha1_32,
        Suite::AesGcm128 => ProtectionProfile::AeadAes128Gcm,
        Suite::AesGcm256 => ProtectionProfile::AeadAes256Gcm,
        _ => return Err(Refused::Other(format!("webrtc-srtp has no {suite}"))),
    })
}

fn refused(error: Error) -> Refused {
    match error {
        Error::RtpFailedToVerifyAuthTag
        | Error::RtcpFailedToVerifyAuthTag
        | Error::ErrFailedToVerifyAuthTag
        | Error::AesGcm(_) => Refused::Auth,
        Error::SrtpSsrcDuplicated(..) | Error::SrtcpSsrcDuplicated(..) => Refused::Replay,
        other => Refused::other(other),
    }
}
