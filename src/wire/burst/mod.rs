//! Burst control (TBCP): who may talk, as RTCP APP packets named `PoC1` (OMA PoC User Plane).
//!
//! Lanes hand authenticated and decrypted RTCP to [`bursts`]; a server builds a [`BurstPacket`] and
//! writes it. Views borrow, nothing is allocated. Items of later versions (MBCP) do not disturb: they
//! stay readable in [`BurstPacket::trailing`]. Unknown reason codes pass through as numbers.

mod code;
mod event;
mod item;
mod message;

pub use code::{
    AckReason, DenyReason, Participants, Priority, QueuePosition, RevokeReason, SessionType,
    StopTalking, Subtype,
};
pub use event::BurstEvent;
pub use item::{Item, Trailing};
pub use message::{
    Acknowledgement, Connect, Deny, Granted, QueueStatus, Release, Request, Revoke, Taken,
};

use item::Items;

use super::{
    rtcp::{APP, App, Compound, RtcpView, RtcpWriter},
    writer::Writer,
};
use crate::{Error, Reject, ids::Ssrc};

/// Name of the APP packets.
pub const NAME: [u8; 4] = *b"PoC1";

/// The burst-control messages of one datagram. Other packets in it are passed over.
///
/// ```
/// use mcast_srtp::wire::burst::{BurstMessage, bursts};
/// use mcast_srtp::wire::rtcp::Compound;
///
/// let datagram = [0x85, 204, 0, 2, 0x11, 0x22, 0x33, 0x44, b'P', b'o', b'C', b'1'];
/// let burst = bursts(Compound::parse(&datagram)?).next().unwrap()?;
/// assert_eq!(burst.message, BurstMessage::Idle);
/// # Ok::<(), mcast_srtp::Reject>(())
/// ```
pub fn bursts(
    compound: Compound<'_>,
) -> impl Iterator<Item = Result<BurstPacket<'_>, Reject>> + use<'_> {
    let apps = compound.packets().filter(|packet| packet.packet_type() == APP);
    apps.filter_map(|packet| match packet.view() {
        Ok(RtcpView::App(app)) if app.name == NAME => Some(BurstPacket::parse(&app)),
        Ok(_) => None,
        Err(reject) => Some(Err(reject)),
    })
}

/// One burst-control message with its sender.
#[derive(Clone, Copy, Debug)]
pub struct BurstPacket<'a> {
    /// Who sent the message: the server, or a client.
    pub sender: Ssrc,
    /// What it says.
    pub message: BurstMessage<'a>,
    /// What follows and is not understood.
    pub trailing: Trailing<'a>,
}

impl<'a> BurstPacket<'a> {
    /// Longest packet, apart from trailing items: a buffer of this size is always enough.
    pub const MAX_LEN: usize = (12 + Connect::MAX_LEN).next_multiple_of(4);

    /// A message with nothing behind it.
    #[must_use]
    pub const fn new(sender: Ssrc, message: BurstMessage<'a>) -> Self {
        Self { sender, message, trailing: Trailing::NONE }
    }

    /// Reads a message from an authenticated APP packet.
    ///
    /// # Errors
    /// [`Reject::UnknownBurst`] if the name or the subtype is not of burst control,
    /// [`Reject::BadBurst`] if the fields do not fit.
    pub fn parse(app: &App<'a>) -> Result<Self, Reject> {
        if app.name != NAME {
            return Err(Reject::UnknownBurst);
        }
        let (message, end) = BurstMessage::parse(Subtype(app.subtype), app.data)?;
        let trailing = Trailing::new(Items::new(app.data, end), message.items());
        Ok(Self { sender: app.ssrc, message, trailing })
    }

    /// Writes the packet to the start of `out`, and returns its length.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a field is out of its range, a text has over 255 octets, or `out` is too
    /// small.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Error> {
        let mut writer = RtcpWriter::new(out);
        self.append_to(&mut writer)?;
        Ok(writer.len())
    }

    /// Appends the packet to a datagram.
    ///
    /// # Errors
    /// As [`BurstPacket::write`]; the datagram is then as it was.
    pub fn append_to(&self, writer: &mut RtcpWriter<'_>) -> Result<(), Error> {
        let Subtype(subtype) = self.message.subtype();
        writer.app_with(subtype, self.sender, NAME, |data| {
            let start = data.len();
            self.message.write(data)?;
            // Trailing items may come from another kind of message; a field must not appear twice.
            let known = self.message.items();
            let items = self.trailing.items().filter(|item| !known.contains(&item.code));
            let mut items = items.peekable();
            if items.peek().is_some() {
                data.align(start)?;
            }
            items.try_for_each(|item| item::put(data, item.code, item.value))
        })
    }
}

