//! Members come and go, by command or as the membership bus tells.

use std::{slice, time::Instant};

use super::{
    Action, Change, ClientId, Consumed, KeyServer, MembershipEvent, Purpose, Reach, issue::Desk,
    membership::ServedBy, rekey::Channel,
};
use crate::{broadcast::ChannelId, error::Error};

impl KeyServer {
    /// A client joins: it is given the MSK (P3). A client that joins again, for example after a
    /// restart, is given it again.
    ///
    /// # Errors
    /// Unknown channel or client, or the client has been expelled and not readmitted.
    pub fn join(
        &mut self,
        channel: &ChannelId,
        client: &ClientId,
        now: Instant,
    ) -> Result<Vec<Action>, Error> {
        self.take_over(channel, client);
        self.give(channel, client, now)
    }

    /// A member is served by this PF from now on: that it has left counts no more if the PF says so that
    /// published that it joined. Otherwise nothing changes.
    pub fn take_over(&mut self, channel: &ChannelId, client: &ClientId) {
        if let Ok(open) = self.channel_mut(channel) {
            let former = open.served_by(client);
            if former.is_some_and(|served_by| matches!(served_by, ServedBy::Pf(_))) {
                open.set_served_by(client, ServedBy::Here);
            }
        }
    }

    /// A client joins by an SDP offer of its own: the MSK rides in the answer, unconfirmed.
    ///
    /// The client counts as holding it, because SIP repeats the answer until it is acknowledged.
    ///
    /// # Errors
    /// As [`KeyServer::join`]; or the MUK has no counter left.
    pub fn join_in_answer(
        &mut self,
        channel: &ChannelId,
        client: &ClientId,
        now: Instant,
    ) -> Result<Vec<Action>, Error> {
        self.take_over(channel, client);
        let (open, mut desk) = self.admit(channel, client, now)?;
        let joined = open.join_in_answer(client, &mut desk).map(|()| desk.actions);
        if joined.is_err() && !self.is_member(channel, client) {
            self.roster.get_mut(client)?.channels.remove(channel);
        }
        joined
    }

    /// A member asks for the MSK (MSK request), or should be tried again after
    /// [`Action::GaveUp`].
    ///
    /// # Errors
    /// Unknown channel, or the client is no member: nothing is given to it.
    pub fn resend(
        &mut self,
        channel: &ChannelId,
        client: &ClientId,
        now: Instant,
    ) -> Result<Vec<Action>, Error> {
        self.check_member(channel, client)?;
        self.give(channel, client, now)
    }

    /// Asks a member to request the MSK (solicited pull), after a random wait of its own. Nothing
    /// comes back but the request: see [`KeyServer::resend`].
    ///
    /// # Errors
    /// Unknown channel, the client is no member, is reached in SDP, where an offer brings the MSK
    /// itself, or has no counter left.
    pub fn solicit(
        &mut self,
        channel: &ChannelId,
        client: &ClientId,
        now: Instant,
    ) -> Result<Vec<Action>, Error> {
        self.check_member(channel, client)?;
        if self.roster.get(client).is_some_and(|client| client.reach == Reach::Sdp) {
            return Err(Error::invalid(format!(
                "client {client} is reached in SDP, where nothing is solicited; send it the MSK"
            )));
        }
        let (open, mut desk) = self.at_desk(channel, now)?;
        let current = &open.current;
        desk.send(&open.heading, client, Purpose::Solicit, current, false).map_err(|why| {
            Error::invalid(format!("no MSK message can be made for client {client}: {why}"))
        })?;
        Ok(desk.actions)
    }

