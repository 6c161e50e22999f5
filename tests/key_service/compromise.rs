//! Fear: a key is known to be in the wrong hands, the operator says so, and nothing happens.

use mcast_srtp::{ids::MskId, keyserver::UpdateCause, service::Request};

use crate::world::{CHANNEL, KEY_GROUP, World, join};

fn update(cause: UpdateCause, replaces: Option<u16>) -> Request {
    let replaces = replaces.map(|number| MskId { group: KEY_GROUP, number });
    Request::Update { channel: CHANNEL.into(), cause, replaces }
}

#[test]
fn coming_msk_can_be_declared_compromised_and_each_request_may_be_repeated() {
    let world = World::new();
    world.open(|_| ());
    let _silent = world.add("c1");
    world.does(join("c1"));
    let number = |request| world.does(request).update.map(|msk_id| msk_id.number);
    assert_eq!(number(update(UpdateCause::Command, Some(1))), Some(2));
    assert_eq!(number(update(UpdateCause::Compromise, Some(1))), None, "it is being replaced");
    for _ in 0..2 {
        let asked = world.does(update(UpdateCause::Compromise, Some(2)));
        // The second one has done it already.
        assert_eq!(asked.changed, asked.update.is_some());
    }
    assert_eq!(number(update(UpdateCause::Compromise, Some(2))), None);
    assert_eq!(number(update(UpdateCause::Command, Some(3))), None, "it is on its way");
    assert_eq!(number(update(UpdateCause::Compromise, Some(3))), Some(4));
    assert_eq!(number(update(UpdateCause::Compromise, None)), Some(5));
}
