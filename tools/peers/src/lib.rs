//! SRTP implementations that are not ours, behind one small interface.
//!
//! Interop tests run both ways against them, the load generator protects with them, the side-by-side
//! measurement times them. None of them shares a line with `mcast-srtp`: what two of them agree on
//! is what the wire looks like.
//!
//! ```
//! use peers::{Peer, Setup, Suite, WebrtcSrtp};
//!
//! let setup = Setup::new(Suite::AesCm128Sha1_80, &[7; 16], &[9; 14], b"\0\x12\0\x03\0\x07", 0xcafe_babe);
//! let mut sender = WebrtcSrtp::new(&setup)?;
//! let mut receiver = WebrtcSrtp::new(&setup)?;
//! let plain = *b"\x80\x61\x00\x01\x00\x0a\x00\x00\xca\xfe\xba\xbe speech";
//! let protected = sender.protect_rtp(&plain)?;
//! assert_eq!(protected.len(), plain.len() + 6 + 10); // MKI, then tag
//! assert_eq!(receiver.unprotect_rtp(&protected)?, plain);
//! # Ok::<(), peers::Refused>(())
//! ```

pub mod mki;

mod libsrtp;
#[cfg(feature = "rtc-srtp")]
mod rtc;
mod setup;
mod walk;
mod webrtc;

pub use libsrtp::{Absent, LibSrtp};
#[cfg(feature = "rtc-srtp")]
pub use rtc::RtcSrtp;
pub use setup::{Implementation, MasterKey, Refused, Setup, Suite};
pub use webrtc::WebrtcSrtp;

/// One end of an SRTP session, sending and receiving under the keys of a [`Setup`].
///
/// The two directions share nothing but the keys, so one value can play both ends.
pub trait Peer {
    /// Name and version, as a table prints it.
    fn name(&self) -> String;

    /// Protects with the key at this place in [`Setup::keys`] from now on; the first at the start.
    ///
    /// # Errors
    /// [`Refused::Other`] if there is no such key.
    fn use_key(&mut self, place: usize) -> Result<(), Refused>;

    /// RTP to SRTP.
    ///
    /// # Errors
    /// What the implementation did not like.
    fn protect_rtp(&mut self, plain: &[u8]) -> Result<Vec<u8>, Refused>;

    /// SRTP to RTP.
    ///
    /// # Errors
    /// Why the packet was not accepted.
    fn unprotect_rtp(&mut self, protected: &[u8]) -> Result<Vec<u8>, Refused>;

    /// RTCP to SRTCP.
    ///
    /// # Errors
    /// What the implementation did not like.
    fn protect_rtcp(&mut self, plain: &[u8]) -> Result<Vec<u8>, Refused>;

    /// SRTCP to RTCP.
    ///
    /// # Errors
    /// Why the packet was not accepted.
    fn unprotect_rtcp(&mut self, protected: &[u8]) -> Result<Vec<u8>, Refused>;
}
