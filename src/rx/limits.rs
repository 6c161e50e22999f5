//! Every bound of a lane by name.

use std::time::Duration;

use crate::srtp::StreamLimits;

/// Bounds of one lane's memory, work and patience.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams, replay window, rollover counter trials.
    pub streams: StreamLimits,
    /// Packets held back for a key that has not come yet. Default 1024; counter `hold_full`.
    pub held_packets: usize,
    /// Octets they may take together. Default 1 MiB; counter `hold_full`.
    pub held_octets: usize,
    /// Packets held back of one group. Default 512; counter `hold_full`.
    pub held_packets_per_group: usize,
    /// How long a packet is held back. Default 500 ms; counter `hold_expired`.
    pub hold_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: StreamLimits::default(),
            held_packets: 1024,
            held_octets: 1 << 20,
            held_packets_per_group: 512,
            hold_time: Duration::from_millis(500),
        }
    }
}
