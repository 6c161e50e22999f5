//! The key server at work, over loopback with real files: one module for each thing an operator
//! fears. See [`world`].
#![cfg(feature = "service")]

#[path = "../common/group.rs"]
#[expect(dead_code, reason = "a part is enough here")]
mod group;

mod broadcasters;
mod bus;
mod callbacks;
mod compromise;
mod delivery;
mod disk;
mod restart;
mod retry;
mod sdp;
mod secrets;
mod world;
