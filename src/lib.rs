//! SRTP over multicast at high rate, keyed by MIKEY as MBMS security and OMA Multicast PoC define it.

#![deny(unsafe_code)]

#[cfg(feature = "tokio")]
pub mod aio;
pub mod broadcast;
mod counter;
pub mod error;
pub mod group;
pub mod ids;
pub mod keys;
pub mod keyserver;
pub mod net;
pub mod runtime;
pub mod rx;
pub mod secret;
pub mod srtp;
pub mod wire;

pub use counter::RejectStats;
pub use error::{Error, Reject};
pub use runtime::Gateway;
