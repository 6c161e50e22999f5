//! The guide: how the parts fit, what is and is not claimed, how to run it and how to find a fault.
//!
//! | page | for |
//! |---|---|
//! | [`architecture`] | reading the code |
//! | [`decisions`] | the requirements, and what was decided where specifications are silent: D, K, M |
//! | [`threat_model`] | what an attacker can and cannot do |
//! | [`operating`] | running a gateway: limits, buffers, back ends, counters |
//! | [`issuing`] | running key server and broadcaster: files, requests, events, metrics |
//! | [`policies`] | when an MSK is replaced, and what becomes of slow clients |
//! | [`failure_modes`] | what fails in key server and broadcaster, and what happens then |
//! | [`debugging`] | each verdict: what it means, what usually causes it |
//! | [`interop`] | peers tested against, and where they differ |

pub mod architecture;
pub mod debugging;
pub mod decisions;
pub mod failure_modes;
pub mod interop;
pub mod issuing;
pub mod operating;
pub mod policies;
pub mod threat_model;
