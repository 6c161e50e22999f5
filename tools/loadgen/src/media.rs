//! Plain packets: media whose octets a receiver can check, and sender reports.

use bytes::Bytes;
use rtcp::{
    packet::Packet as Control,
    sender_report::SenderReport,
    source_description::{
        SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
    },
};
use rtp::{header::Header, packet::Packet};
use webrtc_util::marshal::Marshal;

use crate::Error;

/// The payload of the `number`-th media packet of a run: its number in eight octets as far as they
/// fit, then octets that differ from packet to packet.
#[must_use]
pub fn payload(number: u64, len: usize) -> Vec<u8> {
    let counted = number.to_be_bytes().into_iter();
    // The mask keeps one octet of the sum.
    counted.chain((0..).map(|i: u64| ((number + i) & 0xff) as u8)).take(len).collect()
}

/// Octets of an RTP packet.
pub(crate) fn rtp_packet(header: Header, payload: Vec<u8>) -> Result<Vec<u8>, Error> {
    let packet = Packet { header, payload: Bytes::from(payload) };
    packet.marshal().map(Vec::from).map_err(|e| Error::Usage(format!("no RTP packet: {e}")))
}

/// Octets of a compound packet: a sender report and a CNAME (RFC 3550 §6.1).
pub(crate) fn report(
    ssrc: u32,
    timestamp: u32,
    packets: u32,
    octets: u32,
) -> Result<Vec<u8>, Error> {
    let report = SenderReport {
        ssrc,
        rtp_time: timestamp,
        packet_count: packets,
        octet_count: octets,
        ..SenderReport::default()
    };
    let name = SourceDescriptionItem {
        sdes_type: SdesType::SdesCname,
        text: Bytes::from(format!("loadgen-{ssrc:08x}")),
    };
    let names = SourceDescription {
        chunks: vec![SourceDescriptionChunk { source: ssrc, items: vec![name] }],
    };
    let compound: [Box<dyn Control + Send + Sync>; 2] = [Box::new(report), Box::new(names)];
    rtcp::packet::marshal(&compound)
        .map(Vec::from)
        .map_err(|e| Error::Usage(format!("no RTCP packet: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_tells_its_number_at_any_length() {
        assert_eq!(payload(0x0102, 12), [0, 0, 0, 0, 0, 0, 1, 2, 2, 3, 4, 5]);
        assert_eq!(payload(u64::from(u32::MAX), 3), [0, 0, 0]);
        assert_eq!(payload(9, 0), []);
        assert_eq!(payload(9, 1400).len(), 1400);
    }
}
