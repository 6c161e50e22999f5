//! Groups that share a socket hear each other, or go short while others are joined and left.

use std::net::{SocketAddr, UdpSocket};

use mcast_srtp::net::ReceiveOptions;

use crate::{
    private_net,
    world::{World, address, free_port, sender, small, spec, wait_until},
};

#[test]
fn two_hundred_and_fifty_groups_on_few_sockets_are_told_apart() {
    let port = free_port();
    let groups: Vec<_> = (0..250).map(|n| SocketAddr::new(address(81, n), port)).collect();
    let mut world = World::new("lo", 2, small());
    groups.iter().for_each(|group| world.join(*group, None));
    let sockets = world.gateway.stats().sockets;
    let per_lane = ReceiveOptions::OWN_SOCKETS;
    assert_eq!(sockets.open - sockets.shared, 2 * per_lane);
    assert!(sockets.shared < (250 - 2 * per_lane) / 4, "{sockets:?}");
    let socket = sender(address(0, 1), "lo", None);
    (0..5).for_each(|_| world.check(&groups, &socket));
    assert_eq!(world.gateway.stats().sockets.unknown_destination, 0);
    let stats = world.gateway.stats();
    assert!(stats.groups.iter().all(|(_, _, stats)| (stats.datagrams, stats.media) == (5, 5)));
}

#[test]
fn groups_joined_and_left_in_any_order_never_hear_each_other() {
    let ports = [free_port(), free_port(), free_port()];
    let all: Vec<_> =
        (0..90).map(|n| SocketAddr::new(address(82, n), ports[usize::from(n) % 3])).collect();
    let mut world = World::new("lo", 2, small().with_sharing(2, 7));
    let (socket, mut random) = (sender(address(0, 1), "lo", None), 0x2545_f491_4f6c_dd1d_u64);
    for round in 0..12 {
        for _ in 0..60 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round | 1);
            let group = all[(random >> 33) as usize % all.len()];
            if world.joined.contains_key(&group) {
                world.leave(group);
            } else {
                world.join(group, None);
            }
        }
        world.check(&all, &socket);
    }
    for group in all {
        if world.joined.contains_key(&group) {
            world.leave(group);
        }
    }
    assert_eq!(world.gateway.stats().sockets.open, 0);
}

#[test]
fn each_group_on_a_shared_socket_has_its_own_senders() {
    let port = free_port();
    let group = |n: u8| SocketAddr::from(([232, 83, 0, n], port));
    let mut world = World::new("lo", 1, small().with_sharing(0, 100));
    world.join(group(1), Some("127.0.0.1"));
    world.join(group(2), Some("127.0.0.2"));
    assert_eq!(world.gateway.stats().sockets.open, 1);
    for (right, wrong) in [(1, 2), (2, 1)] {
        let (right, wrong) = (format!("127.0.0.{right}"), format!("127.0.0.{wrong}"));
        let target = if right.ends_with('1') { group(1) } else { group(2) };
        for from in [wrong, right] {
            let packet = world.packet(target);
            sender(target.ip(), "lo", Some(&format!("{from}:0"))).send(&packet, target).unwrap();
        }
    }
    world.expect(1);
    let stats = world.gateway.stats();
    assert!(stats.groups.iter().all(|(_, _, stats)| stats.datagrams == 1));
    // The same group once more, with the other sender: on a socket of its own.
    let other = world.gateway.join(spec("lo", group(1), Some("127.0.0.2"))).unwrap();
    assert_eq!(world.gateway.stats().sockets.open, 2);
    world.gateway.leave(other).unwrap();
    assert_eq!(world.gateway.stats().sockets.open, 1);
}

#[test]
fn unicast_to_a_shared_port_is_counted_and_goes_to_no_group() {
    let port = free_port();
    let groups = [1, 2].map(|n| SocketAddr::new(address(84, n), port));
    let mut world = World::new("lo", 1, small().with_sharing(0, 100));
    groups.iter().for_each(|group| world.join(*group, None));
    let packet = world.packet(groups[0]);
    let unicast = UdpSocket::bind("127.0.0.1:0").unwrap();
    unicast.send_to(&packet, ("127.0.0.1", port)).unwrap();
    world.check(&groups, &sender(address(0, 1), "lo", None));
    wait_until("counted", || world.gateway.stats().sockets.unknown_destination == 1);
}

#[test]
fn ipv6_groups_share_a_socket_too() {
    private_net::run("shared::ipv6_groups_share_a_socket_too", true, || {
        let port = free_port();
        let group = |text: String| SocketAddr::new(text.parse().unwrap(), port);
        let any: Vec<_> = (1..=60).map(|n| group(format!("ff15::84:{n:x}"))).collect();
        let specific: Vec<_> = (1..=20).map(|n| group(format!("ff35::84:{n:x}"))).collect();
        let link: Vec<_> = (1..=20).map(|n| group(format!("ff12::84:{n:x}"))).collect();
        let mut world = World::new("lo", 1, small().with_sharing(0, 100));
        any.iter().chain(&link).for_each(|group| world.join(*group, None));
        specific.iter().for_each(|group| world.join(*group, Some("::1")));
        assert_eq!(world.gateway.stats().sockets.open, 1);
        let socket = sender(any[0].ip(), "lo", None);
        let all = [any, specific, link].concat();
        world.check(&all, &socket);
        all.iter().step_by(2).for_each(|group| world.leave(*group));
        world.check(&all, &socket);
    });
}

#[test]
fn drops_at_a_shared_socket_are_counted_for_each_group_and_once_for_all() {
    let port = free_port();
    let groups = [1, 2].map(|n| SocketAddr::new(address(85, n), port));
    let options = ReceiveOptions::default().with_buffer(8 << 10).with_sharing(0, 100);
    let mut world = World::new("lo", 1, options);
    groups.iter().for_each(|group| world.join(*group, None));
    let (socket, garbage) = (sender(address(0, 1), "lo", None), [0x20; 200]);
    let mut sent = 0;
    wait_until("drops", || {
        (0..500).for_each(|_| socket.send(&garbage, groups[0]).unwrap());
        sent += 500;
        world.gateway.stats().sockets.drops > 0
    });
    // Counters settle within a second: what was received and what was dropped is what was sent.
    wait_until("all accounted for", || {
        let stats = world.gateway.stats();
        let datagrams: u64 = stats.groups.iter().map(|(_, _, stats)| stats.datagrams).sum();
        let (_, _, idle) = stats.groups[1];
        datagrams + stats.sockets.drops == sent && idle.socket_drops == stats.sockets.drops
    });
}
