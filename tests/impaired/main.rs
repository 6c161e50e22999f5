//! A talk group behind a bad network, against an oracle: whatever is lost, late, doubled, out of order
//! or damaged, and whenever keys change, a receiver delivers exactly what can be decrypted, each packet
//! once and in the order in which it could be.
//!
//! `MCAST_SRTP_CASES` runs more cases than continuous integration does:
//! `MCAST_SRTP_CASES=20000 cargo test --release --test impaired`.

#[path = "../fears/client.rs"]
#[expect(dead_code, reason = "the client of the other tests, of which this one uses a part")]
mod client;
#[path = "../common/group.rs"]
#[expect(dead_code, reason = "the group of the other tests, of which this one uses a part")]
mod group;
mod oracle;
mod session;

use std::{env, time::Duration};

use client::Client;
use impair::{Bursts, Impairments};
use mcast_srtp::{
    keys::PlaneLimits,
    rx::{Limits, PortId},
    srtp::Profile,
};
use oracle::{Oracle, What};
use proptest::{collection::vec, prelude::*};
use session::{Act, Network, Session};

/// Bounds of the receiver, small enough to be reached.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    held_packets: usize,
    held_octets: usize,
    hold_time: Duration,
    window: u16,
    keys: usize,
    grace: Duration,
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let hold = (prop_oneof![2_usize..80, Just(1024)], prop_oneof![200_usize..6000, Just(2 << 20)]);
    (hold, 20_u64..600, 64_u16..=256, 1_usize..9, 50_u64..2000).prop_map(
        |((held_packets, held_octets), hold_time, window, keys, grace)| Bounds {
            held_packets,
            held_octets,
            hold_time: ms(hold_time),
            window,
            keys,
            grace: ms(grace),
        },
    )
}

fn network() -> impl Strategy<Value = Network> {
    (impairments(), impairments(), impairments(), any::<u64>())
        .prop_map(|(media, mtk, msk, seed)| Network { media, mtk, msk, seed })
}

/// From a perfect link to one that loses, damages and delays much.
fn impairments() -> impl Strategy<Value = Impairments> {
    let part = |most: f64| prop_oneof![1 => Just(0.0), 2 => 0.0..most];
    let time = |most: u64| prop_oneof![1 => Just(0), 2 => 0..most].prop_map(ms);
    let bursts = (0.0..0.1, 0.05..1.0, 0.5..=1.0).prop_map(|(enter, leave, loss)| Bursts {
        enter,
        leave,
        loss,
    });
    let losses = (part(0.3), prop::option::of(bursts));
    (losses, time(60), time(300), part(0.3), part(0.2), time(900), part(0.15)).prop_map(
        |((drop, bursts), delay, jitter, duplicate, reorder, late, corrupt)| Impairments {
            drop,
            bursts,
            delay,
            jitter,
            duplicate,
            reorder,
            late,
            corrupt,
        },
    )
}

fn schedule() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (1_u64..400, 1_u64..8).prop_map(|(time, gap)| Act::Talk { time: ms(time), gap: ms(gap) }),
        1 => (1_u64..1500).prop_map(|time| Act::Pause(ms(time))),
        3 => any::<bool>().prop_map(|ahead| Act::NewMtk { ahead }),
        2 => Just(Act::NewMsk),
    ];
    vec(act, 1..24)
}

/// SSRC and index of packets, in the order of their delivery.
type Heard = Vec<(u32, u64)>;

