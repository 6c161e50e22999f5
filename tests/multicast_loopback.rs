//! Every receiver hears its own groups and senders, all of them, and nothing else. On loopback.

mod private_net;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use mcast_srtp::{
    group::{GroupSpec, Interface, MediaSpec, RtcpPlace, SocketSpec, SourceFilter},
    net::{Arena, Poller, ReceiveOptions, ReceiveSocket, SendOptions, SendSocket},
};

/// The last datagram of every test: what has not come before it does not come.
const END: &[u8] = b"end";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A port that nobody uses.
fn free_port() -> u16 {
    UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

fn receiver(group: &str, port: u16, sources: SourceFilter) -> ReceiveSocket {
    let spec = SocketSpec::new(ip(group), port).with_sources(sources);
    ReceiveSocket::open(&spec, &Interface::name("lo"), &ReceiveOptions::default()).unwrap()
}

/// Sends out of the loopback interface, from this address if it is given.
fn send(datagram: &[u8], group: &str, port: u16, from: Option<&str>) {
    let options = SendOptions::default();
    let options = match from {
        Some(from) => options.with_source(SocketAddr::new(ip(from), 0)),
        None => options,
    };
    let socket = SendSocket::open(ip(group), &Interface::name("lo"), &options).unwrap();
    socket.send(datagram, SocketAddr::new(ip(group), port)).unwrap();
}

/// Everything up to the end mark, as text.
fn heard(socket: &ReceiveSocket) -> Vec<String> {
    let mut poller = Poller::new().unwrap();
    poller.add(socket.udp(), 0).unwrap();
    let (mut arena, mut heard) = (Arena::default(), Vec::new());
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        poller.wait(Some(Duration::from_secs(1))).unwrap();
        arena.receive(socket.udp()).unwrap();
        for datagram in arena.datagrams() {
            if *datagram.bytes == *END {
                return heard;
            }
            heard.push(String::from_utf8_lossy(datagram.bytes).into_owned());
        }
    }
    panic!("no end mark after {heard:?}");
}

#[test]
fn any_sender_of_a_group_is_heard() {
    let port = free_port();
    let socket = receiver("239.255.60.1", port, SourceFilter::Any);
    send(b"one", "239.255.60.1", port, Some("127.0.0.1"));
    send(b"two", "239.255.60.1", port, Some("127.0.0.2"));
    send(END, "239.255.60.1", port, None);
    assert_eq!(heard(&socket), ["one", "two"]);
}

#[test]
fn a_source_specific_group_lets_its_senders_through_alone() {
    let port = free_port();
    let wanted = SourceFilter::Include(vec![ip("127.0.0.2"), ip("127.0.0.3")]);
    let socket = receiver("232.255.60.2", port, wanted);
    for from in ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"] {
        send(from.as_bytes(), "232.255.60.2", port, Some(from));
    }
    send(END, "232.255.60.2", port, Some("127.0.0.2"));
    assert_eq!(heard(&socket), ["127.0.0.2", "127.0.0.3"]);
}

#[test]
fn an_excluded_sender_is_not_heard() {
    let port = free_port();
    let unwanted = SourceFilter::Exclude(vec![ip("127.0.0.2"), ip("127.0.0.3")]);
    let socket = receiver("239.255.60.3", port, unwanted);
    for from in ["127.0.0.2", "127.0.0.4", "127.0.0.3"] {
        send(from.as_bytes(), "239.255.60.3", port, Some(from));
    }
    send(END, "239.255.60.3", port, Some("127.0.0.1"));
    assert_eq!(heard(&socket), ["127.0.0.4"]);
}

