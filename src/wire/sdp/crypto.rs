//! `a=crypto`: keys in the clear inside a description (RFC 4568). For captures and tests, where the
//! description is as secret as the keys; talk groups get theirs by MIKEY.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::invalid;
use crate::{error::Error, ids::Mki, secret::SecretBytes};

/// One `a=crypto` line.
#[non_exhaustive]
#[derive(Debug)]
pub struct Crypto {
    /// Number of the line among its sisters.
    pub tag: u32,
    /// Suite as this library names it: `AES_CM_128_HMAC_SHA1_80`.
    pub suite: &'static str,
    /// The keys; more than one only if each has an MKI.
    pub keys: Vec<CryptoKey>,
    /// Key derivation rate: 0, or a power of two up to 2^24.
    pub kdr: u32,
    /// Whether SRTP payloads are encrypted.
    pub encrypt_srtp: bool,
    /// Whether SRTCP is encrypted.
    pub encrypt_srtcp: bool,
    /// Whether SRTP is authenticated.
    pub authenticate_srtp: bool,
    /// Size hint for the replay window.
    pub window: Option<u8>,
    /// Parameters kept as they are: FEC, and those that begin with `-`.
    pub other: Vec<String>,
}

/// One master key of a line.
#[derive(Debug)]
pub struct CryptoKey {
    /// SRTP master key.
    pub key: SecretBytes,
    /// SRTP master salt.
    pub salt: SecretBytes,
    /// Most packets it may protect.
    pub lifetime: Option<u64>,
    /// MKI as it stands in the packets; [`Mki::NONE`] if they carry none.
    pub mki: Mki,
}

impl Crypto {
    /// Reads the value; `None` if the suite is not known here. Errors never show the key.
    pub(super) fn parse(value: &str) -> Result<Option<Self>, Error> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next().and_then(decimal);
        let tag = tag.and_then(|tag| u32::try_from(tag).ok()).ok_or_else(|| bad("no tag"))?;
        let name = words.next().ok_or_else(|| bad("no suite"))?;
        let known = SUITES.iter().find(|(suite, ..)| suite.eq_ignore_ascii_case(name));
        let Some(&(suite, key_len, salt_len)) = known else {
            return Ok(None);
        };
        let keys = words.next().ok_or_else(|| bad("no key"))?;
        let keys = keys.split(';').map(|text| CryptoKey::parse(text, key_len, salt_len));
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        check_mkis(&keys)?;
        let mut line = Self {
            tag,
            suite,
            keys,
            kdr: 0,
            encrypt_srtp: true,
            encrypt_srtcp: true,
            authenticate_srtp: true,
            window: None,
            other: Vec::new(),
        };
        words.try_for_each(|word| line.read_parameter(word))?;
        Ok(Some(line))
    }

    fn read_parameter(&mut self, word: &str) -> Result<(), Error> {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "KDR" => {
                //= RFC 4568 §6.3.1: the exponent of the rate; the grammar of §9.2 allows 0
                let exponent = decimal(value).filter(|exponent| *exponent <= 24);
                let exponent = exponent.ok_or_else(|| bad("KDR is an exponent from 0 to 24"))?;
                self.kdr = if exponent == 0 { 0 } else { 1 << exponent };
            }
            "UNENCRYPTED_SRTP" => self.encrypt_srtp = false,
            "UNENCRYPTED_SRTCP" => self.encrypt_srtcp = false,
            "UNAUTHENTICATED_SRTP" => self.authenticate_srtp = false,
            "WSH" => {
                let size = decimal(value).and_then(|size| u8::try_from(size).ok());
                self.window = Some(size.filter(|s| *s >= 64).ok_or_else(|| bad("WSH below 64"))?);
            }
            // FEC keys are not used, and would be keys in the clear here.
            "FEC_ORDER" | "FEC_KEY" => self.other.push(name.to_owned()),
            //= RFC 4568 §6.3.7: an unknown parameter invalidates the line unless it begins with "-"
            _ if name.starts_with('-') => self.other.push(word.to_owned()),
            _ => return Err(bad("unknown session parameter")),
        }
        Ok(())
    }
}

