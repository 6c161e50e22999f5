//! RTP packets (RFC 3550 §5): a view over received octets, and a writer.
//!
//! [`header_len`] is for the packet path, before authentication: it only proves that the header fits.
//! [`RtpView`] reads every field. Padding is looked at on authenticated octets only, through
//! [`RtpView::unpadded_payload`].

use super::writer::Writer;
use crate::{
    Error, Reject,
    ids::{Seq, Ssrc},
};

/// Length of the fixed header; no RTP packet is shorter.
pub const FIXED_LEN: usize = 12;

const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;
const CSRC_COUNT: u8 = 0x0f;
const MARKER: u8 = 0x80;

/// Length of fixed header, CSRC list and header extension, which is where the payload starts.
///
/// # Errors
/// [`Reject::BadVersion`] if this is not version 2, [`Reject::Truncated`] if the header does not fit.
#[inline]
pub fn header_len(packet: &[u8]) -> Result<usize, Reject> {
    RtpView::parse(packet).map(|view| packet.len() - view.payload.len())
}

/// The fields of one RTP packet, borrowed. All lengths are proven, reading cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct RtpView<'a> {
    fixed: &'a [u8; FIXED_LEN],
    csrcs: &'a [[u8; 4]],
    extension: Option<Extension<'a>>,
    payload: &'a [u8],
}

impl<'a> RtpView<'a> {
    /// Proves the lengths of header, CSRC list and extension.
    ///
    /// # Errors
    /// [`Reject::BadVersion`] if this is not version 2, [`Reject::Truncated`] if the header does not fit.
    #[inline]
    pub fn parse(packet: &'a [u8]) -> Result<Self, Reject> {
        let (fixed, rest) = packet.split_first_chunk().ok_or(Reject::Truncated)?;
        if fixed[0] >> 6 != 2 {
            return Err(Reject::BadVersion);
        }
        let csrc_len = 4 * usize::from(fixed[0] & CSRC_COUNT);
        let (csrcs, rest) = rest.split_at_checked(csrc_len).ok_or(Reject::Truncated)?;
        let (extension, payload) = if fixed[0] & EXTENSION == 0 {
            (None, rest)
        } else {
            let (extension, payload) = Extension::parse(rest)?;
            (Some(extension), payload)
        };
        Ok(Self { fixed, csrcs: csrcs.as_chunks().0, extension, payload })
    }

    /// Payload type, 0 to 127.
    #[inline]
    #[must_use]
    pub const fn payload_type(&self) -> u8 {
        self.fixed[1] & !MARKER
    }

    /// Marker bit; for speech, the first packet of a talk spurt.
    #[inline]
    #[must_use]
    pub const fn marker(&self) -> bool {
        self.fixed[1] & MARKER != 0
    }

    /// Sequence number.
    #[inline]
    #[must_use]
    pub const fn seq(&self) -> Seq {
        Seq(u16::from_be_bytes([self.fixed[2], self.fixed[3]]))
    }

    /// Media time of the first sample, in units of the codec's clock.
    #[inline]
    #[must_use]
    pub const fn timestamp(&self) -> u32 {
        let [_, _, _, _, a, b, c, d, ..] = *self.fixed;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Source of the stream.
    #[inline]
    #[must_use]
    pub const fn ssrc(&self) -> Ssrc {
        let [.., a, b, c, d] = *self.fixed;
        Ssrc(u32::from_be_bytes([a, b, c, d]))
    }

    /// Contributing sources, at most 15.
    pub fn csrcs(&self) -> impl ExactSizeIterator<Item = Ssrc> + use<'a> {
        self.csrcs.iter().map(|octets| Ssrc(u32::from_be_bytes(*octets)))
    }

    /// Header extension, if there is one.
    #[inline]
    #[must_use]
    pub const fn extension(&self) -> Option<Extension<'a>> {
        self.extension
    }

    /// Where the payload starts.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        let extension = self.extension.map_or(0, |extension| 4 + extension.data.len());
        FIXED_LEN + self.csrcs.as_flattened().len() + extension
    }

    /// Everything after the header: payload, padding, and what SRTP appended if it is still there.
    #[inline]
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The payload without RTP padding. Call it on authenticated and decrypted octets only.
    ///
    /// # Errors
    /// [`Reject::BadPadding`] if the pad count is zero or larger than the payload.
    #[inline]
    pub fn unpadded_payload(&self) -> Result<&'a [u8], Reject> {
        if self.fixed[0] & PADDING == 0 {
            return Ok(self.payload);
        }
        //= RFC 3550 §5.1: the last octet counts the padding octets, itself included
        let count = usize::from(*self.payload.last().ok_or(Reject::BadPadding)?);
        let len = self.payload.len().checked_sub(count).ok_or(Reject::BadPadding)?;
        if count == 0 { Err(Reject::BadPadding) } else { Ok(self.payload.split_at(len).0) }
    }
}

/// RTP header extension (RFC 3550 §5.3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Extension<'a> {
    /// "Defined by profile": names the format of the data, for example 0xbede (RFC 8285).
    pub profile: u16,
    /// The data, a multiple of four octets.
    pub data: &'a [u8],
}

