//! What to do about a socket call that failed.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
};

use crate::error::Error;

/// What was tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tried<'a> {
    /// `socket`.
    Open,
    /// `bind` to a group or address and a port.
    Bind(IpAddr, u16),
    /// Joining a group for every sender, on the interface of this name.
    Join(IpAddr, &'a str),
    /// Joining a group for one sender.
    JoinSource(IpAddr, IpAddr, &'a str),
    /// Leaving a group.
    Leave(IpAddr, &'a str),
    /// Choosing the interface to send from.
    SendInterface(&'a str),
    /// Sending to a group, out of the interface of this name.
    Send(SocketAddr, &'a str),
    /// Setting an option, named here.
    Option(&'static str),
}

/// Adds to the system's answer what was tried and what would help.
pub(super) fn advise(tried: Tried<'_>, error: io::Error) -> Error {
    let what = describe(tried);
    let context = match remedy(tried, error.kind(), error.raw_os_error()) {
        Some(remedy) => format!("{what} ({remedy})"),
        None => what,
    };
    Error::io(context, error)
}

fn describe(tried: Tried<'_>) -> String {
    match tried {
        Tried::Open => "cannot open a UDP socket".to_owned(),
        Tried::Bind(addr, port) => format!("cannot bind to {addr} port {port}"),
        Tried::Join(group, interface) => format!("cannot join {group} on {interface}"),
        Tried::JoinSource(group, source, interface) => {
            format!("cannot join {group} from {source} on {interface}")
        }
        Tried::Leave(group, interface) => format!("cannot leave {group} on {interface}"),
        Tried::SendInterface(interface) => format!("cannot send multicast out of {interface}"),
        Tried::Send(to, interface) => {
            format!("cannot send to {} port {} out of {interface}", to.ip(), to.port())
        }
        Tried::Option(name) => format!("cannot set the socket option {name}"),
    }
}

fn remedy(tried: Tried<'_>, kind: io::ErrorKind, code: Option<i32>) -> Option<String> {
    use io::ErrorKind::{
        AddrInUse, AddrNotAvailable, InvalidInput, NetworkUnreachable, PermissionDenied,
    };
    Some(match (tried, kind) {
        (Tried::Bind(_, port), AddrInUse) => format!(
            "another program holds the port without sharing it; find it with `ss -lunp 'sport = \
             :{port}'` and stop it, or choose another port"
        ),
        (Tried::Bind(_, port), PermissionDenied) => format!(
            "ports below {} need CAP_NET_BIND_SERVICE; grant it to the program, lower \
             net.ipv4.ip_unprivileged_port_start to {port}, or choose a higher port",
            setting("net/ipv4/ip_unprivileged_port_start").unwrap_or(1024)
        ),
        (Tried::Bind(addr, _), AddrNotAvailable) => {
            format!("{addr} is not an address of this host; check interface and IPv6 settings")
        }
        (Tried::Send(..), PermissionDenied) => "a firewall rule of this host forbids it".to_owned(),
        (Tried::Send(to, interface), NetworkUnreachable) => {
            format!("there is no route; add one: {}", route(to.ip(), interface))
        }
        (_, PermissionDenied) => {
            "the security policy of this host or container forbids it; run the program with the \
             network rights it needs"
                .to_owned()
        }
        (Tried::Join(..), AddrInUse) => "the socket has joined it already".to_owned(),
        (Tried::JoinSource(..), AddrInUse | AddrNotAvailable) => {
            "the socket has joined it for this sender already, or for every sender".to_owned()
        }
        (Tried::Leave(..), AddrNotAvailable) => "the socket has not joined it".to_owned(),
        (Tried::Join(..) | Tried::JoinSource(..), InvalidInput) => {
            "not a multicast address".to_owned()
        }
        _ => return remedy_by_code(tried, code?),
    })
}

/// Whether a join failed because the socket has joined all it may, so that another one might.
#[cfg(unix)]
pub(crate) fn is_full(error: &Error) -> bool {
    let code = |source: &io::Error| source.raw_os_error();
    matches!(error, Error::Io { source, .. }
        if matches!(code(source), Some(libc::ENOBUFS | libc::ENOMEM)))
}

#[cfg(not(unix))]
pub(crate) fn is_full(_: &Error) -> bool {
    false
}

/// The command that makes multicast leave by an interface.
fn route(group: IpAddr, interface: &str) -> String {
    match group {
        IpAddr::V4(_) => format!("ip route add 224.0.0.0/4 dev {interface}"),
        // On the loopback interface Linux takes a route of this type only.
        IpAddr::V6(_) if interface == "lo" => "ip -6 route add local ff00::/8 dev lo".to_owned(),
        IpAddr::V6(_) => {
            format!("ip -6 route add multicast ff00::/8 dev {interface} table local")
        }
    }
}

#[cfg(unix)]
fn remedy_by_code(tried: Tried<'_>, code: i32) -> Option<String> {
    Some(match (tried, code) {
        (Tried::Join(IpAddr::V4(_), _), libc::ENOBUFS) => format!(
            "one socket may join {} groups; open a socket per group, or raise \
             net.ipv4.igmp_max_memberships",
            setting("net/ipv4/igmp_max_memberships").unwrap_or(20)
        ),
        (Tried::JoinSource(IpAddr::V4(_), ..), libc::ENOBUFS) => format!(
            "one socket may join {} groups with {} senders each; open a socket per group, or raise \
             net.ipv4.igmp_max_memberships or net.ipv4.igmp_max_msf",
            setting("net/ipv4/igmp_max_memberships").unwrap_or(20),
            setting("net/ipv4/igmp_max_msf").unwrap_or(10)
        ),
        (Tried::JoinSource(IpAddr::V6(_), ..), libc::ENOBUFS) => format!(
            "one socket may name {} senders of an IPv6 group; raise net.ipv6.mld_max_msf",
            setting("net/ipv6/mld_max_msf").unwrap_or(64)
        ),
        (Tried::Join(..) | Tried::JoinSource(..), libc::ENOMEM | libc::ENOBUFS) => {
            "the socket's option memory is used up; open a socket per group, or raise \
             net.core.optmem_max"
                .to_owned()
        }
        (Tried::Join(group, _) | Tried::JoinSource(group, ..), libc::ENODEV) => format!(
            "no such interface, or no route that chooses one; name the interface, or add a route: {}",
            route(group, "NAME")
        ),
        (Tried::Send(..), libc::EMSGSIZE) => {
            "the datagram is longer than UDP or the interface allows".to_owned()
        }
        (Tried::Open, libc::EMFILE | libc::ENFILE) => {
            "the limit of open files is reached; raise it with `ulimit -n` or LimitNOFILE="
                .to_owned()
        }
        (Tried::Open, libc::EAFNOSUPPORT) => {
            "this host has no such address family; enable IPv6, or use an IPv4 group".to_owned()
        }
        _ => return None,
    })
}

#[cfg(not(unix))]
fn remedy_by_code(_: Tried<'_>, _: i32) -> Option<String> {
    None
}

/// A number under /proc/sys; `None` where there is none.
pub(super) fn setting(path: &str) -> Option<u32> {
    fs::read_to_string(format!("/proc/sys/{path}")).ok()?.trim().parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn text(tried: Tried<'_>, code: i32) -> String {
        advise(tried, io::Error::from_raw_os_error(code)).to_string()
    }

    #[test]
    fn missing_permission_names_the_capability() {
        let group = IpAddr::from([239, 1, 1, 1]);
        let bind = text(Tried::Bind(group, 53), libc::EACCES);
        assert!(bind.contains("CAP_NET_BIND_SERVICE") && bind.contains("port 53"), "{bind}");
        assert!(text(Tried::Open, libc::EPERM).contains("security policy"));
    }

    #[test]
    fn limits_name_the_setting_to_raise() {
        let v4 = IpAddr::from([232, 1, 1, 1]);
        let v6 = IpAddr::from([0xff35, 0, 0, 0, 0, 0, 0, 1]);
        assert!(text(Tried::Join(v4, "lo"), libc::ENOBUFS).contains("igmp_max_memberships"));
        assert!(text(Tried::JoinSource(v4, v4, "lo"), libc::ENOBUFS).contains("igmp_max_msf"));
        assert!(text(Tried::JoinSource(v6, v6, "lo"), libc::ENOBUFS).contains("mld_max_msf"));
        assert!(text(Tried::Join(v6, "lo"), libc::ENOMEM).contains("optmem_max"));
        assert!(text(Tried::Open, libc::EMFILE).contains("ulimit"));
        assert!(text(Tried::Open, libc::EAFNOSUPPORT).contains("IPv6"));
    }

    #[test]
    fn a_vanished_interface_and_a_missing_route_are_told() {
        let v6 = IpAddr::from([0xff15, 0, 0, 0, 0, 0, 0, 1]);
        assert!(text(Tried::Join(v6, "eth7"), libc::ENODEV).contains("multicast ff00::/8"));
        let to = SocketAddr::new(v6, 5004);
        assert!(text(Tried::Send(to, "lo"), libc::ENETUNREACH).contains("local ff00::/8 dev lo"));
        assert!(text(Tried::Send(to, "eth7"), libc::ENETUNREACH).contains("dev eth7 table"));
        assert!(text(Tried::Send(to, "eth7"), libc::EPERM).contains("firewall"));
        assert!(text(Tried::SendInterface("eth7"), libc::ENODEV).contains("out of eth7"));
    }
}
