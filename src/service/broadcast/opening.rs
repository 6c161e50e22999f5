//! Channels put on the air and taken off it: sockets opened, keys found in the journal.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Instant,
};

use super::{
    BroadcastChannel,
    channel::{Place, key_places, places},
    check::Check,
    counters::Counted,
    on_air::OnAir,
    outbox::Way,
    thread::{Thread, UdpInput},
};
use crate::{
    broadcast::Broadcaster, error::Error, group::MediaSpec, net::bind_unicast, srtp::PacketKind,
};

impl Thread {
    pub(super) fn open(
        &mut self,
        channel: Box<BroadcastChannel>,
        counted: Arc<Counted>,
        now: Instant,
    ) -> Result<u64, Error> {
        let BroadcastChannel { id, group, inputs, send } = *channel;
        if self.numbers.contains_key(&id) {
            return Err(Error::invalid(format!("channel {id} is open already")));
        }
        let number = self.next_number;
        let mut taken = Vec::new();
        let sockets =
            inputs.iter().map(|input| self.listen(input.listen)).collect::<Result<Vec<_>, _>>()?;
        let out = &mut self.out;
        let placed = places(&group, |address| {
            let (is_ipv4, interface) = (address.is_ipv4(), group.interface.clone());
            let outbox = out.take(Way { is_ipv4, interface, options: send }, address)?;
            taken.push(outbox);
            Ok(outbox)
        });
        let opened = placed.and_then(|places| {
            let mut inputs = inputs.iter().zip(sockets);
            inputs.try_for_each(|(input, socket)| self.add_input(socket, number, input.medium))?;
            Ok(places)
        });
        let places = match opened {
            Ok(places) => places,
            Err(error) => {
                taken.into_iter().for_each(|outbox| self.out.release(outbox));
                self.drop_inputs(number);
                return Err(error);
            }
        };
        let keys = key_places(&group, &places);
        let check = |(place, medium): (Place, &MediaSpec)| {
            (place, Check::of(medium, place.of(PacketKind::Rtcp).is_some()))
        };
        let restored = self.at_rest.remove(&id);
        let broadcaster = restored.unwrap_or_else(|| Broadcaster::new(&id, self.settings.timing));
        let on_air = OnAir {
            number,
            id: id.clone(),
            changed: broadcaster.is_unstored(),
            broadcaster,
            media: places.into_iter().zip(&group.media).map(check).collect(),
            keys,
            counted,
            scheduled: None,
            answers: Vec::new(),
            late_since: None,
            heard: now,
            silence_after: self.settings.silence_after,
            silent: false,
            sent_since: 0,
        };
        self.next_number += 1;
        self.numbers.insert(id, number);
        self.channels.insert(number, on_air);
        self.reschedule(number);
        self.note_news(number);
        Ok(number)
    }

    fn listen(&self, address: SocketAddr) -> Result<UdpSocket, Error> {
        let failed = |error| Error::io(format!("cannot take packets at {address}"), error);
        let socket = bind_unicast(address).map_err(failed)?;
        socket2::SockRef::from(&socket)
            .set_recv_buffer_size(self.settings.input_buffer)
            .map_err(failed)?;
        Ok(socket)
    }

    fn add_input(&mut self, socket: UdpSocket, channel: u64, medium: usize) -> Result<(), Error> {
        let free = self.inputs.iter().position(Option::is_none);
        let token = free.unwrap_or(self.inputs.len());
        self.poller
            .add(&socket, token)
            .map_err(|error| Error::io("cannot wait for packets of an input", error))?;
        let input = Some(UdpInput { socket, channel, medium });
        match self.inputs.get_mut(token) {
            Some(place) => *place = input,
            None => self.inputs.push(input),
        }
        Ok(())
    }

    fn drop_inputs(&mut self, channel: u64) {
        for place in &mut self.inputs {
            if place.as_ref().is_some_and(|input| input.channel == channel) {
                *place = None; // which removes it from the poller
            }
        }
    }

    /// Whoever waits for a document of the channel is not answered any more.
    pub(super) fn close(&mut self, number: u64) {
        let Some(mut channel) = self.channels.remove(&number) else { return };
        self.agenda.set(number, &mut channel.scheduled, None);
        self.numbers.remove(&channel.id);
        self.drop_inputs(number);
        channel.media.iter().for_each(|(place, _)| self.out.release(place.outbox));
        self.journal.records.extend(channel.broadcaster.take_changes());
        self.at_rest.insert(channel.id, channel.broadcaster);
    }
}
