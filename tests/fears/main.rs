//! What an operator fears, one module each.
//!
//! Most of them run without sockets and clocks: octets and instants in, packets and verdicts out.
//! The hand-over of key tables between threads has a model of its own, in `loom/`.

mod air;
mod client;
#[path = "../common/group.rs"]
mod group;
#[path = "../private_net/mod.rs"]
mod private_net;
mod sockets;

mod bad_input;
mod expel;
mod floods;
mod forged_keys;
mod gateway;
mod late_join;
mod many_groups;
mod reordering;
mod sender_restarts;
mod sequence_wrap;
mod two_senders;
mod workers;
