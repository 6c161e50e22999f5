//! The key file: TOML with MUKs, GBA inputs, MSK messages and, for tooling, traffic keys.
//!
//! Every complaint names file, line, entry and field. No complaint quotes a value, for it may be a key.

use std::{fmt, ops::Range, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use mcast_srtp::{
    ids::Mki,
    keys::{Muk, MukId},
    keyserver::Reach,
    secret::SecretBytes,
    srtp::{Profile, TrafficKey},
};
use serde::{Deserialize, de::IgnoredAny};
use toml::Spanned;
use zeroize::Zeroizing;

use crate::{
    exit::Failure,
    toml_file::{self, Fault},
    user_key::{GbaInputs, GivenMuk, hex_octets, octets, reach},
};

/// What a key file holds, ready for use.
#[derive(Debug, Default)]
pub(crate) struct KeyFile {
    /// MUKs, given or derived by GBA.
    pub(crate) muks: Vec<GivenClient>,
    /// MSK messages, to be opened under one of the MUKs.
    pub(crate) msk_messages: Vec<Vec<u8>>,
    /// Traffic keys given outright.
    pub(crate) traffic_keys: Vec<GivenKey>,
}

/// A MUK and whose it is.
#[derive(Debug)]
pub(crate) struct GivenClient {
    /// The client's name at a key server; its IDr unless another is given.
    pub(crate) client: String,
    /// The identities that select the MUK.
    pub(crate) id: MukId,
    pub(crate) muk: Muk,
    /// How a key server reaches the client; by SDP unless an address is given.
    pub(crate) reach: Reach,
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
        toml_file::read(path, Self::parse)
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let raw: Raw = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        let mut file = Self::default();
        for (n, muk) in (1..).zip(&raw.muk) {
            file.muks.push(muk.read(&Entry { text, table: "muk", n })?);
        }
        for (n, gba) in (1..).zip(&raw.gba) {
            file.muks.push(gba.read(&Entry { text, table: "gba", n })?);
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
    client: Option<Text>,
    reach: Option<Text>,
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
    client: Option<Text>,
    reach: Option<Text>,
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

impl RawMuk {
    fn read(&self, entry: &Entry<'_>) -> Result<GivenClient, Fault> {
        let given =
            GivenMuk { idi: self.idi.get_ref(), idr: self.idr.get_ref(), key: self.key.get_ref() };
        let (id, muk) = given.read().map_err(|fault| {
            let span = match fault.field {
                "idi" => self.idi.span(),
                "idr" => self.idr.span(),
                _ => self.key.span(),
            };
            entry.fault(fault.field, span, fault.what)
        })?;
        entry.client(&self.client, &self.reach, id, muk)
    }
}

impl RawGba {
    fn read(&self, entry: &Entry<'_>) -> Result<GivenClient, Fault> {
        let inputs = GbaInputs {
            variant: self.variant.get_ref(),
            ck: self.ck.get_ref(),
            ik: self.ik.get_ref(),
            rand: self.rand.get_ref(),
            impi: self.impi.get_ref(),
            naf: self.naf.get_ref(),
            idr: self.idr.get_ref(),
        };
        let (id, muk) = inputs.derive().map_err(|fault| {
            let span = match fault.field {
                "variant" => self.variant.span(),
                "ck" => self.ck.span(),
                "ik" => self.ik.span(),
                "rand" => self.rand.span(),
                "impi" => self.impi.span(),
                "naf" => self.naf.span(),
                _ => self.idr.span(),
            };
            entry.fault(fault.field, span, fault.what)
        })?;
        entry.client(&self.client, &self.reach, id, muk)
    }
}

impl RawMtk {
    fn check(&self, entry: &Entry<'_>) -> Result<GivenKey, Fault> {
        let hex = |field, text: &SecretText| {
            hex_octets(text.get_ref()).map_err(|what| entry.fault(field, text.span(), what))
        };
        let fitting = |field, text: &SecretText, profile: Profile, len| {
            octets(text.get_ref(), &profile.to_string(), len)
                .map_err(|what| entry.fault(field, text.span(), what))
        };
        let mki_octets = hex("mki", &self.mki)?;
        let mki = Mki::new(&mki_octets).ok_or_else(|| {
            entry.fault("mki", self.mki.span(), format!("more than {} octets", Mki::MAX_LEN))
        })?;
        let profile = match &self.profile {
            None => Profile::default(),
            Some(name) => Profile::from_name(name.get_ref())
                .map_err(|error| entry.fault("profile", name.span(), error))?,
        };
        let key = fitting("key", &self.key, profile, profile.cipher.key_len())?;
        let salt = match &self.salt {
            None => Zeroizing::default(),
            Some(salt) => fitting("salt", salt, profile, profile.cipher.salt_len())?,
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

/// What the parser says, without the value that it did not expect.
fn syntax(text: &str, error: &toml::de::Error) -> Fault {
    if error.message().starts_with("invalid type") {
        let start = error.span().map_or(0, |span| span.start);
        return Fault::new(text, start, "wrong type: the fields are texts");
    }
    Fault::syntax(text, error)
}

/// One table of the file, for complaints.
struct Entry<'a> {
    text: &'a str,
    table: &'static str,
    n: usize,
}

impl Entry<'_> {
    fn fault(&self, field: &str, span: Range<usize>, what: impl fmt::Display) -> Fault {
        let table = format!("[[{}]] entry {}", self.table, self.n);
        Fault::field(self.text, span, &table, field, what)
    }

    fn client(
        &self,
        client: &Option<Text>,
        way: &Option<Text>,
        id: MukId,
        muk: Muk,
    ) -> Result<GivenClient, Fault> {
        let client = match client {
            Some(name) => self.name("client", name)?,
            None => id.idr.clone(),
        };
        let reach = match way {
            Some(text) => {
                reach(text.get_ref()).map_err(|what| self.fault("reach", text.span(), what))?
            }
            None => Reach::Sdp,
        };
        Ok(GivenClient { client, id, muk, reach })
    }

    fn name(&self, field: &str, value: &Text) -> Result<String, Fault> {
        match value.get_ref().trim() {
            "" => Err(self.fault(field, value.span(), "empty")),
            name => Ok(name.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn fault(text: &str) -> String {
        KeyFile::parse(text).unwrap_err().to_string()
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
        assert_eq!(file.muks[1].id.idi, "bmsc.example");
        assert_ne!(file.muks[0].muk.0.expose(), file.muks[1].muk.0.expose());
        assert_eq!(file.msk_messages, [[0, 1, 2]]);
        assert_eq!(file.traffic_keys[0].mki.to_string(), "000100010001");
        assert_eq!(KeyFile::parse("").unwrap().muks.len(), 0);
    }

    #[test]
    fn entry_may_say_whose_it_is_and_how_to_reach_it() {
        let text = format!("{}client = \"c1\"\nreach = \"192.0.2.7\"\n{GBA}", muk(KEY));
        let clients: Vec<_> = KeyFile::parse(&text).unwrap().muks;
        assert_eq!(clients[0].client, "c1");
        assert_eq!(clients[0].reach, Reach::Udp("192.0.2.7:2269".parse().unwrap()));
        assert_eq!((clients[1].client.as_str(), clients[1].reach), ("c1@bsf.example", Reach::Sdp));
        let told = fault(&text.replace("192.0.2.7", "c1.example"));
        assert!(told.starts_with("6: [[muk]] entry 1, field reach: neither sdp"), "{told}");
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
