//! Threads and channels around the sans-I/O cores: the [`Gateway`].
//!
//! ```text
//! sockets ─► lane thread ─► callback                      (any number)
//!               │  ▲
//!   key messages│  │table, waker
//!               ▼  │
//!            key thread ◄─ MSK messages over UDP          (one; the only writer of keys)
//! ```
//! The sockets are opened, joined and left by whoever calls the gateway; a thread that follows network
//! interfaces joins again where one has gone and come back.
//! Everything between threads is bounded. A lane never waits for the key thread: a full queue is a
//! counted drop, and MTK messages are repeated.

mod builder;
mod callback;
mod doorbell;
mod durable;
mod gateway;
mod intake;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod keys;
mod lane;
mod launch;
mod links;
mod parcel;
mod queue;
mod routes;
mod seldom;
mod sockets;
mod spread;
mod stats;

use std::sync::atomic;

pub use builder::GatewayBuilder;
#[cfg(feature = "service")]
pub(crate) use doorbell::Doorbell;
pub use gateway::Gateway;
#[cfg(feature = "service")]
pub(crate) use seldom::Seldom;
pub use stats::{GatewayStats, KeyStats, SocketStats};
