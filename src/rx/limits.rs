//! Every bound of a lane by name.

use std::time::Duration;

use crate::srtp::StreamLimits;

/// Bounds of one lane's memory, work and patience.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams, replay window, rollover counter trials.
    pub streams: StreamLimits,
    /// Packets held back for a key that has not come yet; one group may hold no more than it leaves
    /// free. Default 2048; counter `hold_full`.
    pub held_packets: usize,
    /// Octets they may take together, shared in the same way. Default 2 MiB; counter `hold_full`.
    pub held_octets: usize,
    /// Packets held back of one group; one source may hold no more than it leaves free. Default 1024;
    /// counter `hold_full`.
    pub held_packets_per_group: usize,
    /// How long a packet is held back. Default 500 ms; counter `hold_expired`.
    pub hold_time: Duration,
    /// MIKEY messages a second that go to the key plane, of each group and source; sources are told
    /// apart by a hash of 5 bits. Default 100; counter `key_rate_limit`.
    pub key_messages_per_second: u32,
    /// Burst-control messages a second that are delivered, of each group. Default 256; counter
    /// `burst_rate_limit`.
    pub burst_messages_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: StreamLimits::default(),
            held_packets: 2048,
            held_octets: 2 << 20,
            held_packets_per_group: 1024,
            hold_time: Duration::from_millis(500),
            key_messages_per_second: 100,
            burst_messages_per_second: 256,
        }
    }
}
