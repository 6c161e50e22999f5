//! General extension payload EXT (RFC 3830 §6.15) with the extensions of MBMS and OMA BCAST.

use super::{
    code::{BcastSubtype, ExtType, KeyIdType},
    reader::{Reader, Seen},
};
use crate::{
    Reject,
    ids::{KeyDomainId, MskId, MtkId},
};

/// A general extension.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub enum Extension<'a> {
    /// Type 0: opaque to everybody but its vendor.
    VendorId(&'a [u8]),
    /// Type 1: key management protocols of an SDP offer, joined with `;` (RFC 4567 §4.1.4).
    SdpIds(&'a [u8]),
    /// Type 3: which MBMS key the message carries (RFC 4563 §4).
    KeyIds(KeyIds<'a>),
    /// Type 5: OMA BCAST management data (RFC 5410 §3).
    Bcast(Bcast<'a>),
    /// Any other type, not looked into.
    Other {
        /// Its type.
        ext_type: ExtType,
        /// Its data.
        data: &'a [u8],
    },
}

impl<'a> Extension<'a> {
    /// Reads what follows the `next payload` octet.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Reject> {
        let ext_type = ExtType(reader.u8()?);
        let data = reader.prefixed_u16()?;
        match ext_type {
            ExtType::VENDOR_ID => Ok(Self::VendorId(data)),
            ExtType::SDP_IDS => Ok(Self::SdpIds(data)),
            ExtType::KEY_ID => KeyIds::parse(data).map(Self::KeyIds),
            ExtType::OMA_BCAST => Bcast::parse(data).map(Self::Bcast),
            _ => Ok(Self::Other { ext_type, data }),
        }
    }

    /// The code point of this extension.
    #[must_use]
    pub const fn ext_type(&self) -> ExtType {
        match self {
            Self::VendorId(_) => ExtType::VENDOR_ID,
            Self::SdpIds(_) => ExtType::SDP_IDS,
            Self::KeyIds(_) => ExtType::KEY_ID,
            Self::Bcast(_) => ExtType::OMA_BCAST,
            Self::Other { ext_type, .. } => *ext_type,
        }
    }
}

/// The identifiers of the Key ID extension (RFC 4563 §4).
#[derive(Clone, Copy, Debug)]
pub struct KeyIds<'a> {
    /// MBMS Key Domain ID.
    pub domain: Option<KeyDomainId>,
    /// MBMS Service Key ID.
    pub msk: Option<MskId>,
    /// MBMS Traffic Key ID.
    pub mtk: Option<MtkId>,
    records: &'a [u8],
}

impl<'a> KeyIds<'a> {
    fn parse(records: &'a [u8]) -> Result<Self, Reject> {
        let mut ids = Self { domain: None, msk: None, mtk: None, records };
        let mut reader = Reader::new(records);
        let mut seen = Seen::default();
        while !reader.is_empty() {
            let (id_type, value) = read_key_id(&mut reader)?;
            seen.first_time(id_type.0)?;
            let mut value = Reader::new(value);
            match id_type {
                KeyIdType::KEY_DOMAIN => ids.domain = Some(KeyDomainId(value.array()?)),
                KeyIdType::MSK => ids.msk = Some(MskId::from_bytes(value.array()?)),
                KeyIdType::MTK => ids.mtk = Some(MtkId(value.u16()?)),
                _ => continue,
            }
            if !value.is_empty() {
                return Err(Reject::MikeyMalformed);
            }
        }
        Ok(ids)
    }

    /// Every record, unknown ones too, in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = (KeyIdType, &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.records);
        std::iter::from_fn(move || read_key_id(&mut reader).ok())
    }
}

fn read_key_id<'a>(reader: &mut Reader<'a>) -> Result<(KeyIdType, &'a [u8]), Reject> {
    Ok((KeyIdType(reader.u8()?), reader.prefixed_u8()?))
}

/// The OMA BCAST extension: one subtype, its data opaque here (RFC 5410 §3).
#[derive(Clone, Copy, Debug)]
pub struct Bcast<'a> {
    /// What the data is for.
    pub subtype: BcastSubtype,
    /// Management data, authenticated and not acted on.
    pub data: &'a [u8],
}

impl<'a> Bcast<'a> {
    fn parse(octets: &'a [u8]) -> Result<Self, Reject> {
        let (subtype, data) = octets.split_first().ok_or(Reject::MikeyMalformed)?;
        Ok(Self { subtype: BcastSubtype(*subtype), data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_of_a_traffic_key_message_are_read() {
        let octets = [0, 3, 0x00, 0xf1, 0x10, 1, 4, 0, 5, 0, 9, 2, 2, 0, 7, 200, 1, 0xaa];
        let ids = KeyIds::parse(&octets).unwrap();
        assert_eq!(ids.domain, Some(KeyDomainId([0x00, 0xf1, 0x10])));
        assert_eq!(ids.msk, Some(MskId { group: 5, number: 9 }));
        assert_eq!(ids.mtk, Some(MtkId(7)));
        assert_eq!(ids.iter().count(), 4);
    }

    #[test]
    fn key_id_of_wrong_length_cut_or_repeated_is_refused() {
        for octets in [
            &[0, 2, 1, 2][..],
            &[0, 4, 1, 2, 3, 4],
            &[1, 3, 1, 2, 3],
            &[2, 1, 1],
            &[2, 3, 1, 2, 3],
            &[2, 2, 1],
            &[2],
            &[2, 2, 0, 1, 2, 2, 0, 1],
            &[9, 0, 9, 0],
        ] {
            assert_eq!(KeyIds::parse(octets).unwrap_err(), Reject::MikeyMalformed, "{octets:?}");
        }
    }
}
