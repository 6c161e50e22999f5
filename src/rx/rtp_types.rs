//! Media as packets of the `rtp` crate (feature `rtp-types`), for programs that use its depacketizers.

use rtp::packet::Packet;
use webrtc_util::marshal::Unmarshal;

use super::event::Media;
use crate::error::Reject;

impl Media<'_> {
    /// The packet as the `rtp` crate reads it. Copies the payload; what there is to check has been checked.
    ///
    /// # Errors
    /// [`Reject::Unsupported`] if that crate refuses what [`crate::wire::rtp`] accepts, for example
    /// a header extension of its own rules.
    pub fn to_packet(&self) -> Result<Packet, Reject> {
        Packet::unmarshal(&mut &*self.packet).map_err(|_| Reject::Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{GroupId, PacketIndex, Ssrc},
        wire::rtp::RtpView,
    };

    #[test]
    fn header_fields_and_payload_arrive() {
        let packet = [0x80, 0xe0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5, 1, 2, 3];
        let rtp = RtpView::parse(&packet).unwrap();
        let media = Media {
            group: GroupId(0),
            ssrc: Ssrc(5),
            index: PacketIndex::default(),
            payload: &packet[12..],
            rtp,
            packet: &packet,
            source: ([127, 0, 0, 1], 9).into(),
            authenticated: true,
        };
        let read = media.to_packet().unwrap();
        assert_eq!((read.header.sequence_number, read.header.ssrc), (7, 5));
        assert!(read.header.marker && read.payload == [1, 2, 3][..]);
    }
}
