//! The membership bus (D2): what other PFs tell the one that controls a channel.
//!
//! Each PF numbers its events from 1. In one process the bus is a channel, across machines an
//! existing messaging system that may deliver twice or out of order; the [`Ledger`] makes that
//! exactly once.

use super::{Action, ClientId};
use crate::{broadcast::ChannelId, ids::name, record::NotedMap};

name! {
    /// A PF that publishes membership events.
    Publisher
}

/// A client joined, left or was expelled somewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MembershipEvent {
    /// The PF that serves the client.
    pub publisher: Publisher,
    /// Number of the event among those of its publisher, from 1 and without gaps.
    pub sequence: u64,
    /// The channel.
    pub channel: ChannelId,
    /// The client.
    pub client: ClientId,
    /// What happened.
    pub change: Change,
}

/// What happened to a membership.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// The client takes part from now on.
    Joined,
    /// The client left of its own will.
    Left,
    /// The client was expelled.
    Expelled,
    /// The client asks for the MSK.
    MskRequested,
    /// The client, which was expelled, may join again.
    Readmitted,
}

/// Who may say that a member has left: a client that has moved is not struck off when the PF it came
/// from says at last that it has left there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum ServedBy {
    /// The PF that let it in by a call; nobody has published that it joined.
    #[default]
    Caller,
    /// This PF, which took it over from another.
    Here,
    /// The PF that published last that it joined.
    Pf(Publisher),
}

/// What became of a membership event.
#[derive(Debug)]
pub enum Consumed {
    /// It was the next one; these actions follow from it.
    Applied(Vec<Action>),
    /// It had been consumed before. Nothing changed.
    Repeated,
    /// Earlier ones are missing. Nothing changed: read the bus again from this number.
    Missing {
        /// The number that comes next.
        expected: u64,
    },
}

/// The last event consumed of each publisher.
#[derive(Debug, Default)]
pub(super) struct Ledger(pub(super) NotedMap<Publisher, u64>);

impl Ledger {
    /// Enters an event that is the next one of its publisher, else says why it is not. Who has taken
    /// nothing of a publisher yet begins anywhere, because what went before was for others.
    pub(super) fn enter(&mut self, event: &MembershipEvent) -> Option<Consumed> {
        let first = event.sequence.saturating_sub(1);
        let last = self.0.get(&event.publisher).unwrap_or(first);
        if event.sequence <= last {
            return Some(Consumed::Repeated);
        }
        // `last` is below the sequence, so that the sum cannot overflow.
        if event.sequence > last + 1 {
            return Some(Consumed::Missing { expected: last + 1 });
        }
        self.0.insert(event.publisher.clone(), event.sequence);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(publisher: &str, sequence: u64) -> MembershipEvent {
        MembershipEvent {
            publisher: publisher.into(),
            sequence,
            channel: "17".into(),
            client: "c1".into(),
            change: Change::Joined,
        }
    }

    #[test]
    fn each_event_counts_once_whatever_the_bus_repeats() {
        let mut ledger = Ledger::default();
        assert!(ledger.enter(&event("pf1", 1)).is_none());
        assert!(matches!(ledger.enter(&event("pf1", 1)), Some(Consumed::Repeated)));
        assert!(matches!(ledger.enter(&event("pf1", 0)), Some(Consumed::Repeated)));
        assert!(ledger.enter(&event("pf2", 1)).is_none());
        assert!(ledger.enter(&event("pf1", 2)).is_none());
    }

    #[test]
    fn gap_is_named_and_nothing_after_it_is_taken() {
        let mut ledger = Ledger::default();
        let expected = |consumed| match consumed {
            Some(Consumed::Missing { expected }) => expected,
            other => panic!("{other:?}"),
        };
        assert!(ledger.enter(&event("pf1", 1)).is_none());
        assert_eq!(expected(ledger.enter(&event("pf1", 3))), 2);
        assert!(ledger.enter(&event("pf1", 2)).is_none());
        assert_eq!(expected(ledger.enter(&event("pf1", u64::MAX))), 3);
        assert!(ledger.enter(&event("pf1", 3)).is_none());
    }

    #[test]
    fn pf_that_comes_late_begins_with_what_there_is() {
        let mut ledger = Ledger::default();
        assert!(ledger.enter(&event("pf1", 17)).is_none());
        assert!(matches!(ledger.enter(&event("pf1", 16)), Some(Consumed::Repeated)));
        assert!(matches!(
            ledger.enter(&event("pf1", 19)),
            Some(Consumed::Missing { expected: 18 })
        ));
    }
}
