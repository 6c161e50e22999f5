//! Whether a plain packet may be protected for a medium: before it is, and without any key.

use crate::{
    error::Reject,
    group::{MediaKind, MediaSpec},
    srtp::PacketKind,
    wire::{
        burst::{BurstMessage, bursts},
        classify::{Class, classify},
        rtcp::Compound,
        rtp::RtpView,
    },
};

/// What receivers of a medium expect.
#[derive(Debug)]
pub(super) struct Check {
    is_burst_control: bool,
    takes_rtcp: bool,
    /// RTP payload types; empty for any.
    payload_types: Vec<u8>,
}

impl Check {
    pub(super) fn of(medium: &MediaSpec, takes_rtcp: bool) -> Self {
        let is_burst_control = medium.kind == MediaKind::BurstControl;
        Self { is_burst_control, takes_rtcp, payload_types: medium.payload_types.clone() }
    }

    /// What a packet is.
    ///
    /// # Errors
    /// Why receivers could not use it, or should not get it: neither RTP nor RTCP, lengths that do
    /// not fit, a payload type that is not announced, a burst-control message that only a client
    /// sends or that would make the whole group answer.
    pub(super) fn kind(&self, packet: &[u8]) -> Result<PacketKind, Reject> {
        match classify(packet) {
            Class::Rtp if !self.is_burst_control => {
                let view = RtpView::parse(packet)?;
                view.unpadded_payload()?;
                let listed = self.payload_types.is_empty()
                    || self.payload_types.contains(&view.payload_type());
                if listed { Ok(PacketKind::Rtp) } else { Err(Reject::UnknownPayloadType) }
            }
            Class::Rtcp if self.takes_rtcp => {
                let compound = Compound::parse(packet)?;
                for burst in bursts(compound) {
                    let message = burst?.message;
                    if message.is_client_only() {
                        return Err(Reject::UnexpectedDirection);
                    }
                    if matches!(message, BurstMessage::Taken(taken) if taken.ack_expected) {
                        return Err(Reject::BadBurst);
                    }
                }
                Ok(PacketKind::Rtcp)
            }
            _ => Err(Reject::UnknownProtocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        group::RtcpPlace,
        ids::Ssrc,
        wire::burst::{BurstPacket, Release, Taken},
    };

    fn burst(message: BurstMessage<'_>) -> Vec<u8> {
        let mut packet = vec![0; BurstPacket::MAX_LEN];
        let len = BurstPacket::new(Ssrc(1), message).write(&mut packet).unwrap();
        packet.truncate(len);
        packet
    }

    fn checks() -> [Check; 2] {
        let group = "239.1.1.1".parse().unwrap();
        let audio = MediaSpec::rtp(group, 5004).with_rtcp(RtcpPlace::None);
        let audio = Check::of(&audio.with_payload_types(&[97]), false);
        [audio, Check::of(&MediaSpec::burst(group, 5006), true)]
    }

    #[test]
    fn what_receivers_cannot_use_is_refused_by_its_reason() {
        let [audio, control] = checks();
        let rtp = |second: u8, first: u8| {
            let mut packet = vec![first, second, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7];
            packet.extend([0; 20]);
            packet
        };
        assert_eq!(audio.kind(&rtp(97, 0x80)), Ok(PacketKind::Rtp));
        assert_eq!(audio.kind(&rtp(96, 0x80)), Err(Reject::UnknownPayloadType));
        assert_eq!(audio.kind(&rtp(97, 0xa0)), Err(Reject::BadPadding));
        assert_eq!(audio.kind(&rtp(97, 0x80)[..11]), Err(Reject::Truncated));
        assert_eq!(control.kind(&rtp(97, 0x80)), Err(Reject::UnknownProtocol));
        for other in [&[][..], &[0x16; 40], &[0x01, 0, 0, 0], b"hello"] {
            assert_eq!(audio.kind(other), Err(Reject::UnknownProtocol));
        }
    }

    #[test]
    fn group_gets_server_messages_that_nobody_answers() {
        let [audio, control] = checks();
        let idle = burst(BurstMessage::Idle);
        assert_eq!(control.kind(&idle), Ok(PacketKind::Rtcp));
        assert_eq!(audio.kind(&idle), Err(Reject::UnknownProtocol), "no place for RTCP");
        let taken =
            |ack_expected| burst(BurstMessage::Taken(Taken { ack_expected, ..Taken::default() }));
        assert_eq!(control.kind(&taken(false)), Ok(PacketKind::Rtcp));
        assert_eq!(control.kind(&taken(true)), Err(Reject::BadBurst));
        let release = burst(BurstMessage::Release(Release::default()));
        assert_eq!(control.kind(&release), Err(Reject::UnexpectedDirection));
        assert_eq!(control.kind(&idle[..11]), Err(Reject::BadRtcp));
    }
}
