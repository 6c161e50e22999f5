//! The common header HDR and its crypto session map (RFC 3830 §6.1).

use super::{
    code::{DataType, MapType, PayloadType, PrfFunc, ProtType},
    reader::Reader,
};
use crate::{
    Reject,
    ids::{CsbId, Roc, Ssrc},
};

/// First octet of every MIKEY message.
pub const VERSION: u8 = 0x01;

/// The common header.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// What kind of message this is.
    pub data_type: DataType,
    /// Type of the first payload.
    pub first_payload: PayloadType,
    /// V flag: the initiator wants a verification message.
    pub verify: bool,
    /// Function that derives the keys of this message.
    pub prf: PrfFunc,
    /// Crypto session bundle.
    pub csb: CsbId,
    /// Number of crypto sessions as the header states it.
    pub session_count: u8,
    /// Crypto session map.
    pub map: CsIdMap<'a>,
}

impl<'a> Header<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Reject> {
        if reader.u8()? != VERSION {
            return Err(Reject::MikeyUnsupported);
        }
        let data_type = DataType(reader.u8()?);
        let first_payload = PayloadType(reader.u8()?);
        let v_and_prf = reader.u8()?;
        let csb = CsbId(reader.u32()?);
        let session_count = reader.u8()?;
        Ok(Self {
            data_type,
            first_payload,
            verify: v_and_prf & 0x80 != 0,
            prf: PrfFunc(v_and_prf & 0x7f),
            csb,
            session_count,
            map: CsIdMap::read(reader, session_count)?,
        })
    }
}

/// Crypto session map.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub enum CsIdMap<'a> {
    /// Type 0: policy, SSRC and ROC of each stream.
    SrtpId(SrtpIdMap<'a>),
    /// Type 1: policy and streams are agreed outside MIKEY (RFC 4563 §5).
    Empty,
    /// Type 2: sessions of any protocol (RFC 6043 §6.1.1).
    GenericId(GenericIdMap<'a>),
}

impl<'a> CsIdMap<'a> {
    fn read(reader: &mut Reader<'a>, count: u8) -> Result<Self, Reject> {
        match MapType(reader.u8()?) {
            MapType::SRTP_ID => {
                let records = reader.take(usize::from(count) * SrtpIdRecord::LEN)?;
                Ok(Self::SrtpId(SrtpIdMap { records }))
            }
            //= RFC 4563 §5: the empty map has no map info, whatever #CS says
            MapType::EMPTY => Ok(Self::Empty),
            MapType::GENERIC_ID => {
                let start = reader.rest();
                for _ in 0..count {
                    GenericIdRecord::read(reader)?;
                }
                let len = start.len() - reader.rest().len();
                let records = start.get(..len).ok_or(Reject::MikeyMalformed)?;
                Ok(Self::GenericId(GenericIdMap { records }))
            }
            _ => Err(Reject::MikeyUnsupported),
        }
    }

    /// The code point of this map.
    #[must_use]
    pub const fn map_type(&self) -> MapType {
        match self {
            Self::SrtpId(_) => MapType::SRTP_ID,
            Self::Empty => MapType::EMPTY,
            Self::GenericId(_) => MapType::GENERIC_ID,
        }
    }

    /// The map info as it stands in the message.
    #[must_use]
    pub const fn info(&self) -> &'a [u8] {
        match self {
            Self::SrtpId(map) => map.records,
            Self::Empty => &[],
            Self::GenericId(map) => map.records,
        }
    }
}

/// Records of the SRTP-ID map; the n-th, from 1, is crypto session n.
#[derive(Clone, Copy, Debug)]
pub struct SrtpIdMap<'a> {
    records: &'a [u8],
}

impl<'a> SrtpIdMap<'a> {
    /// The records in order.
    pub fn iter(&self) -> impl Iterator<Item = SrtpIdRecord> + use<'a> {
        self.records.chunks_exact(SrtpIdRecord::LEN).filter_map(SrtpIdRecord::from_octets)
    }
}

/// One stream of the SRTP-ID map (RFC 3830 §6.1.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SrtpIdRecord {
    /// Number of the SP payload that applies.
    pub policy: u8,
    /// The stream; 0 if its sender has not chosen one yet.
    pub ssrc: Ssrc,
    /// Its rollover counter when the message was made.
    pub roc: Roc,
}

impl SrtpIdRecord {
    /// Octets of one record.
    pub const LEN: usize = 9;

    fn from_octets(octets: &[u8]) -> Option<Self> {
        let [policy, s0, s1, s2, s3, r0, r1, r2, r3] = *octets.first_chunk()?;
        Some(Self {
            policy,
            ssrc: Ssrc(u32::from_be_bytes([s0, s1, s2, s3])),
            roc: Roc(u32::from_be_bytes([r0, r1, r2, r3])),
        })
    }
}

/// Records of the GENERIC-ID map.
#[derive(Clone, Copy, Debug)]
pub struct GenericIdMap<'a> {
    records: &'a [u8],
}

impl<'a> GenericIdMap<'a> {
    /// The records in order.
    pub fn iter(&self) -> impl Iterator<Item = GenericIdRecord<'a>> + use<'a> {
        let mut reader = Reader::new(self.records);
        std::iter::from_fn(move || GenericIdRecord::read(&mut reader).ok())
    }
}

/// One session of the GENERIC-ID map (RFC 6043 §6.1.1).
#[derive(Clone, Copy, Debug)]
pub struct GenericIdRecord<'a> {
    /// Number of the crypto session.
    pub cs_id: u8,
    /// Protocol of the session.
    pub prot_type: ProtType,
    /// S flag: the session data holds ROC and SEQ as well.
    pub has_state: bool,
    /// Numbers of the SP payloads that apply.
    pub policies: &'a [u8],
    /// Session data; for SRTP the SSRC and, with the S flag, ROC and SEQ.
    pub session_data: &'a [u8],
    /// SPI, for SRTP the MKI.
    pub spi: &'a [u8],
}

impl<'a> GenericIdRecord<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Reject> {
        let cs_id = reader.u8()?;
        let prot_type = ProtType(reader.u8()?);
        let s_and_count = reader.u8()?;
        Ok(Self {
            cs_id,
            prot_type,
            has_state: s_and_count & 0x80 != 0,
            policies: reader.take(usize::from(s_and_count & 0x7f))?,
            session_data: reader.prefixed_u16()?,
            spi: reader.prefixed_u8()?,
        })
    }
}
