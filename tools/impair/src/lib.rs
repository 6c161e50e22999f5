//! A bad network: datagrams are lost, delayed, repeated, reordered and damaged, by a seed.
//!
//! [`Link`] is the network as a function of seed, time and datagrams, without clock or socket; tests
//! put it between a sender and a receiver. [`relay`] runs one between UDP sockets.
//!
//! ```
//! use std::time::Duration;
//!
//! use impair::{Impairments, Link};
//!
//! let bad = Impairments { drop: 0.1, jitter: Duration::from_millis(20), ..Impairments::default() };
//! let run = |seed| {
//!     let mut link = Link::new(bad, seed);
//!     (0..100).for_each(|n| link.send(Duration::from_millis(n), &[0; 40]));
//!     std::iter::from_fn(|| link.receive(Duration::MAX)).map(|arrival| arrival.at).collect::<Vec<_>>()
//! };
//! assert_eq!(run(7), run(7));
//! assert_ne!(run(7), run(8));
//! ```

mod link;
mod random;
mod relay;

pub use link::{Arrival, Bursts, Counts, Impairments, Link};
pub use relay::{End, Error, Interface, Outcome, Route, relay};
