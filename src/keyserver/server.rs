//! The calls of the key server.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{
    Action, ChannelSpec, ClientId, Reach, Timing, UpdateCause,
    ended::Ended,
    issue::{Desk, Heading, IssuedMsk, KeyNumbers},
    membership::Ledger,
    outbox::Outbox,
    rekey::Channel,
    roster::Roster,
    schedule::{Agenda, Job},
};
use crate::{
    broadcast::{BroadcasterId, ChannelId},
    error::Error,
    ids::MskId,
    keys::{CryptoSession, Muk, MukId},
    record::Noted,
};

/// The key server: clients with their MUKs, channels with their members and MSKs.
#[derive(Debug)]
pub struct KeyServer {
    pub(super) timing: Timing,
    pub(super) roster: Roster,
    pub(super) channels: BTreeMap<ChannelId, Channel>,
    pub(super) numbers: KeyNumbers,
    pub(super) ledger: Ledger,
    pub(super) outbox: Outbox,
    pub(super) agenda: Agenda,
    /// The highest version of a document of a channel that was closed: a channel that is opened
    /// again starts above it.
    pub(super) closed_version: u64,
    /// The same as it was kept last.
    pub(super) kept_closed_version: u64,
    /// Broadcasters that are out of a channel and may not know it yet.
    pub(super) ended: Ended,
    /// Records of closed channels, which are to go.
    pub(super) gone: Noted<Box<[u8]>>,
}

impl KeyServer {
    /// Last documents that are kept at most for broadcasters that have not said that they hold them;
    /// beyond that the oldest is forgotten.
    pub const MAX_ENDED: usize = 1024;

