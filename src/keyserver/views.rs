//! What can be read of a key server.

use std::{collections::BTreeSet, time::Instant};

use super::{ChannelSpec, ClientId, KeyServer, Publisher, Reach};
use crate::{
    broadcast::ChannelId,
    ids::MskId,
    keys::{Muk, MukId},
};

/// A client on the roster, without its key.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct ClientView<'a> {
    /// The identities of its MUK.
    pub muk_id: &'a MukId,
    /// How it is reached.
    pub reach: Reach,
    /// The last counter used under its MUK, 0 if there is none.
    pub last_counter: u32,
    /// The channels it is a member of.
    pub channels: &'a BTreeSet<ChannelId>,
}

impl KeyServer {
    /// When [`KeyServer::poll`] has something to do, unless another call comes first.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.agenda.next()
    }

    /// The MSK in force.
    #[must_use]
    pub fn current_msk(&self, channel: &ChannelId) -> Option<MskId> {
        Some(self.channels.get(channel)?.current.id)
    }

    /// The MSK that is being delivered, and when the switch to it happens at the latest.
    #[must_use]
    pub fn coming_msk(&self, channel: &ChannelId) -> Option<(MskId, Instant)> {
        let update = self.channels.get(channel)?.update.as_ref()?;
        Some((update.next.id, update.deadline))
    }

    /// The members of a channel, each with the newest MSK it is known to hold.
    pub fn members(&self, channel: &ChannelId) -> impl Iterator<Item = (&ClientId, Option<MskId>)> {
        let members = self.channels.get(channel).map(|channel| channel.members.iter());
        members.into_iter().flatten().map(|(client, member)| (client, member.confirmed()))
    }

    /// The open channels, in the order of their names.
    pub fn channels(&self) -> impl Iterator<Item = (&ChannelId, &ChannelSpec)> {
        self.channels.iter().map(|(id, open)| (id, &open.spec))
    }

    /// The settings of an open channel.
    #[must_use]
    pub fn spec(&self, channel: &ChannelId) -> Option<&ChannelSpec> {
        Some(&self.channels.get(channel)?.spec)
    }

    /// The clients that were expelled from a channel and not readmitted.
    pub fn expelled(&self, channel: &ChannelId) -> impl Iterator<Item = &ClientId> {
        self.channels.get(channel).into_iter().flat_map(|open| &open.expelled)
    }

    /// The clients on the roster, each with the way it is reached.
    pub fn clients(&self) -> impl Iterator<Item = (&ClientId, Reach)> {
        self.roster.iter().map(|(id, client)| (id, client.reach))
    }

    /// A client on the roster.
    #[must_use]
    pub fn client(&self, client: &ClientId) -> Option<ClientView<'_>> {
        let client = self.roster.get(client)?;
        Some(ClientView {
            muk_id: &client.muk_id,
            reach: client.reach,
            last_counter: client.last_counter(),
            channels: &client.channels,
        })
    }

    /// Whether this is the MUK of the client; in constant time as to the key.
    #[must_use]
    pub fn has_muk(&self, client: &ClientId, muk_id: &MukId, muk: &Muk) -> bool {
        self.roster.get(client).is_some_and(|known| known.muk_id == *muk_id && known.has(muk))
    }

    /// Whether a client is a member of a channel.
    #[must_use]
    pub fn is_member(&self, channel: &ChannelId, client: &ClientId) -> bool {
        self.channels.get(channel).is_some_and(|open| open.members.contains_key(client))
    }

    /// Whether a client was expelled from a channel and not readmitted.
    #[must_use]
    pub fn is_expelled(&self, channel: &ChannelId, client: &ClientId) -> bool {
        self.channels.get(channel).is_some_and(|open| open.expelled.contains(client))
    }

    /// The number of the last membership event taken of each publisher.
    pub fn consumed(&self) -> impl Iterator<Item = (&Publisher, u64)> {
        self.ledger.0.iter()
    }
}