/// Runs a session to its end; returns what was delivered and what the oracle says.
fn run(session: &mut Session, bounds: Bounds, poll: Duration, schedule: &[Act]) -> (Heard, Heard) {
    let mut limits = Limits::default();
    limits.held_packets = bounds.held_packets;
    limits.held_packets_per_group = bounds.held_packets;
    limits.held_octets = bounds.held_octets;
    limits.hold_time = bounds.hold_time;
    limits.streams.replay_window = bounds.window;
    // Floods are another test's subject: here no budget is used up by what is damaged or repeated.
    limits.streams.roc_trials_per_batch = 10_000;
    limits.key_messages_per_second = 10_000;
    let mut plane = PlaneLimits::default();
    plane.keys_per_group = bounds.keys;
    plane.grace = bounds.grace;
    let mut client = Client::with_limits("c1", &limits, plane);
    let mut oracle = Oracle::new(bounds);

    let (mut looked, mut quiet) = (Duration::ZERO, Duration::ZERO);
    let mut acts = schedule.iter();
    loop {
        let over = session.is_idle()
            && !acts.next().is_some_and(|act| {
                session.begin(*act);
                true
            });
        if over {
            // Until everything has arrived and every held packet has expired.
            quiet += MS;
            if quiet > ms(3000) {
                break;
            }
        }
        session.step();
        if session.now - looked < poll {
            continue;
        }
        looked = session.now;
        let now = session.start + session.now;
        for octets in session.msk_arrivals() {
            let accepted = client.receiver.key_message(&octets, now);
            let what = session.what(&octets);
            oracle.key_message(&what);
            if let Some(answer) = accepted.ok().and_then(|e| e.verification().map(<[u8]>::to_vec)) {
                session.verify(&answer);
            }
        }
        for batch in session.group_arrivals().chunks(BATCH) {
            let port =
                |to_media: bool| if to_media { client.ports.media } else { client.ports.keys };
            let datagrams: Vec<(PortId, &[u8])> = batch
                .iter()
                .map(|(to_media, octets)| (port(*to_media), octets.as_slice()))
                .collect();
            client.receive_batch(&datagrams, now);
            let truth: Vec<What> = batch.iter().map(|(_, octets)| session.what(octets)).collect();
            oracle.batch(&truth, session.now);
        }
        client.tick(now);
        oracle.tick(session.now);
    }
    client.assert_nothing_is_lost_silently(session.start + session.now);
    for (ssrc, index, payload) in &client.delivered.heard {
        assert_eq!(payload, &session::payload(*ssrc, *index), "{ssrc} {index}");
    }
    let heard = client.delivered.heard.iter().map(|(ssrc, index, _)| (ssrc.0, *index)).collect();
    (heard, oracle.delivered)
}

fn cases() -> u32 {
    env::var("MCAST_SRTP_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(96)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn what_is_delivered_is_what_can_be_decrypted_once(
        network in network(),
        bounds in bounds(),
        schedule in schedule(),
        gcm: bool,
        // From the start of the numbers, or into a wrap of the sequence number.
        first_index in prop_oneof![Just(0_u64), 65_000..65_536_u64],
        poll in 1_u64..40,
    ) {
        let profile = if gcm { Profile::AEAD_AES_128_GCM } else { Profile::default() };
        let mut session = Session::new(profile, network, first_index);
        let (delivered, decryptable) = run(&mut session, bounds, ms(poll), &schedule);
        prop_assert_eq!(&delivered, &decryptable);
        let mut once = delivered.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), delivered.len());
    }
}

#[test]
fn over_a_perfect_network_every_packet_is_delivered_whatever_the_schedule() {
    let perfect = Impairments::default();
    let network = Network { media: perfect, mtk: perfect, msk: perfect, seed: 1 };
    let bounds = Bounds {
        held_packets: 1024,
        held_octets: 2 << 20,
        hold_time: ms(500),
        window: 128,
        keys: 8,
        grace: ms(500),
    };
    let talk = Act::Talk { time: ms(300), gap: ms(3) };
    let schedule: Vec<_> = [Act::NewMtk { ahead: true }, Act::NewMsk, Act::NewMtk { ahead: false }]
        .into_iter()
        .cycle()
        .flat_map(|change| [talk, change])
        .take(40)
        .collect();
    let mut session = Session::new(Profile::default(), network, 65_400);
    let (delivered, decryptable) = run(&mut session, bounds, ms(5), &schedule);
    assert_eq!(delivered, decryptable);
    assert_eq!(delivered.len(), session.media_sent());
    assert!(delivered.len() > 1500 && session.mtks_sent() > 15, "{} packets", delivered.len());
}

const MS: Duration = Duration::from_millis(1);
/// Datagrams handed over at a time; a receiver treats no more at once.
const BATCH: usize = 64;
