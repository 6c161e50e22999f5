//! What can fail in key server and broadcaster, what then happens by itself, and what is left to do.
//!
//! # The process
//!
//! | failure | what holds | what happens | to do |
//! |---|---|---|---|
//! | key server killed, or power lost | all that was answered is on disk; what was not answered either is, whole, or is not | on start every member that has not confirmed gets its MSK again, under a new counter; deadlines go on by the wall clock; broadcasters are given the document again. Media goes on meanwhile, under the MTKs that are on the air | repeat requests that were not answered: they change nothing the second time |
//! | broadcaster killed | no MTK ID, counter or SRTP index is used twice | a new MTK at once; receivers keep their rollover counters; packets of the pause are lost | |
//! | a broadcaster's state file lost | its MTK IDs and counters under the MSK in force would be used twice | | `ctl update` before it is started again, so that it begins under an MSK of its own |
//! | the key server's state file lost | nothing: identifiers would be used twice | | restore no old copy: use a new key group for each channel, and have clients bootstrap new MUKs |
//! | clock set back | identifiers and counters do not depend on it | lifetimes and deadlines that are under way over a restart last longer by as much | |
//!
//! An old copy of a state file must never be put back: the counters in it have been used since. A file that
//! is damaged other than at its very end is refused at start, for the same reason.
//!
//! # The disk
//!
//! | failure | what happens |
//! |---|---|
//! | the state cannot be written (disk full, removed, read-only) | key server: nothing goes out, requests are refused as `unavailable`, `/v1/health` says 503; the write is tried again every second, and all that waited goes out in order when it succeeds. Broadcaster: goes on under the MTK in force, starts no new one |
//! | a write is cut short by a crash | its frame is dropped at the next start: nothing of it had taken effect |
//! | another process has the file | refused at start |
//! | the sealing key is wrong or absent | refused at start; the file is as it was |
//!
//! # The network
//!
//! | failure | what happens | event |
//! |---|---|---|
//! | an MSK message or its answer is lost | another copy, under a new counter | |
//! | a client is unreachable | the switch comes at the deadline; then as `unconfirmed` says | `gave_up`, `removed` |
//! | a client comes back | it asks by an MSK request (`POST …/msk-request`), or is moved to another address; it gets the MSK in force, and nothing if it was expelled meanwhile | `confirmed` |
//! | a broadcaster is unreachable | the switch comes at the deadline, and the broadcaster goes on under the old MSK until it is heard again, or falls silent (`silence_after`) | `broadcaster_silent` |
//! | the key server is unreachable for a broadcaster | it goes on under the document that it has, and asks again with growing waits | |
//! | forged or repeated verification messages | refused, counted by reason; a counter that nobody waits for costs no MAC | `verification_refused`, at most one a minute for each reason and source |
//!
//! # Identifiers that run out
//!
//! | what | when | what happens |
//! |---|---|---|
//! | MTK IDs of an MSK | 65 535 changes, divided among the broadcasters | the broadcaster reports it before; an update follows (`mtk_ids`). Should none come, the last MTK stays in force |
//! | key numbers of a key group | 65 535 MSKs | `key_numbers_low` from 1024 on, then `key_numbers_used_up`: close the channel and open it with another key group. An expulsion then strikes the client off, but cannot cut it off |
//! | counters of a MUK | 2^32 - 1 messages | `gave_up` (`counters_used_up`): the client bootstraps a new MUK |
