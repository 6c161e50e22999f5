//! Records in memory and, in step with them, in a file: a snapshot and a frame for each commit.

use std::{
    io,
    time::{Duration, Instant},
};

use tracing::warn;

use super::{
    StateOptions,
    file::StateFile,
    frame::{self, Found, Records},
    medium::Medium,
    seal::{Owner, Seal, SealingKeys},
};
use crate::{
    error::Error,
    record::{Record, Table},
};

/// Fills the salt of a file.
pub(super) type Random = fn(&mut [u8]) -> io::Result<()>;

/// Records that outlive the process.
pub(super) struct Journal {
    medium: Box<dyn Medium + Send>,
    owner: Owner,
    keys: SealingKeys,
    random: Random,
    records: Records,
    /// What the file is written under; `None`: it has to be begun anew.
    current: Option<Current>,
    /// The file has a key that is in no record any more.
    has_erased: bool,
    /// When that was noticed.
    erased_since: Option<Instant>,
}

struct Current {
    seal: Seal,
    /// Of the next frame.
    number: u64,
    len: u64,
    /// Beyond this length another file is begun.
    limit: u64,
}

impl Journal {
    /// The journal in the file that the options name.
    ///
    /// # Errors
    /// As [`Self::open`]; or another process has the file.
    pub(super) fn of(options: StateOptions, owner: Owner) -> Result<Self, Error> {
        let file = StateFile::take(&options.path)?;
        Self::open(Box::new(file), owner, options.keys, |out| Ok(getrandom::fill(out)?))
    }

    /// Reads what is there and begins another file with a snapshot of it: so a file is written by one
    /// process only, and what cannot be written is noticed at start.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the file is none, is damaged, or does not go with the key; it is as it was
    /// then. [`Error::Io`] if it cannot be read or written.
    pub(super) fn open(
        mut medium: Box<dyn Medium + Send>,
        owner: Owner,
        keys: SealingKeys,
        random: Random,
    ) -> Result<Self, Error> {
        let name = medium.name();
        let contents = medium.read().map_err(|error| Error::io(&*name, error))?;
        let records = match contents {
            Some(mut octets) => read(&mut octets, owner, &keys, &name)
                .map_err(|text| Error::invalid(format!("{name}: {text}")))?,
            None => Records::new(),
        };
        let mut journal = Self {
            medium,
            owner,
            keys,
            random,
            records,
            current: None,
            has_erased: false,
            erased_since: None,
        };
        journal.write(&[])?;
        Ok(journal)
    }

    /// What errors call the file.
    pub(super) fn name(&self) -> String {
        self.medium.name()
    }

    /// All records.
    pub(super) fn records(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.records.iter().map(|(key, value)| (&**key, value.expose()))
    }

    /// Has the next commit begin another file if the current one has had keys for a while that were
    /// replaced or erased: until then they could be read from it. At most one file each
    /// [`ERASED_AFTER`] comes of this.
    pub(super) fn shed(&mut self, now: Instant) {
        if self.has_erased {
            let since = *self.erased_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= ERASED_AFTER {
                self.current = None;
            }
        }
    }

    /// Takes records over and returns when they will survive; tells whether anything was new.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be written. They are kept in memory, and the next call, also one
    /// without records, begins another file with all there is.
    pub(super) fn commit(&mut self, changes: Vec<Record>) -> Result<bool, Error> {
        let mut keys = Vec::with_capacity(changes.len());
        for Record { key, value } in changes {
            let known = self.records.get(&key);
            let same = match (&value, known) {
                (Some(value), Some(known)) => value.same_as(known),
                (None, None) => true,
                _ => false,
            };
            if same {
                continue;
            }
            self.has_erased |=
                known.is_some() && Table::split(&key).is_some_and(|(table, _)| table.has_keys());
            match value {
                Some(value) => drop(self.records.insert(key.clone(), value)),
                None => drop(self.records.remove(&key)),
            }
            keys.push(key);
        }
        if keys.is_empty() && self.current.is_some() {
            return Ok(false);
        }
        self.write(&keys)?;
        Ok(true)
    }

    /// Writes the records of these keys, or all in a new file.
    fn write(&mut self, keys: &[Box<[u8]>]) -> Result<(), Error> {
        // Whatever fails below, the end of the file is unknown then, and its numbers are used up.
        let current = self.current.take().filter(|current| current.len < current.limit);
        let written = match current {
            Some(current) => self.append(current, keys),
            None => self.begin(),
        };
        let current = written.map_err(|error| {
            Error::io(format!("{}: the state cannot be written", self.medium.name()), error)
        })?;
        self.current = Some(current);
        Ok(())
    }

    fn append(&mut self, mut current: Current, keys: &[Box<[u8]>]) -> io::Result<Current> {
        let changes = keys.iter().map(|key| (&**key, self.records.get(key)));
        let frame = frame::write(&current.seal, current.number, current.len, changes);
        let frame = frame.ok_or(io::ErrorKind::FileTooLarge)?;
        self.medium.write(&frame)?;
        self.medium.sync()?;
        current.number += 1;
        current.len += frame.len() as u64;
        Ok(current)
    }

    fn begin(&mut self) -> io::Result<Current> {
        let mut salt = [0; 32];
        (self.random)(&mut salt)?;
        let seal = Seal::begin(self.owner, self.keys.key.as_ref(), salt);
        let all = self.records.iter().map(|(key, value)| (&**key, Some(value)));
        let frame = frame::write(&seal, 0, Seal::LEN as u64, all);
        let frame = frame.ok_or(io::ErrorKind::FileTooLarge)?;
        self.medium.begin()?;
        self.medium.write(&seal.head())?;
        self.medium.write(&frame)?;
        self.medium.sync()?;
        self.medium.adopt()?;
        (self.has_erased, self.erased_since) = (false, None);
        let len = (Seal::LEN + frame.len()) as u64;
        Ok(Current { seal, number: 1, len, limit: 2 * len + self.medium.growth() })
    }
}

/// How long a key stays in the file after it was replaced or erased, at least. So a busy journal is not
/// written whole with each change of a key.
const ERASED_AFTER: Duration = Duration::from_secs(300);

/// The records of a file.
fn read(file: &mut [u8], owner: Owner, keys: &SealingKeys, name: &str) -> Result<Records, String> {
    let seal = Seal::read_with(file, owner, keys).map_err(|bad| bad.text())?;
    let (mut records, mut at) = (Records::new(), Seal::LEN);
    for number in 0.. {
        match frame::read(&seal, number, file, at, &mut records) {
            Found::Frame(next) => at = next,
            Found::End if number > 0 => break,
            Found::Torn if number > 0 => {
                let octets = file.len() - at;
                warn!(
                    file = name,
                    octets,
                    "the last write was cut short by a crash; nothing of it had taken effect"
                );
                break;
            }
            Found::Torn | Found::Damaged | Found::End => {
                return Err(format!(
                    "is damaged at octet {at}; restore it, or remove it and have all keys \
                     delivered again (old key messages are not recognised then)"
                ));
            }
        }
    }
    Ok(records)
}
