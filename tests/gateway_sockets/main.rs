//! The sockets of a gateway: shared by groups, merging datagrams, on interfaces that come and go.

#[path = "../private_net/mod.rs"]
mod private_net;

mod interfaces;
mod merged;
mod shared;
mod world;
