//! What a lane delivers, all of it borrowed from the batch: copy what you keep.

use std::{net::SocketAddr, time::Instant};

use crate::{
    error::Reject,
    ids::{GroupId, PacketIndex, Ssrc},
    keys::KeyEvent,
    srtp::SessionId,
    wire::{
        burst::{BurstEvent, BurstPacket},
        rtcp::RtcpPacket,
        rtp::RtpView,
    },
};

/// Something that arrived, authentic but for [`Media::authenticated`].
#[non_exhaustive]
#[derive(Debug)]
pub enum Event<'a> {
    /// A media packet, decrypted.
    Media(Media<'a>),
    /// A burst-control message.
    Burst(Burst<'a>),
    /// Any other RTCP packet of a compound.
    Rtcp(Rtcp<'a>),
    /// A key message was accepted.
    Key(&'a KeyEvent),
}

/// One media packet.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Media<'a> {
    /// Its talk group.
    pub group: GroupId,
    /// Its stream.
    pub ssrc: Ssrc,
    /// Its place in the stream, rollover counter included.
    pub index: PacketIndex,
    /// Payload without RTP padding.
    pub payload: &'a [u8],
    /// The whole plain RTP packet: header fields, extension.
    pub rtp: RtpView<'a>,
    /// The same as octets, for forwarding.
    pub packet: &'a [u8],
    /// Who sent it.
    pub source: SocketAddr,
    /// Whether anything proves it, as it does unless the policy has an RCC mode that leaves packets
    /// without a tag: see [`Opened::authenticated`](crate::srtp::Opened::authenticated).
    pub authenticated: bool,
}

/// One burst-control message.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Burst<'a> {
    /// Its talk group.
    pub group: GroupId,
    /// SSRC of its sender: the PoC server's, not the talker's.
    pub ssrc: Ssrc,
    /// What it says.
    pub event: BurstEvent<'a>,
    /// The message as it came, with what a later version of the protocol may have added.
    pub message: BurstPacket<'a>,
    /// Who sent it.
    pub source: SocketAddr,
}

/// One RTCP packet that is no burst control.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Rtcp<'a> {
    /// Its talk group.
    pub group: GroupId,
    /// Type, count and body; [`RtcpPacket::view`] reads the fields.
    pub packet: RtcpPacket<'a>,
    /// Who sent it.
    pub source: SocketAddr,
}

/// A MIKEY message found among the datagrams of a group. Not authenticated.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct KeyMessage<'a> {
    /// The group on whose address it arrived.
    pub group: GroupId,
    /// The message.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub source: SocketAddr,
}

/// Where a lane delivers. Called on the lane's thread: it must not block.
pub trait Sink {
    /// Takes something that arrived.
    fn event(&mut self, event: Event<'_>);

    /// Takes a key message for the key plane.
    ///
    /// # Errors
    /// The reason to count it under, for example [`Reject::MikeyQueueFull`].
    fn key_message(&mut self, message: KeyMessage<'_>) -> Result<(), Reject>;

    /// May look where the RTP streams are, each by its newest authenticated index, with every tick of
    /// the lane. Taking an item walks on in a table, so it is not for every time.
    fn streams(
        &mut self,
        _now: Instant,
        _newest: &mut dyn Iterator<Item = (SessionId, Ssrc, PacketIndex)>,
    ) {
    }
}
