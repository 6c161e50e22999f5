//! KEMAC and the key data sub-payloads inside it (RFC 3830 §6.2, §6.13, §6.14).

use std::fmt;

use zeroize::Zeroizing;

use super::{
    code::{EncrAlg, KeyType, KvType, MacAlg, PayloadType},
    reader::Reader,
};
use crate::{Error, Reject};

/// Encrypted key data and the MAC over the message.
#[derive(Clone, Copy, Debug)]
pub struct Kemac<'a> {
    /// How the key data is encrypted.
    pub encr_alg: EncrAlg,
    /// The key data, encrypted; empty in an update without keys.
    pub encr_data: &'a [u8],
    /// Which MAC follows.
    pub mac_alg: MacAlg,
    /// The MAC.
    pub mac: &'a [u8],
}

impl<'a> Kemac<'a> {
    /// Reads what follows the `next payload` octet.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Reject> {
        let encr_alg = EncrAlg(reader.u8()?);
        let encr_data = reader.prefixed_u16()?;
        let mac_alg = MacAlg(reader.u8()?);
        let mac = reader.take(mac_alg.mac_len().ok_or(Reject::MikeyUnsupported)?)?;
        Ok(Self { encr_alg, encr_data, mac_alg, mac })
    }
}

/// The sub-payloads of decrypted key data, proved to be well formed.
#[derive(Clone, Copy)]
pub struct KeyDataChain<'a> {
    octets: &'a [u8],
}

impl<'a> KeyDataChain<'a> {
    /// Proves that the octets are a chain of at least one key.
    ///
    /// # Errors
    /// [`Reject::MikeyMalformed`], or [`Reject::MikeyUnsupported`] for a type of unknown layout.
    pub fn parse(octets: &'a [u8]) -> Result<Self, Reject> {
        let mut reader = Reader::new(octets);
        while KeyData::read(&mut reader)?.0 {}
        if !reader.is_empty() {
            return Err(Reject::MikeyMalformed);
        }
        Ok(Self { octets })
    }

    /// The keys in order.
    pub fn iter(&self) -> impl Iterator<Item = KeyData<'a>> + use<'a> {
        let mut reader = Reader::new(self.octets);
        std::iter::from_fn(move || KeyData::read(&mut reader).ok().map(|(_, key)| key))
    }

    /// The key, if there is exactly one.
    #[must_use]
    pub fn only(&self) -> Option<KeyData<'a>> {
        let mut keys = self.iter();
        keys.next().filter(|_| keys.next().is_none())
    }
}

impl fmt::Debug for KeyDataChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDataChain<{}>(..)", self.octets.len())
    }
}

/// One key.
#[derive(Clone, Copy)]
pub struct KeyData<'a> {
    /// What the key is for.
    pub key_type: KeyType,
    /// The key.
    pub key: &'a [u8],
    /// The salt beside it, for the types that have one.
    pub salt: Option<&'a [u8]>,
    /// For what the key is valid.
    pub validity: Validity<'a>,
}

impl<'a> KeyData<'a> {
    /// Reads one sub-payload; the flag says that another one follows.
    fn read(reader: &mut Reader<'a>) -> Result<(bool, Self), Reject> {
        let another = match PayloadType(reader.u8()?) {
            PayloadType::LAST => false,
            PayloadType::KEY_DATA => true,
            _ => return Err(Reject::MikeyMalformed),
        };
        let types = reader.u8()?;
        let key_type = KeyType(types >> 4);
        let key = reader.prefixed_u16()?;
        let salt = match key_type.has_salt() {
            Some(true) => Some(reader.prefixed_u16()?),
            Some(false) => None,
            None => return Err(Reject::MikeyUnsupported),
        };
        let validity = Validity::read(KvType(types & 0x0f), reader)?;
        Ok((another, Self { key_type, key, salt, validity }))
    }

    /// Writes the key as the only sub-payload of a KEMAC, not yet encrypted.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a part is too long, or the salt does not go with the key type.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        if self.key_type.has_salt() != Some(self.salt.is_some()) {
            let salt = if self.salt.is_some() { "with" } else { "without" };
            return Err(Error::invalid(format!("{} {salt} a salt has no encoding", self.key_type)));
        }
        // Reserved in full, so that no copy of the key is left behind by growing.
        let mut out = Zeroizing::new(Vec::with_capacity(self.encoded_len()));
        out.extend([PayloadType::LAST.0, self.key_type.0 << 4 | self.validity.kv_type().0]);
        for part in [Some(self.key), self.salt].into_iter().flatten() {
            let len = u16::try_from(part.len())
                .map_err(|_| Error::invalid("a key or salt has at most 65535 octets"))?;
            out.extend(len.to_be_bytes());
            out.extend(part);
        }
        for bound in self.validity.parts() {
            let len = u8::try_from(bound.len())
                .map_err(|_| Error::invalid("SPI and interval bounds have at most 255 octets"))?;
            out.push(len);
            out.extend(bound);
        }
        Ok(out)
    }

    fn encoded_len(&self) -> usize {
        let salt = self.salt.map_or(0, |salt| 2 + salt.len());
        let validity: usize = self.validity.parts().map(|part| 1 + part.len()).sum();
        4 + self.key.len() + salt + validity
    }
}

