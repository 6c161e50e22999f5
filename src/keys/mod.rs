//! MUK, MSK and MTK: derivation, messages, acceptance rules, and the published table.

mod accept;
pub mod gba;
pub mod issue;
mod live;
mod material;
mod plane;
mod policy;
mod prf;
mod protection;
pub mod store;
mod table;

pub use material::{CryptoSession, Interval, Msk, Mtk, Muk, MukId};
pub use plane::{KeyEvent, KeyPlane, LiveKey, PlaneLimits};
pub use table::{KeyTable, PublishedKeys};

#[cfg(test)]
mod tests;
