//! A disk in memory whose power is cut, or which is full for a while.

use std::{
    io,
    sync::{Arc, Mutex},
};

use zeroize::Zeroizing;

use crate::{
    Error,
    secret::Secret,
    state::{
        journal::Journal,
        medium::Medium,
        seal::{Owner, SealingKeys},
    },
};

/// What becomes of octets that were written and not synced when the power is cut.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unsynced {
    Lost,
    /// As many of them, in thousandths, as far as a sector or in the middle of one.
    Begun(usize),
    /// All lengths are there; of the sectors only those whose bit is set, the others are zeros.
    Sectors(u32),
}

/// What is on the disk, and what will be.
#[derive(Debug, Default)]
pub(super) struct Contents {
    current: Option<Written>,
    next: Option<Written>,
    /// Steps taken so far.
    pub(super) steps: usize,
    /// The step at which the power is cut.
    pub(super) cut_at: Option<usize>,
    /// No step works any more, or for this many.
    pub(super) fail: usize,
}

#[derive(Clone, Debug, Default)]
struct Written {
    octets: Vec<u8>,
    synced: usize,
}

/// The disk as several processes see it, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(pub(super) Arc<Mutex<Contents>>);

impl Disk {
    /// A disk with these octets in its file.
    pub(super) fn with(octets: Option<Vec<u8>>) -> Self {
        let current = octets.map(|octets| Written { synced: octets.len(), octets });
        Self(Arc::new(Mutex::new(Contents { current, ..Contents::default() })))
    }

    /// A journal on it, as a process opens it that starts.
    pub(super) fn journal(&self, owner: Owner, key: Option<u8>) -> Result<Journal, Error> {
        let keys = SealingKeys { key: key.map(|octet| Secret::new([octet; 32])), former: None };
        let random = |out: &mut [u8]| Ok(getrandom::fill(out)?);
        Journal::open(Box::new(self.clone()), owner, keys, random)
    }

    /// What the next process finds.
    pub(super) fn after_the_cut(&self, unsynced: Unsynced) -> Self {
        let contents = self.0.lock().unwrap();
        Self::with(contents.current.as_ref().map(|written| written.left_over(unsynced)))
    }

    pub(super) fn octets(&self) -> Vec<u8> {
        self.0.lock().unwrap().current.as_ref().unwrap().octets.clone()
    }

    fn step(&self, act: impl FnOnce(&mut Contents)) -> io::Result<()> {
        let mut contents = self.0.lock().unwrap();
        let step = contents.steps;
        contents.steps += 1;
        if contents.cut_at.is_some_and(|cut| step > cut) {
            return Err(io::Error::other("no power"));
        }
        if contents.fail > 0 {
            contents.fail -= 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        // The step at which the power goes takes place, but nobody learns of it.
        act(&mut contents);
        if contents.cut_at == Some(step) { Err(io::Error::other("no power")) } else { Ok(()) }
    }
}

impl Written {
    fn left_over(&self, unsynced: Unsynced) -> Vec<u8> {
        let (synced, rest) = self.octets.split_at(self.synced);
        let mut left = synced.to_vec();
        match unsynced {
            Unsynced::Lost => {}
            Unsynced::Begun(thousandths) => {
                left.extend(&rest[..rest.len() * thousandths / 1000]);
            }
            Unsynced::Sectors(there) => {
                for (place, octet) in (self.synced..).zip(rest) {
                    let is_there = there >> (place / 512 % 32) & 1 == 1;
                    left.push(if is_there { *octet } else { 0 });
                }
            }
        }
        left
    }
}

impl Medium for Disk {
    fn name(&self) -> String {
        "the disk".to_owned()
    }

    fn growth(&self) -> u64 {
        2000
    }

    fn read(&mut self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let contents = self.0.lock().unwrap();
        Ok(contents.current.as_ref().map(|written| written.octets.clone().into()))
    }

    fn begin(&mut self) -> io::Result<()> {
        self.step(|contents| contents.next = Some(Written::default()))
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.step(|contents| {
            let written = contents.next.as_mut().or(contents.current.as_mut()).unwrap();
            written.octets.extend(octets);
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.step(|contents| {
            let written = contents.next.as_mut().or(contents.current.as_mut()).unwrap();
            written.synced = written.octets.len();
        })
    }

    fn adopt(&mut self) -> io::Result<()> {
        self.step(|contents| {
            contents.current = contents.next.take();
        })
    }
}
