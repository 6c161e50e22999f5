//! Counters of client keys that outlive the keys: a message accepted under a key stays accepted when the
//! key is replaced, removed, or inserted again after a restart.

use std::collections::{BTreeSet, HashMap};

use super::{MukId, held::MukPrint, records::Changed};
use crate::record::{Record, RecordReader, RecordWriter, Table};

/// The last accepted counters, by the identities of the keys.
#[derive(Debug)]
pub(super) struct MukCounters {
    clients: HashMap<MukId, Client>,
    /// When which was used last, the longest unused first.
    by_use: BTreeSet<(u64, MukId)>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Client {
    /// Rises with every message of any client.
    used: u64,
    /// The key used last comes first.
    keys: Vec<(MukPrint, u32)>,
}

impl MukCounters {
    /// Counters of `limit` pairs of identities; the longest unused make room.
    pub(super) fn new(limit: usize) -> Self {
        Self { clients: HashMap::new(), by_use: BTreeSet::new(), limit: limit.max(1) }
    }

    /// The last counter accepted under a key.
    pub(super) fn last(&self, id: &MukId, print: MukPrint) -> Option<u32> {
        let keys = &self.clients.get(id)?.keys;
        keys.iter().find(|(of, _)| *of == print).map(|(_, counter)| *counter)
    }

    /// Takes down what has been accepted.
    pub(super) fn accepted(
        &mut self,
        id: &MukId,
        print: MukPrint,
        counter: u32,
        changed: &mut Changed,
    ) {
        let mut client = self.take(id).unwrap_or_default();
        client.keys.retain(|(of, _)| *of != print);
        client.keys.truncate(KEYS_OF_A_CLIENT - 1);
        client.keys.insert(0, (print, counter));
        client.used = self.by_use.last().map_or(0, |(used, _)| used.saturating_add(1));
        self.put(id.clone(), client);
        changed.muk(id);
        while self.clients.len() > self.limit
            && let Some((_, unused)) = self.by_use.pop_first()
        {
            self.clients.remove(&unused);
            changed.muk(&unused);
        }
    }

    /// What of a client is to be kept.
    pub(super) fn record(&self, id: &MukId) -> Record {
        let key = RecordWriter::key(Table::Muk).prefixed(id.idi.as_bytes());
        let key = key.octets(id.idr.as_bytes()).into_key();
        let value = self.clients.get(id).map(|client| {
            RecordWriter::default()
                .u64(client.used)
                .list(client.keys.iter(), |out, (print, counter)| {
                    out.octets(&print.0).u32(*counter)
                })
                .into_value()
        });
        Record { key, value }
    }

    /// Takes a record back; `None` if it is none of these.
    pub(super) fn restore(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).ok();
        let mut key = RecordReader::new(key);
        let id = MukId { idi: text(key.prefixed()?)?, idr: text(key.rest())? };
        let mut value = RecordReader::new(value);
        let used = value.u64()?;
        let keys = value.list(|value| Some((MukPrint(value.array()?), value.u32()?)))?;
        value.finish()?;
        self.put(id, Client { used, keys });
        Some(())
    }

    fn take(&mut self, id: &MukId) -> Option<Client> {
        let client = self.clients.remove(id)?;
        self.by_use.remove(&(client.used, id.clone()));
        Some(client)
    }

    fn put(&mut self, id: MukId, client: Client) {
        self.by_use.insert((client.used, id.clone()));
        self.clients.insert(id, client);
    }
}

/// Keys remembered of one pair of identities.
const KEYS_OF_A_CLIENT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> MukId {
        MukId { idi: "bmsc.example".into(), idr: format!("c{n}@bsf.example") }
    }

    #[test]
    fn the_longest_unused_client_makes_room_and_its_record_goes() {
        let (mut counters, mut changed) = (MukCounters::new(2), Changed::default());
        let print = MukPrint([7; 16]);
        for (n, counter) in [(1, 5), (2, 6), (1, 7), (3, 8)] {
            counters.accepted(&id(n), print, counter, &mut changed);
        }
        let last = |n| counters.last(&id(n), print);
        assert_eq!((last(1), last(2), last(3)), (Some(7), None, Some(8)));
        assert!(counters.record(&id(2)).value.is_none());
    }

    #[test]
    fn counters_of_replaced_keys_are_read_back() {
        let (mut counters, mut changed) = (MukCounters::new(2), Changed::default());
        for key in 0..6 {
            counters.accepted(&id(1), MukPrint([key; 16]), 100 + u32::from(key), &mut changed);
        }
        let Record { key, value: Some(value) } = counters.record(&id(1)) else { panic!("none") };
        let mut restored = MukCounters::new(2);
        restored.restore(&key[1..], value.expose()).unwrap();
        for key in 0..6 {
            let known = (key >= 2).then(|| 100 + u32::from(key));
            assert_eq!(restored.last(&id(1), MukPrint([key; 16])), known);
        }
        for len in 0..value.len() {
            assert!(restored.restore(&key[1..], &value.expose()[..len]).is_none());
        }
    }
}
