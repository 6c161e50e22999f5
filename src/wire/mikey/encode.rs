//! Writing messages: the header, then one payload after the other.

use super::{
    code::{
        BcastSubtype, CertType, DataType, EncrAlg, ErrorNo, ExtType, IdType, KeyIdType, MacAlg,
        MapType, PayloadType, PrfFunc, ProtType, SrtpParam,
    },
    header::{SrtpIdRecord, VERSION},
    payload::Timestamp,
};
use crate::{
    Error,
    ids::{CsbId, KeyDomainId, MskId, MtkId},
};

/// What the common header says, apart from the type of the first payload.
#[derive(Clone, Copy, Debug)]
pub struct HeaderFields<'a> {
    /// What kind of message this is.
    pub data_type: DataType,
    /// V flag: ask for a verification message.
    pub verify: bool,
    /// Function that derives the keys of this message.
    pub prf: PrfFunc,
    /// Crypto session bundle.
    pub csb: CsbId,
    /// Crypto session map.
    pub map: CsIdMapFields<'a>,
}

impl Default for HeaderFields<'_> {
    /// A pre-shared key message with the empty map, as an MTK message has it.
    fn default() -> Self {
        Self {
            data_type: DataType::PRE_SHARED,
            verify: false,
            prf: PrfFunc::MIKEY_1,
            csb: CsbId(0),
            map: CsIdMapFields::Empty,
        }
    }
}

/// Crypto session map to write.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub enum CsIdMapFields<'a> {
    /// Type 0, one record a stream.
    SrtpId(&'a [SrtpIdRecord]),
    /// Type 1, with #CS = 0.
    Empty,
    /// The map of another message, octet by octet: an answer echoes it.
    Echo {
        /// Number of crypto sessions.
        session_count: u8,
        /// Kind of the map.
        map_type: MapType,
        /// Its map info.
        info: &'a [u8],
    },
}

/// A message in the making: each method appends one payload and links the one before to it.
///
/// A value too long for its length field is remembered and reported by [`Encoder::finish`].
#[derive(Debug)]
pub struct Encoder {
    out: Vec<u8>,
    /// Where the type of the next payload goes.
    link: usize,
    fault: Option<&'static str>,
}

impl Encoder {
    /// Starts a message.
    #[must_use]
    pub fn new(header: &HeaderFields<'_>) -> Self {
        let v_and_prf = u8::from(header.verify) << 7 | header.prf.0 & 0x7f;
        let mut out = Vec::with_capacity(USUAL_LEN);
        out.extend([VERSION, header.data_type.0, PayloadType::LAST.0, v_and_prf]);
        out.extend(header.csb.0.to_be_bytes());
        let mut encoder = Self { out, link: 2, fault: None };
        encoder.map(&header.map);
        encoder
    }

    /// Appends T.
    pub fn timestamp(&mut self, timestamp: Timestamp) -> &mut Self {
        self.payload(PayloadType::T).out.push(timestamp.ts_type().0);
        match timestamp {
            Timestamp::NtpUtc(value) | Timestamp::Ntp(value) => {
                self.out.extend(value.to_be_bytes());
            }
            Timestamp::Counter(value) | Timestamp::NtpUtc32(value) => {
                self.out.extend(value.to_be_bytes());
            }
        }
        self
    }

    /// Appends RAND.
    pub fn rand(&mut self, rand: &[u8]) -> &mut Self {
        self.payload(PayloadType::RAND).prefixed_u8(rand, "a RAND has at most 255 octets")
    }

    /// Appends an identity.
    pub fn id(&mut self, id_type: IdType, data: &[u8]) -> &mut Self {
        self.payload(PayloadType::ID).out.push(id_type.0);
        self.prefixed_u16(data, "an identity has at most 65535 octets")
    }

    /// Appends a certificate.
    pub fn cert(&mut self, cert_type: CertType, data: &[u8]) -> &mut Self {
        self.payload(PayloadType::CERT).out.push(cert_type.0);
        self.prefixed_u16(data, "a certificate has at most 65535 octets")
    }

    /// Appends an SRTP policy: each parameter in the octets given.
    pub fn srtp_policy(&mut self, number: u8, params: &[(SrtpParam, &[u8])]) -> &mut Self {
        self.payload(PayloadType::SP).out.extend([number, ProtType::SRTP.0]);
        let len_at = self.open_length();
        for (kind, value) in params {
            self.out.push(kind.0);
            self.prefixed_u8(value, "a policy parameter has at most 255 octets");
        }
        self.close_length(len_at)
    }

    /// Appends an SRTP policy that was encoded before, without the type of the next payload.
    pub(crate) fn encoded_policy(&mut self, body: &[u8]) -> &mut Self {
        self.payload(PayloadType::SP).out.extend(body);
        self
    }