impl CryptoKey {
    /// Reads `inline:BASE64[|LIFETIME][|MKI:LENGTH]`.
    fn parse(text: &str, key_len: usize, salt_len: usize) -> Result<Self, Error> {
        let inline = text.strip_prefix("inline:").ok_or_else(|| bad("the key is not inline"))?;
        let mut parts = inline.split('|');
        let both = parts.next().unwrap_or_default();
        let both = Zeroizing::new(STANDARD.decode(both).map_err(|_| bad("key is not base64"))?);
        //= RFC 4568 §6.1: a key and salt of another length than the suite's invalidate the line
        if both.len() != key_len + salt_len {
            return Err(bad(&format!(
                "key and salt have {} octets, the suite wants {key_len} and {salt_len}",
                both.len()
            )));
        }
        let (key, salt) = both.split_at_checked(key_len).unwrap_or_default();
        let mut read = Self {
            key: SecretBytes::new(key),
            salt: SecretBytes::new(salt),
            lifetime: None,
            mki: Mki::NONE,
        };
        let mut next = parts.next();
        if let Some(text) = next.filter(|text| !text.contains(':')) {
            read.lifetime = Some(read_lifetime(text)?);
            next = parts.next();
        }
        if let Some(text) = next {
            read.mki = read_mki(text)?;
        }
        if parts.next().is_some() { Err(bad("too many parts after the key")) } else { Ok(read) }
    }
}

fn check_mkis(keys: &[CryptoKey]) -> Result<(), Error> {
    let lens: Vec<_> = keys.iter().map(|key| key.mki.as_bytes().len()).collect();
    //= RFC 4568 §6.1: several keys need an MKI each, all of one length
    match lens.as_slice() {
        [_] => Ok(()),
        [first, rest @ ..] if *first > 0 && rest.iter().all(|len| len == first) => Ok(()),
        _ => Err(bad("several keys need an MKI each, all of one length")),
    }
}

fn read_lifetime(text: &str) -> Result<u64, Error> {
    let lifetime = match text.strip_prefix("2^") {
        Some(exponent) => {
            decimal(exponent).filter(|exponent| *exponent <= 48).map(|exponent| 1 << exponent)
        }
        None => decimal(text).filter(|lifetime| (1..=1 << 48).contains(lifetime)),
    };
    lifetime.ok_or_else(|| bad("the lifetime is a number of packets up to 2^48"))
}

/// Reads `MKI:LENGTH`: a decimal number, and in how many octets it is written, big-endian.
fn read_mki(text: &str) -> Result<Mki, Error> {
    let wrong = || bad("the MKI is a decimal number and its length, 1 to 128 octets");
    let (number, len) = text.split_once(':').ok_or_else(wrong)?;
    let len = decimal(len).and_then(|len| usize::try_from(len).ok()).ok_or_else(wrong)?;
    if !(1..=Mki::MAX_LEN).contains(&len) || number.is_empty() {
        return Err(wrong());
    }
    let mut octets = vec![0u8; len];
    for digit in number.bytes() {
        let mut carry = u16::from(digit.wrapping_sub(b'0'));
        if carry > 9 {
            return Err(wrong());
        }
        for octet in octets.iter_mut().rev() {
            let value = u16::from(*octet) * 10 + carry;
            *octet = (value & 0xff) as u8; // the low octet
            carry = value >> 8;
        }
        if carry != 0 {
            return Err(bad("the MKI does not fit its length"));
        }
    }
    Mki::new(&octets).ok_or_else(wrong)
}

fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn bad(what: &str) -> Error {
    invalid(format!("a=crypto: {what}"))
}

