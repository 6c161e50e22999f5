//! The key file: TOML with MUKs, GBA inputs, MSK messages and, for tooling, traffic keys.
//!
//! Every complaint names file, line, entry and field. No complaint quotes a value, for it may be a key.

use std::{fmt, ops::Range, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use mcast_srtp::{
    ids::Mki,
    keys::{
        Muk, MukId,
        gba::{Bootstrapped, Variant},
    },
    secret::{Secret, SecretBytes},
    srtp::{Profile, TrafficKey},
};
use serde::{Deserialize, de::IgnoredAny};
use toml::Spanned;
use zeroize::Zeroizing;

use crate::exit::Failure;

/// What a key file holds, ready for use.
#[derive(Debug, Default)]
pub(crate) struct KeyFile {
    /// MUKs with the identities that select them, given or derived by GBA.
    pub(crate) muks: Vec<(MukId, Muk)>,
    /// MSK messages, to be opened under one of the MUKs.
    pub(crate) msk_messages: Vec<Vec<u8>>,
    /// Traffic keys given outright.
    pub(crate) traffic_keys: Vec<GivenKey>,
}

/// A traffic key given outright, checked to fit its profile.
#[derive(Debug)]
pub(crate) struct GivenKey {
    pub(crate) mki: Mki,
    pub(crate) profile: Profile,
    pub(crate) key: SecretBytes,
    /// Empty counts as zero.
    pub(crate) salt: SecretBytes,
}

impl GivenKey {
    /// The key ready for use.
    ///
    /// # Errors
    /// It does not fit the profile.
    pub(crate) fn expand(&self) -> Result<TrafficKey, mcast_srtp::Error> {
        TrafficKey::new(self.mki, self.profile, self.key.expose(), self.salt.expose())
    }
}

impl KeyFile {
    /// Reads a key file.
    ///
    /// # Errors
    /// A usage failure that says where and what is wrong.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let cannot = |error| Failure::usage(format!("cannot read {}: {error}", path.display()));
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(cannot)?);
        Self::parse(&text).map_err(|fault| {
            Failure::usage(format!("{}:{}: {}", path.display(), fault.line, fault.text))
        })
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let raw: Raw = toml::from_str(text).map_err(|error| Fault::syntax(text, &error))?;
        let mut file = Self::default();
        for (n, muk) in (1..).zip(&raw.muk) {
            let entry = Entry { text, table: "muk", n };
            let id = MukId { idi: entry.name("idi", &muk.idi)?, idr: entry.name("idr", &muk.idr)? };
            let key = entry.fixed("key", &muk.key, "a MUK")?;
            file.muks.push((id, Muk(Secret::new(*key))));
        }
        for (n, gba) in (1..).zip(&raw.gba) {
            file.muks.push(gba.derive(&Entry { text, table: "gba", n })?);
        }
        for (n, message) in (1..).zip(&raw.msk_message) {
            let entry = Entry { text, table: "msk_message", n };
            let octets = BASE64_STANDARD.decode(message.base64.get_ref().trim());
            let octets =
                octets.map_err(|error| entry.fault("base64", message.base64.span(), error))?;
            file.msk_messages.push(octets);
        }
        for (n, mtk) in (1..).zip(&raw.mtk) {
            file.traffic_keys.push(mtk.check(&Entry { text, table: "mtk", n })?);
        }
        Ok(file)
    }
}

