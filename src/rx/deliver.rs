//! From an authenticated packet to the events in it. Third-party fields are read here for the first
//! time.

use std::{net::SocketAddr, time::Instant};

use super::{
    event::{Burst, Event, Media, Rtcp, Sink},
    port::Port,
    rate::Rate,
};
use crate::{
    error::Reject,
    srtp::{Opened, PacketKind},
    wire::{
        burst::{self, BurstEvent, BurstPacket},
        rtcp::{Compound, RtcpPacket, RtcpView},
        rtp::RtpView,
    },
};

/// Where and when a packet arrived.
pub(super) struct Arrival<'a> {
    pub(super) port: &'a Port,
    pub(super) source: SocketAddr,
    pub(super) now: Instant,
    /// Burst-control messages of the group.
    pub(super) bursts: &'a mut Rate,
}

/// Delivers one plain packet and counts it. Tells whether the sink got anything.
#[inline]
pub(super) fn deliver(
    arrival: &mut Arrival<'_>,
    kind: PacketKind,
    opened: &Opened,
    plain: &[u8],
    sink: &mut impl Sink,
) -> bool {
    let port = arrival.port;
    let delivered = match kind {
        PacketKind::Rtp => media(port, opened, plain, arrival.source, sink).map(|()| true),
        PacketKind::Rtcp => compound(arrival, plain, sink),
    };
    delivered.unwrap_or_else(|reject| {
        port.counters.rejects.add(reject);
        false
    })
}

fn media(
    port: &Port,
    opened: &Opened,
    packet: &[u8],
    source: SocketAddr,
    sink: &mut impl Sink,
) -> Result<(), Reject> {
    let rtp = RtpView::parse(packet)?;
    if !port.expects(rtp.payload_type()) {
        return Err(Reject::UnknownPayloadType);
    }
    //= RFC 9335 §5.1: the payload of such a packet has another key stream, so it is garbled now
    if rtp.extension().is_some_and(|extension| extension.is_cryptex()) {
        return Err(Reject::Unsupported);
    }
    let payload = rtp.unpadded_payload()?;
    port.counters.media.add(1);
    let Opened { ssrc, index, authenticated, .. } = *opened;
    port.counters.unauthenticated.add((!authenticated).into());
    let group = port.group;
    let media = Media { group, ssrc, index, payload, rtp, packet, source, authenticated };
    sink.event(Event::Media(media));
    Ok(())
}

/// All packets of a compound, or none if its lengths do not fit. Each that is refused
/// counts by itself.
fn compound(arrival: &mut Arrival<'_>, plain: &[u8], sink: &mut impl Sink) -> Result<bool, Reject> {
    let mut any = false;
    for packet in Compound::parse(plain)?.packets() {
        match rtcp(arrival, packet, sink) {
            Ok(()) => any = true,
            Err(reject) => arrival.port.counters.rejects.add(reject),
        }
    }
    Ok(any)
}

fn rtcp(
    arrival: &mut Arrival<'_>,
    packet: RtcpPacket<'_>,
    sink: &mut impl Sink,
) -> Result<(), Reject> {
    let Arrival { port, source, now, ref mut bursts } = *arrival;
    let group = port.group;
    match packet.view()? {
        RtcpView::App(app) if app.name == burst::NAME => {
            let message = BurstPacket::parse(&app)?;
            //= OMA PoC User Plane: what only a client sends cannot come from the group
            let event = BurstEvent::try_from(message.message)?;
            if !bursts.allows(now) {
                return Err(Reject::BurstRateLimit);
            }
            port.counters.burst.add(1);
            port.counters.ignored_octets.add(message.trailing.ignored() as u64);
            sink.event(Event::Burst(Burst { group, ssrc: app.ssrc, event, message, source }));
        }
        _ => {
            port.counters.rtcp.add(1);
            sink.event(Event::Rtcp(Rtcp { group, packet, source }));
        }
    }
    Ok(())
}
