//! The last documents: a broadcaster that is out of a channel is told to erase what it holds of it,
//! until it says that it has; also after a restart, since it may be away meanwhile.

use std::collections::BTreeMap;

use super::{Action, KeyServer};
use crate::{
    broadcast::{BroadcasterId, ChannelDocument, ChannelId},
    ids::{KeyDomainId, MskId},
    record::NotedMap,
    srtp::Profile,
};

/// Channel and broadcaster; no broadcaster where the channel named none.
pub(super) type Place = (ChannelId, Option<BroadcasterId>);

/// What a last document says.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Rises with each end, so that the oldest can be told.
    pub(super) order: u64,
    pub(super) version: u64,
    pub(super) domain: KeyDomainId,
    pub(super) profile: Profile,
    pub(super) in_force: MskId,
}

/// The ends that are not known to have arrived.
#[derive(Debug, Default)]
pub(super) struct Ended(pub(super) NotedMap<Place, End>);

impl Ended {
    pub(super) const fn restored(ends: BTreeMap<Place, End>) -> Self {
        Self(NotedMap::restored(ends))
    }

    /// Takes note of who is told an end, and of who is in a channel again.
    pub(super) fn note(&mut self, actions: &[Action]) {
        for action in actions {
            let Action::Publish(document) = action else { continue };
            let place = (document.channel.clone(), document.broadcaster.clone());
            if document.msks.is_empty() {
                self.enter(place, document);
            } else {
                self.0.remove(&place);
            }
        }
    }

    fn enter(&mut self, place: Place, document: &ChannelDocument) {
        let order = self.0.iter().map(|(_, end)| end.order).max().map_or(0, |last| last + 1);
        let ChannelDocument { version, domain, profile, in_force, .. } = *document;
        self.0.insert(place, End { order, version, domain, profile, in_force });
        if self.0.len() > KeyServer::MAX_ENDED
            && let Some((oldest, _)) = self.0.iter().min_by_key(|(_, end)| end.order)
        {
            let oldest = oldest.clone();
            self.0.remove(&oldest);
        }
    }

    /// The version of the last document of a broadcaster, if it is not known to hold it.
    pub(super) fn version(&self, place: &Place) -> Option<u64> {
        self.0.get(place).map(|end| end.version)
    }

    /// The last documents once more.
    pub(super) fn documents(&self) -> impl Iterator<Item = ChannelDocument> {
        self.0.iter().map(|((channel, broadcaster), end)| ChannelDocument {
            channel: channel.clone(),
            broadcaster: broadcaster.clone(),
            version: end.version,
            domain: end.domain,
            profile: end.profile,
            mtk_period: None,
            msks: Vec::new(),
            in_force: end.in_force,
        })
    }
}
