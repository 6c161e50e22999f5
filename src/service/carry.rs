//! What is durable is carried out: messages leave, offers and documents are made ready, events are
//! told, requests are answered.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::SystemTime,
};

use super::{
    counters::Counts,
    documents::Documents,
    effect::{Effect, Effects},
    event::EventKind,
    events::Ring,
    offers::Offers,
    socket::MskSocket,
};
use crate::{
    broadcast::{ChannelDocument, ChannelId},
    ids::MskId,
    keyserver::{KeyServer, MskMessage, Route},
};

/// What the service's thread shares with everybody else.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) counts: Counts,
    pub(super) ring: Arc<Ring>,
    pub(super) offers: Offers,
    pub(super) documents: Arc<Documents>,
}

impl Shared {
    /// Carries effects out in their order; then tells, then answers.
    pub(super) fn carry_out(
        &self,
        effects: Effects,
        server: &KeyServer,
        socket: Option<&MskSocket>,
        wall: SystemTime,
    ) {
        let mut told = Told { shared: self, socket, messages: Vec::new(), events: Vec::new() };
        for effect in effects.list {
            match effect {
                Effect::Msk(message) => told.msk(message, server),
                Effect::Publish(document) => told.publish(document),
                Effect::Tell(channel, kind) => told.tell(channel, kind),
            }
        }
        let events = told.finish();
        self.counts.events.add(u64::try_from(events.len()).unwrap_or(u64::MAX));
        self.ring.publish(events, wall);
        for (done, result) in effects.answers {
            if let Err(refused) = &result {
                self.counts.refused(refused.kind);
            }
            self.call_back(|| done(result));
        }
    }

    /// Calls what a user gave us, which may panic without taking the thread along.
    pub(super) fn call_back(&self, call: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(call)).is_err() {
            self.counts.callback_panics.add(1);
        }
    }
}

/// What is being carried out.
struct Told<'a> {
    shared: &'a Shared,
    socket: Option<&'a MskSocket>,
    /// Messages by UDP that leave together.
    messages: Vec<MskMessage>,
    events: Vec<(Option<ChannelId>, EventKind)>,
}

impl Told<'_> {
    fn msk(&mut self, message: MskMessage, server: &KeyServer) {
        match message.to {
            Route::Udp(_) => self.messages.push(message),
            Route::SdpOffer => {
                let template = server.spec(&message.channel).and_then(|spec| spec.sdp.as_deref());
                self.shared.offers.put(&message, template);
                self.shared.counts.offers.add(1);
                let MskMessage { channel, client, msk_id, .. } = message;
                self.tell(Some(channel), EventKind::OfferReady { client, msk_id });
            }
            // It rides in the answer to the request.
            Route::SdpAnswer => {}
        }
    }

    fn publish(&mut self, document: ChannelDocument) {
        // What was to be sent before leaves before.
        self.send();
        let ChannelDocument { channel, broadcaster, version, in_force, .. } = &document;
        let (channel, broadcaster) = (Some(channel.clone()), broadcaster.clone());
        let kind =
            EventKind::DocumentPublished { broadcaster, version: *version, in_force: *in_force };
        self.events.push((channel, kind));
        self.shared.counts.documents_published.add(1);
        for waited in self.shared.documents.publish(document) {
            self.shared.call_back(waited);
        }
    }

    fn tell(&mut self, channel: Option<ChannelId>, kind: EventKind) {
        let (counts, offers) = (&self.shared.counts, &self.shared.offers);
        match (&channel, &kind) {
            (Some(channel), EventKind::Confirmed { client, msk_id }) => {
                counts.confirmations.add(1);
                offers.settle(channel, client, *msk_id);
            }
            (Some(channel), EventKind::Destroyed { msk_id }) => offers.forget(channel, *msk_id),
            (Some(channel), EventKind::ChannelClosed) => offers.close(channel),
            // Nothing more is to be offered to these.
            (
                Some(channel),
                EventKind::Left { client }
                | EventKind::Expelled { client }
                | EventKind::Removed { client, .. },
            ) => offers.withdraw(channel, client),
            (_, EventKind::ClientRemoved { client } | EventKind::ClientMoved { client }) => {
                offers.withdraw_all(client);
            }
            (_, EventKind::GaveUp { .. }) => counts.gave_up.add(1),
            (_, EventKind::UpdateBegun { .. }) => counts.updates.add(1),
            (_, EventKind::Switched { .. }) => counts.switches.add(1),
            _ => {}
        }
        self.events.push((channel, kind));
    }

    fn finish(mut self) -> Vec<(Option<ChannelId>, EventKind)> {
        self.send();
        self.events
    }

    /// Sends what has gathered, and tells it as one event for each MSK.
    fn send(&mut self) {
        let messages = std::mem::take(&mut self.messages);
        let Some(first) = messages.first() else { return };
        let mut tally: Vec<(&MskMessage, u64, u64, Option<String>)> = vec![(first, 0, 0, None)];
        let unsent = match self.socket {
            Some(socket) => socket.send(&messages),
            None => Vec::new(),
        };
        let mut unsent = unsent.into_iter().peekable();
        for (place, message) in messages.iter().enumerate() {
            let same = |(one, ..): &&mut (&MskMessage, u64, u64, Option<String>)| {
                (one.msk_id, &one.channel) == (message.msk_id, &message.channel)
            };
            // Messages of one MSK follow one another as a rule.
            if tally.last_mut().as_ref().filter(|last| same(last)).is_none() {
                tally.push((message, 0, 0, None));
            }
            let Some((_, sent, failed, why)) = tally.last_mut() else { continue };
            match unsent.next_if(|unsent| unsent.place == place) {
                Some(unsent) => {
                    *failed += 1;
                    why.get_or_insert_with(|| unsent.why.to_string());
                }
                None => *sent += 1,
            }
        }
        for (first, sent, failed, why) in tally {
            self.note_sent(first, sent, failed, why);
        }
    }

    fn note_sent(&mut self, first: &MskMessage, sent: u64, failed: u64, why: Option<String>) {
        let counts = &self.shared.counts;
        counts.msk_messages_sent.add(sent);
        counts.msk_messages_not_sent.add(failed);
        let (channel, msk_id): (_, MskId) = (Some(first.channel.clone()), first.msk_id);
        if sent > 0 {
            let client = (sent + failed == 1).then(|| first.client.clone());
            self.events
                .push((channel.clone(), EventKind::MskSent { msk_id, messages: sent, client }));
        }
        if let Some(why) = why {
            self.events.push((channel, EventKind::MskNotSent { msk_id, messages: failed, why }));
        }
    }
}
