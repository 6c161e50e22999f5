//! What arrives at a socket, as far as a lane has to know.

use std::sync::Arc;

use super::counters::GroupCounters;
use crate::{group::Carries, ids::GroupId, srtp::SessionId};

/// A socket of a lane: an index, given when the port is added.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PortId(pub usize);

/// One destination address and port: its group, what it carries, and the context its streams are in.
#[derive(Clone, Debug)]
pub struct Port {
    /// The talk group.
    pub group: GroupId,
    /// Destination part of the SRTP context; the same number for no two ports of a lane.
    pub session: SessionId,
    /// What is expected there.
    pub carries: Carries,
    /// Payload types to deliver; no bit set for any.
    payload_types: u128,
    pub(crate) counters: Arc<GroupCounters>,
}

impl Port {
    /// A port of a group that counts into `counters` and delivers these payload types (empty: all).
    #[must_use]
    pub fn new(
        group: GroupId,
        session: SessionId,
        carries: Carries,
        payload_types: &[u8],
        counters: Arc<GroupCounters>,
    ) -> Self {
        let payload_types = payload_types.iter().fold(0, |set, t| set | 1 << (t & 0x7f));
        Self { group, session, carries, payload_types, counters }
    }

    /// The same port, counting into other counters.
    pub(crate) fn counted_by(&self, counters: Arc<GroupCounters>) -> Self {
        Self { counters, ..self.clone() }
    }

    #[inline]
    pub(crate) const fn expects(&self, payload_type: u8) -> bool {
        self.payload_types == 0 || self.payload_types & 1 << (payload_type & 0x7f) != 0
    }
}
