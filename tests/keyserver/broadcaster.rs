//! Fear: the broadcaster uses a key before it is announced, an index twice, or protects less than
//! everything.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mcast_srtp::{
    Error, Reject,
    broadcast::{
        BroadcastAction, BroadcastTiming, Broadcaster, ChannelDocument, DocumentMsk, Lead,
    },
    ids::{MtkId, Ssrc},
    keys::{Interval, Msk},
    rx::Event,
    secret::SecretBytes,
    srtp::Profile,
    wire::burst::{BurstEvent, BurstMessage, Release, Taken},
};

use crate::world::{DOMAIN, Entropy, FRAME, TALKER, World, msk, rtp, secs};

const SERVER: Ssrc = Ssrc(0x5e);

/// A document that lists MSKs with these numbers, each with MTK IDs up to `high`.
pub(crate) fn document(version: u64, numbers: &[u16], in_force: u16, high: u16) -> ChannelDocument {
    let listed = |number: &u16| DocumentMsk {
        msk_id: msk(*number),
        msk: Arc::new(Msk {
            key: SecretBytes::new(&[*number as u8; 16]),
            rand: vec![*number as u8; 16],
        }),
        interval: Interval { low: MtkId(0), high: MtkId(high) },
    };
    ChannelDocument {
        channel: "group 17".into(),
        broadcaster: None,
        version,
        domain: DOMAIN,
        profile: Profile::default(),
        mtk_period: None,
        msks: numbers.iter().map(listed).collect(),
        in_force: msk(in_force),
    }
}

/// A broadcaster that follows a document of MSK 1 alone.
fn on_the_air(lead: Lead, high: u16) -> (Broadcaster, Instant, Entropy) {
    let (now, mut entropy) = (Instant::now(), Entropy(5));
    let mut broadcaster = Broadcaster::new(&"group 17".into(), BroadcastTiming::default());
    let random = &mut |out: &mut [u8]| entropy.fill(out);
    broadcaster.follow(&document(1, &[1], 1, high), now, random).unwrap();
    if lead == Lead::None {
        broadcaster.new_mtk(lead, now, random).unwrap();
    }
    (broadcaster, now, entropy)
}

fn mtk(broadcaster: &Broadcaster) -> Option<u16> {
    broadcaster.mki().map(|mki| mki.split_mbms().unwrap().1.0)
}

#[test]
fn mtk_message_precedes_the_first_packet_under_its_key() {
    let (mut broadcaster, now, mut entropy) = on_the_air(Lead::Usual, 9);
    let protect = |b: &mut Broadcaster, at| b.protect_rtp(&mut rtp(1), now + at);
    let early = protect(&mut broadcaster, Duration::from_millis(199)).unwrap_err();
    assert!(early.to_string().contains("no traffic key is in force"));
    protect(&mut broadcaster, Duration::from_millis(200)).unwrap();
    // Packets, not the poll, brought it into force; the next poll tells.
    assert!(broadcaster.next_deadline().unwrap() <= now + Duration::from_millis(200));
    let later = now + Duration::from_millis(210);
    let told = broadcaster.poll(later, &mut |out| entropy.fill(out));
    assert!(told.iter().any(|action| matches!(action, BroadcastAction::InForce { .. })));
}

#[test]
fn lead_of_zero_by_command_is_in_force_with_the_next_packet() {
    let (mut broadcaster, now, mut entropy) = on_the_air(Lead::None, 9);
    broadcaster.protect_rtp(&mut rtp(1), now).unwrap();
    let random = &mut |out: &mut [u8]| entropy.fill(out);
    let actions = broadcaster.new_mtk(Lead::Usual, now, random).unwrap();
    assert!(matches!(&actions[..], [BroadcastAction::SendKeyMessage(_)]));
    broadcaster.protect_rtp(&mut rtp(2), now).unwrap();
    assert_eq!(mtk(&broadcaster), Some(1));
    // The announced key serves the second request too: no packet has used it.
    let actions = broadcaster.new_mtk(Lead::None, now, random).unwrap();
    assert!(matches!(&actions[..], [BroadcastAction::InForce { .. }]));
    assert_eq!(mtk(&broadcaster), Some(2));
}

#[test]
fn switch_during_an_announced_mtk_change_goes_to_the_new_msk_only() {
    let (mut broadcaster, now, mut entropy) = on_the_air(Lead::None, 9);
    let random = &mut |out: &mut [u8]| entropy.fill(out);
    broadcaster.new_mtk(Lead::Usual, now, random).unwrap();
    broadcaster.follow(&document(2, &[1, 2], 2, 9), now + FRAME, random).unwrap();
    broadcaster.poll(now + secs(1), random);
    assert_eq!(broadcaster.mki().unwrap().split_mbms(), Some((msk(2), MtkId(1))));
    let back = broadcaster.follow(&document(3, &[1, 2], 1, 9), now + secs(1), random);
    assert!(back.unwrap_err().to_string().contains("never goes back"));
}

#[test]
fn last_mtk_id_stays_in_force_and_is_reported() {
    let (mut broadcaster, now, mut entropy) = on_the_air(Lead::None, 8);
    let random = &mut |out: &mut [u8]| entropy.fill(out);
    let mut reports = Vec::new();
    for _ in 1..8 {
        let actions = broadcaster.new_mtk(Lead::None, now, random).unwrap();
        reports.extend(actions.iter().filter_map(|action| match action {
            BroadcastAction::MtkIdsLow { left, .. } => Some(*left),
            _ => None,
        }));
    }
    assert_eq!(reports, [2, 0]);
    assert!(broadcaster.new_mtk(Lead::None, now, random).is_err());
    broadcaster.protect_rtp(&mut rtp(1), now).unwrap();
    assert_eq!((mtk(&broadcaster), broadcaster.mtk_ids_left()), (Some(8), Some(0)));
}

