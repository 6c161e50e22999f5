//! A talk group on a network that delays and reorders: key server, broadcaster, and clients.
//!
//! Time is stepped. Every datagram to the group reaches each client after a delay of its own.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use mcast_srtp::{
    Error,
    broadcast::{BroadcastAction, BroadcastTiming, Broadcaster, ChannelDocument, ChannelId, Lead},
    ids::MskId,
    keyserver::{Action, ChannelSpec, ClientId, KeyServer, Reach, Route, Sender, Timing},
    rx::Limits,
    wire::burst::{BurstMessage, Taken},
};

use crate::{
    client::{Client, source},
    group::{DOMAIN, Keys, SERVER, TALKER, muk, muk_id, rtp},
};

pub(crate) struct Air {
    pub(crate) now: Instant,
    /// The longest delay of a datagram.
    pub(crate) jitter: Duration,
    /// How long the message of a new MTK goes out before its first packet.
    pub(crate) lead: Lead,
    pub(crate) server: KeyServer,
    pub(crate) broadcaster: Broadcaster,
    /// Index of each media packet sent, and the MSK it was sent under.
    pub(crate) media: Vec<(u64, MskId)>,
    /// The MSK each burst-control message was sent under.
    pub(crate) bursts: Vec<MskId>,
    /// Every MSK message that left the server.
    pub(crate) msk_messages: Vec<Vec<u8>>,
    members: BTreeMap<ClientId, Member>,
    parcels: BTreeMap<(Instant, u64), Parcel>,
    entropy: Entropy,
    next_frame: Instant,
    sequence: u64,
}

pub(crate) struct Member {
    pub(crate) client: Client,
    /// Until then MSK messages to it are lost.
    pub(crate) unreachable_until: Option<Instant>,
    address: SocketAddr,
}

/// A datagram under way.
enum Parcel {
    Multicast { to: ClientId, what: What, octets: Vec<u8> },
    Msk { to: ClientId, octets: Vec<u8> },
    Verification { from: SocketAddr, octets: Vec<u8> },
}

#[derive(Clone, Copy)]
enum What {
    Media,
    Burst,
    Key,
}

impl Air {
    /// An open channel, and clients on the roster that have joined.
    pub(crate) fn new(names: &[&str], jitter: Duration, spec: ChannelSpec) -> Self {
        let (now, channel) = (Instant::now(), channel());
        let mut air = Self {
            now,
            jitter,
            lead: Lead::Usual,
            server: KeyServer::new(Timing::default()),
            broadcaster: Broadcaster::new(&channel, BroadcastTiming::default()),
            media: Vec::new(),
            bursts: Vec::new(),
            msk_messages: Vec::new(),
            members: BTreeMap::new(),
            parcels: BTreeMap::new(),
            entropy: Entropy(1),
            next_frame: now,
            sequence: 65_000,
        };
        for (number, name) in (1..).zip(names) {
            let (id, address) = (ClientId::from(*name), source(number));
            air.server.add_client(&id, muk_id(name), muk(name), Reach::Udp(address)).unwrap();
            let client = Client::named(name, &Limits::default());
            air.members.insert(id, Member { client, unreachable_until: None, address });
        }
        air.command(|server, now, random| server.open_channel(&channel, spec, now, random));
        for name in names {
            air.command(|server, now, _| server.join(&channel, &(*name).into(), now));
        }
        air
    }

    pub(crate) fn spec() -> ChannelSpec {
        ChannelSpec::new(DOMAIN, Keys::default().key_group)
    }

    pub(crate) fn member(&mut self, name: &str) -> &mut Member {
        self.members.get_mut(&ClientId::from(name)).unwrap()
    }

    pub(crate) fn client(&mut self, name: &str) -> &mut Client {
        &mut self.member(name).client
    }

    /// Calls the server and does what it asks for.
    pub(crate) fn command(
        &mut self,
        call: impl FnOnce(
            &mut KeyServer,
            Instant,
            &mut dyn FnMut(&mut [u8]),
        ) -> Result<Vec<Action>, Error>,
    ) {
        let entropy = &mut self.entropy;
        let actions = call(&mut self.server, self.now, &mut |out| entropy.fill(out)).unwrap();
        self.carry_out(actions);
    }

    /// Starts another MTK under the MSK in force.
    pub(crate) fn new_mtk(&mut self) {
        let (now, lead, entropy) = (self.now, self.lead, &mut self.entropy);
        let actions = self.broadcaster.new_mtk(lead, now, &mut |out| entropy.fill(out)).unwrap();
        self.broadcast(actions);
    }

