//! Which traffic key is used from when on.

use std::time::Duration;

use peers::{MasterKey, Setup, Suite};
use serde::Deserialize;

use crate::Error;

/// Traffic keys in the order of their use.
#[derive(Clone, Debug)]
pub struct Schedule {
    keys: Vec<ScheduledKey>,
}

/// A traffic key and its first packet.
#[derive(Clone, Debug)]
pub struct ScheduledKey {
    /// Cipher and tag lengths.
    pub suite: Suite,
    /// Key, salt and MKI.
    pub key: MasterKey,
    /// When it takes over from the key before.
    pub start: Start,
}

/// When a key takes over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// With this media packet, counted over all streams from 0.
    Packet(u64),
    /// With the first packet due this long after the first of all.
    Elapsed(Duration),
}

impl Schedule {
    /// A schedule of these keys.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is none, if a length does not fit its suite, or if the first key
    /// starts later than the first packet.
    pub fn new(keys: Vec<ScheduledKey>) -> Result<Self, Error> {
        let first =
            keys.first().ok_or_else(|| Error::Usage("the schedule has no [[mtk]]".into()))?;
        if !matches!(first.start, Start::Packet(0) | Start::Elapsed(Duration::ZERO)) {
            return Err(Error::Usage("the first [[mtk]] has to start with packet 0".into()));
        }
        for (number, ScheduledKey { suite, key, .. }) in keys.iter().enumerate() {
            Setup::new(*suite, &key.key, &key.salt, &key.mki, 0)
                .validate()
                .map_err(|e| Error::Usage(format!("[[mtk]] number {}: {e}", number + 1)))?;
        }
        Ok(Self { keys })
    }

    /// Reads `[[mtk]]` tables: `mki`, `key`, `salt` in hexadecimal, `profile` by its SDP name, and
    /// `at_packet` or `at_ms` for all but the first.
    ///
    /// # Errors
    /// [`Error::Usage`] with the table and field that cannot be used.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let file: File = toml::from_str(text).map_err(|e| Error::Usage(e.to_string()))?;
        let keys = file.mtk.into_iter().enumerate().map(|(number, entry)| {
            entry
                .into_key(number == 0)
                .map_err(|e| Error::Usage(format!("[[mtk]] number {}: {e}", number + 1)))
        });
        Self::new(keys.collect::<Result<_, _>>()?)
    }

    /// The keys in the order of their use.
    #[must_use]
    pub fn keys(&self) -> &[ScheduledKey] {
        &self.keys
    }

    /// The place of the key in force for this packet: the last one that has started.
    #[must_use]
    pub fn in_force(&self, packet: u64, elapsed: Duration) -> usize {
        let started = |key: &ScheduledKey| match key.start {
            Start::Packet(first) => packet >= first,
            Start::Elapsed(after) => elapsed >= after,
        };
        self.keys.iter().rposition(started).unwrap_or_default()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    mtk: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    mki: String,
    key: String,
    salt: String,
    profile: String,
    at_packet: Option<u64>,
    at_ms: Option<u64>,
}

impl Entry {
    fn into_key(self, first: bool) -> Result<ScheduledKey, String> {
        let octets = |field: &str, text: &str| {
            hex::decode(text).map_err(|e| format!("{field} is not hexadecimal: {e}"))
        };
        let start = match (self.at_packet, self.at_ms) {
            (Some(packet), None) => Start::Packet(packet),
            (None, Some(ms)) => Start::Elapsed(Duration::from_millis(ms)),
            (None, None) if first => Start::Packet(0),
            (None, None) => return Err("at_packet or at_ms is missing".into()),
            (Some(_), Some(_)) => return Err("at_packet and at_ms exclude each other".into()),
        };
        let suite = Suite::from_name(&self.profile).ok_or_else(|| {
            let names = Suite::ALL.map(Suite::name).join(", ");
            format!("unknown profile {:?}; one of {names}", self.profile)
        })?;
        let key = MasterKey {
            key: octets("key", &self.key)?,
            salt: octets("salt", &self.salt)?,
            mki: octets("mki", &self.mki)?,
        };
        Ok(ScheduledKey { suite, key, start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "mki='0a'\nkey='00112233445566778899aabbccddeeff'\n\
                       salt='00112233445566778899aabbccdd'\nprofile='AES_CM_128_HMAC_SHA1_80'\n";

    #[test]
    fn a_key_is_in_force_until_the_next_starts() {
        let text = format!("[[mtk]]\n{KEY}[[mtk]]\n{KEY}at_packet=5\n[[mtk]]\n{KEY}at_ms=1000");
        let schedule = Schedule::from_toml(&text).unwrap();
        let at = |packet, ms| schedule.in_force(packet, Duration::from_millis(ms));
        assert_eq!((at(0, 0), at(4, 999), at(5, 999), at(6, 1000)), (0, 0, 1, 2));
    }

    #[test]
    fn what_is_wrong_in_a_schedule_is_named() {
        let error = |text: &str| Schedule::from_toml(text).unwrap_err().to_string();
        assert!(error("").contains("no [[mtk]]"));
        assert!(error(&format!("[[mtk]]\n{KEY}at_packet=1")).contains("start with packet 0"));
        assert!(error(&format!("[[mtk]]\n{KEY}[[mtk]]\n{KEY}")).contains("number 2: at_packet"));
        assert!(error(&format!("[[mtk]]\n{}", KEY.replace("ff'", "'"))).contains("15 octets"));
        assert!(error(&format!("[[mtk]]\n{}", KEY.replace("0a", "zz"))).contains("mki is not hex"));
        assert!(error(&format!("[[mtk]]\n{}", KEY.replace("AES", "ROT"))).contains("one of NULL_"));
        assert!(error(&format!("[[mtk]]\n{KEY}colour='red'")).contains("colour"));
    }
}
