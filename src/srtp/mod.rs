//! SRTP and SRTCP: profiles, key derivation, index, replay, unprotect and protect.
//! Nothing here knows where a key came from.

mod kernel;
mod profile;

pub use kernel::Backend;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub use kernel::internals;
pub use profile::{Cipher, Profile, Rcc, RccMode};
