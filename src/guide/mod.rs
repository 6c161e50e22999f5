//! The guide: how the parts fit, what is and is not claimed, how to run it and how to find a fault.
//!
//! | page | for |
//! |---|---|
//! | [`architecture`] | reading the code |
//! | [`decisions`] | the requirements, and what was decided where specifications are silent: D, K, M |
//! | [`threat_model`] | what an attacker can and cannot do |
//! | [`operating`] | limits, buffers, back ends, counters |
//! | [`debugging`] | each verdict: what it means, what usually causes it |
//! | [`interop`] | peers tested against, and where they differ |

pub mod architecture;
pub mod debugging;
pub mod decisions;
pub mod interop;
pub mod operating;
pub mod threat_model;
