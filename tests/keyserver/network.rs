//! What passes between key server, broadcaster and clients of a [`World`].

use mcast_srtp::{
    broadcast::{BroadcastAction, ChannelDocument},
    keyserver::{Action, MskMessage, Route, Sender},
    rx::{Datagram, Event},
};

use crate::world::{Sent, World, address, rtp};

impl World {
    pub(crate) fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::SendMsk(message) => self.deliver(message),
                Action::Publish(document) => self.publish(&document),
                Action::Switched { msk_id, unconfirmed, lacking, .. } => {
                    self.log.push(format!("switch {msk_id}"));
                    self.missing = (unconfirmed, lacking.iter().map(ToString::to_string).collect());
                }
                Action::Destroyed { msk_id, .. } => self.log.push(format!("destroy {msk_id}")),
                Action::UpdateBegun { msk_id, cause, .. } => {
                    self.log.push(format!("update {msk_id} {cause}"));
                }
                Action::Confirmed { client, msk_id, .. } => {
                    self.log.push(format!("{client} holds {msk_id}"));
                }
                Action::GaveUp { client, msk_id, why, .. } => {
                    self.log.push(format!("gave up {client} {msk_id}: {why}"));
                }
                Action::KeepsTrying { client, msk_id, .. } => {
                    self.log.push(format!("keeps trying {client} {msk_id}"));
                }
                Action::Removed { client, msk_id, .. } => {
                    self.log.push(format!("removed {client} {msk_id}"));
                }
                Action::WindowOpened { cause, .. } => self.log.push(format!("window {cause}")),
                other => self.log.push(format!("{other:?}")),
            }
        }
    }

    /// A document travels to the broadcaster if it is for it, and its word back, unless it is cut
    /// off. Others' are kept.
    pub(crate) fn publish(&mut self, document: &ChannelDocument) {
        self.documents.push(document.clone());
        let is_ours = document.channel == self.channel
            && document.broadcaster.as_ref().is_none_or(|name| name.as_str() == "b1");
        if self.broadcaster_is_cut_off || !is_ours {
            return;
        }
        let (now, random) = (self.now, &mut |out: &mut [u8]| self.entropy.fill(out));
        let actions = self.broadcaster.follow(document, now, random).unwrap();
        self.broadcast(actions);
        if let Some(name) = &document.broadcaster {
            let (channel, version) = (self.channel.clone(), document.version);
            self.command(|server, now, _| server.broadcaster_holds(&channel, name, version, now));
        }
    }

    pub(crate) fn broadcast(&mut self, actions: Vec<BroadcastAction>) {
        for action in actions {
            match action {
                BroadcastAction::SendKeyMessage(octets) => {
                    self.multicast(&octets);
                    if !self.key_messages.contains(&octets) {
                        self.key_messages.push(octets);
                    }
                }
                BroadcastAction::InForce { mki } => {
                    let (msk_id, _) = mki.split_mbms().unwrap();
                    self.first_packet_under.entry(msk_id).or_insert(self.packets + 1);
                }
                BroadcastAction::MtkIdsLow { msk_id, .. } => {
                    let channel = self.channel.clone();
                    self.command(|server, now, random| {
                        server.mtk_ids_low(&channel, msk_id, now, random)
                    });
                }
                BroadcastAction::Silent { .. } => self.log.push("silent".to_owned()),
                other => panic!("{other:?}"),
            }
        }
    }

    /// An MSK message travels to its client, and the verification message back.
    fn deliver(&mut self, message: MskMessage) {
        let MskMessage { client, to, msk_id, purpose, counter, octets, .. } = message;
        let sent = Sent { client, msk_id, purpose, counter, octets };
        self.sent.push(sent.clone());
        let client = self.clients.get_mut(&sent.client).unwrap();
        if client.loses_msks {
            return;
        }
        let event = client.receiver.key_message(&sent.octets, self.now).unwrap();
        let Some(answer) = event.verification().filter(|_| !client.loses_answers) else { return };
        let from = match to {
            Route::Udp(address) => Sender::Address(address),
            Route::SdpOffer | Route::SdpAnswer => Sender::Client(&sent.client),
        };
        let actions = self.server.receive(answer, from, self.now).unwrap();
        self.carry_out(actions);
    }

    /// One media packet, if a traffic key is in force.
    pub(crate) fn send_media(&mut self) {
        if self.broadcaster.mki().is_none() {
            return;
        }
        self.packets += 1;
        let mut packet = rtp(self.packets);
        let before = self.broadcaster.mki().copied();
        self.broadcaster.protect_rtp(&mut packet, self.now).unwrap();
        let mki = self.broadcaster.mki().copied().filter(|mki| before != Some(*mki));
        if let Some((msk_id, _)) = mki.and_then(|mki| mki.split_mbms()) {
            self.first_packet_under.entry(msk_id).or_insert(self.packets);
        }
        self.multicast(&packet);
    }

    /// Every client on the group gets the datagram, whether it is a member or not.
    fn multicast(&mut self, datagram: &[u8]) {
        let (now, source) = (self.now, address(200));
        for client in self.clients.values_mut() {
            let (port, heard) = (client.port, &mut client.heard);
            let mut bytes = datagram.to_vec();
            let datagram = Datagram { port, source, truncated: false, bytes: &mut bytes };
            client.receiver.run_batch(&mut [datagram], now, &mut |event| note(&event, heard));
        }
    }

    pub(crate) fn tell_streams(&mut self) {
        let name = self.server.broadcasters(&self.channel).next().map(|(name, _)| name.clone());
        let streams = self.broadcaster.streams();
        self.server.set_streams(&self.channel, name.as_ref(), &streams).unwrap();
    }
}

pub(crate) fn note(event: &Event<'_>, heard: &mut Vec<u32>) {
    if let Event::Media(media) = event {
        heard.push(u32::from_be_bytes(media.payload.try_into().unwrap()));
    }
}
