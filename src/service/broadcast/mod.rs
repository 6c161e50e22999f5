//! Many channels on the air: plain packets in, protected packets and MTK messages out.
//!
//! ```text
//! UDP inputs, Input::push ─► check ─► protect, a batch at a time ─► Outbox ══ sendmmsg ══► groups
//! follow(document) ─► Broadcaster ─► records ─► writer thread: ONE fdatasync for all that wait
//!          agenda ───────┘  ▲                      │
//!                           └── stored ◄───────────┘ only now: MTK message, new key, "held"
//! ```
//! One thread has all channels; a second one writes the journal, so that a slow disk delays key changes
//! and nothing else. **A plain packet cannot leave:** what is sent is a `Sealed`
//! datagram, and only protecting a packet makes one. A journal that cannot be written is tried again
//! each second; meanwhile no new key is announced, documents are not said to be held, and packets go
//! on under the key in force.

mod agenda;
mod channel;
mod check;
mod counters;
mod input;
mod journal;
mod lateness;
mod on_air;
mod opening;
mod options;
mod outbox;
mod report;
mod sealed;
mod service;
mod thread;
mod writer;

pub use channel::{BroadcastChannel, InputSpec};
pub use counters::{BroadcastCounters, ChannelCounters};
pub use input::{Input, NotTaken};
pub use lateness::Lateness;
pub use options::BroadcastServiceOptions;
pub use report::{ChannelReport, Held};
pub use service::BroadcastService;
