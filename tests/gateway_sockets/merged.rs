//! Datagrams that the kernel merges are cut apart in the wrong place, or lost.

#![expect(
    unsafe_code,
    reason = "the option that makes a sender hand over runs has no safe function"
)]

use std::{net::SocketAddr, os::fd::AsRawFd};

use mcast_srtp::{
    group::{Interface, SocketSpec},
    net::{Arena, ReceiveOptions, ReceiveSocket, SendSocket},
};

use crate::world::{World, address, free_port, sender, small, wait_until};

/// Makes one send hand over datagrams of this length, the last one shorter perhaps.
fn send_runs_of(socket: &SendSocket, octets: usize) {
    let octets = libc::c_int::try_from(octets).unwrap();
    // SAFETY: the value is an int, and the size given is that of an int.
    let result = unsafe {
        libc::setsockopt(
            socket.udp().as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const octets).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "UDP_SEGMENT: {}", std::io::Error::last_os_error());
}

fn receiver(group: SocketAddr, options: ReceiveOptions) -> ReceiveSocket {
    let spec = SocketSpec::new(group.ip(), group.port());
    ReceiveSocket::open(&spec, &Interface::name("lo"), &options).unwrap()
}

fn run(octets: usize) -> Vec<u8> {
    (0..octets).map(|n| (n % 251) as u8).collect()
}

#[test]
fn a_run_is_read_at_once_and_cut_where_it_was_joined() {
    let group = SocketAddr::new(address(88, 1), free_port());
    let merging = receiver(group, small().with_gro(true));
    let plain = receiver(group, small());
    let socket = sender(group.ip(), "lo", None);
    let mut arena = Arena::for_merged();
    for (whole, each) in [(1600, 200), (1601, 200), (1799, 200), (64 * 172, 172), (160, 200)] {
        send_runs_of(&socket, each);
        let sent = run(whole);
        socket.send(&sent, group).unwrap();
        assert_eq!(arena.receive_from(&merging.reader()).unwrap(), 1, "one read");
        let parts: Vec<Vec<u8>> = arena
            .datagrams()
            .map(|datagram| {
                assert!(!datagram.truncated);
                datagram.bytes.to_vec()
            })
            .collect();
        assert_eq!(parts, sent.chunks(each).map(<[u8]>::to_vec).collect::<Vec<_>>());
        let mut arena = Arena::default();
        assert_eq!(arena.receive_from(&plain.reader()).unwrap(), whole.div_ceil(each));
    }
}

#[test]
fn a_run_longer_than_its_slot_is_marked_at_its_end() {
    let group = SocketAddr::new(address(88, 2), free_port());
    let merging = receiver(group, small().with_gro(true));
    let socket = sender(group.ip(), "lo", None);
    send_runs_of(&socket, 200);
    socket.send(&run(1600), group).unwrap();
    let mut arena = Arena::new(4, 500);
    arena.receive_from(&merging.reader()).unwrap();
    let seen: Vec<_> = arena.datagrams().map(|d| (d.bytes.len(), d.truncated)).collect();
    assert_eq!(seen, [(200, false), (200, false), (100, true)]);
}

#[test]
fn merged_packets_of_groups_on_own_and_shared_sockets_are_all_delivered() {
    let port = free_port();
    let groups = [1, 2, 3].map(|n| SocketAddr::new(address(89, n), port));
    let mut world = World::new("lo", 1, small().with_gro(true).with_sharing(1, 100));
    groups.iter().for_each(|group| world.join(*group, None));
    let socket = sender(groups[0].ip(), "lo", None);
    for group in groups {
        let packets: Vec<_> = (0..40).map(|_| world.packet(group)).collect();
        send_runs_of(&socket, packets[0].len());
        socket.send(&packets.concat(), group).unwrap();
    }
    world.expect(40);
    let stats = world.gateway.stats();
    assert!(stats.groups.iter().all(|(_, _, stats)| stats.datagrams == 40));
    assert_eq!(stats.sockets.unknown_destination, 0);
}

#[test]
fn drops_of_merged_datagrams_are_counted_as_datagrams() {
    let group = SocketAddr::new(address(90, 1), free_port());
    let options = ReceiveOptions::default().with_buffer(8 << 10).with_gro(true);
    let mut world = World::new("lo", 1, options);
    world.join(group, None);
    let (socket, mut sent) = (sender(group.ip(), "lo", None), 0);
    send_runs_of(&socket, 200);
    let stats = || world.gateway.stats();
    wait_until("drops", || {
        (0..100).for_each(|_| socket.send(&run(1600), group).unwrap());
        sent += 800;
        stats().sockets.drops > 0
    });
    wait_until("accounted for", || stats().groups[0].2.datagrams + stats().sockets.drops == sent);
}
