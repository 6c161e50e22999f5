//! With many groups, one goes short or hears another; IPv6 or source filters make a difference.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use mcast_srtp::{
    Gateway,
    group::MediaSpec,
    ids::{GroupId, Ssrc},
    rx::{Event, GroupStats},
    wire::burst::BurstMessage,
};

use crate::{
    group::{Keys, TALKER, burst, media, muk, muk_id},
    private_net,
    sockets::{free_port, sender, spec, spec_of, wait_until},
};

/// Indexes of the media packets heard in each group.
type Heard = Arc<Mutex<BTreeMap<GroupId, Vec<u64>>>>;

fn gateway(lanes: usize) -> (Gateway, Heard) {
    let heard = Heard::default();
    let note = Arc::clone(&heard);
    let gateway = Gateway::builder()
        .lanes(lanes)
        .muk(muk_id("c1"), muk("c1"))
        .start(move |event: Event<'_>| {
            if let Event::Media(media) = event {
                note.lock().unwrap().entry(media.group).or_default().push(media.index.value());
            }
        })
        .unwrap();
    (gateway, heard)
}

#[test]
fn two_hundred_groups_on_several_lanes_change_keys_and_lose_nothing() {
    const GROUPS: u16 = 200;
    let (mut gateway, heard) = gateway(3);
    let port = free_port();
    let groups: Vec<_> = (1..=GROUPS)
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            let address = SocketAddr::new([239, 255, 100 + high, low].into(), port);
            let keys = Keys::of_group(number);
            let msk = keys.msk_message(1, number.into());
            let id = gateway.join(spec(address).with_key_message(msk)).unwrap();
            (id, address, keys)
        })
        .collect();
    let socket = sender(groups[0].1.ip(), None);
    for mtk in 1..=3_u16 {
        // The media first: every group waits for its key.
        for (_, address, keys) in &groups {
            let key = keys.traffic_key(1, mtk);
            for n in 0..3 {
                let packet = media(&key, TALKER, u64::from(mtk) * 10 + n);
                socket.send(&packet, *address).unwrap();
            }
            socket.send(&burst(&key, mtk.into(), BurstMessage::Idle), *address).unwrap();
            socket.send(&keys.mtk_message(1, mtk), *address).unwrap();
        }
        let all = |got: fn(&GroupStats) -> u64, each: u16| {
            let sum: u64 = gateway.stats().groups.iter().map(|(.., stats)| got(stats)).sum();
            sum == u64::from(each) * u64::from(GROUPS)
        };
        wait_until("media", || all(|stats| stats.media, 3 * mtk));
        wait_until("burst control", || all(|stats| stats.burst, mtk));
    }
    let heard = heard.lock().unwrap();
    let stats = gateway.stats();
    for ((id, ..), (_, name, stats)) in groups.iter().zip(&stats.groups) {
        assert_eq!(heard[id], [10, 11, 12, 20, 21, 22, 30, 31, 32], "{name}");
        assert_eq!((stats.datagrams, stats.rejects.total()), (15, 0), "{name}: {stats}");
    }
    assert_eq!((stats.keys.msk, stats.keys.mtk), (200, 600));
}

/// Packet 1 from the wanted sender, 2 from another, 3 from the wanted one again: which are heard.
fn heard_of(media_spec: MediaSpec, wanted: IpAddr, other: Option<IpAddr>) -> Vec<u64> {
    let (mut gateway, heard) = gateway(1);
    let (keys, to) = (Keys::default(), SocketAddr::new(media_spec.group, media_spec.port));
    let joined = gateway.join(spec_of(media_spec).with_key_message(keys.msk_message(1, 1)));
    let group = joined.unwrap();
    let key = keys.traffic_key(1, 1);
    let send = |from, datagram: &[u8]| sender(to.ip(), Some(from)).send(datagram, to).unwrap();
    send(wanted, &keys.mtk_message(1, 1));
    send(wanted, &media(&key, TALKER, 1));
    if let Some(other) = other {
        send(other, &media(&key, Ssrc(2), 2));
    }
    // Another stream, so that the source address decides nothing but the delivery.
    send(wanted, &media(&key, Ssrc(3), 3));
    wait_until("the last packet", || {
        heard.lock().unwrap().get(&group).is_some_and(|heard| heard.contains(&3))
    });
    heard.lock().unwrap()[&group].clone()
}

#[test]
fn source_specific_group_hears_its_sender_alone() {
    let [wanted, other] = [2, 3].map(|host| IpAddr::from([127, 0, 0, host]));
    let media = MediaSpec::rtp([232, 255, 74, 1].into(), free_port());
    assert_eq!(heard_of(media.clone().from_source(wanted), wanted, Some(other)), [1, 3]);
    let media = MediaSpec::rtp([239, 255, 74, 6].into(), media.port);
    assert_eq!(heard_of(media.clone(), wanted, Some(other)), [1, 2, 3]);
    let group = SocketAddr::new([232, 255, 74, 1].into(), 1);
    let (mut gateway, _) = gateway(1);
    assert!(gateway.join(spec(group)).unwrap_err().to_string().contains("source-filter"));
}

#[test]
fn ipv6_groups_change_keys_like_the_others() {
    let name = "many_groups::ipv6_groups_change_keys_like_the_others";
    private_net::run(name, true, || {
        let (port, localhost) = (free_port(), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]));
        let any = MediaSpec::rtp("ff15::74:1".parse().unwrap(), port);
        assert_eq!(heard_of(any, localhost, Some(localhost)), [1, 2, 3]);
        let link = MediaSpec::rtp("ff02::74:1".parse().unwrap(), port);
        assert_eq!(heard_of(link, localhost, None), [1, 3]);
        let specific = MediaSpec::rtp("ff35::74:1".parse().unwrap(), port).from_source(localhost);
        assert_eq!(heard_of(specific, localhost, None), [1, 3]);
    });
}
