//! Fear: a client that should ask for the MSK does not, or one that is out is asked.

use mcast_srtp::{
    keys::KeyEvent,
    keyserver::{Action, Purpose, Reach},
    wire::mikey::Message,
};

use crate::world::{KEY_GROUP, World, msk, secs};

#[test]
fn solicited_client_asks_and_is_given_the_msk_in_force() {
    let mut world = World::new(&["c1"]);
    let (channel, c1) = (world.channel.clone(), "c1".into());
    world.client("c1").loses_msks = true;
    world.join("c1");
    world.idle(secs(60));
    assert_eq!(world.logged("gave up").len(), 1);

    let actions = world.server.solicit(&channel, &c1, world.now).unwrap();
    let [Action::SendMsk(message)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((message.purpose, message.msk_id, message.counter), (Purpose::Solicit, msk(0), 9));
    let view = Message::parse(&message.octets).unwrap();
    assert!(view.kemac().unwrap().encr_data.is_empty() && !view.header().verify);
    let now = world.now;
    let asked = world.client("c1").receiver.key_message(&message.octets, now).unwrap();
    assert!(matches!(asked, KeyEvent::MskRequested { key_group: KEY_GROUP, .. }), "{asked:?}");

    world.client("c1").loses_msks = false;
    world.command(|server, now, _| server.resend(&channel, &c1, now));
    assert_eq!(world.confirmed("c1"), Some(msk(1)));
}

#[test]
fn solicitation_disturbs_no_delivery_under_way() {
    let mut world = World::new(&["c1"]);
    let (channel, c1) = (world.channel.clone(), "c1".into());
    world.client("c1").loses_answers = true;
    world.join("c1");
    world.command(|server, now, _| server.solicit(&channel, &c1, now));
    world.client("c1").loses_answers = false;
    world.idle(secs(1));
    assert_eq!((world.sent_to("c1"), world.confirmed("c1")), (vec![1, 0, 1], Some(msk(1))));
}

#[test]
fn nobody_but_a_member_over_udp_is_solicited() {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c1", "c2"]);
    world.expel("c2");
    world.command(|server, now, _| server.relocate(&"c1".into(), Reach::Sdp, now));
    let (channel, now) = (world.channel.clone(), world.now);
    let mut refusal =
        |client: &str| world.server.solicit(&channel, &client.into(), now).unwrap_err().to_string();
    assert!(refusal("c1").contains("SDP"));
    assert!(refusal("c2").contains("no member"));
    assert!(refusal("c3").contains("no member"));
}
