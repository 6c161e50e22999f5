//! Identifiers of the field, one type each, so that an SSRC and an index cannot be swapped.
//!
//! Bottom layer: everything above names things with these. Conversions to raw integers belong in
//! [`crate::wire`] and in the transforms; elsewhere the types travel whole.

use std::fmt;

/// Defines a name that the operator gives: text, cheap to clone, shown as it was given.
macro_rules! name {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The name as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The longest name that is taken, in octets.
            pub const MAX_LEN: usize = 1024;

            pub(crate) fn check(&self) -> Result<(), crate::Error> {
                if self.0.len() <= Self::MAX_LEN {
                    return Ok(());
                }
                let (len, most) = (self.0.len(), Self::MAX_LEN);
                Err(crate::Error::invalid(format!("a name of {len} octets; it may have {most}")))
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use name;

/// Synchronisation source of an RTP or RTCP stream (RFC 3550 §3).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ssrc(pub u32);

/// RTP sequence number (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Seq(pub u16);

/// Rollover counter: how often the sequence number has wrapped (RFC 3711 §3.3.1).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Roc(pub u32);

/// Rollover counter and sequence number as one 48-bit packet index (RFC 3711 §3.3.1).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PacketIndex(u64);

impl PacketIndex {
    /// The highest index a master key may protect (RFC 3711 §9.2).
    pub const MAX: Self = Self((1 << 48) - 1);

    /// Joins a rollover counter and a sequence number.
    #[must_use]
    pub const fn new(roc: Roc, seq: Seq) -> Self {
        Self((roc.0 as u64) << 16 | seq.0 as u64)
    }

    /// An SRTCP index, which is explicit and 31 bits wide (RFC 3711 §3.4).
    #[must_use]
    pub const fn srtcp(index: u32) -> Self {
        Self((index & 0x7fff_ffff) as u64)
    }

    /// An index as a number; bits above the 48 of an index are dropped.
    #[must_use]
    pub const fn from_value(value: u64) -> Self {
        Self(value & Self::MAX.0)
    }

    /// The upper 32 bits.
    #[must_use]
    pub const fn roc(self) -> Roc {
        // Bits 16..48 fit 32 bits because every constructor keeps the value below 2^48.
        Roc((self.0 >> 16) as u32)
    }

    /// The lower 16 bits.
    #[must_use]
    pub const fn seq(self) -> Seq {
        Seq((self.0 & 0xffff) as u16)
    }

    /// The index as a number below 2^48.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

/// Key Domain ID: three opaque octets, in practice MCC and MNC (TS 33.246 §6.3.2.1).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyDomainId(pub [u8; 3]);

/// MSK ID: key group and key number, 2 + 2 octets (TS 33.246 §6.3.2.1).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MskId {
    /// Key Group part: names the group of users that share the key.
    pub group: u16,
    /// Key Number part: distinguishes the keys of one group; 0 is no key.
    pub number: u16,
}

impl MskId {
    /// Reads the four octets of the Key ID extension (RFC 4563 §4).
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self {
            group: u16::from_be_bytes([bytes[0], bytes[1]]),
            number: u16::from_be_bytes([bytes[2], bytes[3]]),
        }
    }

    /// The four octets as the Key ID extension carries them.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        let [g0, g1] = self.group.to_be_bytes();
        let [n0, n1] = self.number.to_be_bytes();
        [g0, g1, n0, n1]
    }
}

/// MTK ID: grows with each traffic key under one MSK, never wraps (TS 33.246 §6.3.3.1).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MtkId(pub u16);

/// Crypto session bundle of a MIKEY message (RFC 3830 §6.1).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CsbId(pub u32);

/// A talk group within one gateway: an index, given when the group is added.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GroupId(pub u32);

/// Master key identifier of SRTP, 0 to [`Mki::MAX_LEN`] octets (RFC 3711 §3.1).
///
/// MBMS uses six: the MSK ID, then the MTK ID (TS 33.246 §6.6.2.1).
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Mki {
    len: u8,
    bytes: [u8; Self::MAX_LEN],
}

impl Mki {
    /// Longest MKI accepted, the limit of RFC 4568 §6.1.
    pub const MAX_LEN: usize = 128;
    /// Length of an MBMS MKI.
    pub const MBMS_LEN: usize = 6;
    /// No MKI at all.
    pub const NONE: Self = Self { len: 0, bytes: [0; Self::MAX_LEN] };

    /// Takes the octets as they stand in the packet; `None` if there are more than
    /// [`Mki::MAX_LEN`].
    #[must_use]
    pub fn new(octets: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX_LEN];
        bytes.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(Self { len: u8::try_from(octets.len()).ok()?, bytes })
    }

    /// The MKI of a traffic key: MSK ID, then MTK ID.
    #[must_use]
    pub const fn mbms(msk: MskId, mtk: MtkId) -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        let [a, b, c, d] = msk.to_bytes();
        let [e, f] = mtk.0.to_be_bytes();
        bytes[0] = a;
        bytes[1] = b;
        bytes[2] = c;
        bytes[3] = d;
        bytes[4] = e;
        bytes[5] = f;
        Self { len: 6, bytes }
    }

    /// The octets as they stand in the packet.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// MSK ID and MTK ID of a six-octet MKI, `None` for any other length.
    #[must_use]
    pub fn split_mbms(&self) -> Option<(MskId, MtkId)> {
        match *self.as_bytes() {
            [a, b, c, d, e, f] => {
                Some((MskId::from_bytes([a, b, c, d]), MtkId(u16::from_be_bytes([e, f]))))
            }
            _ => None,
        }
    }
}

impl fmt::Debug for Mki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mki({self})")
    }
}

impl fmt::Display for Mki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, self.as_bytes())
    }
}

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Display for KeyDomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Display for MskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}{:04x}", self.group, self.number)
    }
}

impl fmt::Display for MtkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_joins_and_splits() {
        let index = PacketIndex::new(Roc(0xffff_ffff), Seq(0x8001));
        assert_eq!(index.value(), 0xffff_ffff_8001);
        assert_eq!((index.roc(), index.seq()), (Roc(0xffff_ffff), Seq(0x8001)));
        assert_eq!(PacketIndex::srtcp(0x8000_0003).value(), 3);
    }

    #[test]
    fn mki_of_mbms_is_msk_id_then_mtk_id() {
        let (msk, mtk) = (MskId { group: 0x0012, number: 0x0003 }, MtkId(7));
        let mki = Mki::mbms(msk, mtk);
        assert_eq!(mki.to_string(), "001200030007");
        assert_eq!(mki.split_mbms(), Some((msk, mtk)));
        assert_eq!(Mki::new(&[0; 129]), None);
        assert_eq!(Mki::new(&[]), Some(Mki::NONE));
    }
}
