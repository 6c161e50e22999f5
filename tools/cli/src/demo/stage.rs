//! Key server and broadcaster at work: the sans-I/O cores joined to sockets and the clock.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use mcast_srtp::{
    broadcast::{BroadcastAction, BroadcastTiming, Broadcaster, ChannelDocument, ChannelId, Lead},
    ids::{KeyDomainId, Mki, Ssrc},
    keyserver::{Action, ChannelSpec, ClientId, KeyServer, Reach, Route, Sender, Timing},
    srtp::Profile,
    wire::{
        Text,
        burst::{BurstMessage, Participants, Taken},
        rtp::RtpWriter,
    },
};

use super::{
    air::Air,
    cast::Subscriber,
    client::{Client, Heard},
    clip::Clip,
    outcome::{Cut, Outcome, Sent},
    plan::{Plan, Planned, Step, Talker},
    timeline::Timeline,
};
use crate::exit::Failure;

const KEY_SERVER: &str = "key server";
const BROADCASTER: &str = "broadcaster";
/// Who sends the burst control.
const SERVER: Ssrc = Ssrc(0x5e45_0001);
const DOMAIN: KeyDomainId = KeyDomainId([0x00, 0xf1, 0x10]);
const KEY_GROUP: u16 = 1;

/// The demo while it runs.
pub(super) struct Stage {
    plan: Arc<Plan>,
    profile: Profile,
    payload_type: u8,
    timeline: Timeline,
    channel: ChannelId,
    server: KeyServer,
    broadcaster: Broadcaster,
    /// Socket of the key server.
    unicast: UdpSocket,
    air: Air,
    clients: Vec<Client>,
    heard: Receiver<Heard>,
    sent: Sent,
    /// Of the packet sent last.
    mki: Option<Mki>,
    expelled: bool,
    /// The timeline has told that the expelled client is cut off.
    told: bool,
}

impl Stage {
    /// Starts the clients, and opens the channel with its first MSK.
    ///
    /// # Errors
    /// The system refuses a socket or a thread.
    pub(super) fn set(
        clip: &Clip,
        plan: &Arc<Plan>,
        profile: Profile,
        timeline: Timeline,
    ) -> Result<Self, Failure> {
        let no_socket = |error| Failure::failed(format!("no socket for the key server: {error}"));
        let unicast = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(no_socket)?;
        let air = Air::open()?;
        let subscribers = Subscriber::cast().map_err(Failure::failed)?;
        let (tell, heard) = channel();
        let group = air.group(clip.payload_type);
        let clients = subscribers.iter().map(|one| Client::start(one, &group, plan, tell.clone()));
        let clients = clients.collect::<Result<Vec<_>, _>>()?;

        let mut server = KeyServer::new(Timing::default());
        for (subscriber, client) in subscribers.iter().zip(&clients) {
            let reach = Reach::Udp(client.key_address);
            let (id, muk) = (subscriber.muk_id(), subscriber.muk());
            server.add_client(&client.name.into(), id, muk, reach)?;
        }
        let channel = ChannelId::from("demo");
        let mut stage = Self {
            plan: Arc::clone(plan),
            profile,
            payload_type: clip.payload_type,
            timeline,
            broadcaster: Broadcaster::new(&channel, BroadcastTiming::default()),
            channel,
            server,
            unicast,
            air,
            clients,
            heard,
            sent: Sent::default(),
            mki: None,
            expelled: false,
            told: false,
        };
        let now = Instant::now();
        stage.timeline.say(now, "group", &stage.air);
        let packets = clip.len();
        let what = format_args!("{packets} packets of AMR speech, 20 ms each");
        stage.timeline.say(now, "clip", what);
        let mut spec = ChannelSpec::new(DOMAIN, KEY_GROUP);
        spec.profile = profile;
        spec.msk_lifetime = Some(plan.msk_lifetime);
        // Loopback needs no patience; a machine at its limits does.
        spec.grace = Duration::from_secs(2);
        spec.broadcasters = vec![BROADCASTER.into()];
        let opened = stage.server.open_channel(&stage.channel, spec, now, &mut random)?;
        stage.carry_out(opened)?;
        Ok(stage)
    }

    /// Gives every client the MSK, and starts the first MTK.
    ///
    /// # Errors
    /// A client does not confirm its MSK.
    pub(super) fn hand_out_keys(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        for client in self.client_ids() {
            let joined = self.server.join(&self.channel, &client, now)?;
            self.carry_out(joined)?;
        }
        let first = self.server.current_msk(&self.channel);
        let patience = now + PATIENCE;
        while self.server.members(&self.channel).any(|(_, held)| held != first) {
            if Instant::now() > patience {
                return Err(Failure::failed("a client has not confirmed its MSK within 10 s"));
            }
            self.turn_until(Instant::now() + TURN)?;
        }
        while self.broadcaster.mki().is_none() {
            self.turn_until(Instant::now() + TURN)?;
        }
        Ok(())
    }

