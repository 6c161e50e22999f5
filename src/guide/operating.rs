//! Running a gateway: limits, buffers, back ends, counters.
//!
//! # Limits
//!
//! | limit | default | counter of what it refused |
//! |---|---|---|
//! | `StreamLimits::streams` | 4096 a lane, 128 octets each; as many again, once RCC mode 3 without AEAD is used, of streams that nothing proves | `stream_limit` |
//! | `StreamLimits::streams_per_session` | 256 | the longest silent stream makes room: `evicted_streams` |
//! | `StreamLimits::replay_window` | 128 packets, up to 256 | `too_old` |
//! | `StreamLimits::roc_candidates` | 4 | `auth_failed` |
//! | `StreamLimits::roc_trials_per_batch` | 16 for known sources, 16 for others | `trial_limit` |
//! | `StreamLimits::roc_trials_saved` | 256 of each | `trial_limit` |
//! | `StreamLimits::roc_trial_pause` | 20 ms, doubled up to 1.28 s | `trial_limit` |
//! | `StreamLimits::source_timeout` | 30 s | `source_conflict` |
//! | `StreamLimits::sender_restarts` | off | `auth_failed`, `too_old`, `replayed` of the restarted sender; on: `mki_expired` of what it sent before |
//! | `Limits::held_packets` | 2048 a lane; no group more than it leaves free | `hold_full` |
//! | `Limits::held_octets` | 2 MiB a lane, shared likewise | `hold_full` |
//! | `Limits::held_packets_per_group` | 1024; no source more than it leaves free | `hold_full` |
//! | `Limits::hold_time` | 500 ms | `hold_expired` |
//! | `Limits::key_messages_per_second` | 100 of each group and source | `key_rate_limit` |
//! | `Limits::burst_messages_per_second` | 256 of each group | `burst_rate_limit` |
//! | `PlaneLimits::keys_per_group` | 8 | the oldest traffic key makes room |
//! | `PlaneLimits::grace` | 10 s after the newer key's first packet | `mki_expired` |
//! | `KeyLimits::muks`, `key_groups` | 4096 each | an error; `key_limit` |
//! | `GatewayBuilder::key_queue` | 256 messages | `mikey_queue_full` |
//! | `GatewayBuilder::worker_queue` | 64 batches to each worker | `worker_queue_full` |
//! | receive slot | 2048 octets, 65535 with `gro` | `oversized` |
//! | `ReceiveOptions::own_sockets` | 64 a port and lane | further groups share sockets |
//! | `ReceiveOptions::groups_per_socket` | 100, and `igmp_max_memberships` for IPv4 | another socket |
//! | state file not writable | | `state_failed` |
//!
//! # Receive buffers
//!
//! A socket asks for 4 MiB and warns when the system grants less; raise `net.core.rmem_max`. A queued
//! speech packet is charged about 800 octets, so that a buffer of 212992 octets, a common default, holds
//! 256 of them: 5 ms at 50 000 packets a second. Datagrams dropped there appear as `socket_drops`.
//!
//! # Many groups
//!
//! The first 64 groups on a port, interface and lane have a socket each
//! ([`ReceiveOptions::own_sockets`](crate::net::ReceiveOptions::own_sockets)): such a socket is bound to
//! the group's address and hears nothing else. Further ones share sockets bound to the port alone, and
//! `IP_PKTINFO` tells the destination of each datagram: one call then reads what came for many groups,
//! and 1000 groups take some 110 sockets a port instead of 1000. How many share one socket is limited by
//! `net.ipv4.igmp_max_memberships` (20 by default) and by 100.
//!
//! The lane then spends about 1 µs a datagram at 1000 groups, where a socket each takes nearly twice as
//! much (`cargo bench --bench receive`). The kernel pays for it: it walks the memberships of all shared
//! sockets on the port for each datagram, 2 µs at 1000 groups. Where the interrupt side is the scarce one
//! and files are not, `ReceiveOptions::with_sharing(usize::MAX, 1)` gives every group its own socket; so
//! does putting groups on different ports. A shared socket has one receive buffer for all its groups.
//!
//! A shared socket also gets unicast datagrams to its port, counts them as
//! `SocketStats::unknown_destination` and refuses them. Another program's socket that is bound to a
//! unicast address of the port keeps its datagrams; one bound to the port alone may lose them, so use
//! `own_sockets` without bound beside such a program. The port of
//! [`GatewayBuilder::key_address`](crate::runtime::GatewayBuilder::key_address) is never shared if that
//! address is unspecified.
//!
//! Drops are counted by socket: a group's `socket_drops` are those of every socket that it uses, and
//! `SocketStats::drops` counts each once. Groups are spread over lanes; groups that share a socket are on
//! one lane, and one group's packets stay on one lane, unless it has workers.
//!
//! # Merged datagrams
//!
//! [`ReceiveOptions::gro`](crate::net::ReceiveOptions::gro), `recv --gro`: the kernel merges datagrams of
//! equal length and one sender into one read, and the lane cuts them apart. It works only where runs of
//! them reach the kernel together: from a sender on this host that uses `UDP_SEGMENT`, or a network card
//! with `ethtool -K eth1 rx-udp-gro-forwarding on`. Otherwise it costs 50 ns a datagram and gives nothing,
//! hence it is off. The lane needs 1 MiB more. Of a run that is dropped the kernel counts one; drops are
//! shown in datagrams, with runs taken to be as long as those received.
//!
//! # Interfaces that come and go
//!
//! When an interface is deleted and made again (a VPN, a container, a driver reset) the kernel forgets
//! what was joined on it. A thread of the gateway follows the kernel's news (RTNETLINK) and joins again
//! as soon as the interface is back: `SocketStats::interfaces_lost`, `SocketStats::rejoined`, a warning
//! when it goes and a line when it is back. Where routing chooses the interface, groups follow the route.
//! A link that goes down and up keeps its memberships, but routes of it are gone until somebody
//! restores them.
//!
//! # State over restarts
//!
//! [`GatewayBuilder::state`](crate::runtime::GatewayBuilder) (feature `state`), `recv --state FILE`: the gateway
//! goes on after a crash or a restart without any key message delivered again, and accepts none a second time.
//!
//! | kept | when it is written |
//! |---|---|
//! | MSKs with RAND, interval, policy, SRTP-ID map, T_msk, SEQs | before the verification message is sent and the table published |
//! | traffic keys in force, and which are retired | the same |
//! | T_muk of each client key, by its identities and a print; the keys themselves are given anew at each start | the same |
//! | key groups seen on the address of a group | the same |
//! | rollover counter and sequence number of each stream | every 10 s and at the end, if it is new or has moved by 2^13 packets |
//!
//! - Cost: one write and one `fdatasync` for all that one drain of the key queue has accepted, on the key thread.
//!   Lanes do no I/O. A new key is in force that much later; packets under it wait in the hold-back.
//! - There is no laxer setting: an MTK message whose counter were written late could be accepted again
//!   after a crash, and bring back a key that was retired.
//! - While the file cannot be written (disk full), no key message is accepted (`state_failed`), no table
//!   is published, and `commits_failed` rises; each 100 ms another file is tried. Media under the keys
//!   in force goes on.
//! - Files: mode 0600; `FILE.lock` keeps a second process off, `FILE.new` is there for a moment. An existing file
//!   that others can read is replaced by one of mode 0600 with a warning; one that others can write is
//!   refused. A start begins a new file with what the old one held; so does growth by 1 MiB beside twice
//!   the snapshot.
//! - Sealing: 32 octets, `recv --state-key FILE|env:NAME|credential:NAME` in hex; with systemd a credential. A wrong key, or none, is an
//!   error and leaves the file as it is. The key is not changed by the program: to change it, begin
//!   another file and have the MSKs delivered again.
//! - A damaged file is an error that names it and the octet. A last write that a crash cut short is
//!   dropped with a warning: nothing of it had taken effect.
//! - Limits: as those of the keys above; 4 former keys of a client, 256 streams a group, 4096 groups that are
//!   not joined at the moment.
//!
//! # One hot group
//!
//! The system gives every socket that joined a group a copy of each datagram, so that more sockets do not
//! share its load. Where one core cannot receive and decrypt a group,
//! [`GatewayBuilder::workers`](crate::runtime::GatewayBuilder::workers) leaves the receiving to the
//! lane's thread and the rest to workers: each stream, by SSRC, to the same one, in order. It costs 40 to
//! 60 ns more a packet in all and takes 90 off the receiving thread (`cargo bench --features internals
//! --bench handover`, 200 octets, AES-CM-128 with HMAC-SHA1-80: 157 ns alone, 66 of 200 with one worker,
//! 69 of 216 with two). A worker that falls behind, because its callback blocks, loses its own packets
//! only, counted as `worker_queue_full`.
//!
//! # A callback that panics
//!
//! The panic is caught where the callback was called, and counted in `GatewayStats::callback_panics`;
//! the event it was given is lost to it, and no thread ends. (With `panic = "abort"` the process does.)
//! `GatewayStats::threads_ended` above 0 means a fault of this library.
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
//! # What is checked at start
//!
//! Once for each kind of socket, with a warning that names the setting:
//!
//! | setting | trouble |
//! |---|---|
//! | `net.ipv4.conf.*.rp_filter` | with 1, the kernel drops a multicast datagram whose source has no route back over the interface it came in by, and no socket counter shows it; with 2, one whose source has no route at all |
//! | `net.core.rmem_max` | smaller receive buffers than asked for |
//! | `net.ipv4.conf.*.force_igmp_version`, `net.ipv6.conf.*.force_mld_version`, an old querier | routers are not told the senders of source-specific groups |
//! | `net.ipv4.igmp_max_memberships` | more than 8 shared sockets on a port because of it |
//! | `net.ipv4.igmp_max_msf`, `net.ipv6.mld_max_msf`, `net.core.optmem_max` | an error of the join that fails |
