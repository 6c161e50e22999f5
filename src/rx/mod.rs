//! A receive lane: batches of datagrams in, media and burst events out.
//!
//! ```text
//! batch ─► classify ─► MIKEY ─► Sink::key_message ─► key plane
//!             │
//!             └─ RTP, RTCP ─► unprotect the batch ─► deliver ─► Sink::event
//!                                   └─ MKI unknown ─► hold back, again after the next table
//! ```
//! No sockets, no threads: [`crate::runtime`] has those. [`Receiver`] joins one lane and one key plane.

mod counters;
mod deliver;
mod event;
mod hold;
mod lane;
mod limits;
mod port;
mod rate;
mod receiver;
#[cfg(feature = "rtp-types")]
mod rtp_types;
mod sorter;
mod talker;

pub use counters::{GroupCounters, GroupStats};
pub use event::{Burst, Event, KeyMessage, Media, Rtcp, Sink};
pub use lane::{BatchReport, Datagram, Lane};
pub use limits::Limits;
pub use port::{Port, PortId};
pub(crate) use rate::RateBySource;
pub(crate) use receiver::payload_types;
pub use receiver::{GroupPorts, Receiver};
pub(crate) use sorter::Sorter;
pub use talker::{Talker, TalkerChange, TalkerChanges, TalkerSettings};
