//! Fear: after a crash a counter, a key number or an MTK ID is used twice, or clients lose their keys.

use mcast_srtp::{
    broadcast::{BroadcastTiming, Broadcaster},
    ids::Roc,
    keyserver::{KeyServer, Timing},
};

use crate::{
    kept::Kept,
    world::{DOMAIN, KEY_GROUP, World, msk, secs},
};

#[test]
fn restarted_key_server_goes_on_where_it_was_and_disturbs_nobody() {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c1", "c2", "c3"]);
    world.run(secs(1));
    let sent = world.sent.len();
    world.restart_server();
    assert_eq!(world.sent.len(), sent, "all had confirmed");
    world.expel("c3");
    world.run(secs(2));
    assert_eq!(world.current(), msk(2));
    assert!(world.missed("c1", 1).is_empty());
    assert_eq!(world.sent.last().unwrap().counter, 2);
}

#[test]
fn restart_during_an_update_keeps_the_coming_msk_and_the_deadline() {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c1", "c2", "c3"]);
    world.run(secs(1));
    world.client("c2").loses_msks = true;
    world.expel("c3");
    world.run(secs(3));
    world.restart_server();
    assert_eq!(world.server.coming_msk(&world.channel).unwrap(), (msk(2), world.now + secs(2)));
    world.run(secs(2));
    assert_eq!(world.current(), msk(2));
    world.client("c2").loses_msks = false;
    world.run(secs(9));
    assert_eq!((world.confirmed("c2"), world.sent_to("c3")), (Some(msk(2)), vec![1]));
    world.run(secs(11));
    assert!(world.log.contains(&"destroy 00170001".to_owned()));
    let mut counters: Vec<_> = world.sent.iter().map(|sent| (&sent.client, sent.counter)).collect();
    counters.sort_unstable();
    assert!(counters.windows(2).all(|pair| pair[0] != pair[1]), "{counters:?}");
}

#[test]
fn restarted_broadcaster_takes_a_new_mtk_and_receivers_keep_their_counters() {
    let mut world = World::new(&["c1"]);
    world.packets = 65_000; // the sequence number is about to wrap
    world.join("c1");
    world.run(secs(20));
    let before = *world.broadcaster.mki().unwrap();
    world.restart_broadcaster();
    assert_ne!(*world.broadcaster.mki().unwrap(), before);
    assert_eq!(world.broadcaster.streams()[0].roc, Roc(1));
    world.run(secs(2));
    assert!(world.missed("c1", 65_001).is_empty());
}

#[test]
fn broadcaster_does_not_take_an_msk_it_has_destroyed() {
    let mut world = World::new(&["c1", "c2"]);
    world.join_all(&["c1", "c2"]);
    let old = world.server.document(&world.channel, None).unwrap();
    world.expel("c2");
    world.run(secs(11));
    let mut document = world.server.document(&world.channel, None).unwrap();
    document.version += 1;
    document.msks.extend(old.msks);
    world.publish(&document);
    let held: Vec<_> = world.broadcaster.msk_ids().collect();
    assert_eq!(held, [msk(2)], "MTK IDs under MSK 1 could be used twice");
}

#[test]
fn expulsion_costs_a_small_record_for_each_member_and_a_confirmation_costs_one() {
    let names = ["c1", "c2", "c3", "c4", "c5"];
    let mut world = World::new(&names);
    world.join_all(&names);
    world.run(secs(1));
    world.keep();
    assert_eq!(world.keep(), 0, "nothing has changed");
    names.iter().for_each(|name| world.client(name).loses_answers = true);
    world.expel("c5");
    let wall = world.wall();
    let records = world.server.take_changes(world.now, wall);
    // The channel, the key number, who was expelled and is no member any more, and four counters.
    let of_table = |table: u8| records.iter().filter(move |record| record.key[0] == table);
    let tables: Vec<_> = (6..=15).map(|table| of_table(table).count()).collect();
    assert_eq!(tables, [0, 4, 1, 1, 0, 1, 1, 0, 0, 0]);
    for counter in of_table(7) {
        assert_eq!((counter.key.len(), counter.value.as_ref().unwrap().len()), (3, 4));
    }
    world.kept.take(records);
    world.client("c1").loses_answers = false;
    let channel = world.channel.clone();
    world.command(|server, now, _| server.resend(&channel, &"c1".into(), now));
    let wall = world.wall();
    let tables = world.server.take_changes(world.now, wall).into_iter().map(|record| record.key[0]);
    assert_eq!(tables.collect::<Vec<_>>(), [7, 11], "a counter and a confirmation");
}

#[test]
fn time_of_day_that_is_set_back_holds_nothing_up() {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c1", "c2", "c3"]);
    world.run(secs(1));
    world.client("c2").loses_msks = true;
    world.expel("c3");
    world.run(secs(3));
    world.keep();
    world.restore_server(world.wall() - secs(86_400));
    let (coming, deadline) = world.server.coming_msk(&world.channel).unwrap();
    assert_eq!((coming, deadline), (msk(2), world.now + secs(5)), "the deadline of the settings");
    world.run(secs(5));
    assert_eq!(world.current(), msk(2));
    world.run(secs(10));
    assert!(world.log.contains(&"destroy 00170001".to_owned()));
}

#[test]
fn time_that_has_passed_meanwhile_is_not_waited_for_again() {
    let mut world = World::new(&["c1", "c2", "c3"]);
    world.join_all(&["c1", "c2", "c3"]);
    world.run(secs(1));
    world.client("c2").loses_msks = true;
    world.expel("c3");
    world.keep();
    world.restore_server(world.wall() + secs(60));
    assert_eq!(world.current(), msk(2), "the deadline has passed");
}