/// What a burst-control message says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BurstMessage<'a> {
    /// Talk Burst Request: a client asks to talk.
    Request(Request),
    /// Talk Burst Granted: the addressed client may talk.
    Granted(Granted),
    /// Talk Burst Taken: somebody talks.
    Taken(Taken<'a>),
    /// Talk Burst Deny: the addressed client may not talk.
    Deny(Deny<'a>),
    /// Talk Burst Release: a client has stopped talking.
    Release(Release),
    /// Talk Burst Idle: nobody talks.
    Idle,
    /// Talk Burst Revoke: the addressed client has to stop talking.
    Revoke(Revoke),
    /// Talk Burst Acknowledgement: a client confirms a message.
    Acknowledgement(Acknowledgement),
    /// Queue Status Request: a client asks where its request stands.
    QueueStatusRequest,
    /// Queue Status Response: where a request stands.
    QueueStatusResponse(QueueStatus),
    /// Disconnect: the session is over.
    Disconnect,
    /// Connect: an invitation through a session that is already set up.
    Connect(Connect<'a>),
}

impl<'a> BurstMessage<'a> {
    /// The number of the message.
    #[must_use]
    pub const fn subtype(&self) -> Subtype {
        match self {
            Self::Request(_) => Subtype::REQUEST,
            Self::Granted(_) => Subtype::GRANTED,
            Self::Taken(taken) if taken.ack_expected => Subtype::TAKEN_ACK,
            Self::Taken(_) => Subtype::TAKEN,
            Self::Deny(_) => Subtype::DENY,
            Self::Release(_) => Subtype::RELEASE,
            Self::Idle => Subtype::IDLE,
            Self::Revoke(_) => Subtype::REVOKE,
            Self::Acknowledgement(_) => Subtype::ACKNOWLEDGEMENT,
            Self::QueueStatusRequest => Subtype::QUEUE_STATUS_REQUEST,
            Self::QueueStatusResponse(_) => Subtype::QUEUE_STATUS_RESPONSE,
            Self::Disconnect => Subtype::DISCONNECT,
            Self::Connect(_) => Subtype::CONNECT,
        }
    }

    /// Whether only a client sends such a message, so that it cannot come from a multicast group.
    #[must_use]
    pub const fn is_client_only(&self) -> bool {
        self.subtype().is_client_only()
    }

    /// The message, and where the items that follow its fields may start.
    fn parse(subtype: Subtype, data: &'a [u8]) -> Result<(Self, usize), Reject> {
        fn map<T, U>((parsed, end): (T, usize), wrap: impl Fn(T) -> U) -> (U, usize) {
            (wrap(parsed), end)
        }
        Ok(match subtype {
            Subtype::REQUEST => map(Request::parse(data)?, Self::Request),
            Subtype::GRANTED => map(Granted::parse(data)?, Self::Granted),
            Subtype::TAKEN => map(Taken::parse(data, false)?, Self::Taken),
            Subtype::TAKEN_ACK => map(Taken::parse(data, true)?, Self::Taken),
            Subtype::DENY => map(Deny::parse(data)?, Self::Deny),
            Subtype::RELEASE => map(Release::parse(data)?, Self::Release),
            Subtype::IDLE => (Self::Idle, 0),
            Subtype::REVOKE => map(Revoke::parse(data)?, Self::Revoke),
            Subtype::ACKNOWLEDGEMENT => map(Acknowledgement::parse(data)?, Self::Acknowledgement),
            Subtype::QUEUE_STATUS_REQUEST => (Self::QueueStatusRequest, 0),
            Subtype::QUEUE_STATUS_RESPONSE => {
                map(QueueStatus::parse(data)?, Self::QueueStatusResponse)
            }
            Subtype::DISCONNECT => (Self::Disconnect, 0),
            Subtype::CONNECT => map(Connect::parse(data)?, Self::Connect),
            _ => return Err(Reject::UnknownBurst),
        })
    }

    fn write(&self, data: &mut Writer<'_>) -> Result<(), Error> {
        match self {
            Self::Request(request) => request.write(data),
            Self::Granted(granted) => granted.write(data),
            Self::Taken(taken) => taken.write(data),
            Self::Deny(deny) => deny.write(data),
            Self::Release(release) => release.write(data),
            Self::Revoke(revoke) => revoke.write(data),
            Self::Acknowledgement(acknowledgement) => acknowledgement.write(data),
            Self::QueueStatusResponse(status) => status.write(data),
            Self::Connect(connect) => connect.write(data),
            Self::Idle | Self::QueueStatusRequest | Self::Disconnect => Ok(()),
        }
    }

    /// Codes of the items that are fields of this message.
    const fn items(&self) -> &'static [u8] {
        match self {
            Self::Request(_) => Request::ITEMS,
            Self::Granted(_) => Granted::ITEMS,
            Self::Taken(_) => Taken::ITEMS,
            _ => &[],
        }
    }
}
