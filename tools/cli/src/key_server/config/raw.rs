//! The configuration file as TOML has it.

use std::{net::SocketAddr, path::PathBuf};

use mcast_srtp::service::KeyServiceLimits;
use serde::Deserialize;
use toml::Spanned;

use crate::control::{ChannelSettings, Seconds};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) clients: Option<PathBuf>,
    pub(super) state: RawState,
    pub(super) http: Option<RawHttp>,
    pub(super) mikey: Option<RawMikey>,
    pub(super) timing: Option<RawTiming>,
    pub(super) limits: Option<RawLimits>,
    pub(super) channel_defaults: Option<Spanned<ChannelSettings>>,
    #[serde(default)]
    pub(super) broadcaster: Vec<RawBroadcaster>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawState {
    pub(super) file: PathBuf,
    pub(super) key: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    pub(super) listen: Option<Spanned<String>>,
    pub(super) token: Option<Spanned<String>>,
    pub(super) metrics_token: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) allow_remote: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMikey {
    pub(super) listen: SocketAddr,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTiming {
    pub(super) udp: Option<RawRetry>,
    pub(super) sdp: Option<RawRetry>,
    pub(super) broadcaster_silence: Option<Spanned<Seconds>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRetry {
    pub(super) first: Spanned<Seconds>,
    pub(super) longest: Spanned<Seconds>,
    pub(super) tries: u32,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) connections: Option<usize>,
    pub(super) event_readers: Option<usize>,
    pub(super) body: Option<usize>,
    pub(super) requests: Option<usize>,
    pub(super) per_commit: Option<usize>,
    pub(super) datagrams: Option<usize>,
    pub(super) events: Option<usize>,
    pub(super) document_waits: Option<usize>,
}

impl RawLimits {
    /// The bounds that the service keeps itself.
    pub(super) fn service(&self) -> KeyServiceLimits {
        let mut limits = KeyServiceLimits::default();
        for (given, place) in [
            (self.requests, &mut limits.requests),
            (self.per_commit, &mut limits.per_commit),
            (self.datagrams, &mut limits.datagrams),
            (self.events, &mut limits.events),
            (self.document_waits, &mut limits.document_waits),
        ] {
            *place = given.unwrap_or(*place);
        }
        limits
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBroadcaster {
    pub(super) name: Spanned<String>,
    pub(super) access_token: Option<Spanned<String>>,
    pub(super) url: Option<Spanned<String>>,
    pub(super) push_token: Option<Spanned<String>>,
    pub(super) every: Option<Spanned<Seconds>>,
}
