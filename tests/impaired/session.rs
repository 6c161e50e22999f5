//! The sending side and the network: key server and broadcaster in stepped time, three links, and the
//! memory of what every datagram was.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use impair::{Impairments, Link};
use mcast_srtp::{
    broadcast::{BroadcastAction, BroadcastTiming, Broadcaster, ChannelId, Lead},
    ids::{Mki, Ssrc},
    keyserver::{
        Action, ChannelSpec, ClientId, KeyServer, Reach, Retry, Sender, Timing, UpdateCause,
    },
    srtp::Profile,
    wire::{mikey::Message, rtp::RtpView},
};

use crate::{
    MS,
    client::source,
    group::{DOMAIN, Keys, TALKER, muk, muk_id, rtp},
    ms,
    oracle::{Key, Packet, What},
};

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Two streams send in turn, a packet every `gap`.
    Talk {
        time: Duration,
        gap: Duration,
    },
    Pause(Duration),
    /// Another MTK, its message ahead of its first packet or not.
    NewMtk {
        ahead: bool,
    },
    NewMsk,
}

/// The links to one receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub(crate) media: Impairments,
    pub(crate) mtk: Impairments,
    pub(crate) msk: Impairments,
    pub(crate) seed: u64,
}

pub(crate) struct Session {
    pub(crate) start: Instant,
    /// Since the start.
    pub(crate) now: Duration,
    channel: ChannelId,
    server: KeyServer,
    broadcaster: Broadcaster,
    client: SocketAddr,
    profile: Profile,
    media: Link,
    mtk: Link,
    msk: Link,
    /// What each datagram is that was sent, by its octets.
    sent: HashMap<Vec<u8>, What>,
    random: u64,
    until: Duration,
    next_packet: Option<(Duration, Duration)>,
    packets: u64,
    first_index: u64,
}

impl Session {
    /// A channel with one client, which has joined. The first stream begins with `first_index`.
    pub(crate) fn new(profile: Profile, network: Network, first_index: u64) -> Self {
        let (start, channel, client) = (Instant::now(), ChannelId::from("group 17"), source(1));
        let mut timing = Timing::default();
        timing.udp = Retry::new(ms(60), ms(300), 8);
        let Network { media, mtk, msk, seed } = network;
        let mut session = Self {
            start,
            now: Duration::ZERO,
            server: KeyServer::new(timing),
            broadcaster: Broadcaster::new(&channel, BroadcastTiming::default()),
            channel,
            client,
            profile,
            media: Link::new(media, seed),
            mtk: Link::new(mtk, seed ^ 1),
            msk: Link::new(msk, seed ^ 2),
            sent: HashMap::new(),
            random: seed,
            until: Duration::ZERO,
            next_packet: None,
            packets: 0,
            first_index,
        };
        let id = ClientId::from("c1");
        session.server.add_client(&id, muk_id("c1"), muk("c1"), Reach::Udp(client)).unwrap();
        let mut spec = ChannelSpec::new(DOMAIN, Keys::default().key_group);
        spec.profile = profile;
        spec.confirm_within = ms(400);
        spec.grace = ms(700);
        let (channel, random) = (session.channel.clone(), &mut session.random);
        let opened = session.server.open_channel(&channel, spec, start, &mut |o| fill(random, o));
        session.carry_out(opened.unwrap());
        let joined = session.server.join(&channel, &id, start).unwrap();
        session.carry_out(joined);
        session
    }

    /// Whether the last act is over.
    pub(crate) fn is_idle(&self) -> bool {
        self.now >= self.until
    }

    pub(crate) fn begin(&mut self, act: Act) {
        let (now, random) = (self.start + self.now, &mut self.random);
        let random = &mut |octets: &mut [u8]| fill(random, octets);
        match act {
            Act::Talk { time, gap } => {
                self.until = self.now + time;
                self.next_packet = Some((self.now, gap));
            }
            Act::Pause(time) => self.until = self.now + time,
            Act::NewMtk { ahead } => {
                let lead = if ahead { Lead::Usual } else { Lead::None };
                // Before the first MSK is in use there is nothing to change.
                let actions = self.broadcaster.new_mtk(lead, now, random).unwrap_or_default();
                self.broadcast(actions);
            }
            Act::NewMsk => {
                let channel = self.channel.clone();
                let actions = self.server.update(&channel, UpdateCause::Command, now, random);
                self.carry_out(actions.unwrap());
            }
        }
    }

    /// Lets a millisecond pass.
    pub(crate) fn step(&mut self) {
        self.now += MS;
        let now = self.start + self.now;
        let random = &mut self.random;
        let due = self.server.poll(now, &mut |octets| fill(random, octets));
        self.carry_out(due);
        let random = &mut self.random;
        let due = self.broadcaster.poll(now, &mut |octets| fill(random, octets));
        self.broadcast(due);
        if self.is_idle() {
            self.next_packet = None;
        }
        if let Some((_, gap)) = self.next_packet.filter(|(at, _)| *at <= self.now) {
            self.next_packet = Some((self.now + gap, gap));
            self.talk();
        }
    }

    /// MSK messages that have arrived.
    pub(crate) fn msk_arrivals(&mut self) -> Vec<Vec<u8>> {
        let now = self.now;
        std::iter::from_fn(|| self.msk.receive(now)).map(|arrival| arrival.octets).collect()
    }

