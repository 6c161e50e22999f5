//! How receive sockets are opened.

use std::net::IpAddr;

use super::{advice::setting, sys};

/// Options of [`ReceiveSocket::open`](super::ReceiveSocket::open), and of the groups of a gateway.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReceiveOptions {
    /// Octets of receive buffer to ask for. The default, 4 MiB, holds about 10 000 speech datagrams.
    pub buffer: usize,
    /// Lets the kernel merge datagrams of equal length and one sender into one read (`UDP_GRO`). Off by
    /// default: it pays only where the network card or the sender hands over such runs, and the lane
    /// needs 1 MiB more. No effect on systems other than Linux.
    pub gro: bool,
    /// Groups on one port, interface and lane that have a socket each, before further ones share.
    /// Default 64. A socket of its own hears nothing but its group; one that is shared also gets, and
    /// refuses, what is sent to the port by unicast.
    pub own_sockets: usize,
    /// Groups that share a socket, at most [`ReceiveOptions::MAX_GROUPS_PER_SOCKET`]; 1 for a socket
    /// each. IPv4 memberships are limited by `net.ipv4.igmp_max_memberships` too, 20 by default.
    pub groups_per_socket: usize,
}

impl ReceiveOptions {
    /// Default of [`ReceiveOptions::own_sockets`].
    pub const OWN_SOCKETS: usize = 64;
    /// Most groups that share a socket: the kernel walks the list for every datagram to the port.
    pub const MAX_GROUPS_PER_SOCKET: usize = 100;

    /// The options with another receive buffer.
    #[must_use]
    pub const fn with_buffer(self, octets: usize) -> Self {
        Self { buffer: octets, ..self }
    }

    /// The options with merged datagrams or without.
    #[must_use]
    pub const fn with_gro(self, gro: bool) -> Self {
        Self { gro, ..self }
    }

    /// The options with other numbers of groups that have a socket of their own, and that share one.
    #[must_use]
    pub const fn with_sharing(self, own_sockets: usize, groups_per_socket: usize) -> Self {
        Self { own_sockets, groups_per_socket, ..self }
    }

    /// How many groups of this address family share a socket; 1 for no sharing.
    pub(crate) fn room(&self, group: IpAddr) -> usize {
        if !sys::SHARES_SOCKETS {
            return 1;
        }
        let room = self.groups_per_socket.clamp(1, Self::MAX_GROUPS_PER_SOCKET);
        match group {
            IpAddr::V4(_) => room.min(max_memberships().max(1)),
            IpAddr::V6(_) => room,
        }
    }
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        Self {
            buffer: 4 << 20,
            gro: false,
            own_sockets: Self::OWN_SOCKETS,
            groups_per_socket: Self::MAX_GROUPS_PER_SOCKET,
        }
    }
}

/// IPv4 groups that one socket may join, as the system is set.
pub(super) fn max_memberships() -> usize {
    const USUAL: u32 = 20;
    let set = setting("net/ipv4/igmp_max_memberships").unwrap_or(USUAL);
    usize::try_from(set).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_by_the_named_limit_and_never_nothing() {
        let (v4, v6) = (IpAddr::from([239, 1, 1, 1]), IpAddr::from([0xff15, 0, 0, 0, 0, 0, 0, 1]));
        let room =
            |per_socket, group| ReceiveOptions::default().with_sharing(0, per_socket).room(group);
        assert_eq!((room(0, v4), room(1, v6), room(0, v6)), (1, 1, 1));
        if sys::SHARES_SOCKETS {
            assert_eq!(room(usize::MAX, v6), ReceiveOptions::MAX_GROUPS_PER_SOCKET);
            assert_eq!(room(usize::MAX, v4), max_memberships().min(100));
        }
    }
}
