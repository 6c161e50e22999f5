//! SRTP and SRTCP: profiles, key derivation, index, replay, unprotect and protect.
//! Nothing here knows where a key came from.
//!
//! [`TrafficKey`] is a master key expanded; a [`KeyRing`] holds the keys that the packets of one talk
//! group may name by MKI; an [`Unprotector`] holds the streams of one receiver and opens packets, one
//! by one or a batch at a time; a [`Protector`] is the sender's side.

mod acquire;
mod attempt;
mod batch;
mod derived;
mod index;
mod kdf;
mod kernel;
mod key;
mod layout;
mod profile;
mod protect;
mod replay;
mod restart;
mod ring;
mod seal;
mod stream;
mod stream_table;
mod trials;
mod unprotect;
mod unproven;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub use kernel::internals;

pub use batch::MAX_BATCH;
pub use kernel::Backend;
pub use key::{PacketKind, TrafficKey};
pub use profile::{Cipher, Profile, Rcc, RccMode};
pub use protect::{Outgoing, Protector};
pub(crate) use replay::ReplayWindow;
pub use ring::KeyRing;
pub use stream::SessionId;
pub use unprotect::{Opened, Packet, StreamLimits, Unprotector, Verdict};
