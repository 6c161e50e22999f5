//! How the parts fit.
//!
//! ```text
//!          PoC server (PF)                      BCAST enabler                        media gateway, client
//! MUK ─► KeyServer ── document, MSKs ──► Broadcaster ══ SRTP, SRTCP, MTK messages ══► lanes ─► media, events
//!            │                                             (multicast)                 ▲
//!            └─ MSK message under the MUK: SDP a=key-mgmt, or UDP 2269 ───────► key plane ┘ one KeyTable
//! ```
//!
//! # One lane
//!
//! ```text
//! recvmmsg ─► classify ─► MKI ─► index, replay ─► authenticate, decrypt in place ─► commit ─► deliver
//!    │           └─ MIKEY ─► bounded channel ─► key plane (the only writer) ─► publish KeyTable
//!    └─ unknown MKI ─► hold-back (packets, octets, time) ─► again after the next publish
//! ```
//!
//! # Between threads
//!
//! The key thread publishes a table by one atomic swap and wakes only lanes that hold packets back
//! (`runtime/doorbell.rs`); it keeps what it replaced until no lane is in the middle of a batch with it
//! (`keys/former.rs`), so that a lane frees nothing. Both hand-shakes are run under every order of their
//! steps in `tests/loom/`. One group may be spread over workers by SSRC (`runtime/spread.rs`). A key message
//! that a lane hands on may cost a system call to wake the key thread; packets cost none beyond their
//! batch's (`tests/lane_syscalls.rs`).
//!
//! # One turn of the key server
//!
//! ```text
//! requests, verification messages, deadlines, bus ─► core ─► ONE commit (write, fdatasync) ─► MSK messages, documents,
//!        (as many as wait)                                                                     events, answers
//! ```
//!
//! The core changes in memory at once; nothing of it is seen outside before the commit. When the commit fails, all of it
//! waits, in order, and new requests are refused. The broadcaster has the same order for its MTK messages; its packets
//! wait for nothing, since a restart begins with another MTK.
//!
//! # Layers
//!
//! Imports point downwards only.
//!
//! | layer | holds | never holds |
//! |---|---|---|
//! | tools, [`crate::aio`](crate) | programs, the asynchronous stream | |
//! | [`crate::runtime`] | a gateway: threads, channels, start and stop | protocol |
//! | [`crate::service`](crate) | key server and broadcaster at work: threads, requests, events, documents, the membership bus | who gets which key |
//! | [`crate::state`](crate) | the files of states: journal, seal, lock | what a record says |
//! | [`crate::rx`], [`crate::keyserver`], [`crate::broadcast`] | a lane; the roster and its MSKs; MTKs and what is sent | threads, sockets |
//! | [`crate::keys`] | MUK, MSK, MTK, acceptance rules, the published table | sockets, packets |
//! | [`crate::group`] | what a talk group is | sockets |
//! | [`crate::srtp`] | profiles, derivation, index, replay, the batch transforms | where a key came from |
//! | [`crate::wire`] | views over octets, and writers | state, allocation |
//! | [`crate::ids`], [`crate::secret`], [`crate::record`], [`crate::error`] | names, key material, what is kept, verdicts | |
//!
//! [`crate::net`] (sockets, `recvmmsg`) is used by `runtime`, `service` and programs only.
//!
//! # Invariants
//!
//! 1. A lane takes the key table once a batch, with one atomic load. No lock, allocation, system call
//!    or log per packet.
//! 2. Check, open, commit. Nothing unauthenticated changes state, allocates, or is remembered. The
//!    exceptions are bounded: packets of an unknown MKI wait in memory set aside at start; a stream whose
//!    rollover counter was not found waits a little for the next look; and where the policy authenticates
//!    no media (RCC mode 3 without AEAD), what packets claim stands in a table apart.
//! 3. One writer per thing: the key plane writes keys, a lane writes its streams and counters. A stream
//!    lives on one lane, or one worker behind it, for its life.
//! 4. A new key never disturbs packets under the old one: the MKI of each packet decides, until the
//!    old key is retired.
//! 5. Below `runtime`, everything is a function of octets, time and randomness given to it.
//! 6. Every bound is a named limit with a default and a counter for what it refused.
//!
//! # Reading order
//!
//! `lib.rs`, `rx/lane.rs`, `srtp/unprotect.rs`, `srtp/batch.rs`, `keys/plane.rs`, `keys/store.rs`,
//! `keys/accept.rs`, `wire/mikey/mod.rs`, `runtime/gateway.rs`, `keyserver/rekey.rs`, `service/thread.rs`, `net/mmsg.rs`.
