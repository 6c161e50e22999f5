//! The MSK update of one channel: make before break (decision D3).
//!
//! ```text
//!            begin                    all confirmed and published, or deadline         grace over
//!  in force ───────► new MSK under way ───────────────────────────────────► switched ───────────► old destroyed
//!     ▲ │              │        ▲
//!     │ └─ window ─┐   └────────┘ expulsion meanwhile: another new MSK supersedes
//!     └────────────┘ leaves, expulsions
//! ```
//!
//! Membership change, lifetime, MTK IDs running out, command and compromise (D1) all come through
//! [`Channel::update`]. Where D3 leaves a choice:
//!
//! - The coming MSK is published to the broadcasters when the update begins. The switch, which is
//!   another document, waits until all members have confirmed and every broadcaster that the
//!   channel names holds the coming MSK, or for the deadline.
//! - An expulsion or a compromise during an update starts over with another MSK, because the one
//!   under way may be in the wrong hands. It is never used; clients that were sent it are told to
//!   delete it first, since a third MSK of a group would drive out the one on the air. However
//!   many supersede one another, the first switch is at most two deadlines away.
//! - A leave during an update, with the policy to update, waits for the switch: all leaves until
//!   then share one more update.
//! - Leaves and expulsions may wait for a window to close, so that all in it share one update. They
//!   are struck off at once, so that an update that begins for another cause serves them too, and
//!   closes the window. Leaves wait for an open window of expulsions.
//! - Lifetime, MTK IDs and command ask for nothing that an update under way does not bring.
//! - A client that joins during an update gets the current MSK, so that it hears at once, then the
//!   coming one. From the switch on the old MSK is sent to nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Action, ChannelSpec, ClientId, Purpose, UpdateCause,
    delivery::Member,
    issue::{Desk, Heading, IssuedMsk},
    records::Changed,
    schedule::Job,
};
use crate::{broadcast::BroadcasterId, error::Error, ids::MskId};

/// A channel: who is in it, and which MSK is in force.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) heading: Heading,
    pub(super) spec: ChannelSpec,
    pub(super) members: BTreeMap<ClientId, Member>,
    pub(super) expelled: BTreeSet<ClientId>,
    pub(super) current: Arc<IssuedMsk>,
    /// When its lifetime is over.
    pub(super) expires: Option<Instant>,
    pub(super) update: Option<Update>,
    /// When the MSK is to be updated because somebody left, if no update is under way then.
    pub(super) leave_due: Option<Instant>,
    /// When it is to be updated because somebody was expelled, whatever is under way.
    pub(super) expulsion_due: Option<Instant>,
    pub(super) retiring: Vec<Retiring>,
    /// Version of the documents published last.
    pub(super) version: u64,
    /// The version that each broadcaster is known to hold.
    pub(super) held: BTreeMap<BroadcasterId, u64>,
    pub(super) changed: Changed,
}

/// An update under way.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) next: Arc<IssuedMsk>,
    pub(super) cause: UpdateCause,
    pub(super) deadline: Instant,
    /// The deadline however often this update is superseded, so that the first expulsion of a
    /// series takes effect in time.
    pub(super) switch_by: Instant,
    /// Members that have not confirmed.
    pub(super) waiting: BTreeSet<ClientId>,
    /// The version of the documents that brought the coming MSK.
    pub(super) published: u64,
    /// Superseded MSKs that a member may hold, without their keys.
    pub(super) superseded: Vec<Arc<IssuedMsk>>,
}

/// An MSK that is no longer in force.
#[derive(Debug)]
pub(super) struct Retiring {
    pub(super) issued: Arc<IssuedMsk>,
    pub(super) destroy_at: Instant,
}

impl Channel {
    /// A channel with its first MSK, which is in force at once. Documents have higher versions than
    /// `version`.
    pub(super) fn open(
        heading: Heading,
        spec: ChannelSpec,
        first: IssuedMsk,
        version: u64,
        desk: &mut Desk<'_>,
    ) -> Self {
        let mut channel = Self {
            heading,
            spec,
            members: BTreeMap::new(),
            expelled: BTreeSet::new(),
            current: Arc::new(first),
            expires: None,
            update: None,
            leave_due: None,
            expulsion_due: None,
            retiring: Vec::new(),
            version,
            held: BTreeMap::new(),
            changed: Changed::default(),
        };
        channel.start_lifetime(desk);
        channel.publish(desk);
        channel
    }

