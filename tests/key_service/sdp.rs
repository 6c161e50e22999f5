//! Fear: a client in a SIP session does not get its keys, or gets those of a channel it has left.

use base64::{Engine, engine::general_purpose::STANDARD};
use mcast_srtp::{
    Reject,
    keyserver::Reach,
    service::{EventKind, Offer, RefusedKind, Request},
};

use crate::world::{CHANNEL, Client, LATE, World, add, expel, join, leave};

const TEMPLATE: &str = "v=0\r\no=poc 1 1 IN IP4 192.0.2.10\r\ns=Group 17\r\nc=IN IP4 232.10.0.17/16\r\n\
    t=0 0\r\nm=audio 49170 RTP/SAVP 97\r\na=rtpmap:97 AMR/8000/1\r\n";

fn world() -> World {
    let world = World::with(|options| {
        options.mikey = None;
        options.timing.sdp = LATE;
    });
    world.open(|spec| spec.sdp = Some(TEMPLATE.into()));
    world
}

/// A client that has no socket of its own.
fn client(name: &str) -> Client {
    Client::new(name, "127.0.0.1:9".parse().unwrap())
}

fn mikey(key_mgmt: &str) -> Vec<u8> {
    STANDARD.decode(key_mgmt.strip_prefix("a=key-mgmt:mikey ").unwrap()).unwrap()
}

fn offer(world: &World, client: &str) -> Option<Offer> {
    world.service.offer(&CHANNEL.into(), &client.into()).map(|offer| (*offer).clone())
}

fn answer(client: &str, answer: impl Into<Vec<u8>>) -> Request {
    Request::Answer { client: client.into(), answer: answer.into() }
}

#[test]
fn client_gets_its_msk_by_offer_and_answer_and_the_next_one_by_the_next_offer() {
    let mut world = world();
    let mut c1 = client("c1");
    world.does(add("c1", Reach::Sdp));
    world.does(join("c1"));
    let first = offer(&world, "c1").unwrap();
    let sdp = first.sdp.unwrap();
    assert!(sdp.contains(&format!("t=0 0\r\n{}\r\nm=audio", first.key_mgmt)), "{sdp}");
    let (msk_id, verification) = c1.open(&mikey(&first.key_mgmt));
    let mut forged = verification.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(world.refuses(answer("c1", forged)).0, RefusedKind::Invalid);
    let told = world.wait_for(|kind| matches!(kind, EventKind::VerificationRefused { .. }));
    let reason = Reject::KeyAuthFailed;
    assert_eq!(told.kind, EventKind::VerificationRefused { reason, source: None, count: 1 });
    assert_eq!(world.service.counters().verifications_refused.count(reason), 1);
    assert_eq!((msk_id, msk_id.number), (first.msk_id, 1));
    let sdp_answer = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\na=key-mgmt:mikey {}\r\nm=audio 4 RTP/SAVP 97\r\n",
        STANDARD.encode(&verification)
    );
    assert!(world.does(answer("c1", sdp_answer.clone())).changed);
    world.wait_for(|kind| matches!(kind, EventKind::Confirmed { .. }));
    assert!(!world.does(answer("c1", sdp_answer)).changed, "SIP repeats it");
    assert_eq!(offer(&world, "c1"), None, "answered");

    world.does(expel(&["c2"]));
    let second = offer(&world, "c1").unwrap();
    assert!(second.counter > first.counter);
    let (msk_id, verification) = c1.open(&mikey(&second.key_mgmt));
    assert_eq!(msk_id.number, 2);
    assert!(world.does(answer("c1", verification)).changed);
    world.wait_for(|kind| matches!(kind, EventKind::Switched { .. }));
}

#[test]
fn who_has_left_or_was_expelled_finds_no_offer_any_more() {
    let mut world = world();
    for name in ["c1", "c2", "c3", "c4"] {
        world.does(add(name, Reach::Sdp));
        world.does(join(name));
        assert!(offer(&world, name).is_some());
    }
    world.does(leave("c1"));
    world.does(expel(&["c2"]));
    world.does(Request::RemoveClient { client: "c3".into() });
    let left = ["c1", "c2", "c3", "c4"].map(|name| offer(&world, name).is_some());
    assert_eq!(left, [false, false, false, true]);
    world.does(Request::CloseChannel { channel: CHANNEL.into() });
    assert_eq!(offer(&world, "c4"), None);
    let made = world.told(|kind| matches!(kind, EventKind::OfferReady { .. })).len();
    assert_eq!(u64::try_from(made).unwrap(), world.service.counters().offers);
}

#[test]
fn client_that_offers_itself_gets_the_msk_in_the_answer_and_again_if_that_is_lost() {
    let world = world();
    let mut c1 = client("c1");
    world.does(add("c1", Reach::Sdp));
    let request = || Request::JoinInAnswer { channel: CHANNEL.into(), client: "c1".into() };
    let lost = world.does(request());
    assert!(lost.changed);
    let again = world.does(request());
    assert!(!again.changed);
    let messages = [lost, again].map(|reply| mikey(&reply.key_mgmt.unwrap()));
    assert_ne!(messages[0], messages[1], "under another counter");
    let (msk_id, verification) = c1.open(&messages[1]);
    assert_eq!((msk_id.number, verification.len()), (1, 0), "nothing to answer");
    assert_eq!(offer(&world, "c1"), None);
    let members = world.service.read(|core| core.members(&CHANNEL.into()).count()).unwrap();
    assert_eq!(members, 1);
}

#[test]
fn service_without_a_socket_takes_no_client_that_needs_one() {
    let world = world();
    let reach = Reach::Udp("127.0.0.1:9".parse().unwrap());
    let (kind, text) = world.refuses(add("c1", reach));
    assert_eq!(kind, RefusedKind::Invalid);
    assert!(text.contains("no socket"), "{text}");
}
