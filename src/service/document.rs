//! A channel document as JSON, for broadcasters in other processes.
//!
//! ```json
//! {"format":"mcast-srtp channel 1","channel":"group 17","broadcaster":"east","version":3,
//!  "domain":"00f110","profile":"AES_CM_128_HMAC_SHA1_80","mtk_period_ms":60000,
//!  "msks":[{"msk_id":"00010002","key":"…","rand":"…","mtk_ids":["0000","7fff"]}],
//!  "in_force":"00010002"}
//! ```
//! Octets are in hexadecimal. `broadcaster` and `mtk_period_ms` may be absent, and `kdr` is there if it
//! is not 0. A document with another format, or with a field that is not known here, is refused: what
//! was not understood might have mattered. The text holds keys: send it over a protected connection
//! only, and do not log it.

use std::{borrow::Cow, fmt, io, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::{
    broadcast::{ChannelDocument, DocumentMsk},
    error::Error,
    ids::{KeyDomainId, MskId, MtkId},
    keys::{Interval, Msk},
    secret::SecretBytes,
    srtp::Profile,
};

/// The media type of the text.
pub const MEDIA_TYPE: &str = "application/json";

/// The document as JSON text, which is erased when it is dropped.
///
/// # Errors
/// The profile has no name.
pub fn to_json(document: &ChannelDocument) -> Result<Zeroizing<Vec<u8>>, Error> {
    let text = Text::of(document)?;
    let failed = |error: serde_json::Error| Error::invalid(format!("channel document: {error}"));
    let mut length = Length(0);
    serde_json::to_writer(&mut length, &text).map_err(failed)?;
    // Of the right size at once: a vector that grows leaves its former place as it was.
    let mut json = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *json, &text).map_err(failed)?;
    Ok(json)
}

