//! HTTP on either side: the client of `ctl`, `broadcast` and the push of documents; tokens.
//!
//! HTTP/1.1 without TLS, which belongs in a reverse proxy; over TCP or a Unix socket. Bodies with
//! keys are erased after use, as far as they are ours: the buffers of the HTTP library and of the
//! kernel are not.

mod client;
mod endpoint;
mod event_stream;
mod token;

pub(crate) use client::Client;
pub(crate) use endpoint::{Answer, Call, Endpoint, Trouble, path};
pub(crate) use event_stream::StreamedEvent;
pub(crate) use token::Token;
