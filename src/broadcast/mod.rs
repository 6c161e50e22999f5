//! The broadcaster of the BCAST enabler: traffic keys made, announced, and used.
//!
//! ```text
//!  parameters, MSK ──► MTK n ──► MTK message, repeated ════════════════► group address, port 2269
//!  switch, command,     │
//!  schedule             └──► media, burst control ──► protect ══════════► group address
//! ```
//!
//! A sans-I/O core like the [key server](crate::keyserver): calls return [`BroadcastAction`]s, to be
//! carried out in their order; [`Broadcaster::next_deadline`] says when to
//! [poll](Broadcaster::poll). An MTK message goes out some time before the first packet under its
//! key, which gives receivers the key in time.

mod broadcaster;
mod parameters;
mod protect;
mod schedule;
mod state;
mod traffic;

pub use broadcaster::{BroadcastAction, Broadcaster};
pub use parameters::{ChannelId, ChannelParameters};
pub use schedule::{BroadcastTiming, Lead};
pub use state::{BroadcasterState, MskUse, StreamState};
pub(crate) use traffic::check_profile;
