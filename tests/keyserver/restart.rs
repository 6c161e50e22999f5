//! Fear: after a crash a counter, a key number or an MTK ID is used twice, or clients lose their keys.

use mcast_srtp::ids::Roc;

use crate::world::{World, msk, secs};

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
