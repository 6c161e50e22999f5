//! Media and burst control protected under the MTK in force.

use std::{cmp::Reverse, collections::HashMap, time::Instant};

use arrayvec::ArrayVec;

use super::{Broadcaster, records::Changed};
use crate::{
    error::{Error, Reject},
    ids::{PacketIndex, Ssrc},
    keys::CryptoSession,
    srtp::{MAX_BATCH, Outgoing, PacketKind, Protector, ReplayWindow},
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
    /// When the last packet of either kind came.
    last_heard: Instant,
    /// The MTK in force then, counted from 1; 0: one of before a restart.
    under: u64,
    /// The highest index that its record has, if there is a record.
    pub(super) kept_rtp: Option<PacketIndex>,
    /// The SRTCP index that its record has; 0 if there is none.
    pub(super) kept_rtcp: u32,
}

impl Stream {
    pub(super) const fn new(now: Instant, next_rtcp: u32) -> Self {
        Self {
            used: None,
            next_rtcp,
            last_sent: now,
            last_heard: now,
            under: 0,
            kept_rtp: None,
            kept_rtcp: 0,
        }
    }

    /// Takes note of an index that has been used.
    //= RFC 3711 §9.1: two packets under one key and index would share their key stream
    fn note(
        &mut self,
        kind: PacketKind,
        index: PacketIndex,
        now: Instant,
    ) -> Result<PacketIndex, Reject> {
        match (kind, &mut self.used) {
            (PacketKind::Rtcp, _) => self.next_rtcp = self.next_rtcp.saturating_add(1),
            (PacketKind::Rtp, used @ None) => *used = Some(ReplayWindow::starting_at(index)),
            (PacketKind::Rtp, Some(used)) => {
                let fresh = used.check(index, ReplayWindow::CAPACITY)?;
                used.commit(fresh);
            }
        }
        if kind == PacketKind::Rtp {
            self.last_sent = now;
        }
        Ok(index)
    }
}

/// One plain packet to protect.
#[derive(Debug)]
pub struct Plain<'a> {
    /// Which half of the crypto session it belongs to.
    pub kind: PacketKind,
    /// The packet; it grows by tag, MKI, and for RTCP the index.
    pub bytes: &'a mut Vec<u8>,
}

/// A packet whose stream has state.
struct Admitted<'a> {
    ssrc: Ssrc,
    verdict: &'a mut Result<PacketIndex, Reject>,
}

/// Who admits packets to streams.
struct Gate<'a> {
    streams: &'a mut HashMap<Ssrc, Stream>,
    limit: usize,
    /// The MTK in force, counted from 1.
    mtk: u64,
    /// The MTK under which there was no stream to drop.
    full_under: &'a mut u64,
    dropped: &'a mut u64,
    /// The SRTCP index that new streams begin with.
    first_rtcp: &'a mut u32,
    protector: &'a mut Protector,
    changed: &'a mut Changed,
}

