//! The payload chain: one payload at a time, each with its own layout (RFC 3830 §6).

use super::{
    code::{
        CertType, DhGroup, ErrorNo, HashFunc, IdType, KvType, MacAlg, PayloadType, SignType, TsType,
    },
    ext::Extension,
    key_data::{Kemac, Validity},
    policy::SecurityPolicy,
    reader::Reader,
};
use crate::Reject;

/// One payload of a message.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// KEMAC: encrypted keys and the MAC (RFC 3830 §6.2).
    Kemac(Kemac<'a>),
    /// PKE: the envelope key (RFC 3830 §6.3).
    Pke(Pke<'a>),
    /// DH: a Diffie-Hellman value (RFC 3830 §6.4).
    Dh(Dh<'a>),
    /// SIGN: the signature that ends a message (RFC 3830 §6.5).
    Sign(Sign<'a>),
    /// T: a timestamp or counter (RFC 3830 §6.6).
    Timestamp(Timestamp),
    /// ID: an identity (RFC 3830 §6.7).
    Id(Identity<'a>),
    /// CERT: a certificate (RFC 3830 §6.7).
    Cert(Cert<'a>),
    /// CHASH: hash of a certificate (RFC 3830 §6.8).
    Chash(Chash<'a>),
    /// V: the MAC of a verification message (RFC 3830 §6.9).
    Verification(Verification<'a>),
    /// SP: a security policy (RFC 3830 §6.10).
    Policy(SecurityPolicy<'a>),
    /// RAND (RFC 3830 §6.11).
    Rand(&'a [u8]),
    /// ERR: why a message was refused (RFC 3830 §6.12).
    Error(ErrorNo),
    /// EXT: a general extension (RFC 3830 §6.15).
    Extension(Extension<'a>),
}

impl<'a> Payload<'a> {
    /// Reads a payload of the type announced; returns it with the type of the next one.
    ///
    /// There is no common length field, so an unknown type ends the decoding.
    pub(super) fn read(
        kind: PayloadType,
        reader: &mut Reader<'a>,
    ) -> Result<(Self, PayloadType), Reject> {
        if kind == PayloadType::SIGN {
            //= RFC 3830 §6.5: SIGN has no `next payload`, it is always the last
            return Ok((Self::Sign(Sign::read(reader)?), PayloadType::LAST));
        }
        let next = PayloadType(reader.u8()?);
        let payload = match kind {
            PayloadType::KEMAC => Self::Kemac(Kemac::read(reader)?),
            PayloadType::PKE => Self::Pke(Pke::read(reader)?),
            PayloadType::DH => Self::Dh(Dh::read(reader)?),
            PayloadType::T => Self::Timestamp(Timestamp::read(reader)?),
            PayloadType::ID => Self::Id(Identity::read(reader)?),
            PayloadType::CERT => Self::Cert(Cert::read(reader)?),
            PayloadType::CHASH => Self::Chash(Chash::read(reader)?),
            PayloadType::V => Self::Verification(Verification::read(reader)?),
            PayloadType::SP => Self::Policy(SecurityPolicy::read(reader)?),
            PayloadType::RAND => Self::Rand(reader.prefixed_u8()?),
            PayloadType::ERR => {
                let error = ErrorNo(reader.u8()?);
                // Two reserved octets: sent as 0, ignored on receipt.
                reader.u16()?;
                Self::Error(error)
            }
            PayloadType::EXT => Self::Extension(Extension::read(reader)?),
            _ => return Err(Reject::MikeyUnsupported),
        };
        Ok((payload, next))
    }

    /// The code point of this payload.
    #[must_use]
    pub const fn payload_type(&self) -> PayloadType {
        match self {
            Self::Kemac(_) => PayloadType::KEMAC,
            Self::Pke(_) => PayloadType::PKE,
            Self::Dh(_) => PayloadType::DH,
            Self::Sign(_) => PayloadType::SIGN,
            Self::Timestamp(_) => PayloadType::T,
            Self::Id(_) => PayloadType::ID,
            Self::Cert(_) => PayloadType::CERT,
            Self::Chash(_) => PayloadType::CHASH,
            Self::Verification(_) => PayloadType::V,
            Self::Policy(_) => PayloadType::SP,
            Self::Rand(_) => PayloadType::RAND,
            Self::Error(_) => PayloadType::ERR,
            Self::Extension(_) => PayloadType::EXT,
        }
    }
}

/// Timestamp or counter of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Timestamp {
    /// NTP time in UTC: seconds since 1900 and their fraction.
    NtpUtc(u64),
    /// NTP time, time zone not told.
    Ntp(u64),
    /// Counter; what MBMS uses.
    Counter(u32),
    /// The seconds of an NTP time in UTC.
    NtpUtc32(u32),
}

impl Timestamp {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Reject> {
        match TsType(reader.u8()?) {
            TsType::NTP_UTC => Ok(Self::NtpUtc(u64::from_be_bytes(reader.array()?))),
            TsType::NTP => Ok(Self::Ntp(u64::from_be_bytes(reader.array()?))),
            TsType::COUNTER => Ok(Self::Counter(reader.u32()?)),
            TsType::NTP_UTC_32 => Ok(Self::NtpUtc32(reader.u32()?)),
            _ => Err(Reject::MikeyUnsupported),
        }
    }

    /// The code point of this kind of timestamp.
    #[must_use]
    pub const fn ts_type(self) -> TsType {
        match self {
            Self::NtpUtc(_) => TsType::NTP_UTC,
            Self::Ntp(_) => TsType::NTP,
            Self::Counter(_) => TsType::COUNTER,
            Self::NtpUtc32(_) => TsType::NTP_UTC_32,
        }
    }

    /// The 64-bit value that enters the IV of the key data (RFC 3830 §4.2.3, §6.6; RFC 6043 §6.3).
    #[must_use]
    pub fn widened(self) -> u64 {
        match self {
            Self::NtpUtc(value) | Self::Ntp(value) => value,
            //= RFC 3830 §6.6: a counter is filled up with zeros in front
            Self::Counter(value) => u64::from(value),
            //= RFC 6043 §6.3: the seconds alone are filled up with zeros behind
            Self::NtpUtc32(seconds) => u64::from(seconds) << 32,
        }
    }

    /// The counter, if it is one.
    #[must_use]
    pub const fn counter(self) -> Option<u32> {
        match self {
            Self::Counter(value) => Some(value),
            _ => None,
        }
    }
}

/// An identity; which one it is follows from its place among the ID payloads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Identity<'a> {
    /// How the data is to be read.
    pub id_type: IdType,
    /// The identity.
    pub data: &'a [u8],
}

impl<'a> Identity<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Reject> {
        Ok(Self { id_type: IdType(reader.u8()?), data: reader.prefixed_u16()? })
    }
}

/// A certificate or where to find it.
#[derive(Clone, Copy, Debug)]
pub struct Cert<'a> {
    /// How the data is to be read.
    pub cert_type: CertType,
    /// The certificate or its URL.
    pub data: &'a [u8],
}

impl<'a> Cert<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Reject> {
        Ok(Self { cert_type: CertType(reader.u8()?), data: reader.prefixed_u16()? })
    }
}

/// MAC of a verification message.
#[derive(Clone, Copy, Debug)]
pub struct Verification<'a> {
    /// Which MAC it is.
    pub auth_alg: MacAlg,
    /// The MAC.
    pub mac: &'a [u8],
}

impl<'a> Verification<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Reject> {
        let auth_alg = MacAlg(reader.u8()?);
        let mac = reader.take(auth_alg.mac_len().ok_or(Reject::MikeyUnsupported)?)?;
        Ok(Self { auth_alg, mac })
    }
}

