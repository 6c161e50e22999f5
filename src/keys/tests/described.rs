//! What the description of a group says, and what the MSK message says.

use std::time::Instant;

use super::{refusals::authentic, *};
use crate::{
    ids::GroupId,
    srtp::{Rcc, RccMode},
    wire::mikey::{CsIdMapFields, SrtpIdRecord},
};

const RCC: Rcc = Rcc { mode: RccMode::M2, rate: 64 };
const OTHER: Rcc = Rcc { mode: RccMode::M1, rate: 64 };

/// The profile of the traffic key of group 0, where groups from 0 on are described like this and the
/// MSK message, with a policy or without, comes in the description of one of them or by unicast.
fn profile(described: &[Option<Rcc>], policy: Option<u8>, with: Option<GroupId>) -> Profile {
    let (mut plane, now) = (KeyPlane::new(PlaneLimits::default()), Instant::now());
    plane.insert_muk(muk_id(), muk(1)).unwrap();
    let groups = (0..).map(GroupId);
    for (group, rcc) in groups.zip(described) {
        plane.add_group(group, None);
        plane.describe(group, *rcc);
    }
    let records = [SrtpIdRecord { policy: 4, ssrc: Ssrc(0), roc: Roc(0) }];
    let message = authentic(CsIdMapFields::SrtpId(&records), 1, policy);
    match with {
        Some(group) => plane.announce(group, &message, now).map(drop).unwrap(),
        None => plane.receive(None, &message, now).map(drop).unwrap(),
    }
    plane.receive(Some(GroupId(0)), &mtk_message(1, 5, |_| {}), now).unwrap();
    plane.publish();
    let table = plane.published().load();
    *table.ring(GroupId(0)).unwrap().keys()[0].profile()
}

#[test]
fn description_tells_the_rollover_counter_s_place_where_the_msk_message_has_no_policy() {
    let expected = Profile::default().with_rcc(RCC);
    let first = Some(GroupId(0));
    assert_eq!(profile(&[Some(RCC)], None, first), expected);
    assert_eq!(profile(&[Some(RCC)], None, None), expected);
    assert_eq!(profile(&[Some(RCC), Some(RCC)], None, None), expected);
    // The group is known, so others do not matter.
    assert_eq!(profile(&[Some(RCC), Some(OTHER), None], None, first), expected);
    // It is not, and they differ.
    assert_eq!(profile(&[Some(RCC), Some(OTHER)], None, None), Profile::default());
    assert_eq!(profile(&[None], None, first), Profile::default());
}

#[test]
fn authenticated_policy_wins_over_the_description() {
    for with in [Some(GroupId(0)), None] {
        assert_eq!(profile(&[Some(RCC)], Some(4), with), Profile::default());
    }
}
