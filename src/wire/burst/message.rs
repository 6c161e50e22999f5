//! The data of each message: what it says, how it is read, how it is written.
//!
//! Offsets count from the first octet after the name, which is where `data` starts. Each `parse` also
//! returns where the items that follow may start.

use std::time::Duration;

use super::{
    AckReason, DenyReason, Participants, Priority, QueuePosition, RevokeReason, SessionType,
    StopTalking, Subtype,
    item::{self, Items},
};
use crate::{
    Error, Reject,
    ids::{Seq, Ssrc},
    wire::{
        Text,
        rtcp::{NtpTime, SdesItem, put_item, put_text},
        writer::Writer,
    },
};

/// A client asks to talk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Request {
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// When the user asked.
    pub time_stamp: Option<NtpTime>,
}

impl Request {
    pub(super) const ITEMS: &'static [u8] = &[item::PRIORITY, item::TIME_STAMP];

    pub(super) fn parse(data: &[u8]) -> Result<(Self, usize), Reject> {
        let items = Items::new(data, 0);
        let priority = items.value(item::PRIORITY)?.map(u16::from_be_bytes).map(Priority);
        let time_stamp = items.value(item::TIME_STAMP)?.map(u64::from_be_bytes).map(NtpTime);
        Ok((Self { priority, time_stamp }, 0))
    }

    pub(super) fn write(&self, out: &mut Writer<'_>) -> Result<(), Error> {
        if let Some(Priority(priority)) = self.priority {
            item::put(out, item::PRIORITY, &priority.to_be_bytes())?;
        }
        if let Some(NtpTime(time)) = self.time_stamp {
            item::put(out, item::TIME_STAMP, &time.to_be_bytes())?;
        }
        Ok(())
    }
}

/// The addressed client may talk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Granted {
    /// For how long.
    pub stop_talking: StopTalking,
    /// How many participants the session has.
    pub participants: Option<Participants>,
}

impl Granted {
    pub(super) const ITEMS: &'static [u8] = &[item::STOP_TALKING, item::PARTICIPANTS];

    pub(super) fn parse(data: &[u8]) -> Result<(Self, usize), Reject> {
        let items = Items::new(data, 0);
        let stop_talking = items.value(item::STOP_TALKING)?.ok_or(Reject::BadBurst)?;
        let stop_talking = StopTalking(u16::from_be_bytes(stop_talking));
        Ok((Self { stop_talking, participants: read_participants(items)? }, 0))
    }

    pub(super) fn write(&self, out: &mut Writer<'_>) -> Result<(), Error> {
        item::put(out, item::STOP_TALKING, &self.stop_talking.0.to_be_bytes())?;
        write_participants(out, self.participants)
    }
}

/// Somebody talks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Taken<'a> {
    /// SSRC of the talker's RTP stream; the SSRC of the message is the server's.
    pub talker: Ssrc,
    /// SIP URI of the talker. Opaque: an anonymous talker has one that says so.
    pub cname: Text<'a>,
    /// Nick name of the talker.
    pub name: Option<Text<'a>>,
    /// How many participants the session has.
    pub participants: Option<Participants>,
    /// Whether the addressed client shall acknowledge. Nobody does so over multicast.
    pub ack_expected: bool,
}

impl<'a> Taken<'a> {
    pub(super) const ITEMS: &'static [u8] = &[item::PARTICIPANTS];

    pub(super) fn parse(data: &'a [u8], ack_expected: bool) -> Result<(Self, usize), Reject> {
        let (talker, rest) = data.split_first_chunk().ok_or(Reject::BadBurst)?;
        let (cname, rest) = split_text(rest, |kind| kind == SdesItem::CNAME)?;
        let (name, rest) = if rest.first() == Some(&SdesItem::NAME) {
            let (name, rest) = split_text(rest, |_| true)?;
            (Some(name), rest)
        } else {
            (None, rest)
        };
        let at = data.len() - rest.len();
        let participants = read_participants(Items::new(data, at))?;
        let talker = Ssrc(u32::from_be_bytes(*talker));
        Ok((Self { talker, cname, name, participants, ack_expected }, at))
    }

    pub(super) fn write(&self, out: &mut Writer<'_>) -> Result<(), Error> {
        let start = out.len();
        out.put(&self.talker.0.to_be_bytes())?;
        put_item(out, SdesItem { kind: SdesItem::CNAME, text: self.cname })?;
        if let Some(text) = self.name {
            put_item(out, SdesItem { kind: SdesItem::NAME, text })?;
        }
        // Also after a lone CNAME, as after a NAME. Some readers expect no padding there and miss the
        // participants (Wireshark 4.0 does); `parse` accepts both.
        out.align(start)?;
        write_participants(out, self.participants)
    }
}

