//! Peers tested against, and where they differ from the letter of the specifications.
//!
//! | peer | what is tested | where |
//! |---|---|---|
//! | libsrtp 2.5 (Debian) | SRTP and SRTCP both ways, MKI of 6 octets and none, CM, NULL and GCM suites | `tests/interop_libsrtp.rs` |
//! | libsrtp 2.5 | media of a `Broadcaster` over changes of MTK and MSK, with the keys that `inspect --keylog` wrote | `tools/cli/tests/keylog.rs` |
//! | webrtc-srtp 0.17 | the same suites it has; the MKI is added by hand, it has none | `tests/interop_webrtc.rs`, `tools/loadgen` |
//! | tshark 4.0 | dissects burst control and MIKEY messages, also those of a `KeyServer` and inside SDP, without a malformed field | `tests/tshark_*.rs` |
//! | sdp 0.17 (WebRTC.rs), tshark 4.0 | offers with the MSK message, its protocol list (EXT type 1) and all lines of the template | `tests/offers_in_sdp.rs` |
//! | a second implementation of MIKEY and GBA in Python | octet-exact vectors | `tools/vectors`, `tests/vectors` |
//! | published vectors | RFC 3711, 6188, 7714, packets of libsrtp and FFmpeg | `tests/vectors` |
//!
//! # Differences that are met
//!
//! - libsrtp starts the SRTCP index at 1, RFC 3711 §3.4 at 0: a receiver takes either.
//! - FFmpeg authenticates SRTCP of the `_32` suites with 4 octets, RFC 3711 §5.2 forbids that: the SRTCP
//!   tag length is a field of its own, 10 by default.
//! - The literal RFC 3711 §4.3.2 would shift the label of SRTCP derivations; nobody does, nor is it done
//!   here.
//! - Between a lone CNAME and the participants of a Talk Burst Taken message, tshark expects no padding.
//!   Both forms are read; written is the aligned one.
//!
//! # Not supported
//!
//! AES-f8, encrypted header extensions (RFC 6904), cryptex (RFC 9335), TESLA, EKT, SRTP without
//! authentication other than RFC 4771 has it, MIKEY modes other than pre-shared keys, FLUTE download.
//!
//! # The ROC-carrying transform (RFC 4771)
//!
//! All three modes, sent and received; with GCM mode 3, as mission-critical services use it (TS 33.179
//! §7.5.1). A policy asks for it by parameter 14 or 2, with 13 and 18; a description by
//! `a=SRTPAuthentication` and `a=SRTPROCTxRate` (RFC 5159), which count where the MSK message has no
//! policy and then stand for AES-CM-128 with a MAC of 80 bits. No published packets exist: ours are
//! compared with computed ones, and with those of webrtc-srtp after the counter was put in by hand.
