//! Socket addresses as the kernel writes them.

use std::{
    ffi::c_int,
    net::{IpAddr, SocketAddr, SocketAddrV6},
};

/// `sockaddr_in` or `sockaddr_in6`, as octets.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4))]
pub(super) struct Name([u8; Self::LEN]);

impl Name {
    /// Octets of the longer of the two.
    pub(super) const LEN: usize = size_of::<libc::sockaddr_in6>();

    /// A name to be overwritten.
    pub(super) const EMPTY: Self = Self([0; Self::LEN]);

    pub(super) fn from_addr(addr: SocketAddr) -> Self {
        let mut name = [0; Self::LEN];
        let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 } as u16; // 2 or 10
        name[..2].copy_from_slice(&family.to_ne_bytes());
        name[2..4].copy_from_slice(&addr.port().to_be_bytes());
        match addr {
            SocketAddr::V4(addr) => name[4..8].copy_from_slice(&addr.ip().octets()),
            SocketAddr::V6(addr) => {
                name[4..8].copy_from_slice(&addr.flowinfo().to_be_bytes());
                name[8..24].copy_from_slice(&addr.ip().octets());
                name[24..28].copy_from_slice(&addr.scope_id().to_ne_bytes());
            }
        }
        Self(name)
    }

    /// The length that goes with the family.
    pub(super) fn len(&self) -> libc::socklen_t {
        let v4 = c_int::from(self.family()) == libc::AF_INET;
        let len = if v4 { size_of::<libc::sockaddr_in>() } else { Self::LEN };
        len as libc::socklen_t // 16 or 28
    }

    pub(super) fn to_addr(self) -> SocketAddr {
        let [_, _, p0, p1, a, b, c, d, rest @ ..] = self.0;
        let port = u16::from_be_bytes([p0, p1]);
        if c_int::from(self.family()) != libc::AF_INET6 {
            return SocketAddr::new(IpAddr::from([a, b, c, d]), port);
        }
        let (ip, scope) = rest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        let scope = scope.first_chunk().map_or(0, |scope| u32::from_ne_bytes(*scope));
        SocketAddrV6::new((*ip).into(), port, u32::from_be_bytes([a, b, c, d]), scope).into()
    }

    const fn family(&self) -> u16 {
        u16::from_ne_bytes([self.0[0], self.0[1]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_their_address_and_back() {
        let scoped = SocketAddrV6::new([0xfe80, 0, 0, 0, 0, 0, 0, 0x17].into(), 5004, 7, 3);
        for addr in ["192.0.2.1:5004".parse().unwrap(), SocketAddr::V6(scoped)] {
            assert_eq!(Name::from_addr(addr).to_addr(), addr);
        }
    }
}
