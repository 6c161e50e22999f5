//! The broadcaster of the BCAST enabler: traffic keys made, announced, and used.
//!
//! ```text
//!  channel document ───► MTK n ──► MTK message, repeated ════════════════► group address, port 2269
//!  (MSKs, in force),      │
//!  command, schedule      └──► media, burst control ──► protect ══════════► group address
//! ```
//!
//! A sans-I/O core like the [key server](crate::keyserver): calls return [`BroadcastAction`]s, to be
//! carried out in their order; [`Broadcaster::next_deadline`] says when to
//! [poll](Broadcaster::poll). What the key server wants comes as one [`ChannelDocument`], which the
//! broadcaster [follows](Broadcaster::follow). An MTK message goes out some time before the first
//! packet under its key, which gives receivers the key in time.

mod broadcaster;
mod document;
mod follow;
mod protect;
mod records;
mod schedule;
mod traffic;

pub use broadcaster::{BroadcastAction, Broadcaster};
pub(crate) use document::part;
pub use document::{BroadcasterId, ChannelDocument, ChannelId, DocumentMsk};
pub use protect::Plain;
pub use schedule::{BroadcastTiming, Lead};
pub(crate) use traffic::check_profile;
