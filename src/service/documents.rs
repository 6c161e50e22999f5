//! The newest document of each channel, for broadcasters that pull or are pushed to.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::request::Refused;
use crate::{
    broadcast::{BroadcasterId, ChannelDocument, ChannelId},
    keyserver::KeyServer,
};

/// What has been published, and who waits for more.
#[derive(Default)]
pub(super) struct Documents(Mutex<Published>);

#[derive(Default)]
struct Published {
    /// By channel and broadcaster; without a broadcaster, the undivided document.
    newest: BTreeMap<Place, Arc<ChannelDocument>>,
    /// Whose last document tells to erase everything, in the order of their ends.
    ended: VecDeque<Place>,
    waits: BTreeMap<u64, Wait>,
    next_wait: u64,
    limit: usize,
    /// Nothing more is published.
    over: bool,
}

/// Channel and broadcaster.
type Place = (ChannelId, Option<BroadcasterId>);

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
        if document.msks.is_empty() {
            published.end(key.clone());
        }
        published.newest.insert(key, Arc::clone(&document));
        let waits = published.waits.iter().filter(|(_, wait)| wait.is_for(&document));
        let over: Vec<_> = waits.map(|(number, _)| *number).collect();
        let over = over.iter().filter_map(|number| published.waits.remove(number));
        let told = |wait: Wait| {
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
        if published.over {
            return Err(Refused::unavailable("the service has stopped"));
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

    /// Nothing more is published: whoever waits is let go without a document.
    pub(super) fn end(&self) {
        let mut published = self.lock();
        published.over = true;
        let waits = std::mem::take(&mut published.waits);
        drop(published);
        // What the callbacks own is dropped without the lock.
        drop(waits);
    }

    fn lock(&self) -> MutexGuard<'_, Published> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Published {
    /// Remembers an end, and forgets the first one where there are too many.
    fn end(&mut self, place: Place) {
        self.ended.retain(|other| *other != place);
        self.ended.push_back(place);
        if self.ended.len() > MAX_ENDED
            && let Some(first) = self.ended.pop_front()
            && self.newest.get(&first).is_some_and(|last| last.msks.is_empty())
        {
            self.newest.remove(&first);
        }
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

/// Ended channels whose last document is kept for broadcasters that come late: those that the key
/// server keeps, and publishes again after a restart.
const MAX_ENDED: usize = KeyServer::MAX_ENDED;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{KeyDomainId, MskId},
        srtp::Profile,
    };

    fn document(channel: &str, version: u64) -> ChannelDocument {
        ChannelDocument {
            channel: channel.into(),
            broadcaster: None,
            version,
            domain: KeyDomainId::default(),
            profile: Profile::default(),
            mtk_period: None,
            msks: Vec::new(),
            in_force: MskId::default(),
        }
    }

    fn wait(
        documents: &Arc<Documents>,
        after: u64,
    ) -> (DocumentWait, crossbeam_channel::Receiver<u64>) {
        let (told, hears) = crossbeam_channel::bounded(1);
        let done =
            Box::new(move |document: Arc<ChannelDocument>| told.send(document.version).unwrap());
        (documents.when_newer(&"17".into(), None, after, done).unwrap(), hears)
    }

    fn publish(documents: &Documents, document: ChannelDocument) {
        documents.publish(document).into_iter().for_each(|told| told());
    }

    #[test]
    fn nobody_waits_for_a_service_that_has_stopped() {
        let documents = Arc::new(Documents::new(9));
        let (_wait, hears) = wait(&documents, 0);
        documents.end();
        assert!(hears.recv().is_err());
        let done = Box::new(|_: Arc<ChannelDocument>| {});
        assert!(documents.when_newer(&"17".into(), None, 0, done).is_err());
    }

    #[test]
    fn wait_ends_with_the_next_version_and_at_once_if_that_is_there() {
        let documents = Arc::new(Documents::new(9));
        let (_wait, hears) = wait(&documents, 0);
        publish(&documents, document("18", 1));
        assert!(hears.is_empty());
        publish(&documents, document("17", 1));
        assert_eq!(hears.recv(), Ok(1));
        let (_wait, hears) = wait(&documents, 0);
        assert_eq!(hears.recv(), Ok(1));
        let (_wait, hears) = wait(&documents, 1);
        publish(&documents, document("17", 1));
        assert!(hears.is_empty(), "the same version again");
    }

    #[test]
    fn waits_that_were_called_off_leave_nothing_and_too_many_are_refused() {
        let documents = Arc::new(Documents::new(1));
        let (first, hears) = wait(&documents, 0);
        let refused = documents.when_newer(&"17".into(), None, 0, Box::new(|_| ()));
        assert_eq!(refused.unwrap_err().kind, crate::service::RefusedKind::Unavailable);
        drop(first);
        publish(&documents, document("17", 1));
        assert!(hears.recv().is_err());
        let (_second, hears) = wait(&documents, 0);
        assert_eq!(hears.recv(), Ok(1));
    }

    #[test]
    fn channels_that_come_and_go_do_not_fill_the_memory() {
        let documents = Documents::new(1);
        for channel in 0..2 * MAX_ENDED {
            publish(&documents, document(&channel.to_string(), 1));
        }
        assert_eq!(documents.lock().newest.len(), MAX_ENDED);
    }
}
