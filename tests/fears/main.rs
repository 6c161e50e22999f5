//! What an operator fears, one module each.
//!
//! Most of them run without sockets and clocks: octets and instants in, packets and verdicts out.

mod air;
mod client;
#[path = "../common/group.rs"]
mod group;

mod bad_input;
mod expel;
mod floods;
mod forged_keys;
mod reordering;
mod sequence_wrap;
mod two_senders;