    /// Takes a client in, or starts its deliveries over.
    ///
    /// During an update it gets the current MSK first, so that it hears at once, then the coming
    /// one; at the switch the current MSK is no longer sent to anybody. A member that may hold the
    /// coming MSK gets that one alone: clients order MSKs by arrival, and would take the current one
    /// behind it for its successor.
    pub(super) fn join(&mut self, client: &ClientId, desk: &mut Desk<'_>) {
        let mut member = Member::default();
        if !self.may_hold_the_coming(client) {
            member.deliver(&self.current, client, &self.heading, desk);
        }
        self.enter(client, member, desk);
    }

    fn may_hold_the_coming(&self, client: &ClientId) -> bool {
        let member = self.members.get(client);
        self.update.as_ref().zip(member).is_some_and(|(up, member)| member.was_sent(up.next.id))
    }

    /// Takes a client in whose own SDP offer is being answered: the MSK rides in the answer, and
    /// the client counts as holding it.
    pub(super) fn join_in_answer(
        &mut self,
        client: &ClientId,
        desk: &mut Desk<'_>,
    ) -> Result<(), Error> {
        let issued = match &self.update {
            Some(update) if self.may_hold_the_coming(client) => &update.next,
            _ => &self.current,
        };
        desk.send(&self.heading, client, Purpose::Deliver, issued, true).map_err(|why| {
            Error::invalid(format!("no MSK message can be made for client {client}: {why}"))
        })?;
        self.enter(client, Member::holding(Some(issued.id)), desk);
        Ok(())
    }

    /// Strikes a client off: nothing is sent to it any more. Returns whether it was a member.
    pub(super) fn strike_off(&mut self, client: &ClientId, desk: &mut Desk<'_>) -> bool {
        if let Some(update) = &mut self.update {
            update.waiting.remove(client);
        }
        if let Ok(client) = desk.roster.get_mut(client) {
            client.channels.remove(&self.heading.channel);
        }
        let was_member = self.members.remove(client).is_some();
        if was_member {
            self.changed.member(client);
        }
        was_member
    }

    /// A member has left: the MSK is updated when the window for leaves closes, if that is the
    /// policy.
    pub(super) fn note_leave(&mut self, desk: &mut Desk<'_>) {
        if let Some(window) = self.spec.leave.window()
            && self.leave_due.is_none()
        {
            self.leave_due = Some(self.open_window(UpdateCause::Leave, window, desk));
            self.changed.itself();
        }
    }

    /// Clients have been expelled: the MSK is updated when the window for expulsions closes.
    pub(super) fn note_expulsion(&mut self, desk: &mut Desk<'_>) {
        if self.expulsion_due.is_none() {
            let window = self.spec.expulsion_window;
            self.expulsion_due = Some(self.open_window(UpdateCause::Expulsion, window, desk));
            self.changed.itself();
        }
    }

    fn open_window(&self, cause: UpdateCause, window: Duration, desk: &mut Desk<'_>) -> Instant {
        let (channel, closes) = (self.heading.channel.clone(), desk.now + window);
        if !window.is_zero() {
            desk.agenda.add(closes, Job::Channel(channel.clone()));
            desk.actions.push(Action::WindowOpened { channel, cause, closes });
        }
        closes
    }

    /// Starts an update to `next`, which supersedes an update under way.
    pub(super) fn update(&mut self, next: IssuedMsk, cause: UpdateCause, desk: &mut Desk<'_>) {
        let next = Arc::new(next);
        let mut former = self.update.take();
        // Who left or was expelled until now is struck off, and will not get this MSK.
        (self.leave_due, self.expulsion_due) = (None, None);
        let confirm_within = self.spec.confirm_within;
        let switch_by =
            former.as_ref().map_or(desk.now + 2 * confirm_within, |former| former.switch_by);
        let deadline = switch_by.min(desk.now + confirm_within);
        desk.actions.push(Action::UpdateBegun {
            channel: self.heading.channel.clone(),
            msk_id: next.id,
            cause,
            deadline,
        });
        desk.agenda.add(deadline, Job::Channel(self.heading.channel.clone()));
        let mut superseded = former.as_mut().map_or_else(Vec::new, |former| {
            former.superseded.push(Arc::new(former.next.without_key()));
            std::mem::take(&mut former.superseded)
        });
        self.update = Some(Update {
            next: Arc::clone(&next),
            cause,
            deadline,
            switch_by,
            waiting: self.members.keys().cloned().collect(),
            published: self.version + 1,
            superseded: Vec::new(),
        });
        self.publish(desk);
        if let Some(former) = &former {
            self.tell_destroyed(former.next.id, desk);
        }
        self.deliver_to_all(&next, superseded.last(), desk);
        let may_hold: BTreeSet<_> = match superseded.is_empty() {
            true => BTreeSet::new(),
            false => self.members.values().filter_map(Member::may_hold).collect(),
        };
        superseded.retain(|old| may_hold.contains(&old.id));
        if let Some(update) = &mut self.update {
            update.superseded = superseded;
        }
        self.switch_if_ready(desk);
    }

