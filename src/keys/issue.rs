//! The issuing side of the key messages: MSK and MTK messages made, verification messages checked.

use crate::{
    ids::{CsbId, KeyDomainId, MskId, MtkId},
    keys::{CryptoSession, Interval, Msk, Mtk, Muk, MukId},
    srtp::Profile,
};

/// Contents of one MSK message, from the key server to one client (TS 33.246 §6.4.5.1).
#[derive(Debug)]
pub struct MskIssue<'a> {
    /// Key domain of the group.
    pub domain: KeyDomainId,
    /// Which MSK this is.
    pub msk_id: MskId,
    /// The key and its RAND.
    pub msk: &'a Msk,
    /// MTK IDs it may carry.
    pub interval: Interval,
    /// Counter of the T payload: strictly rising per MUK.
    pub counter: u32,
    /// Crypto session bundle; 0 in MBMS.
    pub csb: CsbId,
    /// Whose MUK protects the message.
    pub muk_id: &'a MukId,
    /// V flag: ask for a verification message.
    pub verify: bool,
    /// SRTP policy number 0 of the message's SP payload.
    pub profile: Profile,
    /// SRTP-ID map; SSRC 0 is the wildcard.
    pub sessions: &'a [CryptoSession],
    /// Protocol identifiers of the SDP offer, for EXT type 1 (RFC 4567 §4.1.4); `None` over UDP.
    pub sdp_ids: Option<&'a str>,
}

/// Contents of one MTK message, from the broadcaster to the group (TS 33.246 §6.4.5.3).
#[derive(Debug)]
pub struct MtkIssue<'a> {
    /// Key domain of the group.
    pub domain: KeyDomainId,
    /// The MSK that protects the message.
    pub msk_id: MskId,
    /// The number of the new traffic key.
    pub mtk_id: MtkId,
    /// Counter of the T payload: strictly rising per MSK.
    pub counter: u32,
    /// Crypto session bundle; 0 in MBMS.
    pub csb: CsbId,
    /// The MSK and its RAND.
    pub msk: &'a Msk,
    /// The traffic key.
    pub mtk: &'a Mtk,
}

/// Encodes, encrypts and authenticates an MSK message under the client's MUK.
#[must_use]
pub fn seal_msk(_issue: &MskIssue<'_>, _muk: &Muk) -> Vec<u8> {
    Vec::new()
}

/// An MSK message that asks the client to request the current MSK (solicited pull, K4).
#[must_use]
pub fn seal_solicited_pull(
    _domain: KeyDomainId,
    _key_group: u16,
    _counter: u32,
    _muk_id: &MukId,
    _muk: &Muk,
    _rand: &[u8],
) -> Vec<u8> {
    Vec::new()
}

/// Encodes, encrypts and authenticates an MTK message under the MSK.
#[must_use]
pub fn seal_mtk(_issue: &MtkIssue<'_>) -> Vec<u8> {
    Vec::new()
}

/// Checks a verification message (R_MESSAGE) against the MSK message that asked for it; returns
/// the counter it repeats.
///
/// # Errors
/// The verdict: malformed, wrong MAC, not a verification message.
pub fn open_verification(
    _message: &[u8],
    _msk_message_rand: &[u8],
    _muk_id: &MukId,
    _muk: &Muk,
) -> Result<u32, crate::Reject> {
    Err(crate::Reject::MikeyUnsupported)
}
