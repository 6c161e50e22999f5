//! Which broadcasters are heard.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{effect::Effects, event::EventKind};
use crate::{
    broadcast::{BroadcasterId, ChannelId},
    keyserver::KeyServer,
};

/// When each broadcaster that a channel names was heard last.
#[derive(Debug)]
pub(super) struct Watch {
    silence: Duration,
    heard: BTreeMap<(ChannelId, BroadcasterId), Heard>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Instant,
    silent: bool,
}

impl Watch {
    pub(super) const fn new(silence: Duration) -> Self {
        Self { silence, heard: BTreeMap::new() }
    }

    /// A broadcaster has said something.
    pub(super) fn hear(
        &mut self,
        channel: &ChannelId,
        broadcaster: &BroadcasterId,
        now: Instant,
        effects: &mut Effects,
    ) {
        let new = Heard { at: now, silent: false };
        let former = self.heard.insert((channel.clone(), broadcaster.clone()), new);
        if former.is_some_and(|former| former.silent) {
            let broadcaster = broadcaster.clone();
            effects.tell(Some(channel), EventKind::BroadcasterHeard { broadcaster });
        }
    }

    /// Tells who has become silent. Whoever is named since the last look is given time.
    pub(super) fn look(&mut self, server: &KeyServer, now: Instant, effects: &mut Effects) {
        let mut former = std::mem::take(&mut self.heard);
        for (channel, spec) in server.channels() {
            for broadcaster in &spec.broadcasters {
                let place = (channel.clone(), broadcaster.clone());
                let new = Heard { at: now, silent: false };
                let mut heard = former.remove(&place).unwrap_or(new);
                if !heard.silent && now.saturating_duration_since(heard.at) >= self.silence {
                    heard.silent = true;
                    let broadcaster = broadcaster.clone();
                    effects.tell(Some(channel), EventKind::BroadcasterSilent { broadcaster });
                }
                self.heard.insert(place, heard);
            }
        }
    }

    /// Nobody could be heard for a while.
    pub(super) fn forgive(&mut self, now: Instant) {
        self.heard.values_mut().for_each(|heard| heard.at = now);
    }
}
