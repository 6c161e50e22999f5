//! RTCP packets (RFC 3550 §6): views over authenticated octets, and a writer.
//!
//! [`Compound::parse`] proves the length fields of a whole datagram before any packet of it is used. Any
//! first packet type is accepted, because burst control stands alone in its datagram. Lanes call this
//! after SRTCP has been opened; before that only [`sender_ssrc`] is needed.

mod app;
mod bye;
mod report;
mod sdes;
mod write;

pub use app::App;
pub use bye::Bye;
pub use report::{ReceiverReport, ReportBlock, SenderInfo, SenderReport};
pub use sdes::{Chunk, SdesItem, SourceDescription};
pub use write::RtcpWriter;
pub(super) use write::{put_item, put_text};

use crate::{Reject, ids::Ssrc};

/// Packet type of a sender report.
pub const SR: u8 = 200;
/// Packet type of a receiver report.
pub const RR: u8 = 201;
/// Packet type of a source description.
pub const SDES: u8 = 202;
/// Packet type of a goodbye.
pub const BYE: u8 = 203;
/// Packet type of an application-defined packet.
pub const APP: u8 = 204;

const PADDING: u8 = 0x20;
const COUNT: u8 = 0x1f;

/// SSRC of the first packet of a datagram: the eight octets that SRTCP never encrypts.
///
/// # Errors
/// [`Reject::BadVersion`] if this is not version 2, [`Reject::Truncated`] if it is shorter.
#[inline]
pub fn sender_ssrc(datagram: &[u8]) -> Result<Ssrc, Reject> {
    let &[first, _, _, _, a, b, c, d] = datagram.first_chunk().ok_or(Reject::Truncated)?;
    if first >> 6 == 2 {
        Ok(Ssrc(u32::from_be_bytes([a, b, c, d])))
    } else {
        Err(Reject::BadVersion)
    }
}

/// The RTCP packets of one authenticated and decrypted datagram.
///
/// ```
/// use mcast_srtp::wire::rtcp::{Compound, RtcpView};
///
/// let datagram = [0x81, 203, 0, 1, 0xca, 0xfe, 0xba, 0xbe];
/// for packet in Compound::parse(&datagram)?.packets() {
///     if let RtcpView::Bye(bye) = packet.view()? {
///         assert!(bye.ssrcs().any(|ssrc| ssrc.0 == 0xcafe_babe));
///     }
/// }
/// # Ok::<(), mcast_srtp::Reject>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Compound<'a>(&'a [u8]);

impl<'a> Compound<'a> {
    /// Proves versions, length fields and padding of every packet.
    ///
    /// # Errors
    /// [`Reject::BadVersion`] or [`Reject::BadRtcp`]; then no packet of the datagram should be used.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Reject> {
        let (_, mut rest) = RtcpPacket::split(datagram)?;
        while !rest.is_empty() {
            (_, rest) = RtcpPacket::split(rest)?;
        }
        Ok(Self(datagram))
    }

    /// The packets in their order.
    pub fn packets(&self) -> impl Iterator<Item = RtcpPacket<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let packet;
            (packet, rest) = RtcpPacket::split(rest).ok()?;
            Some(packet)
        })
    }
}

/// One RTCP packet: its header, and what its length field covers, without padding.
#[derive(Clone, Copy, Debug)]
pub struct RtcpPacket<'a> {
    header: [u8; 4],
    body: &'a [u8],
}

impl<'a> RtcpPacket<'a> {
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Reject> {
        let (&header, rest) = bytes.split_first_chunk().ok_or(Reject::BadRtcp)?;
        let [first, _, l0, l1] = header;
        if first >> 6 != 2 {
            return Err(Reject::BadVersion);
        }
        let len = 4 * usize::from(u16::from_be_bytes([l0, l1]));
        let (body, rest) = rest.split_at_checked(len).ok_or(Reject::BadRtcp)?;
        let body = if first & PADDING == 0 { body } else { unpadded(body)? };
        Ok((Self { header, body }, rest))
    }

    /// Packet type, for example [`APP`].
    #[must_use]
    pub const fn packet_type(&self) -> u8 {
        self.header[1]
    }

    /// The five bits after the padding bit: a count, or the subtype of an [`APP`] packet.
    #[must_use]
    pub const fn count(&self) -> u8 {
        self.header[0] & COUNT
    }

    /// What follows the first four octets, without padding.
    #[must_use]
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The fields, by packet type.
    ///
    /// # Errors
    /// [`Reject::BadRtcp`] if the counts and lengths inside do not fit the packet.
    pub fn view(&self) -> Result<RtcpView<'a>, Reject> {
        Ok(match self.packet_type() {
            SR => RtcpView::SenderReport(SenderReport::parse(self.count(), self.body)?),
            RR => RtcpView::ReceiverReport(ReceiverReport::parse(self.count(), self.body)?),
            SDES => RtcpView::SourceDescription(SourceDescription::parse(self.count(), self.body)?),
            BYE => RtcpView::Bye(Bye::parse(self.count(), self.body)?),
            APP => RtcpView::App(App::parse(self.count(), self.body)?),
            _ => RtcpView::Other(*self),
        })
    }
}

