//! Multicast sockets: join and leave, receive and send in batches, and what the system says about
//! them. No protocol here; the runtime alone uses it.
//!
//! ```text
//! GroupSpec::sockets() ─► ReceiveSocket::open ─► Poller::wait ─► Arena::receive ─► Arena::datagrams
//!                                  └─ facts(): buffer granted, drops, settings that lose datagrams
//! ```
//!
//! `unsafe` stands in `linux.rs`, `ifaddrs.rs`, `mmsg.rs` and `netlink.rs` alone. On systems other than Linux,
//! `portable.rs` serves: one system call per datagram, fewer kinds of source filter.

mod advice;
#[cfg(target_os = "linux")]
mod control;
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
mod name;
#[cfg(target_os = "linux")]
mod netlink;
mod options;
#[cfg(target_os = "linux")]
mod poll;
#[cfg(not(target_os = "linux"))]
mod portable;
mod reader;
mod send;
mod unicast;

use std::net::{IpAddr, SocketAddr};

pub(crate) use advice::is_full;
pub use facts::{MembershipProtocol, SocketFacts};
pub use interface::ResolvedInterface;
pub use join::ReceiveSocket;
#[cfg(target_os = "linux")]
pub use mmsg::{Arena, Datagrams, send_batch};
#[cfg(target_os = "linux")]
pub(crate) use netlink::{LinkChanges, LinkWatch};
pub use options::ReceiveOptions;
#[cfg(target_os = "linux")]
pub use poll::{Poller, Waker};
#[cfg(not(target_os = "linux"))]
pub use portable::{Arena, Datagrams, Poller, Waker, send_batch};
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::{LinkChanges, LinkWatch};
pub use reader::Reader;
pub use send::{SendOptions, SendSocket};
pub(crate) use unicast::bind_unicast;

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
    /// The address it was sent to, where a socket that several groups share told.
    pub destination: Option<IpAddr>,
    /// Datagrams dropped at the socket before this one came, modulo 2^32, where it told. Nothing is
    /// told before the first drop.
    pub drops: Option<u32>,
    /// Whether it was longer than the slot, so that its end is missing.
    pub truncated: bool,
}