    /// Runs the plan.
    ///
    /// # Errors
    /// The system refuses to send.
    pub(super) fn transmit(&mut self) -> Result<(), Failure> {
        let (plan, start) = (Arc::clone(&self.plan), Instant::now());
        for (at, step) in &plan.steps {
            self.turn_until(start + *at)?;
            match step {
                Step::BurstBegins(talker) => self.burst_begins(talker)?,
                Step::Media(place) => self.media(&plan.packets[*place])?,
                Step::BurstEnds(talker) => self.burst_ends(talker)?,
                Step::ChangeMtk => self.change_mtk()?,
                Step::Expel => self.expel()?,
            }
        }
        Ok(())
    }

    /// Lets what is under way arrive, and judges.
    ///
    /// # Errors
    /// The system refuses to receive.
    pub(super) fn finish(mut self) -> Result<Outcome, Failure> {
        let patience = Instant::now() + PATIENCE;
        let stay = self.clients.len().saturating_sub(1);
        let (media, bursts) = (self.sent.media, self.sent.bursts);
        while self.clients[..stay].iter().any(|client| {
            client.tally().delivered(0..media) < media as u64 || client.tally().bursts() < bursts
        }) && Instant::now() < patience
        {
            self.turn_until(Instant::now() + TURN)?;
        }
        // What the expelled client holds back, in the hope of a key, has its verdict after that.
        std::thread::sleep(Client::HOLD_TIME + AFTERMATH);
        self.listen();
        self.timeline.settle_all();
        Ok(Outcome::new(self.profile.to_string(), &self.sent, &self.clients))
    }

    fn burst_begins(&mut self, talker: &Talker) -> Result<(), Failure> {
        let participants = u16::try_from(self.server.members(&self.channel).count()).ok();
        self.timeline.say(Instant::now(), BROADCASTER, format_args!("{} talks", talker.name));
        self.burst(BurstMessage::Taken(Taken {
            talker: talker.ssrc,
            cname: Text::from(talker.uri),
            name: Some(Text::from(talker.name)),
            participants: participants.map(Participants),
            ack_expected: false,
        }))
    }

    fn burst_ends(&mut self, talker: &Talker) -> Result<(), Failure> {
        let what = format_args!("{} has stopped talking", talker.name);
        self.timeline.say(Instant::now(), BROADCASTER, what);
        self.burst(BurstMessage::Idle)?;
        // MSK messages from now on tell late joiners where the streams are.
        let broadcaster = BROADCASTER.into();
        Ok(self.server.set_streams(
            &self.channel,
            Some(&broadcaster),
            &self.broadcaster.streams(),
        )?)
    }

    fn burst(&mut self, message: BurstMessage<'_>) -> Result<(), Failure> {
        let packet = self.broadcaster.burst(SERVER, message, Instant::now())?;
        self.note_mki();
        self.air.burst(&packet)?;
        self.sent.bursts += 1;
        Ok(())
    }

    fn media(&mut self, planned: &Planned) -> Result<(), Failure> {
        let header =
            RtpWriter::new(self.payload_type, planned.index.seq(), planned.timestamp, planned.ssrc)
                .marker(planned.marker);
        let mut packet = vec![0; 12 + planned.payload.len()];
        header.write(planned.payload, &mut packet)?;
        self.broadcaster.protect_rtp(&mut packet, Instant::now())?;
        self.note_mki();
        self.air.media(&packet)?;
        self.sent.media += 1;
        Ok(())
    }

    /// Notices the first packet under another key, before it is counted.
    fn note_mki(&mut self) {
        let mki = self.broadcaster.mki().copied();
        let former = std::mem::replace(&mut self.mki, mki);
        let (Some(former), Some(mki)) = (former, mki) else { return };
        if former == mki {
            return;
        }
        self.sent.mtk_changes += 1;
        let msk = |mki: Mki| mki.split_mbms().map(|(msk, _)| msk);
        if msk(former) != msk(mki) {
            self.sent.msk_updates += 1;
            if self.expelled && self.sent.cut.is_none() {
                self.sent.cut = Some(Cut { media: self.sent.media, bursts: self.sent.bursts });
            }
        }
    }

    fn change_mtk(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        self.timeline.say(now, BROADCASTER, "new MTK, on command");
        let actions = self.broadcaster.new_mtk(Lead::Usual, now, &mut random)?;
        self.broadcast(actions)
    }

    fn expel(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let Some(client) = self.client_ids().pop() else { return Ok(()) };
        self.timeline.say(now, KEY_SERVER, format_args!("{client} is expelled"));
        self.expelled = true;
        let clients = std::slice::from_ref(&client);
        let actions = self.server.expel(&self.channel, clients, now, &mut random)?;
        self.carry_out(actions)
    }

    /// Keeps both cores and the timeline going until a moment; at least once.
    fn turn_until(&mut self, moment: Instant) -> Result<(), Failure> {
        loop {
            let now = Instant::now();
            let due = self.server.poll(now, &mut random);
            self.carry_out(due)?;
            let due = self.broadcaster.poll(now, &mut random);
            self.broadcast(due)?;
            self.listen();
            self.tell_of_the_expelled(now);
            self.timeline.settle(now);
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.take_verification(left.min(TURN))?;
        }
    }