/// Encrypted envelope key of the public-key mode.
#[derive(Clone, Copy, Debug)]
pub struct Pke<'a> {
    /// Two bits: 0 do not cache, 1 cache, 2 cache for this bundle.
    pub cache: u8,
    /// The envelope key, encrypted.
    pub data: &'a [u8],
}

impl<'a> Pke<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Reject> {
        let [high, low] = reader.array()?;
        let len = u16::from_be_bytes([high & 0x3f, low]);
        Ok(Self { cache: high >> 6, data: reader.take(len.into())? })
    }
}

/// Diffie-Hellman value.
#[derive(Clone, Copy, Debug)]
pub struct Dh<'a> {
    /// Group, which fixes the length of the value.
    pub group: DhGroup,
    /// The value.
    pub value: &'a [u8],
    /// For what the agreed key is valid.
    pub validity: Validity<'a>,
}

impl<'a> Dh<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Reject> {
        let group = DhGroup(reader.u8()?);
        let value = reader.take(match group {
            DhGroup::OAKLEY_5 => 192,
            DhGroup::OAKLEY_1 => 96,
            DhGroup::OAKLEY_2 => 128,
            _ => return Err(Reject::MikeyUnsupported),
        })?;
        // The upper four bits are reserved: sent as 0, ignored on receipt.
        let kv_type = KvType(reader.u8()? & 0x0f);
        Ok(Self { group, value, validity: Validity::read(kv_type, reader)? })
    }
}

