//! One group is spread over workers, and a packet is lost, doubled, or out of its order for that.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use mcast_srtp::{
    Gateway, Reject,
    ids::{GroupId, Ssrc},
    runtime::GatewayBuilder,
    rx::{Event, GroupStats, Limits},
    wire::burst::{BurstMessage, Taken},
};

use crate::{
    group::{Keys, SERVER, burst, media, muk, muk_id},
    sockets::{free_port, sender, spec, wait_until},
};

/// Indexes of what was heard of each stream, in order.
type Heard = Arc<Mutex<BTreeMap<Ssrc, Vec<u64>>>>;

fn listening(builder: GatewayBuilder, group: SocketAddr, keys: &Keys) -> (Gateway, Heard) {
    let heard = Heard::default();
    let notes = Arc::clone(&heard);
    let gateway = builder
        .muk(muk_id("c1"), muk("c1"))
        .group(spec(group).with_key_message(keys.msk_message(1, 1)))
        .start(move |event| {
            if let Event::Media(media) = event {
                notes.lock().unwrap().entry(media.ssrc).or_default().push(media.index.value());
            }
        })
        .unwrap();
    (gateway, heard)
}

fn stats(gateway: &Gateway) -> GroupStats {
    gateway.stats().groups[0].2
}

/// Every datagram so far has its verdict; those held back have none.
fn settled(stats: &GroupStats) -> bool {
    stats.datagrams == stats.media + stats.burst + stats.key_messages + stats.rejects.total()
}

#[test]
fn workers_deliver_what_one_lane_delivers_over_key_changes_and_disorder() {
    const STREAMS: u32 = 40;
    let (keys, group) = (Keys::default(), SocketAddr::new([239, 255, 76, 1].into(), free_port()));
    let (one, heard_by_one) = listening(Gateway::builder(), group, &keys);
    let (three, heard_by_three) = listening(Gateway::builder().workers(3), group, &keys);
    let multicast = sender(group.ip(), None);
    let mut sent = 0;
    let mut send = |octets: &[u8]| {
        multicast.send(octets, group).unwrap();
        sent += 1;
        if sent % 50 == 0 {
            for gateway in [&one, &three] {
                wait_until("received", || stats(gateway).datagrams == sent);
            }
        }
    };
    for mtk in 1..=12_u16 {
        let (key, first) = (keys.traffic_key(1, mtk), u64::from(mtk) * 10);
        send(&keys.mtk_message(1, mtk));
        for n in 0..10 {
            // Over a wrap of the sequence number, some late, some twice, in another order each time.
            let index = 0xffc0 + first + (n * 7 + u64::from(mtk)) % 10;
            for stream in 0..STREAMS {
                let ssrc = Ssrc((stream * 29) % STREAMS);
                send(&media(&key, ssrc, index));
                if (stream + u32::from(mtk)).is_multiple_of(11) {
                    send(&media(&key, ssrc, index));
                }
            }
        }
        let taken = BurstMessage::Taken(Taken { talker: SERVER, ..Taken::default() });
        send(&burst(&key, mtk.into(), taken));
        send(&[0x33; 100]);
        // What is held back would meet the limit of its source.
        for gateway in [&one, &three] {
            wait_until("settled", || settled(&stats(gateway)));
        }
    }
    for gateway in [&one, &three] {
        wait_until("settled", || stats(gateway).datagrams == sent && settled(&stats(gateway)));
    }
    let [of_one, of_three] = [heard_by_one, heard_by_three].map(|heard| {
        let mut heard = std::mem::take(&mut *heard.lock().unwrap());
        // A packet that waited for its key may be heard behind a later one: that is a race.
        heard.values_mut().for_each(|indexes| indexes.sort_unstable());
        heard
    });
    assert_eq!(of_one, of_three);
    assert!(of_one.len() == STREAMS as usize && of_one.values().all(|list| list.len() == 120));
    let same = |gateway: &Gateway| {
        let GroupStats { datagrams, octets, media, burst, streams, rejects, .. } = stats(gateway);
        let replays = rejects.count(Reject::Replayed) + rejects.count(Reject::TooOld);
        (datagrams, octets, media, burst, streams, replays, rejects.total())
    };
    assert_eq!(same(&one), same(&three));
    // Key messages have gone to the key plane once.
    assert_eq!((one.stats().keys.mtk, three.stats().keys.mtk), (12, 12));
    assert_eq!(three.stats().keys.rejects.total(), 0);
    three.stop();
}

#[test]
fn packets_of_one_stream_stay_in_order_whatever_worker_they_go_to() {
    let (keys, group) = (Keys::default(), SocketAddr::new([239, 255, 76, 2].into(), free_port()));
    let (gateway, heard) = listening(Gateway::builder().workers(4), group, &keys);
    let (multicast, key) = (sender(group.ip(), None), keys.traffic_key(1, 1));
    multicast.send(&keys.mtk_message(1, 1), group).unwrap();
    wait_until("the key", || gateway.stats().keys.mtk == 1);
    for index in 1..=300 {
        for stream in 0..16 {
            multicast.send(&media(&key, Ssrc(stream), index), group).unwrap();
        }
        wait_until("received", || stats(&gateway).datagrams == 1 + 16 * index);
    }
    wait_until("heard", || stats(&gateway).media == 16 * 300);
    let heard = heard.lock().unwrap();
    assert!(heard.len() == 16 && heard.values().all(|list| list.iter().copied().eq(1..=300)));
    assert_eq!(stats(&gateway).rejects.total(), 0);
}

