//! Threads and channels around the sans-I/O cores: the [`Gateway`].
//!
//! ```text
//! sockets ─► lane thread ─► callback                      (any number)
//!               │  ▲
//!   key messages│  │table, waker
//!               ▼  │
//!            key thread ◄─ MSK messages over UDP          (one; the only writer of keys)
//! ```
//! Everything between threads is bounded. A lane never waits for the key thread: a full queue is a
//! counted drop, and MTK messages are repeated.

mod builder;
mod callback;
mod doorbell;
mod gateway;
mod intake;
mod keys;
mod lane;
mod parcel;
mod spread;

use std::sync::atomic;

pub use builder::GatewayBuilder;
pub use gateway::{Gateway, GatewayStats, KeyStats};