impl<'a> Extension<'a> {
    fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Reject> {
        let (&[p0, p1, l0, l1], rest) = bytes.split_first_chunk().ok_or(Reject::Truncated)?;
        let len = 4 * usize::from(u16::from_be_bytes([l0, l1]));
        let (data, payload) = rest.split_at_checked(len).ok_or(Reject::Truncated)?;
        Ok((Self { profile: u16::from_be_bytes([p0, p1]), data }, payload))
    }

    /// Whether extension and CSRC list are encrypted too (cryptex), so that this packet cannot be
    /// given to a decoder as it is.
    #[must_use]
    pub const fn is_cryptex(&self) -> bool {
        //= RFC 9335 §5.1: 0xc0de replaces 0xbede, 0xc2de replaces 0x1000
        matches!(self.profile, 0xc0de | 0xc2de)
    }
}

/// Writes RTP packets that differ in a few fields only: set what changes, then write.
///
/// ```
/// use mcast_srtp::ids::{Seq, Ssrc};
/// use mcast_srtp::wire::rtp::{RtpView, RtpWriter};
///
/// let mut packet = [0; 64];
/// let writer = RtpWriter::new(96, Seq(7), 1600, Ssrc(0xcafe_babe)).marker(true);
/// let len = writer.write(b"speech", &mut packet)?;
/// let view = RtpView::parse(&packet[..len])?;
/// assert_eq!((view.seq(), view.payload()), (Seq(7), &b"speech"[..]));
/// # Ok::<(), mcast_srtp::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is written before `write`"]
pub struct RtpWriter<'a> {
    payload_type: u8,
    marker: bool,
    seq: Seq,
    timestamp: u32,
    ssrc: Ssrc,
    csrcs: &'a [Ssrc],
    extension: Option<Extension<'a>>,
    padding: u8,
}

impl<'a> RtpWriter<'a> {
    /// A packet without marker, CSRCs, extension and padding.
    pub const fn new(payload_type: u8, seq: Seq, timestamp: u32, ssrc: Ssrc) -> Self {
        Self {
            payload_type,
            marker: false,
            seq,
            timestamp,
            ssrc,
            csrcs: &[],
            extension: None,
            padding: 0,
        }
    }

    /// Sets the marker bit.
    pub const fn marker(mut self, marker: bool) -> Self {
        self.marker = marker;
        self
    }

    /// Names the contributing sources, at most 15.
    pub const fn csrcs(mut self, csrcs: &'a [Ssrc]) -> Self {
        self.csrcs = csrcs;
        self
    }

    /// Adds a header extension; its data is a multiple of four octets.
    pub const fn extension(mut self, extension: Extension<'a>) -> Self {
        self.extension = Some(extension);
        self
    }

    /// Appends this many octets of padding, the last of which holds the count; 0 is none.
    pub const fn padding(mut self, octets: u8) -> Self {
        self.padding = octets;
        self
    }

    /// Writes header, payload and padding to the start of `out`, and returns their length.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a field is out of its range or `out` is too small.
    pub fn write(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let mut writer = Writer::new(out);
        self.write_header(&mut writer)?;
        writer.put(payload)?;
        for left in (0..self.padding).rev() {
            writer.put(&[if left == 0 { self.padding } else { 0 }])?;
        }
        Ok(writer.len())
    }

    fn write_header(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        if self.payload_type & MARKER != 0 {
            return Err(Error::invalid("an RTP payload type is at most 127"));
        }
        let Ok(count @ ..=CSRC_COUNT) = u8::try_from(self.csrcs.len()) else {
            return Err(Error::invalid("an RTP packet names at most 15 contributing sources"));
        };
        let padding = if self.padding == 0 { 0 } else { PADDING };
        let extension = if self.extension.is_none() { 0 } else { EXTENSION };
        let marker = if self.marker { MARKER } else { 0 };
        writer.put(&[0x80 | padding | extension | count, marker | self.payload_type])?;
        writer.put(&self.seq.0.to_be_bytes())?;
        writer.put(&self.timestamp.to_be_bytes())?;
        writer.put(&self.ssrc.0.to_be_bytes())?;
        self.csrcs.iter().try_for_each(|csrc| writer.put(&csrc.0.to_be_bytes()))?;
        let Some(Extension { profile, data }) = self.extension else { return Ok(()) };
        let words = u16::try_from(data.len() / 4).ok().filter(|_| data.len().is_multiple_of(4));
        let words = words.ok_or_else(|| {
            Error::invalid("RTP header extension data is a multiple of 4 octets, at most 262140")
        })?;
        writer.put(&profile.to_be_bytes())?;
        writer.put(&words.to_be_bytes())?;
        writer.put(data)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex::decode(hex.replace(' ', "")).unwrap()
    }

