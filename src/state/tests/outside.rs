//! What has left a key server, as the world outside has seen it: it outlives every crash, and tells when a
//! promise is broken.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    broadcast::{BroadcasterId, ChannelDocument, ChannelId},
    ids::MskId,
    keys::Interval,
    keyserver::{ClientId, MskMessage, Purpose},
    wire::mikey::Message,
};

/// Version of a document, its MSKs, and which is in force.
type Said = (u64, Vec<MskId>, MskId);

#[derive(Default)]
pub(super) struct Outside {
    /// Every message, by the identity of the MUK and the counter.
    messages: BTreeMap<(String, u32), Vec<u8>>,
    /// Key and RAND of each MSK that a broadcaster was told.
    msks: BTreeMap<MskId, (Vec<u8>, Vec<u8>)>,
    /// RAND of each MSK that a client was sent.
    rands: BTreeMap<MskId, Vec<u8>>,
    parts: BTreeMap<MskId, BTreeMap<Option<BroadcasterId>, Interval>>,
    /// The newest document of each broadcaster.
    documents: BTreeMap<(ChannelId, Option<BroadcasterId>), Said>,
    /// Who was told to be expelled.
    pub(super) expelled: BTreeSet<(ChannelId, ClientId)>,
}

impl Outside {
    pub(super) fn sent(&mut self, message: &MskMessage, idr: &str, told: &str) {
        let key = (idr.to_owned(), message.counter);
        if let Some(former) = self.messages.insert(key, message.octets.clone()) {
            panic!("{told}: {idr} had counter {} before, for {former:02x?}", message.counter);
        }
        let newest =
            self.messages.range((idr.to_owned(), 0)..=(idr.to_owned(), u32::MAX)).next_back();
        assert_eq!(newest.unwrap().0.1, message.counter, "{told}: the counter of {idr} went back");
        let shut_out = (message.channel.clone(), message.client.clone());
        assert!(!self.expelled.contains(&shut_out), "{told}: {} was given a key", message.client);
        if message.purpose == Purpose::Solicit {
            return;
        }
        let rand = Message::parse(&message.octets).unwrap().rand().unwrap().to_vec();
        let known = self.rands.entry(message.msk_id).or_insert_with(|| rand.clone());
        assert_eq!(*known, rand, "{told}: another RAND for {}", message.msk_id);
    }

    pub(super) fn published(&mut self, document: &ChannelDocument, told: &str) {
        for listed in &document.msks {
            let msk = (listed.msk.key.expose().to_vec(), listed.msk.rand.clone());
            let known = self.msks.entry(listed.msk_id).or_insert_with(|| msk.clone());
            assert_eq!(*known, msk, "{told}: another key for {}", listed.msk_id);
            let parts = self.parts.entry(listed.msk_id).or_default();
            let part = parts.entry(document.broadcaster.clone()).or_insert(listed.interval);
            assert_eq!(*part, listed.interval, "{told}: other MTK IDs for {}", listed.msk_id);
            let mut parts: Vec<_> = parts.values().collect();
            parts.sort_unstable_by_key(|part| part.low);
            assert!(parts.is_sorted_by(|a, b| a.high <= b.low), "{told}: {parts:?}");
        }
        let msks = document.msks.iter().map(|listed| listed.msk_id).collect();
        let new = (document.version, msks, document.in_force);
        let whose = (document.channel.clone(), document.broadcaster.clone());
        if let Some(former) = self.documents.insert(whose, new.clone()) {
            assert!(former.0 <= new.0, "{told}: {former:?} before {new:?}");
            assert!(former.0 < new.0 || former == new, "{told}: {former:?} before {new:?}");
        }
    }

    /// No two MSKs share a key or a RAND.
    pub(super) fn check_keys(&self, told: &str) {
        let keys: BTreeSet<_> = self.msks.values().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), self.msks.len(), "{told}");
        let rands: BTreeSet<_> = self.rands.values().collect();
        assert_eq!(rands.len(), self.rands.len(), "{told}");
        for (id, rand) in &self.rands {
            assert_eq!(self.msks.get(id).map(|(_, rand)| rand), Some(rand), "{told}: {id}");
        }
    }
}
