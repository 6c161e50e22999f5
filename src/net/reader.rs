//! The end of a receive socket that a lane holds.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

use super::sys;

/// The end of a [`ReceiveSocket`](super::ReceiveSocket) that datagrams are read from, by a thread other
/// than the one that joins and leaves.
#[derive(Clone, Debug)]
pub struct Reader {
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    shared: bool,
    merges: bool,
}

impl Reader {
    pub(super) fn new(socket: UdpSocket, local: SocketAddr, shared: bool, merges: bool) -> Self {
        Self { socket: Arc::new(socket), local, shared, merges }
    }

    /// Whether both read from one socket.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.socket, &other.socket)
    }

    /// The socket, to receive from or to wait for.
    #[must_use]
    pub fn udp(&self) -> &UdpSocket {
        &self.socket
    }

    /// Group address and port; the unspecified address for a socket that groups share.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether the socket was made for several groups, and tells the destination of each datagram.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether the kernel may merge datagrams, so that slots must be as long as [`Arena::for_merged`]
    /// makes them.
    ///
    /// [`Arena::for_merged`]: super::Arena::for_merged
    #[must_use]
    pub const fn merges(&self) -> bool {
        self.merges
    }

    /// Whether anything is told beside the datagrams.
    #[must_use]
    pub const fn tells(&self) -> bool {
        self.shared || self.merges
    }

    /// Datagrams that the kernel dropped at this socket since it was opened, modulo 2^32.
    ///
    /// # Errors
    /// The system's answer, where it does not count.
    pub fn drops(&self) -> io::Result<u32> {
        sys::drops(&self.socket)
    }
}
