//! Running a gateway: limits, buffers, back ends, counters.
//!
//! # Limits
//!
//! | limit | default | counter of what it refused |
//! |---|---|---|
//! | `StreamLimits::streams` | 4096 a lane, 128 octets each | `stream_limit` |
//! | `StreamLimits::streams_per_session` | 256 | the longest silent stream makes room |
//! | `StreamLimits::replay_window` | 128 packets, up to 256 | `too_old` |
//! | `StreamLimits::roc_candidates` | 4 | `auth_failed` |
//! | `StreamLimits::roc_trials_per_batch` | 16 | `auth_failed` |
//! | `StreamLimits::source_timeout` | 30 s | `source_conflict` |
//! | `Limits::held_packets` | 1024 a lane | `hold_full` |
//! | `Limits::held_octets` | 1 MiB a lane | `hold_full` |
//! | `Limits::held_packets_per_group` | 512 | `hold_full` |
//! | `Limits::hold_time` | 500 ms | `hold_expired` |
//! | `PlaneLimits::keys_per_group` | 8 | the oldest traffic key makes room |
//! | `PlaneLimits::grace` | 10 s after the newer key's first packet | `mki_expired` |
//! | `KeyLimits::muks`, `key_groups` | 4096 each | an error; `key_limit` |
//! | `GatewayBuilder::key_queue` | 256 messages | `mikey_queue_full` |
//! | receive slot | 2048 octets | `oversized` |
//!
//! # Receive buffers
//!
//! A socket asks for 4 MiB and warns when the system grants less; raise `net.core.rmem_max`. A queued
//! speech packet is charged about 800 octets, so that a buffer of 212992 octets, a common default, holds
//! 256 of them: 5 ms at 50 000 packets a second. Datagrams dropped there appear as `socket_drops`.
//!
//! # Many groups
//!
//! Each address and port of a group is a socket. `net.ipv4.igmp_max_memberships` (20) counts per socket
//! and does not limit this; the number of open files does. Groups are spread over lanes; one group's
//! packets stay on one lane.
//!
//! # Latency against load
//!
//! [`GatewayBuilder::coalesce`](crate::runtime::GatewayBuilder::coalesce) lets a lane sleep after each
//! batch so that the next one gathers: 1 ms by default. Waking a thread costs more than receiving and
//! decrypting a packet, so zero is right only where 1 ms matters.
//!
//! # Back ends
//!
//! The transforms are chosen once, by the processor: `avx512`, `avx2` or `portable`.
//! `MCAST_SRTP_BACKEND=portable` overrides the choice, for support; `mcast-srtp --version -v` shows it.
//!
//! # Reverse path filter
//!
//! With `rp_filter` 1 the kernel drops a multicast datagram whose source has no route back over the
//! interface it came in by, and no socket counter shows it. The gateway warns at start.
