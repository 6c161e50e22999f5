//! A talk group without sockets and clocks: key server, broadcaster, and receivers as clients. Time
//! is stepped; messages arrive at once unless a client is told to lose them.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use mcast_srtp::{
    Reject,
    broadcast::{BroadcastTiming, Broadcaster, ChannelDocument, ChannelId, Lead},
    group::{GroupSpec, Interface, MediaSpec, RtcpPlace},
    ids::{KeyDomainId, MskId, Ssrc},
    keys::{Muk, MukId},
    keyserver::{Action, ChannelSpec, ClientId, KeyServer, Purpose, Reach, Timing},
    rx::{Datagram, Event, PortId, Receiver},
    secret::Secret,
};

use crate::{kept::Kept, network::note};

pub(crate) const DOMAIN: KeyDomainId = KeyDomainId([0x00, 0xf1, 0x10]);
pub(crate) const KEY_GROUP: u16 = 0x0017;
pub(crate) const TALKER: Ssrc = Ssrc(0xcafe_0001);

/// Between two media packets.
pub(crate) const FRAME: Duration = Duration::from_millis(20);

pub(crate) struct World {
    pub(crate) now: Instant,
    start: Instant,
    /// What both have been asked to keep.
    pub(crate) kept: Kept,
    pub(crate) kept_of_broadcaster: Kept,
    pub(crate) channel: ChannelId,
    pub(crate) server: KeyServer,
    pub(crate) broadcaster: Broadcaster,
    pub(crate) broadcaster_is_cut_off: bool,
    pub(crate) clients: BTreeMap<ClientId, Client>,
    /// Every MSK message that left the server.
    pub(crate) sent: Vec<Sent>,
    /// Every document that was published.
    pub(crate) documents: Vec<ChannelDocument>,
    /// Everything else the server asked for, in words.
    pub(crate) log: Vec<String>,
    /// Members that had not confirmed at the last switch, and broadcasters that lacked the MSK.
    pub(crate) missing: (usize, Vec<String>),
    /// Media packets sent so far; packet n carries n.
    pub(crate) packets: u32,
    /// Every distinct MTK message that left the broadcaster.
    pub(crate) key_messages: Vec<Arc<[u8]>>,
    /// The packet with which each MSK came into force.
    pub(crate) first_packet_under: BTreeMap<MskId, u32>,
    pub(crate) entropy: Entropy,
}

/// An MSK message that left the server.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) client: ClientId,
    pub(crate) msk_id: MskId,
    pub(crate) purpose: Purpose,
    pub(crate) counter: u32,
    pub(crate) octets: Vec<u8>,
}

/// A PoC client: a receiver, and what the network does to it.
pub(crate) struct Client {
    pub(crate) receiver: Receiver,
    pub(crate) loses_msks: bool,
    pub(crate) loses_answers: bool,
    /// The packets it decrypted.
    pub(crate) heard: Vec<u32>,
    pub(crate) port: PortId,
}

impl World {
    /// An open channel and clients on the roster, none of which has joined.
    pub(crate) fn new(clients: &[&str]) -> Self {
        Self::under(clients, |_| ())
    }

    /// The same, with other settings of the channel.
    pub(crate) fn under(clients: &[&str], adjust: impl FnOnce(&mut ChannelSpec)) -> Self {
        Self::with(clients, BroadcastTiming::default(), adjust)
    }

    pub(crate) fn with(
        clients: &[&str],
        broadcast: BroadcastTiming,
        adjust: impl FnOnce(&mut ChannelSpec),
    ) -> Self {
        let channel = ChannelId::from("group 17");
        let now = Instant::now();
        let mut world = Self {
            now,
            start: now,
            kept: Kept::default(),
            kept_of_broadcaster: Kept::default(),
            server: KeyServer::new(Timing::default()),
            broadcaster: Broadcaster::new(&channel, broadcast),
            broadcaster_is_cut_off: false,
            channel: channel.clone(),
            clients: BTreeMap::new(),
            sent: Vec::new(),
            documents: Vec::new(),
            log: Vec::new(),
            missing: (0, Vec::new()),
            packets: 0,
            key_messages: Vec::new(),
            first_packet_under: BTreeMap::new(),
            entropy: Entropy(1),
        };
        for (place, name) in clients.iter().enumerate() {
            world.add_client(name, u8::try_from(place).unwrap());
        }
        let mut spec = ChannelSpec::new(DOMAIN, KEY_GROUP);
        adjust(&mut spec);
        world.command(|server, now, random| server.open_channel(&channel, spec, now, random));
        world
    }

