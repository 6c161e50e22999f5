//! What the service counts.

use std::sync::atomic::{AtomicU64, Ordering};

use super::lateness::{Lateness, LatenessCounter};
use crate::{
    broadcast::ChannelId,
    counter::{Counter, RejectCounters, RejectStats},
};

/// Counters of a channel, raised by the thread that sends.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) packets_in: Counter,
    pub(super) octets_in: Counter,
    pub(super) packets_out: Counter,
    pub(super) octets_out: Counter,
    pub(super) refused: RejectCounters,
    pub(super) without_key: Counter,
    pub(super) silenced: Counter,
    /// Raised by whoever hands packets in.
    pub(super) queue_full: AtomicU64,
    pub(super) key_messages: Counter,
    pub(super) mtk_changes: Counter,
    pub(super) documents: Counter,
    pub(super) send_errors: Counter,
}

impl Counted {
    pub(super) fn snapshot(&self) -> ChannelCounters {
        ChannelCounters {
            packets_in: self.packets_in.value(),
            octets_in: self.octets_in.value(),
            packets_out: self.packets_out.value(),
            octets_out: self.octets_out.value(),
            refused: self.refused.snapshot(),
            without_key: self.without_key.value(),
            silenced: self.silenced.value(),
            queue_full: self.queue_full.load(Ordering::Relaxed),
            key_messages: self.key_messages.value(),
            mtk_changes: self.mtk_changes.value(),
            documents: self.documents.value(),
            send_errors: self.send_errors.value(),
        }
    }
}

/// Counters of the service as a whole.
#[derive(Debug, Default)]
pub(super) struct Overall {
    pub(super) commits: Counter,
    pub(super) commits_failed: Counter,
    pub(super) receive_errors: Counter,
    pub(super) late: LatenessCounter,
}

/// What a channel has taken and sent since it was opened.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ChannelCounters {
    /// Plain packets taken, refused ones included.
    pub packets_in: u64,
    /// Their octets.
    pub octets_in: u64,
    /// Protected packets sent.
    pub packets_out: u64,
    /// Their octets, with what protection adds.
    pub octets_out: u64,
    /// Plain packets refused, by reason.
    pub refused: RejectStats,
    /// Plain packets for which no traffic key was in force.
    pub without_key: u64,
    /// Plain packets that came while the channel was silent because the key server was not heard.
    pub silenced: u64,
    /// Packets handed in that found no room.
    pub queue_full: u64,
    /// Key messages sent, copies included; to several addresses it counts once each.
    pub key_messages: u64,
    /// Traffic keys that came into force.
    pub mtk_changes: u64,
    /// Documents that were new.
    pub documents: u64,
    /// Datagrams that the system would not send.
    pub send_errors: u64,
}

/// What the service has done.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct BroadcastCounters {
    /// By channel, in the order of their names.
    pub channels: Vec<(ChannelId, ChannelCounters)>,
    /// Writes to the journal.
    pub commits: u64,
    /// Writes that the system refused; each is tried again.
    pub commits_failed: u64,
    /// Reads from inputs, or waits for them, that the system refused.
    pub receive_errors: u64,
    /// How late key messages left.
    pub late: Lateness,
}
