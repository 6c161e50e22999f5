//! How names and identifiers stand in JSON: as they are shown elsewhere.

use serde::{Serialize, Serializer};

use crate::{
    broadcast::{BroadcasterId, ChannelId},
    counter::RejectStats,
    error::Reject,
    ids::{KeyDomainId, MskId},
    keyserver::{ClientId, Publisher, Purpose, Undelivered, UpdateCause},
};

macro_rules! as_shown {
    ($($name:ident),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}

as_shown!(BroadcasterId, ChannelId, ClientId, KeyDomainId, MskId, Publisher, Reject, UpdateCause);

macro_rules! by_name {
    ($($name:ident),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    )+};
}

by_name!(Purpose, Undelivered);

impl Serialize for RejectStats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