    /// Datagrams that have arrived at the group's ports, and whether at that of the media.
    pub(crate) fn group_arrivals(&mut self) -> Vec<(bool, Vec<u8>)> {
        let now = self.now;
        let mut all = Vec::new();
        for (to_media, link) in [(true, &mut self.media), (false, &mut self.mtk)] {
            let arrivals = std::iter::from_fn(|| link.receive(now));
            all.extend(arrivals.map(|arrival| (arrival.at, to_media, arrival.octets)));
        }
        all.sort_by_key(|(at, ..)| *at);
        all.into_iter().map(|(_, to_media, octets)| (to_media, octets)).collect()
    }

    /// The answer of the client arrives.
    pub(crate) fn verify(&mut self, answer: &[u8]) {
        let now = self.start + self.now;
        // A second answer finds nothing that waits for it.
        let actions = self.server.receive(answer, Sender::Address(self.client), now);
        self.carry_out(actions.unwrap_or_default());
    }

    /// What a datagram was when it was sent, or what a damaged one looks like.
    pub(crate) fn what(&self, octets: &[u8]) -> What {
        self.sent.get(octets).cloned().unwrap_or_else(|| self.what_is_damaged(octets))
    }

    pub(crate) fn media_sent(&self) -> usize {
        self.sent.values().filter(|what| matches!(what, What::Media(_))).count()
    }

    pub(crate) fn mtks_sent(&self) -> usize {
        self.sent.values().filter(|what| matches!(what, What::Mtk { .. })).count()
    }

    /// A message is refused. A packet that still has a header of RTP names the key that stands where
    /// the MKI is: before the tag, or at the end with AEAD.
    fn what_is_damaged(&self, octets: &[u8]) -> What {
        let tag = if self.profile == Profile::AEAD_AES_128_GCM { 0 } else { 10 };
        let end = octets.len().saturating_sub(tag);
        match (RtpView::parse(octets), end.checked_sub(6).and_then(|start| octets.get(start..end)))
        {
            (Ok(_), Some(mki)) => What::Media(Packet {
                names: Mki::new(mki).and_then(key),
                intact: None,
                len: octets.len(),
            }),
            _ => What::Refused,
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::SendMsk(message) => {
                    let what = key_message(&message.octets);
                    self.msk.send(self.now, &message.octets);
                    self.sent.insert(message.octets, what);
                }
                Action::Publish(document) => {
                    let (now, random) = (self.start + self.now, &mut self.random);
                    let random = &mut |octets: &mut [u8]| fill(random, octets);
                    let actions = self.broadcaster.follow(&document, now, random);
                    self.broadcast(actions.unwrap());
                }
                _ => {}
            }
        }
    }

    fn broadcast(&mut self, actions: Vec<BroadcastAction>) {
        for action in actions {
            if let BroadcastAction::SendKeyMessage(octets) = action {
                self.mtk.send(self.now, &octets);
                self.sent.insert(octets.to_vec(), key_message(&octets));
            }
        }
    }

    fn talk(&mut self) {
        let Some(mki) = self.broadcaster.mki().copied() else { return };
        // Each stream's numbers run on by themselves.
        let (stream, turn) = (self.packets % 2, self.packets / 2);
        let ssrc = Ssrc(TALKER.0 + u32::from(stream == 1));
        let index = if stream == 0 { self.first_index + turn } else { turn };
        let mut packet = rtp(ssrc, index, &payload(ssrc, index));
        let now = self.start + self.now;
        let protected = self.broadcaster.protect_rtp(&mut packet, now).unwrap();
        assert_eq!(protected.value(), index);
        self.packets += 1;
        let intact = Packet { names: key(mki), intact: Some((ssrc.0, index)), len: packet.len() };
        self.media.send(self.now, &packet);
        self.sent.insert(packet, What::Media(intact));
        let streams = self.broadcaster.streams();
        self.server.set_streams(&self.channel, None, &streams).unwrap();
    }
}

/// Payload of a packet: of different lengths.
pub(crate) fn payload(ssrc: Ssrc, index: u64) -> Vec<u8> {
    let octets = index.to_be_bytes().into_iter().chain(ssrc.0.to_be_bytes()).cycle();
    octets.take(12 + usize::try_from(index % 50).unwrap()).collect()
}

/// The key that an MKI names, if it is of our key group.
fn key(mki: Mki) -> Option<Key> {
    let (msk, mtk) = mki.split_mbms()?;
    (msk.group == Keys::default().key_group).then_some((msk.number, mtk.0))
}

/// What a message is, from its own fields, which its sender has just written.
fn key_message(octets: &[u8]) -> What {
    let message = Message::parse(octets).unwrap();
    let counter = message.timestamp().and_then(|t| t.counter()).unwrap();
    let ids = message.key_ids().unwrap();
    let msk = ids.msk.unwrap().number;
    match ids.mtk {
        Some(mtk) => What::Mtk { key: (msk, mtk.0), counter },
        None => What::Msk { msk, counter },
    }
}

/// Octets that do not repeat; that is all the test needs of randomness.
fn fill(state: &mut u64, out: &mut [u8]) {
    for chunk in out.chunks_mut(8) {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let octets = (*state ^ *state >> 29).to_be_bytes();
        chunk.copy_from_slice(&octets[..chunk.len()]);
    }
}
