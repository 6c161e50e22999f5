//! What must survive a restart (D6), as plain data.
//!
//! Counters and key numbers are in it as they are after the last call: store the state before the
//! actions of that call are carried out, and no counter, number or MTK ID can be used twice.
//! Deliveries under way are not in it; after [`KeyServer::restore`] they start over with new
//! counters. Keys are shared with the running server, not copied.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Action, ChannelSpec, ClientId, Fingerprint, KeyServer, Publisher, Reach, Timing, UpdateCause,
    delivery::Member,
    issue::{Desk, Heading, IssuedMsk},
    rekey::{Channel, Retiring, Update},
};
use crate::{
    broadcast::{BroadcasterId, ChannelId},
    error::Error,
    ids::{KeyDomainId, MskId},
    keys::{CryptoSession, Interval, Msk, Muk, MukId},
};

/// Everything a key server knows.
#[derive(Debug, Default)]
pub struct ServerState {
    /// The roster.
    pub clients: Vec<ClientState>,
    /// The open channels.
    pub channels: Vec<ChannelState>,
    /// The last key number used in each key group, of closed channels also.
    pub key_numbers: Vec<(KeyDomainId, u16, u16)>,
    /// The last membership event consumed of each publisher.
    pub consumed: Vec<(Publisher, u64)>,
    /// The last counter under the MUK of each client that was removed.
    pub removed: Vec<(Fingerprint, u32)>,
    /// The highest version of a document of a channel that was closed.
    pub closed_version: u64,
}

/// A client on the roster.
#[derive(Debug)]
pub struct ClientState {
    /// Its name.
    pub client: ClientId,
    /// The identities of its MUK.
    pub muk_id: MukId,
    /// Its MUK.
    pub muk: Arc<Muk>,
    /// The last counter used under it.
    pub last_counter: u32,
    /// How it is reached.
    pub reach: Reach,
}

/// An open channel.
#[derive(Debug)]
pub struct ChannelState {
    /// Its name.
    pub channel: ChannelId,
    /// Its settings.
    pub spec: ChannelSpec,
    /// Its members, each with the newest MSK it is known to hold.
    pub members: Vec<(ClientId, Option<MskId>)>,
    /// Who was expelled.
    pub expelled: BTreeSet<ClientId>,
    /// The SRTP-ID map of its MSK messages.
    pub streams: Vec<CryptoSession>,
    /// The MSK in force.
    pub current: MskState,
    /// Time left until the end of its lifetime, if it has one.
    pub expires_in: Option<Duration>,
    /// An update under way.
    pub update: Option<UpdateState>,
    /// Time left until the MSK is updated because somebody left.
    pub leave_due_in: Option<Duration>,
    /// Time left until it is updated because somebody was expelled.
    pub expulsion_due_in: Option<Duration>,
    /// MSKs out of use but not destroyed, with the time that is left to them.
    pub retiring: Vec<(MskState, Duration)>,
    /// Version of the documents published last.
    pub version: u64,
}

/// An MSK.
#[derive(Debug)]
pub struct MskState {
    /// Its identifier.
    pub id: MskId,
    /// The key and its RAND.
    pub msk: Arc<Msk>,
    /// The MTK IDs it may carry.
    pub interval: Interval,
    /// The broadcasters among which they are divided.
    pub broadcasters: Vec<BroadcasterId>,
}

/// An update under way.
#[derive(Debug)]
pub struct UpdateState {
    /// The MSK that is being delivered.
    pub next: MskState,
    /// Why.
    pub cause: UpdateCause,
    /// Time left until the switch.
    pub deadline_in: Duration,
    /// Time left until the switch if further expulsions supersede this update.
    pub switch_in: Duration,
}

impl KeyServer {
    /// The state after the last call.
    #[must_use]
    pub fn state(&self, now: Instant) -> ServerState {
        ServerState {
            clients: self
                .roster
                .iter()
                .map(|(id, client)| ClientState {
                    client: id.clone(),
                    muk_id: client.muk_id.clone(),
                    muk: Arc::clone(&client.muk),
                    last_counter: client.last_counter(),
                    reach: client.reach,
                })
                .collect(),
            channels: self.channels.values().map(|channel| channel.state(now)).collect(),
            key_numbers: self.numbers.iter().collect(),
            consumed: self.ledger.iter().map(|(pf, last)| (pf.clone(), last)).collect(),
            removed: self.roster.removed().collect(),
            closed_version: self.closed_version,
        }
    }