    /// Sends all members the coming MSK, after they have deleted the one that it supersedes.
    fn deliver_to_all(
        &mut self,
        next: &Arc<IssuedMsk>,
        superseded: Option<&Arc<IssuedMsk>>,
        desk: &mut Desk<'_>,
    ) {
        desk.actions.reserve(self.members.len());
        for (client, member) in &mut self.members {
            let confirmed = member.confirmed();
            let news = match superseded {
                Some(former) => member.supersede(former, next, client, &self.heading, desk),
                None => {
                    member.deliver(next, client, &self.heading, desk);
                    // Whoever holds the MSK in force has been sent the coming one; that is understood.
                    confirmed != Some(self.current.id)
                }
            };
            if news {
                self.changed.member(client);
            }
        }
    }

    /// A verification message of a member repeats this counter.
    pub(super) fn confirm(&mut self, client: &ClientId, counter: u32, desk: &mut Desk<'_>) -> bool {
        let Some(member) = self.members.get_mut(client) else { return false };
        if !member.confirm(counter, client, &self.heading, desk) {
            return false;
        }
        self.changed.member(client);
        if let Some(update) = &mut self.update
            && member.confirmed() == Some(update.next.id)
        {
            update.waiting.remove(client);
        }
        self.switch_if_ready(desk);
        true
    }

    /// Sends again to a member whose answer is overdue, or removes it if that is the policy: returns
    /// whether it has.
    pub(super) fn tick_member(&mut self, client: &ClientId, desk: &mut Desk<'_>) -> bool {
        let Some(member) = self.members.get_mut(client) else { return false };
        let may_hold = member.may_hold();
        let unconfirmed = member.tick(client, self.spec.unconfirmed, &self.heading, desk);
        if member.may_hold() != may_hold {
            self.changed.member(client);
        }
        let Some(msk_id) = unconfirmed else { return false };
        self.strike_off(client, desk);
        let (channel, client) = (self.heading.channel.clone(), client.clone());
        desk.actions.push(Action::Removed { channel, client, msk_id });
        self.note_leave(desk);
        true
    }