/// The addressed client may not talk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Deny<'a> {
    /// Why.
    pub reason: DenyReason,
    /// Why, for a person; often empty.
    pub phrase: Text<'a>,
}

impl<'a> Deny<'a> {
    pub(super) fn parse(data: &'a [u8]) -> Result<(Self, usize), Reject> {
        let &[reason, len, ref rest @ ..] = data else { return Err(Reject::BadBurst) };
        let phrase = rest.get(..usize::from(len)).ok_or(Reject::BadBurst)?;
        let deny = Self { reason: DenyReason(reason), phrase: Text::new(phrase) };
        Ok((deny, 2 + phrase.len()))
    }

    pub(super) fn write(&self, out: &mut Writer<'_>) -> Result<(), Error> {
        out.put(&[self.reason.0])?;
        put_text(out, self.phrase)
    }
}

/// A client has stopped talking.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Release {
    /// Sequence number of the last RTP packet of the burst; `None` if the client sent none.
    pub last_seq: Option<Seq>,
}

impl Release {
    /// The other bits of the word are reserved.
    const IGNORE_SEQ: u16 = 0x8000;

    pub(super) fn parse(data: &[u8]) -> Result<(Self, usize), Reject> {
        let (seq, flags) = split_halves(data)?;
        let last_seq = if flags & Self::IGNORE_SEQ == 0 { Some(Seq(seq)) } else { None };
        Ok((Self { last_seq }, 4))
    }

    pub(super) fn write(&self, out: &mut Writer<'_>) -> Result<(), Error> {
        let (Seq(seq), flags) = self.last_seq.map_or((Seq(0), Self::IGNORE_SEQ), |seq| (seq, 0));
        out.put(&seq.to_be_bytes())?;
        out.put(&flags.to_be_bytes())
    }
}

/// The addressed client has to stop talking.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Revoke {
    /// Why.
    pub reason: RevokeReason,
    /// Additional information, which depends on the reason.
    pub info: u16,
}

impl Revoke {
    /// How long the client has to wait before it may ask again, if the reason is that it talked too long.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let too_long = self.reason == RevokeReason::TOO_LONG;
        too_long.then(|| Duration::from_secs(u64::from(self.info)))
    }

    pub(super) fn parse(data: &[u8]) -> Result<(Self, usize), Reject> {
        let (reason, info) = split_halves(data)?;
        Ok((Self { reason: RevokeReason(reason), info }, 4))
    }

    pub(super) fn write(&self, out: &mut Writer<'_>) -> Result<(), Error> {
        out.put(&self.reason.0.to_be_bytes())?;
        out.put(&self.info.to_be_bytes())
    }
}

/// A client confirms a message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Acknowledgement {
    /// The message that is confirmed, 0 to 31.
    pub of: Subtype,
    /// The answer, 0 to 2047; it means something for a Connect only.
    pub reason: AckReason,
}

impl Acknowledgement {
    const REASON: u16 = 0x07ff;

    pub(super) fn parse(data: &[u8]) -> Result<(Self, usize), Reject> {
        let &[first, second, _, _, ..] = data else { return Err(Reject::BadBurst) };
        let reason = AckReason(u16::from_be_bytes([first, second]) & Self::REASON);
        Ok((Self { of: Subtype(first >> 3), reason }, 4))
    }

    pub(super) fn write(&self, out: &mut Writer<'_>) -> Result<(), Error> {
        let (Subtype(of @ 0..=31), AckReason(reason @ 0..=Self::REASON)) = (self.of, self.reason)
        else {
            return Err(Error::invalid(
                "an acknowledgement has a subtype of at most 31 and a reason of at most 2047",
            ));
        };
        out.put(&(u16::from(of) << 11 | reason).to_be_bytes())?;
        out.put(&[0, 0])
    }
}

/// Where a request stands in the queue.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct QueueStatus {
    /// Priority of the request, at most 255 in this message.
    pub priority: Priority,
    /// How many clients come first.
    pub position: QueuePosition,
}

impl QueueStatus {
    pub(super) fn parse(data: &[u8]) -> Result<(Self, usize), Reject> {
        let &[priority, p0, p1, _, ..] = data else { return Err(Reject::BadBurst) };
        let position = QueuePosition(u16::from_be_bytes([p0, p1]));
        Ok((Self { priority: Priority(u16::from(priority)), position }, 4))
    }

    pub(super) fn write(&self, out: &mut Writer<'_>) -> Result<(), Error> {
        let priority = u8::try_from(self.priority.0)
            .map_err(|_| Error::invalid("the priority in a queue status is at most 255"))?;
        out.put(&[priority])?;
        out.put(&self.position.0.to_be_bytes())?;
        out.put(&[0])
    }
}