    /// Lets time pass with somebody talking: a packet every 20 ms, and who talks every 25 packets.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
            if self.next_frame <= self.now {
                self.next_frame += FRAME;
                self.talk();
            }
        }
    }

    /// Lets the last datagrams arrive, and whatever is held back expire.
    pub(crate) fn settle(&mut self) {
        let end = self.now + self.jitter + Duration::from_secs(1);
        while self.now < end {
            self.step();
        }
    }

    /// Indexes of the media packets sent under MSKs for which `wanted` holds.
    pub(crate) fn media_under(&self, wanted: impl Fn(MskId) -> bool) -> Vec<u64> {
        self.media.iter().filter(|(_, msk)| wanted(*msk)).map(|(index, _)| *index).collect()
    }

    /// Checks that a client has heard each media packet and each burst-control message, once.
    pub(crate) fn assert_heard_everything(&mut self, name: &str) {
        let (media, bursts) = (self.media_under(|_| true), self.bursts.len());
        let client = self.client(name);
        let mut heard = client.indexes();
        heard.sort_unstable();
        assert_eq!(heard, media, "{name}: {:?}", client.verdicts());
        assert_eq!(client.delivered.bursts.len(), bursts, "{name}: {:?}", client.verdicts());
    }

    fn step(&mut self) {
        self.now += STEP;
        let (now, entropy) = (self.now, &mut self.entropy);
        if self.server.next_deadline().is_some_and(|due| due <= now) {
            let actions = self.server.poll(now, &mut |out| entropy.fill(out));
            self.carry_out(actions);
        }
        let entropy = &mut self.entropy;
        if self.broadcaster.next_deadline().is_some_and(|due| due <= now) {
            let actions = self.broadcaster.poll(now, &mut |out| entropy.fill(out));
            self.broadcast(actions);
        }
        while let Some(parcel) = self.parcels.first_entry().filter(|p| p.key().0 <= now) {
            let parcel = parcel.remove();
            self.arrive(parcel);
        }
        for member in self.members.values_mut() {
            member.client.tick(now);
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::SendMsk(message) => {
                    assert!(matches!(message.to, Route::Udp(_)));
                    self.msk_messages.push(message.octets.clone());
                    let lost = self.members[&message.client].unreachable_until;
                    if lost.is_none_or(|until| until <= self.now) {
                        self.send(Parcel::Msk { to: message.client, octets: message.octets });
                    }
                }
                Action::Publish(document) => self.publish(&document),
                _ => {}
            }
        }
    }

    fn publish(&mut self, document: &ChannelDocument) {
        let (now, entropy, before) = (self.now, &mut self.entropy, self.broadcaster.mki().copied());
        let random = &mut |out: &mut [u8]| entropy.fill(out);
        let mut actions = self.broadcaster.follow(document, now, random).unwrap();
        let switches = before.and_then(|mki| mki.split_mbms()).map(|(msk_id, _)| msk_id)
            != Some(document.in_force);
        if switches && self.lead == Lead::None {
            // The key that was announced comes into force at once.
            actions.extend(self.broadcaster.new_mtk(self.lead, now, random).unwrap());
        }
        self.broadcast(actions);
    }

    fn broadcast(&mut self, actions: Vec<BroadcastAction>) {
        for action in actions {
            if let BroadcastAction::SendKeyMessage(octets) = action {
                self.multicast(What::Key, &octets);
            }
        }
    }

    fn talk(&mut self) {
        let Some((msk, _)) = self.broadcaster.mki().and_then(|mki| mki.split_mbms()) else {
            return;
        };
        let mut packet = rtp(TALKER, self.sequence, b"speech");
        self.sequence += 1;
        let index = self.broadcaster.protect_rtp(&mut packet, self.now).unwrap();
        self.media.push((index.value(), msk));
        self.multicast(What::Media, &packet);
        if self.media.len().is_multiple_of(25) {
            let taken = Taken { talker: TALKER, ..Taken::default() };
            let message = BurstMessage::Taken(taken);
            let packet = self.broadcaster.burst(SERVER, message, self.now).unwrap();
            self.bursts.push(msk);
            self.multicast(What::Burst, &packet);
        }
        let streams = self.broadcaster.streams();
        self.server.set_streams(&channel(), None, &streams).unwrap();
    }

    /// Every client on the group gets the datagram, whether it is a member or not.
    fn multicast(&mut self, what: What, octets: &[u8]) {
        for to in self.members.keys().cloned().collect::<Vec<_>>() {
            self.send(Parcel::Multicast { to, what, octets: octets.to_vec() });
        }
    }

    fn send(&mut self, parcel: Parcel) {
        let delay = self.jitter.mul_f64(self.entropy.fraction());
        self.parcels.insert((self.now + delay, self.entropy.0), parcel);
    }

    fn arrive(&mut self, parcel: Parcel) {
        let now = self.now;
        match parcel {
            Parcel::Multicast { to, what, octets } => {
                let client = &mut self.members.get_mut(&to).unwrap().client;
                let port = match what {
                    What::Media => client.ports.media,
                    What::Burst => client.ports.burst,
                    What::Key => client.ports.keys,
                };
                client.receive(port, &octets, now);
            }
            Parcel::Msk { to, octets } => {
                let member = self.members.get_mut(&to).unwrap();
                let accepted = member.client.receiver.key_message(&octets, now);
                let answer = accepted.ok().and_then(|event| Some(event.verification()?.to_vec()));
                if let Some(octets) = answer {
                    let from = member.address;
                    self.send(Parcel::Verification { from, octets });
                }
            }
            Parcel::Verification { from, octets } => {
                // A second answer to the same delivery finds nothing that waits for it.
                if let Ok(actions) = self.server.receive(&octets, Sender::Address(from), now) {
                    self.carry_out(actions);
                }
            }
        }
    }
}

pub(crate) fn channel() -> ChannelId {
    ChannelId::from("group 17")
}

/// Octets and fractions that do not repeat; that is all a test needs of randomness.
struct Entropy(u64);

impl Entropy {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0 ^ self.0 >> 29
    }

    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let octets = self.next().to_be_bytes();
            chunk.copy_from_slice(&octets[..chunk.len()]);
        }
    }

    fn fraction(&mut self) -> f64 {
        f64::from((self.next() >> 40) as u32) / f64::from(1 << 24)
    }
}

const STEP: Duration = Duration::from_millis(5);
const FRAME: Duration = Duration::from_millis(20);
