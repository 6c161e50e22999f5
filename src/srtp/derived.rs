//! Session keys of further derivation indexes, kept for a few packets (RFC 3711 §4.3.1).

use super::key::{PacketKind, SessionKeys, TrafficKey};

/// A small cache, used only by profiles with a key derivation rate. Such packets cost one
/// derivation whenever `index DIV kdr` changes.
#[derive(Default)]
pub(crate) struct DerivedKeys {
    entries: [Option<Entry>; ENTRIES],
    next: usize,
}

struct Entry {
    /// [`TrafficKey::id`] of the master key.
    key: u64,
    kind: PacketKind,
    r: u64,
    session: SessionKeys,
}

impl DerivedKeys {
    /// Session keys for derivation index `r`; `None` if the profile has no derivation rate.
    pub(crate) fn get(
        &mut self,
        key: &TrafficKey,
        kind: PacketKind,
        r: u64,
    ) -> Option<&SessionKeys> {
        let wanted = |e: &Entry| (e.key, e.kind, e.r) == (key.id(), kind, r);
        let found = self.entries.iter().position(|entry| entry.as_ref().is_some_and(wanted));
        let place = match found {
            Some(place) => place,
            None => {
                let session = key.derive_session(kind, r)?;
                let place = self.next;
                self.next = (place + 1) % ENTRIES;
                self.entries[place] = Some(Entry { key: key.id(), kind, r, session });
                place
            }
        };
        self.entries[place].as_ref().map(|entry| &entry.session)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.iter().flatten().count()
    }

    /// Erases them all: the keys they were derived from may be gone.
    pub(crate) fn clear(&mut self) {
        self.entries.iter_mut().for_each(|entry| *entry = None);
    }
}

impl std::fmt::Debug for DerivedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DerivedKeys(..)")
    }
}

const ENTRIES: usize = 8;