#[test]
fn channel_opened_again_has_no_member_of_the_one_that_was_closed() {
    let mut world = World::new(&["c1", "c2"]);
    world.join_all(&["c1", "c2"]);
    let channel = world.channel.clone();
    world.command(|server, now, random| server.expel(&channel, &["c2".into()], now, random));
    world.run(secs(1));
    world.keep();
    let spec = world.server.spec(&channel).unwrap().clone();
    world.command(|server, _, _| server.close_channel(&channel));
    world.command(|server, now, random| server.open_channel(&channel, spec, now, random));
    world.restart_server();
    assert_eq!(world.server.members(&channel).count(), 0);
    assert_eq!(world.server.expelled(&channel).count(), 0);
    world.join("c2");
    assert_eq!(world.confirmed("c2"), Some(world.current()));
    world.command(|server, _, _| server.close_channel(&channel));
    world.restart_server();
    assert_eq!(world.server.channels().count(), 0);
}

#[test]
fn channel_closed_behind_a_leave_and_a_readmission_leaves_nothing_behind() {
    let mut world = World::new(&["c1", "c2"]);
    world.join_all(&["c1", "c2"]);
    world.expel("c2");
    world.keep();
    let channel = world.channel.clone();
    world.leave("c1");
    assert!(world.server.readmit(&channel, &"c2".into()).unwrap());
    world.command(|server, _, _| server.close_channel(&channel));
    world.restart_server();
    assert_eq!(world.server.channels().count(), 0);
}

#[test]
fn records_that_contradict_each_other_are_refused_and_told() {
    let mut world = World::new(&["c1", "c2"]);
    world.join_all(&["c1", "c2"]);
    world.expel("c2");
    world.run(secs(1));
    world.keep();
    let refused = |change: &dyn Fn(&mut Kept)| {
        let mut kept = world.kept.clone();
        change(&mut kept);
        let (now, wall) = (world.now, world.wall());
        let restored = KeyServer::restore(Timing::default(), kept.records(), now, wall);
        restored.unwrap_err().to_string()
    };
    let of = |table: u8, rest: &[&[u8]]| [&[table], &*rest.concat()].concat();
    let channel = world.channel.as_str().as_bytes();
    let member = |name: &str| of(11, &[&[0, channel.len() as u8], channel, name.as_bytes()]);
    let gone = |key: Vec<u8>| move |kept: &mut Kept| drop(kept.0.remove(&key).unwrap());
    for (told, text) in [
        (refused(&gone(of(7, &[b"c1"]))), "client c1 has no counter"),
        (refused(&gone(of(6, &[b"c1"]))), "a counter of client c1, but no MUK"),
        (refused(&gone(of(9, &[channel]))), "channel group 17, which is not open"),
        (refused(&gone(of(8, &[&DOMAIN.0, &KEY_GROUP.to_be_bytes()]))), "the last one given was 0"),
        (
            refused(&|kept: &mut Kept| drop(kept.0.insert(member("c2"), vec![0; 3]))),
            "client c2 is a member of group 17 and expelled from it",
        ),
        (
            refused(&|kept: &mut Kept| drop(kept.0.insert(member("c9"), vec![0; 3]))),
            "client c9, a member of group 17, is not on the roster",
        ),
        (
            refused(&|kept: &mut Kept| drop(kept.0.insert(member("c1"), vec![1, 0, 9, 0, 0]))),
            "client c1 holds an MSK that channel group 17 does not have yet",
        ),
        (
            refused(&|kept: &mut Kept| {
                let copy = kept.0[&of(9, &[channel])].clone();
                drop(kept.0.insert(of(9, &[b"other"]), copy));
            }),
            "belongs to channels group 17 and other",
        ),
        (refused(&|kept: &mut Kept| drop(kept.0.insert(vec![1], vec![]))), "table 1"),
        (refused(&|kept: &mut Kept| drop(kept.0.insert(vec![99], vec![]))), "table 99"),
        (refused(&|kept: &mut Kept| kept.0.get_mut(&of(7, &[b"c1"])).unwrap().push(0)), "table 7"),
    ] {
        assert!(told.contains(text), "{told}");
    }
}

#[test]
fn records_of_a_broadcaster_that_contradict_each_other_are_refused_and_told() {
    let mut world = World::new(&["c1"]);
    world.run(secs(1));
    world.keep();
    let channel = world.channel.as_str().as_bytes();
    let msk_key = [&[17, 0, channel.len() as u8], channel, &msk(1).to_bytes()].concat();
    let refused = |change: &dyn Fn(&mut Kept)| {
        let mut kept = world.kept_of_broadcaster.clone();
        change(&mut kept);
        let (timing, random) = (BroadcastTiming::default(), &mut |out: &mut [u8]| out.fill(1));
        let records = kept.records();
        let restored = Broadcaster::restore(&world.channel, timing, records, world.now, random);
        restored.unwrap_err().to_string()
    };
    let told = refused(&|kept| drop(kept.0.remove(&msk_key).unwrap()));
    assert!(told.contains("MSK 00170001 is in use, but it is not held"), "{told}");
    let told = refused(&|kept| {
        let msk = kept.0[&msk_key].clone();
        let newer = [&msk_key[..msk_key.len() - 1], &[9]].concat();
        kept.0.insert(newer, msk);
    });
    assert!(told.contains("MSK 00170009 is held, but it was never taken"), "{told}");
    let told = refused(&|kept| drop(kept.0.insert(vec![6], vec![])));
    assert!(told.contains("table 6"), "{told}");
}
