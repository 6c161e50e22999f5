//! Fear: after a restart keys, counters or numbers come twice, or somebody is forgotten or let in.

use mcast_srtp::service::{EventKind, RefusedKind, Request};

use crate::world::{CHANNEL, LATE, World, counter, expel, join};

#[test]
fn restarted_service_goes_on_where_it_was() {
    let mut world = World::with(|options| options.timing.udp = LATE);
    world.open(|_| ());
    let (mut c1, c2) = (world.member("c1"), world.add("c2"));
    world.does(join("c2"));
    let unanswered = counter(&c2.message());
    world.does(Request::Expel { channel: CHANNEL.into(), clients: vec!["c3".into()] });
    let coming = counter(&c1.message());
    let last = world.wait_for(|kind| matches!(kind, EventKind::UpdateBegun { .. }));
    let version = world.service.document(&CHANNEL.into(), None).unwrap().version;

    world.restart(|options| options.timing.udp = LATE);
    let started = world.wait_for(|kind| matches!(kind, EventKind::Started { .. }));
    assert_eq!(started.kind, EventKind::Started { clients: 2, channels: 1 });
    assert!(started.id > last.id, "event numbers go on");
    // Both are sent what they have not confirmed, under new counters.
    let again = c1.message();
    assert!(counter(&again) > coming);
    let (msk_id, answer) = c1.open(&again);
    c1.answers(&answer);
    assert_eq!(msk_id.number, 2);
    assert!(counter(&c2.message()) > unanswered);
    world.wait_for(|kind| matches!(kind, EventKind::Confirmed { .. }));
    assert!(!world.does(join("c1")).changed, "it is a member still");
    assert_eq!(world.refuses(join("c3")).0, RefusedKind::NotFound);
    world.does(crate::world::add("c3", mcast_srtp::keyserver::Reach::Sdp));
    assert_eq!(world.refuses(join("c3")).0, RefusedKind::Conflict, "it is expelled still");
    let document = world.service.document(&CHANNEL.into(), None).unwrap();
    assert!(document.version >= version);

    let update = world.does(expel(&["c2"])).update.unwrap();
    assert_eq!(update.number, 3, "no key number comes twice");
}

#[test]
fn second_service_on_the_same_file_is_refused() {
    let world = World::new();
    let mut refused = None;
    let file = world.file();
    let state = mcast_srtp::state::StateOptions::new(file);
    if let Err(error) =
        mcast_srtp::service::KeyService::start(mcast_srtp::service::KeyServiceOptions::new(state))
    {
        refused = Some(error.to_string());
    }
    assert!(refused.unwrap().contains("another process"));
}
