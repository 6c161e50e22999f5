//! Verification messages: whose answer is it, and to which message?

use std::{net::SocketAddr, time::Instant};

use super::{Action, ClientId, KeyServer, roster::Client};
use crate::{broadcast::ChannelId, error::Reject, keys::issue::open_verification};

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

    /// Finds the message that a verification message answers, by checking its MAC against what is
    /// in flight to the sender: one message for each channel the sender is in.
    fn recognise(
        &self,
        message: &[u8],
        from: Sender<'_>,
    ) -> Result<(ClientId, ChannelId, u32), Reject> {
        let candidates: Vec<_> = match from {
            Sender::Client(client) => vec![client],
            Sender::Address(address) => self.roster.at(address).collect(),
        };
        let mut verdict = Reject::UnknownMuk;
        for id in candidates {
            let Some(client) = self.roster.get(id) else { continue };
            verdict = Reject::KeyReplayed;
            for (channel, rand) in self.awaited(id, client) {
                match open_verification(message, rand, &client.muk_id, &client.muk) {
                    Ok(counter) => return Ok((id.clone(), channel.clone(), counter)),
                    Err(reject @ Reject::KeyAuthFailed) => verdict = reject,
                    Err(reject) => return Err(reject),
                }
            }
        }
        Err(verdict)
    }

    /// The channels in which a message to this client awaits an answer, with its RAND.
    fn awaited<'a>(
        &'a self,
        id: &'a ClientId,
        client: &'a Client,
    ) -> impl Iterator<Item = (&'a ChannelId, &'a [u8])> {
        client.channels.iter().filter_map(move |channel| {
            let member = self.channels.get(channel)?.members.get(id)?;
            Some((channel, member.awaited_rand()?))
        })
    }
}
