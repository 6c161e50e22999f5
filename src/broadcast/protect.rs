//! Media and burst control protected under the MTK in force.

use std::{cmp::Reverse, time::Instant};

use super::Broadcaster;
use crate::{
    error::{Error, Reject},
    ids::{PacketIndex, Ssrc},
    keys::CryptoSession,
    srtp::ReplayWindow,
    wire::{
        burst::{BurstMessage, BurstPacket},
        rtcp,
        rtp::RtpView,
    },
};

/// One SSRC of the channel.
#[derive(Debug)]
pub(super) struct Stream {
    /// Which indexes have been used; `None` while there was RTCP only.
    pub(super) used: Option<ReplayWindow>,
    /// The next SRTCP index.
    pub(super) next_rtcp: u32,
    last_sent: Instant,
}

impl Stream {
    pub(super) const fn new(now: Instant) -> Self {
        Self { used: None, next_rtcp: 0, last_sent: now }
    }
}

impl Broadcaster {
    /// Protects an RTP packet in place under the MTK in force. The rollover counter runs on over
    /// key changes.
    ///
    /// # Errors
    /// No MTK is in force yet; or [`Error::Rejected`]: no RTP packet, one stream too many, or an
    /// index that was used before or lies too far back. The buffer is then empty or as it was: what
    /// is in it may not be sent.
    //= RFC 3711 §9.1: two packets under one key and index would share their key stream
    pub fn protect_rtp(
        &mut self,
        packet: &mut Vec<u8>,
        now: Instant,
    ) -> Result<PacketIndex, Error> {
        self.advance(now);
        let key = &self.in_force.as_ref().ok_or_else(nothing_in_force)?.announced.key;
        let ssrc = RtpView::parse(packet)?.ssrc();
        let full = self.streams.len() >= self.timing.max_streams;
        if full && !self.streams.contains_key(&ssrc) {
            return Err(Reject::StreamLimit.into());
        }
        let index = self.protector.protect_rtp(key, packet)?;
        let stream = self.streams.entry(ssrc).or_insert_with(|| Stream::new(now));
        match &mut stream.used {
            None => stream.used = Some(ReplayWindow::starting_at(index)),
            Some(used) => match used.check(index, ReplayWindow::CAPACITY) {
                Ok(fresh) => used.commit(fresh),
                Err(reject) => {
                    packet.clear();
                    return Err(reject.into());
                }
            },
        }
        stream.last_sent = now;
        Ok(index)
    }

    /// Protects an RTCP packet in place under the MTK in force. The SRTCP index runs on over key
    /// changes.
    ///
    /// # Errors
    /// No MTK is in force yet; or [`Error::Rejected`]: no RTCP packet, one stream too many, or no
    /// index left.
    pub fn protect_rtcp(
        &mut self,
        packet: &mut Vec<u8>,
        now: Instant,
    ) -> Result<PacketIndex, Error> {
        self.advance(now);
        let key = &self.in_force.as_ref().ok_or_else(nothing_in_force)?.announced.key;
        let ssrc = rtcp::sender_ssrc(packet)?;
        let full = self.streams.len() >= self.timing.max_streams;
        if full && !self.streams.contains_key(&ssrc) {
            return Err(Reject::StreamLimit.into());
        }
        let index = self.protector.protect_rtcp(key, packet)?;
        let stream = self.streams.entry(ssrc).or_insert_with(|| Stream::new(now));
        stream.next_rtcp = stream.next_rtcp.saturating_add(1);
        Ok(index)
    }

    /// A protected burst-control message, for example Taken or Idle, from the server with this
    /// SSRC.
    ///
    /// ```no_run
    /// # use std::time::Instant;
    /// # use mcast_srtp::{broadcast::Broadcaster, ids::Ssrc, wire::burst::{BurstMessage, Taken}};
    /// # fn talk(broadcaster: &mut Broadcaster, now: Instant) -> Result<(), mcast_srtp::Error> {
    /// let taken = BurstMessage::Taken(Taken {
    ///     talker: Ssrc(0xcafe),
    ///     cname: "sip:alice@example.com".into(),
    ///     name: None,
    ///     participants: None,
    ///     ack_expected: false,
    /// });
    /// let datagram = broadcaster.burst(Ssrc(0x5e), taken, now)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Broadcaster::protect_rtcp`]; or a message that only a client sends, or that would make
    /// every client of the group answer.
    pub fn burst(
        &mut self,
        server: Ssrc,
        message: BurstMessage<'_>,
        now: Instant,
    ) -> Result<Vec<u8>, Error> {
        if message.is_client_only() {
            return Err(Error::invalid("only a client sends this burst-control message"));
        }
        if matches!(message, BurstMessage::Taken(taken) if taken.ack_expected) {
            return Err(Error::invalid("a Taken to a group must not ask for acknowledgements"));
        }
        let mut datagram = vec![0; BurstPacket::MAX_LEN];
        let len = BurstPacket::new(server, message).write(&mut datagram)?;
        datagram.truncate(len);
        self.protect_rtcp(&mut datagram, now)?;
        Ok(datagram)
    }

    /// The RTP streams with their rollover counters, the most recently heard first: for
    /// [`KeyServer::set_streams`](crate::keyserver::KeyServer::set_streams).
    #[must_use]
    pub fn streams(&self) -> Vec<CryptoSession> {
        let mut streams: Vec<_> = self
            .streams
            .iter()
            .filter_map(|(ssrc, stream)| {
                let roc = stream.used?.highest().roc();
                Some((Reverse(stream.last_sent), CryptoSession { policy: 0, ssrc: *ssrc, roc }))
            })
            .collect();
        streams.sort_by_key(|(last_sent, session)| (*last_sent, session.ssrc));
        streams.into_iter().map(|(_, session)| session).collect()
    }
}

fn nothing_in_force() -> Error {
    Error::invalid(
        "no traffic key is in force; follow a document of the channel, and wait for the lead",
    )
}
