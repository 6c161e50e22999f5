//! MUKs as texts, in the key file and in requests: the key in hex, or the GBA inputs it comes from.

use std::{fmt, net::IpAddr, net::SocketAddr};

use mcast_srtp::{
    keys::{
        Muk, MukId,
        gba::{Bootstrapped, Variant},
    },
    keyserver::{MIKEY_PORT, Reach},
    secret::Secret,
};
use zeroize::Zeroizing;

/// What is wrong with a field. The value is not quoted, for it may be a key.
#[derive(Debug)]
pub(crate) struct FieldFault {
    pub(crate) field: &'static str,
    pub(crate) what: String,
}

impl FieldFault {
    pub(crate) fn new(field: &'static str, what: impl fmt::Display) -> Self {
        Self { field, what: what.to_string() }
    }
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field {}: {}", self.field, self.what)
    }
}

/// A MUK as it is, with the identities that select it.
pub(crate) struct GivenMuk<'a> {
    pub(crate) idi: &'a str,
    pub(crate) idr: &'a str,
    /// 64 hex digits.
    pub(crate) key: &'a str,
}

impl GivenMuk<'_> {
    /// The MUK ready for use.
    ///
    /// # Errors
    /// The field that cannot be read.
    pub(crate) fn read(&self) -> Result<(MukId, Muk), FieldFault> {
        let id = MukId { idi: name("idi", self.idi)?, idr: name("idr", self.idr)? };
        let key = fixed(self.key, "a MUK").map_err(|what| FieldFault::new("key", what))?;
        Ok((id, Muk(Secret::new(*key))))
    }
}

/// The inputs of GBA that a MUK is derived from.
pub(crate) struct GbaInputs<'a> {
    /// "me" (GBA_ME) or "u" (GBA_U).
    pub(crate) variant: &'a str,
    /// Each of 32 hex digits.
    pub(crate) ck: &'a str,
    pub(crate) ik: &'a str,
    pub(crate) rand: &'a str,
    pub(crate) impi: &'a str,
    pub(crate) naf: &'a str,
    pub(crate) idr: &'a str,
}

impl GbaInputs<'_> {
    /// TS 33.220 and TS 33.246: Ks to Ks_NAF or Ks_int_NAF, which is the MUK.
    ///
    /// # Errors
    /// The field that cannot be read.
    pub(crate) fn derive(&self) -> Result<(MukId, Muk), FieldFault> {
        let variant = match self.variant {
            "me" => Variant::Me,
            "u" => Variant::U,
            _ => {
                return Err(FieldFault::new("variant", r#"neither "me" (GBA_ME) nor "u" (GBA_U)"#));
            }
        };
        let secret = |field, text, of_what| {
            fixed::<16>(text, of_what).map_err(|what| FieldFault::new(field, what))
        };
        let bootstrapped = Bootstrapped {
            ck: &Secret::new(*secret("ck", self.ck, "CK")?),
            ik: &Secret::new(*secret("ik", self.ik, "IK")?),
            rand: *secret("rand", self.rand, "RAND")?,
            impi: &name("impi", self.impi)?,
            naf: &name("naf", self.naf)?,
        };
        //= K15: IDi is the FQDN of the NAF
        let id = MukId { idi: bootstrapped.naf.to_owned(), idr: name("idr", self.idr)? };
        Ok((id, bootstrapped.user_keys(variant).muk))
    }
}

/// Hex of any length.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn hex_octets(digits: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    hex::decode(digits).map(Zeroizing::new).map_err(|error| match error {
        hex::FromHexError::InvalidHexCharacter { index, .. } => {
            format!("character {} is not a hex digit", index + 1)
        }
        _ => format!("{} hex digits, an odd number", digits.len()),
    })
}

/// Hex of a known length; `of_what` takes it.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn octets(
    digits: &str,
    of_what: &str,
    len: usize,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let octets = hex_octets(digits)?;
    if octets.len() == len {
        return Ok(octets);
    }
    let have = 2 * octets.len();
    Err(format!("{have} hex digits, but {of_what} takes {} ({len} octets)", 2 * len))
}

/// The same as an array.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn fixed<const N: usize>(
    digits: &str,
    of_what: &str,
) -> Result<Zeroizing<[u8; N]>, String> {
    let octets = octets(digits, of_what, N)?;
    let mut array = Zeroizing::new([0; N]);
    // `octets` checked the length.
    array.copy_from_slice(&octets);
    Ok(array)
}

/// How a client is reached: `sdp`, or an address with or without port.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn reach(text: &str) -> Result<Reach, String> {
    if text == "sdp" {
        return Ok(Reach::Sdp);
    }
    let address = match text.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, MIKEY_PORT),
        Err(_) => text.parse::<SocketAddr>().map_err(|_| {
            "neither sdp nor an address, for example 192.0.2.7 or [2001:db8::7]:2269".to_owned()
        })?,
    };
    if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
        return Err(format!("{address} is not the address of one client"));
    }
    Ok(Reach::Udp(address))
}

/// The text that [`reach`] reads.
pub(crate) fn reach_text(reach: Reach) -> String {
    match reach {
        Reach::Sdp => "sdp".to_owned(),
        Reach::Udp(address) => address.to_string(),
    }
}

fn name(field: &'static str, value: &str) -> Result<String, FieldFault> {
    match value.trim() {
        "" => Err(FieldFault::new(field, "empty")),
        name => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reach_is_sdp_or_the_address_of_one_client() {
        for (text, read) in [
            ("sdp", "sdp"),
            ("192.0.2.7", "192.0.2.7:2269"),
            ("192.0.2.7:5000", "192.0.2.7:5000"),
            ("2001:db8::7", "[2001:db8::7]:2269"),
        ] {
            assert_eq!(reach_text(reach(text).unwrap()), read);
        }
        for text in ["", "SDP", "c1.example", "192.0.2.7:0", "0.0.0.0", "239.255.0.1", "::"] {
            assert!(reach(text).is_err(), "{text}");
        }
    }
}
