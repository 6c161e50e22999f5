//! `a=key-mgmt`: a key-management message inside a description (RFC 4567).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::invalid;
use crate::error::Error;

/// One `a=key-mgmt` line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyMgmt {
    /// Protocol identifier, case-sensitive: `mikey`.
    pub protocol: String,
    /// The message, decoded.
    pub data: Vec<u8>,
}

impl KeyMgmt {
    /// The identifier of MIKEY (RFC 4567 §7).
    pub const MIKEY: &'static str = "mikey";

    /// A MIKEY message.
    #[must_use]
    pub fn mikey(message: Vec<u8>) -> Self {
        Self { protocol: Self::MIKEY.to_owned(), data: message }
    }

    /// Whether the message is MIKEY.
    #[must_use]
    pub fn is_mikey(&self) -> bool {
        self.protocol == Self::MIKEY
    }

    /// Reads the value: identifier, blank, base64 with its padding.
    pub(super) fn parse(value: &str) -> Result<Self, Error> {
        let bad = |what: String| invalid(format!("a=key-mgmt: {what}"));
        let value = value.strip_prefix(' ').unwrap_or(value);
        let (protocol, data) = value
            .split_once(' ')
            .ok_or_else(|| bad("it is written key-mgmt:mikey BASE64".to_owned()))?;
        if protocol.is_empty() || !protocol.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(bad(format!("{protocol:?} is no protocol identifier")));
        }
        //= RFC 4567 §3: base64 with padding, on one line; a lenient decoder would let the same
        //= message have several spellings
        let data = STANDARD
            .decode(data)
            .map_err(|error| bad(format!("the data of {protocol} is not base64: {error}")))?;
        if data.is_empty() {
            return Err(bad(format!("no data for {protocol}")));
        }
        Ok(Self { protocol: protocol.to_owned(), data })
    }

    /// The value as it is written.
    pub(super) fn value(&self) -> String {
        format!("{} {}", self.protocol, STANDARD.encode(&self.data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_strictly() {
        let message = KeyMgmt::mikey(vec![1, 2, 3, 4]);
        assert_eq!(KeyMgmt::parse("mikey AQIDBA==").unwrap(), message);
        assert_eq!(KeyMgmt::parse(" mikey AQIDBA==").unwrap(), message);
        assert_eq!(message.value(), "mikey AQIDBA==");
        for broken in [
            "mikey AQIDBA",
            "mikey AQIDBA=",
            "mikey AQIDBB==",
            "mikey AQID BA==",
            "mikey AQIDBA== ",
            "mikey AQID*A==",
            "mikey AQI-BA==",
            "mikey ",
            "mikey",
            "",
            "mi:key AQIDBA==",
        ] {
            let error = KeyMgmt::parse(broken).unwrap_err().to_string();
            assert!(error.contains("a=key-mgmt"), "{broken:?}: {error}");
        }
    }

    #[test]
    fn another_protocol_is_kept_with_its_name() {
        let line = KeyMgmt::parse("MIKEY AQIDBA==").unwrap();
        assert!(!line.is_mikey(), "identifiers are case-sensitive");
    }
}
