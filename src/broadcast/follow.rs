//! Doing what the channel document says: MSKs taken, switched to, erased.

use std::time::Instant;

use super::{BroadcastAction, Broadcaster, ChannelDocument, Lead, check_profile, traffic::HeldMsk};
use crate::{error::Error, ids::MskId};

impl Broadcaster {
    /// Follows the key server (P6): takes the MSKs that are new, starts an MTK under the one in
    /// force if that is another than before (D3 step 3), erases what is not listed. A document as
    /// old as the one followed last, or older, changes nothing.
    ///
    /// What was protected stays so, and the MTK in force goes on until the next one has had its
    /// lead. Of the MSKs listed, one that this broadcaster had and erased is not taken again: its
    /// MTK IDs could be used twice. If that is the one in force, the broadcaster is
    /// [silent](BroadcastAction::Silent) until the next. A broadcaster that has lost what it kept
    /// cannot know which it had: let it follow nothing before the key server has updated the MSK.
    ///
    /// # Errors
    /// Another channel's document, a profile that cannot work, another key under an identifier that
    /// is held, or an MSK in force that is older than the one in use or has no MTK ID left. Nothing
    /// has changed then.
    pub fn follow(
        &mut self,
        document: &ChannelDocument,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<BroadcastAction>, Error> {
        if document.channel != self.channel {
            return Err(Error::invalid(format!(
                "this is the document of channel {}, not of {}",
                document.channel, self.channel
            )));
        }
        if document.version <= self.followed {
            return Ok(Vec::new());
        }
        self.check(document)?;
        self.advance(now);
        self.take(document);
        self.set_mtk_period(document);
        let in_force = document.in_force;
        let mut actions = Vec::new();
        if self.newest_msk() != Some(in_force) && self.msks.contains_key(&in_force) {
            actions = self.announce(in_force, Lead::Usual, now, random)?;
        }
        self.let_go(document, &mut actions);
        self.followed = document.version;
        self.changed.followed();
        Ok(actions)
    }

    /// The version of the document followed last, 0 if there was none.
    #[must_use]
    pub const fn followed(&self) -> u64 {
        self.followed
    }

    fn check(&self, document: &ChannelDocument) -> Result<(), Error> {
        check_profile(document.profile)?;
        let in_force = document.in_force;
        if document.domain != self.domain {
            return Ok(()); // Nothing that is held here is meant.
        }
        for listed in &document.msks {
            let id = listed.msk_id;
            if self.msks.get(&id).is_some_and(|held| !held.is(listed)) {
                return Err(Error::invalid(format!("another key is held as MSK {id}")));
            }
        }
        let Some(newest) = self.newest_msk().filter(|newest| *newest != in_force) else {
            return Ok(());
        };
        if !document.msks.is_empty() && newest.group == in_force.group && newest > in_force {
            return Err(Error::invalid(format!(
                "MSK {in_force} is older than the MSK in use; a broadcaster never goes back"
            )));
        }
        if self.msks.get(&in_force).is_some_and(|held| held.ids_left() == 0) {
            return Err(Error::invalid(format!(
                "MSK {in_force} has no MTK ID left; the key server has to update it"
            )));
        }
        Ok(())
    }

    fn take(&mut self, document: &ChannelDocument) {
        if document.domain != self.domain {
            self.msks.keys().for_each(|id| self.changed.msk(*id));
            self.msks.clear();
        }
        (self.domain, self.profile) = (document.domain, document.profile);
        let mut listed: Vec<_> = document.msks.iter().collect();
        listed.sort_by_key(|listed| listed.msk_id);
        for listed in listed {
            let MskId { group, number } = listed.msk_id;
            self.changed.msk(listed.msk_id);
            if let Some(held) = self.msks.get_mut(&listed.msk_id) {
                held.relist(listed);
                continue;
            }
            let taken = self.taken.entry((self.domain, group)).or_insert(0);
            if number > *taken && listed.interval.low < listed.interval.high {
                *taken = number;
                self.msks.insert(listed.msk_id, HeldMsk::unused(listed.clone()));
            }
        }
    }

    /// Erases what is not listed. Without an MSK in use there is nothing to protect under.
    fn let_go(&mut self, document: &ChannelDocument, actions: &mut Vec<BroadcastAction>) {
        self.msks.retain(|id, _| {
            let listed = document.msks.iter().any(|listed| listed.msk_id == *id);
            if !listed {
                self.changed.msk(*id);
            }
            listed
        });
        if self.newest_msk().is_none_or(|newest| !self.msks.contains_key(&newest)) {
            (self.in_force, self.coming, self.spent) = (None, None, None);
            actions.push(BroadcastAction::Silent { in_force: document.in_force });
        }
    }
}
