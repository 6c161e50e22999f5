//! The key server of the PoC server (PF): who gets which MSK, and when an MSK is replaced.
//!
//! ```text
//!  membership events ─┐                        ┌─► MSK messages, one per client (UDP 2269, SDP)
//!  commands ──────────┼─► roster ─► MSK update ┼─► channel documents to the broadcasters
//!  verifications ─────┘                        └─► what was decided, for the operator
//! ```
//!
//! A sans-I/O core: events, time and randomness go in, [`Action`]s come out, to be carried out in
//! their order. Between calls the caller waits for [`KeyServer::next_deadline`], then calls
//! [`KeyServer::poll`]. To survive a crash, keep [`KeyServer::take_changes`]
//! before carrying actions out.
//!
//! ```
//! use std::time::Instant;
//! use mcast_srtp::{
//!     ids::KeyDomainId,
//!     keys::{Muk, MukId},
//!     keyserver::{Action, ChannelSpec, KeyServer, Reach, Timing},
//!     secret::Secret,
//! };
//!
//! let (now, mut random) = (Instant::now(), |out: &mut [u8]| getrandom::fill(out).expect("entropy"));
//! let mut server = KeyServer::new(Timing::default());
//! let muk_id = MukId { idi: "bmsc.example".into(), idr: "c1@bsf.example".into() };
//! let reach = Reach::Udp("192.0.2.7:2269".parse()?);
//! server.add_client(&"c1".into(), muk_id, Muk(Secret::new([7; 32])), reach)?;
//!
//! let spec = ChannelSpec::new(KeyDomainId([0x00, 0xf1, 0x10]), 1);
//! server.open_channel(&"group 17".into(), spec, now, &mut random)?;
//! let actions = server.join(&"group 17".into(), &"c1".into(), now)?;
//! assert!(matches!(&actions[..], [Action::SendMsk(message)] if message.counter == 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod action;
mod delivery;
mod ended;
mod issue;
mod members;
mod membership;
mod outbox;
mod publish;
mod receive;
mod records;
mod rekey;
mod roster;
mod schedule;
mod sdp;
mod server;
mod spec;
mod views;

pub use action::{Action, Undelivered, UpdateCause};
pub use issue::{MskMessage, Purpose, Route};
pub use membership::{Change, Consumed, MembershipEvent, Publisher};
pub use outbox::Notice;
pub use receive::Sender;
pub use roster::{ClientId, Reach};
pub use schedule::{Retry, Timing};
pub use server::KeyServer;
pub use spec::{ChannelSpec, LeavePolicy, Unconfirmed};
pub use views::ClientView;

/// UDP port of MIKEY: MSK messages to clients, MTK messages on the group (RFC 4563 §6).
pub const MIKEY_PORT: u16 = 2269;
