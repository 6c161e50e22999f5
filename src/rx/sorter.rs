//! What a datagram is, before anything of it is proven: the first step of a lane.

use std::time::Instant;

use super::{
    event::{KeyMessage, Sink},
    lane::{BatchReport, Datagram},
    limits::Limits,
    port::{Port, PortId},
    rate::{ByGroup, RateBySource},
};
use crate::{
    error::Reject,
    srtp::{PacketKind, SessionId},
    wire::classify::{Class, classify},
};

/// The sockets of one thread, by number, and how often their groups may send key messages.
#[derive(Debug)]
pub(crate) struct Sorter {
    ports: Vec<Option<Port>>,
    key_messages: ByGroup<RateBySource>,
}

impl Sorter {
    pub(crate) const fn new(limits: &Limits) -> Self {
        let rate = RateBySource::per_second(limits.key_messages_per_second);
        Self { ports: Vec::new(), key_messages: ByGroup::new(rate) }
    }

    /// Adds a socket under the lowest number that is free.
    pub(crate) fn add_port(&mut self, port: Port) -> PortId {
        self.key_messages.add(port.group);
        let free = self.ports.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.ports.push(None);
            self.ports.len() - 1
        });
        self.ports[place] = Some(port);
        PortId(place)
    }

    pub(crate) fn remove_port(&mut self, port: PortId) -> Option<Port> {
        self.ports.get_mut(port.0).and_then(Option::take)
    }

    /// The port whose streams are in this session. Walks the list.
    pub(crate) fn port_of(&self, session: SessionId) -> Option<&Port> {
        self.ports.iter().flatten().find(|port| port.session == session)
    }

    #[inline]
    pub(crate) fn port(&self, port: PortId) -> Option<&Port> {
        self.ports.get(port.0).and_then(Option::as_ref)
    }

    /// Counts a datagram and passes key messages on; `Some` for what is to be decrypted.
    pub(crate) fn sort_out(
        &mut self,
        datagram: &Datagram<'_>,
        now: Instant,
        sink: &mut impl Sink,
        report: &mut BatchReport,
    ) -> Option<PacketKind> {
        let Some(Some(port)) = self.ports.get(datagram.port.0) else {
            report.rejected += 1;
            return None;
        };
        port.counters.datagrams.add(1);
        port.counters.octets.add(datagram.bytes.len() as u64);
        let sorted =
            if datagram.truncated { Err(Reject::Oversized) } else { sort(port, datagram.bytes) };
        let refused = match sorted {
            Ok(Some(kind)) => return Some(kind),
            Ok(None) => {
                let Datagram { source, ref bytes, .. } = *datagram;
                let message = KeyMessage { group: port.group, bytes, source };
                // One group, or one source of it, must not use up the time of the key plane.
                let allowed = self.key_messages.of(port.group).allows(source, now);
                if allowed { sink.key_message(message) } else { Err(Reject::KeyRateLimit) }
            }
            Err(reject) => Err(reject),
        };
        match refused {
            Ok(()) => {
                report.key_messages += 1;
                port.counters.key_messages.add(1);
            }
            Err(reject) => {
                report.rejected += 1;
                port.counters.rejects.add(reject);
            }
        }
        None
    }
}

/// What a datagram at this port is: RTP or RTCP, or `None` for a key message.
#[inline]
pub(super) fn sort(port: &Port, bytes: &[u8]) -> Result<Option<PacketKind>, Reject> {
    let carries = port.carries;
    let rtcp = carries.rtcp || carries.burst;
    match classify(bytes) {
        Class::Mikey if carries.mikey => Ok(None),
        //= RFC 5761 §4: the second octet tells them apart where both may come
        Class::Rtcp if rtcp => Ok(Some(PacketKind::Rtcp)),
        Class::Rtp | Class::Rtcp if carries.rtp => Ok(Some(PacketKind::Rtp)),
        _ => Err(Reject::UnknownProtocol),
    }
}
