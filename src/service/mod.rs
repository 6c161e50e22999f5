//! The key server at work (feature `service`): a thread, a socket, a state that survives crashes.
//!
//! ```text
//! requests ────┐                                          ┌─► MSK messages, UDP 2269
//! datagrams ───┼─► core KeyServer ─► one commit for all ──┼─► SDP offers, channel documents
//! deadlines ───┤    (one thread)      (write, fdatasync)  ├─► events
//! bus ─────────┘                                          └─► answers
//! ```
//! Whatever goes out was committed before, so that after a crash no identifier or counter is used
//! twice and no answer was wrong. When the state cannot be written, nothing goes out and nothing may
//! change; the commit is tried again each second, and then all that waited goes out in order.
//!
//! ```
//! use mcast_srtp::{
//!     ids::KeyDomainId,
//!     keys::{Muk, MukId},
//!     keyserver::{ChannelSpec, Reach},
//!     secret::Secret,
//!     service::{KeyService, KeyServiceOptions, Request},
//!     state::StateOptions,
//! };
//!
//! # let folder = tempfile::tempdir()?;
//! # let file = folder.path().join("key-server.state");
//! let mut options = KeyServiceOptions::new(StateOptions::new(file));
//! options.mikey = Some("127.0.0.1:0".parse()?);
//! let service = KeyService::start(options)?;
//!
//! service.call(Request::AddClient {
//!     client: "c1".into(),
//!     muk_id: MukId { idi: "bmsc.example".into(), idr: "c1@bsf.example".into() },
//!     muk: Muk(Secret::new([7; 32])),
//!     reach: Reach::Udp("127.0.0.1:2269".parse()?),
//! })?;
//! let spec = ChannelSpec::new(KeyDomainId([0x00, 0xf1, 0x10]), 1);
//! service.call(Request::OpenChannel { channel: "group 17".into(), spec })?;
//! let join = || Request::Join { channel: "group 17".into(), client: "c1".into() };
//! assert!(service.call(join())?.changed);
//! assert!(!service.call(join())?.changed, "a retry does nothing");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod apply;
pub mod broadcast;
mod bus;
mod carry;
mod consumer;
mod counters;
pub mod document;
mod documents;
mod effect;
mod event;
mod events;
mod health;
mod key_service;
mod local_bus;
mod log;
mod offers;
mod options;
mod refusals;
mod request;
mod serial;
mod socket;
mod thread;
mod watch;

pub use broadcast::{BroadcastChannel, BroadcastService, BroadcastServiceOptions};
pub use bus::{BusWake, MembershipBus};
pub use counters::KeyServiceCounters;
pub use documents::DocumentWait;
pub use event::{Event, EventKind};
pub use events::{Batch, Subscription};
pub use health::Health;
pub use key_service::KeyService;
pub use local_bus::{LocalBus, LocalBusEnd};
pub use offers::Offer;
pub use options::{KeyServiceLimits, KeyServiceOptions};
pub use request::{Refused, RefusedKind, Reply, Request};
