//! A sender of protected multicast that shares no code with `mcast-srtp`.
//!
//! RTP comes from the crates `rtp` and `rtcp`, protection from `webrtc-srtp` or the system's libsrtp
//! through [`peers`], keys from a [`Schedule`]. [`Generator`] makes the datagrams and needs neither
//! clock nor socket, so tests use it in-process; [`send`] puts them on the network at their time.
//!
//! ```
//! use loadgen::{Generator, Kind, Schedule, Traffic};
//!
//! let schedule = Schedule::from_toml(include_str!("../schedule.toml"))?;
//! let traffic = Traffic { count: 300, rtcp_every: 100, ..Traffic::default() };
//! let datagrams: Vec<_> = Generator::new(traffic, schedule)?.collect::<Result<_, _>>()?;
//! assert_eq!(datagrams.iter().filter(|d| d.kind == Kind::Media).count(), 300);
//! assert_eq!(datagrams.iter().filter(|d| d.kind == Kind::Control).count(), 3);
//! # Ok::<(), loadgen::Error>(())
//! ```

mod generate;
mod media;
mod schedule;
mod send;

use std::{fmt, io};

use peers::Refused;

pub use generate::{Datagram, Generator, Kind, Traffic};
pub use media::payload;
pub use schedule::{Schedule, ScheduledKey, Start};
pub use send::{Destination, Interface, Summary, send};

/// Why nothing more is sent.
#[derive(Debug)]
pub enum Error {
    /// The schedule or the options cannot be used; the text says which and why.
    Usage(String),
    /// The protecting implementation did not take a packet or a key.
    Protect(Refused),
    /// The network did not take a datagram or an option.
    Io {
        /// What was tried.
        context: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => f.write_str(text),
            Self::Protect(refused) => write!(f, "cannot protect: {refused}"),
            Self::Io { context, source } => write!(f, "{context}: {source}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Protect(refused)
    }
}
