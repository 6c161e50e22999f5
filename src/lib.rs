//! SRTP over multicast at high rate, keyed by MIKEY as MBMS security (TS 33.246) and OMA Multicast PoC
//! define it, with changes of key in the middle of a stream.
//!
//! ```text
//!  multicast socket ──batch──> classify ──RTP/RTCP──> look up key ──> unprotect ──> media, burst events
//!                                 │                        ▲
//!                                 └──MIKEY──> key plane ───┘ publishes one immutable KeyTable
//!  key server: roster ──> MSK on join, leave, expel ──> MTK schedule ──> MIKEY octets out
//! ```
//!
//! **The invariant.** A lane loads the key table once a batch. A packet's index is checked, the packet is
//! opened in place, and only then does any state move. Nothing unauthenticated allocates, logs or is
//! remembered.
//!
//! Three levels share the same types: [`rx::Receiver`] is the receive path without I/O, [`Gateway`] adds
//! sockets and threads, `aio::MediaStream` (feature `tokio`) is a stream over that. The other end is
//! [`keyserver`] and [`broadcast`]. [`srtp`] alone is a batch engine for SRTP with any key management.
//!
//! ```no_run
//! use mcast_srtp::{Gateway, group::{GroupSpec, Interface, MediaSpec}, keys::{Muk, MukId}, rx::Event, secret::Secret};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let id = MukId { idi: "poc.example.com".into(), idr: "b-tid@bsf.example.com".into() };
//! let muk = Muk(Secret::new([0x2a; 32]));
//! let group = GroupSpec::new("Group 17", Interface::name("eth1"))
//!     .with_media(MediaSpec::rtp("239.10.0.17".parse()?, 49170))
//!     .with_media(MediaSpec::burst("239.10.0.17".parse()?, 49172));
//! let gateway = Gateway::builder().muk(id, muk).group(group).start(|event: Event<'_>| match event {
//!     Event::Media(media) => println!("{}: {} octets", media.ssrc, media.payload.len()),
//!     Event::Burst(burst) => println!("{}", burst.event.name()),
//!     _ => {}
//! })?;
//! println!("{}", gateway.stats());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! None by default. `sdp`: groups from and to SDP. `tokio`: `aio`. `rtp-types`: media as packets of the
//! `rtp` crate. `state`: what a receiver, a key server or a broadcaster knows, in a file that survives
//! crashes. `service`: the key server with threads, socket, journal and events.

#![deny(unsafe_code)]

#[cfg(feature = "tokio")]
pub mod aio;
pub mod broadcast;
mod counter;
pub mod error;
pub mod group;
pub mod guide;
pub mod ids;
pub mod keys;
pub mod keyserver;
pub mod net;
pub mod record;
pub mod runtime;
pub mod rx;
pub mod secret;
#[cfg(feature = "service")]
pub mod service;
pub mod srtp;
#[cfg(feature = "state")]
pub mod state;
pub mod wire;

pub use counter::RejectStats;
pub use error::{Error, Reject};
pub use runtime::Gateway;

/// The README's quick start has to compile.
#[cfg(all(doctest, feature = "sdp"))]
#[doc = include_str!("../README.md")]
struct Readme;