/// Name, length of the master key, length of the master salt (RFC 4568 §6.2, RFC 6188, RFC 7714).
const SUITES: [(&str, usize, usize); 8] = [
    ("AES_CM_128_HMAC_SHA1_80", 16, 14),
    ("AES_CM_128_HMAC_SHA1_32", 16, 14),
    ("AES_192_CM_HMAC_SHA1_80", 24, 14),
    ("AES_192_CM_HMAC_SHA1_32", 24, 14),
    ("AES_256_CM_HMAC_SHA1_80", 32, 14),
    ("AES_256_CM_HMAC_SHA1_32", 32, 14),
    ("AEAD_AES_128_GCM", 16, 12),
    ("AEAD_AES_256_GCM", 32, 12),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn inline(len: usize) -> String {
        format!("inline:{}", STANDARD.encode((0u8..).take(len).collect::<Vec<_>>()))
    }

    fn refusal(value: &str) -> String {
        Crypto::parse(value).unwrap_err().to_string()
    }

    #[test]
    fn every_suite_wants_its_lengths() {
        for (suite, key_len, salt_len) in SUITES {
            let line = format!("1 {suite} {}", inline(key_len + salt_len));
            let line = Crypto::parse(&line).unwrap().unwrap();
            let [key] = line.keys.as_slice() else { panic!("one key") };
            assert_eq!((key.key.len(), key.salt.len()), (key_len, salt_len));
            assert_eq!(key.salt.expose().first(), u8::try_from(key_len).ok().as_ref());
            let short = format!("1 {suite} {}", inline(key_len + salt_len - 1));
            assert!(refusal(&short).contains("the suite wants"));
        }
    }

    #[test]
    fn lifetime_and_mki_are_read_in_every_combination() {
        let key = inline(30);
        let read = |rest: &str| {
            let line = Crypto::parse(&format!("7 AES_CM_128_HMAC_SHA1_80 {key}{rest}"));
            let mut line = line.unwrap().unwrap();
            let key = line.keys.remove(0);
            (key.lifetime, key.mki.to_string())
        };
        assert_eq!(read(""), (None, String::new()));
        assert_eq!(read("|2^31"), (Some(1 << 31), String::new()));
        assert_eq!(read("|1000|1:4"), (Some(1000), "00000001".to_owned()));
        // The MKI of MSK ID 0012 0003 and MTK ID 0007.
        assert_eq!(read("|77309607943:6"), (None, "001200030007".to_owned()));
    }

    #[test]
    fn several_keys_need_an_mki_each_of_one_length() {
        let line = |rest: [&str; 2]| {
            let [a, b] = rest.map(|mki| format!("{}{mki}", inline(28)));
            format!("1 AEAD_AES_128_GCM {a};{b}")
        };
        assert_eq!(Crypto::parse(&line(["|1:2", "|2:2"])).unwrap().unwrap().keys.len(), 2);
        for wrong in [["|1:2", ""], ["", ""], ["|1:2", "|1:3"]] {
            assert!(refusal(&line(wrong)).contains("one length"));
        }
    }

    #[test]
    fn parameters_are_read_and_unknown_ones_refused() {
        let line = |rest: &str| format!("1 AES_CM_128_HMAC_SHA1_32 {} {rest}", inline(30));
        let all = "KDR=10 UNENCRYPTED_SRTCP UNENCRYPTED_SRTP UNAUTHENTICATED_SRTP WSH=128 -x=1";
        let read = Crypto::parse(&line(all)).unwrap().unwrap();
        assert_eq!((read.kdr, read.window), (1 << 10, Some(128)));
        assert!(!read.encrypt_srtp && !read.encrypt_srtcp && !read.authenticate_srtp);
        assert_eq!(read.other, ["-x=1"]);
        for wrong in ["KDR=25", "KDR=x", "WSH=63", "WSH=", "CRYPTEX"] {
            refusal(&line(wrong));
        }
    }

    #[test]
    fn a_broken_line_is_told_without_its_key() {
        let secret = "c2VjcmV0IGtleSBtYXRlcmlhbCBvZiAzMCBvY3Q=";
        for wrong in [
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{secret}|0"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{secret}|2^49"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{secret}|256:1"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{secret}|1:129"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{secret}|1:1|2"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{secret}*"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {secret}"),
            format!("x AES_CM_128_HMAC_SHA1_80 inline:{secret}"),
            "1 AES_CM_128_HMAC_SHA1_80".to_owned(),
            "1".to_owned(),
            String::new(),
        ] {
            let error = refusal(&wrong);
            assert!(error.contains("a=crypto") && !error.contains("c2Vj"), "{wrong}: {error}");
        }
    }

    #[test]
    fn an_unknown_suite_is_no_error() {
        assert!(Crypto::parse("1 F8_128_HMAC_SHA1_80 inline:x").unwrap().is_none());
    }
}
