//! Requests into calls of the core: what is done already is not done again, and what cannot be done
//! is refused before anything has changed.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Instant, SystemTime},
};

use super::{
    counters::Counts,
    effect::Effects,
    event::EventKind,
    refusals::Refusals,
    request::{Refused, RefusedKind, Reply, Request},
    socket::MskSocket,
    watch::Watch,
};
use crate::{
    broadcast::{BroadcasterId, ChannelId},
    error::Reject,
    ids::MskId,
    keys::{CryptoSession, Muk, MukId},
    keyserver::{
        Action, ChannelSpec, ClientId, KeyServer, MskMessage, Reach, Route, Sender, UpdateCause,
    },
};

/// The core, and where the effects of a call go.
pub(super) struct Desk<'a> {
    pub(super) server: &'a mut KeyServer,
    pub(super) socket: Option<&'a MskSocket>,
    pub(super) effects: &'a mut Effects,
    pub(super) watch: &'a mut Watch,
    pub(super) refusals: &'a mut Refusals,
    pub(super) counts: &'a Counts,
    pub(super) now: Instant,
    pub(super) wall: SystemTime,
}

impl Desk<'_> {
    /// Carries a request out in the core. Its effects wait for the commit.
    pub(super) fn apply(&mut self, request: Request) -> Result<Reply, Refused> {
        match request {
            Request::AddClient { client, muk_id, muk, reach } => {
                self.add_client(client, muk_id, muk, reach)
            }
            Request::RenewMuk { client, muk_id, muk } => self.renew_muk(client, muk_id, muk),
            Request::Relocate { client, reach } => self.relocate(client, reach),
            Request::RemoveClient { client } => self.remove_client(client),
            Request::OpenChannel { channel, spec } => self.open_channel(channel, spec),
            Request::SetPolicy { channel, spec } => self.set_policy(&channel, spec),
            Request::CloseChannel { channel } => self.close_channel(channel),
            Request::Join { channel, client } => self.join(channel, client),
            Request::JoinInAnswer { channel, client } => self.join_in_answer(channel, client),
            Request::Leave { channel, client } => self.leave(channel, client),
            Request::Expel { channel, clients } => self.expel(channel, clients),
            Request::Readmit { channel, client } => self.readmit(channel, client),
            Request::Update { channel, cause, replaces } => self.update(channel, cause, replaces),
            Request::RequestMsk { channel, client } => self.request_msk(&channel, &client),
            Request::Solicit { channel, client } => self.solicit(&channel, client),
            Request::Answer { client, answer } => self.answer(&client, &answer),
            Request::BroadcasterReport { channel, broadcaster, streams, mtk_ids_left, msk_id } => {
                self.report(channel, broadcaster, &streams, msk_id.zip(mtk_ids_left))
            }
            Request::BroadcasterHolds { channel, broadcaster, version } => {
                self.broadcaster_holds(&channel, broadcaster, version)
            }
        }
    }

    /// Counts a verification message that does not verify; one without a source came in SDP.
    pub(super) fn refuse(&mut self, reject: Reject, source: Option<SocketAddr>) {
        self.counts.verifications_refused.add(reject);
        self.refusals.note(reject, source);
    }

    /// A verification message came.
    pub(super) fn receive(&mut self, message: &[u8], from: Sender<'_>) -> Result<(), Reject> {
        let actions = self.server.receive(message, from, self.now)?;
        self.act(actions);
        Ok(())
    }

    fn add_client(
        &mut self,
        client: ClientId,
        muk_id: MukId,
        muk: Muk,
        reach: Reach,
    ) -> Result<Reply, Refused> {
        self.check_reach(reach)?;
        if let Some(known) = self.server.client(&client) {
            if known.reach == reach && self.server.has_muk(&client, &muk_id, &muk) {
                return Ok(Reply::of(false));
            }
            return Err(conflict(format!(
                "client {client} is on the roster with another MUK or another way to reach it; renew its \
                 MUK or relocate it instead"
            )));
        }
        self.server.add_client(&client, muk_id, muk, reach).map_err(conflict)?;
        self.tell(None, EventKind::ClientAdded { client });
        Ok(Reply::of(true))
    }

    fn renew_muk(&mut self, client: ClientId, muk_id: MukId, muk: Muk) -> Result<Reply, Refused> {
        self.known(&client)?;
        if self.server.has_muk(&client, &muk_id, &muk) {
            return Ok(Reply::of(false));
        }
        let actions = self.server.renew_muk(&client, muk_id, muk, self.now).map_err(conflict)?;
        self.tell(None, EventKind::MukRenewed { client });
        Ok(self.done(actions))
    }

    fn relocate(&mut self, client: ClientId, reach: Reach) -> Result<Reply, Refused> {
        self.check_reach(reach)?;
        if self.known(&client)? == reach {
            return Ok(Reply::of(false));
        }
        let actions = self.server.relocate(&client, reach, self.now).map_err(invalid)?;
        self.tell(None, EventKind::ClientMoved { client });
        Ok(self.done(actions))
    }

    fn remove_client(&mut self, client: ClientId) -> Result<Reply, Refused> {
        let Some(known) = self.server.client(&client) else { return Ok(Reply::of(false)) };
        let channels: Vec<_> = known.channels.iter().cloned().collect();
        let removed = self.server.remove_client(&client, self.now, &mut random);
        let actions = removed.map_err(conflict)?;
        for channel in channels {
            self.tell(Some(&channel), EventKind::Left { client: client.clone() });
        }
        self.tell(None, EventKind::ClientRemoved { client });
        Ok(self.done(actions))
    }

    fn open_channel(&mut self, channel: ChannelId, spec: ChannelSpec) -> Result<Reply, Refused> {
        match self.server.spec(&channel) {
            Some(open) if *open == spec => return Ok(Reply::of(false)),
            Some(_) => {
                return Err(conflict(format!(
                    "channel {channel} is open with other settings; change its policy, or close it first"
                )));
            }
            None => {}
        }
        let group = (spec.domain, spec.key_group);
        let taken =
            self.server.channels().any(|(_, other)| (other.domain, other.key_group) == group);
        let kind = if taken { RefusedKind::Conflict } else { RefusedKind::Invalid };
        let opened = self.server.open_channel(&channel, spec, self.now, &mut random);
        let actions = opened.map_err(|error| Refused::new(kind, error.to_string()))?;
        if let Some(msk_id) = self.server.current_msk(&channel) {
            self.tell(Some(&channel), EventKind::ChannelOpened { msk_id });
        }
        Ok(self.done(actions))
    }

    fn set_policy(&mut self, channel: &ChannelId, spec: ChannelSpec) -> Result<Reply, Refused> {
        if *self.open(channel)? == spec {
            return Ok(Reply::of(false));
        }
        let set = self.server.set_policy(channel, spec, self.now, &mut random);
        let actions = set.map_err(invalid)?;
        self.tell(Some(channel), EventKind::PolicyChanged);
        Ok(self.done(actions))
    }

    fn close_channel(&mut self, channel: ChannelId) -> Result<Reply, Refused> {
        if self.server.spec(&channel).is_none() {
            return Ok(Reply::of(false));
        }
        let actions = self.server.close_channel(&channel).map_err(invalid)?;
        Ok(self.done(actions))
    }

    fn join(&mut self, channel: ChannelId, client: ClientId) -> Result<Reply, Refused> {
        self.admissible(&channel, &client)?;
        if self.server.is_member(&channel, &client) {
            self.server.take_over(&channel, &client);
            return Ok(Reply::of(false));
        }
        let actions = self.server.join(&channel, &client, self.now).map_err(invalid)?;
        self.tell(Some(&channel), EventKind::Joined { client });
        Ok(self.done(actions))
    }

    fn join_in_answer(&mut self, channel: ChannelId, client: ClientId) -> Result<Reply, Refused> {
        self.admissible(&channel, &client)?;
        let changed = !self.server.is_member(&channel, &client);
        let actions = self.server.join_in_answer(&channel, &client, self.now).map_err(conflict)?;
        let key_mgmt = actions.iter().find_map(|action| match action {
            Action::SendMsk(message @ MskMessage { to: Route::SdpAnswer, .. }) => {
                Some(message.key_mgmt_line())
            }
            _ => None,
        });
        if changed {
            self.tell(Some(&channel), EventKind::Joined { client });
        }
        Ok(Reply { changed, key_mgmt, ..self.done(actions) })
    }

    fn leave(&mut self, channel: ChannelId, client: ClientId) -> Result<Reply, Refused> {
        self.open(&channel)?;
        if !self.server.is_member(&channel, &client) {
            return Ok(Reply::of(false));
        }
        let left = self.server.leave(&channel, &client, self.now, &mut random);
        let actions = left.map_err(invalid)?;
        self.tell(Some(&channel), EventKind::Left { client });
        Ok(self.done(actions))
    }

    fn expel(&mut self, channel: ChannelId, mut clients: Vec<ClientId>) -> Result<Reply, Refused> {
        self.open(&channel)?;
        let mut named = BTreeSet::new();
        clients.retain(|client| {
            !self.server.is_expelled(&channel, client) && named.insert(client.clone())
        });
        if clients.is_empty() {
            return Ok(Reply::of(false));
        }
        let expelled = self.server.expel(&channel, &clients, self.now, &mut random);
        let actions = expelled.map_err(invalid)?;
        for client in clients {
            self.tell(Some(&channel), EventKind::Expelled { client });
        }
        Ok(self.done(actions))
    }

    fn readmit(&mut self, channel: ChannelId, client: ClientId) -> Result<Reply, Refused> {
        self.open(&channel)?;
        let changed = self.server.readmit(&channel, &client).map_err(invalid)?;
        if changed {
            self.tell(Some(&channel), EventKind::Readmitted { client });
        }
        Ok(Reply::of(changed))
    }

    fn update(
        &mut self,
        channel: ChannelId,
        cause: UpdateCause,
        replaces: Option<MskId>,
    ) -> Result<Reply, Refused> {
        self.open(&channel)?;
        let coming = self.server.coming_msk(&channel).map(|(msk_id, _)| msk_id);
        // The MSK in force is replaced once; the one that is on its way only if it will not do.
        let replaceable = match coming {
            None => self.server.current_msk(&channel),
            Some(_) => coming.filter(|_| cause.supersedes()),
        };
        if replaces.is_some() && replaces != replaceable {
            return Ok(Reply::of(false));
        }
        let actions =
            self.server.update(&channel, cause, self.now, &mut random).map_err(conflict)?;
        let changed = !actions.is_empty();
        Ok(Reply { changed, ..self.done(actions) })
    }

    fn request_msk(&mut self, channel: &ChannelId, client: &ClientId) -> Result<Reply, Refused> {
        self.member(channel, client)?;
        let actions = self.server.resend(channel, client, self.now).map_err(invalid)?;
        Ok(self.done(actions))
    }

    fn solicit(&mut self, channel: &ChannelId, client: ClientId) -> Result<Reply, Refused> {
        self.member(channel, &client)?;
        let actions = self.server.solicit(channel, &client, self.now).map_err(conflict)?;
        self.tell(Some(channel), EventKind::Solicited { client });
        Ok(self.done(actions))
    }

    fn answer(&mut self, client: &ClientId, answer: &[u8]) -> Result<Reply, Refused> {
        self.known(client)?;
        let message = super::answer::mikey_in(answer).map_err(invalid)?;
        match self.receive(&message, Sender::Client(client)) {
            Ok(()) => Ok(Reply::of(true)),
            // Answered before, or an offer that a newer one has replaced: nothing to do.
            Err(Reject::KeyReplayed) => Ok(Reply::of(false)),
            Err(reject) => {
                self.refuse(reject, None);
                let text = format!("the answer of client {client} does not verify: {reject}");
                Err(Refused::new(RefusedKind::Invalid, text))
            }
        }
    }

    fn broadcaster_holds(
        &mut self,
        channel: &ChannelId,
        broadcaster: BroadcasterId,
        version: u64,
    ) -> Result<Reply, Refused> {
        if let Some(last) = self.server.last_version(channel, &broadcaster) {
            return self.holds_the_last(channel, broadcaster, version, last);
        }
        let held = self.named(channel, &broadcaster)?;
        self.watch.hear(channel, &broadcaster, self.now, self.effects);
        // Version 0 is none: a sign of life.
        if version <= held.unwrap_or(0) {
            return Ok(Reply::of(false));
        }
        let holds = self.server.broadcaster_holds(channel, &broadcaster, version, self.now);
        let actions = holds.map_err(invalid)?;
        self.tell(Some(channel), EventKind::DocumentHeld { broadcaster, version });
        Ok(self.done(actions))
    }

    /// A broadcaster is out of the channel, and is told so until it says that it has erased all.
    fn holds_the_last(
        &mut self,
        channel: &ChannelId,
        broadcaster: BroadcasterId,
        version: u64,
        last: u64,
    ) -> Result<Reply, Refused> {
        let holds = self.server.broadcaster_holds(channel, &broadcaster, version, self.now);
        holds.map_err(invalid)?;
        let changed = version >= last;
        if changed {
            self.tell(Some(channel), EventKind::DocumentHeld { broadcaster, version });
        }
        Ok(Reply::of(changed))
    }

    fn report(
        &mut self,
        channel: ChannelId,
        broadcaster: Option<BroadcasterId>,
        streams: &[CryptoSession],
        left: Option<(MskId, u16)>,
    ) -> Result<Reply, Refused> {
        match &broadcaster {
            Some(broadcaster) => {
                self.named(&channel, broadcaster)?;
                self.watch.hear(&channel, broadcaster, self.now, self.effects);
            }
            None => {
                self.open(&channel)?;
            }
        }
        let told = self.server.set_streams(&channel, broadcaster.as_ref(), streams);
        told.map_err(invalid)?;
        let Some((msk_id, left)) = left else { return Ok(Reply::of(false)) };
        let low = self.server.mtk_ids_low(&channel, msk_id, self.now, &mut random);
        let used_up = |_| vec![Action::KeyNumbersUsedUp { channel: channel.clone() }];
        let actions = low.unwrap_or_else(used_up);
        let changed = !actions.is_empty();
        if changed {
            self.tell(Some(&channel), EventKind::MtkIdsLow { broadcaster, msk_id, left });
        }
        Ok(Reply { changed, ..self.done(actions) })
    }

    fn check_reach(&self, reach: Reach) -> Result<(), Refused> {
        let Reach::Udp(address) = reach else { return Ok(()) };
        match self.socket {
            Some(socket) if socket.reaches(address) => Ok(()),
            Some(_) => Err(invalid(format!(
                "the service's socket cannot send to {address}: it is of another address family"
            ))),
            None => Err(invalid(format!(
                "the service has no socket to send to {address}; start it with one, or reach the \
                 client by SDP"
            ))),
        }
    }

    fn open(&self, channel: &ChannelId) -> Result<&ChannelSpec, Refused> {
        self.server.spec(channel).ok_or_else(|| not_found(format!("channel {channel} is not open")))
    }

    /// The version that a broadcaster of the channel is known to hold.
    fn named(
        &self,
        channel: &ChannelId,
        broadcaster: &BroadcasterId,
    ) -> Result<Option<u64>, Refused> {
        self.open(channel)?;
        let mut named = self.server.broadcasters(channel);
        let found = named.find(|(name, _)| *name == broadcaster).map(|(_, held)| held);
        found.ok_or_else(|| {
            not_found(format!("channel {channel} does not name a broadcaster {broadcaster}"))
        })
    }

    fn known(&self, client: &ClientId) -> Result<Reach, Refused> {
        let known = self.server.client(client).map(|known| known.reach);
        known
            .ok_or_else(|| not_found(format!("client {client} is not on the roster; add it first")))
    }

    fn admissible(&self, channel: &ChannelId, client: &ClientId) -> Result<(), Refused> {
        self.open(channel)?;
        self.known(client)?;
        if self.server.is_expelled(channel, client) {
            let text = format!("client {client} was expelled from {channel}; readmit it first");
            return Err(conflict(text));
        }
        Ok(())
    }

    fn member(&self, channel: &ChannelId, client: &ClientId) -> Result<(), Refused> {
        self.open(channel)?;
        if self.server.is_member(channel, client) {
            return Ok(());
        }
        Err(not_found(format!("client {client} is no member of channel {channel}")))
    }

    fn done(&mut self, actions: Vec<Action>) -> Reply {
        let begun = |action: &Action| match action {
            Action::UpdateBegun { msk_id, .. } => Some(*msk_id),
            _ => None,
        };
        let update = actions.iter().find_map(begun);
        self.act(actions);
        Reply { changed: true, update, key_mgmt: None }
    }

    pub(super) fn act(&mut self, actions: Vec<Action>) {
        self.effects.act(actions, self.now, self.wall);
    }

    pub(super) fn tell(&mut self, channel: Option<&ChannelId>, kind: EventKind) {
        self.effects.tell(channel, kind);
    }
}

/// Randomness from the system. It was asked once at the start; from then on it does not fail.
pub(super) fn random(out: &mut [u8]) {
    getrandom::fill(out).expect("the system's random numbers, which were there at the start");
}

fn invalid(error: impl ToString) -> Refused {
    Refused::new(RefusedKind::Invalid, error.to_string())
}

fn conflict(error: impl ToString) -> Refused {
    Refused::new(RefusedKind::Conflict, error.to_string())
}

fn not_found(text: String) -> Refused {
    Refused::new(RefusedKind::NotFound, text)
}
