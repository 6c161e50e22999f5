//! HMAC-SHA1 over a batch of messages, each under its own key (RFC 2104, RFC 3711 §4.2.1).

use super::Backend;

/// SHA-1 states after the inner and the outer key block: the per-packet cost starts behind them.
pub(crate) struct HmacKey {
    pub(crate) inner: [u32; 5],
    pub(crate) outer: [u32; 5],
}

/// One message to authenticate.
pub(crate) struct HmacJob<'a> {
    pub(crate) key: &'a HmacKey,
    pub(crate) message: &'a [u8],
    /// Octets hashed behind the message that are not on the wire: the ROC of SRTP.
    pub(crate) suffix: Option<[u8; 4]>,
}

impl HmacKey {
    /// Two compressions.
    pub(crate) fn new(_key: &[u8]) -> Self {
        Self { inner: [0; 5], outer: [0; 5] }
    }
}

/// Computes the 20-octet MAC of each job into the tag of the same place.
pub(crate) fn hmac_batch(_backend: Backend, _jobs: &[HmacJob<'_>], _tags: &mut [[u8; 20]]) {}
