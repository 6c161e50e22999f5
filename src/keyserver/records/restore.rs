//! A key server that goes on from its records, and what they may not say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{
    channel::{Changed, Head},
    read_reach,
};
use crate::{
    broadcast::{BroadcasterId, ChannelId},
    error::Error,
    ids::{KeyDomainId, MskId},
    keys::{CryptoSession, Muk, MukId, read_key_group, read_sessions},
    keyserver::{
        Action, ClientId, KeyServer, Notice, Publisher, Reach, Timing,
        delivery::Member,
        ended::{End, Ended, Place},
        issue::{Desk, Heading},
        membership::ServedBy,
        outbox::Outbox,
        rekey::Channel,
    },
    record::{Clock, Noted, NotedMap, RecordReader, Table, unreadable},
    secret::Secret,
};

/// What all records say, by what they are about.
#[derive(Default)]
struct Kept {
    clients: BTreeMap<ClientId, (MukId, Muk, Reach)>,
    counters: BTreeMap<ClientId, u32>,
    floor: u32,
    key_numbers: BTreeMap<(KeyDomainId, u16), u16>,
    channels: BTreeMap<ChannelId, Head>,
    streams: BTreeMap<ChannelId, Streams>,
    members: BTreeMap<ChannelId, BTreeMap<ClientId, Holding>>,
    expelled: BTreeMap<ChannelId, BTreeSet<ClientId>>,
    closed_version: u64,
    ended: BTreeMap<Place, End>,
    consumed: BTreeMap<Publisher, u64>,
    outbox: BTreeMap<u64, Notice>,
    published: u64,
}

/// The streams of each broadcaster of a channel.
type Streams = Vec<(Option<BroadcasterId>, Vec<CryptoSession>)>;

/// What a member holds, by key number.
struct Holding {
    /// The newest MSK that it has confirmed.
    confirmed: Option<u16>,
    /// The MSK that it was sent, and may hold.
    sent: Option<u16>,
    served_by: ServedBy,
}

impl KeyServer {
    /// A key server that goes on from what [`KeyServer::take_changes`] has given, and what it has to
    /// do first: broadcasters are told again what is in force, or that they are out of the channel, and
    /// unconfirmed MSKs go out again.
    /// Changes are noted from now on; those of this call are to be kept before its actions are
    /// carried out. Without records it begins. `wall` is the time of day at `now`; if it has
    /// been set back meanwhile, nothing is due later than the settings of its channel allow.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a record that cannot be read, or that contradicts another; the text says
    /// how.
    pub fn restore<'a>(
        timing: Timing,
        records: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        now: Instant,
        wall: SystemTime,
    ) -> Result<(Self, Vec<Action>), Error> {
        let clock = Clock { now, wall };
        let mut kept = Kept::default();
        for (key, value) in records {
            kept.read(key, value, &clock).ok_or_else(|| unreadable(key))?;
        }
        kept.check()
            .map_err(|text| Error::invalid(format!("the kept state contradicts itself: {text}")))?;
        kept.into_server(timing, now)
    }
}

