//! The calls of the key server.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{
    Action, ChannelSpec, ClientId, LeavePolicy, MembershipEvent, Reach, Timing, UpdateCause,
    issue::{Desk, Heading, IssuedMsk, KeyNumbers},
    membership::{Change, Consumed, Ledger},
    rekey::Channel,
    roster::Roster,
    schedule::{Agenda, Job},
};
use crate::{
    broadcast::ChannelId,
    error::Error,
    ids::MskId,
    keys::{CryptoSession, Muk, MukId},
};

/// The key server: clients with their MUKs, channels with their members and MSKs.
#[derive(Debug)]
pub struct KeyServer {
    pub(super) timing: Timing,
    pub(super) roster: Roster,
    pub(super) channels: BTreeMap<ChannelId, Channel>,
    pub(super) numbers: KeyNumbers,
    pub(super) ledger: Ledger,
    pub(super) agenda: Agenda,
}

impl KeyServer {
    /// A key server without clients and channels.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            roster: Roster::default(),
            channels: BTreeMap::new(),
            numbers: KeyNumbers::default(),
            ledger: Ledger::default(),
            agenda: Agenda::default(),
        }
    }

    /// Puts a client on the roster, with a MUK that has protected nothing yet.
    ///
    /// # Errors
    /// The client is on the roster, or another client has the same identities.
    pub fn add_client(
        &mut self,
        client: &ClientId,
        muk_id: MukId,
        muk: Muk,
        reach: Reach,
    ) -> Result<(), Error> {
        self.roster.add(client, muk_id, Arc::new(muk), reach, 0)
    }

    /// Replaces a client's MUK after a new bootstrapping. Unconfirmed MSKs go out once more, under
    /// the new MUK.
    ///
    /// # Errors
    /// Unknown client, or another client has the same identities.
    pub fn renew_muk(
        &mut self,
        client: &ClientId,
        muk_id: MukId,
        muk: Muk,
        now: Instant,
    ) -> Result<Vec<Action>, Error> {
        self.roster.renew(client, muk_id, muk)?;
        self.start_over(client, now)
    }

    /// The client is reached in another way from now on. Unconfirmed MSKs go there at once.
    ///
    /// # Errors
    /// Unknown client.
    pub fn relocate(
        &mut self,
        client: &ClientId,
        reach: Reach,
        now: Instant,
    ) -> Result<Vec<Action>, Error> {
        self.roster.relocate(client, reach)?;
        self.start_over(client, now)
    }

    /// Starts a channel with its first MSK, which goes to the broadcaster (P6).
    ///
    /// # Errors
    /// The channel is open, its key group belongs to an open channel or has no number left, or
    /// the settings cannot work.
    pub fn open_channel(
        &mut self,
        channel: &ChannelId,
        spec: ChannelSpec,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<Action>, Error> {
        spec.validate()?;
        if self.channels.contains_key(channel) {
            return Err(Error::invalid(format!("channel {channel} is open already")));
        }
        if let Some((other, _)) = self.channels.iter().find(|(_, open)| {
            open.spec.domain == spec.domain && open.spec.key_group == spec.key_group
        }) {
            return Err(Error::invalid(format!(
                "key group {:04x} belongs to channel {other}; give each channel its own",
                spec.key_group
            )));
        }
        let id = self.numbers.take(spec.domain, spec.key_group)?;
        let first = IssuedMsk::draw(id, spec.mtk_ids, spec.msk_len, random);
        let heading = Heading::new(channel.clone(), spec.domain, spec.profile);
        let mut desk = Desk::new(&mut self.roster, &mut self.agenda, &self.timing, now);
        let opened = Channel::open(heading, spec, first, &mut desk);
        let actions = desk.actions;
        self.channels.insert(channel.clone(), opened);
        Ok(actions)
    }

    /// Ends a channel: every MSK of it is destroyed. Its key numbers stay used.
    ///
    /// # Errors
    /// Unknown channel.
    pub fn close_channel(&mut self, channel: &ChannelId) -> Result<Vec<Action>, Error> {
        let closed = self.channels.remove(channel).ok_or_else(|| unknown(channel))?;
        for client in closed.members.keys() {
            if let Ok(client) = self.roster.get_mut(client) {
                client.channels.remove(channel);
            }
        }
        let destroy = |msk_id| Action::Destroy { channel: channel.clone(), msk_id };
        Ok(closed.msk_ids().map(destroy).collect())
    }

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
        let (channel, mut desk) = self.admit(channel, client, now)?;
        channel.join(client, &mut desk);
        Ok(desk.actions)
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
        let (channel, mut desk) = self.admit(channel, client, now)?;
        channel.join_in_answer(client, &mut desk)?;
        Ok(desk.actions)
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
        if !self.channel(channel)?.members.contains_key(client) {
            return Err(Error::invalid(format!("client {client} is no member of {channel}")));
        }
        self.join(channel, client, now)
    }

    /// A client leaves. The MSK is updated if that is the channel's policy (P4); leaves during an
    /// update are gathered into one more update after it.
    ///
    /// # Errors
    /// Unknown channel, the client is no member, or no key number is left; the client is struck
    /// off also in the last case.
    pub fn leave(
        &mut self,
        channel: &ChannelId,
        client: &ClientId,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<Action>, Error> {
        if !self.strike_off(channel, client)? {
            return Err(Error::invalid(format!("client {client} is no member of {channel}")));
        }
        match self.channel(channel)? {
            Channel { spec, update: None, .. } if spec.leave == LeavePolicy::UpdateMsk => {
                self.begin(channel, UpdateCause::Leave, now, random)
            }
            _ => {
                let (channel, mut desk) = self.at_desk(channel, now)?;
                channel.left_since |= channel.spec.leave == LeavePolicy::UpdateMsk;
                channel.switch_if_ready(&mut desk);
                Ok(desk.actions)
            }
        }
    }

    /// Clients are expelled: always a new MSK for everybody who remains (P5). They need not be
    /// members: who left before may hold the MSK still.
    ///
    /// # Errors
    /// Unknown channel, or no key number is left. The clients are struck off also in the latter
    /// case, but hear on until the channel is closed.
    pub fn expel(
        &mut self,
        channel: &ChannelId,
        clients: &[ClientId],
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<Action>, Error> {
        if clients.is_empty() {
            return Ok(Vec::new());
        }
        for client in clients {
            self.strike_off(channel, client)?;
            self.channel_mut(channel)?.expelled.insert(client.clone());
        }
        self.begin(channel, UpdateCause::Expulsion, now, random)
    }

    /// Lets an expelled client join again. Returns whether it was expelled.
    ///
    /// # Errors
    /// Unknown channel.
    pub fn readmit(&mut self, channel: &ChannelId, client: &ClientId) -> Result<bool, Error> {
        Ok(self.channel_mut(channel)?.expelled.remove(client))
    }

    /// Replaces the MSK by command, after a compromise, or because MTK IDs run out (D1). During an
    /// update only a compromise brings yet another MSK.
    ///
    /// # Errors
    /// Unknown channel, or no key number is left.
    pub fn update(
        &mut self,
        channel: &ChannelId,
        cause: UpdateCause,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<Action>, Error> {
        if self.channel(channel)?.update.is_some() && !cause.supersedes() {
            return Ok(Vec::new());
        }
        self.begin(channel, cause, now, random)
    }

    /// The broadcaster reports that few MTK IDs are left under this MSK.
    ///
    /// # Errors
    /// As [`KeyServer::update`]. A report on an MSK that is not in force any more is no error.
    pub fn mtk_ids_low(
        &mut self,
        channel: &ChannelId,
        msk_id: MskId,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<Action>, Error> {
        if self.channel(channel)?.current.id != msk_id {
            return Ok(Vec::new());
        }
        self.update(channel, UpdateCause::MtkIds, now, random)
    }

    /// The streams on the air with their rollover counters, for the SRTP-ID map of MSK messages
    /// made from now on: a late joiner then decrypts from the first packet (D5).
    ///
    /// # Errors
    /// Unknown channel.
    pub fn set_streams(
        &mut self,
        channel: &ChannelId,
        streams: &[CryptoSession],
    ) -> Result<(), Error> {
        self.channel_mut(channel)?.heading.set_streams(streams);
        Ok(())
    }

    /// Takes one event off the membership bus (D2), exactly once: a repeated event changes nothing,
    /// and an event after a gap is refused until the missing ones have come.
    ///
    /// # Errors
    /// The event is in order and consumed, but the call it stands for failed.
    pub fn consume(
        &mut self,
        event: &MembershipEvent,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Consumed, Error> {
        if let Some(out_of_order) = self.ledger.enter(event) {
            return Ok(out_of_order);
        }
        let (channel, client) = (&event.channel, &event.client);
        match event.change {
            Change::Joined => self.join(channel, client, now),
            // Whoever has left already, or was expelled before, has nothing more to leave.
            Change::Left if !self.channel(channel)?.members.contains_key(client) => Ok(Vec::new()),
            Change::Left => self.leave(channel, client, now, random),
            Change::Expelled => self.expel(channel, std::slice::from_ref(client), now, random),
        }
        .map(Consumed::Applied)
    }

    /// Does what is due: repeats, switches, updates of MSKs at the end of their lifetime, destroys.
    pub fn poll(&mut self, now: Instant, random: &mut dyn FnMut(&mut [u8])) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(job) = self.agenda.take(now) {
            let mut desk = Desk::new(&mut self.roster, &mut self.agenda, &self.timing, now);
            match job {
                Job::Client(channel, client) => {
                    if let Some(channel) = self.channels.get_mut(&channel) {
                        channel.tick_member(&client, &mut desk);
                    }
                    actions.append(&mut desk.actions);
                }
                Job::Channel(id) => {
                    let due = self.channels.get_mut(&id).and_then(|open| open.tick(&mut desk));
                    actions.append(&mut desk.actions);
                    match due.map(|cause| self.begin(&id, cause, now, random)) {
                        Some(Ok(mut begun)) => actions.append(&mut begun),
                        Some(Err(_)) => actions.push(Action::KeyNumbersUsedUp { channel: id }),
                        None => {}
                    }
                }
            }
        }
        actions
    }

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

    fn begin(
        &mut self,
        channel: &ChannelId,
        cause: UpdateCause,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<Action>, Error> {
        let spec = &self.channel(channel)?.spec;
        let (domain, group, mtk_ids, len) =
            (spec.domain, spec.key_group, spec.mtk_ids, spec.msk_len);
        let id = self.numbers.take(domain, group)?;
        let next = IssuedMsk::draw(id, mtk_ids, len, random);
        let (channel, mut desk) = self.at_desk(channel, now)?;
        channel.update(next, cause, &mut desk);
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

    fn strike_off(&mut self, channel: &ChannelId, client: &ClientId) -> Result<bool, Error> {
        let was_member = self.channel_mut(channel)?.strike_off(client);
        if let Ok(client) = self.roster.get_mut(client) {
            client.channels.remove(channel);
        }
        Ok(was_member)
    }

    /// Begins the deliveries to a client anew, in the channels where it has not confirmed all.
    fn start_over(&mut self, client: &ClientId, now: Instant) -> Result<Vec<Action>, Error> {
        let mut actions = Vec::new();
        for channel in self.roster.get_mut(client)?.channels.clone() {
            if self.channel(&channel)?.awaits(client) {
                actions.append(&mut self.join(&channel, client, now)?);
            }
        }
        Ok(actions)
    }

    fn channel(&self, channel: &ChannelId) -> Result<&Channel, Error> {
        self.channels.get(channel).ok_or_else(|| unknown(channel))
    }

    fn channel_mut(&mut self, channel: &ChannelId) -> Result<&mut Channel, Error> {
        self.channels.get_mut(channel).ok_or_else(|| unknown(channel))
    }

    pub(super) fn at_desk(
        &mut self,
        channel: &ChannelId,
        now: Instant,
    ) -> Result<(&mut Channel, Desk<'_>), Error> {
        let open = self.channels.get_mut(channel).ok_or_else(|| unknown(channel))?;
        Ok((open, Desk::new(&mut self.roster, &mut self.agenda, &self.timing, now)))
    }
}

fn unknown(channel: &ChannelId) -> Error {
    Error::invalid(format!("channel {channel} is not open"))
}
