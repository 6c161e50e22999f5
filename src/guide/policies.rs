//! Policies of a channel: when its MSK is replaced, how long things take, what becomes of slow clients.
//!
//! All of them belong to one channel ([`ChannelSpec`](crate::keyserver::ChannelSpec)), and may be changed
//! while it is open. Every decision that follows from them is an event.
//!
//! # When the MSK is replaced
//!
//! | trigger | what happens | setting |
//! |---|---|---|
//! | a client is expelled (P5) | always an update. At once; or, with a window, at its end: all expulsions in it cost one update. The client is struck off at once in both cases, and is sent nothing any more | `expulsion_window`, 0 by default |
//! | a client leaves (P4) | no update; an update for each; or one at the end of a window for all leaves in it | `leave`: `KeepMsk`, `UpdateMsk`, `Batched` |
//! | the MSK has reached its lifetime (D1) | an update | `msk_lifetime`, none by default |
//! | few MTK IDs are left under it (D1) | an update; the broadcaster reports it | `mtk_ids` and the broadcaster's threshold |
//! | the operator asks, or suspects that a key is known (D1) | an update; a suspicion also replaces an MSK that is on its way | `update` with its cause |
//!
//! During an update, an expulsion or a suspicion starts over with another MSK, since the one under way may
//! be in the wrong hands; a leave waits for the switch and then shares one more update with all leaves until
//! then; lifetime, MTK IDs and the operator's command ask for nothing that the update does not bring.
//!
//! # How long it takes
//!
//! | time | default | what it means |
//! |---|---|---|
//! | `confirm_within` | 5 s | deadline (D3): the switch comes when all members have confirmed and all broadcasters hold the new MSK, at the latest now. Also the longest time that an expelled client still hears; twice this time if further expulsions keep superseding the update, window apart |
//! | `grace` | 10 s | how long the old MSK is kept behind the switch, for packets and key messages that are late |
//! | lead of an MTK | 200 ms | how long its message is on the air before the first packet under it |
//! | `mtk_period` | none | how long an MTK is used |
//! | `Retry::UDP` | 8 copies in about half a minute | copies of an MSK message until its verification message comes |
//! | `Retry::SDP` | 3 offers, 10 s apart and more | the same in SIP, which repeats lost requests itself |
//!
//! A short deadline cuts an expelled client off sooner and leaves more slow clients behind, which then hear
//! nothing until their copy arrives. A client whose copies were lost loses media; one that is expelled and
//! delays its peers' confirmations, which it cannot, would gain `confirm_within` at most.
//!
//! # Clients that never confirm
//!
//! The update does not wait for them beyond its deadline. Afterwards (`unconfirmed`):
//!
//! | setting | what happens to the client |
//! |---|---|
//! | `WaitForRequest` (default) | after the last copy nothing more is sent; it asks by an MSK request, is moved, or answers late, and goes on |
//! | `KeepTrying` | copies go on for ever, at the longest wait |
//! | `Remove` | after the last copy it is struck off as if it had left, with what the leave policy says then |
//!
//! # Several broadcasters
//!
//! A channel that names no broadcaster has one, for which no switch waits. Else it names them, one for each area. Each gets the same MSKs, but a part of the MTK IDs
//! of its own, so that no two ever make a key of one identifier. The switch waits for all of them up to the
//! deadline: a broadcaster that cannot be reached goes on under the MSK that it has, and with it the
//! expelled client can still listen in that area. `silence_after` of the broadcaster puts an end to that:
//! it stops sending when it has not heard from the key server for that long. Without it, speech goes before
//! secrecy; the key server tells by an event which broadcaster is behind.
//!
//! A client takes MTK IDs of one MSK in rising order only (TS 33.246 §6.4.6.2). One that moves from the
//! area of a later broadcaster to that of an earlier one hears nothing there until the next MSK.
