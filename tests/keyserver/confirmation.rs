//! Fear: a lost or late answer leaves a client without keys, or holds everybody up.

use mcast_srtp::{Reject, keyserver::Sender, wire::mikey::Message};

use crate::world::{FRAME, World, msk, receive, secs};

#[test]
fn lost_answer_brings_the_same_msk_again_under_a_new_counter() {
    let mut world = World::new(&["c1"]);
    world.client("c1").loses_answers = true;
    world.join("c1");
    world.run(secs(2));
    let copies: Vec<_> = world.sent.iter().map(|sent| sent.counter).collect();
    assert_eq!(copies, [1, 2, 3], "at 0, 0.5 and 1.5 s");
    let rands: Vec<_> = world
        .sent
        .iter()
        .map(|sent| Message::parse(&sent.octets).unwrap().rand().unwrap().to_vec())
        .collect();
    assert!(rands.iter().all(|rand| *rand == rands[0]));
    assert_eq!(world.client("c1").holds(), [1]);

    world.client("c1").loses_answers = false;
    world.run(secs(30));
    assert_eq!(world.confirmed("c1"), Some(msk(1)));
    assert_eq!(world.sent.len(), 4, "confirmed, so nothing more is sent");
    // An identical copy would have been refused as a replay.
    let first = world.sent[0].octets.clone();
    assert_eq!(receive(&mut world, "c1", &first), Err(Reject::KeyReplayed));
}

#[test]
fn tries_are_bounded_and_their_end_is_told() {
    let mut world = World::new(&["c1"]);
    world.client("c1").loses_msks = true;
    world.join("c1");
    world.run(secs(60));
    assert_eq!(world.sent.len(), 8);
    let gave_up = "gave up c1 00170001: no copy was answered";
    assert_eq!(world.log.last().unwrap(), gave_up);
    // The client asks for the MSK once it is back.
    world.client("c1").loses_msks = false;
    let channel = world.channel.clone();
    world.command(|server, now, _| server.resend(&channel, &"c1".into(), now));
    assert_eq!(world.confirmed("c1"), Some(msk(1)));
    let first = world.packets + 1;
    world.run(secs(3));
    assert!(world.missed("c1", first + 50).is_empty(), "after one repeat of the MTK message");
}

#[test]
fn client_that_confirms_late_catches_up_by_itself() {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c1", "c2", "c3"]);
    world.run(secs(1));
    world.client("c2").loses_msks = true;
    world.expel("c3");
    world.run(secs(7));
    assert_eq!((world.current(), world.confirmed("c2")), (msk(2), Some(msk(1))));
    world.client("c2").loses_msks = false;
    world.run(secs(9));
    assert_eq!(world.confirmed("c2"), Some(msk(2)));
    let now = world.packets;
    world.run(secs(2));
    assert!(world.missed("c2", now).is_empty());
    assert!(world.missed("c1", 1).is_empty());
}

#[test]
fn lost_answer_does_not_cost_the_client_a_packet() {
    let mut world = World::new(&["c1", "c2"]);
    world.join_all(&["c1", "c2"]);
    world.run(secs(1));
    world.client("c1").loses_answers = true;
    world.expel("c2");
    world.run(secs(8));
    assert_eq!(world.current(), msk(2));
    assert!(world.missed("c1", 1).is_empty());
}

#[test]
fn answer_to_an_earlier_copy_counts_and_a_second_answer_does_not() {
    let mut world = World::new(&["c1"]);
    world.client("c1").loses_answers = true;
    world.join("c1");
    let first = world.sent[0].octets.clone();
    world.client("c1").loses_msks = true;
    world.run(secs(1));
    assert_eq!(world.sent.len(), 2);

    let mut twin = World::new(&["c1"]);
    let answer = {
        let event = twin.client("c1").receiver.key_message(&first, world.now).unwrap();
        event.verification().unwrap().to_vec()
    };
    let from = Sender::Address("198.51.100.9:40000".parse().unwrap());
    let actions = world.server.receive(&answer, from, world.now).unwrap();
    world.carry_out(actions);
    assert_eq!(world.confirmed("c1"), Some(msk(1)), "from a new address: its identity counts");
    let again = world.server.receive(&answer, from, world.now);
    assert_eq!(again.unwrap_err(), Reject::KeyReplayed);
}

#[test]
fn forged_answer_changes_nothing() {
    let mut world = World::new(&["c1", "c2"]);
    world.client("c1").loses_answers = true;
    world.join("c1");
    let mut twin = World::new(&["c1"]);
    let octets = world.sent[0].octets.clone();
    let event = twin.client("c1").receiver.key_message(&octets, world.now).unwrap();
    let answer = event.verification().unwrap().to_vec();
    let from = Sender::Address("192.0.2.0:2269".parse().unwrap());
    for place in 0..answer.len() {
        let mut forged = answer.clone();
        forged[place] ^= 1;
        assert!(world.server.receive(&forged, from, world.now).is_err(), "octet {place}");
        assert!(world.server.receive(&answer[..place], from, world.now).is_err());
    }
    let c2 = mcast_srtp::keyserver::ClientId::from("c2");
    assert!(world.server.receive(&answer, Sender::Client(&c2), world.now).is_err());
    assert_eq!(world.confirmed("c1"), None);
    assert!(world.server.receive(&answer, from, world.now).is_ok());
}

#[test]
fn moved_client_gets_the_msk_at_its_new_address_at_once() {
    let mut world = World::new(&["c1"]);
    world.client("c1").loses_msks = true;
    world.join("c1");
    world.run(FRAME);
    world.client("c1").loses_msks = false;
    let reach = mcast_srtp::keyserver::Reach::Udp("192.0.2.77:2269".parse().unwrap());
    world.command(|server, now, _| server.relocate(&"c1".into(), reach, now));
    assert_eq!(world.confirmed("c1"), Some(msk(1)));
    // Nothing is outstanding any more, so a second move sends nothing.
    world.command(|server, now, _| server.relocate(&"c1".into(), reach, now));
    assert_eq!(world.sent_to("c1"), [1, 1]);
}

#[test]
fn renewed_muk_reaches_the_client_and_repeats_no_counter() {
    let mut world = World::new(&["c1"]);
    world.client("c1").loses_msks = true;
    world.join("c1");
    world.client("c1").loses_msks = false;
    let (id, muk) = (crate::world::muk_id("c1"), || crate::world::muk(99));
    world.client("c1").receiver.insert_muk(id.clone(), muk()).unwrap();
    world.command(|server, now, _| server.renew_muk(&"c1".into(), id, muk(), now));
    assert_eq!(world.sent.last().unwrap().counter, 2);
    assert_eq!(world.confirmed("c1"), Some(msk(1)));
}
