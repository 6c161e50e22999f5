//! A gateway with many groups, and a sender to them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use mcast_srtp::{
    Gateway,
    group::{GroupSpec, MediaSpec, RtcpPlace},
    ids::{GroupId, Mki, MskId, MtkId},
    net::{ReceiveOptions, SendOptions, SendSocket},
    rx::Event,
    srtp::{Profile, Protector, TrafficKey},
};

const KEY: [u8; 16] = [0x31; 16];
const SALT: [u8; 14] = [0x32; 14];

pub(crate) fn mki() -> Mki {
    Mki::mbms(MskId { group: 1, number: 1 }, MtkId(1))
}

/// A port that nobody uses.
pub(crate) fn free_port() -> u16 {
    UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

/// Address number `n` of a block that no other test uses.
pub(crate) fn address(block: u8, n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    Ipv4Addr::new(239, block, high, low).into()
}

pub(crate) fn spec(interface: &str, group: SocketAddr, from: Option<&str>) -> GroupSpec {
    let media = MediaSpec::rtp(group.ip(), group.port()).with_rtcp(RtcpPlace::None);
    let media = from.into_iter().fold(media, |m, from| m.from_source(from.parse().unwrap()));
    let spec = GroupSpec::new(group.to_string(), interface.parse().unwrap());
    spec.with_media(media).with_mikey_port(None)
}

/// A gateway, and what it delivers: the group and the payload.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    interface: &'static str,
    delivered: Receiver<(GroupId, Vec<u8>)>,
    pub(crate) joined: BTreeMap<SocketAddr, GroupId>,
    key: TrafficKey,
    protector: Protector,
    sequence: u16,
}

impl World {
    pub(crate) fn new(interface: &'static str, lanes: usize, options: ReceiveOptions) -> Self {
        let (deliver, delivered) = mpsc::channel();
        let builder = Gateway::builder().lanes(lanes).receive_options(options);
        let gateway = builder
            .start(move |event: Event<'_>| {
                if let Event::Media(media) = event {
                    let _ = deliver.send((media.group, media.payload.to_vec()));
                }
            })
            .unwrap();
        let key = TrafficKey::new(mki(), Profile::default(), &KEY, &SALT).unwrap();
        let (joined, protector) = (BTreeMap::new(), Protector::new());
        Self { gateway, interface, delivered, joined, key, protector, sequence: 0 }
    }

    pub(crate) fn join(&mut self, group: SocketAddr, from: Option<&str>) {
        let id = self.gateway.join(spec(self.interface, group, from)).unwrap();
        self.gateway.insert_traffic_key(id, mki(), Profile::default(), &KEY, &SALT).unwrap();
        self.joined.insert(group, id);
    }

    pub(crate) fn leave(&mut self, group: SocketAddr) {
        let id = self.joined.remove(&group).unwrap();
        self.gateway.leave(id).unwrap();
    }

    /// A packet whose payload is the name of its destination.
    pub(crate) fn packet(&mut self, to: SocketAddr) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let [s0, s1] = self.sequence.to_be_bytes();
        let mut packet = vec![0x80, 96, s0, s1, 0, 0, 0, 1, 0xca, 0xfe, 0xba, 0xbe];
        packet.extend(to.to_string().as_bytes());
        self.protector.protect_rtp(&self.key, &mut packet).unwrap();
        packet
    }

    /// Sends a packet to each, and expects those of the joined groups, each under its own number.
    pub(crate) fn check(&mut self, all: &[SocketAddr], socket: &SendSocket) {
        for group in all {
            let packet = self.packet(*group);
            // Where nobody has joined, the system may say so.
            let sent = socket.send(&packet, *group);
            assert!(sent.is_ok() || !self.joined.contains_key(group), "{sent:?}");
        }
        self.expect(1);
    }

    /// Waits for that many packets of every joined group, each under its group's number, and no more.
    pub(crate) fn expect(&self, of_each: usize) {
        let mut missing: Vec<_> = self.joined.iter().flat_map(|g| vec![g; of_each]).collect();
        while !missing.is_empty() {
            let next = self.delivered.recv_timeout(Duration::from_secs(10));
            let (id, payload) = next.unwrap_or_else(|_| panic!("not heard: {missing:?}"));
            let to: SocketAddr = String::from_utf8(payload).unwrap().parse().unwrap();
            let place = missing.iter().position(|group| *group == (&to, &id));
            missing.swap_remove(place.unwrap_or_else(|| panic!("{to} in group {id}")));
        }
        assert!(self.delivered.try_recv().is_err());
    }
}

/// Sends out of this interface, from this address and port if they are given.
pub(crate) fn sender(group: IpAddr, interface: &str, from: Option<&str>) -> SendSocket {
    let options = SendOptions::default();
    let options = match from {
        Some(from) => options.with_source(from.parse().unwrap()),
        None => options,
    };
    SendSocket::open(group, &interface.parse().unwrap(), &options).unwrap()
}

pub(crate) fn small() -> ReceiveOptions {
    ReceiveOptions::default().with_buffer(64 << 10)
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
