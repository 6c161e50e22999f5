//! Bringing MSKs to one member: one message in flight at a time, repeated with a new counter until
//! its verification message comes back or the tries are over.
//!
//! The order matters to the client. It holds two MSKs of a key group, ordered by arrival, and a
//! third one drives out the first (TS 33.246 §6.3.2.1). So a joiner gets the current MSK before the
//! coming one, and an MSK that was superseded before it was used is deleted before its successor
//! is delivered; else the successor would drive out the MSK that is still on the air.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::{
    Action, ClientId, Purpose, Unconfirmed, Undelivered,
    issue::{Desk, Heading, IssuedMsk},
    membership::ServedBy,
    schedule::Job,
};
use crate::ids::MskId;

/// A member of a channel, and what is under way to it.
#[derive(Debug, Default)]
pub(super) struct Member {
    confirmed: Option<MskId>,
    queue: VecDeque<Delivery>,
    pub(super) served_by: ServedBy,
}

/// One MSK on its way to one member.
#[derive(Debug)]
struct Delivery {
    issued: Arc<IssuedMsk>,
    purpose: Purpose,
    /// Copies sent.
    copies: u32,
    /// Counters of the last of them: an answer to any of these will do.
    counters: VecDeque<u32>,
    /// When the next copy is due; `None` before the first and after the last.
    due: Option<Instant>,
}

impl Member {
    /// A member that is known to hold an MSK (from saved state, or told in an SDP answer).
    pub(super) fn holding(confirmed: Option<MskId>) -> Self {
        Self { confirmed, ..Self::default() }
    }

    /// A member that was told to delete a superseded MSK and may hold it still.
    pub(super) fn deleting(superseded: &Arc<IssuedMsk>) -> Self {
        let queue = VecDeque::from([Delivery::new(superseded, Purpose::Delete)]);
        Self { queue, ..Self::default() }
    }

    /// Lines up the delivery of an MSK, and sends it if nothing else is in flight.
    pub(super) fn deliver(
        &mut self,
        issued: &Arc<IssuedMsk>,
        client: &ClientId,
        heading: &Heading,
        desk: &mut Desk<'_>,
    ) {
        // What was given up stands in the way of nothing any more.
        while self.queue.front().is_some_and(Delivery::given_up) {
            self.queue.pop_front();
        }
        self.queue.push_back(Delivery::new(issued, Purpose::Deliver));
        self.proceed(client, heading, desk);
    }

    /// Replaces an MSK that will never be used by its successor. Tells whether it has to be deleted
    /// first, because the member may hold it.
    pub(super) fn supersede(
        &mut self,
        former: &Arc<IssuedMsk>,
        next: &Arc<IssuedMsk>,
        client: &ClientId,
        heading: &Heading,
        desk: &mut Desk<'_>,
    ) -> bool {
        let was_sent = self.was_sent(former.id);
        self.queue.retain(|d| d.issued.id != former.id);
        if was_sent {
            self.confirmed = None;
            self.queue.push_back(Delivery::new(former, Purpose::Delete));
        }
        self.deliver(next, client, heading, desk);
        was_sent
    }

    /// Whether a copy of this MSK has been sent to it, or it is known to hold it.
    pub(super) fn was_sent(&self, msk: MskId) -> bool {
        self.confirmed == Some(msk) || self.queue.iter().any(|d| d.issued.id == msk && d.copies > 0)
    }

    /// The switch to `issued` has happened: nothing but this MSK is worth sending.
    pub(super) fn only(
        &mut self,
        issued: MskId,
        client: &ClientId,
        heading: &Heading,
        desk: &mut Desk<'_>,
    ) {
        self.queue.retain(|d| d.issued.id == issued && d.purpose == Purpose::Deliver);
        self.proceed(client, heading, desk);
    }

    /// Time has passed: sends another copy, goes on to the next delivery, or does what is to be done
    /// with a member that confirms nothing. Returns the MSK on account of which it is to be removed.
    pub(super) fn tick(
        &mut self,
        client: &ClientId,
        unconfirmed: Unconfirmed,
        heading: &Heading,
        desk: &mut Desk<'_>,
    ) -> Option<MskId> {
        let last_in_line = self.queue.len() == 1;
        let front = self.queue.front_mut()?;
        if front.due.is_none_or(|due| due > desk.now) {
            return None;
        }
        let retry = desk.retry(client);
        let tries = if last_in_line { retry.tries } else { retry.tries.min(PRELIMINARY_TRIES) };
        if front.copies < tries {
            front.send(client, heading, desk);
            return None;
        }
        if !last_in_line {
            self.queue.pop_front();
            self.proceed(client, heading, desk);
            return None;
        }
        match unconfirmed {
            Unconfirmed::KeepTrying => front.keep_trying(tries, client, heading, desk),
            Unconfirmed::WaitForRequest => {
                front.give_up(Undelivered::NoAnswer, client, heading, desk);
            }
            Unconfirmed::Remove => return Some(front.issued.id),
        }
        None
    }

