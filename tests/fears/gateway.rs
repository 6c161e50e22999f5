//! The running gateway does not stop, does not let go, or disturbs one group for the sake of another.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use mcast_srtp::{
    Gateway, Reject,
    ids::GroupId,
    keys::issue::open_verification,
    rx::{Event, GroupStats, Limits},
};

use crate::{
    group::{Keys, TALKER, media, muk, muk_id},
    sockets::{free_port, sender, spec, wait_until},
};

/// Sends media packets 1, 2, 3 and so on to some groups until it is told to stop; returns how many.
/// It runs ahead of what has been heard by [`AHEAD`] at most, so that no socket overflows.
fn talk(
    keys: Keys,
    groups: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    heard: impl Fn() -> u64 + Send + 'static,
) -> thread::JoinHandle<u64> {
    thread::spawn(move || {
        let (socket, key) = (sender(groups[0].ip(), None), keys.traffic_key(1, 1));
        let mut index = 0;
        while !stop.load(Ordering::Relaxed) {
            if index < heard().saturating_add(AHEAD) {
                index += 1;
                let packet = media(&key, TALKER, index);
                // A group that nobody has joined at the moment is no fault.
                groups.iter().for_each(|group| drop(socket.send(&packet, *group)));
            }
            thread::sleep(Duration::from_micros(500));
        }
        index
    })
}

fn stats_of(gateway: &Gateway, group: GroupId) -> GroupStats {
    gateway.stats().groups.iter().find(|(id, ..)| *id == group).unwrap().2
}

fn only_group(gateway: &Gateway) -> GroupStats {
    stats_of(gateway, GroupId(0))
}