#[test]
fn worker_that_cannot_keep_up_costs_its_own_packets_only_and_they_are_counted() {
    let (keys, group) = (Keys::default(), SocketAddr::new([239, 255, 76, 3].into(), free_port()));
    let blocked = Arc::new(Mutex::new(()));
    let (gate, heard) = (Arc::clone(&blocked), Arc::new(Mutex::new(BTreeMap::new())));
    let notes = Arc::clone(&heard);
    let gateway = Gateway::builder()
        .workers(2)
        .worker_queue(2)
        .muk(muk_id("c1"), muk("c1"))
        .group(spec(group).with_key_message(keys.msk_message(1, 1)))
        .start(move |event| {
            if let Event::Media(media) = event {
                if media.ssrc == SLOW {
                    drop(gate.lock().unwrap());
                }
                *notes.lock().unwrap().entry(media.ssrc).or_insert(0) += 1;
            }
        })
        .unwrap();
    let (multicast, key) = (sender(group.ip(), None), keys.traffic_key(1, 1));
    multicast.send(&keys.mtk_message(1, 1), group).unwrap();
    wait_until("the key", || gateway.stats().keys.mtk == 1);
    let guard = blocked.lock().unwrap();
    for index in 1..=500 {
        multicast.send(&media(&key, SLOW, index), group).unwrap();
        multicast.send(&media(&key, QUICK, index), group).unwrap();
        wait_until("the other worker", || heard.lock().unwrap().get(&QUICK) == Some(&index));
    }
    let lost = stats(&gateway).rejects.count(Reject::WorkerQueueFull);
    assert!(lost > 0);
    drop(guard);
    wait_until("settled", || settled(&stats(&gateway)));
    let stats = stats(&gateway);
    assert_eq!((stats.media, stats.rejects.total()), (1000 - lost, lost));
    // It goes on where it was: the lost ones are a gap like any other.
    multicast.send(&media(&key, SLOW, 501), group).unwrap();
    wait_until("heard again", || heard.lock().unwrap()[&SLOW] == 501 - lost);
}

#[test]
fn what_has_been_received_is_delivered_before_a_group_is_left() {
    let (keys, group) = (Keys::default(), SocketAddr::new([239, 255, 76, 4].into(), free_port()));
    let heard = Arc::new(AtomicUsize::new(0));
    let notes = Arc::clone(&heard);
    let mut gateway = Gateway::builder()
        .workers(3)
        .muk(muk_id("c1"), muk("c1"))
        .start(move |event| {
            if let Event::Media(_) = event {
                notes.fetch_add(1, Ordering::SeqCst);
            }
        })
        .unwrap();
    let (multicast, key) = (sender(group.ip(), None), keys.traffic_key(1, 1));
    for round in 1..=20_u32 {
        let spec = spec(group).with_key_message(keys.msk_message(1, round));
        let id = gateway.join(spec).unwrap();
        assert_eq!(id, GroupId(0));
        // Accepted once; the group that comes later finds it by its repeat.
        multicast.send(&keys.mtk_message(1, 1), group).unwrap();
        multicast.send(&media(&key, SLOW, round.into()), group).unwrap();
        wait_until("the key", || stats(&gateway).media == 1);
        for stream in 100..200 {
            multicast.send(&media(&key, Ssrc(stream), round.into()), group).unwrap();
        }
        wait_until("received", || stats(&gateway).datagrams == 102);
        gateway.leave(id).unwrap();
        assert_eq!(heard.swap(0, Ordering::SeqCst), 101, "round {round}");
    }
}

#[test]
fn callback_that_panics_costs_one_event_and_no_thread() {
    let (keys, group) = (Keys::default(), SocketAddr::new([239, 255, 76, 5].into(), free_port()));
    let port = free_port();
    for (workers, group) in [(0, group), (2, SocketAddr::new([239, 255, 76, 6].into(), port))] {
        let heard = Arc::new(AtomicUsize::new(0));
        let notes = Arc::clone(&heard);
        let gateway = Gateway::builder()
            .workers(workers)
            .limits(Limits::default())
            .muk(muk_id("c1"), muk("c1"))
            .group(spec(group).with_key_message(keys.msk_message(1, 1)))
            .start(move |event| match event {
                Event::Key(_) => std::panic::resume_unwind(Box::new("key event")),
                Event::Media(media) if media.index.value() % 3 == 0 => {
                    std::panic::resume_unwind(Box::new("every third"))
                }
                Event::Media(_) => {
                    notes.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            })
            .unwrap();
        let (multicast, key) = (sender(group.ip(), None), keys.traffic_key(1, 1));
        multicast.send(&keys.mtk_message(1, 1), group).unwrap();
        wait_until("the key", || gateway.stats().keys.mtk == 1);
        for index in 1..=30 {
            (0..4).for_each(|n| multicast.send(&media(&key, Ssrc(n), index), group).unwrap());
        }
        wait_until("all", || stats(&gateway).media == 120);
        wait_until("heard", || heard.load(Ordering::Relaxed) == 80);
        // One MSK, one MTK, ten packets of each stream.
        wait_until("counted", || gateway.stats().callback_panics == 2 + 40);
        assert_eq!(gateway.stats().threads_ended, 0);
    }
}

/// Streams of different workers, out of two.
const SLOW: Ssrc = Ssrc(1);
const QUICK: Ssrc = Ssrc(2);