#[test]
fn packet_index_is_used_once_whatever_the_source_sends() {
    let (mut broadcaster, now, mut entropy) = on_the_air(Lead::None, 9);
    let mut protect = |number| {
        let mut packet = rtp(number);
        broadcaster.protect_rtp(&mut packet, now).map(|_| packet)
    };
    for number in [10, 11, 13, 12] {
        protect(number).unwrap();
    }
    for repeated in 10..=13 {
        assert!(matches!(protect(repeated), Err(Error::Rejected(Reject::Replayed))));
    }
    let mut packet = rtp(12);
    broadcaster.protect_rtp(&mut packet, now).unwrap_err();
    assert!(packet.is_empty(), "nothing is left that could be sent");
    // Nor after a key change: receivers would refuse it.
    broadcaster.new_mtk(Lead::None, now, &mut |out| entropy.fill(out)).unwrap();
    broadcaster.protect_rtp(&mut rtp(12), now).unwrap_err();
    broadcaster.protect_rtp(&mut rtp(14), now).unwrap();
}

#[test]
fn streams_are_bounded() {
    let (now, mut entropy) = (Instant::now(), Entropy(5));
    let mut timing = BroadcastTiming::default();
    timing.max_streams = 1;
    timing.lead = Duration::ZERO;
    let mut broadcaster = Broadcaster::new(&"group 17".into(), timing);
    let random = &mut |out: &mut [u8]| entropy.fill(out);
    broadcaster.follow(&document(1, &[1], 1, 9), now, random).unwrap();
    broadcaster.protect_rtp(&mut rtp(1), now).unwrap();
    let other = broadcaster.burst(SERVER, BurstMessage::Idle, now);
    assert!(matches!(other, Err(Error::Rejected(Reject::StreamLimit))));
    broadcaster.protect_rtp(&mut rtp(2), now).unwrap();
}

#[test]
fn what_no_client_could_follow_is_refused() {
    let (now, random) = (Instant::now(), &mut |out: &mut [u8]| out.fill(1));
    let mut broadcaster = Broadcaster::new(&"group 17".into(), BroadcastTiming::default());
    assert!(broadcaster.new_mtk(Lead::None, now, random).is_err());
    broadcaster.follow(&document(1, &[1], 1, 9), now, random).unwrap();
    let mut refusal = |adjust: &dyn Fn(&mut ChannelDocument)| {
        let mut changed = document(2, &[1], 1, 9);
        adjust(&mut changed);
        broadcaster.follow(&changed, now, random).unwrap_err().to_string()
    };
    assert!(refusal(&|d| d.channel = "group 18".into()).contains("group 18"));
    let another = document(2, &[2], 2, 9).msks.remove(0).msk;
    assert!(refusal(&|d| d.msks[0].msk = Arc::clone(&another)).contains("another key"));
    assert!(refusal(&|d| d.profile = d.profile.with_mki_len(4)).contains("6 octets"));
    assert_eq!(broadcaster.followed(), 1);
}

#[test]
fn media_and_burst_control_of_every_profile_reach_a_client() {
    for (name, profile) in Profile::NAMED {
        let mut world = World::under(&["c1"], |spec| spec.profile = *profile);
        world.join("c1");
        world.run(secs(1));
        assert!(world.missed("c1", 1).is_empty(), "{name}");

        let taken = Taken {
            talker: TALKER,
            cname: "sip:alice@example.com".into(),
            name: None,
            participants: None,
            ack_expected: false,
        };
        let mut events = Vec::new();
        for message in [BurstMessage::Taken(taken), BurstMessage::Idle] {
            let datagram = world.broadcaster.burst(SERVER, message, world.now).unwrap();
            world.hear("c1", &datagram, &mut |event| match event {
                Event::Burst(burst) => match &burst.event {
                    BurstEvent::Taken(taken) => events.push(format!("taken {}", taken.talker)),
                    other => events.push(other.name().to_owned()),
                },
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(events, ["taken cafe0001", "idle"], "{name}");
    }
}

#[test]
fn burst_control_that_a_group_must_not_get_is_refused() {
    let (mut broadcaster, now, _) = on_the_air(Lead::None, 9);
    let release = BurstMessage::Release(Release { last_seq: None });
    assert!(broadcaster.burst(SERVER, release, now).is_err());
    let asks = Taken {
        talker: TALKER,
        cname: "sip:alice@example.com".into(),
        name: None,
        participants: None,
        ack_expected: true,
    };
    assert!(broadcaster.burst(SERVER, BurstMessage::Taken(asks), now).is_err());
}

#[test]
fn traffic_keys_change_by_schedule_without_a_lost_packet() {
    let mut world = World::under(&["c1"], |spec| spec.mtk_period = Some(secs(2)));
    world.join("c1");
    world.run(secs(21));
    assert_eq!(mtk(&world.broadcaster), Some(10), "every 2.2 s: period and lead");
    assert!(world.missed("c1", 1).is_empty());
}

#[test]
fn no_key_shows_in_debug_output() {
    let (mut broadcaster, ..) = on_the_air(Lead::None, 9);
    let kept: Vec<_> = broadcaster.take_changes().into_iter().map(|record| record.value).collect();
    let shown = format!("{broadcaster:?} {kept:?} {:?}", document(1, &[1], 1, 9));
    assert!(shown.contains("SecretBytes<16>(..)"));
    assert!(!shown.contains("key: [") && !shown.contains("01010101"));
}