/// Signature over the message.
#[derive(Clone, Copy, Debug)]
pub struct Sign<'a> {
    /// Which signature it is.
    pub sign_type: SignType,
    /// The signature.
    pub signature: &'a [u8],
}

impl<'a> Sign<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Reject> {
        let [high, low] = reader.array()?;
        let len = u16::from_be_bytes([high & 0x0f, low]);
        Ok(Self { sign_type: SignType(high >> 4), signature: reader.take(len.into())? })
    }
}

/// Hash of the certificate used.
#[derive(Clone, Copy, Debug)]
pub struct Chash<'a> {
    /// Which hash it is.
    pub hash_func: HashFunc,
    /// The hash.
    pub hash: &'a [u8],
}

impl<'a> Chash<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Reject> {
        let hash_func = HashFunc(reader.u8()?);
        let hash = reader.take(match hash_func {
            HashFunc::SHA_1 => 20,
            HashFunc::MD5 => 16,
            _ => return Err(Reject::MikeyUnsupported),
        })?;
        Ok(Self { hash_func, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: PayloadType, octets: &[u8]) -> Result<(Payload<'_>, PayloadType), Reject> {
        let mut reader = Reader::new(octets);
        let read = Payload::read(kind, &mut reader)?;
        assert!(reader.is_empty());
        Ok(read)
    }

    #[test]
    fn each_timestamp_widens_as_its_document_says() {
        let widened = |octets: &[u8]| match read(PayloadType::T, octets) {
            Ok((Payload::Timestamp(t), _)) => Ok(t.widened()),
            Ok(other) => panic!("{other:?}"),
            Err(reject) => Err(reject),
        };
        assert_eq!(widened(&[0, 0, 1, 2, 3, 4, 5, 6, 7, 8]), Ok(0x0102_0304_0506_0708));
        assert_eq!(widened(&[0, 1, 1, 2, 3, 4, 5, 6, 7, 8]), Ok(0x0102_0304_0506_0708));
        assert_eq!(widened(&[0, 2, 1, 2, 3, 4]), Ok(0x0102_0304));
        assert_eq!(widened(&[0, 3, 1, 2, 3, 4]), Ok(0x0102_0304_0000_0000));
        assert_eq!(widened(&[0, 4, 1, 2, 3, 4]), Err(Reject::MikeyUnsupported));
        assert_eq!(widened(&[0, 2, 1, 2, 3]), Err(Reject::MikeyMalformed));
    }

    #[test]
    fn payloads_of_other_modes_are_stepped_over() {
        let (pke, next) = read(PayloadType::PKE, &[4, 0x80, 2, 0xaa, 0xbb]).unwrap();
        assert!(matches!(pke, Payload::Pke(Pke { cache: 2, data: [0xaa, 0xbb] })));
        assert_eq!(next, PayloadType::SIGN);

        let (sign, next) = read(PayloadType::SIGN, &[0x10, 1, 0xcc]).unwrap();
        assert!(matches!(
            sign,
            Payload::Sign(Sign { sign_type: SignType::RSA_PSS, signature: [0xcc] })
        ));
        assert_eq!(next, PayloadType::LAST);

        for (group, len) in [(0, 192), (1, 96), (2, 128)] {
            let octets = [&[0, group][..], &vec![1; len], &[0xf1, 1, 9]].concat();
            let (dh, _) = read(PayloadType::DH, &octets).unwrap();
            assert!(matches!(dh, Payload::Dh(Dh { value, .. }) if value.len() == len));
        }
        for (hash, len) in [(0, 20), (1, 16)] {
            let octets = [&[0, hash][..], &vec![1; len]].concat();
            assert!(read(PayloadType::CHASH, &octets).is_ok());
        }
        assert!(read(PayloadType::CERT, &[0, 1, 0, 2, b'h', b't']).is_ok());
    }

    #[test]
    fn what_has_no_known_length_is_unsupported() {
        for (kind, octets) in [
            (PayloadType::TR, &[0; 40][..]),
            (PayloadType(19), &[0; 40]),
            (PayloadType::DH, &[0, 3]),
            (PayloadType::CHASH, &[0, 2]),
            (PayloadType::V, &[0, 3]),
            (PayloadType::KEMAC, &[0, 1, 0, 0, 9]),
        ] {
            assert_eq!(read(kind, octets).unwrap_err(), Reject::MikeyUnsupported, "{kind}");
        }
    }

    #[test]
    fn reserved_octets_of_an_error_are_ignored() {
        let (error, _) = read(PayloadType::ERR, &[0, 10, 0xff, 0xff]).unwrap();
        assert!(matches!(error, Payload::Error(ErrorNo::SP_PARAMETERS)));
    }
}
