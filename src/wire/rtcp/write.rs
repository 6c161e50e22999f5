//! Writes RTCP packets, one after the other, into one datagram.

use super::{APP, App, BYE, COUNT, NtpTime, RR, ReportBlock, SDES, SR, SdesItem, SenderInfo};
use crate::{
    Error,
    ids::Ssrc,
    wire::{Text, writer::Writer},
};

/// A datagram under construction. A packet that cannot be written leaves it as it was.
///
/// ```
/// use mcast_srtp::ids::Ssrc;
/// use mcast_srtp::wire::rtcp::{RtcpWriter, SdesItem};
///
/// let mut datagram = [0; 128];
/// let mut writer = RtcpWriter::new(&mut datagram);
/// writer.receiver_report(Ssrc(7), &[])?;
/// writer.sdes(Ssrc(7), &[SdesItem::cname("sip:alice@example.com".into())])?;
/// assert_eq!(writer.len(), 8 + 32);
/// # Ok::<(), mcast_srtp::Error>(())
/// ```
#[derive(Debug)]
pub struct RtcpWriter<'b>(Writer<'b>);

impl<'b> RtcpWriter<'b> {
    /// Starts at the beginning of a buffer.
    #[must_use]
    pub fn new(datagram: &'b mut [u8]) -> Self {
        Self(Writer::new(datagram))
    }

    /// Appends an SR packet.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are more than 31 blocks or the buffer is too small.
    pub fn sender_report(
        &mut self,
        ssrc: Ssrc,
        info: &SenderInfo,
        blocks: &[ReportBlock],
    ) -> Result<(), Error> {
        self.packet(SR, count_of(blocks)?, |body| {
            body.put(&ssrc.0.to_be_bytes())?;
            put_info(body, info)?;
            blocks.iter().try_for_each(|block| put_block(body, block))
        })
    }

    /// Appends an RR packet.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are more than 31 blocks or the buffer is too small.
    pub fn receiver_report(&mut self, ssrc: Ssrc, blocks: &[ReportBlock]) -> Result<(), Error> {
        self.packet(RR, count_of(blocks)?, |body| {
            body.put(&ssrc.0.to_be_bytes())?;
            blocks.iter().try_for_each(|block| put_block(body, block))
        })
    }

    /// Appends an SDES packet with one chunk.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an item has kind 0 or a text over 255 octets, or the buffer is too small.
    pub fn sdes(&mut self, ssrc: Ssrc, items: &[SdesItem<'_>]) -> Result<(), Error> {
        self.packet(SDES, 1, |body| {
            body.put(&ssrc.0.to_be_bytes())?;
            items.iter().try_for_each(|item| put_item(body, *item))?;
            body.put(&[SdesItem::END])
        })
    }

    /// Appends a BYE packet.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are more than 31 sources, the reason has over 255 octets, or the
    /// buffer is too small.
    pub fn bye(&mut self, ssrcs: &[Ssrc], reason: Option<Text<'_>>) -> Result<(), Error> {
        self.packet(BYE, count_of(ssrcs)?, |body| {
            ssrcs.iter().try_for_each(|ssrc| body.put(&ssrc.0.to_be_bytes()))?;
            reason.map_or(Ok(()), |reason| put_text(body, reason))
        })
    }

    /// Appends an APP packet; zero octets fill its data to a multiple of four.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the subtype is over 31 or the buffer is too small.
    pub fn app(&mut self, app: &App<'_>) -> Result<(), Error> {
        self.app_with(app.subtype, app.ssrc, app.name, |data| data.put(app.data))
    }

    /// Octets written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends an APP packet whose data is written in place.
    pub(in crate::wire) fn app_with(
        &mut self,
        subtype: u8,
        ssrc: Ssrc,
        name: [u8; 4],
        data: impl FnOnce(&mut Writer<'b>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.packet(APP, subtype, |body| {
            body.put(&ssrc.0.to_be_bytes())?;
            body.put(&name)?;
            data(body)
        })
    }

