//! Application-defined packets (RFC 3550 §6.7).

use super::split_ssrc;
use crate::{Reject, ids::Ssrc};

/// APP packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct App<'a> {
    /// Kind of message within the application, 0 to 31.
    pub subtype: u8,
    /// Who sent it.
    pub ssrc: Ssrc,
    /// Names the application, four ASCII characters.
    pub name: [u8; 4],
    /// The application's data.
    pub data: &'a [u8],
}

impl<'a> App<'a> {
    pub(super) fn parse(subtype: u8, body: &'a [u8]) -> Result<Self, Reject> {
        let (ssrc, rest) = split_ssrc(body)?;
        let (&name, data) = rest.split_first_chunk().ok_or(Reject::BadRtcp)?;
        Ok(Self { subtype, ssrc, name, data })
    }
}
