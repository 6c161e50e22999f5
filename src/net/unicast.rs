//! A unicast socket beside groups on the same port.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::sys;

/// Opens a blocking socket that hears no group, not even those that others on the host have joined on
/// its port. Nobody else may have the address; on Linux, groups joined later may share the port.
///
/// # Errors
/// The system's answer.
pub(crate) fn bind_unicast(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    let socket = UdpSocket::from(socket);
    // Before bind: from then on datagrams of other programs' groups could be queued.
    sys::hear_own_memberships_only(&socket, address.ip())?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // Such a socket hears IPv4 too.
        sys::hear_own_memberships_only(&socket, Ipv4Addr::UNSPECIFIED.into())?;
    }
    let options = socket2::SockRef::from(&socket);
    options.bind(&address.into())?;
    // Elsewhere the option would let anybody take the port.
    if cfg!(target_os = "linux") {
        options.set_reuse_address(true)?;
    }
    Ok(socket)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        group::{Interface, SocketSpec},
        net::{ReceiveOptions, ReceiveSocket, SendOptions, SendSocket},
    };

    #[test]
    fn a_unicast_socket_does_not_hear_the_groups_on_its_port() {
        let any = (Ipv4Addr::UNSPECIFIED, 0).into();
        let unicast = bind_unicast(any).unwrap();
        let port = unicast.local_addr().unwrap().port();
        let group = SocketAddr::from(([239, 255, 68, 1], port));
        let (lo, options) = (Interface::name("lo"), ReceiveOptions::default());
        let spec = SocketSpec::new(group.ip(), port);
        let _joined = ReceiveSocket::open(&spec, &lo, &options).unwrap();
        let sender = SendSocket::open(group.ip(), &lo, &SendOptions::default()).unwrap();
        sender.send(b"to the group", group).unwrap();
        sender.send(b"to the host", (Ipv4Addr::LOCALHOST, port).into()).unwrap();
        let mut octets = [0; 64];
        unicast.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (len, _) = unicast.recv_from(&mut octets).unwrap();
        assert_eq!(&octets[..len], b"to the host");
        let second = bind_unicast((Ipv4Addr::UNSPECIFIED, port).into());
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
