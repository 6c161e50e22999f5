//! Verification messages: whose answer is it, and to which message?

use std::{net::SocketAddr, time::Instant};

use super::{Action, ClientId, KeyServer, roster::Client};
use crate::{
    broadcast::ChannelId, error::Reject, keys::issue::open_verification, wire::mikey::Message,
};

/// Where a verification message comes from.
#[derive(Clone, Copy, Debug)]
pub enum Sender<'a> {
    /// From this address, over UDP.
    Address(SocketAddr),
    /// From this client, in its SDP answer.
    Client(&'a ClientId),
}

impl KeyServer {
    /// A verification message has come in.
    ///
    /// # Errors
    /// The verdict; nothing has changed then.
    pub fn receive(
        &mut self,
        message: &[u8],
        from: Sender<'_>,
        now: Instant,
    ) -> Result<Vec<Action>, Reject> {
        let (client, channel, counter) = self.recognise(message, from)?;
        let (channel, mut desk) = self.at_desk(&channel, now).map_err(|_| Reject::KeyReplayed)?;
        if channel.confirm(&client, counter, &mut desk) {
            Ok(desk.actions)
        } else {
            Err(Reject::KeyReplayed)
        }
    }

    /// Finds the message that a verification message answers. The counter it repeats picks the
    /// message, so that as a rule one MAC is computed, and none for a counter nobody waits for.
    fn recognise(
        &self,
        message: &[u8],
        from: Sender<'_>,
    ) -> Result<(ClientId, ChannelId, u32), Reject> {
        let view = Message::parse(message)?;
        let counter = view.timestamp().and_then(|t| t.counter()).ok_or(Reject::MikeyMalformed)?;
        let idr = view.first_id().map(|idr| idr.data);
        let mut verdict = Reject::UnknownMuk;
        for id in self.candidates(from, idr) {
            let Some(client) = self.roster.get(id) else { continue };
            if verdict == Reject::UnknownMuk {
                verdict = Reject::KeyReplayed;
            }
            for (channel, rand) in self.awaited(id, client, counter) {
                match open_verification(message, rand, &client.muk_id, &client.muk) {
                    Ok(counter) => return Ok((id.clone(), channel.clone(), counter)),
                    Err(reject) => verdict = reject,
                }
            }
        }
        Err(verdict)
    }

    /// Who may have sent it: the client the SIP session belongs to, else who is named in the
    /// message, else who is reached at the address. The MAC decides.
    fn candidates<'a>(&'a self, from: Sender<'a>, idr: Option<&[u8]>) -> Vec<&'a ClientId> {
        match (from, idr) {
            (Sender::Client(client), _) => vec![client],
            (Sender::Address(_), Some(idr)) => {
                let idr = str::from_utf8(idr).unwrap_or_default();
                self.roster.named(idr).collect()
            }
            (Sender::Address(address), None) => self.roster.at(address).collect(),
        }
    }

    /// The channels in which a message with this counter awaits an answer, with its RAND.
    fn awaited<'a>(
        &'a self,
        id: &'a ClientId,
        client: &'a Client,
        counter: u32,
    ) -> impl Iterator<Item = (&'a ChannelId, &'a [u8])> {
        client.channels.iter().filter_map(move |channel| {
            let member = self.channels.get(channel)?.members.get(id)?;
            Some((channel, member.awaited_rand(counter)?))
        })
    }
}
