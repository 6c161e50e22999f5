//! The gateway on real sockets: join, receive, leave, and what it says when it cannot.

mod private_net;

use std::{
    net::{IpAddr, SocketAddr},
    sync::mpsc,
    time::{Duration, Instant},
};

use mcast_srtp::{
    Gateway, Reject,
    group::{GroupSpec, Interface, MediaSpec, RtcpPlace},
    ids::{GroupId, Mki, MskId, MtkId},
    net::{SendOptions, SendSocket},
    rx::Event,
    srtp::{Profile, Protector, TrafficKey},
};

const MSK: MskId = MskId { group: 1, number: 1 };
const KEY: [u8; 16] = [0x31; 16];
const SALT: [u8; 14] = [0x32; 14];

fn mki() -> Mki {
    Mki::mbms(MSK, MtkId(1))
}

fn spec(group: &str, port: u16) -> GroupSpec {
    let media = MediaSpec::rtp(group.parse().unwrap(), port).with_rtcp(RtcpPlace::None);
    let media = media.with_payload_types(&[96]);
    GroupSpec::new(group, Interface::name("lo")).with_media(media).with_mikey_port(None)
}

fn sender(to: &str) -> SendSocket {
    let group: IpAddr = to.parse().unwrap();
    SendSocket::open(group, &Interface::name("lo"), &SendOptions::default()).unwrap()
}

fn rtp(seq: u16, payload_type: u8, payload: &[u8]) -> Vec<u8> {
    let [s0, s1] = seq.to_be_bytes();
    let mut packet = vec![0x80, payload_type, s0, s1, 0, 0, 0, 1, 0xca, 0xfe, 0xba, 0xbe];
    packet.extend(payload);
    packet
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn media_of_a_joined_group_arrives_in_the_clear_and_stops_after_leaving() {
    media_arrives_and_stops("239.255.71.1");
}

#[test]
fn media_of_an_ipv6_group_arrives_in_the_clear_and_stops_after_leaving() {
    let test = "media_of_an_ipv6_group_arrives_in_the_clear_and_stops_after_leaving";
    private_net::run(test, true, || media_arrives_and_stops("ff15::7101"));
}

fn media_arrives_and_stops(group: &str) {
    // Free for both families; below the ports that the system gives out.
    let port = 27101;
    let (deliver, delivered) = mpsc::channel();
    let mut gateway = Gateway::builder()
        .lanes(2)
        .group(spec(group, port))
        .start(move |event: Event<'_>| {
            if let Event::Media(media) = event {
                let _ = deliver.send((media.index, media.payload.to_vec()));
            }
        })
        .unwrap();
    let id = GroupId(0);
    gateway.insert_traffic_key(id, mki(), Profile::default(), &KEY, &SALT).unwrap();

    let key = TrafficKey::new(mki(), Profile::default(), &KEY, &SALT).unwrap();
    let mut protector = Protector::new();
    let (socket, to) = (sender(group), SocketAddr::new(group.parse().unwrap(), port));
    for seq in 65_500_u32..65_600 {
        let mut packet = rtp((seq & 0xffff) as u16, 96, &seq.to_be_bytes());
        protector.protect_rtp(&key, &mut packet).unwrap();
        socket.send(&packet, to).unwrap();
    }
    for seq in 65_500_u32..65_600 {
        let (index, payload) = delivered.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!((index.value(), payload), (u64::from(seq), seq.to_be_bytes().to_vec()));
    }
    let mut other = rtp(64, 97, b"not announced");
    protector.protect_rtp(&key, &mut other).unwrap();
    socket.send(&other, to).unwrap();
    socket.send(&[0x20; 100], to).unwrap();
    let stats = |gateway: &Gateway| gateway.stats().groups[0].2;
    wait_until("counted", || stats(&gateway).datagrams == 102);
    wait_until("refused", || stats(&gateway).rejects.total() == 2);
    assert_eq!(stats(&gateway).rejects.count(Reject::UnknownPayloadType), 1);
    assert_eq!(stats(&gateway).rejects.count(Reject::UnknownProtocol), 1);
    assert_eq!(stats(&gateway).media, 100);

    gateway.leave(id).unwrap();
    let mut late = rtp(70, 96, b"late");
    protector.protect_rtp(&key, &mut late).unwrap();
    // Nobody on this host has joined any more; the system may say so.
    let _ = socket.send(&late, to);
    assert!(delivered.recv_timeout(Duration::from_millis(200)).is_err());
    assert!(gateway.leave(id).unwrap_err().to_string().contains("not joined"));
    gateway.stop();
}

