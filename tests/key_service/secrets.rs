//! Fear: a key is read in an event, a refusal or a log.

use mcast_srtp::{
    keyserver::Reach,
    service::{KeyService, Request, document},
};

use crate::{
    group::{muk, muk_id},
    world::{CHANNEL, LATE, World, add, expel, join},
};

/// Octets as they could stand in a text.
fn texts(octets: &[u8]) -> [String; 3] {
    let hex = hex::encode(octets);
    [hex.to_uppercase(), hex, format!("{octets:?}").trim_matches(['[', ']']).to_owned()]
}

fn msks(service: &KeyService) -> Vec<Vec<u8>> {
    let document = service.document(&CHANNEL.into(), None).unwrap();
    document.msks.iter().map(|msk| msk.msk.key.expose().to_vec()).collect()
}

#[test]
fn no_key_shows_in_events_refusals_or_debug_output() {
    let mut world = World::with(|options| options.timing.udp = LATE);
    world.open(|_| ());
    let _c1 = world.member("c1");
    let mut keys = msks(&world.service);
    world.does(expel(&["c2"]));
    keys.extend(msks(&world.service));
    keys.push(muk("c1").0.expose().to_vec());

    let request = add("c1", Reach::Sdp);
    let (renews, joins) = (
        Request::RenewMuk { client: "c9".into(), muk_id: muk_id("c9"), muk: muk("c1") },
        join("c9"),
    );
    let mut shown = format!("{request:?} {renews:?} {joins:?} {:?}", world.service);
    for request in [request, renews, joins] {
        shown += &world.refuses(request).1;
    }
    let newest = world.service.document(&CHANNEL.into(), None).unwrap();
    let json = document::to_json(&newest).unwrap();
    let broken = String::from_utf8(json.to_vec()).unwrap().replace("in_force", "inforce");
    shown += &document::from_json(broken.as_bytes()).unwrap_err().to_string();
    shown += &format!("{newest:?} {:?} {}", world.service.counters(), world.knows());
    let events = world.service.events(Some(0)).take(usize::MAX).events;
    assert!(events.len() > 10);
    for event in events {
        shown += &format!("{event:?} {}", serde_json::to_string(&*event).unwrap());
    }
    assert!(keys.len() >= 4 && broken.contains(&texts(&keys[0])[1]), "of what is looked for");
    for key in keys {
        for text in texts(&key) {
            assert!(!shown.contains(&text));
        }
    }
}
