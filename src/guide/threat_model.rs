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
//! What one datagram of 188 octets costs, in a batch of 64 (`cargo bench --bench hostile`, AES-CM-128 with
//! HMAC-SHA1-80, AMD EPYC Zen 4, on a busy machine and from cold memory; a good packet takes 410 ns
//! there, so that the figures are to be read beside that one):
//!
//! | act | cost, ns | of what | bound, and what it protects |
//! |---|---|---|---|
//! | random datagram | 65 | a look at the first octets | |
//! | packet too short for its header | 240 | the same, alone | |
//! | replayed packet | 270 | the look at its stream, mostly | |
//! | forged packet of a known stream | 260 | one authentication | |
//! | forged packet of one unknown stream | 385 | one authentication, and its rollover counter trials now and then | `StreamLimits::roc_trial_pause`: time; the trials of others |
//! | forged packets, each of another stream | 600 | one authentication each, and rollover counter trials | `StreamLimits::roc_trials_per_batch`, `roc_trials_saved`: time. Sources of which something authentic has come have trials of their own, and the announced counter is tried with every packet, so that late joiners are heard |
//! | packet of an unknown MKI | 510 | a copy into the hold-back, and its end | `Limits::held_packets`, `held_octets`, `held_packets_per_group`, `hold_time`: memory. One source takes half of what its group may hold and one group half of it all, so that keys of others may still come late |
//! | MIKEY message beyond its rate | 100 | a look at a clock | `Limits::key_messages_per_second`: the key thread, and other groups' and sources' messages |
//! | forged MTK message | 2200 | on the key thread: one derivation and MAC | the same, and `GatewayBuilder::key_queue` |
//! | forged MSK message | 3600 | the same with a longer key | the same |
//! | MTK message of an unknown MSK | 460 | on the key thread: a look-up | the same |
//! | MTK message repeated | 425 | on the key thread: a comparison | the same |
//! | malformed MIKEY message | 145 | on the key thread: a look at its lengths | the same |
//! | MTK message of another group, repeated on this one's address | as repeated | the other group's keys are tried here as well, unless the description of this one names its key group | four key groups |
//! | burst-control messages of a member | as good packets | delivery | `Limits::burst_messages_per_second`: the application |
//!
//! Nobody outside a group can create a stream's state, move an index, use up a counter of a key, or
//! grow memory. `tests/hostile_floods.rs` sends as much of each kind as there is talk, and the talk loses
//! nothing.
//!
//! # What a receiver cannot know
//!
//! - Whether a forged packet with the address of the true sender is that sender's. Where a network lets
//!   such packets through, the shares by source fall together: an announced rollover counter and known
//!   streams are still served, a late joiner beyond that and keys that come late may wait.
//! - Whether sources are different hosts: shares are found by a hash of 5 bits, and one in 32 falls
//!   together with the true sender's.
//! - Whether a packet of an unknown MKI is forged or early. It waits, and may take the place of another
//!   within its share.
//! - Whether silence is loss, a forged destination, or the end of a talk.
//! - Which member made a packet: any of them can make all of it.
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
//! A retired key is erased within [`Gateway::KEYS_ERASED_WITHIN`](crate::Gateway::KEYS_ERASED_WITHIN),
//! whether packets come or not: with the publish that follows its retirement, or, if a lane was in the
//! middle of a batch then, with the key thread's next tick after that batch. Session keys that a key
//! derivation rate has had derived go when their lane sees the new table, with its next batch or tick.
//! The key thread erases, never a lane. Copies that the operating system makes (swap, core dumps) are
//! not controlled here.
//!
//! # Replay
//!
//! Each stream remembers what it has played (`StreamLimits::replay_window`). A stream that made room for
//! another (`streams_per_session`, `streams`) is a new one when it comes back, and its old packets can be
//! played again while their key is held. Only members can bring up so many streams.
//!
//! Where senders may start again (`StreamLimits::sender_restarts`, off by default) a stream's memory begins
//! anew with a packet under a key that it was not heard under before, nor under a newer one, and what older
//! keys protect is refused from then on: nothing is played twice. Anybody without keys can make such a trial
//! happen, as rarely as other rollover counter trials.
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
