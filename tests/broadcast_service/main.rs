//! The broadcast service on the loopback interface, heard by real gateways; one module for each thing
//! an operator fears.
#![cfg(feature = "service")]

#[path = "../common/group.rs"]
#[expect(dead_code, reason = "a part is enough here")]
mod group;
#[path = "../fears/sockets.rs"]
#[expect(dead_code, reason = "a part is enough here")]
mod sockets;
mod world;

mod broadcasters;
mod clear;
mod documents;
mod journal;
mod restart;
mod silence;