    /// Appends the Key ID extension: an MSK message without, an MTK message with an MTK ID.
    pub fn key_ids(&mut self, domain: KeyDomainId, msk: MskId, mtk: Option<MtkId>) -> &mut Self {
        let mut data = Vec::with_capacity(15);
        data.extend([KeyIdType::KEY_DOMAIN.0, 3]);
        data.extend(domain.0);
        data.extend([KeyIdType::MSK.0, 4]);
        data.extend(msk.to_bytes());
        if let Some(mtk) = mtk {
            data.extend([KeyIdType::MTK.0, 2]);
            data.extend(mtk.0.to_be_bytes());
        }
        self.extension(ExtType::KEY_ID, &data)
    }

    /// Appends the SDP IDs extension.
    pub fn sdp_ids(&mut self, protocols: &str) -> &mut Self {
        self.extension(ExtType::SDP_IDS, protocols.as_bytes())
    }

    /// Appends the OMA BCAST extension.
    pub fn bcast(&mut self, subtype: BcastSubtype, data: &[u8]) -> &mut Self {
        self.extension(ExtType::OMA_BCAST, &[&[subtype.0], data].concat())
    }

    /// Appends a general extension of any type.
    pub fn extension(&mut self, ext_type: ExtType, data: &[u8]) -> &mut Self {
        self.payload(PayloadType::EXT).out.push(ext_type.0);
        self.prefixed_u16(data, "an extension has at most 65535 octets")
    }

    /// Appends the reason of an error message.
    pub fn error(&mut self, error: ErrorNo) -> &mut Self {
        self.payload(PayloadType::ERR).out.extend([error.0, 0, 0]);
        self
    }

    /// Appends KEMAC up to its MAC, which covers all that is written by then.
    pub fn kemac(&mut self, encr_alg: EncrAlg, encr_data: &[u8], mac_alg: MacAlg) -> &mut Self {
        self.payload(PayloadType::KEMAC).out.push(encr_alg.0);
        self.prefixed_u16(encr_data, "key data has at most 65535 octets");
        self.out.push(mac_alg.0);
        self
    }

    /// Appends V up to its MAC.
    pub fn verification(&mut self, auth_alg: MacAlg) -> &mut Self {
        self.payload(PayloadType::V).out.push(auth_alg.0);
        self
    }

    /// The octets so far; the caller appends the MAC of KEMAC or V, if there is one.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a value did not fit its length field.
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        match self.fault {
            None => Ok(self.out),
            Some(fault) => Err(Error::invalid(fault)),
        }
    }

    fn map(&mut self, map: &CsIdMapFields<'_>) {
        match map {
            CsIdMapFields::SrtpId(records) => {
                let count = self.octet(records.len(), "a map has at most 255 crypto sessions");
                self.out.extend([count, MapType::SRTP_ID.0]);
                for record in *records {
                    self.out.push(record.policy);
                    self.out.extend(record.ssrc.0.to_be_bytes());
                    self.out.extend(record.roc.0.to_be_bytes());
                }
            }
            CsIdMapFields::Empty => self.out.extend([0, MapType::EMPTY.0]),
            CsIdMapFields::Echo { session_count, map_type, info } => {
                self.out.extend([*session_count, map_type.0]);
                self.out.extend(*info);
            }
        }
    }

    /// Links the payload before to one of this type, and opens it.
    fn payload(&mut self, kind: PayloadType) -> &mut Self {
        if let Some(link) = self.out.get_mut(self.link) {
            *link = kind.0;
        }
        self.link = self.out.len();
        self.out.push(PayloadType::LAST.0);
        self
    }

    fn prefixed_u8(&mut self, value: &[u8], fault: &'static str) -> &mut Self {
        let len = self.octet(value.len(), fault);
        self.out.push(len);
        self.out.extend(value);
        self
    }

    fn prefixed_u16(&mut self, value: &[u8], fault: &'static str) -> &mut Self {
        let len = u16::try_from(value.len()).unwrap_or_else(|_| {
            self.fault.get_or_insert(fault);
            0
        });
        self.out.extend(len.to_be_bytes());
        self.out.extend(value);
        self
    }

    fn octet(&mut self, len: usize, fault: &'static str) -> u8 {
        u8::try_from(len).unwrap_or_else(|_| {
            self.fault.get_or_insert(fault);
            0
        })
    }

    /// Leaves room for a 16-bit length, to be filled by `close_length`.
    fn open_length(&mut self) -> usize {
        self.out.extend([0, 0]);
        self.out.len()
    }

    fn close_length(&mut self, start: usize) -> &mut Self {
        let Ok(len) = u16::try_from(self.out.len() - start) else {
            self.fault.get_or_insert("a policy has at most 65535 octets");
            return self;
        };
        if let Some(field) = self.out.get_mut(start - 2..start) {
            field.copy_from_slice(&len.to_be_bytes());
        }
        self
    }
}

/// Room for an MSK message with short identities.
const USUAL_LEN: usize = 320;
