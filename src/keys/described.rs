//! What descriptions of groups say about protection, where an MSK message says nothing (K9).

use super::{
    message::named_msk,
    plane::{Group, KeyPlane},
};
use crate::{
    ids::GroupId,
    srtp::{Profile, Rcc},
};

impl KeyPlane {
    /// Notes the ROC-carrying transform that the description of a group asks for (RFC 5159 §5.1). An
    /// MSK message with a policy of its own wins over it; without one it applies to what is received
    /// from then on.
    pub fn describe(&mut self, group: GroupId, rcc: Option<Rcc>) {
        if let Some(group) = self.groups.get_mut(&group) {
            group.rcc = rcc;
        }
    }

    /// The profile of an MSK message without a policy: as the groups describe it that its keys are for,
    /// or all groups while that is not known. Where they differ, without RCC.
    pub(super) fn described_profile(&self, from: Option<GroupId>, message: &[u8]) -> Profile {
        if self.groups.values().all(|group| group.rcc.is_none()) {
            return Profile::default();
        }
        let key_group = named_msk(message).map(|(domain, msk)| (domain, msk.group));
        let uses = |(id, group): &(&GroupId, &Group)| {
            from == Some(**id) || key_group.is_some_and(|id| group.key_groups.contains(&id))
        };
        let known = self.groups.iter().any(|group| uses(&group));
        let mut asked = self.groups.iter().filter(|group| !known || uses(group));
        let first = asked.next().and_then(|(_, group)| group.rcc);
        match first {
            Some(rcc) if asked.all(|(_, group)| group.rcc == first) => {
                Profile::default().with_rcc(rcc)
            }
            _ => Profile::default(),
        }
    }
}
