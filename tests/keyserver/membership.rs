//! Fear: the membership bus repeats or loses an event, and the roster is wrong ever after.

use mcast_srtp::keyserver::{Change, Consumed, MembershipEvent};

use crate::world::{World, msk};

fn event(sequence: u64, client: &str, change: Change) -> MembershipEvent {
    let (publisher, channel) = ("pf2".into(), "group 17".into());
    MembershipEvent { publisher, sequence, channel, client: client.into(), change }
}

fn consume(world: &mut World, event: &MembershipEvent) -> Result<Consumed, mcast_srtp::Error> {
    let mut seed = event.sequence as u8;
    world.server.consume(event, world.now, &mut |out| {
        seed = seed.wrapping_add(1);
        out.fill(seed);
    })
}

#[test]
fn expulsion_at_another_pf_updates_the_msk_exactly_once() {
    let mut world = World::new(&["c1", "c2"]);
    for (sequence, client) in [(1, "c1"), (2, "c2")] {
        match consume(&mut world, &event(sequence, client, Change::Joined)).unwrap() {
            Consumed::Applied(actions) => world.carry_out(actions),
            other => panic!("{other:?}"),
        }
    }
    let expelled = event(3, "c2", Change::Expelled);
    let Consumed::Applied(actions) = consume(&mut world, &expelled).unwrap() else { panic!() };
    world.carry_out(actions);
    assert_eq!(world.current(), msk(2));
    assert!(matches!(consume(&mut world, &expelled).unwrap(), Consumed::Repeated));
    assert_eq!(world.current(), msk(2));
}

#[test]
fn lost_event_is_missed_at_once_and_nothing_overtakes_it() {
    let mut world = World::new(&["c1", "c2"]);
    consume(&mut world, &event(1, "c1", Change::Joined)).unwrap();
    let early = consume(&mut world, &event(3, "c1", Change::Expelled)).unwrap();
    assert!(matches!(early, Consumed::Missing { expected: 2 }));
    assert_eq!(world.current(), msk(1));
    consume(&mut world, &event(2, "c2", Change::Joined)).unwrap();
    let due = consume(&mut world, &event(3, "c1", Change::Expelled)).unwrap();
    assert!(matches!(due, Consumed::Applied(_)));
}

#[test]
fn event_about_a_stranger_does_not_block_those_behind_it() {
    let mut world = World::new(&["c1"]);
    assert!(consume(&mut world, &event(1, "c9", Change::Joined)).is_err());
    let left = consume(&mut world, &event(2, "c9", Change::Left)).unwrap();
    assert!(matches!(left, Consumed::Applied(actions) if actions.is_empty()));
    assert!(matches!(
        consume(&mut world, &event(3, "c1", Change::Joined)),
        Ok(Consumed::Applied(_))
    ));
    assert!(world.confirmed("c1").is_none());
    assert_eq!(world.server.members(&world.channel).count(), 1);
}

fn of(publisher: &str, sequence: u64, change: Change) -> MembershipEvent {
    MembershipEvent { publisher: publisher.into(), ..event(sequence, "c1", change) }
}

/// How many actions follow from an event.
fn follows(world: &mut World, event: &MembershipEvent) -> usize {
    let Consumed::Applied(actions) = consume(world, event).unwrap() else { panic!("{event:?}") };
    let count = actions.len();
    world.carry_out(actions);
    count
}

#[test]
fn client_that_has_moved_is_not_struck_off_by_the_late_word_of_the_pf_it_left() {
    let mut world = World::new(&["c1"]);
    assert_eq!(follows(&mut world, &of("pf-b", 1, Change::Joined)), 1);
    assert_eq!(follows(&mut world, &of("pf-c", 1, Change::Joined)), 0);
    world.restart_server();
    assert_eq!(follows(&mut world, &of("pf-b", 2, Change::Left)), 0);
    assert!(world.server.is_member(&world.channel, &"c1".into()));
    // It moves here, and the other PF is late as well.
    world.join("c1");
    world.restart_server();
    follows(&mut world, &of("pf-c", 2, Change::Left));
    assert!(world.server.is_member(&world.channel, &"c1".into()));
    follows(&mut world, &of("pf-b", 3, Change::Joined));
    follows(&mut world, &of("pf-b", 4, Change::Left));
    assert!(!world.server.is_member(&world.channel, &"c1".into()));
}

#[test]
fn joining_published_again_sends_nothing_and_an_msk_request_is_passed_on() {
    let mut world = World::new(&["c1"]);
    follows(&mut world, &of("pf-b", 1, Change::Joined));
    assert_eq!(follows(&mut world, &of("pf-b", 2, Change::Joined)), 0);
    assert_eq!(world.confirmed("c1"), Some(msk(1)), "it stays confirmed");
    assert_eq!(follows(&mut world, &of("pf-b", 3, Change::MskRequested)), 1);
    assert_eq!(world.sent_to("c1"), [1, 1]);
    follows(&mut world, &of("pf-b", 4, Change::Expelled));
    assert!(consume(&mut world, &of("pf-b", 5, Change::Joined)).is_err());
    follows(&mut world, &of("pf-b", 6, Change::Readmitted));
    assert!(follows(&mut world, &of("pf-b", 7, Change::Joined)) > 0);
}
