//! Bytes to views and back: RTP, RTCP, burst control, MIKEY, SDP lines. No state, no sockets.

#![warn(clippy::indexing_slicing)]

pub mod burst;
pub mod classify;
pub mod mikey;
pub mod rtcp;
pub mod rtp;
#[cfg(feature = "sdp")]
pub mod sdp;
mod text;
mod writer;

pub use text::Text;