type Text = Spanned<String>;
type SecretText = Spanned<Zeroizing<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    muk: Vec<RawMuk>,
    #[serde(default)]
    gba: Vec<RawGba>,
    #[serde(default)]
    msk_message: Vec<RawMskMessage>,
    #[serde(default)]
    mtk: Vec<RawMtk>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMuk {
    idi: Text,
    idr: Text,
    key: SecretText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGba {
    variant: Text,
    ck: SecretText,
    ik: SecretText,
    rand: SecretText,
    impi: Text,
    naf: Text,
    idr: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMskMessage {
    base64: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMtk {
    mki: SecretText,
    key: SecretText,
    salt: Option<SecretText>,
    profile: Option<Text>,
    /// When the load generator begins to use the key: its schedule serves as a key file.
    #[serde(rename = "at_packet")]
    _at_packet: Option<IgnoredAny>,
    #[serde(rename = "at_ms")]
    _at_ms: Option<IgnoredAny>,
}

impl RawGba {
    /// TS 33.220 and TS 33.246: Ks to Ks_NAF or Ks_int_NAF, which is the MUK.
    fn derive(&self, entry: &Entry<'_>) -> Result<(MukId, Muk), Fault> {
        let variant = match self.variant.get_ref().as_str() {
            "me" => Variant::Me,
            "u" => Variant::U,
            _ => {
                let what = "neither \"me\" (GBA_ME) nor \"u\" (GBA_U)";
                return Err(entry.fault("variant", self.variant.span(), what));
            }
        };
        let bootstrapped = Bootstrapped {
            ck: &Secret::new(*entry.fixed("ck", &self.ck, "CK")?),
            ik: &Secret::new(*entry.fixed("ik", &self.ik, "IK")?),
            rand: *entry.fixed("rand", &self.rand, "RAND")?,
            impi: &entry.name("impi", &self.impi)?,
            naf: &entry.name("naf", &self.naf)?,
        };
        //= K15: IDi is the FQDN of the NAF
        let id = MukId { idi: bootstrapped.naf.to_owned(), idr: entry.name("idr", &self.idr)? };
        Ok((id, bootstrapped.user_keys(variant).muk))
    }
}

impl RawMtk {
    fn check(&self, entry: &Entry<'_>) -> Result<GivenKey, Fault> {
        let mki_octets = entry.hex("mki", &self.mki)?;
        let mki = Mki::new(&mki_octets).ok_or_else(|| {
            entry.fault("mki", self.mki.span(), format!("more than {} octets", Mki::MAX_LEN))
        })?;
        let profile = match &self.profile {
            None => Profile::default(),
            Some(name) => Profile::from_name(name.get_ref())
                .map_err(|error| entry.fault("profile", name.span(), error))?,
        };
        let key = entry.octets("key", &self.key, &profile.to_string(), profile.cipher.key_len())?;
        let salt = match &self.salt {
            None => Zeroizing::default(),
            Some(salt) => {
                entry.octets("salt", salt, &profile.to_string(), profile.cipher.salt_len())?
            }
        };
        // Of at most Mki::MAX_LEN octets, so it fits.
        let mki_len = u8::try_from(mki_octets.len()).unwrap_or(u8::MAX);
        let given = GivenKey {
            mki,
            profile: profile.with_mki_len(mki_len),
            key: SecretBytes::new(&key),
            salt: SecretBytes::new(&salt),
        };
        given.expand().map_err(|error| entry.fault("key", self.key.span(), error))?;
        Ok(given)
    }
}

/// What is wrong with a key file, and on which line.
#[derive(Debug)]
struct Fault {
    line: usize,
    text: String,
}

impl Fault {
    fn syntax(text: &str, error: &toml::de::Error) -> Self {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        // Such a message quotes the value that it did not expect.
        let told = match error.message() {
            message if message.starts_with("invalid type") => "wrong type: the fields are texts",
            message => message,
        };
        Self { line, text: told.to_owned() }
    }
}

/// One table of the file, for complaints.
struct Entry<'a> {
    text: &'a str,
    table: &'static str,
    n: usize,
}

impl Entry<'_> {
    fn fault(&self, field: &str, span: Range<usize>, what: impl fmt::Display) -> Fault {
        let text = format!("[[{}]] entry {}, field {field}: {what}", self.table, self.n);
        Fault { line: line_of(self.text, span.start), text }
    }

    fn hex(&self, field: &str, value: &SecretText) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let digits = value.get_ref().as_str();
        hex::decode(digits).map(Zeroizing::new).map_err(|error| {
            let what = match error {
                hex::FromHexError::InvalidHexCharacter { index, .. } => {
                    format!("character {} is not a hex digit", index + 1)
                }
                _ => format!("{} hex digits, an odd number", digits.len()),
            };
            self.fault(field, value.span(), what)
        })
    }

    /// Hex of a known length; `of_what` takes it.
    fn octets(
        &self,
        field: &str,
        value: &SecretText,
        of_what: &str,
        len: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let octets = self.hex(field, value)?;
        if octets.len() == len {
            return Ok(octets);
        }
        let have = 2 * octets.len();
        let what = format!("{have} hex digits, but {of_what} takes {} ({len} octets)", 2 * len);
        Err(self.fault(field, value.span(), what))
    }

    /// The same as an array.
    fn fixed<const N: usize>(
        &self,
        field: &str,
        value: &SecretText,
        of_what: &str,
    ) -> Result<Zeroizing<[u8; N]>, Fault> {
        let octets = self.octets(field, value, of_what, N)?;
        let mut array = Zeroizing::new([0; N]);
        // `octets` checked the length.
        array.copy_from_slice(&octets);
        Ok(array)
    }

    fn name(&self, field: &str, value: &Text) -> Result<String, Fault> {
        match value.get_ref().trim() {
            "" => Err(self.fault(field, value.span(), "empty")),
            name => Ok(name.to_owned()),
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|octet| *octet == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn fault(text: &str) -> String {
        let fault = KeyFile::parse(text).unwrap_err();
        format!("{}: {}", fault.line, fault.text)
    }

    fn muk(key: &str) -> String {
        format!("[[muk]]\nidi = \"bmsc.example\"\nidr = \"c1@bsf.example\"\nkey = \"{key}\"\n")
    }

    const GBA: &str = "[[gba]]\nvariant = \"me\"\nck = \"000102030405060708090a0b0c0d0e0f\"\n\
        ik = \"101112131415161718191a1b1c1d1e1f\"\nrand = \"202122232425262728292a2b2c2d2e2f\"\n\
        impi = \"c1@ims.example\"\nnaf = \"bmsc.example\"\nidr = \"c1@bsf.example\"\n";

    #[test]
    fn all_kinds_of_entries_are_read() {
        let text = format!(
            "{}{GBA}[[msk_message]]\nbase64 = \"AAEC\"\n\
             [[mtk]]\nmki = \"000100010001\"\nkey = \"{}\"\nsalt = \"{}\"\n",
            muk(KEY),
            &KEY[..32],
            &KEY[..28],
        );
        let file = KeyFile::parse(&text).unwrap();
        assert_eq!(file.muks.len(), 2);
        assert_eq!(file.muks[1].0.idi, "bmsc.example");
        assert_ne!(file.muks[0].1.0.expose(), file.muks[1].1.0.expose());
        assert_eq!(file.msk_messages, [[0, 1, 2]]);
        assert_eq!(file.traffic_keys[0].mki.to_string(), "000100010001");
        assert_eq!(KeyFile::parse("").unwrap().muks.len(), 0);
    }

    #[test]
    fn schedule_of_the_load_generator_serves_as_it_is() {
        let file = KeyFile::parse(include_str!("../../loadgen/schedule.toml")).unwrap();
        assert_eq!(file.traffic_keys.len(), 3);
    }

    #[test]
    fn key_of_wrong_length_is_told_with_its_place() {
        let text = format!("# keys\n{}{}", muk(KEY), muk(&KEY[2..]));
        assert_eq!(
            fault(&text),
            "9: [[muk]] entry 2, field key: 62 hex digits, but a MUK takes 64 (32 octets)"
        );
        let salt =
            "[[mtk]]\nmki = \"01\"\nkey = \"000102030405060708090a0b0c0d0e0f\"\nsalt = \"00\"\n";
        assert!(
            fault(salt).starts_with("4: [[mtk]] entry 1, field salt: 2 hex digits, but AES_CM_128")
        );
    }

    #[test]
    fn fields_that_cannot_be_read_are_told() {
        for (from, to, told) in [
            ("me\"", "them\"", "2: [[gba]] entry 1, field variant: neither"),
            ("0001", "0z01", "3: [[gba]] entry 1, field ck: character 2 is not a hex digit"),
            ("1011", "011", "4: [[gba]] entry 1, field ik: 31 hex digits, an odd number"),
            ("c1@ims.example", " ", "6: [[gba]] entry 1, field impi: empty"),
            ("impi", "imsi", "6: unknown field `imsi`"),
            ("impi = \"c1@ims.example\"\n", "", "missing field `impi`"),
        ] {
            let message = fault(&GBA.replace(from, to));
            assert!(message.contains(told), "{message}");
        }
        let message = fault("[[msk_message]]\nbase64 = \"AAE$\"");
        assert!(message.starts_with("2: [[msk_message]] entry 1, field base64: "), "{message}");
        assert!(fault("[[mtk]]\nmki = \"01\"\nkey = \"\"\nprofile = \"ROT13\"").contains("ROT13"));
    }

    #[test]
    fn complaints_never_quote_a_key() {
        for text in [
            muk(&format!("{KEY}00")),
            muk(&format!("{}zz", &KEY[2..])),
            muk(KEY).replace('"', ""),
            muk(KEY).replace("key = \"", "key = [\""),
            "[[muk]]\nidi = \"a\"\nidr = \"b\"\nkey = 101112131415161718\n".to_owned(),
        ] {
            let message = fault(&text);
            assert!(!message.contains("10111213141516"), "{message}");
        }
    }
}
