//! Running key server and broadcaster: files, requests, events, metrics.
//!
//! ```text
//! operator, PoC server ── HTTP/JSON ──► mcast-srtp key-server ── UDP 2269, or SDP through a SIP stack ──► clients
//!                                            │  state file
//!                                            └─ channel documents ─► mcast-srtp broadcast ── SRTP, MTK messages ─► groups
//!                                                 (pulled or pushed)       │  state file ▲
//!                                                                                        └─ plain RTP, burst control
//! ```
//!
//! # Set-up
//!
//! 1. Sealing keys, one for each state file, and tokens, each in a file of mode 0600 or a credential of
//!    systemd; `tools/systemd/` has units.
//! 2. `mcast-srtp key-server --config key-server.toml`, `mcast-srtp broadcast --config broadcast.toml`; both
//!    commented in `tools/cli/examples/`.
//! 3. Clients with their MUKs, a channel with its policy, members: `mcast-srtp ctl …`, or the HTTP interface,
//!    which `GET /openapi.json` describes.
//!
//! The HTTP interface is plain HTTP: keep it on a Unix socket or on loopback, and put TLS in a reverse proxy
//! before it. Its bodies carry client keys, and documents carry MSKs.
//!
//! # Requests
//!
//! A request is answered when what it changes will survive a loss of power, and nothing goes out before. Many
//! requests share one write and one `fdatasync`. Every request may be repeated: opening, adding, joining,
//! leaving, expelling a second time changes nothing and says `"changed": false`, and an update names the MSK
//! that it replaces. So after a broken connection or a crash repeat what was not answered.
//!
//! | status | kind | meaning |
//! |---|---|---|
//! | 400, 422 | `invalid` | the request cannot work; nothing has changed |
//! | 401, 403 | | no token, or one that may not do this |
//! | 404 | `not_found` | no such client, channel or member |
//! | 409 | `conflict` | something stands against it, for example a client that was expelled and wants to join |
//! | 413, 415 | | body too long, or of another type |
//! | 503 | `unavailable` | the state cannot be written, or too many requests wait; repeat it later |
//!
//! # Events
//!
//! `GET /v1/events` (Server-Sent Events) and `ctl events --follow` tell every decision, after it has become
//! durable: memberships, windows, updates with cause and deadline, copies sent, confirmations, clients given
//! up, switches with who was behind, MSKs destroyed, documents published and held, broadcasters silent,
//! refused verification messages, a state that cannot be written. Numbers rise over restarts; a reader that
//! names the last one it saw goes on there, and is told how many it missed.
//!
//! # Clients in SIP sessions
//!
//! A client with reach `sdp` gets its MSK in an offer: the event `offer_ready` names it, `GET …/offer` is the
//! session description (the channel's template with `a=key-mgmt:mikey`), for a re-INVITE. The answer of the
//! client goes back by `POST …/answer`. Where the client makes the offer itself, the answer to it carries the
//! MSK and no confirmation comes back.
//!
//! # Several PFs
//!
//! A PF that serves clients of a channel that another PF controls publishes who joins, leaves or is expelled on
//! the membership bus (`service::MembershipBus`), and the controlling PF takes each event exactly once, in the
//! order of its number. The library has a bus within one process; one across machines is a durable stream with
//! acknowledgement and replay. The controlling PF has the clients of its channels on its roster, whoever serves
//! them.
//!
//! # Broadcasters
//!
//! Receivers keep to the source address and port of a stream, so a broadcaster sends from one port
//! (`source_port`) that stays over restarts. Pulling takes one connection for each channel, of which the key
//! server has 512: push to a broadcaster of very many. Whoever can send to its plain inputs talks in the
//! group: keep them on loopback.
//!
//! # Watch
//!
//! | what | where | why |
//! |---|---|---|
//! | `healthy` 0, or `/v1/health` 503 | key server | the state cannot be written: nothing goes out |
//! | `lacking` of a `switched` event, `broadcaster_silent` | key server | that area is still under the old MSK: an expelled client listens there |
//! | `unconfirmed` of a `switched` event, `gave_up` | key server | clients that hear nothing until they ask |
//! | MSK messages not sent | key server | the socket's buffer: raise `net.core.wmem_max` |
//! | datagrams dropped | key server | confirmations arrive faster than they are taken |
//! | MTK messages late | broadcaster | the machine is too slow for its groups |
//! | packets refused, by reason | broadcaster | the sender of plain RTP repeats indexes, has too many SSRCs, or sends something else |
