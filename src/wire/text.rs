//! Text from the network: names and phrases that somebody else wrote.

use std::fmt;

/// Borrowed octets that should be UTF-8, as SDES items, BYE reasons and burst control carry them.
///
/// `Display` is safe for a terminal or a log: control characters and octets that are not UTF-8 are escaped.
///
/// ```
/// use mcast_srtp::wire::Text;
///
/// assert_eq!(Text::new(b"Al\x1bice\xff").to_string(), r"Al\u{1b}ice\xff");
/// assert_eq!(Text::from("sip:alice@example.com").as_str(), Some("sip:alice@example.com"));
/// ```
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// Most octets a text can have: its length field has one octet.
    pub const MAX_LEN: usize = 255;

    /// Takes the octets as they stand in the packet.
    #[must_use]
    pub const fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// The octets as they stand in the packet.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The text, if it is valid UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        str::from_utf8(self.0).ok()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() || is_bidi_control(c) {
                    write!(f, "{}", c.escape_unicode())?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            chunk.invalid().iter().try_for_each(|octet| write!(f, "\\x{octet:02x}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Characters that reorder what follows them, so that one name could look like another.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_cannot_steer_a_terminal() {
        let text = Text::new("Ann\n\u{202e}é\u{7f}".as_bytes());
        assert_eq!(text.to_string(), "Ann\\u{a}\\u{202e}é\\u{7f}");
        assert_eq!(format!("{:?}", Text::new(&[0xc3])), "\"\\xc3\"");
        assert_eq!(Text::new(&[0xc3]).as_str(), None);
        assert!(Text::default().is_empty());
    }
}