/// One RTCP packet by its type. All lengths are proven, reading cannot fail.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum RtcpView<'a> {
    /// SR: what a sender has sent, and how it receives others.
    SenderReport(SenderReport<'a>),
    /// RR: how somebody receives others.
    ReceiverReport(ReceiverReport<'a>),
    /// SDES: who the sources are.
    SourceDescription(SourceDescription<'a>),
    /// BYE: sources that leave.
    Bye(Bye<'a>),
    /// APP: defined by an application, for example burst control.
    App(App<'a>),
    /// A type that is not read here.
    Other(RtcpPacket<'a>),
}

/// Wall-clock time in NTP format: seconds since 1900, and 32 bits of fraction.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NtpTime(pub u64);

/// Removes padding. RFC 3550 §6.4.1 allows it on the last packet and in multiples of four; each packet
/// counts its own octets, so other places and sizes are unambiguous and accepted.
fn unpadded(body: &[u8]) -> Result<&[u8], Reject> {
    let count = usize::from(*body.last().ok_or(Reject::BadRtcp)?);
    let len = body.len().checked_sub(count).ok_or(Reject::BadRtcp)?;
    if count == 0 { Err(Reject::BadRtcp) } else { Ok(body.split_at(len).0) }
}

/// Reads an SSRC, and returns what follows it.
fn split_ssrc(bytes: &[u8]) -> Result<(Ssrc, &[u8]), Reject> {
    let (octets, rest) = bytes.split_first_chunk().ok_or(Reject::BadRtcp)?;
    Ok((Ssrc(u32::from_be_bytes(*octets)), rest))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn types(datagram: &[u8]) -> Result<Vec<u8>, Reject> {
        Ok(Compound::parse(datagram)?.packets().map(|packet| packet.packet_type()).collect())
    }

    #[test]
    fn several_packets_share_a_datagram_in_any_order() {
        let mut datagram = vec![0x85, 204, 0, 2, 0, 0, 0, 1, b'P', b'o', b'C', b'1'];
        datagram.extend([0x80, 207, 0, 0]);
        datagram.extend([0x81, 203, 0, 1, 0, 0, 0, 1]);
        assert_eq!(types(&datagram), Ok(vec![APP, 207, BYE]));
        assert_eq!(sender_ssrc(&datagram), Ok(Ssrc(1)));
    }

    #[test]
    fn lengths_that_do_not_fit_the_datagram_are_refused() {
        let datagram = [0x81, 203, 0, 1, 0, 0, 0, 1];
        for len in 0..datagram.len() {
            assert_eq!(types(&datagram[..len]), Err(Reject::BadRtcp), "{len}");
            assert_eq!(sender_ssrc(&datagram[..len]), Err(Reject::Truncated), "{len}");
        }
        assert_eq!(types(&[0x81, 203, 0, 1, 0, 0, 0, 1, 0x80]), Err(Reject::BadRtcp));
        assert_eq!(types(&[0x81, 203, 0, 1, 0, 0, 0, 1, 0x40, 0, 0, 0]), Err(Reject::BadVersion));
        assert_eq!(sender_ssrc(&[0x40; 8]), Err(Reject::BadVersion));
    }

    #[test]
    fn padding_is_removed_and_its_count_proven() {
        let mut datagram = [0xa0, 207, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4];
        let packet = Compound::parse(&datagram).unwrap().packets().next().unwrap();
        assert_eq!(packet.body(), [0, 0, 0, 1]);
        for (count, verdict) in [(0, Err(Reject::BadRtcp)), (8, Ok(())), (9, Err(Reject::BadRtcp))]
        {
            datagram[11] = count;
            assert_eq!(Compound::parse(&datagram).map(drop), verdict, "{count}");
        }
        assert_eq!(types(&[0xa0, 207, 0, 0]), Err(Reject::BadRtcp));
    }

    #[test]
    fn counts_and_lengths_inside_a_packet_are_proven() {
        for (first, packet_type, body, needed) in [
            (
                0x81,
                SR,
                "00000001 0000000000000000 00000000 00000000 00000000".to_owned()
                    + &"00".repeat(24),
                48,
            ),
            (0x81, RR, "00000001".to_owned() + &"00".repeat(24), 28),
            (0x82, SDES, "00000001 0101 6100 00000002 0200 0000".to_owned(), 16),
            (0x82, BYE, "00000001 00000002".to_owned(), 8),
            (0x81, BYE, "00000001 0461 6263 64000000".to_owned(), 9),
            (0x80, APP, "00000001 506f4331".to_owned(), 8),
        ] {
            let body = hex::decode(body.replace(' ', "")).unwrap();
            for len in 0..=body.len() {
                let packet = RtcpPacket { header: [first, packet_type, 0, 0], body: &body[..len] };
                // A goodbye without its reason is whole, too.
                let whole = len >= needed || (packet_type == BYE && needed == 9 && len == 4);
                let expected = if whole { Ok(()) } else { Err(Reject::BadRtcp) };
                assert_eq!(packet.view().map(drop), expected, "{packet_type} cut to {len}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_octets_get_views_or_verdicts(
            packets in vec((0x80u8..0xc0, 199u8..206, vec(any::<[u8; 4]>(), 0..12)), 1..4),
            cut in 0usize..8,
        ) {
            let mut datagram = Vec::new();
            for (first, packet_type, body) in packets {
                datagram.extend([first, packet_type, 0, body.len() as u8]);
                datagram.extend(body.as_flattened());
            }
            datagram.truncate(datagram.len() - cut.min(datagram.len()));
            if let Ok(compound) = Compound::parse(&datagram) {
                for packet in compound.packets() {
                    let _ = format!("{:?}", packet.view());
                }
            }
        }
    }
}
