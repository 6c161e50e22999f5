//! Tells systemd how the service is (sd_notify), where it asks for that.

use std::{
    env,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// Requests are served.
pub(crate) fn ready() {
    tell("READY=1");
}

/// The end was asked for.
pub(crate) fn stopping() {
    tell("STOPPING=1");
}

/// Nothing is lost if nobody listens.
fn tell(state: &str) {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let sent = address
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(%error, "systemd is not told {state}");
    }
}