    /// Switches at the deadline, destroys after the grace period. Returns why the MSK in force
    /// needs an update now, if it does.
    pub(super) fn tick(&mut self, desk: &mut Desk<'_>) -> Option<UpdateCause> {
        self.switch_if_ready(desk);
        self.destroy_the_old(desk);
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= desk.now);
        if due(self.expulsion_due) {
            Some(UpdateCause::Expulsion)
        } else if self.update.is_some() {
            None
        } else if due(self.leave_due) && self.expulsion_due.is_none() {
            Some(UpdateCause::Leave)
        } else {
            due(self.expires).then_some(UpdateCause::Lifetime)
        }
    }

    /// Switches if everybody has confirmed, and all broadcasters hold the MSK, or the deadline has
    /// passed.
    pub(super) fn switch_if_ready(&mut self, desk: &mut Desk<'_>) {
        let Some(update) = &self.update else { return };
        let all_hold = update.waiting.is_empty() && self.lacking(update.published).next().is_none();
        let Some(update) = self.update.take_if(|update| all_hold || update.deadline <= desk.now)
        else {
            return;
        };
        let (channel, msk_id) = (self.heading.channel.clone(), update.next.id);
        let old = std::mem::replace(&mut self.current, update.next);
        let destroy_at = desk.now + self.spec.grace;
        self.retiring.push(Retiring { issued: old, destroy_at });
        desk.agenda.add(destroy_at, Job::Channel(channel.clone()));
        desk.actions.push(Action::Switched {
            channel: channel.clone(),
            msk_id,
            unconfirmed: update.waiting.len(),
            lacking: self.lacking(update.published).cloned().collect(),
        });
        self.start_lifetime(desk);
        self.publish(desk);
        if let Some(due) = self.leave_due {
            desk.agenda.add(due.max(desk.now), Job::Channel(channel));
        }
        for (client, member) in &mut self.members {
            member.only(msk_id, client, &self.heading, desk);
        }
    }

    /// Goes over to other settings; `next` is an MSK for the broadcasters they name, if these are
    /// others.
    pub(super) fn set_policy(
        &mut self,
        spec: ChannelSpec,
        next: Option<IssuedMsk>,
        desk: &mut Desk<'_>,
    ) {
        let former = std::mem::replace(&mut self.spec, spec);
        self.changed.itself();
        if former.msk_lifetime != self.spec.msk_lifetime {
            self.start_lifetime(desk);
        }
        if let Some(next) = next {
            self.held.retain(|name, _| self.spec.broadcasters.contains(name));
            self.update(next, UpdateCause::Broadcasters, desk);
            let named = &self.spec.broadcasters;
            for gone in former.broadcasters.iter().filter(|former| !named.contains(former)) {
                desk.actions.push(Action::Publish(self.last_document(Some(gone))));
            }
        } else if former.mtk_period != self.spec.mtk_period {
            self.publish(desk);
        }
    }

    /// The version of the last documents, and the last actions: broadcasters have nothing more to
    /// send, and all is erased.
    pub(super) fn close(mut self) -> (u64, Vec<Action>) {
        self.version += 1;
        let channel = &self.heading.channel;
        let destroyed = |msk_id| Action::Destroyed { channel: channel.clone(), msk_id };
        let mut actions: Vec<_> = self.last_documents().map(Action::Publish).collect();
        actions.extend(self.msk_ids().map(destroyed));
        actions.push(Action::Closed { channel: channel.clone() });
        (self.version, actions)
    }

    fn destroy_the_old(&mut self, desk: &mut Desk<'_>) {
        let now = desk.now;
        let over: Vec<_> = self.retiring.extract_if(.., |old| old.destroy_at <= now).collect();
        if over.is_empty() {
            return;
        }
        self.publish(desk);
        for old in over {
            self.tell_destroyed(old.issued.id, desk);
        }
    }

    fn tell_destroyed(&self, msk_id: MskId, desk: &mut Desk<'_>) {
        desk.actions.push(Action::Destroyed { channel: self.heading.channel.clone(), msk_id });
    }

    /// Whether something is under way to this member, or was given up.
    pub(super) fn awaits(&self, client: &ClientId) -> bool {
        self.members.get(client).is_some_and(|member| !member.is_idle())
    }

    /// The MSKs that are not destroyed yet.
    pub(super) fn msk_ids(&self) -> impl Iterator<Item = MskId> {
        let update = self.update.iter().map(|update| update.next.id);
        let retiring = self.retiring.iter().map(|old| old.issued.id);
        [self.current.id].into_iter().chain(update).chain(retiring)
    }

    /// Puts all that is to come on the agenda.
    pub(super) fn enter_due_times(&self, desk: &mut Desk<'_>) {
        let deadline = self.update.iter().map(|update| update.deadline);
        let destroy = self.retiring.iter().map(|old| old.destroy_at);
        let windows = self.leave_due.into_iter().chain(self.expulsion_due);
        for due in deadline.chain(destroy).chain(self.expires).chain(windows) {
            desk.agenda.add(due, Job::Channel(self.heading.channel.clone()));
        }
    }

    pub(super) fn start_lifetime(&mut self, desk: &mut Desk<'_>) {
        self.expires = self.spec.msk_lifetime.map(|lifetime| desk.now + lifetime);
        if let Some(end) = self.expires {
            desk.agenda.add(end, Job::Channel(self.heading.channel.clone()));
        }
    }

    pub(super) fn enter(&mut self, client: &ClientId, mut member: Member, desk: &mut Desk<'_>) {
        if let Some(update) = &mut self.update {
            update.waiting.insert(client.clone());
            member.deliver(&update.next, client, &self.heading, desk);
        }
        let holds = |member: &Member| (member.confirmed(), member.may_hold());
        let now = holds(&member);
        let served_by = self.members.get(client).map(|former| former.served_by.clone());
        member.served_by = served_by.unwrap_or_default();
        let former = self.members.insert(client.clone(), member);
        if former.is_none_or(|former| holds(&former) != now) {
            self.changed.member(client);
        }
    }
}
