//! What a key message says about itself: names, policy, streams; and the answer to it.

use std::sync::Arc;

use super::{
    CryptoSession, MukId, gba, policy,
    protection::{Algorithms, MessageKeys},
};
use crate::{
    Reject,
    ids::{KeyDomainId, MskId},
    srtp::{Profile, TrafficKey},
    wire::mikey::{
        CsIdMap, CsIdMapFields, DataType, Encoder, HeaderFields, IdType, Kemac, MacAlg, Message,
        Timestamp,
    },
};

/// Key domain and MSK that a message names, authentic or not.
#[must_use]
pub fn named_msk(message: &[u8]) -> Option<(KeyDomainId, MskId)> {
    let ids = Message::parse(message).ok()?.key_ids()?;
    ids.domain.zip(ids.msk)
}

pub(super) fn algorithms(message: &Message<'_>, kemac: &Kemac<'_>) -> Algorithms {
    Algorithms { prf: message.header().prf, encryption: kemac.encr_alg, mac: kemac.mac_alg }
}

/// The identities of an MSK message; both have to be there (K15).
pub(super) fn muk_id(message: &Message<'_>) -> Result<MukId, Reject> {
    let text = |octets: &[u8]| {
        std::str::from_utf8(octets).map(str::to_owned).map_err(|_| Reject::UnknownMuk)
    };
    let (idi, idr) = message.first_id().zip(message.second_id()).ok_or(Reject::UnknownMuk)?;
    //= K15: IDi may carry the Ua security protocol identifier behind the FQDN
    let idi = idi.data.strip_suffix(&gba::UA_MBMS).unwrap_or(idi.data);
    Ok(MukId { idi: text(idi)?, idr: text(idr.data)? })
}

/// The policy of the streams in the map, `described` if there is none, and the map. One policy for all of them: receivers of a
/// group see one set of parameters (RFC 4567 §4.1.2).
pub(super) fn profile_and_sessions(
    message: &Message<'_>,
    described: Profile,
) -> Result<(Profile, Arc<[CryptoSession]>), Reject> {
    let sessions: Arc<[_]> = match &message.header().map {
        CsIdMap::SrtpId(map) => map
            .iter()
            .map(|r| CryptoSession { policy: r.policy, ssrc: r.ssrc, roc: r.roc })
            .collect(),
        //= RFC 4563 §5: the empty map is for download, where nothing of SRTP applies
        _ => return Err(Reject::MikeyUnsupported),
    };
    let is_given = |number| message.policies().any(|policy| policy.number == number);
    if message.policies().next().is_some() && !sessions.iter().all(|s| is_given(s.policy)) {
        return Err(Reject::MikeyMalformed);
    }
    let mut chosen = None;
    for policy in message.policies() {
        let used = sessions.is_empty() || sessions.iter().any(|s| s.policy == policy.number);
        if used {
            let profile = policy::read(&policy)?;
            // Better refused here, unconfirmed, than when its first traffic key comes.
            TrafficKey::supports(&profile).map_err(|_| Reject::MikeyUnsupported)?;
            if chosen.is_some_and(|chosen| chosen != profile) {
                return Err(Reject::MikeyUnsupported);
            }
            chosen = Some(profile);
        }
    }
    Ok((chosen.unwrap_or(described), sessions))
}

/// The answer to an MSK message with the V flag (RFC 3830 §5.2, §6.9).
pub(super) fn verification_message(
    message: &Message<'_>,
    counter: u32,
    keys: &MessageKeys,
) -> Result<Vec<u8>, Reject> {
    let header = message.header();
    let map = CsIdMapFields::Echo {
        session_count: header.session_count,
        map_type: header.map.map_type(),
        info: header.map.info(),
    };
    let mut encoder = Encoder::new(&HeaderFields {
        data_type: DataType::PRE_SHARED_VERIFICATION,
        verify: false,
        prf: header.prf,
        csb: header.csb,
        map,
    });
    //= RFC 3830 §5.2: the identities as the payloads carry them, whatever key they select
    let idi = message.first_id().map_or(&[][..], |id| id.data);
    let idr = message.second_id().map_or(&[][..], |id| id.data);
    encoder.timestamp(Timestamp::Counter(counter)).id(IdType::NAI, idr);
    let mac_alg = message.kemac().map_or(MacAlg::HMAC_SHA_1_160, |kemac| kemac.mac_alg);
    encoder.verification(mac_alg);
    let mut answer = encoder.finish().map_err(|_| Reject::MikeyMalformed)?;
    let mac = keys.mac(&[&answer, idi, idr, &counter.to_be_bytes()]);
    answer.extend(mac);
    Ok(answer)
}