/// Reads a document.
///
/// # Errors
/// [`Error::Invalid`] if it is not exactly what [`to_json`] writes for some document.
pub fn from_json(json: &[u8]) -> Result<ChannelDocument, Error> {
    // The parser's own words could repeat the text, and with it a key.
    let text: Text<'_> = serde_json::from_slice(json).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        bad(format_args!("it is not of the form \"{FORMAT}\" at line {line}, column {column}"))
    })?;
    text.read()
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Text<'a> {
    format: Cow<'a, str>,
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    broadcaster: Option<Cow<'a, str>>,
    version: u64,
    domain: Hex<'a>,
    profile: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_zero")]
    kdr: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtk_period_ms: Option<u64>,
    #[serde(borrow)]
    msks: Vec<MskText<'a>>,
    in_force: Hex<'a>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct MskText<'a> {
    #[serde(borrow)]
    msk_id: Hex<'a>,
    #[serde(borrow)]
    key: Hex<'a>,
    #[serde(borrow)]
    rand: Hex<'a>,
    #[serde(borrow)]
    mtk_ids: [Hex<'a>; 2],
}

impl<'a> Text<'a> {
    fn of(document: &'a ChannelDocument) -> Result<Self, Error> {
        let ChannelDocument { channel, broadcaster, version, domain, profile, .. } = document;
        let (name, kdr) = (profile.to_string(), profile.kdr);
        if Profile::from_name(&name).ok().map(|named| named.with_kdr(kdr)) != Some(*profile) {
            return Err(Error::invalid(format!("a channel document cannot express {profile:?}")));
        }
        let period = document.mtk_period;
        Ok(Self {
            format: FORMAT.into(),
            channel: channel.as_str().into(),
            broadcaster: broadcaster.as_ref().map(|name| name.as_str().into()),
            version: *version,
            domain: Hex::own(&domain.0),
            profile: name.into(),
            kdr,
            mtk_period_ms: period.map(|p| u64::try_from(p.as_millis()).unwrap_or(u64::MAX)),
            msks: document.msks.iter().map(MskText::of).collect(),
            in_force: Hex::own(&document.in_force.to_bytes()),
        })
    }

    fn read(&self) -> Result<ChannelDocument, Error> {
        if self.format != FORMAT {
            return Err(bad(format_args!("its format is {:?}, not \"{FORMAT}\"", self.format)));
        }
        let profile = Profile::from_name(&self.profile)?.with_kdr(self.kdr);
        profile.validate()?;
        Ok(ChannelDocument {
            channel: (*self.channel).into(),
            broadcaster: self.broadcaster.as_ref().map(|name| (**name).into()),
            version: self.version,
            domain: KeyDomainId(self.domain.array("domain")?),
            profile,
            mtk_period: self.mtk_period_ms.map(Duration::from_millis),
            msks: self.msks.iter().map(MskText::read).collect::<Result<_, _>>()?,
            in_force: MskId::from_bytes(self.in_force.array("in_force")?),
        })
    }
}

impl<'a> MskText<'a> {
    fn of(msk: &'a DocumentMsk) -> Self {
        let Interval { low, high } = msk.interval;
        Self {
            msk_id: Hex::own(&msk.msk_id.to_bytes()),
            key: Hex::Octets(msk.msk.key.expose()),
            rand: Hex::Octets(&msk.msk.rand),
            mtk_ids: [low, high].map(|id| Hex::own(&id.0.to_be_bytes())),
        }
    }

    fn read(&self) -> Result<DocumentMsk, Error> {
        let (key, rand) = (self.key.octets("key")?, self.rand.octets("rand")?);
        if !Msk::KEY_LEN.contains(&key.len()) || !Msk::RAND_LEN.contains(&rand.len()) {
            return Err(bad(format_args!("an MSK has 16 to 32 octets, its RAND 16 to 255")));
        }
        let [low, high] = &self.mtk_ids;
        let id = |text: &Hex<'_>| Ok::<_, Error>(MtkId(u16::from_be_bytes(text.array("mtk_ids")?)));
        Ok(DocumentMsk {
            msk_id: MskId::from_bytes(self.msk_id.array("msk_id")?),
            msk: Arc::new(Msk { key: SecretBytes::new(&key), rand: rand.to_vec() }),
            interval: Interval { low: id(low)?, high: id(high)? },
        })
    }
}

/// Octets that stand in the text in hexadecimal.
enum Hex<'a> {
    /// To be written.
    Octets(&'a [u8]),
    /// The same, of an identifier.
    Id([u8; 4], usize),
    /// As it was read: a part of the text, because a copy would have to be erased.
    Digits(&'a str),
}

impl Hex<'_> {
    fn own(octets: &[u8]) -> Self {
        let mut id = [0; 4];
        let len = octets.len().min(id.len());
        id.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        Self::Id(id, len)
    }

    fn octets(&self, field: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        let Self::Digits(digits) = self else { return Ok(Zeroizing::default()) };
        let mut octets = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        for [high, low] in pairs {
            let digit = |digit: u8| match digit {
                b'0'..=b'9' => Some(digit - b'0'),
                b'a'..=b'f' => Some(digit - b'a' + 10),
                _ => None,
            };
            let octet = digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low);
            octets.push(octet.ok_or_else(|| bad(not_hex(field)))?);
        }
        if rest.is_empty() { Ok(octets) } else { Err(bad(not_hex(field))) }
    }

    fn array<const N: usize>(&self, field: &str) -> Result<[u8; N], Error> {
        let octets = self.octets(field)?;
        let array = octets.as_slice().try_into();
        array.map_err(|_| bad(format_args!("{field} has {} octets, not {N}", octets.len())))
    }
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = match self {
            Self::Octets(octets) => *octets,
            Self::Id(id, len) => id.get(..*len).unwrap_or_default(),
            Self::Digits(digits) => return f.write_str(digits),
        };
        octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Hex<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&str>::deserialize(deserializer).map(Self::Digits)
    }
}

/// Counts what would be written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0 += octets.len();
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn not_hex(field: &str) -> String {
    format!("{field} is not in lower-case hexadecimal")
}

fn bad(what: impl fmt::Display) -> Error {
    Error::invalid(format!("channel document: {what}"))
}

