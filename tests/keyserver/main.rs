//! Key server and broadcaster against receivers, one module for each thing an operator fears. No
//! sockets, no clocks: see [`world`].

#[path = "../common/kept.rs"]
mod kept;

mod broadcaster;
mod broadcaster_full;
mod broadcaster_spent;
mod broadcasters;
mod closing;
mod confirmation;
mod counters;
mod expel;
mod join;
mod leave;
mod membership;
mod mtk_ids;
mod network;
mod one_commit;
mod removal;
mod restart;
mod sdp;
mod settings;
mod solicit;
mod superseded;
mod unconfirmed;
mod windows;
mod world;
