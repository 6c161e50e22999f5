//! Load with changing keys, for tools: [`Issuer`] makes the keys of a talk group and their messages,
//! [`Pace`] keeps the time of bursts.

mod issuer;
mod pace;

pub use issuer::Issuer;
pub use pace::Pace;
