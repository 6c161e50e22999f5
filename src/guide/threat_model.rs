//! What an attacker can and cannot do, and what is not claimed.
//!
//! # Who is who
//!
//! | party | holds | can |
//! |---|---|---|
//! | outsider on the network | nothing | send, drop, delay, repeat, alter datagrams |
//! | member of a group | MSK and MTKs of the group | read it, and forge media and MTK messages of it |
//! | expelled member | MSKs up to the expulsion | read what was protected under them, nothing after the switch |
//! | operator of the process | everything | |
//!
//! The tag of an SRTP packet and the MAC of an MTK message prove that **a member** made them, not which
//! one (RFC 3711 §7.4, RFC 4563 §7). Source-specific multicast narrows who can inject; it is a filter,
//! not authentication.
//!
//! # What unauthenticated octets can cause
//!
//! | act | cost to the receiver | bound |
//! |---|---|---|
//! | random datagrams | a classification | none needed |
//! | forged packet under a known MKI | one authentication | none needed |
//! | forged packet of an unknown SSRC | one authentication, and rollover counter trials within a budget a batch | `StreamLimits::roc_trials_per_batch` |
//! | packet of an unknown MKI | a copy into the hold-back | `Limits::held_packets`, `held_octets`, `held_packets_per_group`, `hold_time` |
//! | MTK message of another group, repeated on this one's address | the other group's keys are tried here as well, unless the description of this one names its key group | four key groups |
//! | forged MIKEY message | a copy to the key thread, one key derivation and MAC there | length of the key queue |
//!
//! Nobody outside a group can create a stream's state, move an index, use up a counter of a key, or
//! grow memory.
//!
//! # Packets without a tag
//!
//! A policy can ask for a ROC-carrying transform (RFC 4771) that leaves media unauthenticated. It comes
//! from an authenticated MSK message, or from a description where that has no policy; the receiver
//! follows it, and marks what nothing proves: [`Media::authenticated`](crate::rx::Media::authenticated),
//! the counter `unauthenticated`. SRTCP and so burst control are authenticated under every policy.
//!
//! | policy | authenticated | what anybody can do |
//! |---|---|---|
//! | RCC mode 2; mode 3 with AEAD | every packet | as above |
//! | RCC mode 1 | every R-th packet, which carries the rollover counter | have forged, altered or repeated packets delivered between these; not move the stream, nor keep an authentic packet from opening |
//! | RCC mode 3 without AEAD | none | also claim streams, up to a limit of their own, and with two packets that agree make a stream unreadable until two of its own agree again |
//!
//! Under mode 1 a packet without a tag is decrypted where the authentic ones say it lies, refused as
//! `unsynchronized` while there is none, and as `source_conflict` from another address than theirs.
//! Nothing of it is remembered: copies are delivered again, it counts as no sign of life of its stream,
//! and none for its traffic key. If more than 2^15 packets were lost before it, it is garbled, and
//! nothing can tell; the next packet with the counter ends that. Under mode 3 what is believed of a
//! stream is kept apart from authenticated ones, which it never touches. Nothing notes the use of a key
//! by such media, so that former keys stay until burst control uses a newer one, or they are too many.
//!
//! # Constant time
//!
//! Claimed: no branch and no memory address depends on key octets or on the contents of a plain text.
//! AES comes from instructions (AES-NI, VAES) or from the bit-sliced code of the `aes` crate, never from
//! tables; GHASH from carry-less multiplication or the `ghash` crate's constant-time code; tags and MACs
//! are compared without early exit.
//!
//! Not claimed: lengths, header fields, MKIs and verdicts are public and do decide what is executed; the
//! compiler's output is not verified; copies of expanded keys that moves and register spills leave on a
//! stack are not erased; caches, power and electromagnetic channels are not considered;
//! nothing protects from a process that can read this one's memory.
//!
//! # Secrets
//!
//! Key material lives in [`crate::secret`] types and in expanded form inside
//! [`TrafficKey`](crate::srtp::TrafficKey); both are erased on drop, are not `Clone`, and print nothing.
//! A retired key is erased when the last lane has let go of the table that held it, at the latest with
//! its next batch or tick, and the key plane's tick has come. Copies that the operating system makes (swap, core dumps) are not controlled
//! here.
//!
//! # Replay
//!
//! Each stream remembers what it has played (`StreamLimits::replay_window`). A stream that made room for
//! another (`streams_per_session`, `streams`) is a new one when it comes back, and its old packets can be
//! played again while their key is held. Only members can bring up so many streams.
//!
//! Counters of MSK and MTK messages must only rise, and are kept per MUK and per MSK. Without a state they
//! are lost when the process ends: a restarted client can be fed an old MSK message, though not one that
//! was made under another MUK. With one (feature `state`, `recv --state`) what was accepted is on disk
//! before it has any effect, so that a crash at any moment, of the process or of the power, lets no old key
//! message be accepted again and loses no MSK that was confirmed.
//!
//! Not covered by the state: replay windows of the streams. A packet recorded before the restart under a
//! traffic key that is still in force can be replayed once after it, as to anyone who joins late. The
//! place of a stream in the file is only where the search for its rollover counter begins.
//!
//! # The state file
//!
//! | act | what happens |
//! |---|---|
//! | read the file | sealed: nothing is learned but how much changes when; not sealed: MSKs and traffic keys are, client keys are not in it |
//! | alter it | sealed: it is refused; not sealed: damage is refused, a forgery is not noticed |
//! | swap frames, or those of two files | refused, as above: a frame opens in its place only |
//! | cut off its end | the last commits are gone, as after a crash |
//! | put an older copy in its place | **not noticed**: what was accepted since then can be accepted again |
//! | remove it while it is used | noticed at the next commit, and written again |
//!
//! Whoever can write the folder can do the last three, key or no key; so it belongs to the user of the
//! process, and backups are not put back. A client key that is removed leaves a print of itself and its
//! counter: HMAC-SHA-256 under the key, 16 octets, of which nothing leads back to the key.