/// The server invites a client through a session that is already set up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Connect<'a> {
    /// SIP URI of the inviting client.
    pub inviting_identity: Option<Text<'a>>,
    /// Nick name of the inviting client.
    pub inviting_name: Option<Text<'a>>,
    /// SIP URI of the session.
    pub session_identity: Option<Text<'a>>,
    /// Name of the group.
    pub group_name: Option<Text<'a>>,
    /// SIP URI of the group.
    pub group_identity: Option<Text<'a>>,
    /// Kind of the session.
    pub session_type: SessionType,
    /// Whether the client shall answer without asking its user.
    pub manual_answer_override: bool,
}

impl<'a> Connect<'a> {
    /// Longest message: octets of the fixed part and five full texts.
    pub(super) const MAX_LEN: usize = 4 + 5 * (2 + Text::MAX_LEN);

    const INVITING_IDENTITY: u16 = 0x8000;
    const INVITING_NAME: u16 = 0x4000;
    const SESSION_IDENTITY: u16 = 0x2000;
    const GROUP_NAME: u16 = 0x1000;
    const GROUP_IDENTITY: u16 = 0x0800;
    const MANUAL_ANSWER_OVERRIDE: u8 = 0x80;

    pub(super) fn parse(data: &'a [u8]) -> Result<(Self, usize), Reject> {
        let &[b0, b1, session_type, flags, ref texts @ ..] = data else {
            return Err(Reject::BadBurst);
        };
        let content = u16::from_be_bytes([b0, b1]);
        let mut rest = texts;
        let mut text = |bit| {
            if content & bit == 0 {
                return Ok(None);
            }
            let text;
            (text, rest) = split_text(rest, |kind| kind != SdesItem::END)?;
            Ok(Some(text))
        };
        let connect = Self {
            inviting_identity: text(Self::INVITING_IDENTITY)?,
            inviting_name: text(Self::INVITING_NAME)?,
            session_identity: text(Self::SESSION_IDENTITY)?,
            group_name: text(Self::GROUP_NAME)?,
            group_identity: text(Self::GROUP_IDENTITY)?,
            session_type: SessionType(session_type),
            manual_answer_override: flags & Self::MANUAL_ANSWER_OVERRIDE != 0,
        };
        Ok((connect, data.len() - rest.len()))
    }

    pub(super) fn write(&self, out: &mut Writer<'_>) -> Result<(), Error> {
        let texts = self.texts();
        let content = texts.iter().fold(
            0,
            |content, (bit, _, text)| {
                if text.is_some() { content | bit } else { content }
            },
        );
        out.put(&content.to_be_bytes())?;
        let flags = if self.manual_answer_override { Self::MANUAL_ANSWER_OVERRIDE } else { 0 };
        out.put(&[self.session_type.0, flags])?;
        for (_, kind, text) in texts {
            if let Some(text) = text {
                put_item(out, SdesItem { kind, text })?;
            }
        }
        Ok(())
    }

    /// Content bit, type and text, in the order of the wire.
    fn texts(&self) -> [(u16, u8, Option<Text<'a>>); 5] {
        [
            (Self::INVITING_IDENTITY, SdesItem::CNAME, self.inviting_identity),
            (Self::INVITING_NAME, SdesItem::NAME, self.inviting_name),
            (Self::SESSION_IDENTITY, SdesItem::CNAME, self.session_identity),
            (Self::GROUP_NAME, SdesItem::NAME, self.group_name),
            (Self::GROUP_IDENTITY, SdesItem::CNAME, self.group_identity),
        ]
    }
}

fn read_participants(items: Items<'_>) -> Result<Option<Participants>, Reject> {
    Ok(items.value(item::PARTICIPANTS)?.map(u16::from_be_bytes).map(Participants))
}

fn write_participants(
    out: &mut Writer<'_>,
    participants: Option<Participants>,
) -> Result<(), Error> {
    let Some(Participants(count)) = participants else { return Ok(()) };
    item::put(out, item::PARTICIPANTS, &count.to_be_bytes())
}

fn split_halves(data: &[u8]) -> Result<(u16, u16), Reject> {
    let &[a, b, c, d] = data.first_chunk().ok_or(Reject::BadBurst)?;
    Ok((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// Splits off an SDES item of an expected kind.
fn split_text(bytes: &[u8], expected: impl Fn(u8) -> bool) -> Result<(Text<'_>, &[u8]), Reject> {
    match SdesItem::split(bytes) {
        Ok(Some((item, rest))) if expected(item.kind) => Ok((item.text, rest)),
        _ => Err(Reject::BadBurst),
    }
}
