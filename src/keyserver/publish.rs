//! What broadcasters are told: one document each, published anew with each change, and who holds
//! which version of it.

use std::{sync::Arc, time::Instant};

use super::{
    Action, KeyServer,
    issue::{Desk, IssuedMsk},
    rekey::Channel,
};
use crate::{
    broadcast::{BroadcasterId, ChannelDocument, ChannelId, DocumentMsk, part},
    error::Error,
};

impl KeyServer {
    /// The document that a broadcaster is to follow; `None` for the one broadcaster of a channel that
    /// names none. Nothing if the channel is not open, or does not name this broadcaster.
    #[must_use]
    pub fn document(
        &self,
        channel: &ChannelId,
        broadcaster: Option<&BroadcasterId>,
    ) -> Option<ChannelDocument> {
        let channel = self.channels.get(channel)?;
        channel.is_for(broadcaster).then(|| channel.document(broadcaster))
    }

    /// A broadcaster holds this version of its document, or a newer one. An update that waited for
    /// this alone switches. If it is the last one of a broadcaster that is out of the channel, nothing
    /// is kept of it any more.
    ///
    /// Only that is part of the durable state: after a restart broadcasters are heard again.
    ///
    /// # Errors
    /// Unknown channel, a broadcaster that it does not name, or a version that was not published.
    pub fn broadcaster_holds(
        &mut self,
        channel: &ChannelId,
        broadcaster: &BroadcasterId,
        version: u64,
        now: Instant,
    ) -> Result<Vec<Action>, Error> {
        if let Some(last) = self.last_version(channel, broadcaster) {
            if version >= last {
                self.ended.0.remove(&(channel.clone(), Some(broadcaster.clone())));
            }
            return Ok(Vec::new());
        }
        let (open, mut desk) = self.at_desk(channel, now)?;
        if !open.spec.broadcasters.contains(broadcaster) {
            return Err(Error::invalid(format!(
                "channel {channel} does not name a broadcaster {broadcaster}"
            )));
        }
        if version > open.version {
            return Err(Error::invalid(format!(
                "the document of channel {channel} is at version {}, not at {version}",
                open.version
            )));
        }
        open.note_held(broadcaster, version);
        open.switch_if_ready(&mut desk);
        Ok(desk.actions)
    }

    /// The version of the last document of a broadcaster that is out of the channel, for as long as it
    /// has not said that it holds it.
    #[must_use]
    pub fn last_version(&self, channel: &ChannelId, broadcaster: &BroadcasterId) -> Option<u64> {
        self.ended.version(&(channel.clone(), Some(broadcaster.clone())))
    }

    /// The last documents of broadcasters that are out of a channel and have not said that they hold
    /// them: who pushes documents goes on with these. They are published by
    /// [`KeyServer::restore`] again.
    pub fn last_documents(&self) -> impl Iterator<Item = ChannelDocument> {
        self.ended.documents()
    }

    /// The broadcasters that a channel names, each with the version of its document it is known to
    /// hold.
    pub fn broadcasters(
        &self,
        channel: &ChannelId,
    ) -> impl Iterator<Item = (&BroadcasterId, Option<u64>)> {
        let channel = self.channels.get(channel).into_iter();
        channel.flat_map(|open| {
            open.spec.broadcasters.iter().map(|name| (name, open.held.get(name).copied()))
        })
    }
}

impl Channel {
    /// Whether the channel names this broadcaster; `None` is the one of a channel that names none.
    pub(super) fn is_for(&self, broadcaster: Option<&BroadcasterId>) -> bool {
        let named = &self.spec.broadcasters;
        broadcaster.map_or(named.is_empty(), |broadcaster| named.contains(broadcaster))
    }

    /// The documents have changed: everybody is told (requirement P6).
    pub(super) fn publish(&mut self, desk: &mut Desk<'_>) {
        self.version += 1;
        self.changed.itself();
        self.publish_again(desk);
    }

    /// Tells what was told before, for example after a restart.
    pub(super) fn publish_again(&self, desk: &mut Desk<'_>) {
        let documents = self.recipients().map(|broadcaster| self.document(broadcaster));
        desk.actions.extend(documents.map(Action::Publish));
    }

    /// What a broadcaster is told that is out of the channel: to erase all it holds of it.
    pub(super) fn last_document(&self, broadcaster: Option<&BroadcasterId>) -> ChannelDocument {
        ChannelDocument { msks: Vec::new(), ..self.document(broadcaster) }
    }

    /// What all broadcasters are told when the channel is closed.
    pub(super) fn last_documents(&self) -> impl Iterator<Item = ChannelDocument> {
        self.recipients().map(|broadcaster| self.last_document(broadcaster))
    }

    fn recipients(&self) -> impl Iterator<Item = Option<&BroadcasterId>> {
        let named = &self.spec.broadcasters;
        named.is_empty().then_some(None).into_iter().chain(named.iter().map(Some))
    }

    pub(super) fn document(&self, broadcaster: Option<&BroadcasterId>) -> ChannelDocument {
        let retiring = self.retiring.iter().map(|old| &old.issued);
        let coming = self.update.iter().map(|update| &update.next);
        ChannelDocument {
            channel: self.heading.channel.clone(),
            broadcaster: broadcaster.cloned(),
            version: self.version,
            domain: self.heading.domain,
            profile: self.heading.profile,
            mtk_period: self.spec.mtk_period,
            msks: retiring
                .chain([&self.current])
                .chain(coming)
                .filter_map(|issued| issued.listed_for(broadcaster))
                .collect(),
            in_force: self.current.id,
        }
    }

    pub(super) fn note_held(&mut self, broadcaster: &BroadcasterId, version: u64) {
        let held = self.held.entry(broadcaster.clone()).or_default();
        *held = version.max(*held);
    }

    /// The broadcasters that are not known to hold this version.
    pub(super) fn lacking(&self, version: u64) -> impl Iterator<Item = &BroadcasterId> {
        let named = self.spec.broadcasters.iter();
        named.filter(move |name| self.held.get(*name).is_none_or(|held| *held < version))
    }
}

impl IssuedMsk {
    /// What a broadcaster is told of this MSK, if it has a part in it.
    fn listed_for(&self, broadcaster: Option<&BroadcasterId>) -> Option<DocumentMsk> {
        let interval = match broadcaster {
            None if self.broadcasters.is_empty() => self.interval,
            None => return None,
            Some(broadcaster) => {
                let place = self.broadcasters.iter().position(|other| other == broadcaster)?;
                part(self.interval, place, self.broadcasters.len())
            }
        };
        Some(DocumentMsk { msk_id: self.id, msk: Arc::clone(&self.msk), interval })
    }
}
