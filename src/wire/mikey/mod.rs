//! MIKEY messages: views over their octets, and a writer (RFC 3830, 4563, 4771, 5410, 6043, 7714).
//!
//! ```text
//!  HDR │ EXT │ T │ RAND │ IDi │ IDr │ SP │ KEMAC        MSK message
//!  HDR │ EXT │ T │ KEMAC                                MTK message
//!  HDR │ T │ IDr │ V                                    verification message
//! ```
//!
//! [`Message::parse`] proves the whole structure once: every length, every repetition, nothing behind
//! the last payload. After that the accessors return values. Nothing is allocated and no key is
//! needed; what the payloads mean for MBMS is decided in [`crate::keys`].
//!
//! ```
//! use mcast_srtp::wire::mikey::{Encoder, HeaderFields, Message, Timestamp};
//!
//! let mut message = Encoder::new(&HeaderFields::default());
//! message.timestamp(Timestamp::Counter(7)).rand(&[0xab; 16]);
//! let octets = message.finish()?;
//!
//! let view = Message::parse(&octets)?;
//! assert_eq!(view.timestamp(), Some(Timestamp::Counter(7)));
//! assert_eq!(view.rand(), Some(&[0xab; 16][..]));
//! # Ok::<(), mcast_srtp::Error>(())
//! ```
#![warn(clippy::indexing_slicing)]

mod code;
mod encode;
mod ext;
mod header;
mod key_data;
mod payload;
mod policy;
mod reader;

pub use code::*;
pub use encode::{CsIdMapFields, Encoder, HeaderFields};
pub use ext::{Bcast, Extension, KeyIds};
pub use header::{
    CsIdMap, GenericIdMap, GenericIdRecord, Header, SrtpIdMap, SrtpIdRecord, VERSION,
};
pub use key_data::{Kemac, KeyData, KeyDataChain, Validity};
pub use payload::{Cert, Chash, Dh, Identity, Payload, Pke, Sign, Timestamp, Verification};
pub use policy::{PolicyParam, SecurityPolicy};

use crate::Reject;
use reader::{Reader, Seen};

/// A whole message, proved to be well formed.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    octets: &'a [u8],
    header: Header<'a>,
    chain: &'a [u8],
    timestamp: Option<Timestamp>,
    rand: Option<&'a [u8]>,
    first_id: Option<Identity<'a>>,
    second_id: Option<Identity<'a>>,
    key_ids: Option<KeyIds<'a>>,
    sdp_ids: Option<&'a [u8]>,
    bcast: Option<Bcast<'a>>,
    kemac: Option<Kemac<'a>>,
    verification: Option<Verification<'a>>,
}

impl<'a> Message<'a> {
    /// Proves the structure of a message.
    ///
    /// # Errors
    /// [`Reject::MikeyMalformed`] for a length past the end, octets behind the last payload, or a
    /// payload that may occur only once or only last and does not; [`Reject::MikeyUnsupported`]
    /// for another version or a code point whose layout is not known.
    pub fn parse(octets: &'a [u8]) -> Result<Self, Reject> {
        let mut reader = Reader::new(octets);
        let header = Header::read(&mut reader)?;
        let mut message = Self {
            octets,
            header,
            chain: reader.rest(),
            timestamp: None,
            rand: None,
            first_id: None,
            second_id: None,
            key_ids: None,
            sdp_ids: None,
            bcast: None,
            kemac: None,
            verification: None,
        };
        let mut policies = Seen::default();
        let mut next = header.first_payload;
        while next != PayloadType::LAST {
            let (payload, following) = Payload::read(next, &mut reader)?;
            message.note(payload, following, &mut policies)?;
            next = following;
        }
        if reader.is_empty() { Ok(message) } else { Err(Reject::MikeyMalformed) }
    }

