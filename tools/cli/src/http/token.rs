//! Bearer tokens: read from where secrets are kept, sent, and compared.

use std::fmt;

use hyper::header::HeaderValue;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    exit::Failure,
    key_source::{KeySource, secret_text},
};

/// A secret that lets its bearer in (RFC 6750).
pub(crate) struct Token(Zeroizing<String>);

impl Token {
    /// Shorter ones could be guessed.
    pub(crate) const MIN_LEN: usize = 16;

    /// Reads a token; `option` names the place in complaints.
    ///
    /// # Errors
    /// A usage failure that says where and what is wrong, without quoting it.
    pub(crate) fn read(option: &str, source: &KeySource) -> Result<Self, Failure> {
        let text = secret_text(option, source)?;
        Self::new(text.trim()).map_err(|what| Failure::usage(format!("{option} {source}: {what}")))
    }

    /// Takes a token as it is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        if text.len() < Self::MIN_LEN {
            return Err(format!("a token has {} characters or more", Self::MIN_LEN));
        }
        //= RFC 6750 §2.1: b64token
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~+/=".contains(&octet);
        if !text.bytes().all(allowed) {
            return Err("a token is of letters, digits and -._~+/= only".to_owned());
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The value of the header `Authorization`.
    pub(super) fn bearer(&self) -> HeaderValue {
        let text = Zeroizing::new(format!("Bearer {}", &*self.0));
        // `new` lets only characters of a header through.
        let mut value =
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }

    /// Whether this is the token given. The time taken says nothing of how much of it is right, nor
    /// of its length.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        Sha256::digest(self.0.as_bytes()).ct_eq(&Sha256::digest(given)).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_token_is_the_token() {
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for other in ["", "0123456789abcdeg", "0123456789abcde", "0123456789abcdef0"] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn short_or_strange_tokens_are_refused_and_none_is_shown() {
        assert!(Token::new("short").unwrap_err().contains("16 characters"));
        let told = Token::new("0123456789abcdef ghi").unwrap_err();
        assert!(told.contains("letters") && !told.contains("0123"), "{told}");
        let token = Token::new("0123456789abcdef").unwrap();
        assert_eq!(format!("{token:?} {:?}", token.bearer()), "Token(..) Sensitive");
    }
}
