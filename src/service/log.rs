//! Events in the log, for programs that show `tracing`: faults as warnings, what members do and what was
//! decided as information, each message and confirmation for debugging only.

use std::fmt;

use tracing::{debug, info, warn};

use super::event::{Event, EventKind};

pub(super) fn log(event: &Event) {
    let (id, kind) = (event.id, Json(&event.kind));
    let channel = event.channel.as_ref().map(|channel| channel.as_str());
    match &event.kind {
        EventKind::MskNotSent { .. }
        | EventKind::GaveUp { .. }
        | EventKind::BroadcasterSilent { .. }
        | EventKind::KeyNumbersUsedUp
        | EventKind::VerificationRefused { .. }
        | EventKind::BusEventFailed { .. }
        | EventKind::BusGap { .. }
        | EventKind::BusFailed { .. }
        | EventKind::StateNotWritable { .. } => warn!(id, channel, what = %kind, "key server"),
        EventKind::MskSent { .. }
        | EventKind::OfferReady { .. }
        | EventKind::Confirmed { .. }
        | EventKind::KeepsTrying { .. }
        | EventKind::DocumentHeld { .. } => debug!(id, channel, what = %kind, "key server"),
        _ => info!(id, channel, what = %kind, "key server"),
    }
}

/// An event as it stands in JSON; written only if somebody wants to read it.
struct Json<'a>(&'a EventKind);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}