#[test]
fn a_group_that_only_others_joined_is_not_heard() {
    let port = free_port();
    let other = receiver("239.255.60.4", port, SourceFilter::Any);
    let lo = Interface::name("lo");
    let bound = ReceiveSocket::bind(ip("239.255.60.4"), port, &lo, &ReceiveOptions::default());
    let mut bound = bound.unwrap();
    send(b"too early", "239.255.60.4", port, None);
    send(END, "239.255.60.4", port, None);
    assert_eq!(heard(&other), ["too early"]);
    bound.join(ip("239.255.60.4"), &SourceFilter::Any, &lo).unwrap();
    send(END, "239.255.60.4", port, None);
    assert_eq!(heard(&bound), [""; 0]);
}

#[test]
fn two_groups_on_one_port_are_kept_apart() {
    let port = free_port();
    let a = receiver("239.255.60.5", port, SourceFilter::Any);
    let b = receiver("239.255.60.6", port, SourceFilter::Any);
    send(b"to a", "239.255.60.5", port, None);
    send(b"to b", "239.255.60.6", port, None);
    send(END, "239.255.60.5", port, None);
    send(END, "239.255.60.6", port, None);
    assert_eq!((heard(&a), heard(&b)), (vec!["to a".to_owned()], vec!["to b".to_owned()]));
}

#[test]
fn two_receivers_of_one_group_both_hear_it() {
    let port = free_port();
    let a = receiver("239.255.60.7", port, SourceFilter::Any);
    let b = receiver("239.255.60.7", port, SourceFilter::Any);
    send(b"both", "239.255.60.7", port, None);
    send(END, "239.255.60.7", port, None);
    assert_eq!((heard(&a), heard(&b)), (vec!["both".to_owned()], vec!["both".to_owned()]));
}

#[test]
fn a_group_left_is_silent_and_joined_again_is_heard() {
    let port = free_port();
    let (lo, group) = (Interface::name("lo"), ip("232.255.60.8"));
    let sources = SourceFilter::Include(vec![ip("127.0.0.1")]);
    let mut socket = receiver("232.255.60.8", port, sources.clone());
    let witness = receiver("232.255.60.8", port, sources.clone());
    socket.leave(group).unwrap();
    assert!(socket.leave(group).unwrap_err().to_string().contains("has not been joined"));
    send(b"away", "232.255.60.8", port, None);
    send(END, "232.255.60.8", port, None);
    assert_eq!(heard(&witness), ["away"]);
    socket.join(group, &sources, &lo).unwrap();
    socket.rejoin().unwrap();
    assert_eq!(socket.memberships().collect::<Vec<_>>(), [(group, &sources)]);
    send(b"back", "232.255.60.8", port, None);
    send(END, "232.255.60.8", port, None);
    assert_eq!(heard(&socket), ["back"]);
}

#[test]
fn a_whole_description_opens_its_sockets() {
    let port = free_port();
    let spec = GroupSpec::new("loop", Interface::Addr(ip("127.0.0.1")))
        .with_media(MediaSpec::rtp(ip("239.255.60.9"), port).with_rtcp(RtcpPlace::Mux))
        .with_mikey_port(Some(free_port()));
    let open = |socket| ReceiveSocket::open(socket, &spec.interface, &ReceiveOptions::default());
    let sockets: Vec<_> = spec.sockets().unwrap().iter().map(|s| open(s).unwrap()).collect();
    for socket in &sockets {
        let (group, port) = (socket.local().ip().to_string(), socket.local().port());
        send(END, &group, port, None);
        assert_eq!(heard(socket), [""; 0]);
    }
    assert_eq!(sockets.len(), 2);
}

#[test]
fn batches_arrive_whole_and_in_order() {
    let port = free_port();
    let socket = receiver("239.255.60.10", port, SourceFilter::Any);
    let to = SocketAddr::new(ip("239.255.60.10"), port);
    let sender =
        SendSocket::open(to.ip(), &Interface::name("lo"), &SendOptions::default()).unwrap();
    let texts: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let mut batch: Vec<_> = texts.iter().map(|text| (text.as_bytes(), to)).collect();
    batch.push((END, to));
    assert_eq!(sender.send_batch(&batch).unwrap(), 201);
    assert_eq!(heard(&socket), texts);
}