#[test]
fn gateway_stops_while_traffic_flows_and_is_silent_afterwards() {
    let (keys, stop) = (Keys::default(), Arc::new(AtomicBool::new(false)));
    let group = SocketAddr::new([239, 255, 74, 1].into(), free_port());
    let talker = talk(keys, vec![group], Arc::clone(&stop), || u64::MAX);
    for lanes in [1, 3] {
        let (heard, after_stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let stopped = Arc::new(AtomicBool::new(false));
        let (counts, late, over) = (heard.clone(), after_stop.clone(), stopped.clone());
        let gateway = Gateway::builder()
            .lanes(lanes)
            .muk(muk_id("c1"), muk("c1"))
            .group(spec(group).with_key_message(keys.msk_message(1, 1)))
            .start(move |_| {
                counts.fetch_add(1, Ordering::Relaxed);
                late.fetch_add(usize::from(over.load(Ordering::SeqCst)), Ordering::Relaxed);
            })
            .unwrap();
        sender(group.ip(), None).send(&keys.mtk_message(1, 1), group).unwrap();
        wait_until("traffic", || heard.load(Ordering::Relaxed) > 50);
        gateway.stop();
        stopped.store(true, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(20));
        assert_eq!(after_stop.load(Ordering::Relaxed), 0);
    }
    stop.store(true, Ordering::Relaxed);
    talker.join().unwrap();
}

#[test]
fn groups_that_are_joined_and_left_during_traffic_disturb_no_other() {
    let (keys, stop) = (Keys::default(), Arc::new(AtomicBool::new(false)));
    let port = free_port();
    let [steady, restless] = [2, 3].map(|n| SocketAddr::new([239, 255, 74, n].into(), port));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let left = Arc::new(Mutex::new(BTreeSet::new()));
    let (media_of_steady, left_before) = (Arc::clone(&heard), Arc::clone(&left));
    // One lane, so that the groups share a thread.
    let mut gateway = Gateway::builder()
        .muk(muk_id("c1"), muk("c1"))
        .group(spec(steady).with_key_message(keys.msk_message(1, 1)))
        .start(move |event| {
            if let Event::Media(media) = event {
                assert!(!left_before.lock().unwrap().contains(&media.group), "left, and heard");
                if media.group == GroupId(0) {
                    media_of_steady.lock().unwrap().push(media.index.value());
                }
            }
        })
        .unwrap();
    sender(steady.ip(), None).send(&keys.mtk_message(1, 1), steady).unwrap();
    wait_until("the key", || gateway.stats().keys.mtk == 1);
    let so_far = Arc::clone(&heard);
    let talker = talk(keys, vec![steady, restless], Arc::clone(&stop), move || {
        so_far.lock().unwrap().last().copied().unwrap_or(0)
    });
    for counter in 2..12 {
        let spec = spec(restless).with_key_message(keys.msk_message(1, counter));
        let group = gateway.join(spec).unwrap();
        wait_until("traffic", || stats_of(&gateway, group).media > 10);
        gateway.leave(group).unwrap();
        left.lock().unwrap().insert(group);
        let so_far = only_group(&gateway).media;
        wait_until("traffic of the other", || only_group(&gateway).media > so_far + 3);
        // The next group gets its number.
        left.lock().unwrap().clear();
    }
    stop.store(true, Ordering::Relaxed);
    let sent = talker.join().unwrap();
    wait_until("the last packet", || only_group(&gateway).media == sent);
    assert_eq!(*heard.lock().unwrap(), (1..=sent).collect::<Vec<_>>());
    assert_eq!(only_group(&gateway).rejects.total(), 0);
    gateway.stop();
}

#[test]
fn msk_over_unicast_is_confirmed_to_its_sender_once_and_replays_get_no_answer() {
    let keys = Keys::default();
    let group = SocketAddr::new([239, 255, 74, 4].into(), free_port());
    let gateway = Gateway::builder()
        .muk(muk_id("c1"), muk("c1"))
        .key_address("127.0.0.1:0".parse().unwrap())
        .group(spec(group))
        .start(|_| ())
        .unwrap();
    let key_address = gateway.key_address().unwrap();
    let [server, attacker] =
        [1, 2].map(|host| UdpSocket::bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap());
    for socket in [&server, &attacker] {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    }
    let answer = |socket: &UdpSocket| {
        let mut octets = [0; 2048];
        let (len, from) = socket.recv_from(&mut octets).unwrap();
        assert_eq!(from, key_address);
        open_verification(&octets[..len], &keys.msk(1).rand, &muk_id("c1"), &muk("c1"))
    };
    let first = keys.msk_message(1, 7);
    server.send_to(&first, key_address).unwrap();
    assert_eq!(answer(&server), Ok(7));
    // Neither a copy, nor a forged or foreign message, makes the gateway send anything.
    let mut forged = keys.msk_message(1, 8);
    *forged.last_mut().unwrap() ^= 1;
    for message in [&first, &forged, &b"\x01noise".to_vec(), &keys.mtk_message(9, 1)] {
        attacker.send_to(message, key_address).unwrap();
    }
    let long = [1; 3000];
    attacker.send_to(&long, key_address).unwrap();
    wait_until("refused", || gateway.stats().keys.rejects.total() == 5);
    let rejects = gateway.stats().keys.rejects;
    for verdict in [
        Reject::KeyReplayed,
        Reject::KeyAuthFailed,
        Reject::MikeyMalformed,
        Reject::UnknownMsk,
        Reject::Oversized,
    ] {
        assert_eq!(rejects.count(verdict), 1, "{verdict}");
    }
    // The server sends it again, with a new counter, and asks for no answer the third time.
    server.send_to(&keys.msk_message(1, 9), key_address).unwrap();
    assert_eq!(answer(&server), Ok(9));
    let quiet = keys.msk_message_with(1, 10, |issue| issue.verify = false);
    server.send_to(&quiet, key_address).unwrap();
    wait_until("accepted", || gateway.stats().keys.msk == 3);
    assert_eq!(gateway.stats().keys.verifications, 2);
    attacker.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert!(attacker.recv_from(&mut [0; 2048]).is_err(), "the attacker has got an answer");

    let multicast = sender(group.ip(), None);
    multicast.send(&keys.mtk_message(1, 1), group).unwrap();
    multicast.send(&media(&keys.traffic_key(1, 1), TALKER, 1), group).unwrap();
    wait_until("media", || only_group(&gateway).media == 1);
}

#[test]
fn flood_of_key_messages_is_counted_and_the_next_good_one_is_accepted() {
    let keys = Keys::default();
    let group = SocketAddr::new([239, 255, 74, 5].into(), free_port());
    let mut limits = Limits::default();
    limits.key_messages_per_second = u32::MAX;
    let gateway = Gateway::builder()
        .muk(muk_id("c1"), muk("c1"))
        .limits(limits)
        .key_queue(2)
        .group(spec(group).with_key_message(keys.msk_message(1, 1)))
        .start(|_| ())
        .unwrap();
    let (multicast, forged) = (sender(group.ip(), None), Keys::of_group(9).mtk_message(1, 1));
    for _ in 0..50 {
        for _ in 0..100 {
            multicast.send(&forged, group).unwrap();
        }
        thread::yield_now();
    }
    // Every one was refused by the key thread, by the full queue, or by a full socket.
    let accounted = || {
        let stats = only_group(&gateway);
        gateway.stats().keys.rejects.count(Reject::UnknownMsk)
            + stats.rejects.count(Reject::MikeyQueueFull)
            + stats.socket_drops
    };
    wait_until("accounted for", || accounted() == 5000);
    let stats = only_group(&gateway);
    let full = stats.rejects.count(Reject::MikeyQueueFull);
    assert_eq!((stats.key_messages + full, stats.rejects.total()), (stats.datagrams, full));
    assert!(full > 0);
    // Repeats are what an MTK message survives a flood by.
    wait_until("accepted", || {
        multicast.send(&keys.mtk_message(1, 1), group).unwrap();
        gateway.stats().keys.mtk == 1
    });
}

#[test]
fn flood_of_key_messages_to_one_group_leaves_the_key_thread_to_the_others() {
    let [keys, quiet] = [Keys::default(), Keys::of_group(0x18)];
    let port = free_port();
    let [flooded, other] = [6, 7].map(|n| SocketAddr::new([239, 255, 74, n].into(), port));
    let mut gateway = Gateway::builder()
        .muk(muk_id("c1"), muk("c1"))
        .group(spec(flooded).with_key_message(keys.msk_message(1, 1)))
        .start(|_| ())
        .unwrap();
    let spec = spec(other).with_key_message(quiet.msk_message(1, 2));
    let other_group = gateway.join(spec).unwrap();
    let multicast = sender(flooded.ip(), None);
    let mut forged = keys.mtk_message(1, 1);
    *forged.last_mut().unwrap() ^= 1;
    // Each of these once: what got lost would be missed.
    for mtk in 1..=40 {
        (0..50).for_each(|_| multicast.send(&forged, flooded).unwrap());
        multicast.send(&quiet.mtk_message(1, mtk), other).unwrap();
        wait_until("the other's key", || gateway.stats().keys.mtk == u64::from(mtk));
    }
    let stats = only_group(&gateway);
    let refused = |reject| stats.rejects.count(reject);
    assert!(refused(Reject::KeyRateLimit) > 0 && refused(Reject::MikeyQueueFull) == 0);
    assert_eq!(stats_of(&gateway, other_group).rejects.total(), 0);
}

/// Packets that a socket's buffer holds easily.
const AHEAD: u64 = 50;