    /// The RAND of the message in flight, if one of its copies has this counter.
    pub(super) fn awaited_rand(&self, counter: u32) -> Option<&[u8]> {
        let front = self.queue.front().filter(|front| front.counters.contains(&counter))?;
        Some(&front.issued.msk.rand)
    }

    /// A verification message repeats this counter. Returns whether it was awaited.
    pub(super) fn confirm(
        &mut self,
        counter: u32,
        client: &ClientId,
        heading: &Heading,
        desk: &mut Desk<'_>,
    ) -> bool {
        if self.queue.front().is_none_or(|front| !front.counters.contains(&counter)) {
            return false;
        }
        let Some(front) = self.queue.pop_front() else { return false };
        if front.purpose == Purpose::Deliver {
            self.confirmed = Some(front.issued.id);
            desk.actions.push(Action::Confirmed {
                channel: heading.channel.clone(),
                client: client.clone(),
                msk_id: front.issued.id,
            });
        }
        self.proceed(client, heading, desk);
        true
    }

    /// The newest MSK this member is known to hold.
    pub(super) const fn confirmed(&self) -> Option<MskId> {
        self.confirmed
    }

    /// The MSK in flight to this member, or given up: it may hold it, although it has not said so.
    pub(super) fn may_hold(&self) -> Option<MskId> {
        let front = self.queue.front().filter(|front| front.copies > 0);
        front.map(|front| front.issued.id)
    }

    /// Whether nothing is under way to this member, and nothing was given up.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    fn proceed(&mut self, client: &ClientId, heading: &Heading, desk: &mut Desk<'_>) {
        if let Some(front) = self.queue.front_mut().filter(|front| front.copies == 0) {
            front.send(client, heading, desk);
        }
    }
}

impl Delivery {
    fn new(issued: &Arc<IssuedMsk>, purpose: Purpose) -> Self {
        let (issued, counters) = (Arc::clone(issued), VecDeque::new());
        Self { issued, purpose, copies: 0, counters, due: None }
    }

    //= TS 33.246 §6.4.6.1: a terminal drops an identical copy as a replay, so each copy has a new
    //= counter; MSK and RAND stay
    fn send(&mut self, client: &ClientId, heading: &Heading, desk: &mut Desk<'_>) {
        match desk.send(heading, client, self.purpose, &self.issued, false) {
            Ok((counter, retry)) => {
                self.copies = self.copies.saturating_add(1);
                if self.counters.len() == MAX_AWAITED {
                    self.counters.pop_front();
                }
                self.counters.push_back(counter);
                let due = desk.now + retry.wait_after(self.copies);
                self.due = Some(due);
                desk.agenda.add(due, Job::Client(heading.channel.clone(), client.clone()));
            }
            Err(why) => self.give_up(why, client, heading, desk),
        }
    }

    fn keep_trying(
        &mut self,
        tries: u32,
        client: &ClientId,
        heading: &Heading,
        desk: &mut Desk<'_>,
    ) {
        if self.copies == tries {
            desk.actions.push(Action::KeepsTrying {
                channel: heading.channel.clone(),
                client: client.clone(),
                msk_id: self.issued.id,
            });
        }
        self.send(client, heading, desk);
    }

    fn give_up(
        &mut self,
        why: Undelivered,
        client: &ClientId,
        heading: &Heading,
        desk: &mut Desk<'_>,
    ) {
        self.due = None;
        desk.actions.push(Action::GaveUp {
            channel: heading.channel.clone(),
            client: client.clone(),
            msk_id: self.issued.id,
            why,
        });
    }

    fn given_up(&self) -> bool {
        self.copies > 0 && self.due.is_none()
    }
}

/// Counters remembered of one delivery: answers to older copies than these come too late.
const MAX_AWAITED: usize = 16;

/// Copies of a message that only prepares the way for the next one in line.
const PRELIMINARY_TRIES: u32 = 3;