impl Kept {
    fn read(&mut self, key: &[u8], value: &[u8], clock: &Clock) -> Option<()> {
        let (table, key) = Table::split(key)?;
        let (mut key, mut value) = (RecordReader::new(key), RecordReader::new(value));
        match table {
            Table::Client => {
                let muk_id = MukId { idi: value.text()?.into(), idr: value.text()?.into() };
                let muk = Muk(Secret::new(value.array()?));
                let client = (muk_id, muk, read_reach(&mut value)?);
                self.clients.insert(key.last_text()?.into(), client);
            }
            Table::Counter => {
                self.counters.insert(key.last_text()?.into(), value.u32()?);
            }
            Table::CounterFloor => self.floor = value.u32()?,
            Table::KeyNumber => {
                self.key_numbers.insert(read_key_group(&mut key)?, value.u16()?);
            }
            Table::Channel => {
                let head = Head::read(value.rest(), clock)?;
                value = RecordReader::new(&[]);
                self.channels.insert(key.last_text()?.into(), head);
            }
            Table::ChannelStreams => {
                let streams = value.list(|value| {
                    let name = value.option(|value| value.text().map(BroadcasterId::from))?;
                    Some((name, read_sessions(value)?))
                })?;
                self.streams.insert(key.last_text()?.into(), streams);
            }
            Table::Member => {
                let members = self.members.entry(key.text()?.into()).or_default();
                let mut number = || value.option(RecordReader::u16);
                let (confirmed, sent) = (number()?, number()?);
                let served_by = match value.u8()? {
                    0 => ServedBy::Caller,
                    1 => ServedBy::Here,
                    2 => ServedBy::Pf(value.last_text()?.into()),
                    _ => return None,
                };
                let holding = Holding { confirmed, sent, served_by };
                members.insert(key.last_text()?.into(), holding);
            }
            Table::Expelled => {
                let expelled = self.expelled.entry(key.text()?.into()).or_default();
                expelled.insert(key.last_text()?.into());
            }
            Table::Closed => self.closed_version = value.u64()?,
            Table::Ended => {
                let channel = key.text()?.into();
                let broadcaster = key.option(|key| key.last_text().map(BroadcasterId::from))?;
                self.ended.insert((channel, broadcaster), End::read(&mut value)?);
            }
            Table::Consumed => {
                self.consumed.insert(key.last_text()?.into(), value.u64()?);
            }
            Table::Outbox => {
                self.outbox.insert(key.u64()?, Notice::read(&mut value)?);
            }
            Table::Published => self.published = value.u64()?,
            _ => return None,
        }
        key.finish().and_then(|()| value.finish())
    }