#[test]
fn packets_wait_for_a_key_that_comes_later() {
    let (deliver, delivered) = mpsc::channel();
    let gateway = Gateway::builder()
        .group(spec("239.255.71.2", 47103))
        .start(move |event: Event<'_>| {
            if let Event::Media(media) = event {
                let _ = deliver.send(media.index.seq().0);
            }
        })
        .unwrap();
    let key = TrafficKey::new(mki(), Profile::AEAD_AES_128_GCM, &KEY, &SALT).unwrap();
    let (socket, mut protector) = (sender("239.255.71.2"), Protector::new());
    for seq in 1..=20 {
        let mut packet = rtp(seq, 96, b"held back");
        protector.protect_rtp(&key, &mut packet).unwrap();
        socket.send(&packet, "239.255.71.2:47103".parse().unwrap()).unwrap();
    }
    wait_until("held", || gateway.stats().groups[0].2.held == 20);
    let profile = Profile::AEAD_AES_128_GCM;
    gateway.insert_traffic_key(GroupId(0), mki(), profile, &KEY, &SALT).unwrap();
    for seq in 1..=20 {
        assert_eq!(delivered.recv_timeout(Duration::from_secs(10)), Ok(seq));
    }
    wait_until("released", || gateway.stats().groups[0].2.released == 20);
}

#[test]
fn a_packet_whose_key_never_comes_is_counted_after_the_hold_time() {
    let gateway = Gateway::builder().group(spec("239.255.71.3", 47104)).start(|_| {}).unwrap();
    let mut packet = rtp(1, 96, b"nobody has this key");
    let key = TrafficKey::new(mki(), Profile::default(), &KEY, &SALT).unwrap();
    Protector::new().protect_rtp(&key, &mut packet).unwrap();
    sender("239.255.71.3").send(&packet, "239.255.71.3:47104".parse().unwrap()).unwrap();
    let expired = || gateway.stats().groups[0].2.rejects.count(Reject::HoldExpired);
    wait_until("expired", || expired() == 1);
}

#[test]
fn a_thousand_groups_joined_and_left_use_no_more_numbers_than_two_at_a_time() {
    let mut gateway = Gateway::builder().start(|_| {}).unwrap();
    let kept = gateway.join(spec("239.255.71.6", 47106)).unwrap();
    for _ in 0..1000 {
        let passing = gateway.join(spec("239.255.71.7", 47107)).unwrap();
        assert_eq!((kept, passing), (GroupId(0), GroupId(1)));
        gateway.leave(passing).unwrap();
    }
    gateway.leave(kept).unwrap();
    assert_eq!(gateway.join(spec("239.255.71.7", 47107)).unwrap(), GroupId(0));
}

#[test]
fn a_group_that_cannot_be_joined_says_what_to_do() {
    let start = |spec: GroupSpec| Gateway::builder().group(spec).start(|_| {}).unwrap_err();
    assert!(start(spec("10.1.2.3", 47105)).to_string().contains("multicast"));
    let mut nowhere = spec("239.255.71.4", 47105);
    nowhere.interface = Interface::name("no-such-interface");
    assert!(start(nowhere).to_string().contains("no-such-interface"));
    let mut broken = spec("239.255.71.5", 47105);
    broken.key_messages = vec![vec![0x01; 9]];
    assert!(start(broken).to_string().contains("refused: mikey_"));
}