#[test]
fn a_datagram_longer_than_a_slot_is_marked() {
    let port = free_port();
    let socket = receiver("239.255.60.11", port, SourceFilter::Any);
    send(&[7; 100], "239.255.60.11", port, Some("127.0.0.9"));
    let mut poller = Poller::new().unwrap();
    poller.add(socket.udp(), 0).unwrap();
    assert_eq!(poller.wait(Some(Duration::from_secs(10))).unwrap(), [0]);
    let mut arena = Arena::new(8, 99);
    assert_eq!(arena.receive(socket.udp()).unwrap(), 1);
    let datagram = arena.datagrams().next().unwrap();
    assert_eq!((datagram.bytes.len(), datagram.truncated), (99, true));
    assert_eq!(datagram.source.ip(), ip("127.0.0.9"));
}

#[test]
fn what_the_buffer_cannot_hold_is_counted() {
    let port = free_port();
    let spec = SocketSpec::new(ip("239.255.60.12"), port);
    let options = ReceiveOptions::default().with_buffer(8 * 1024);
    let socket = ReceiveSocket::open(&spec, &Interface::name("lo"), &options).unwrap();
    assert_eq!(socket.buffer_granted(), 8 * 1024);
    assert_eq!(socket.drops().unwrap(), 0);
    let to = SocketAddr::new(spec.group, port);
    let sender =
        SendSocket::open(to.ip(), &Interface::name("lo"), &SendOptions::default()).unwrap();
    (0..500).for_each(|_| sender.send(&[0; 200], to).unwrap());
    let mut arena = Arena::default();
    let mut received = 0;
    let deadline = Instant::now() + Duration::from_secs(10);
    while received + socket.drops().unwrap() < 500 && Instant::now() < deadline {
        received += u32::try_from(arena.receive(socket.udp()).unwrap()).unwrap();
    }
    let drops = socket.facts().drops.unwrap();
    assert!(drops > 0);
    assert_eq!(received + drops, 500);
}

#[test]
fn ipv6_groups_are_heard_like_the_others() {
    let inside = private_net::run("ipv6_groups_are_heard_like_the_others", true, || {
        let port = free_port();
        let any = receiver("ff15::60:1", port, SourceFilter::Any);
        let link = receiver("ff02::60:1", port, SourceFilter::Any);
        let ours = receiver("ff35::60:1", port, SourceFilter::Include(vec![ip("::1")]));
        let not_us = SourceFilter::Include(vec![ip("2001:db8::1")]);
        let theirs = receiver("ff35::60:1", port, not_us);
        let but_us = receiver("ff15::60:1", port, SourceFilter::Exclude(vec![ip("::1")]));
        for group in ["ff15::60:1", "ff15::60:2", "ff02::60:1", "ff35::60:1"] {
            send(group.as_bytes(), group, port, None);
            send(END, group, port, None);
        }
        assert_eq!(heard(&any), ["ff15::60:1"]);
        assert_eq!(heard(&link), ["ff02::60:1"]);
        assert_eq!(heard(&ours), ["ff35::60:1"]);
        for deaf in [theirs, but_us] {
            assert_eq!(Arena::default().receive(deaf.udp()).unwrap(), 0);
        }
    });
    if !inside {
        // Without a route for groups on loopback, joining is all that can be tried.
        drop(receiver("ff15::60:1", free_port(), SourceFilter::Any));
        drop(receiver("ff35::60:1", free_port(), SourceFilter::Include(vec![ip("::1")])));
    }
}

#[test]
fn a_filter_that_drops_silently_is_warned_of() {
    private_net::run("a_filter_that_drops_silently_is_warned_of", true, || {
        let socket = receiver("239.255.60.13", free_port(), SourceFilter::Any);
        assert_eq!(socket.facts().warnings(), [""; 0]);
        std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap();
        assert_eq!(socket.facts().reverse_path_filter, Some(1));
        assert!(socket.facts().warnings()[0].contains("net.ipv4.conf.lo.rp_filter"));
    });
}
