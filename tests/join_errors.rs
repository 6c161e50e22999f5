//! A group that cannot be joined is an error at once, and says what to do about it.

mod private_net;

use std::{
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use mcast_srtp::{
    Error,
    group::{Interface, SocketSpec, SourceFilter},
    net::{ReceiveOptions, ReceiveSocket, SendOptions, SendSocket},
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn lo() -> Interface {
    Interface::name("lo")
}

fn free_port() -> u16 {
    UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

fn open(group: &str, port: u16, interface: &Interface) -> Result<ReceiveSocket, Error> {
    ReceiveSocket::open(&SocketSpec::new(ip(group), port), interface, &ReceiveOptions::default())
}

fn bind(group: &str) -> ReceiveSocket {
    ReceiveSocket::bind(ip(group), free_port(), &lo(), &ReceiveOptions::default()).unwrap()
}

fn limit(name: &str) -> u8 {
    fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap().trim().parse().unwrap()
}

#[track_caller]
fn assert_says<T: std::fmt::Debug>(result: Result<T, Error>, words: &[&str]) {
    let error = result.unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "no {word:?} in: {error}");
    }
}

#[test]
fn unknown_interface_lists_those_there_are() {
    assert_says(open("239.255.61.1", 5004, &Interface::name("nosuch0")), &["nosuch0", "lo (127."]);
    let addr = Interface::Addr(ip("203.0.113.9"));
    assert_says(open("239.255.61.1", 5004, &addr), &["address 203.0.113.9", "lo (127.0.0.1"]);
    assert_says(open("239.255.61.1", 5004, &Interface::Index(4_000_000)), &["number 4000000"]);
    // The interface is part of the address of a link-local group.
    assert_says(open("ff02::61:1", 5004, &Interface::name("nosuch0")), &["nosuch0"]);
    let group = ip("239.255.61.1");
    let sender = SendSocket::open(group, &Interface::name("nosuch0"), &SendOptions::default());
    assert_says(sender, &["nosuch0"]);
}

#[test]
fn address_that_is_not_multicast() {
    assert_says(open("192.0.2.1", 5004, &lo()), &["192.0.2.1", "not a multicast address"]);
    assert_says(open("2001:db8::1", 5004, &lo()), &["2001:db8::1", "ff00::/8"]);
    let joined = bind("239.255.61.2").join(ip("10.1.1.1"), &SourceFilter::Any, &lo());
    assert_says(joined, &["10.1.1.1", "not a multicast address"]);
}

#[test]
fn source_specific_address_without_sender() {
    assert_says(open("232.255.61.1", 5004, &lo()), &["source-specific", "name its sender"]);
    let spec = SocketSpec::new(ip("239.255.61.1"), 5004);
    let spec = spec.with_sources(SourceFilter::Include(vec![ip("::1")]));
    assert_says(
        ReceiveSocket::open(&spec, &lo(), &ReceiveOptions::default()),
        &["::1", "different address families"],
    );
}

#[test]
fn port_that_another_program_keeps_to_itself() {
    let other = UdpSocket::bind("239.255.61.3:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let colon = format!(":{port}");
    assert_says(open("239.255.61.3", port, &lo()), &["239.255.61.3", "another program", &colon]);
    drop(other);
    open("239.255.61.3", port, &lo()).unwrap();
}

#[test]
fn one_group_more_than_a_socket_may_join() {
    let mut socket = bind("239.255.61.4");
    let most = limit("igmp_max_memberships");
    for place in 0..most {
        socket.join(IpAddr::from([239, 255, 62, place]), &SourceFilter::Any, &lo()).unwrap();
    }
    let group = IpAddr::from([239, 255, 62, most]);
    let words = ["net.ipv4.igmp_max_memberships", &format!("join {most} groups")];
    assert_says(socket.join(group, &SourceFilter::Any, &lo()), &words);
    assert_eq!(socket.memberships().count(), usize::from(most));
    // The limit is each socket's own, and a group left makes room.
    bind("239.255.61.4").join(group, &SourceFilter::Any, &lo()).unwrap();
    socket.leave(IpAddr::from([239, 255, 62, 0])).unwrap();
    socket.join(group, &SourceFilter::Any, &lo()).unwrap();
}

#[test]
fn one_sender_more_than_a_group_may_have() {
    let mut socket = bind("232.255.61.5");
    let most = limit("igmp_max_msf");
    let sources = (0..=most).map(|place| IpAddr::from([127, 0, 1, place])).collect();
    let filter = SourceFilter::Include(sources);
    assert_says(socket.join(ip("232.255.61.5"), &filter, &lo()), &["net.ipv4.igmp_max_msf"]);
    assert_eq!(socket.memberships().count(), 0);
    // Nothing of the failed attempt is left behind.
    let one = SourceFilter::Include(vec![ip("127.0.1.0")]);
    socket.join(ip("232.255.61.5"), &one, &lo()).unwrap();
}

#[test]
fn group_joined_twice_on_one_socket() {
    let mut socket = open("239.255.61.6", free_port(), &lo()).unwrap();
    let again = socket.join(ip("239.255.61.6"), &SourceFilter::Any, &lo());
    assert_says(again, &["239.255.61.6", "on lo", "already"]);
}

#[test]
fn source_address_of_another_host_or_family() {
    let send = |from: &str| {
        let options = SendOptions::default().with_source(SocketAddr::new(ip(from), 0));
        SendSocket::open(ip("239.255.61.7"), &lo(), &options)
    };
    assert_says(send("203.0.113.9"), &["203.0.113.9", "not an address of this host"]);
    assert_says(send("::1"), &["different address families"]);
}

#[test]
fn datagram_that_cannot_be_sent() {
    let group = ip("239.255.61.8");
    let socket = SendSocket::open(group, &lo(), &SendOptions::default()).unwrap();
    assert_says(socket.send(&[0; 65_535], SocketAddr::new(group, 5004)), &["longer than"]);
    let empty = socket.send_batch(&[]).unwrap();
    assert_eq!(empty, 0);
}

#[test]
fn privileged_port_without_the_privilege() {
    private_net::run("privileged_port_without_the_privilege", false, || {
        let words = ["port 53", "CAP_NET_BIND_SERVICE", "ip_unprivileged_port_start"];
        assert_says(open("239.255.61.9", 53, &lo()), &words);
    });
}

#[test]
fn buffer_beyond_the_limit_without_the_privilege() {
    private_net::run("buffer_beyond_the_limit_without_the_privilege", false, || {
        let options = ReceiveOptions::default().with_buffer(1 << 30);
        let socket = ReceiveSocket::bind(ip("239.255.61.10"), 5004, &lo(), &options).unwrap();
        assert!(socket.buffer_granted() < 1 << 30);
        assert!(socket.facts().warnings()[0].contains("net.core.rmem_max"));
    });
}
