//! MUK, MSK and MTK: derivation, messages, acceptance rules, and the published table.

pub mod gba;
pub mod issue;
mod material;
pub mod store;

pub use material::{CryptoSession, Interval, Msk, Mtk, Muk, MukId};