    /// Says how records contradict each other, if they do.
    fn check(&self) -> Result<(), String> {
        // Without its counter a MUK might protect two messages under one.
        if let Some(client) = self.clients.keys().find(|id| !self.counters.contains_key(*id)) {
            return Err(format!("client {client} has no counter"));
        }
        if let Some(client) = self.counters.keys().find(|id| !self.clients.contains_key(*id)) {
            return Err(format!("there is a counter of client {client}, but no MUK"));
        }
        let mut owners = BTreeMap::new();
        for (id, head) in &self.channels {
            self.check_msks(id, head)?;
            let key_group = (head.spec.domain, head.spec.key_group);
            if let Some(other) = owners.insert(key_group, id) {
                let group = key_group.1;
                return Err(format!("key group {group:04x} belongs to channels {other} and {id}"));
            }
        }
        let known = |id: &ChannelId| match self.channels.get(id) {
            Some(head) => Ok(head),
            None => Err(format!("something is kept of channel {id}, which is not open")),
        };
        for id in self.streams.keys() {
            known(id)?;
        }
        for (id, expelled) in &self.expelled {
            known(id)?;
            let member = |client: &&ClientId| {
                self.members.get(id).is_some_and(|members| members.contains_key(*client))
            };
            if let Some(client) = expelled.iter().find(member) {
                return Err(format!("client {client} is a member of {id} and expelled from it"));
            }
        }
        for (id, members) in &self.members {
            let head = known(id)?;
            let newest = head.msk_ids().map(|msk| msk.number).max().unwrap_or(0);
            for (client, holding) in members {
                if !self.clients.contains_key(client) {
                    return Err(format!("client {client}, a member of {id}, is not on the roster"));
                }
                if holding.confirmed.max(holding.sent).is_some_and(|held| held > newest) {
                    return Err(format!(
                        "client {client} holds an MSK that channel {id} does not have yet"
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_msks(&self, id: &ChannelId, head: &Head) -> Result<(), String> {
        head.spec.validate().map_err(|error| format!("channel {id}: {error}"))?;
        let key_group = (head.spec.domain, head.spec.key_group);
        let last = self.key_numbers.get(&key_group).copied().unwrap_or(0);
        for MskId { group, number } in head.msk_ids() {
            if group != head.spec.key_group || number == 0 {
                return Err(format!("channel {id} has an MSK of key group {group:04x}"));
            }
            if number > last {
                return Err(format!(
                    "channel {id} has MSK number {number}, but the last one given was {last}"
                ));
            }
        }
        let mut order: Vec<_> = head.retiring.iter().map(|old| old.issued.id.number).collect();
        order.push(head.current.id.number);
        order.extend(head.update.iter().map(|update| update.next.id.number));
        if !order.is_sorted_by(|older, newer| older < newer) {
            return Err(format!("the MSKs of channel {id} are out of order: {order:?}"));
        }
        Ok(())
    }

    fn into_server(
        mut self,
        timing: Timing,
        now: Instant,
    ) -> Result<(KeyServer, Vec<Action>), Error> {
        let mut server = KeyServer::new(timing);
        server.closed_version = self.closed_version;
        server.kept_closed_version = self.closed_version;
        server.gone = Noted::nothing();
        server.numbers.0 = NotedMap::restored(self.key_numbers);
        server.ledger.0 = NotedMap::restored(self.consumed);
        server.outbox = Outbox::restored(self.published, self.outbox.into_iter())?;
        for (id, (muk_id, muk, reach)) in self.clients {
            let last_counter = self.counters.remove(&id).unwrap_or(u32::MAX);
            server.roster.add(&id, muk_id, Arc::new(muk), reach, Some(last_counter))?;
        }
        server.roster.restored(self.floor);
        server.ended = Ended::restored(self.ended);
        let mut actions: Vec<_> = server.ended.documents().map(Action::Publish).collect();
        for (id, head) in self.channels {
            let members = self.members.remove(&id).unwrap_or_default();
            for client in members.keys() {
                server.roster.get_mut(client)?.channels.insert(id.clone());
            }
            let streams = self.streams.remove(&id).unwrap_or_default();
            let expelled = self.expelled.remove(&id).unwrap_or_default();
            let mut desk = Desk::new(&mut server.roster, &mut server.agenda, &server.timing, now);
            let mut channel = Channel::restore(&id, head, &streams, expelled);
            channel.go_on(members, &mut desk);
            actions.append(&mut desk.actions);
            server.channels.insert(id, channel);
        }
        Ok((server, actions))
    }
}

impl Channel {
    fn restore(
        id: &ChannelId,
        head: Head,
        streams: &Streams,
        expelled: BTreeSet<ClientId>,
    ) -> Self {
        let mut heading = Heading::new(id.clone(), head.spec.domain, head.spec.profile);
        for (broadcaster, streams) in streams {
            heading.set_streams(broadcaster.as_ref(), streams);
        }
        Self {
            heading,
            spec: head.spec,
            members: BTreeMap::new(),
            expelled,
            current: Arc::new(head.current),
            expires: head.expires,
            update: head.update,
            leave_due: head.leave_due,
            expulsion_due: head.expulsion_due,
            retiring: head.retiring,
            version: head.version,
            held: BTreeMap::new(),
            changed: Changed::nothing(),
        }
    }

    /// Tells the broadcasters, and takes the members back in.
    fn go_on(&mut self, members: BTreeMap<ClientId, Holding>, desk: &mut Desk<'_>) {
        self.publish_again(desk);
        self.enter_due_times(desk);
        let group = self.current.id.group;
        let id = |number: Option<u16>| number.map(|number| MskId { group, number });
        let confirmed = |(client, holding): (&ClientId, &Holding)| {
            let mut member = Member::holding(id(holding.confirmed));
            member.served_by = holding.served_by.clone();
            (client.clone(), member)
        };
        self.members = members.iter().map(confirmed).collect();
        for (client, Holding { confirmed, sent, .. }) in members {
            self.resume(&client, id(confirmed), id(sent), desk);
        }
        self.switch_if_ready(desk);
    }

    /// Sends a member what it has not confirmed.
    fn resume(
        &mut self,
        client: &ClientId,
        confirmed: Option<MskId>,
        sent: Option<MskId>,
        desk: &mut Desk<'_>,
    ) {
        let coming = self.update.as_ref().map(|update| update.next.id);
        if confirmed.is_some() && confirmed == coming {
            return;
        }
        let mut superseded = self.update.iter().flat_map(|update| &update.superseded);
        if let Some(old) = superseded.find(|old| sent == Some(old.id)) {
            let member = Member::deleting(old);
            self.enter(client, member, desk);
        } else if confirmed == Some(self.current.id) || (sent.is_some() && sent == coming) {
            self.enter(client, Member::holding(confirmed), desk);
        } else {
            self.join(client, desk);
        }
    }
}