    fn packet(
        &mut self,
        packet_type: u8,
        count: u8,
        body: impl FnOnce(&mut Writer<'b>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let start = self.0.len();
        let written = self.try_packet(packet_type, count, body);
        if written.is_err() {
            self.0.truncate(start);
        }
        written
    }

    fn try_packet(
        &mut self,
        packet_type: u8,
        count: u8,
        body: impl FnOnce(&mut Writer<'b>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if count & !COUNT != 0 {
            return Err(Error::invalid("the count or subtype of an RTCP packet is at most 31"));
        }
        let start = self.0.len();
        self.0.put(&[0x80 | count, packet_type, 0, 0])?;
        body(&mut self.0)?;
        self.0.align(start)?;
        let words = u16::try_from((self.0.len() - start) / 4 - 1)
            .map_err(|_| Error::invalid("an RTCP packet has at most 262144 octets"))?;
        self.0.patch(start + 2, words.to_be_bytes());
        Ok(())
    }
}

/// Appends a kind, a length octet and the text.
pub(in crate::wire) fn put_item(body: &mut Writer<'_>, item: SdesItem<'_>) -> Result<(), Error> {
    if item.kind == SdesItem::END {
        return Err(Error::invalid("an SDES item of kind 0 would end the list"));
    }
    body.put(&[item.kind])?;
    put_text(body, item.text)
}

/// Appends a length octet and the text.
pub(in crate::wire) fn put_text(body: &mut Writer<'_>, text: Text<'_>) -> Result<(), Error> {
    let len = u8::try_from(text.as_bytes().len())
        .map_err(|_| Error::invalid(format!("\"{text}\" is longer than 255 octets")))?;
    body.put(&[len])?;
    body.put(text.as_bytes())
}

fn put_info(body: &mut Writer<'_>, info: &SenderInfo) -> Result<(), Error> {
    let NtpTime(ntp) = info.ntp;
    body.put(&ntp.to_be_bytes())?;
    body.put(&info.rtp_timestamp.to_be_bytes())?;
    body.put(&info.packet_count.to_be_bytes())?;
    body.put(&info.octet_count.to_be_bytes())
}

fn put_block(body: &mut Writer<'_>, block: &ReportBlock) -> Result<(), Error> {
    //= RFC 3550 §A.3: the number of packets lost is clamped to 24 bits with a sign
    let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff);
    let [_, l0, l1, l2] = lost.to_be_bytes();
    body.put(&block.ssrc.0.to_be_bytes())?;
    body.put(&[block.fraction_lost, l0, l1, l2])?;
    body.put(&block.highest_seq.to_be_bytes())?;
    body.put(&block.jitter.to_be_bytes())?;
    body.put(&block.last_sr.to_be_bytes())?;
    body.put(&block.delay_since_last_sr.to_be_bytes())
}

