//! Fear: keys in the SDP do not reach the client, or it is not known whether they did.

use base64::{Engine, engine::general_purpose::STANDARD};
use mcast_srtp::{
    keyserver::{Action, MskMessage, Reach, Route},
    wire::mikey::Message,
};

use crate::world::{World, msk, secs};

const TEMPLATE: &str = "v=0\r\no=poc 1 1 IN IP4 192.0.2.10\r\ns=Group 17\r\n\
    c=IN IP4 232.10.0.17/16\r\nt=0 0\r\nm=audio 49170 RTP/SAVP 97\r\na=rtpmap:97 AMR/8000/1\r\n";

fn world_over_sdp() -> World {
    let mut world = World::new(&["c1", "c2"]);
    for name in ["c1", "c2"] {
        world.command(|server, now, _| server.relocate(&name.into(), Reach::Sdp, now));
    }
    world
}

fn only_message(actions: Vec<Action>) -> MskMessage {
    let mut messages = actions.into_iter().filter_map(|action| match action {
        Action::SendMsk(message) => Some(message),
        _ => None,
    });
    let message = messages.next().unwrap();
    assert!(messages.next().is_none());
    message
}

#[test]
fn each_client_gets_an_sdp_of_its_own_with_the_protocol_list_under_the_mac() {
    let mut world = world_over_sdp();
    let (channel, now) = (world.channel.clone(), world.now);
    let message = only_message(world.server.join(&channel, &"c1".into(), now).unwrap());
    assert_eq!(message.to, Route::SdpOffer);
    let sdp = message.in_sdp(TEMPLATE).unwrap();
    let line = sdp.lines().find_map(|line| line.strip_prefix("a=key-mgmt:mikey ")).unwrap();
    let octets = STANDARD.decode(line).unwrap();
    let view = Message::parse(&octets).unwrap();
    assert_eq!((view.sdp_ids(), view.header().verify), (Some(&b"mikey"[..]), true));
    let event = world.client("c1").receiver.key_message(&octets, now).unwrap();
    assert!(event.verification().is_some());
}

#[test]
fn expulsion_reaches_clients_in_sip_sessions_by_new_offers() {
    let mut world = world_over_sdp();
    world.join_all(&["c1", "c2"]);
    world.run(secs(1));
    world.expel("c2");
    assert_eq!((world.current(), world.confirmed("c1")), (msk(2), Some(msk(2))));
    world.run(secs(2));
    assert!(world.missed("c1", 1).is_empty());
}

#[test]
fn answer_to_a_client_that_offered_asks_for_no_verification_and_counts_as_held() {
    let mut world = world_over_sdp();
    let (channel, now) = (world.channel.clone(), world.now);
    let message = only_message(world.server.join_in_answer(&channel, &"c1".into(), now).unwrap());
    assert_eq!(message.to, Route::SdpAnswer);
    assert!(!Message::parse(&message.octets).unwrap().header().verify);
    assert_eq!(world.confirmed("c1"), Some(msk(1)));
    world.run(secs(60));
    assert!(world.sent.is_empty(), "nothing to repeat");
    assert!(message.in_sdp(TEMPLATE).unwrap().contains("a=key-mgmt:mikey "));
}

#[test]
fn client_answered_during_an_update_is_offered_the_coming_msk() {
    let mut world = world_over_sdp();
    world.join("c1");
    world.client("c1").loses_msks = true;
    let channel = world.channel.clone();
    let cause = mcast_srtp::keyserver::UpdateCause::Command;
    world.command(|server, now, random| server.update(&channel, cause, now, random));
    world.command(|server, now, _| server.join_in_answer(&channel, &"c2".into(), now));
    assert_eq!(world.sent_to("c2"), [1, 2]);
    assert_eq!(world.confirmed("c2"), Some(msk(2)));
}

#[test]
fn each_offer_says_that_it_differs_from_the_one_before() {
    let mut world = world_over_sdp();
    let (channel, now) = (world.channel.clone(), world.now);
    let mut actions = world.server.join(&channel, &"c1".into(), now).unwrap();
    actions.append(&mut world.server.resend(&channel, &"c1".into(), now).unwrap());
    let muk = crate::world::muk(99);
    let renewed = world.server.renew_muk(&"c1".into(), crate::world::muk_id("c1"), muk, now);
    actions.append(&mut renewed.unwrap());
    let version = |action: Action| {
        let sdp = only_message(vec![action]).in_sdp(TEMPLATE).unwrap();
        let origin = sdp.lines().find(|line| line.starts_with("o=")).unwrap().to_owned();
        origin.strip_prefix("o=poc 1 ").unwrap().split(' ').next().unwrap().parse::<u32>().unwrap()
    };
    let versions: Vec<_> = actions.into_iter().map(version).collect();
    assert_eq!(versions, [1, 2, 3], "with a new MUK also");
}