    #[test]
    fn every_field_of_a_full_header_is_read() {
        let packet = bytes("92e0fffe01020304cafebabe 0000000a0000000b bede000101020304 abcdef");
        let view = RtpView::parse(&packet).unwrap();
        assert_eq!((view.payload_type(), view.marker()), (96, true));
        assert_eq!((view.seq(), view.timestamp()), (Seq(0xfffe), 0x0102_0304));
        assert_eq!(view.ssrc(), Ssrc(0xcafe_babe));
        assert!(view.csrcs().eq([Ssrc(10), Ssrc(11)]));
        let extension = Extension { profile: 0xbede, data: &[1, 2, 3, 4] };
        assert_eq!(view.extension(), Some(extension));
        assert!(!extension.is_cryptex());
        assert_eq!((view.header_len(), header_len(&packet)), (28, Ok(28)));
        assert_eq!(view.unpadded_payload(), Ok(&[0xab, 0xcd, 0xef][..]));
    }

    #[test]
    fn header_cut_anywhere_is_truncated() {
        let packet = bytes("92e0fffe01020304cafebabe 0000000a0000000b bede000101020304");
        for len in 0..packet.len() {
            assert_eq!(RtpView::parse(&packet[..len]).unwrap_err(), Reject::Truncated);
            assert_eq!(header_len(&packet[..len]), Err(Reject::Truncated));
        }
        assert_eq!(header_len(&packet), Ok(packet.len()));
    }

    #[test]
    fn other_versions_are_refused() {
        for first in [0x00, 0x40, 0xc0] {
            assert_eq!(header_len(&[first; 12]), Err(Reject::BadVersion));
        }
    }

    #[test]
    fn padding_count_of_zero_or_beyond_the_payload_is_refused() {
        let mut packet = bytes("a06000010000000200000003 aabb0002");
        assert_eq!(RtpView::parse(&packet).unwrap().unpadded_payload(), Ok(&[0xaa, 0xbb][..]));
        for (count, verdict) in [(0, false), (4, true), (5, false)] {
            *packet.last_mut().unwrap() = count;
            let view = RtpView::parse(&packet).unwrap();
            let expected = if verdict { Ok(&[][..]) } else { Err(Reject::BadPadding) };
            assert_eq!(view.unpadded_payload(), expected, "{count}");
        }
        let bare = RtpView::parse(&packet[..12]).unwrap();
        assert_eq!(bare.unpadded_payload(), Err(Reject::BadPadding));
    }

    #[test]
    fn cryptex_packets_are_told() {
        for (profile, cryptex) in [(0xc0de, true), (0xc2de, true), (0x1000, false)] {
            assert_eq!(Extension { profile, data: &[] }.is_cryptex(), cryptex);
        }
    }

    #[test]
    fn writer_refuses_what_does_not_fit() {
        let writer = RtpWriter::new(96, Seq(1), 0, Ssrc(1));
        assert!(writer.write(&[0; 4], &mut [0; 15]).is_err());
        assert!(RtpWriter::new(128, Seq(1), 0, Ssrc(1)).write(&[], &mut [0; 99]).is_err());
        assert!(writer.csrcs(&[Ssrc(1); 16]).write(&[], &mut [0; 99]).is_err());
        let extension = Extension { profile: 0, data: &[0; 3] };
        assert!(writer.extension(extension).write(&[], &mut [0; 99]).is_err());
    }

    proptest! {
        #[test]
        fn written_packet_reads_back(
            (payload_type, marker, seq, timestamp, ssrc) in (0..128u8, any::<bool>(), any::<u16>(), any::<u32>(), any::<u32>()),
            csrcs in vec(any::<u32>().prop_map(Ssrc), 0..=15),
            extension in option::of((any::<u16>(), vec(any::<[u8; 4]>(), 0..9))),
            payload in vec(any::<u8>(), 0..99),
            padding: u8,
        ) {
            let extension = extension.as_ref();
            let extension = extension.map(|(profile, data)| Extension { profile: *profile, data: data.as_flattened() });
            let mut writer = RtpWriter::new(payload_type, Seq(seq), timestamp, Ssrc(ssrc))
                .marker(marker).csrcs(&csrcs).padding(padding);
            if let Some(extension) = extension {
                writer = writer.extension(extension);
            }
            let mut packet = [0xee; 512];
            let len = writer.write(&payload, &mut packet).unwrap();
            let view = RtpView::parse(&packet[..len]).unwrap();
            prop_assert_eq!((view.payload_type(), view.marker()), (payload_type, marker));
            prop_assert_eq!((view.seq(), view.timestamp(), view.ssrc()), (Seq(seq), timestamp, Ssrc(ssrc)));
            prop_assert!(view.csrcs().eq(csrcs.iter().copied()));
            prop_assert_eq!(view.extension(), extension);
            prop_assert_eq!(view.header_len() + view.payload().len(), len);
            prop_assert_eq!(view.unpadded_payload(), Ok(&payload[..]));
        }

        #[test]
        fn any_octets_get_a_view_or_a_verdict(packet in vec(any::<u8>(), 0..99)) {
            if let Ok(view) = RtpView::parse(&packet) {
                prop_assert_eq!(view.header_len() + view.payload().len(), packet.len());
                let _ = (view.csrcs().count(), view.unpadded_payload());
            }
        }
    }
}