    /// Takes down what the clients have to tell.
    fn listen(&mut self) {
        for heard in self.heard.try_iter() {
            self.timeline.say_of_client(heard.at, heard.client, heard.what);
        }
    }

    /// An expelled client gets packets still, as everybody on the network does.
    fn tell_of_the_expelled(&mut self, now: Instant) {
        if self.sent.cut.is_some()
            && !self.told
            && let Some(client) = self.clients.last()
            && client.packets_without_key() > 0
        {
            self.told = true;
            let what = "gets packets for which it has no key".to_owned();
            self.timeline.say_of_client(now, client.name, what);
        }
    }

    /// Waits for a verification message, and takes it.
    fn take_verification(&mut self, patience: Duration) -> Result<(), Failure> {
        let cannot = |error| Failure::failed(format!("key server cannot receive: {error}"));
        self.unicast.set_read_timeout(Some(patience)).map_err(cannot)?;
        let mut octets = [0; 2048];
        let (len, from) = match self.unicast.recv_from(&mut octets) {
            Ok(received) => received,
            Err(error) if is_timeout(&error) => return Ok(()),
            Err(error) => return Err(cannot(error)),
        };
        let message = octets.get(..len).unwrap_or_default();
        match self.server.receive(message, Sender::Address(from), Instant::now()) {
            Ok(actions) => self.carry_out(actions),
            Err(reject) => {
                // A copy that was sent twice is answered twice.
                tracing::debug!(%from, %reject, "verification message");
                Ok(())
            }
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>) -> Result<(), Failure> {
        let now = Instant::now();
        for action in actions {
            match action {
                Action::SendMsk(message) => {
                    if let Route::Udp(to) = message.to {
                        self.unicast.send_to(&message.octets, to).map_err(|error| {
                            Failure::failed(format!("no MSK message to {to}: {error}"))
                        })?;
                    }
                    let what = format!("MSK {}, under the MUK of each, to", message.msk_id);
                    self.timeline.say_to_client(now, KEY_SERVER, what, message.client.as_str());
                }
                Action::UpdateBegun { msk_id, cause, .. } => {
                    let what = format_args!("MSK update begins: {msk_id}, because of {cause}");
                    self.timeline.say(now, KEY_SERVER, what);
                }
                Action::Confirmed { client, msk_id, .. } => {
                    let what = format!("MSK {msk_id} is confirmed by");
                    self.timeline.say_to_client(now, KEY_SERVER, what, client.as_str());
                }
                Action::Publish(document) => self.publish(&document, now)?,
                Action::Switched { msk_id, .. } => {
                    self.timeline.say(now, KEY_SERVER, format_args!("switch to MSK {msk_id}"));
                }
                Action::Destroyed { msk_id, .. } => {
                    self.timeline.say(now, KEY_SERVER, format_args!("MSK {msk_id} destroyed"));
                }
                other => self.timeline.say(now, KEY_SERVER, format_args!("{other:?}")),
            }
        }
        Ok(())
    }

    /// The broadcaster follows a document, and the key server hears that it does.
    fn publish(&mut self, document: &ChannelDocument, now: Instant) -> Result<(), Failure> {
        let version = document.version;
        let msks: Vec<_> = document.msks.iter().map(|listed| listed.msk_id.to_string()).collect();
        let (msks, in_force) = (msks.join(", "), document.in_force);
        let what =
            format_args!("document {version} to the broadcaster: {msks}; in force {in_force}");
        self.timeline.say(now, KEY_SERVER, what);
        let actions = self.broadcaster.follow(document, now, &mut random)?;
        self.broadcast(actions)?;
        let name = BROADCASTER.into();
        let held = self.server.broadcaster_holds(&self.channel, &name, version, now)?;
        self.carry_out(held)
    }

    fn broadcast(&mut self, actions: Vec<BroadcastAction>) -> Result<(), Failure> {
        for action in actions {
            match action {
                BroadcastAction::SendKeyMessage(message) => self.air.key_message(&message)?,
                BroadcastAction::InForce { mki } => {
                    let what = format_args!("packets carry MKI {mki}");
                    self.timeline.say(Instant::now(), BROADCASTER, what);
                }
                other => {
                    self.timeline.say(Instant::now(), BROADCASTER, format_args!("{other:?}"));
                }
            }
        }
        Ok(())
    }

    fn client_ids(&self) -> Vec<ClientId> {
        self.clients.iter().map(|client| client.name.into()).collect()
    }
}

/// Randomness of the system.
fn random(octets: &mut [u8]) {
    getrandom::fill(octets).expect("the system gives randomness, as it did at the start");
}

fn is_timeout(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock | Interrupted)
}

/// Longest wait before the clock is looked at again.
const TURN: Duration = Duration::from_millis(5);
/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait, beyond the time that packets are held back, for what must not come.
const AFTERMATH: Duration = Duration::from_millis(250);