    /// Takes a payload down, unless it occurs once too often or in the wrong place.
    fn note(
        &mut self,
        payload: Payload<'a>,
        following: PayloadType,
        policies: &mut Seen,
    ) -> Result<(), Reject> {
        let is_last = following == PayloadType::LAST;
        match payload {
            Payload::Timestamp(timestamp) => once(&mut self.timestamp, timestamp),
            Payload::Rand(rand) => once(&mut self.rand, rand),
            Payload::Id(id) if self.first_id.is_none() => once(&mut self.first_id, id),
            Payload::Id(id) => once(&mut self.second_id, id),
            Payload::Extension(Extension::KeyIds(ids)) => once(&mut self.key_ids, ids),
            Payload::Extension(Extension::SdpIds(ids)) => once(&mut self.sdp_ids, ids),
            Payload::Extension(Extension::Bcast(bcast)) => once(&mut self.bcast, bcast),
            //= RFC 3830 §6.2: in pre-shared key mode KEMAC is the last payload
            Payload::Kemac(_) if self.is_pre_shared() && !is_last => Err(Reject::MikeyMalformed),
            Payload::Kemac(kemac) => once(&mut self.kemac, kemac),
            //= RFC 3830 §6.9: V is the last payload
            Payload::Verification(_) if !is_last => Err(Reject::MikeyMalformed),
            Payload::Verification(v) => once(&mut self.verification, v),
            //= RFC 4563 §5: beside the empty map there is no SP payload
            Payload::Policy(_) if matches!(self.header.map, CsIdMap::Empty) => {
                Err(Reject::MikeyMalformed)
            }
            //= RFC 3830 §6.10: each policy of a message has its own number
            Payload::Policy(policy) => policies.first_time(policy.number),
            _ => Ok(()),
        }
    }

    fn is_pre_shared(&self) -> bool {
        self.header.data_type == DataType::PRE_SHARED
    }

    /// The common header.
    #[must_use]
    pub const fn header(&self) -> &Header<'a> {
        &self.header
    }

    /// Every payload in the order of the message.
    pub fn payloads(&self) -> impl Iterator<Item = Payload<'a>> + use<'a> {
        let mut next = self.header.first_payload;
        let mut reader = Reader::new(self.chain);
        std::iter::from_fn(move || {
            if next == PayloadType::LAST {
                return None;
            }
            let (payload, following) = Payload::read(next, &mut reader).ok()?;
            next = following;
            Some(payload)
        })
    }

    /// The security policies in the order of the message.
    pub fn policies(&self) -> impl Iterator<Item = SecurityPolicy<'a>> + use<'a> {
        self.payloads().filter_map(|payload| match payload {
            Payload::Policy(policy) => Some(policy),
            _ => None,
        })
    }

    /// T.
    #[must_use]
    pub const fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// RAND.
    #[must_use]
    pub const fn rand(&self) -> Option<&'a [u8]> {
        self.rand
    }

    /// The first ID payload: IDi in an I_MESSAGE with two, IDr in an R_MESSAGE.
    #[must_use]
    pub const fn first_id(&self) -> Option<Identity<'a>> {
        self.first_id
    }

    /// The second ID payload: IDr in an I_MESSAGE.
    #[must_use]
    pub const fn second_id(&self) -> Option<Identity<'a>> {
        self.second_id
    }

    /// The Key ID extension.
    #[must_use]
    pub const fn key_ids(&self) -> Option<KeyIds<'a>> {
        self.key_ids
    }

    /// The SDP IDs extension.
    #[must_use]
    pub const fn sdp_ids(&self) -> Option<&'a [u8]> {
        self.sdp_ids
    }

    /// The OMA BCAST extension.
    #[must_use]
    pub const fn bcast(&self) -> Option<Bcast<'a>> {
        self.bcast
    }

    /// KEMAC.
    #[must_use]
    pub const fn kemac(&self) -> Option<Kemac<'a>> {
        self.kemac
    }

    /// V.
    #[must_use]
    pub const fn verification(&self) -> Option<Verification<'a>> {
        self.verification
    }

    /// The message without the MAC that ends it: what the MAC of a pre-shared key or verification
    /// message is computed over (RFC 3830 §5.2).
    #[must_use]
    pub fn without_mac(&self) -> &'a [u8] {
        let mac = match (&self.kemac, &self.verification) {
            (Some(kemac), None) => kemac.mac.len(),
            (None, Some(verification)) => verification.mac.len(),
            _ => 0,
        };
        let (covered, _) = self.octets.split_at(self.octets.len().saturating_sub(mac));
        covered
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Reject> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Reject::MikeyMalformed),
    }
}
