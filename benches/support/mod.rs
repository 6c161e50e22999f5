//! What the benches of the packet path share: packets, the memory they are opened in, and who opens
//! them.

pub(crate) mod contender;
pub(crate) mod feed;
pub(crate) mod slots;
pub(crate) mod timing;