    fn add_client(&mut self, name: &str, place: u8) {
        let (id, reach) = (ClientId::from(name), Reach::Udp(address(place)));
        self.server.add_client(&id, muk_id(name), muk(place), reach).unwrap();
        let mut receiver = Receiver::default();
        receiver.insert_muk(muk_id(name), muk(place)).unwrap();
        let media = MediaSpec::rtp("239.10.0.17".parse().unwrap(), 49170).with_rtcp(RtcpPlace::Mux);
        let spec = GroupSpec::new("17", Interface::Any).with_media(media).with_mikey_port(None);
        let port = receiver.add_group(&spec).unwrap().sockets[0].1;
        let (heard, loses_msks, loses_answers) = (Vec::new(), false, false);
        self.clients.insert(id, Client { receiver, loses_msks, loses_answers, heard, port });
    }

    /// The time of day.
    pub(crate) fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + secs(1_800_000_000) + (self.now - self.start)
    }

    /// Keeps what has changed; returns how many records were new.
    pub(crate) fn keep(&mut self) -> usize {
        let wall = self.wall();
        self.kept_of_broadcaster.take(self.broadcaster.take_changes());
        self.kept.take(self.server.take_changes(self.now, wall))
    }

    /// A server made of what is kept knows what the server does.
    pub(crate) fn check_kept(&self) {
        let (timing, records) = (Timing::default(), self.kept.records());
        let (other, _) = KeyServer::restore(timing, records, self.now, self.wall()).unwrap();
        let channel = &self.channel;
        let known = |server: &KeyServer| {
            let clients: Vec<_> = server.clients().map(|(id, to)| (id.clone(), to)).collect();
            let members: Vec<_> = server.members(channel).map(|(id, _)| id.clone()).collect();
            let expelled: Vec<_> = server.expelled(channel).cloned().collect();
            let consumed: Vec<_> = server.consumed().map(|(from, n)| (from.clone(), n)).collect();
            let coming = server.coming_msk(channel).map(|(id, _)| id);
            let update = (server.current_msk(channel), coming);
            (clients, members, expelled, consumed, update, server.spec(channel).cloned())
        };
        assert_eq!(known(&other), known(&self.server));
        // Deliveries start over, under counters beyond those that were used.
        for (client, _) in self.server.clients() {
            let counter = |server: &KeyServer| server.client(client).unwrap().last_counter;
            assert!(counter(&other) >= counter(&self.server), "{client}");
        }
    }

    /// The key server ends, and another one goes on from what it has kept.
    pub(crate) fn restart_server(&mut self) {
        self.keep();
        self.restore_server(self.wall());
    }

    /// The same at another time of day.
    pub(crate) fn restore_server(&mut self, wall: SystemTime) {
        let (timing, records) = (Timing::default(), self.kept.records());
        let (server, actions) = KeyServer::restore(timing, records, self.now, wall).unwrap();
        self.server = server;
        self.keep();
        self.carry_out(actions);
    }

    /// The same of the broadcaster.
    pub(crate) fn restart_broadcaster(&mut self) {
        self.keep();
        let (timing, records) = (BroadcastTiming::default(), self.kept_of_broadcaster.records());
        let random = &mut |out: &mut [u8]| self.entropy.fill(out);
        let restored = Broadcaster::restore(&self.channel, timing, records, self.now, random);
        let (broadcaster, actions) = restored.unwrap();
        self.broadcaster = broadcaster;
        self.keep();
        self.broadcast(actions);
    }

    pub(crate) fn client(&mut self, name: &str) -> &mut Client {
        self.clients.get_mut(&ClientId::from(name)).unwrap()
    }

    pub(crate) fn join(&mut self, name: &str) {
        let channel = self.channel.clone();
        self.command(|server, now, _| server.join(&channel, &name.into(), now));
    }

    pub(crate) fn join_all(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.join(name));
    }

    pub(crate) fn leave(&mut self, name: &str) {
        let channel = self.channel.clone();
        self.command(|server, now, random| server.leave(&channel, &name.into(), now, random));
    }

    pub(crate) fn expel(&mut self, name: &str) {
        let channel = self.channel.clone();
        self.command(|server, now, random| server.expel(&channel, &[name.into()], now, random));
    }

    pub(crate) fn new_mtk(&mut self, lead: Lead) {
        let (now, random) = (self.now, &mut |out: &mut [u8]| self.entropy.fill(out));
        let actions = self.broadcaster.new_mtk(lead, now, random).unwrap();
        self.broadcast(actions);
    }

    /// Lines of the log that begin like this.
    pub(crate) fn logged(&self, start: &str) -> Vec<&str> {
        self.log.iter().map(String::as_str).filter(|line| line.starts_with(start)).collect()
    }

    /// Changes the settings of the channel.
    pub(crate) fn set_policy(&mut self, adjust: impl FnOnce(&mut ChannelSpec)) {
        let channel = self.channel.clone();
        let mut spec = self.server.spec(&channel).unwrap().clone();
        adjust(&mut spec);
        self.command(|server, now, random| server.set_policy(&channel, spec, now, random));
    }

    /// The line to the broadcaster breaks, or mends: then the newest document reaches it.
    pub(crate) fn cut_off_broadcaster(&mut self, cut_off: bool) {
        self.cut_off(cut_off);
        let name = self.server.broadcasters(&self.channel).next().map(|(name, _)| name.clone());
        let document = self.server.document(&self.channel, name.as_ref()).unwrap();
        self.publish(&document);
    }

    /// The line to the broadcaster breaks, or mends, and nothing is told.
    pub(crate) fn cut_off(&mut self, cut_off: bool) {
        self.broadcaster_is_cut_off = cut_off;
    }

    /// A client comes to the roster again, under the MUK it had.
    pub(crate) fn enter(&mut self, name: &str, place: u8) {
        let reach = Reach::Udp(address(place));
        self.server.add_client(&name.into(), muk_id(name), muk(place), reach).unwrap();
    }

    /// A broadcaster says that it holds the newest document.
    pub(crate) fn holds_newest(&mut self, name: &str) {
        let (channel, name) = (self.channel.clone(), name.into());
        let version = self.server.document(&channel, Some(&name)).unwrap().version;
        self.command(|server, now, _| server.broadcaster_holds(&channel, &name, version, now));
    }

    /// One datagram of the group arrives at one client.
    pub(crate) fn hear(&mut self, name: &str, datagram: &[u8], sink: &mut impl FnMut(Event<'_>)) {
        let (now, source) = (self.now, address(200));
        let client = self.client(name);
        let mut bytes = datagram.to_vec();
        let datagram = Datagram { port: client.port, source, truncated: false, bytes: &mut bytes };
        client.receiver.run_batch(&mut [datagram], now, sink);
    }

    /// Calls the server and does what it asks for.
    pub(crate) fn command(
        &mut self,
        call: impl FnOnce(
            &mut KeyServer,
            Instant,
            &mut dyn FnMut(&mut [u8]),
        ) -> Result<Vec<Action>, mcast_srtp::Error>,
    ) {
        let now = self.now;
        let actions =
            call(&mut self.server, now, &mut |out: &mut [u8]| self.entropy.fill(out)).unwrap();
        self.carry_out(actions);
    }

    /// Lets time pass: one media packet every [`FRAME`], polls whenever something is due.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += FRAME;
            self.poll();
            self.send_media();
            self.tell_streams();
            let now = self.now;
            for client in self.clients.values_mut() {
                let heard = &mut client.heard;
                client.receiver.tick(now, &mut |event| note(&event, heard));
            }
        }
    }

    /// Lets time pass without media.
    pub(crate) fn idle(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = (self.now + Duration::from_millis(250)).min(end);
            self.poll();
        }
    }

    pub(crate) fn poll(&mut self) {
        if self.server.next_deadline().is_some_and(|due| due <= self.now) {
            let actions = self.server.poll(self.now, &mut |out: &mut [u8]| self.entropy.fill(out));
            self.carry_out(actions);
        }
        if self.broadcaster.next_deadline().is_some_and(|due| due <= self.now) {
            let actions =
                self.broadcaster.poll(self.now, &mut |out: &mut [u8]| self.entropy.fill(out));
            self.broadcast(actions);
        }
    }

    pub(crate) fn current(&self) -> MskId {
        self.server.current_msk(&self.channel).unwrap()
    }

    /// The coming MSK, or else the one in force.
    pub(crate) fn newest(&self) -> MskId {
        self.server.coming_msk(&self.channel).map_or_else(|| self.current(), |(id, _)| id)
    }

    pub(crate) fn confirmed(&self, name: &str) -> Option<MskId> {
        let mut members = self.server.members(&self.channel);
        members.find(|(client, _)| client.as_str() == name).and_then(|(_, msk_id)| msk_id)
    }

    /// MSK numbers that left the server for a client, deletions as negative ones.
    pub(crate) fn sent_to(&self, name: &str) -> Vec<i32> {
        let to_client = self.sent.iter().filter(|sent| sent.client.as_str() == name);
        let sign = |sent: &Sent| if sent.purpose == Purpose::Delete { -1 } else { 1 };
        to_client.map(|sent| i32::from(sent.msk_id.number) * sign(sent)).collect()
    }

    /// The packets that a client has not decrypted, from packet `first` on.
    pub(crate) fn missed(&mut self, name: &str, first: u32) -> Vec<u32> {
        let packets = self.packets;
        let heard: HashSet<_> = self.client(name).heard.iter().copied().collect();
        (first..=packets).filter(|packet| !heard.contains(packet)).collect()
    }
}