impl Gate<'_> {
    /// The stream of a packet, which has state from now on.
    fn admit(&mut self, kind: PacketKind, packet: &[u8], now: Instant) -> Result<Ssrc, Reject> {
        let ssrc = match kind {
            PacketKind::Rtp => RtpView::parse(packet)?.ssrc(),
            PacketKind::Rtcp => rtcp::sender_ssrc(packet)?,
        };
        if !self.streams.contains_key(&ssrc) {
            if self.streams.len() >= self.limit {
                self.make_room()?;
            }
            self.streams.insert(ssrc, Stream::new(now, *self.first_rtcp));
            self.protector.resume_rtcp(ssrc, *self.first_rtcp);
        }
        if let Some(stream) = self.streams.get_mut(&ssrc) {
            (stream.last_heard, stream.under) = (now, self.mtk);
        }
        Ok(ssrc)
    }

    /// Drops the stream that has been quiet for longest, of those without a packet under the MTK in
    /// force: if it comes back its RTP indexes begin again, and none comes twice under one key. Its SRTCP
    /// indexes go on, since receivers would refuse the old ones.
    fn make_room(&mut self) -> Result<(), Reject> {
        // Once there is none, there is none until the next MTK.
        if *self.full_under == self.mtk {
            return Err(Reject::StreamLimit);
        }
        let former = self.streams.iter().filter(|(_, stream)| stream.under != self.mtk);
        let quiet = former.min_by_key(|(ssrc, stream)| (stream.last_heard, **ssrc));
        let Some(ssrc) = quiet.map(|(ssrc, _)| *ssrc) else {
            *self.full_under = self.mtk;
            return Err(Reject::StreamLimit);
        };
        if let Some(quiet) = self.streams.remove(&ssrc)
            && quiet.next_rtcp > *self.first_rtcp
        {
            *self.first_rtcp = quiet.next_rtcp;
            self.changed.followed();
        }
        self.protector.forget(ssrc);
        self.changed.stream(ssrc);
        *self.dropped += 1;
        Ok(())
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
    pub fn protect_rtp(
        &mut self,
        packet: &mut Vec<u8>,
        now: Instant,
    ) -> Result<PacketIndex, Error> {
        self.protect_one(Plain { kind: PacketKind::Rtp, bytes: packet }, now)
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
        self.protect_one(Plain { kind: PacketKind::Rtcp, bytes: packet }, now)
    }

    /// Protects packets in place, as [`Self::protect_rtp`] and [`Self::protect_rtcp`] would one
    /// after the other, in less time. `verdicts[i]` is the index of `batch[i]`, or why it has none:
    /// then its buffer is empty or as it was, and may not be sent. Packets beyond the length of
    /// `verdicts` are not looked at.
    ///
    /// # Errors
    /// No MTK is in force yet; nothing has changed then.
    pub fn protect_batch(
        &mut self,
        batch: &mut [Plain<'_>],
        verdicts: &mut [Result<PacketIndex, Reject>],
        now: Instant,
    ) -> Result<(), Error> {
        self.advance(now);
        let in_force = self.in_force.as_ref().ok_or_else(nothing_in_force)?;
        let (key, mtk) = (&in_force.announced.key, self.mtks);
        for (packets, verdicts) in batch.chunks_mut(MAX_BATCH).zip(verdicts.chunks_mut(MAX_BATCH)) {
            let mut admitted = ArrayVec::<Admitted<'_>, MAX_BATCH>::new();
            let mut outgoing = ArrayVec::<Outgoing<'_>, MAX_BATCH>::new();
            let mut gate = Gate {
                streams: &mut self.streams,
                limit: self.timing.max_streams,
                mtk,
                full_under: &mut self.full_under,
                dropped: &mut self.streams_dropped,
                first_rtcp: &mut self.first_rtcp,
                protector: &mut self.protector,
                changed: &mut self.changed,
            };
            for (packet, verdict) in packets.iter_mut().zip(verdicts) {
                match gate.admit(packet.kind, packet.bytes, now) {
                    Ok(ssrc) => {
                        outgoing.push(Outgoing { kind: packet.kind, key, bytes: packet.bytes });
                        admitted.push(Admitted { ssrc, verdict });
                    }
                    Err(reject) => *verdict = Err(reject),
                }
            }
            let mut indexes = [Err(Reject::Unsupported); MAX_BATCH];
            self.protector.protect_batch(&mut outgoing, &mut indexes);
            for ((Admitted { ssrc, verdict }, packet), index) in
                admitted.into_iter().zip(outgoing).zip(indexes)
            {
                let noted = self.streams.get_mut(&ssrc).map(|stream| {
                    let noted = index.and_then(|index| stream.note(packet.kind, index, now));
                    if stream.has_moved() {
                        self.changed.stream(ssrc);
                    }
                    noted
                });
                *verdict = noted.unwrap_or(Err(Reject::StreamLimit));
                if verdict.is_err() && index.is_ok() {
                    packet.bytes.clear();
                }
            }
        }
        Ok(())
    }

    fn protect_one(&mut self, packet: Plain<'_>, now: Instant) -> Result<PacketIndex, Error> {
        let mut verdict = [Err(Reject::Unsupported)];
        self.protect_batch(&mut [packet], &mut verdict, now)?;
        Ok(verdict[0]?)
    }

    /// Streams that were dropped because there were [too many](super::BroadcastTiming::max_streams).
    #[must_use]
    pub const fn streams_dropped(&self) -> u64 {
        self.streams_dropped
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

    /// The highest index used of each RTP stream.
    pub fn highest_indexes(&self) -> impl Iterator<Item = (Ssrc, PacketIndex)> + '_ {
        self.streams.iter().filter_map(|(ssrc, stream)| Some((*ssrc, stream.used?.highest())))
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
