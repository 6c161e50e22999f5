//! A receiver as a test sees it: datagrams in, what was heard and what became of each datagram out.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use mcast_srtp::{
    Reject,
    group::{GroupSpec, Interface, MediaSpec, RtcpPlace},
    ids::{GroupId, Ssrc},
    keys::PlaneLimits,
    rx::{BatchReport, Datagram, Event, GroupStats, Limits, PortId, Receiver},
};

use crate::group::{PAYLOAD_TYPE, muk, muk_id};

pub(crate) struct Client {
    pub(crate) receiver: Receiver,
    pub(crate) group: GroupId,
    pub(crate) ports: Ports,
    pub(crate) delivered: Delivered,
    totals: BatchReport,
    datagrams: usize,
}

/// What reached the user.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    /// SSRC, index and payload of each media packet.
    pub(crate) heard: Vec<(Ssrc, u64, Vec<u8>)>,
    /// Burst-control messages, by name.
    pub(crate) bursts: Vec<&'static str>,
    /// Other RTCP packets, by type.
    pub(crate) rtcp: Vec<u8>,
}

/// Where the datagrams of a group arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) media: PortId,
    pub(crate) burst: PortId,
    pub(crate) keys: PortId,
}

impl Ports {
    pub(crate) fn each(self) -> [PortId; 3] {
        [self.media, self.burst, self.keys]
    }
}

impl Client {
    /// The client `c1` with its MUK and one group.
    pub(crate) fn new() -> Self {
        Self::named("c1", &Limits::default())
    }

    pub(crate) fn named(name: &str, limits: &Limits) -> Self {
        Self::with_limits(name, limits, PlaneLimits::default())
    }

    pub(crate) fn with_limits(name: &str, limits: &Limits, plane: PlaneLimits) -> Self {
        let mut receiver = Receiver::new(limits, plane);
        receiver.insert_muk(muk_id(name), muk(name)).unwrap();
        let (group, ports) = add_group(&mut receiver, 17);
        Self {
            receiver,
            group,
            ports,
            delivered: Delivered::default(),
            totals: BatchReport::default(),
            datagrams: 0,
        }
    }

    /// Another group beside the first.
    pub(crate) fn add_group(&mut self, number: u8) -> (GroupId, Ports) {
        add_group(&mut self.receiver, number)
    }

    /// One datagram from the usual source, alone in its batch.
    pub(crate) fn receive(&mut self, port: PortId, octets: &[u8], now: Instant) -> BatchReport {
        self.receive_batch(&[(port, octets)], now)
    }

    /// Datagrams from the usual source, in one batch.
    pub(crate) fn receive_batch(
        &mut self,
        datagrams: &[(PortId, &[u8])],
        now: Instant,
    ) -> BatchReport {
        let from_source: Vec<_> =
            datagrams.iter().map(|(port, octets)| (*port, source(1), *octets)).collect();
        self.receive_from(&from_source, now)
    }

    /// Datagrams from anywhere, in one batch.
    pub(crate) fn receive_from(
        &mut self,
        datagrams: &[(PortId, SocketAddr, &[u8])],
        now: Instant,
    ) -> BatchReport {
        let mut copies: Vec<_> = datagrams.iter().map(|(.., octets)| octets.to_vec()).collect();
        let mut batch: Vec<_> = datagrams
            .iter()
            .zip(&mut copies)
            .map(|((port, source, _), bytes)| Datagram {
                port: *port,
                source: *source,
                truncated: false,
                bytes,
            })
            .collect();
        self.run_batch(&mut batch, now)
    }

    pub(crate) fn run_batch(&mut self, batch: &mut [Datagram<'_>], now: Instant) -> BatchReport {
        self.datagrams += batch.len();
        let (receiver, delivered) = (&mut self.receiver, &mut self.delivered);
        let report = receiver.run_batch(batch, now, &mut |event| delivered.note(&event));
        self.add(report)
    }

    pub(crate) fn tick(&mut self, now: Instant) -> BatchReport {
        let (receiver, delivered) = (&mut self.receiver, &mut self.delivered);
        let report = receiver.tick(now, &mut |event| delivered.note(&event));
        self.add(report)
    }

    pub(crate) fn stats(&self) -> GroupStats {
        self.receiver.stats(self.group).unwrap()
    }

    /// How often this verdict was given in the first group.
    pub(crate) fn count(&self, reject: Reject) -> u64 {
        self.stats().rejects.count(reject)
    }

    /// The verdicts given in the first group.
    pub(crate) fn verdicts(&self) -> Vec<(Reject, u64)> {
        self.stats().rejects.iter().collect()
    }

    /// Indexes of the media packets delivered, in the order of delivery.
    pub(crate) fn indexes(&self) -> Vec<u64> {
        self.delivered.heard.iter().map(|(_, index, _)| *index).collect()
    }

    /// Every datagram so far was delivered, passed on as a key message, or counted under a reason.
    /// Lets time pass until nothing is held back.
    pub(crate) fn assert_nothing_is_lost_silently(&mut self, now: Instant) {
        self.tick(now + Limits::default().hold_time + Duration::from_secs(1));
        assert_eq!(self.receiver.lane().held(), 0);
        let BatchReport { accepted, rejected, key_messages, held, released, .. } = self.totals;
        assert_eq!(accepted + rejected + key_messages, self.datagrams, "{:?}", self.totals);
        // A datagram of RTCP may hold several packets; all others deliver one thing or nothing.
        assert!(accepted <= self.delivered.count());
        assert!(released <= held);
    }

    fn add(&mut self, report: BatchReport) -> BatchReport {
        let totals = &mut self.totals;
        totals.accepted += report.accepted;
        totals.rejected += report.rejected;
        totals.held += report.held;
        totals.released += report.released;
        totals.key_messages += report.key_messages;
        report
    }
}

impl Delivered {
    pub(crate) fn count(&self) -> usize {
        self.heard.len() + self.bursts.len() + self.rtcp.len()
    }

    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Media(media) => {
                self.heard.push((media.ssrc, media.index.value(), media.payload.to_vec()));
            }
            Event::Burst(burst) => self.bursts.push(burst.event.name()),
            Event::Rtcp(rtcp) => self.rtcp.push(rtcp.packet.packet_type()),
            _ => {}
        }
    }
}

/// A sender by number.
pub(crate) fn source(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 49170))
}

fn add_group(receiver: &mut Receiver, number: u8) -> (GroupId, Ports) {
    let address = std::net::IpAddr::from([239, 10, 0, number]);
    let media = MediaSpec::rtp(address, 49170).with_rtcp(RtcpPlace::None);
    let spec = GroupSpec::new(number.to_string(), Interface::Any)
        .with_media(media.with_payload_types(&[PAYLOAD_TYPE]))
        .with_media(MediaSpec::burst(address, 49172));
    let added = receiver.add_group(&spec).unwrap();
    let port = |wanted| added.sockets.iter().find(|(socket, _)| socket.port == wanted).unwrap().1;
    let ports = Ports { media: port(49170), burst: port(49172), keys: port(GroupSpec::MIKEY_PORT) };
    (added.group, ports)
}
