//! The MSK update of one channel: make before break (decision D3).
//!
//! ```text
//!            begin                    all confirmed, or deadline          grace over
//!  in force ───────► new MSK under way ───────────────────────► switched ───────────► old destroyed
//!                      │        ▲
//!                      └────────┘ expulsion meanwhile: another new MSK supersedes
//! ```
//!
//! Membership change, lifetime, MTK IDs running out, command and compromise (D1) all come through
//! [`Channel::update`]. Where D3 leaves a choice:
//!
//! - An expulsion or a compromise during an update starts over with another MSK, because the one
//!   under way may be in the wrong hands. It is never used; clients that were sent it are told to
//!   delete it first, since a third MSK of a group would drive out the one on the air. However
//!   many supersede one another, the first switch is at most two deadlines away.
//! - A leave during an update, with the policy to update, waits for the switch: all leaves until
//!   then share one more update.
//! - Lifetime, MTK IDs and command ask for nothing that an update under way does not bring.
//! - A client that joins during an update gets the current MSK, so that it hears at once, then the
//!   coming one. From the switch on the old MSK is sent to nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Action, ClientId, UpdateCause,
    delivery::Member,
    issue::{Desk, Heading, IssuedMsk, Purpose},
    schedule::Job,
};
use crate::{
    broadcast::check_profile,
    error::Error,
    ids::{KeyDomainId, MskId, MtkId},
    keys::Interval,
    srtp::Profile,
};

/// What to do when a member leaves of its own will (requirement P4).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LeavePolicy {
    /// Go on with the MSK that the member who left still holds.
    #[default]
    KeepMsk,
    /// Give everybody who remains a new MSK, as after an expulsion.
    UpdateMsk,
}

/// The security settings of a channel.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct ChannelSpec {
    /// Key domain: MCC and MNC of the operator.
    pub domain: KeyDomainId,
    /// Key group; one per channel.
    pub key_group: u16,
    /// How RTP and RTCP are protected. Default: AES-CM-128 with HMAC-SHA1-80 and a six-octet MKI.
    pub profile: Profile,
    /// Whether a leave renews the MSK. Default: it does not.
    pub leave: LeavePolicy,
    /// How long an MSK is used before it is renewed. Default: no limit.
    pub msk_lifetime: Option<Duration>,
    /// MTK IDs of each MSK. Default: 0000 to FFFF, of which the broadcaster uses 0001 and up.
    pub mtk_ids: Interval,
    /// Octets of an MSK, 16 to 32. Default 16.
    pub msk_len: usize,
}

impl ChannelSpec {
    /// Default settings for a key group.
    #[must_use]
    pub fn new(domain: KeyDomainId, key_group: u16) -> Self {
        Self {
            domain,
            key_group,
            profile: Profile::default(),
            leave: LeavePolicy::default(),
            msk_lifetime: None,
            mtk_ids: Interval { low: MtkId(0), high: MtkId(0xffff) },
            msk_len: 16,
        }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        check_profile(self.profile)?;
        if !(16..=32).contains(&self.msk_len) {
            return Err(Error::invalid(format!(
                "an MSK has 16 to 32 octets, not {}",
                self.msk_len
            )));
        }
        //= TS 33.246 §6.4.6.2: readings differ on whether SEQl itself may be used, so it is not
        if self.mtk_ids.low >= self.mtk_ids.high {
            return Err(Error::invalid(
                "the MTK IDs of an MSK need an upper end above the lower one, which is not used",
            ));
        }
        Ok(())
    }
}

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
    /// Somebody left during the update, and takes the coming MSK along: another update follows.
    pub(super) left_since: bool,
    pub(super) retiring: Vec<Retiring>,
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
}

/// An MSK that is no longer in force.
#[derive(Debug)]
pub(super) struct Retiring {
    pub(super) issued: Arc<IssuedMsk>,
    pub(super) destroy_at: Instant,
}

impl Channel {
    /// A channel with its first MSK, which is in force at once.
    pub(super) fn open(
        heading: Heading,
        spec: ChannelSpec,
        first: IssuedMsk,
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
            left_since: false,
            retiring: Vec::new(),
        };
        channel.start_lifetime(desk);
        channel.put_in_force(desk);
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

    /// Strikes a member off: nothing is sent to it any more. Returns whether it was one.
    pub(super) fn strike_off(&mut self, client: &ClientId) -> bool {
        if let Some(update) = &mut self.update {
            update.waiting.remove(client);
        }
        self.members.remove(client).is_some()
    }