fn count_of<T>(list: &[T]) -> Result<u8, Error> {
    u8::try_from(list.len())
        .ok()
        .filter(|count| *count <= COUNT)
        .ok_or_else(|| Error::invalid("an RTCP packet lists at most 31 sources"))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::wire::rtcp::{Compound, RtcpView};

    fn views(datagram: &[u8]) -> Vec<RtcpView<'_>> {
        let compound = Compound::parse(datagram).unwrap();
        compound.packets().map(|packet| packet.view().unwrap()).collect()
    }

    fn block() -> impl Strategy<Value = ReportBlock> {
        (any::<[u32; 5]>(), any::<u8>(), -0x80_0000..0x80_0000).prop_map(
            |(
                [ssrc, highest_seq, jitter, last_sr, delay_since_last_sr],
                fraction_lost,
                cumulative_lost,
            )| {
                ReportBlock {
                    ssrc: Ssrc(ssrc),
                    fraction_lost,
                    cumulative_lost,
                    highest_seq,
                    jitter,
                    last_sr,
                    delay_since_last_sr,
                }
            },
        )
    }

    #[test]
    fn sdes_and_bye_have_the_octets_of_the_standard() {
        let mut datagram = [0xee; 64];
        let mut writer = RtcpWriter::new(&mut datagram);
        writer.sdes(Ssrc(7), &[SdesItem::cname("ab@c".into())]).unwrap();
        writer.bye(&[Ssrc(7)], Some("out".into())).unwrap();
        let len = writer.len();
        let expected =
            "81ca0003 00000007 0104 6162 40630000 81cb0002 00000007 036f7574".replace(' ', "");
        assert_eq!(hex::encode(&datagram[..len]), expected);
    }

    #[test]
    fn refused_packet_leaves_the_datagram_as_it_was() {
        let mut datagram = [0; 23];
        let mut writer = RtcpWriter::new(&mut datagram);
        assert!(writer.is_empty());
        writer.bye(&[Ssrc(1)], None).unwrap();
        let before = writer.len();
        let long = [b'x'; 256];
        assert!(writer.bye(&[Ssrc(1); 32], None).is_err());
        assert!(writer.bye(&[], Some(Text::new(&long))).is_err());
        assert!(writer.sdes(Ssrc(1), &[SdesItem { kind: 0, text: Text::default() }]).is_err());
        let app = App { subtype: 32, ssrc: Ssrc(1), name: *b"PoC1", data: &[] };
        assert!(writer.app(&app).is_err());
        assert!(writer.app(&App { subtype: 0, data: &[1], ..app }).is_err());
        assert_eq!(writer.len(), before);
        assert_eq!(views(&datagram[..before]).len(), 1);
    }

    #[test]
    fn lost_count_beyond_24_bits_is_clamped() {
        for (given, read) in [(i32::MAX, 0x7f_ffff), (i32::MIN, -0x80_0000), (-1, -1)] {
            let mut datagram = [0; 32];
            let block = ReportBlock { cumulative_lost: given, ..ReportBlock::default() };
            RtcpWriter::new(&mut datagram).receiver_report(Ssrc(1), &[block]).unwrap();
            let [RtcpView::ReceiverReport(report)] = views(&datagram)[..] else { panic!() };
            assert_eq!(report.blocks().next().unwrap().cumulative_lost, read);
        }
    }

    proptest! {
        #[test]
        fn written_compound_reads_back(
            ssrc in any::<u32>().prop_map(Ssrc),
            (ntp, counts) in any::<(u64, [u32; 3])>(),
            blocks in vec(block(), 0..4),
            texts in vec((1u8..9, vec(any::<u8>(), 0..40)), 0..4),
            leaving in vec(any::<u32>().prop_map(Ssrc), 0..4),
            reason in option::of(vec(any::<u8>(), 0..40)),
            (subtype, name, data) in (0u8..32, any::<[u8; 4]>(), vec(any::<[u8; 4]>(), 0..9)),
        ) {
            let [rtp_timestamp, packet_count, octet_count] = counts;
            let info = SenderInfo { ntp: NtpTime(ntp), rtp_timestamp, packet_count, octet_count };
            let items: Vec<_> =
                texts.iter().map(|(kind, text)| SdesItem { kind: *kind, text: Text::new(text) }).collect();
            let reason = reason.as_deref().map(Text::new);
            let app = App { subtype, ssrc, name, data: data.as_flattened() };

            let mut datagram = [0xee; 1024];
            let mut writer = RtcpWriter::new(&mut datagram);
            writer.sender_report(ssrc, &info, &blocks).unwrap();
            writer.receiver_report(ssrc, &blocks).unwrap();
            writer.sdes(ssrc, &items).unwrap();
            writer.bye(&leaving, reason).unwrap();
            writer.app(&app).unwrap();
            let len = writer.len();

            let views = views(&datagram[..len]);
            let [
                RtcpView::SenderReport(sr), RtcpView::ReceiverReport(rr),
                RtcpView::SourceDescription(sdes), RtcpView::Bye(bye), RtcpView::App(read),
            ] = views[..] else { panic!("{views:?}") };
            prop_assert_eq!((sr.ssrc, sr.info, rr.ssrc), (ssrc, info, ssrc));
            prop_assert!(sr.blocks().eq(blocks.iter().copied()) && rr.blocks().eq(blocks));
            let chunks: Vec<_> = sdes.chunks().collect();
            prop_assert_eq!(chunks.len(), 1);
            prop_assert_eq!(chunks[0].ssrc, ssrc);
            prop_assert!(chunks[0].items().eq(items.iter().copied()));
            let cname = items.iter().find(|item| item.kind == SdesItem::CNAME);
            prop_assert_eq!(chunks[0].cname(), cname.map(|item| item.text));
            prop_assert!(bye.ssrcs().eq(leaving));
            prop_assert_eq!(bye.reason, reason);
            prop_assert_eq!(read, app);
        }
    }
}
