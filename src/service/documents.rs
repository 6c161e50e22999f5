//! The newest document of each channel, for broadcasters that pull or are pushed to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::request::Refused;
use crate::broadcast::{BroadcasterId, ChannelDocument, ChannelId};

/// What has been published, and who waits for more.
#[derive(Default)]
pub(super) struct Documents(Mutex<Published>);

#[derive(Default)]
struct Published {
    /// By channel and broadcaster; without a broadcaster, the undivided document.
    newest: BTreeMap<(ChannelId, Option<BroadcasterId>), Arc<ChannelDocument>>,
    waits: BTreeMap<u64, Wait>,
    next_wait: u64,
    limit: usize,
}

struct Wait {
    channel: ChannelId,
    broadcaster: Option<BroadcasterId>,
    after: u64,
    done: Done,
}

type Done = Box<dyn FnOnce(Arc<ChannelDocument>) + Send>;

impl Documents {
    pub(super) fn new(limit: usize) -> Self {
        Self(Mutex::new(Published { limit, ..Published::default() }))
    }

    pub(super) fn newest(
        &self,
        channel: &ChannelId,
        broadcaster: Option<&BroadcasterId>,
    ) -> Option<Arc<ChannelDocument>> {
        self.lock().newest.get(&(channel.clone(), broadcaster.cloned())).cloned()
    }

    /// Takes a document in, unless a newer one is there; returns who has waited for it.
    pub(super) fn publish(&self, document: ChannelDocument) -> Vec<impl FnOnce() + use<>> {
        let mut published = self.lock();
        let key = (document.channel.clone(), document.broadcaster.clone());
        let document = Arc::new(document);
        let newer = |held: &Arc<ChannelDocument>| held.version >= document.version;
        if published.newest.get(&key).is_some_and(newer) {
            return Vec::new();
        }
        published.newest.insert(key, Arc::clone(&document));
        let over = published.waits.extract_if(.., |_, wait| wait.is_for(&document));
        let told = |(_, wait): (u64, Wait)| {
            let document = Arc::clone(&document);
            move || (wait.done)(document)
        };
        over.map(told).collect()
    }

    /// Calls `done` with a document newer than `after`: at once if there is one.
    pub(super) fn when_newer(
        self: &Arc<Self>,
        channel: &ChannelId,
        broadcaster: Option<&BroadcasterId>,
        after: u64,
        done: Done,
    ) -> Result<DocumentWait, Refused> {
        let mut published = self.lock();
        let key = (channel.clone(), broadcaster.cloned());
        if let Some(newest) = published.newest.get(&key).filter(|held| held.version > after) {
            let newest = Arc::clone(newest);
            drop(published);
            done(newest);
            return Ok(DocumentWait(None));
        }
        if published.waits.len() >= published.limit {
            let text = format!("{} wait for documents already; ask again later", published.limit);
            return Err(Refused::unavailable(text));
        }
        let number = published.next_wait;
        published.next_wait += 1;
        let (channel, broadcaster) = key;
        published.waits.insert(number, Wait { channel, broadcaster, after, done });
        Ok(DocumentWait(Some((Arc::clone(self), number))))
    }

    fn lock(&self) -> MutexGuard<'_, Published> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wait {
    fn is_for(&self, document: &ChannelDocument) -> bool {
        self.channel == document.channel
            && self.broadcaster == document.broadcaster
            && self.after < document.version
    }
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let published = self.lock();
        write!(f, "Documents({}, {} waits)", published.newest.len(), published.waits.len())
    }
}

/// A wait for a document; it is called off when this is dropped.
#[must_use = "the wait is called off when this is dropped"]
#[derive(Debug)]
pub struct DocumentWait(Option<(Arc<Documents>, u64)>);

impl Drop for DocumentWait {
    fn drop(&mut self) {
        if let Some((documents, number)) = self.0.take() {
            let wait = documents.lock().waits.remove(&number);
            // What the callback owns is dropped without the lock.
            drop(wait);
        }
    }
}
