//! Goodbye (RFC 3550 §6.6): sources that leave.

use crate::{Reject, ids::Ssrc, wire::Text};

/// BYE packet.
#[derive(Clone, Copy, Debug)]
pub struct Bye<'a> {
    ssrcs: &'a [[u8; 4]],
    /// Why, if the sender says so.
    pub reason: Option<Text<'a>>,
}

impl<'a> Bye<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, Reject> {
        let (ssrcs, rest) = body.split_at_checked(4 * usize::from(count)).ok_or(Reject::BadRtcp)?;
        let reason = match rest.split_first() {
            None => None,
            Some((&len, text)) => {
                Some(Text::new(text.get(..usize::from(len)).ok_or(Reject::BadRtcp)?))
            }
        };
        Ok(Self { ssrcs: ssrcs.as_chunks().0, reason })
    }

    /// The sources that leave.
    pub fn ssrcs(&self) -> impl ExactSizeIterator<Item = Ssrc> + use<'a> {
        self.ssrcs.iter().map(|octets| Ssrc(u32::from_be_bytes(*octets)))
    }
}