    /// A key server without clients and channels.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            roster: Roster::default(),
            channels: BTreeMap::new(),
            numbers: KeyNumbers::default(),
            ledger: Ledger::default(),
            outbox: Outbox::default(),
            agenda: Agenda::default(),
            closed_version: 0,
            kept_closed_version: 0,
            ended: Ended::default(),
            gone: Noted::default(),
        }
    }

    /// Puts a client on the roster, with its MUK. Its counters begin above those of every MUK that was
    /// here before, since it may be one of these.
    ///
    /// # Errors
    /// The client is on the roster, or another client has the same identities or the same MUK.
    pub fn add_client(
        &mut self,
        client: &ClientId,
        muk_id: MukId,
        muk: Muk,
        reach: Reach,
    ) -> Result<(), Error> {
        self.roster.add(client, muk_id, Arc::new(muk), reach, None)
    }

    /// Replaces a client's MUK after a new bootstrapping. Unconfirmed MSKs go out once more, under
    /// the new MUK; its counters begin as in [`KeyServer::add_client`].
    ///
    /// # Errors
    /// Unknown client, or another client has the same identities or the same MUK.
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

    /// Takes a client off the roster and out of its channels, as if it had left each. Where it was
    /// expelled it stays so, under its name. No counter of its MUK comes twice, should the same MUK be
    /// entered again.
    ///
    /// # Errors
    /// Unknown client.
    pub fn remove_client(
        &mut self,
        client: &ClientId,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<Action>, Error> {
        let mut actions = Vec::new();
        for channel in self.roster.remove(client)? {
            let Ok((open, mut desk)) = self.at_desk(&channel, now) else { continue };
            open.strike_off(client, &mut desk);
            open.note_leave(&mut desk);
            actions.append(&mut desk.actions);
            actions = self.attend(&channel, actions, now, random);
        }
        Ok(actions)
    }

    /// Starts a channel with its first MSK, which goes to the broadcasters (P6).
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
        channel.check()?;
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
        let first = IssuedMsk::draw(id, &spec, random);
        let heading = Heading::new(channel.clone(), spec.domain, spec.profile);
        let mut desk = Desk::new(&mut self.roster, &mut self.agenda, &self.timing, now);
        let opened = Channel::open(heading, spec, first, self.closed_version, &mut desk);
        let mut actions = desk.actions;
        actions.extend(few_left(channel, id));
        self.channels.insert(channel.clone(), opened);
        self.ended.note(&actions);
        Ok(actions)
    }

    /// Ends a channel: every MSK of it is destroyed, and its broadcasters are told, after a restart
    /// again, until [`KeyServer::broadcaster_holds`] says that they know. Its key numbers stay used.
    ///
    /// # Errors
    /// Unknown channel.
    pub fn close_channel(&mut self, channel: &ChannelId) -> Result<Vec<Action>, Error> {
        let closed = self.channels.remove(channel).ok_or_else(|| unknown(channel))?;
        closed.record_keys().for_each(|key| self.gone.note(&key));
        for client in closed.members.keys() {
            if let Ok(client) = self.roster.get_mut(client) {
                client.channels.remove(channel);
            }
        }
        let (version, actions) = closed.close();
        self.closed_version = self.closed_version.max(version);
        self.ended.note(&actions);
        Ok(actions)
    }

    /// Changes the settings of an open channel. The policies hold from now on: windows and
    /// deadlines that run keep their end, a new lifetime of the MSK counts from now. Other
    /// broadcasters bring an update, since MTK IDs are divided for the life of an MSK; one that is
    /// no longer named is told to erase what it holds, as when the channel is closed. The same settings
    /// change nothing.
    ///
    /// # Errors
    /// Unknown channel, or the settings cannot work or cannot change while the channel is open, or
    /// an update is needed and no key number is left. Nothing has changed then.
    pub fn set_policy(
        &mut self,
        channel: &ChannelId,
        spec: ChannelSpec,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<Action>, Error> {
        let former = &self.channel(channel)?.spec;
        former.may_become(&spec)?;
        if *former == spec {
            return Ok(Vec::new());
        }
        let next = if former.broadcasters == spec.broadcasters {
            None
        } else {
            let id = self.numbers.take(spec.domain, spec.key_group)?;
            Some(IssuedMsk::draw(id, &spec, random))
        };
        let few_left = next.as_ref().and_then(|next| few_left(channel, next.id));
        let (open, mut desk) = self.at_desk(channel, now)?;
        open.set_policy(spec, next, &mut desk);
        if open.heading.keep_streams_of(&open.spec.broadcasters) {
            open.changed.streams();
        }
        let mut actions = desk.actions;
        actions.extend(few_left);
        self.ended.note(&actions);
        Ok(self.attend(channel, actions, now, random))
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

    /// The streams that a broadcaster has on the air with their rollover counters, for the SRTP-ID map
    /// of MSK messages made from now on: a late joiner then decrypts from the first packet (D5). The map
    /// has those of all broadcasters, up to 254. Their order makes no difference, unless one tells
    /// more: then the first ones count.
    ///
    /// # Errors
    /// Unknown channel, a broadcaster that it does not name (`None` is the one of a channel that names
    /// none), or a stream of another policy than 0, which no MSK message could express.
    pub fn set_streams(
        &mut self,
        channel: &ChannelId,
        broadcaster: Option<&BroadcasterId>,
        streams: &[CryptoSession],
    ) -> Result<(), Error> {
        let open = self.channel_mut(channel)?;
        if !open.is_for(broadcaster) {
            let name = broadcaster.map_or("without a name", BroadcasterId::as_str);
            return Err(Error::invalid(format!("channel {channel} has no broadcaster {name}")));
        }
        if let Some(other) = streams.iter().find(|stream| stream.policy != 0) {
            return Err(Error::invalid(format!(
                "stream {:08x} is under policy {}, but the policy of a channel is number 0",
                other.ssrc.0, other.policy
            )));
        }
        if open.heading.set_streams(broadcaster, streams) {
            open.changed.streams();
        }
        Ok(())
    }

    /// Does what is due: repeats, switches, updates at the end of a window or of an MSK's lifetime,
    /// removals, destroys.
    pub fn poll(&mut self, now: Instant, random: &mut dyn FnMut(&mut [u8])) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(job) = self.agenda.take(now) {
            let channel = match job {
                Job::Channel(channel) => channel,
                Job::Client(channel, client) => {
                    let Ok((open, mut desk)) = self.at_desk(&channel, now) else { continue };
                    let removed = open.tick_member(&client, &mut desk);
                    actions.append(&mut desk.actions);
                    if !removed {
                        continue;
                    }
                    channel
                }
            };
            actions = self.attend(&channel, actions, now, random);
        }
        actions
    }

    /// Does what is due in a channel, behind the actions that a call has led to.
    pub(super) fn attend(
        &mut self,
        channel: &ChannelId,
        mut actions: Vec<Action>,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Vec<Action> {
        let Ok((open, mut desk)) = self.at_desk(channel, now) else { return actions };
        desk.actions = actions;
        let due = open.tick(&mut desk);
        actions = desk.actions;
        match due.map(|cause| self.begin(channel, cause, now, random)) {
            Some(Ok(mut begun)) => actions.append(&mut begun),
            Some(Err(_)) => actions.push(Action::KeyNumbersUsedUp { channel: channel.clone() }),
            None => {}
        }
        actions
    }

    fn begin(
        &mut self,
        channel: &ChannelId,
        cause: UpdateCause,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<Action>, Error> {
        let spec = &self.channels.get(channel).ok_or_else(|| unknown(channel))?.spec;
        let id = self.numbers.take(spec.domain, spec.key_group)?;
        let next = IssuedMsk::draw(id, spec, random);
        let (open, mut desk) = self.at_desk(channel, now)?;
        open.update(next, cause, &mut desk);
        let mut actions = desk.actions;
        actions.extend(few_left(channel, id));
        Ok(actions)
    }

    pub(super) fn channel(&self, channel: &ChannelId) -> Result<&Channel, Error> {
        self.channels.get(channel).ok_or_else(|| unknown(channel))
    }

    pub(super) fn channel_mut(&mut self, channel: &ChannelId) -> Result<&mut Channel, Error> {
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

/// Tells when an MSK has taken one of the last numbers of its group.
fn few_left(channel: &ChannelId, taken: MskId) -> Option<Action> {
    let left = u16::MAX - taken.number;
    let told = left == 0 || (left <= 1024 && left.is_power_of_two());
    told.then(|| Action::KeyNumbersLow { channel: channel.clone(), left })
}