    /// A key server that goes on from a stored state, and what it has to do first: broadcasters are
    /// told again what is in force, and unconfirmed MSKs go out again.
    ///
    /// # Errors
    /// The state contradicts itself; the text says how.
    pub fn restore(
        timing: Timing,
        state: ServerState,
        now: Instant,
    ) -> Result<(Self, Vec<Action>), Error> {
        let mut server = Self { closed_version: state.closed_version, ..Self::new(timing) };
        for (muk, last_counter) in state.removed {
            server.roster.keep(muk, last_counter);
        }
        for client in state.clients {
            let ClientState { client, muk_id, muk, last_counter, reach } = client;
            server.roster.add(&client, muk_id, muk, reach, last_counter)?;
        }
        for (domain, group, last) in state.key_numbers {
            server.numbers.set(domain, group, last);
        }
        for (publisher, last) in state.consumed {
            server.ledger.set(publisher, last);
        }
        let mut actions = Vec::new();
        for channel in state.channels {
            actions.append(&mut server.restore_channel(channel, now)?);
        }
        Ok((server, actions))
    }

    fn restore_channel(&mut self, state: ChannelState, now: Instant) -> Result<Vec<Action>, Error> {
        state.spec.validate()?;
        let id = state.channel.clone();
        for (client, _) in &state.members {
            self.roster.get_mut(client)?.channels.insert(id.clone());
        }
        let mut desk = Desk::new(&mut self.roster, &mut self.agenda, &self.timing, now);
        let channel = Channel::restore(state, &mut desk);
        let actions = desk.actions;
        self.channels.insert(id, channel);
        Ok(actions)
    }
}

impl Channel {
    fn state(&self, now: Instant) -> ChannelState {
        let left = |due: Instant| due.saturating_duration_since(now);
        ChannelState {
            channel: self.heading.channel.clone(),
            spec: self.spec.clone(),
            members: self.members.iter().map(|(id, m)| (id.clone(), m.confirmed())).collect(),
            expelled: self.expelled.clone(),
            streams: self.heading.streams().to_vec(),
            current: self.current.state(),
            expires_in: self.expires.map(left),
            update: self.update.as_ref().map(|update| UpdateState {
                next: update.next.state(),
                cause: update.cause,
                deadline_in: left(update.deadline),
                switch_in: left(update.switch_by),
            }),
            leave_due_in: self.leave_due.map(left),
            expulsion_due_in: self.expulsion_due.map(left),
            retiring: self
                .retiring
                .iter()
                .map(|old| (old.issued.state(), left(old.destroy_at)))
                .collect(),
            version: self.version,
        }
    }

    fn restore(state: ChannelState, desk: &mut Desk<'_>) -> Self {
        let mut heading = Heading::new(state.channel, state.spec.domain, state.spec.profile);
        heading.set_streams(&state.streams);
        let retire = |(old, left): (MskState, Duration)| Retiring {
            issued: Arc::new(IssuedMsk::restore(old)),
            destroy_at: desk.now + left,
        };
        let mut channel = Self {
            heading,
            spec: state.spec,
            members: BTreeMap::new(),
            expelled: state.expelled,
            current: Arc::new(IssuedMsk::restore(state.current)),
            expires: state.expires_in.map(|left| desk.now + left),
            update: state.update.map(|update| Update {
                next: Arc::new(IssuedMsk::restore(update.next)),
                cause: update.cause,
                deadline: desk.now + update.deadline_in,
                switch_by: desk.now + update.switch_in,
                waiting: BTreeSet::new(),
                published: state.version,
            }),
            leave_due: state.leave_due_in.map(|left| desk.now + left),
            expulsion_due: state.expulsion_due_in.map(|left| desk.now + left),
            retiring: state.retiring.into_iter().map(retire).collect(),
            version: state.version,
            held: BTreeMap::new(),
        };
        channel.publish_again(desk);
        channel.enter_due_times(desk);
        for (client, confirmed) in state.members {
            channel.resume(&client, confirmed, desk);
        }
        channel.switch_if_ready(desk);
        channel
    }

    /// Takes a member back in, and sends what it has not confirmed.
    fn resume(&mut self, client: &ClientId, confirmed: Option<MskId>, desk: &mut Desk<'_>) {
        let coming = self.update.as_ref().map(|update| update.next.id);
        if confirmed.is_some() && confirmed == coming {
            self.members.insert(client.clone(), Member::holding(confirmed));
        } else if confirmed == Some(self.current.id) {
            self.enter(client, Member::holding(confirmed), desk);
        } else {
            self.join(client, desk);
        }
    }
}

impl IssuedMsk {
    fn state(&self) -> MskState {
        let (msk, broadcasters) = (Arc::clone(&self.msk), self.broadcasters.clone());
        MskState { id: self.id, msk, interval: self.interval, broadcasters }
    }

    fn restore(state: MskState) -> Self {
        let MskState { id, msk, interval, broadcasters } = state;
        Self { id, msk, interval, broadcasters }
    }
}
