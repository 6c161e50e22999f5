//! What the system must do, and what was decided where the specifications leave a point open.
//!
//! Comments in the code cite these by their number.
//!
//! # Requirements (OMA Multicast PoC)
//!
//! | no. | requirement |
//! |---|---|
//! | P1 | media and media burst control on the multicast bearer are protected as SRTP and SRTCP under MTKs |
//! | P2 | client and server derive the MUK from GBA |
//! | P3 | the client gets the MSK under its MUK when the channel is negotiated |
//! | P4 | when a client leaves, the server may update the MSK: a policy |
//! | P5 | when a client is expelled, the server updates the MSK; the expelled client gets nothing |
//! | P6 | the server hands the MSK to the broadcaster, at start and after each update |
//! | P7 | the MSK opens MTKs, MTKs open media and burst control |
//! | P8 | an update happens in the middle of a session without ending it |
//! | P9 | after the update the expelled client opens neither media nor burst control |
//!
//! # D: decisions on the system
//!
//! | no. | decision |
//! |---|---|
//! | D1 | lifetime, MTK IDs nearly used up, the operator and suspected compromise also trigger an update, on the same path |
//! | D2 | membership events carry a sequence number and are consumed exactly once |
//! | D3 | make before break: deliver the new MSK and publish it to the broadcasters, switch when all have confirmed and the named broadcasters hold it or a deadline passes, destroy the old MSK after a grace period |
//! | D4 | packets whose MKI is not known yet wait, bounded in packets, octets and time |
//! | D5 | a late client finds the rollover counter in the SRTP-ID map, or by authentication over bounded candidates |
//! | D6 | no identifier or counter is used twice; a receiver commits what it accepts before it has an effect, a key server and a broadcaster what they issue before it goes out |
//! | D7 | keys may come before the media or after |
//!
//! # S: decisions on the state of a receiver
//!
//! | no. | point | decision |
//! |---|---|---|
//! | S1 | what keeps it | a journal of our own: all of it fits in memory and is read once, so that a commit is one write and one `fdatasync`. redb was looked at: its versions for Rust 1.89 (up to 4.1) can be left unopenable by a crash, or roll back what was committed after two, and panic on damaged files, as its own change log says; later ones need Rust 1.90 |
//! | S2 | client keys | not kept; their counters are, by identities and a print of the key, so that a new MUK begins anew and an old one does not |
//! | S3 | a counter whose client is not inserted | kept, the longest unused of more than the limit makes room |
//! | S4 | traffic keys | kept with the MSKs: their MTK messages are not accepted twice, so nothing else would bring them back |
//! | S5 | sealed file without a key, open file with one | refused, both |
//! | S6 | MSK message of a description that is read again | no fault if an MSK of its key group is held |
//!
//! # K: decisions on MBMS keys (TS 33.246 is known second-hand)
//!
//! | no. | point | decision |
//! |---|---|---|
//! | K1 | MRK | KDF with FC 0x01 and the parameter `mbms-mrk` |
//! | K2 | MTK ID 0 | accepted if SEQl is 0, not sent |
//! | K3 | width of SEQl and SEQu | sent with 2 octets, accepted with 1 to 8 |
//! | K4 | solicited pull | Key Number 0 and no key data; key data with Key Number 0 is ignored |
//! | K5 | error replies | none |
//! | K6 | where the verification message goes | to the source of the MSK message |
//! | K7 | first counter | any is accepted; the server starts at 1 |
//! | K8 | BCAST management data | carried and authenticated, not acted on |
//! | K9 | policy against SDP attributes | the authenticated policy wins; without one, `a=SRTPAuthentication` of the group applies, or of all groups while the key's group is not known, where they agree |
//! | K10 | MSK message in an SDP answer | without the V flag |
//! | K11 | place of EXT | sent behind the header, accepted anywhere before KEMAC |
//! | K12 | key type of the MSK | sent as TGK, accepted as 0 to 3 |
//! | K13 | key type of the MTK | sent as TEK+SALT, or TEK without a salt; accepted as 0 to 3 |
//! | K14 | missing salt | zero |
//! | K15 | identities | IDi an URI, IDr a NAI; compared by their octets; IDi may carry the Ua identifier; both are needed |
//! | K16 | identities in an MTK message | tolerated |
//! | K17 | RAND in an MTK message | refused |
//! | K18 | SSRC 0 in the map | stands for every stream of the group |
//! | K19 | SRTCP | under the same MTK and MKI |
//! | K20 | authentication key of MIKEY | 20 octets |
//! | K21 | MSK delivered again with another interval | the interval is replaced, counters stay |
//! | K22 | one MSK ID in two key domains | distinct keys; a group is bound to one domain |
//! | K23 | MUK replaced | the former serves until the first message under the new one verifies |
//! | K24 | delivery of the MSK | session-level `a=key-mgmt` (RFC 4567), or UDP |
//! | K25 | MTK ID equal to SEQl | accepted, not sent |
//! | K26 | MSK message sent again | new counter, same RAND and key |
//!
//! # M: decisions on MIKEY
//!
//! | no. | point | decision |
//! |---|---|---|
//! | M1 | #CS with the empty map | sent as 0, ignored |
//! | M2 | a counter in the IV | padded on the left |
//! | M3 | one identity in an I_MESSAGE | not enough for MBMS (K15) |
//! | M4 | width of policy values | sent with 1 octet (the ROC rate with 2), accepted with 1 to 4 |
//! | M5 | what the MAC of a verification message covers behind the message | the octets of IDi, IDr and T, without their headers |
//! | M6 | key derivation rate | the number, not its exponent |
//! | M7 | repeated payloads | refused |
//! | M8 | octets behind the last payload | refused |
//! | M9 | reserved bits | sent as 0, ignored |
//! | M10 | NULL encryption or MAC in KEMAC | refused |
//! | M11 | tag length of RCC mode 3 | 4 where its own parameter is absent, which is all it can be; SRTP authentication off goes with it |
//!
//! # Streams
//!
//! | point | decision |
//! |---|---|
//! | packet from before index 0 | refused as `before_start` |
//! | change of key | rollover counter, replay lists and SRTCP index continue (RFC 3711 §3.3.1, §3.4) |
//! | retiring a traffic key | a grace period after the first packet under a newer one, or as the oldest of more than the limit |
//! | more than 2^15 packets of a stream missed | once nothing was accepted for the source timeout, higher rollover counters are tried, as for a new stream |
//! | jump of a sequence number by more than 2^15 | the estimate looks for the packet behind the last one, so that it is refused; the stream is taken up as after so much loss |
//! | sender that starts again under the same key, or an older one | refused: nothing tells its packets from recorded ones. It is heard when it passes where it was |
//! | sender that starts again under a newer key | refused like that, as RFC 3711 §3.3.1 has rollover counters run on; with `StreamLimits::sender_restarts`, a packet that is refused where the stream is, under a key newer than all it was heard under, is tried at rollover counter 0. If that opens it, the stream begins anew, and older keys are `mki_expired` for it from then on |
//! | which key is newer | made later, and in front of the others in the ring; where the two disagree, neither |
//! | SRTCP of a sender that starts again | states its index, so that one is tried and no other; SRTP and SRTCP of an SSRC start again each for itself |
//! | sender that starts again under RCC | its counter counts, as above: refused until it passes where it was |
//! | packet that carries its rollover counter (RCC) | that counter and no other is tried; the stream moves to it if it lies ahead, never back |
//! | MAC of RCC mode 2 on the other packets | as long as the whole tag field |
//! | RCC with GCM | mode 3 only: the counter behind the MKI, outside the AEAD, which it makes fail if it is wrong |
//! | RCC without a tag on some packets | delivered marked as not authenticated: see [`super::threat_model`] |
//! | jump of a rollover counter that nothing proves | followed when a second packet agrees |
//! | two senders with one SSRC | the first keeps it until it is silent for the source timeout; told apart by address and port, a restarted sender as well |
//! | SSRC not announced | its stream begins with the first packet that is authentic, at any rollover counter that was tried; nothing else binds it |
//! | first SRTCP index | any |
