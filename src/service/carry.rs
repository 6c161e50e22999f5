//! What is durable is carried out: messages leave, offers and documents are made ready, events are
//! told, requests are answered.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
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
    socket::{MskSocket, Unsent},
};
use crate::{
    broadcast::{ChannelDocument, ChannelId},
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
    messages: Vec<(MskMessage, SocketAddr)>,
    events: Vec<(Option<ChannelId>, EventKind)>,
}

impl Told<'_> {
    fn msk(&mut self, message: MskMessage, server: &KeyServer) {
        match message.to {
            Route::Udp(to) => self.messages.push((message, to)),
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

    /// Sends what has gathered, and tells it as one event for each MSK and purpose.
    fn send(&mut self) {
        let messages = std::mem::take(&mut self.messages);
        let mut unsent = match self.socket {
            Some(socket) => socket.send(&messages),
            // It had one when these clients were added.
            None => {
                let why = Arc::new(io::Error::other("the service has no socket"));
                (0..messages.len()).map(|place| Unsent { place, why: Arc::clone(&why) }).collect()
            }
        }
        .into_iter()
        .peekable();
        let mut tallies = BTreeMap::<_, Tally<'_>>::new();
        for (place, (message, _)) in messages.iter().enumerate() {
            let of = (&message.channel, message.msk_id, message.purpose.name());
            let tally = tallies.entry(of).or_insert_with(|| Tally::of(message));
            match unsent.next_if(|unsent| unsent.place == place) {
                Some(Unsent { why, .. }) => {
                    tally.unsent += 1;
                    tally.why.get_or_insert_with(|| why.to_string());
                }
                None => tally.sent += 1,
            }
        }
        let tallies = tallies.into_values();
        tallies.for_each(|tally| tally.tell(&self.shared.counts, &mut self.events));
    }
}

/// What became of the messages of one MSK.
struct Tally<'a> {
    first: &'a MskMessage,
    sent: u64,
    unsent: u64,
    why: Option<String>,
}

impl<'a> Tally<'a> {
    const fn of(first: &'a MskMessage) -> Self {
        Self { first, sent: 0, unsent: 0, why: None }
    }

    fn tell(self, counts: &Counts, events: &mut Vec<(Option<ChannelId>, EventKind)>) {
        let Self { first, sent, unsent, why } = self;
        counts.msk_messages_sent.add(sent);
        counts.msk_messages_not_sent.add(unsent);
        let MskMessage { msk_id, purpose, .. } = *first;
        let channel = || Some(first.channel.clone());
        if sent > 0 {
            let client = (sent + unsent == 1).then(|| first.client.clone());
            let kind = EventKind::MskSent { msk_id, purpose, messages: sent, client };
            events.push((channel(), kind));
        }
        if let Some(why) = why {
            let kind = EventKind::MskNotSent { msk_id, purpose, messages: unsent, why };
            events.push((channel(), kind));
        }
    }
}
