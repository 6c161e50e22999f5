//! Multicast sockets: join and leave, receive and send in batches, and what the system says about
//! them. No protocol here; the runtime alone uses it.
//!
//! ```text
//! GroupSpec::sockets() ─► ReceiveSocket::open ─► Poller::wait ─► Arena::receive ─► Arena::datagrams
//!                                  └─ facts(): buffer granted, drops, settings that lose datagrams
//! ```
//!
//! `unsafe` stands in `linux.rs`, `ifaddrs.rs` and `mmsg.rs` alone. On systems other than Linux,
//! `portable.rs` serves: one system call per datagram, fewer kinds of source filter.

mod advice;
mod facts;
#[cfg(unix)]
mod ifaddrs;
mod interface;
mod join;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod mmsg;
#[cfg(target_os = "linux")]
mod poll;
#[cfg(not(target_os = "linux"))]
mod portable;
mod send;

use std::net::SocketAddr;

pub use facts::SocketFacts;
pub use interface::ResolvedInterface;
pub use join::{ReceiveOptions, ReceiveSocket};
#[cfg(target_os = "linux")]
pub use mmsg::{Arena, Datagrams, send_batch};
#[cfg(target_os = "linux")]
pub use poll::{Poller, Waker};
#[cfg(not(target_os = "linux"))]
pub use portable::{Arena, Datagrams, Poller, Waker, send_batch};
pub use send::{SendOptions, SendSocket};

#[cfg(target_os = "linux")]
use linux as sys;
#[cfg(not(target_os = "linux"))]
use portable as sys;

/// One datagram in an [`Arena`].
#[derive(Debug)]
pub struct Received<'a> {
    /// Its octets, to be changed in place.
    pub bytes: &'a mut [u8],
    /// Who sent it, as the IP and UDP headers say.
    pub source: SocketAddr,
    /// Whether it was longer than the slot, so that its end is missing.
    pub truncated: bool,
}
