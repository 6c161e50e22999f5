//! From a counter to its cause.
//!
//! Counters are per group ([`GroupStats`](crate::rx::GroupStats)), for all sockets
//! ([`SocketStats`](crate::runtime::SocketStats)) and for the key thread
//! ([`KeyStats`](crate::runtime::KeyStats)); the names are those of [`Reject`](crate::Reject). The
//! program's `inspect` command shows the same verdicts packet by packet for a capture.
//!
//! # Packets
//!
//! | counter | usual cause |
//! |---|---|
//! | nothing at all | not joined (`/proc/net/igmp`), rp_filter, wrong interface, a snooping switch that has forgotten the member |
//! | `socket_drops` | receive buffer too small, or the lane's processor overloaded |
//! | `unknown_destination` (of the sockets) | unicast to a port that groups share; a few while a group is joined or left |
//! | `interfaces_lost`, `rejoined` (of the sockets) | an interface was deleted, and came back |
//! | `receive_errors` (of the sockets) | the system refused to receive or to wait; the log says why, once a minute |
//! | `unknown_protocol` | something else is sent to this port |
//! | `truncated`, `bad_version` | damaged or foreign datagrams; another tag or MKI length than the policy says |
//! | `oversized` | datagrams beyond the receive slot |
//! | `held` grows, `released` does not | MTK messages do not arrive: look at `key_messages`, at their port, and at the key counters below |
//! | `hold_expired`, `unknown_mki` | as above; the MSK of these packets was never delivered, for example after an expulsion |
//! | `hold_full` | as above at a high rate |
//! | `mki_expired` | a sender kept using a key longer than the grace period after its successor; with `sender_restarts`, also a recording of what a talker sent before it started again |
//! | `auth_failed` | forged or damaged; or keys differ (another salt, another derivation rate); or the rollover counter differs: joined late without an announced one |
//! | `auth_failed`, all packets of one talker | its sequence number has jumped by more than 2^15 (`before_start` near the beginning of a stream): over after 30 s of it; or, right after a change of key, it has started again with rollover counter 0: `StreamLimits::sender_restarts` tolerates that |
//! | `replayed` | duplicated by the network, or sent over two paths |
//! | `too_old` | reordered by more than the replay window |
//! | `replayed` and `too_old`, all packets of one talker | its sequence number, or SRTCP index, has started again under the same key: a fault of the sender, which uses its keystream twice. Over when it passes where it was, or with a new key and `sender_restarts` |
//! | `streams` grows, the talkers do not | with `sender_restarts`: a sender starts again and again; else more talkers than `streams_per_session` |
//! | `before_start` | reordered around the first packet of a stream |
//! | `unsynchronized` | normal for at most R packets after joining where the policy leaves packets without a tag (RCC mode 1 or 3); later, packets with the rollover counter get lost or fail; in mode 3, a forged counter, or a sender that has started again |
//! | `unauthenticated`, beside `media` | the policy leaves media without a tag (RCC mode 1, or 3 without AEAD) |
//! | `source_conflict` | two senders with one SSRC, or one sender that has changed its address or port: over once the first has been silent for 30 s |
//! | `stream_limit` | more streams than the limit |
//! | `trial_limit` | a flood of forged streams, or very many late joins at once without an announced rollover counter |
//! | `worker_queue_full` | a worker is too slow, or its callback blocks |
//! | `burst_rate_limit` | a member sends burst control beyond all use |
//! | `unknown_payload_type` | the description does not list it |
//! | `unsupported` | the sender encrypts header extensions and CSRCs (cryptex, RFC 9335) |
//! | `bad_padding`, `bad_rtcp`, `bad_burst` | authentic but malformed: a fault of the sender |
//! | `unknown_burst`, `unexpected_direction` | a later protocol version, or a client sending to the group |
//!
//! # Key messages
//!
//! | counter | usual cause |
//! |---|---|
//! | `key_repeated` | normal: repeats for late joiners |
//! | `key_replayed` | an older message after a newer one; the server lost its counter |
//! | `unknown_muk` | identities differ from those in the key file; look at IDi and IDr with `inspect` |
//! | `unknown_msk` | MTK messages under an MSK that was not delivered to this client |
//! | `key_auth_failed` | another MUK or MSK than the sender's, or forged |
//! | `mtk_out_of_interval`, `mtk_not_newer` | the broadcaster's numbering restarted |
//! | `bad_key_data` | key or salt of another length than the policy asks for |
//! | `mikey_not_mbms` | MIKEY of another use on this port |
//! | `mikey_malformed`, `mikey_unsupported` | damaged, or algorithms of another profile |
//! | `mikey_queue_full`, `key_rate_limit` | a flood of key messages; repeats make up for the loss |
//! | `key_limit` | more client keys or key groups than `KeyLimits` |
//! | `state_failed`, `commits_failed` | the state cannot be written: look at the log, the disk and the folder's owner |
