//! MUK, MSK and MTK: derivation, messages, acceptance rules, and the published table.

mod accept;
mod counters;
mod described;
mod former;
pub mod gba;
mod held;
pub mod issue;
mod live;
mod material;
mod message;
mod outcome;
mod plane;
mod policy;
mod prf;
mod protection;
mod records;
mod restore;
mod store;
mod streams;
mod table;

use std::sync;

pub use material::{CryptoSession, Interval, Msk, Mtk, Muk, MukId};
pub use message::named_msk;
pub use outcome::{HeldMsk, MskAccepted, MtkAccepted, Outcome};
pub use plane::{KeyEvent, KeyPlane, LiveKey, PlaneLimits};
pub(crate) use records::{
    read_key_group, read_msk, read_profile, read_sessions, write_key_group, write_msk,
    write_profile, write_sessions,
};
pub use store::{KeyLimits, KeyStore};
pub use table::{KeyTable, PublishedKeys};

#[cfg(test)]
mod tests;