impl Client {
    /// Key numbers of the MSKs it holds, in order of arrival.
    pub(crate) fn holds(&self) -> Vec<u16> {
        self.receiver.plane().store().msks().map(|held| held.msk_id.number).collect()
    }
}

pub(crate) fn msk(number: u16) -> MskId {
    MskId { group: KEY_GROUP, number }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A MIKEY message to a client that nobody has touched: what the receiver says to it.
pub(crate) fn receive(world: &mut World, name: &str, octets: &[u8]) -> Result<(), Reject> {
    let now = world.now;
    world.client(name).receiver.key_message(octets, now).map(drop)
}

pub(crate) fn rtp(number: u32) -> Vec<u8> {
    let [.., high, low] = number.to_be_bytes();
    let mut packet = vec![0x80, 97, high, low];
    packet.extend((number * 160).to_be_bytes());
    packet.extend(TALKER.0.to_be_bytes());
    packet.extend(number.to_be_bytes());
    packet
}

pub(crate) fn address(place: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, place], 2269))
}

pub(crate) fn muk_id(name: &str) -> MukId {
    MukId { idi: "bmsc.example".to_owned(), idr: format!("{name}@bsf.example") }
}

pub(crate) fn muk(place: u8) -> Muk {
    Muk(Secret::new([place.wrapping_add(1); 32]))
}

/// Octets that do not repeat; that is all a test needs of randomness.
pub(crate) struct Entropy(pub u64);

impl Entropy {
    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mixed = self.0 ^ (self.0 >> 29);
            chunk.copy_from_slice(&mixed.to_be_bytes()[..chunk.len()]);
        }
    }
}
