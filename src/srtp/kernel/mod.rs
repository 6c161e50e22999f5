//! The transforms over batches of packets, one back end chosen at start.
//!
//! [`crate::srtp`] hands over jobs; nothing here parses a packet or knows an SSRC. Every kernel has a
//! portable twin that proves it equal.

mod backend;
pub(crate) mod cipher;
pub(crate) mod hmac;

pub use backend::Backend;
