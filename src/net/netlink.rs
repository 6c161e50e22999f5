//! The kernel's news of network interfaces: which are gone, and that something has changed.

#![expect(unsafe_code, reason = "socket2 has no netlink addresses")]

use std::{
    io::{self, Read},
    time::Duration,
};

use arrayvec::ArrayVec;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{Poller, Waker};

/// A route socket of the kernel. Owned by one thread.
#[derive(Debug)]
pub(crate) struct LinkWatch {
    socket: Socket,
    poller: Poller,
}

/// What has happened to the interfaces.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct LinkChanges {
    /// Whether anything has.
    pub(crate) any: bool,
    /// Numbers of interfaces that were deleted.
    pub(crate) deleted: ArrayVec<u32, { Self::MAX_DELETED }>,
}

impl LinkChanges {
    /// Deletions told at once. Further ones show by the number that a name has now.
    const MAX_DELETED: usize = 64;

    /// Reads the messages of one datagram.
    fn read(&mut self, mut octets: &[u8]) {
        while let Some((kind, body, behind)) = message(octets) {
            self.any = true;
            //= ifinfomsg: family, type, index. A bridge says with its own family that a port has left.
            let index = body.get(4..).and_then(<[u8]>::first_chunk::<4>);
            if let (libc::RTM_DELLINK, Some(0), Some(index)) = (kind, body.first(), index) {
                let _further = self.deleted.try_push(u32::from_ne_bytes(*index));
            }
            octets = behind;
        }
    }
}

impl LinkWatch {
    /// Subscribes to links and addresses.
    ///
    /// # Errors
    /// The system's answer; some containers forbid it.
    pub(crate) fn open() -> io::Result<Self> {
        let domain = Domain::from(libc::AF_NETLINK);
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(libc::NETLINK_ROUTE)))?;
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        // SAFETY: the storage is zeroed and longer than `sockaddr_nl`, for which it is aligned; the
        // length given back is that of `sockaddr_nl`.
        let ((), address) = unsafe {
            SockAddr::try_init(|storage, len| {
                let address = storage.cast::<libc::sockaddr_nl>();
                (*address).nl_family = libc::AF_NETLINK as _; // 16
                (*address).nl_groups = groups as u32; // bits 0 to 8
                *len = size_of::<libc::sockaddr_nl>() as libc::socklen_t; // 12
                Ok(())
            })?
        };
        socket.bind(&address)?;
        socket.set_nonblocking(true)?;
        let mut poller = Poller::new()?;
        poller.add_any(&socket, 0)?;
        Ok(Self { socket, poller })
    }

    /// Waits for news, so long at most (`None`: for ever), or until woken; takes all that has come by
    /// then, within a bound.
    ///
    /// # Errors
    /// The system's answer. News that it lost for want of room count as a change.
    pub(crate) fn wait(&mut self, patience: Option<Duration>) -> io::Result<LinkChanges> {
        let mut changes = LinkChanges::default();
        self.poller.wait(patience)?;
        let mut octets = [0; 8192];
        for _ in 0..DATAGRAMS_AT_ONCE {
            match (&self.socket).read(&mut octets) {
                Ok(len) => {
                    // Also if it was longer than the room for it, so that none of it can be read.
                    changes.any = true;
                    changes.read(octets.get(..len).unwrap_or_default());
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => changes.any = true,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(changes)
    }

    /// A handle that ends a wait from another thread.
    pub(crate) fn waker(&self) -> Waker {
        self.poller.waker()
    }
}

/// Takes one message off: type, body, and what follows. A `nlmsghdr` is a length, which counts the
/// header, a type, and ten octets of no interest here; the next message starts at a multiple of four.
fn message(octets: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    const HEADER: usize = size_of::<libc::nlmsghdr>();
    let header = octets.first_chunk::<HEADER>()?;
    let len = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
    let len = usize::try_from(len).ok()?;
    let body = octets.get(HEADER..len)?;
    let behind = octets.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some((u16::from_ne_bytes([header[4], header[5]]), body, behind))
}

const DATAGRAMS_AT_ONCE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn link(kind: u16, family: u8, index: u32) -> Vec<u8> {
        let mut octets = 33u32.to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend([0; 10]);
        octets.extend([family, 0, 0, 0]);
        octets.extend(index.to_ne_bytes());
        octets.extend([0; 12]); // flags, change, one octet of an attribute, padding
        octets
    }

    #[test]
    fn deleted_interfaces_are_told_by_number() {
        let mut changes = LinkChanges::default();
        let bridge = libc::AF_BRIDGE as u8;
        let told = [
            link(libc::RTM_NEWLINK, 0, 3),
            link(libc::RTM_DELLINK, bridge, 4),
            link(libc::RTM_DELLINK, 0, 5),
            link(libc::RTM_DELLINK, 0, 6),
        ];
        changes.read(&told.concat());
        assert!(changes.any);
        assert_eq!(changes.deleted[..], [5, 6]);
        (0..100).for_each(|n| changes.read(&link(libc::RTM_DELLINK, 0, n)));
        assert_eq!(changes.deleted.len(), LinkChanges::MAX_DELETED);
    }

    #[test]
    fn news_cut_short_or_with_wrong_lengths_are_nothing() {
        let whole = link(libc::RTM_DELLINK, 0, 5);
        for len in 0..33 {
            let mut changes = LinkChanges::default();
            changes.read(&whole[..len]);
            assert_eq!(changes, LinkChanges::default());
        }
        for len in [0u32, 15, 1000, u32::MAX] {
            let mut wrong = whole.clone();
            wrong[..4].copy_from_slice(&len.to_ne_bytes());
            let mut changes = LinkChanges::default();
            changes.read(&wrong);
            assert_eq!(changes, LinkChanges::default());
        }
        let mut empty = LinkChanges::default();
        empty.read(&[&16u32.to_ne_bytes()[..], &[0; 12]].concat());
        assert!(empty.any && empty.deleted.is_empty());
    }

    #[test]
    fn a_wait_without_news_ends_when_woken() {
        let mut watch = LinkWatch::open().unwrap();
        watch.waker().wake();
        assert!(watch.wait(None).unwrap().deleted.is_empty());
    }
}
