//! Searches texts for key material, in whatever spelling.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mcast_srtp::keys::{Msk, Mtk};

use crate::group::{Keys, muk};

/// Key material that must not be found anywhere.
#[derive(Default)]
pub(crate) struct Secrets(pub(crate) Vec<(String, Vec<u8>)>);

impl Secrets {
    /// Everything [`Keys`] makes with small numbers.
    pub(crate) fn of(keys: &Keys) -> Self {
        let mut secrets = Self::default();
        secrets.add("MUK", muk("c1").0.expose());
        for number in 1..4 {
            let Msk { key, .. } = keys.msk(number);
            secrets.add(format!("MSK {number}"), key.expose());
            for mtk in 1..4 {
                let Mtk { key, salt } = keys.mtk(number, mtk);
                secrets.add(format!("MTK {number}/{mtk}"), key.expose());
                secrets.add(format!("salt {number}/{mtk}"), salt.unwrap().expose());
            }
        }
        secrets
    }

    pub(crate) fn add(&mut self, name: impl Into<String>, octets: &[u8]) {
        self.0.push((name.into(), octets.to_vec()));
    }

    /// Eight octets in a row of a secret, however they are spelled, are one too many.
    pub(crate) fn assert_absent(&self, place: &str, text: &str) {
        let text = Text::new(text);
        for (name, octets) in &self.0 {
            let found = octets.windows(WINDOW).find_map(|part| text.spells(part));
            assert!(found.is_none(), "{name} in {place}, as {found:?}: {}", text.raw);
        }
    }
}

/// A text, prepared for the search.
pub(crate) struct Text<'a> {
    raw: &'a str,
    /// Hexadecimal digits alone, in lower case: `2a2a`, `2a:2A`, `0x2a, 0x2a` and `\x2a` are the same.
    hexadecimal: String,
    /// Numbers alone, with a comma before and after each: one line or many are the same.
    decimal: String,
}

impl<'a> Text<'a> {
    pub(crate) fn new(raw: &'a str) -> Self {
        let without_prefix = raw.replace("0x", "").replace("\\x", "").to_ascii_lowercase();
        let hexadecimal = without_prefix.chars().filter(char::is_ascii_hexdigit).collect();
        let numbers = raw.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
        let decimal = format!(",{},", numbers.collect::<Vec<_>>().join(","));
        Self { raw, hexadecimal, decimal }
    }

    /// How the text spells these octets, if it does.
    pub(crate) fn spells(&self, octets: &[u8]) -> Option<&'static str> {
        if self.hexadecimal.contains(&hex(octets)) {
            return Some("hexadecimal");
        }
        let numbers: Vec<_> = octets.iter().map(u8::to_string).collect();
        if self.decimal.contains(&format!(",{},", numbers.join(","))) {
            return Some("decimal");
        }
        // Base64 groups three octets; the secret may begin at any of the three.
        let base64 = (0..3).any(|skip| {
            let encoded = STANDARD.encode(&octets[skip..skip + (octets.len() - skip) / 3 * 3]);
            let url_safe = encoded.replace('+', "-").replace('/', "_");
            self.raw.contains(&encoded) || self.raw.contains(&url_safe)
        });
        if base64 {
            return Some("base64");
        }
        std::str::from_utf8(octets).is_ok_and(|text| self.raw.contains(text)).then_some("raw")
    }
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// Octets that must appear together.
pub(crate) const WINDOW: usize = 8;
