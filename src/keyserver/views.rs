//! What can be read of a key server.

use std::time::Instant;

use super::{ChannelSpec, ClientId, KeyServer, Reach};
use crate::{broadcast::ChannelId, ids::MskId};

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
}
