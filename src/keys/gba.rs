//! GBA derivations.
