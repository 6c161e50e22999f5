//! The session descriptions that receivers are given, without keys: those come from the key server.

use std::{
    fs,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use mcast_srtp::{service::BroadcastChannel, wire::sdp::Origin};

use super::config::Channel;
use crate::exit::Failure;

/// Writes the description of each channel that has a place for it; `-` is the standard output.
///
/// # Errors
/// A description cannot be made or written.
pub(super) fn write(channels: &[Channel]) -> Result<(), Failure> {
    for channel in channels {
        let Some(path) = &channel.sdp_out else { continue };
        let text = channel.channel.group.to_sdp(origin(&channel.channel))?;
        let written = if path == Path::new("-") {
            io::stdout().write_all(text.as_bytes())
        } else {
            fs::write(path, text)
        };
        written.map_err(|error| {
            Failure::failed(format!("{}: cannot be written: {error}", path.display()))
        })?;
    }
    Ok(())
}

/// Who describes: the same with every start, so that the description stays the same.
pub(super) fn origin(channel: &BroadcastChannel) -> Origin {
    let medium = channel.group.media.first();
    let source = channel.send.source.map(|source| source.ip());
    // A session is known by its address where the host has none of its own in the file.
    let address = source.filter(|ip| !ip.is_unspecified()).or_else(|| Some(medium?.group));
    Origin {
        username: "-".to_owned(),
        session_id: medium.map_or(1, |medium| medium.port.into()),
        version: 1,
        address: address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    }
}
