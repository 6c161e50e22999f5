//! What follows from a turn, in order, while it waits for the commit.

use std::time::{Instant, SystemTime};

use super::{
    event::EventKind,
    request::{Refused, Reply},
};
use crate::{
    broadcast::{ChannelDocument, ChannelId},
    keyserver::{Action, MskMessage},
};

/// Who is told what became of a request.
pub(super) type Done = Box<dyn FnOnce(Result<Reply, Refused>) + Send>;

/// One thing to do after the commit.
pub(super) enum Effect {
    /// Send, or offer in SDP.
    Msk(MskMessage),
    /// Make ready for broadcasters.
    Publish(ChannelDocument),
    Tell(Option<ChannelId>, EventKind),
}

/// All that waits.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) list: Vec<Effect>,
    pub(super) answers: Vec<(Done, Result<Reply, Refused>)>,
}

impl Effects {
    /// Takes the core's actions in their order.
    pub(super) fn act(&mut self, actions: Vec<Action>, now: Instant, wall: SystemTime) {
        for action in actions {
            let effect = match action {
                Action::SendMsk(message) => Effect::Msk(message),
                Action::UpdateBegun { channel, msk_id, cause, deadline } => {
                    let deadline = wall + deadline.saturating_duration_since(now);
                    let kind = EventKind::UpdateBegun { msk_id, cause, deadline };
                    Effect::Tell(Some(channel), kind)
                }
                Action::Confirmed { channel, client, msk_id } => {
                    Effect::Tell(Some(channel), EventKind::Confirmed { client, msk_id })
                }
                Action::Publish(document) => Effect::Publish(document),
                Action::WindowOpened { channel, cause, closes } => {
                    let until = wall + closes.saturating_duration_since(now);
                    Effect::Tell(Some(channel), EventKind::WindowOpened { cause, until })
                }
                Action::Switched { channel, msk_id, unconfirmed, lacking } => {
                    let kind = EventKind::Switched { msk_id, unconfirmed, lacking };
                    Effect::Tell(Some(channel), kind)
                }
                Action::Destroyed { channel, msk_id } => {
                    Effect::Tell(Some(channel), EventKind::Destroyed { msk_id })
                }
                Action::Closed { channel } => Effect::Tell(Some(channel), EventKind::ChannelClosed),
                Action::KeepsTrying { channel, client, msk_id } => {
                    Effect::Tell(Some(channel), EventKind::KeepsTrying { client, msk_id })
                }
                Action::Removed { channel, client, msk_id } => {
                    Effect::Tell(Some(channel), EventKind::Removed { client, msk_id })
                }
                Action::GaveUp { channel, client, msk_id, why } => {
                    Effect::Tell(Some(channel), EventKind::GaveUp { client, msk_id, why })
                }
                Action::KeyNumbersLow { channel, left } => {
                    Effect::Tell(Some(channel), EventKind::KeyNumbersLow { left })
                }
                Action::KeyNumbersUsedUp { channel } => {
                    Effect::Tell(Some(channel), EventKind::KeyNumbersUsedUp)
                }
            };
            self.list.push(effect);
        }
    }

    pub(super) fn tell(&mut self, channel: Option<&ChannelId>, kind: EventKind) {
        self.list.push(Effect::Tell(channel.cloned(), kind));
    }

    pub(super) fn answer(&mut self, done: Done, result: Result<Reply, Refused>) {
        self.answers.push((done, result));
    }
}