const FORMAT: &str = "mcast-srtp channel 1";

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> ChannelDocument {
        let msk = |number| DocumentMsk {
            msk_id: MskId { group: 0x17, number },
            msk: Arc::new(Msk { key: SecretBytes::new(&[0xab; 16]), rand: vec![0xcd; 16] }),
            interval: Interval { low: MtkId(0), high: MtkId(0x7fff) },
        };
        ChannelDocument {
            channel: "group \"17\"".into(),
            broadcaster: Some("east".into()),
            version: 3,
            domain: KeyDomainId([0, 0xf1, 0x10]),
            profile: Profile::from_name("AEAD_AES_128_GCM+RCCm3:50").unwrap().with_kdr(256),
            mtk_period: Some(Duration::from_secs(60)),
            msks: vec![msk(1), msk(2)],
            in_force: MskId { group: 0x17, number: 1 },
        }
    }

    fn text() -> String {
        String::from_utf8(to_json(&document()).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn document_comes_back_as_it_went() {
        let mut bare = document();
        (bare.broadcaster, bare.mtk_period, bare.msks) = (None, None, Vec::new());
        bare.profile = Profile::default();
        for document in [document(), bare] {
            let back = from_json(&to_json(&document).unwrap()).unwrap();
            assert_eq!(to_json(&back).unwrap(), to_json(&document).unwrap());
            assert_eq!(
                (&back.channel, &back.broadcaster, back.version, back.domain, back.profile),
                (
                    &document.channel,
                    &document.broadcaster,
                    document.version,
                    document.domain,
                    document.profile
                )
            );
            assert_eq!((back.mtk_period, back.in_force), (document.mtk_period, document.in_force));
            for (back, msk) in back.msks.iter().zip(&document.msks) {
                assert_eq!((back.msk_id, back.interval), (msk.msk_id, msk.interval));
                assert!(back.msk.key.same_as(&msk.msk.key));
                assert_eq!(back.msk.rand, msk.msk.rand);
            }
            assert_eq!(back.msks.len(), document.msks.len());
        }
    }

    #[test]
    fn text_is_what_the_documentation_shows() {
        let json: serde_json::Value = serde_json::from_str(&text()).unwrap();
        assert_eq!(json["format"], "mcast-srtp channel 1");
        assert_eq!(json["domain"], "00f110");
        assert_eq!(json["in_force"], "00170001");
        assert_eq!(json["msks"][1]["mtk_ids"], serde_json::json!(["0000", "7fff"]));
        assert_eq!(json["msks"][0]["key"], "ab".repeat(16));
    }

    #[test]
    fn what_is_not_understood_is_refused_and_no_key_is_repeated_in_the_refusal() {
        let text = text();
        for (from, to) in [
            ("channel 1\"", "channel 2\""),
            ("\"version\":3", "\"version\":3,\"urgent\":true"),
            ("\"version\":3", "\"version\":3,\"version\":4"),
            ("\"version\":3", "\"version\":-3"),
            ("\"version\":3,", ""),
            ("\"00f110\"", "\"00f1\""),
            ("\"00f110\"", "\"00F110\""),
            ("\"key\":\"abab", "\"key\":\"aba"),
            ("\"key\":\"abab", "\"key\":\"zbab"),
            ("\"key\":\"abab", "\"key\":\"\\u0061bab"),
            ("\"rand\":\"cd", "\"rand\":\""),
            ("[\"0000\",\"7fff\"]", "[\"0000\"]"),
            ("[\"0000\",\"7fff\"]", "[\"0000\",\"7fff\",\"8000\"]"),
            ("AEAD_AES_128_GCM+RCCm3:50", "ROT13"),
            ("\"kdr\":256", "\"kdr\":3"),
            ("}]", "}],"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = from_json(text.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("abab"), "{error}");
        }
        assert!(from_json(&[text.as_bytes(), b"x"].concat()).is_err());
        assert!(from_json(&text.as_bytes()[..text.len() - 1]).is_err());
    }

    #[test]
    fn profile_without_a_name_is_not_written_as_another() {
        let mut document = document();
        document.profile = Profile { encrypt_srtp: false, ..Profile::default() };
        assert!(to_json(&document).unwrap_err().to_string().contains("cannot express"));
    }
}
