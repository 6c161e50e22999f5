//! Records as a journal keeps them: the same key again replaces the value.

use std::collections::BTreeMap;

use mcast_srtp::record::Record;

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Kept(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

impl Kept {
    /// Takes records over; returns how many were new.
    pub(crate) fn take(&mut self, records: Vec<Record>) -> usize {
        let mut news = 0;
        for Record { key, value } in records {
            let former = match &value {
                Some(value) => self.0.insert(key.to_vec(), value.expose().to_vec()),
                None => self.0.remove(&*key),
            };
            news += usize::from(former.as_deref() != value.as_ref().map(|value| value.expose()));
        }
        news
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
}
