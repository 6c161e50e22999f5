//! The broadcaster of the BCAST enabler.

mod parameters;

pub use parameters::{ChannelId, ChannelParameters};
