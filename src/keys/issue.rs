//! The issuing side of the key messages: MSK and MTK messages made, verification messages checked.

use zeroize::Zeroizing;

use super::{
    CryptoSession, Interval, Msk, Mtk, Muk, MukId, policy,
    protection::{Algorithms, MessageKeys},
};
use crate::{
    error::{Error, Reject},
    ids::{CsbId, KeyDomainId, MskId, MtkId},
    secret::SecretBytes,
    srtp::Profile,
    wire::mikey::{
        CsIdMapFields, DataType, Encoder, EncrAlg, HeaderFields, IdType, KeyData, KeyType, MacAlg,
        Message, SrtpIdRecord, Timestamp, Validity,
    },
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

/// Encodes, encrypts and authenticates an MSK message under the client's MUK. An interval that ends
/// before it starts revokes the MSK.
///
/// # Errors
/// [`Error::Invalid`] if no client would accept or understand the message: an MSK, RAND or identity of
/// the wrong length, Key Number 0, a profile or a map that the message cannot express.
pub fn seal_msk(issue: &MskIssue<'_>, muk: &Muk) -> Result<Vec<u8>, Error> {
    MskForm::new(&issue.profile, issue.sessions)?.seal(issue, muk)
}

/// What the MSK messages of a channel say alike, checked and encoded once for all its members.
#[derive(Debug)]
pub(crate) struct MskForm {
    records: Vec<SrtpIdRecord>,
    policy: Vec<u8>,
}

impl MskForm {
    /// # Errors
    /// As [`seal_msk`], on account of the profile or the map.
    pub(crate) fn new(profile: &Profile, sessions: &[CryptoSession]) -> Result<Self, Error> {
        if let Some(stray) = sessions.iter().find(|session| session.policy != POLICY) {
            let (ssrc, policy) = (stray.ssrc, stray.policy);
            return Err(Error::invalid(format!(
                "stream {ssrc} refers to policy {policy}, not {POLICY}"
            )));
        }
        let record =
            |s: &CryptoSession| SrtpIdRecord { policy: s.policy, ssrc: s.ssrc, roc: s.roc };
        let records = sessions.iter().map(record).collect();
        Ok(Self { records, policy: policy::encode(POLICY, profile)? })
    }

    /// Seals a message with the profile and map of this form, whatever those of `issue` are.
    ///
    /// # Errors
    /// As [`seal_msk`].
    pub(crate) fn seal(&self, issue: &MskIssue<'_>, muk: &Muk) -> Result<Vec<u8>, Error> {
        check_msk(issue.msk_id, issue.msk)?;
        let map = CsIdMapFields::SrtpId(&self.records);
        let mut encoder = msk_header(issue.csb, issue.verify, map);
        encoder.key_ids(issue.domain, issue.msk_id, None);
        if let Some(protocols) = issue.sdp_ids {
            encoder.sdp_ids(protocols);
        }
        let Msk { key, rand } = issue.msk;
        encoder.timestamp(Timestamp::Counter(issue.counter)).rand(rand);
        identities(&mut encoder, issue.muk_id)?;
        encoder.encoded_policy(&self.policy);
        //= K3: SEQl and SEQu are emitted with two octets
        let (from, to) = (issue.interval.low.0.to_be_bytes(), issue.interval.high.0.to_be_bytes());
        let validity = Validity::Interval { from: &from, to: &to };
        //= K12: the MSK travels as a TGK
        let key = key.expose();
        let key_data = KeyData { key_type: KeyType::TGK, key, salt: None, validity }.encode()?;
        let keys = MessageKeys::derive(muk.0.expose(), rand, issue.csb, Algorithms::MBMS)?;
        finish(encoder, &keys, issue.counter, key_data)
    }
}

/// An MSK message that asks the client to request the current MSK (solicited pull): Key Number 0 and
/// no key data (K4).
///
/// # Errors
/// [`Error::Invalid`] if RAND or an identity has the wrong length.
pub fn seal_solicited_pull(
    domain: KeyDomainId,
    key_group: u16,
    counter: u32,
    muk_id: &MukId,
    muk: &Muk,
    rand: &[u8],
) -> Result<Vec<u8>, Error> {
    check_rand(rand)?;
    let csb = CsbId(0);
    let mut encoder = msk_header(csb, false, CsIdMapFields::Empty);
    encoder.key_ids(domain, MskId { group: key_group, number: 0 }, None);
    encoder.timestamp(Timestamp::Counter(counter)).rand(rand);
    identities(&mut encoder, muk_id)?;
    let keys = MessageKeys::derive(muk.0.expose(), rand, csb, Algorithms::MBMS)?;
    finish(encoder, &keys, counter, Zeroizing::new(Vec::new()))
}

/// Encodes, encrypts and authenticates an MTK message under the MSK.
///
/// # Errors
/// [`Error::Invalid`] if no client would accept the message: an MSK or RAND of the wrong length, Key
/// Number 0, an empty MTK or salt.
pub fn seal_mtk(issue: &MtkIssue<'_>) -> Result<Vec<u8>, Error> {
    check_msk(issue.msk_id, issue.msk)?;
    let mtk = issue.mtk;
    if mtk.key.is_empty() || mtk.salt.as_ref().is_some_and(SecretBytes::is_empty) {
        return Err(Error::invalid("an MTK has a key, and a salt of some octets or none at all"));
    }
    let header = HeaderFields { csb: issue.csb, ..HeaderFields::default() };
    let mut encoder = Encoder::new(&header);
    encoder.key_ids(issue.domain, issue.msk_id, Some(issue.mtk_id));
    encoder.timestamp(Timestamp::Counter(issue.counter));
    let salt = mtk.salt.as_ref().map(SecretBytes::expose);
    //= K13: TEK+SALT for streaming
    let key_type = if salt.is_some() { KeyType::TEK_SALT } else { KeyType::TEK };
    let key = mtk.key.expose();
    let key_data = KeyData { key_type, key, salt, validity: Validity::Always }.encode()?;
    let Msk { key, rand } = issue.msk;
    //= TS 33.246 §6.4.5.3: the RAND is that of the MSK message
    let keys = MessageKeys::derive(key.expose(), rand, issue.csb, Algorithms::MBMS)?;
    finish(encoder, &keys, issue.counter, key_data)
}

/// Checks a verification message (R_MESSAGE) against the MSK message that asked for it; returns
/// the counter it repeats.
///
/// # Errors
/// [`Reject::MikeyMalformed`] or [`Reject::MikeyUnsupported`] if it is no verification message,
/// [`Reject::UnknownMuk`] if it names another client, [`Reject::KeyAuthFailed`] if its MAC does not
/// match.
pub fn open_verification(
    message: &[u8],
    msk_message_rand: &[u8],
    muk_id: &MukId,
    muk: &Muk,
) -> Result<u32, Reject> {
    let message = Message::parse(message)?;
    let header = message.header();
    if header.data_type != DataType::PRE_SHARED_VERIFICATION {
        return Err(Reject::MikeyUnsupported);
    }
    let counter = message.timestamp().and_then(|t| t.counter()).ok_or(Reject::MikeyMalformed)?;
    let verification = message.verification().ok_or(Reject::MikeyMalformed)?;
    if message.first_id().is_some_and(|idr| idr.data != muk_id.idr.as_bytes()) {
        return Err(Reject::UnknownMuk);
    }
    let algorithms = Algorithms { prf: header.prf, mac: verification.auth_alg, ..Algorithms::MBMS };
    //= RFC 3830 §5.2, M5: behind the message itself IDi, IDr and T are covered, sent or not
    let (idi, idr) = (muk_id.idi.as_bytes(), muk_id.idr.as_bytes());
    let covered = [message.without_mac(), idi, idr, &counter.to_be_bytes()];
    let (muk, proof) = (muk.0.expose(), (&covered[..], verification.mac));
    MessageKeys::derive_verified(muk, msk_message_rand, header.csb, algorithms, proof)?;
    Ok(counter)
}

fn msk_header(csb: CsbId, verify: bool, map: CsIdMapFields<'_>) -> Encoder {
    Encoder::new(&HeaderFields { csb, verify, map, ..HeaderFields::default() })
}

/// IDi and IDr (K15: an URI and a NAI).
fn identities(encoder: &mut Encoder, muk_id: &MukId) -> Result<(), Error> {
    if muk_id.idi.is_empty() || muk_id.idr.is_empty() {
        return Err(Error::invalid("an MSK message needs both identities, IDi and IDr"));
    }
    encoder.id(IdType::URI, muk_id.idi.as_bytes()).id(IdType::NAI, muk_id.idr.as_bytes());
    Ok(())
}

fn check_msk(id: MskId, msk: &Msk) -> Result<(), Error> {
    if id.number == 0 {
        return Err(Error::invalid(format!("MSK {id}: Key Number 0 is no key")));
    }
    if !Msk::KEY_LEN.contains(&msk.key.len()) {
        let len = msk.key.len();
        return Err(Error::invalid(format!("MSK {id} has {len} octets; it needs 16 to 32")));
    }
    check_rand(&msk.rand)
}

fn check_rand(rand: &[u8]) -> Result<(), Error> {
    if Msk::RAND_LEN.contains(&rand.len()) {
        return Ok(());
    }
    Err(Error::invalid(format!("a RAND of {} octets; it needs 16 to 255", rand.len())))
}

/// Encrypts the key data into KEMAC and appends the MAC.
fn finish(
    mut encoder: Encoder,
    keys: &MessageKeys,
    counter: u32,
    mut key_data: Zeroizing<Vec<u8>>,
) -> Result<Vec<u8>, Error> {
    keys.crypt(Timestamp::Counter(counter), &mut key_data);
    encoder.kemac(EncrAlg::AES_CM_128, &key_data, MacAlg::HMAC_SHA_1_160);
    let mut message = encoder.finish()?;
    //= RFC 3830 §5.2: from the version up to and including the MAC alg
    let mac = keys.mac(&[&message]);
    message.extend(mac);
    Ok(message)
}

/// Number of the one policy of a message.
const POLICY: u8 = 0;
