//! Fear: something leaves in the clear.

use std::net::UdpSocket;

use mcast_srtp::{
    Reject,
    ids::Ssrc,
    wire::burst::{BurstMessage, BurstPacket, Release, Taken},
};

use crate::{
    sockets::{free_port, wait_until},
    world::{
        Listener, Place, SPEECH, Tap, channel, counters, document, media, on_air, speech, start,
        talk, wait_for_key,
    },
};

/// Everything that has left is a key message or protected, and was counted as that.
fn assert_nothing_plain(tap: &mut Tap, service: &mcast_srtp::service::BroadcastService) {
    let sent = || {
        let counters = counters(service);
        counters.packets_out + counters.key_messages
    };
    tap.wait_for(sent());
    assert!(tap.seen.len() as u64 <= sent(), "something left that was not counted");
    for (at, datagram) in &tap.seen {
        let plain = datagram.windows(SPEECH.len()).any(|octets| octets == SPEECH);
        assert!(!plain, "to {at}: {datagram:02x?}");
    }
}

fn control(message: BurstMessage<'_>) -> Vec<u8> {
    let mut packet = vec![0; BurstPacket::MAX_LEN];
    let len = BurstPacket::new(Ssrc(0x5e), message).write(&mut packet).unwrap();
    packet.truncate(len);
    packet
}

#[test]
fn no_plain_packet_leaves_before_the_first_key() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new("239.255.77.1");
    let (mut tap, service) = (Tap::new(&place), start(&folder.path().join("state")));
    service.open(place.channel()).unwrap();
    talk(&service, 1..4);
    assert_eq!((counters(&service).without_key, counters(&service).packets_out), (3, 0));
    service.follow(document(1, 1)).unwrap();
    // Announced, but not in force before its lead is over: these may be refused or protected.
    talk(&service, 4..9);
    wait_for_key(&service);
    talk(&service, 9..10);
    wait_until("sent", || counters(&service).packets_out > 0);
    assert_nothing_plain(&mut tap, &service);
}

#[test]
fn no_plain_packet_leaves_whatever_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new("239.255.77.2");
    let (mut tap, service) = (Tap::new(&place), on_air(&folder.path().join("state"), &place));
    let input = media(&service);
    let mut oversized = speech(2);
    oversized.resize(3000, 0);
    let mut other_type = speech(3);
    other_type[1] = 96;
    let mut padded = speech(4);
    padded[0] |= 0x20;
    *padded.last_mut().unwrap() = 0;
    let bad = [
        (speech(1), None),
        (speech(1), Some(Reject::Replayed)),
        (speech(20_000), None),
        (speech(10_000), Some(Reject::TooOld)),
        (oversized, Some(Reject::Oversized)),
        (other_type, Some(Reject::UnknownPayloadType)),
        (padded, Some(Reject::BadPadding)),
        (SPEECH.to_vec(), Some(Reject::UnknownProtocol)),
        (speech(5)[..11].to_vec(), Some(Reject::Truncated)),
        (Vec::new(), Some(Reject::UnknownProtocol)),
    ];
    for (packet, _) in &bad {
        input.push(packet.clone()).unwrap();
    }
    wait_until("taken", || counters(&service).packets_in == bad.len() as u64);
    assert_nothing_plain(&mut tap, &service);
    let refused = counters(&service).refused;
    for reject in bad.iter().filter_map(|(_, reject)| *reject) {
        let expected = bad.iter().filter(|(_, other)| *other == Some(reject)).count();
        assert_eq!(refused.count(reject), expected as u64, "{reject}");
    }
    assert_eq!(counters(&service).packets_out, 2);
}

#[test]
fn burst_control_goes_out_protected_and_what_clients_say_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new("239.255.77.3");
    let (mut tap, service) = (Tap::new(&place), on_air(&folder.path().join("state"), &place));
    let listener = Listener::new(&place, &[1]);
    let cname = std::str::from_utf8(SPEECH).unwrap();
    let taken = |ack_expected| {
        control(BurstMessage::Taken(Taken {
            cname: cname.into(),
            ack_expected,
            ..Taken::default()
        }))
    };
    let input = service.input(&channel(), 1).unwrap();
    let given = [
        taken(false),
        taken(true),
        control(BurstMessage::Release(Release::default())),
        speech(1),
        control(BurstMessage::Idle),
    ];
    given.into_iter().for_each(|packet| input.push(packet).unwrap());
    wait_until("taken", || counters(&service).packets_in == 5);
    let heard = || listener.gateway.stats().groups[0].2.burst;
    wait_until("Taken and Idle heard", || heard() == 2);
    assert_nothing_plain(&mut tap, &service);
    let refused = counters(&service).refused;
    for reject in [Reject::BadBurst, Reject::UnexpectedDirection, Reject::UnknownProtocol] {
        assert_eq!(refused.count(reject), 1, "{reject}");
    }
}

#[test]
fn udp_input_is_protected_and_heard_and_only_its_channel_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let (place, other) = (Place::new("239.255.77.4"), Place::new("239.255.77.5"));
    let mut tap = Tap::new(&other);
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let service = start(&folder.path().join("state"));
    service.open(place.channel().with_input(0, at)).unwrap();
    let mut second = other.channel();
    second.id = "group 18".into();
    service.open(second).unwrap();
    service.follow(document(1, 1)).unwrap();
    wait_for_key(&service);
    let (listener, sender) = (Listener::new(&place, &[1]), UdpSocket::bind("127.0.0.1:0").unwrap());
    for number in 1..300 {
        sender.send_to(&speech(number), at).unwrap();
        // The receive buffer is bounded, and this thread is not paced.
        if number % 50 == 0 {
            wait_until("taken", || counters(&service).packets_in == number);
        }
    }
    listener.wait_for(1..300);
    assert_eq!(listener.heard(), (1..300).collect::<Vec<_>>(), "in order, and none twice");
    tap.look();
    assert!(tap.seen.is_empty());
    let octets = counters(&service).octets_out - counters(&service).octets_in;
    assert_eq!(octets, 299 * 16, "a tag of ten octets and an MKI of six");
}

#[test]
fn port_that_is_taken_is_named_and_nothing_stays_open() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new("239.255.77.6");
    let service = start(&folder.path().join("state"));
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = holder.local_addr().unwrap();
    let free = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let wanted = place.channel().with_input(0, free).with_input(0, at);
    let error = service.open(wanted.clone()).unwrap_err().to_string();
    assert!(error.contains(&at.to_string()), "{error}");
    drop(holder);
    service.open(wanted).unwrap();
    let again = service.open(place.channel()).unwrap_err().to_string();
    assert!(again.contains("open already"), "{again}");
    service.close(&channel()).unwrap();
    assert!(service.close(&channel()).is_err());
    assert!(UdpSocket::bind(free).is_ok(), "the input is closed with its channel");
}