    /// Starts an update to `next`, which supersedes an update under way.
    pub(super) fn update(&mut self, next: IssuedMsk, cause: UpdateCause, desk: &mut Desk<'_>) {
        let next = Arc::new(next);
        let former = self.update.take();
        self.left_since = false;
        let switch_by = former
            .as_ref()
            .map_or_else(|| desk.now + 2 * desk.timing.confirm_within, |former| former.switch_by);
        let deadline = switch_by.min(desk.now + desk.timing.confirm_within);
        desk.actions.push(Action::UpdateBegun {
            channel: self.heading.channel.clone(),
            msk_id: next.id,
            cause,
            deadline,
        });
        desk.agenda.add(deadline, Job::Channel(self.heading.channel.clone()));
        for (client, member) in &mut self.members {
            match &former {
                Some(former) => member.supersede(&former.next, &next, client, &self.heading, desk),
                None => member.deliver(&next, client, &self.heading, desk),
            }
        }
        let waiting = self.members.keys().cloned().collect();
        self.update = Some(Update { next, cause, deadline, switch_by, waiting });
        self.switch_if_ready(desk);
    }

    /// A verification message of a member repeats this counter.
    pub(super) fn confirm(&mut self, client: &ClientId, counter: u32, desk: &mut Desk<'_>) -> bool {
        let Some(member) = self.members.get_mut(client) else { return false };
        if !member.confirm(counter, client, &self.heading, desk) {
            return false;
        }
        if let Some(update) = &mut self.update
            && member.confirmed() == Some(update.next.id)
        {
            update.waiting.remove(client);
        }
        self.switch_if_ready(desk);
        true
    }

    /// Sends again to a member whose answer is overdue.
    pub(super) fn tick_member(&mut self, client: &ClientId, desk: &mut Desk<'_>) {
        if let Some(member) = self.members.get_mut(client) {
            member.tick(client, &self.heading, desk);
        }
    }

    /// Switches at the deadline, destroys after the grace period. Returns why the MSK in force
    /// needs an update now, if it does.
    pub(super) fn tick(&mut self, desk: &mut Desk<'_>) -> Option<UpdateCause> {
        self.switch_if_ready(desk);
        let (now, channel) = (desk.now, &self.heading.channel);
        self.retiring.retain(|old| {
            let over = old.destroy_at <= now;
            if over {
                let (channel, msk_id) = (channel.clone(), old.issued.id);
                desk.actions.push(Action::Destroy { channel, msk_id });
            }
            !over
        });
        match self.update {
            Some(_) => None,
            None if self.left_since => Some(UpdateCause::Leave),
            None if self.expires.is_some_and(|end| end <= now) => Some(UpdateCause::Lifetime),
            None => None,
        }
    }

    /// Switches if everybody has confirmed or the deadline has passed.
    pub(super) fn switch_if_ready(&mut self, desk: &mut Desk<'_>) {
        let Some(update) = self.update.take_if(|u| u.waiting.is_empty() || u.deadline <= desk.now)
        else {
            return;
        };
        let old = std::mem::replace(&mut self.current, update.next);
        let destroy_at = desk.now + desk.timing.grace;
        self.retiring.push(Retiring { issued: old, destroy_at });
        desk.agenda.add(destroy_at, Job::Channel(self.heading.channel.clone()));
        self.start_lifetime(desk);
        self.put_in_force(desk);
        if self.left_since {
            desk.agenda.add(desk.now, Job::Channel(self.heading.channel.clone()));
        }
        for (client, member) in &mut self.members {
            member.only(self.current.id, client, &self.heading, desk);
        }
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

    /// Hands the current MSK to the broadcaster and makes it move (requirement P6, D3 step 3).
    pub(super) fn put_in_force(&self, desk: &mut Desk<'_>) {
        let (channel, msk_id) = (self.heading.channel.clone(), self.current.id);
        desk.actions.push(Action::HandToBroadcaster(self.heading.parameters(&self.current)));
        desk.actions.push(Action::SwitchTo { channel, msk_id });
    }

    /// Puts all that is to come on the agenda.
    pub(super) fn enter_due_times(&self, desk: &mut Desk<'_>) {
        let deadline = self.update.iter().map(|update| update.deadline);
        let destroy = self.retiring.iter().map(|old| old.destroy_at);
        for due in deadline.chain(destroy).chain(self.expires) {
            desk.agenda.add(due, Job::Channel(self.heading.channel.clone()));
        }
    }

    fn start_lifetime(&mut self, desk: &mut Desk<'_>) {
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
        self.members.insert(client.clone(), member);
    }
}
