//! The three keys of the ladder and what travels beside them.

use std::ops::RangeInclusive;

use subtle::ConstantTimeEq;

use crate::{
    ids::{MtkId, Roc, Ssrc},
    secret::{Secret, SecretBytes},
};

/// MBMS user key: one per client and key server, 32 octets (TS 33.246 §6.1).
#[derive(Debug)]
pub struct Muk(pub Secret<32>);

impl Muk {
    /// Constant-time comparison.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.0.expose().ct_eq(other.0.expose()).into()
    }
}

/// The identities that select a MUK: IDi names the server, IDr the client (TS 31.102 §4.2.81).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MukId {
    /// Name of the key server: an FQDN.
    pub idi: String,
    /// B-TID of the client.
    pub idr: String,
}

/// MBMS service key with the RAND it is bound to: both are needed to open an MTK message.
#[derive(Debug)]
pub struct Msk {
    /// 16 to 32 octets; 16 in MBMS.
    pub key: SecretBytes,
    /// RAND of the MSK message, the same for every member and every redelivery.
    pub rand: Vec<u8>,
}

impl Msk {
    /// Octets of the key: 16 in MBMS, up to 32 are taken.
    pub(crate) const KEY_LEN: RangeInclusive<usize> = 16..=32;
    /// Octets of the RAND; the most is what its length octet can tell (RFC 3830 §6.11).
    pub(crate) const RAND_LEN: RangeInclusive<usize> = 16..=255;
}

/// MBMS traffic key: an SRTP master key and salt.
#[derive(Debug)]
pub struct Mtk {
    /// SRTP master key.
    pub key: SecretBytes,
    /// SRTP master salt; 14 octets for streaming, or none.
    pub salt: Option<SecretBytes>,
}

/// The MTK IDs an MSK may carry, both ends included (TS 33.246 §6.4.5.1: SEQl and SEQu).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interval {
    /// SEQl.
    pub low: MtkId,
    /// SEQu.
    pub high: MtkId,
}

/// One record of the SRTP-ID map: which policy, which stream, and its rollover counter when the
/// message was made (RFC 3830 §6.1.1). SSRC 0 stands for any stream of the group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CryptoSession {
    /// Number of the SP payload that applies.
    pub policy: u8,
    /// The stream, or 0.
    pub ssrc: Ssrc,
    /// Its rollover counter.
    pub roc: Roc,
}
