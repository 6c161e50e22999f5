//! An interface goes away and comes back, and its groups stay silent.

use std::{
    env,
    net::SocketAddr,
    process::{Command, Stdio},
};

use crate::{
    private_net,
    world::{World, free_port, sender, small, wait_until},
};

/// Runs a test in a network of its own, if this host makes one with interfaces; else says so.
fn run(test: &str, body: impl FnOnce()) {
    let possible = || {
        let try_it = format!("--user --map-user=0 --net ip {}", MAKE[0]);
        Command::new("unshare").args(try_it.split(' ')).stderr(Stdio::null()).status()
    };
    if env::var_os(private_net::INSIDE).is_some() || possible().is_ok_and(|made| made.success()) {
        private_net::run(test, true, body);
    } else {
        eprintln!("{test}: this host makes no network namespace with veth (unshare, ip)");
    }
}

/// Runs `ip` of iproute2 with each of these lines.
fn ip(lines: &[&str]) {
    for line in lines {
        let done = Command::new("ip").args(line.split(' ')).output().expect("ip of iproute2");
        assert!(done.status.success(), "ip {line}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

const MAKE: [&str; 5] = [
    "link add here0 type veth peer name there0",
    "address add 10.9.9.1/24 dev here0",
    "link set here0 up",
    "link set there0 up",
    "-6 address add fd09::1/64 dev here0 nodad",
];
const DELETE: &str = "link delete here0";

/// Groups of every kind: alone on a socket and sharing one, from any sender and from one, IPv6.
fn join_all(world: &mut World) -> Vec<SocketAddr> {
    let port = free_port();
    let groups = ["239.86.0.1", "239.86.0.2", "239.86.0.3", "232.86.0.4", "232.86.0.5", "ff15::86"];
    let groups = groups.map(|text| SocketAddr::new(text.parse().unwrap(), port));
    for group in groups {
        let specific = group.ip().to_string().starts_with("232.");
        world.join(group, specific.then_some("10.9.9.1"));
    }
    groups.to_vec()
}

/// Sends to every group out of the interface as it is now, and expects all of it.
fn all_are_heard(world: &mut World, groups: &[SocketAddr]) {
    let (v4, v6): (Vec<_>, Vec<_>) = groups.iter().copied().partition(SocketAddr::is_ipv4);
    for family in [v4, v6] {
        let Some(first) = family.first() else { continue };
        // From one port always: a stream from another would be another sender's.
        let from = if first.is_ipv4() { "10.9.9.1:5006" } else { "[fd09::1]:5006" };
        let socket = sender(first.ip(), "here0", Some(from));
        for group in &family {
            let packet = world.packet(*group);
            socket.send(&packet, *group).unwrap();
        }
    }
    world.expect(1);
}

#[test]
fn groups_are_joined_again_when_their_interface_was_deleted_and_made_again() {
    const NAME: &str =
        "interfaces::groups_are_joined_again_when_their_interface_was_deleted_and_made_again";
    run(NAME, || {
        ip(&MAKE);
        let mut world = World::new("here0", 1, small().with_sharing(1, 100));
        let groups = join_all(&mut world);
        all_are_heard(&mut world, &groups);
        for turn in 1..=3 {
            ip(&[DELETE]);
            wait_until("lost", || world.gateway.stats().sockets.interfaces_lost == turn);
            ip(&MAKE);
            let rejoined = turn * groups.len() as u64;
            wait_until("joined", || world.gateway.stats().sockets.rejoined >= rejoined);
            all_are_heard(&mut world, &groups);
        }
        assert_eq!(world.gateway.stats().sockets.rejoined, 3 * groups.len() as u64);
    });
}

#[test]
fn an_interface_that_comes_back_under_its_old_number_is_noticed() {
    const NAME: &str = "interfaces::an_interface_that_comes_back_under_its_old_number_is_noticed";
    run(NAME, || {
        let mut make = MAKE;
        make[0] = "link add here0 index 77 type veth peer name there0";
        ip(&make);
        let mut world = World::new("here0", 1, small().with_sharing(1, 100));
        let groups = join_all(&mut world);
        // At once: whoever looks now and then sees no difference.
        ip(&[DELETE]);
        ip(&make);
        let rejoined = || world.gateway.stats().sockets.rejoined;
        wait_until("joined", || rejoined() >= groups.len() as u64);
        all_are_heard(&mut world, &groups);
    });
}

#[test]
fn a_link_that_goes_down_and_up_loses_no_membership() {
    const NAME: &str = "interfaces::a_link_that_goes_down_and_up_loses_no_membership";
    run(NAME, || {
        ip(&MAKE);
        let mut world = World::new("here0", 1, small());
        let groups = join_all(&mut world);
        ip(&["link set here0 down", "link set here0 up", MAKE[4]]);
        all_are_heard(&mut world, &groups);
        let sockets = world.gateway.stats().sockets;
        assert_eq!((sockets.interfaces_lost, sockets.rejoined), (0, 0));
    });
}

#[test]
fn groups_that_routing_placed_follow_the_route() {
    run("interfaces::groups_that_routing_placed_follow_the_route", || {
        let route = "route add 224.0.0.0/4 dev here0";
        ip(&MAKE);
        ip(&[route]);
        let mut world = World::new("any", 1, small().with_sharing(1, 100));
        let port = free_port();
        let group = |text: &str| SocketAddr::new(text.parse().unwrap(), port);
        let groups = [group("239.87.0.1"), group("239.87.0.2"), group("232.87.0.3")];
        for group in groups {
            let specific = group.ip().to_string().starts_with("232.");
            world.join(group, specific.then_some("10.9.9.1"));
        }
        all_are_heard(&mut world, &groups);
        ip(&[DELETE]);
        wait_until("lost", || world.gateway.stats().sockets.interfaces_lost == 1);
        ip(&MAKE);
        ip(&[route]);
        wait_until("joined", || world.gateway.stats().sockets.rejoined >= 3);
        all_are_heard(&mut world, &groups);
        // News of other interfaces change nothing.
        ip(&["link add other0 type veth peer name other1", "link delete other0"]);
        all_are_heard(&mut world, &groups);
        assert_eq!(world.gateway.stats().sockets.rejoined, 3);
    });
}