impl fmt::Debug for KeyData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyData")
            .field("key_type", &self.key_type)
            .field("key_len", &self.key.len())
            .field("salt_len", &self.salt.map(<[u8]>::len))
            .field("validity", &self.validity)
            .finish()
    }
}

/// KV data of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Validity<'a> {
    /// Until it is replaced.
    Always,
    /// For packets with this SPI; for SRTP the MKI.
    Spi(&'a [u8]),
    /// For indices between the two; in MBMS for the MTK IDs SEQl to SEQu.
    Interval {
        /// First index.
        from: &'a [u8],
        /// Last index.
        to: &'a [u8],
    },
}

impl<'a> Validity<'a> {
    pub(super) fn read(kv_type: KvType, reader: &mut Reader<'a>) -> Result<Self, Reject> {
        match kv_type {
            KvType::NULL => Ok(Self::Always),
            KvType::SPI => Ok(Self::Spi(reader.prefixed_u8()?)),
            KvType::INTERVAL => {
                Ok(Self::Interval { from: reader.prefixed_u8()?, to: reader.prefixed_u8()? })
            }
            _ => Err(Reject::MikeyUnsupported),
        }
    }

    /// The parts, each behind a length octet on the wire.
    fn parts(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let parts = match *self {
            Self::Always => [None, None],
            Self::Spi(spi) => [Some(spi), None],
            Self::Interval { from, to } => [Some(from), Some(to)],
        };
        parts.into_iter().flatten()
    }

    /// The code point of this kind of validity.
    #[must_use]
    pub const fn kv_type(&self) -> KvType {
        match self {
            Self::Always => KvType::NULL,
            Self::Spi(_) => KvType::SPI,
            Self::Interval { .. } => KvType::INTERVAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_KEYS: &[u8] = &[
        20, 0x02, 0, 2, 0xaa, 0xbb, 2, 0, 1, 2, 0, 9, // TGK, interval 1 to 9
        0, 0x31, 0, 1, 0xcc, 0, 1, 0xdd, 1, 0xee, // TEK+SALT, SPI
    ];

    #[test]
    fn chain_of_two_keys_is_read_field_by_field() {
        let chain = KeyDataChain::parse(TWO_KEYS).unwrap();
        let keys: Vec<_> = chain.iter().collect();
        assert_eq!(keys.len(), 2);
        assert_eq!((keys[0].key_type, keys[0].key), (KeyType::TGK, &[0xaa, 0xbb][..]));
        assert_eq!(keys[0].salt, None);
        assert_eq!(keys[0].validity, Validity::Interval { from: &[0, 1], to: &[0, 9] });
        assert_eq!((keys[1].key_type, keys[1].salt), (KeyType::TEK_SALT, Some(&[0xdd][..])));
        assert_eq!(keys[1].validity, Validity::Spi(&[0xee]));
        assert!(chain.only().is_none());
    }

    #[test]
    fn encoded_key_is_read_back() {
        let validity = Validity::Interval { from: &[0, 1], to: &[0, 9] };
        let key =
            KeyData { key_type: KeyType::TEK_SALT, key: &[1; 16], salt: Some(&[2; 14]), validity };
        let octets = key.encode().unwrap();
        assert_eq!(octets.len(), octets.capacity());
        let read = KeyDataChain::parse(&octets).unwrap().only().unwrap();
        assert_eq!((read.key_type, read.key, read.salt), (key.key_type, key.key, key.salt));
        assert_eq!(read.validity, validity);

        let without_salt = KeyData { salt: None, ..key };
        assert!(without_salt.encode().unwrap_err().to_string().contains("TEK+SALT"));
        assert!(KeyData { key: &[0; 0x1_0000], ..key }.encode().is_err());
    }

    #[test]
    fn cut_or_lengthened_key_data_is_refused() {
        for end in 0..TWO_KEYS.len() {
            assert!(KeyDataChain::parse(&TWO_KEYS[..end]).is_err(), "{end} octets");
        }
        assert!(KeyDataChain::parse(&[TWO_KEYS, &[0]].concat()).is_err());
    }

    #[test]
    fn debug_output_shows_lengths_only() {
        let chain = KeyDataChain::parse(TWO_KEYS).unwrap();
        let text = format!("{chain:?} {:?}", chain.iter().next().unwrap());
        assert!(text.contains("key_len: 2") && !text.contains("170"), "{text}");
    }
}
