//! What lanes see of the keys: one immutable table, replaced as a whole.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::{ids::GroupId, srtp::KeyRing};

/// The traffic keys of every group at one moment.
///
/// A table is never changed. The next one shares the rings that stay as they are, so that its cost is
/// one reference count a group.
#[derive(Debug, Default)]
pub struct KeyTable {
    generation: u64,
    rings: Vec<Option<Arc<KeyRing>>>,
}

impl KeyTable {
    /// The table that follows this one, with the rings of some groups replaced.
    pub(crate) fn with_rings(
        &self,
        changed: impl IntoIterator<Item = (GroupId, Option<Arc<KeyRing>>)>,
    ) -> Self {
        let mut rings = self.rings.clone();
        for (group, ring) in changed {
            let place = place(group);
            if rings.len() <= place {
                rings.resize(place + 1, None);
            }
            rings[place] = ring;
        }
        Self { generation: self.generation + 1, rings }
    }

    /// Counts the tables published before this one.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The keys of a group; `None` while it has none.
    #[must_use]
    pub fn ring(&self, group: GroupId) -> Option<&KeyRing> {
        self.rings.get(place(group)).and_then(Option::as_deref)
    }
}

/// The place where the key plane puts the table and every lane looks.
#[derive(Debug, Default)]
pub struct PublishedKeys(ArcSwap<KeyTable>);

impl PublishedKeys {
    /// The table of this moment: one atomic load, to be taken once a batch and let go after it.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<KeyTable>> {
        self.0.load()
    }

    /// Publishes the next table and returns the one before. The key plane is the only caller.
    pub(crate) fn replace(&self, table: KeyTable) -> Arc<KeyTable> {
        self.0.swap(Arc::new(table))
    }
}

const fn place(group: GroupId) -> usize {
    // Group numbers are given densely from 0 by the gateway, so they index.
    group.0 as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_table_shares_what_did_not_change() {
        let first = KeyTable::default().with_rings([
            (GroupId(0), Some(Arc::new(KeyRing::default()))),
            (GroupId(3), Some(Arc::new(KeyRing::default()))),
        ]);
        let next = first.with_rings([(GroupId(0), None)]);
        assert_eq!(next.generation(), 2);
        assert!(next.ring(GroupId(0)).is_none() && next.ring(GroupId(9)).is_none());
        let same = |a: Option<&KeyRing>, b: Option<&KeyRing>| std::ptr::eq(a.unwrap(), b.unwrap());
        assert!(same(first.ring(GroupId(3)), next.ring(GroupId(3))));
    }
}