    /// A client leaves. The MSK is updated if that is the channel's policy (P4), at once or when the
    /// window closes; leaves during an update are gathered into one more update after it. Without a
    /// key number left there is [`Action::KeyNumbersUsedUp`] instead.
    ///
    /// # Errors
    /// Unknown channel, or the client is no member.
    pub fn leave(
        &mut self,
        channel: &ChannelId,
        client: &ClientId,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<Action>, Error> {
        let (open, mut desk) = self.at_desk(channel, now)?;
        if !open.strike_off(client, &mut desk) {
            return Err(no_member(channel, client));
        }
        open.note_leave(&mut desk);
        let actions = desk.actions;
        Ok(self.attend(channel, actions, now, random))
    }

    /// Clients are expelled: always a new MSK for everybody who remains (P5), at once or when the
    /// window for expulsions closes. From this call on nothing is sent to them. They need not be
    /// members: who left before may hold the MSK still. Who has been expelled already and not been
    /// readmitted since makes no difference. Without a key number left there is
    /// [`Action::KeyNumbersUsedUp`], and the expelled hear on until the channel is closed.
    ///
    /// # Errors
    /// Unknown channel.
    pub fn expel(
        &mut self,
        channel: &ChannelId,
        clients: &[ClientId],
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<Action>, Error> {
        clients.iter().try_for_each(ClientId::check)?;
        let (open, mut desk) = self.at_desk(channel, now)?;
        let mut news = false;
        for client in clients {
            news |= open.strike_off(client, &mut desk);
            news |= open.expelled.insert(client.clone());
            open.changed.expelled(client);
        }
        if news {
            open.note_expulsion(&mut desk);
        }
        let actions = desk.actions;
        Ok(self.attend(channel, actions, now, random))
    }

    /// Lets an expelled client join again. Returns whether it was expelled.
    ///
    /// # Errors
    /// Unknown channel.
    pub fn readmit(&mut self, channel: &ChannelId, client: &ClientId) -> Result<bool, Error> {
        let open = self.channel_mut(channel)?;
        open.changed.expelled(client);
        Ok(open.expelled.remove(client))
    }

    /// Takes one event off the membership bus (D2), exactly once: a repeated event changes nothing,
    /// and an event after a gap is refused until the missing ones have come. That a member has joined
    /// makes its publisher the one that serves it, and changes nothing else; that it has left counts if
    /// its publisher serves it, or if it was let in by a call and nobody has published that it joined.
    ///
    /// # Errors
    /// The event is in order and consumed, but the call it stands for failed.
    pub fn consume(
        &mut self,
        event: &MembershipEvent,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Consumed, Error> {
        event.publisher.check()?;
        if let Some(out_of_order) = self.ledger.enter(event) {
            return Ok(out_of_order);
        }
        let (channel, client) = (&event.channel, &event.client);
        let served_by = self.channel(channel)?.served_by(client);
        let publisher = ServedBy::Pf(event.publisher.clone());
        match event.change {
            Change::Joined => {
                let actions = match served_by {
                    Some(_) => Vec::new(),
                    None => self.give(channel, client, now)?,
                };
                self.channel_mut(channel)?.set_served_by(client, publisher);
                Ok(actions)
            }
            Change::Left
                if served_by.is_some_and(|s| *s == publisher || *s == ServedBy::Caller) =>
            {
                self.leave(channel, client, now, random)
            }
            // Whoever has left already, or was expelled before, has nothing more to leave.
            Change::Left => Ok(Vec::new()),
            Change::Expelled => self.expel(channel, slice::from_ref(client), now, random),
            Change::MskRequested => self.resend(channel, client, now),
            Change::Readmitted => self.readmit(channel, client).map(|_| Vec::new()),
        }
        .map(Consumed::Applied)
    }

    /// Lets a client in, or starts its deliveries over.
    fn give(
        &mut self,
        channel: &ChannelId,
        client: &ClientId,
        now: Instant,
    ) -> Result<Vec<Action>, Error> {
        let (channel, mut desk) = self.admit(channel, client, now)?;
        channel.join(client, &mut desk);
        Ok(desk.actions)
    }

    /// Checks that a client may be given the MSK, and notes that it will be.
    fn admit(
        &mut self,
        channel: &ChannelId,
        client: &ClientId,
        now: Instant,
    ) -> Result<(&mut Channel, Desk<'_>), Error> {
        if self.channel(channel)?.expelled.contains(client) {
            return Err(Error::invalid(format!(
                "client {client} was expelled from {channel}; readmit it first"
            )));
        }
        self.roster.get_mut(client)?.channels.insert(channel.clone());
        self.at_desk(channel, now)
    }

    fn check_member(&self, channel: &ChannelId, client: &ClientId) -> Result<(), Error> {
        if self.channel(channel)?.members.contains_key(client) {
            return Ok(());
        }
        Err(no_member(channel, client))
    }

    /// Begins the deliveries to a client anew, in the channels where it has not confirmed all.
    pub(super) fn start_over(
        &mut self,
        client: &ClientId,
        now: Instant,
    ) -> Result<Vec<Action>, Error> {
        let mut actions = Vec::new();
        for channel in self.roster.get_mut(client)?.channels.clone() {
            if self.channel(&channel)?.awaits(client) {
                actions.append(&mut self.give(&channel, client, now)?);
            }
        }
        Ok(actions)
    }
}

impl Channel {
    /// Who serves a member.
    fn served_by(&self, client: &ClientId) -> Option<&ServedBy> {
        self.members.get(client).map(|member| &member.served_by)
    }

    fn set_served_by(&mut self, client: &ClientId, served_by: ServedBy) {
        if let Some(member) = self.members.get_mut(client).filter(|m| m.served_by != served_by) {
            member.served_by = served_by;
            self.changed.member(client);
        }
    }
}

fn no_member(channel: &ChannelId, client: &ClientId) -> Error {
    Error::invalid(format!("client {client} is no member of {channel}"))
}
