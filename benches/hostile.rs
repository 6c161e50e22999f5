//! What one datagram of somebody without keys costs, by kind, beside a good one.
//!
//! `cargo bench --bench hostile [FILTER]`. Each line is a batch of 64 datagrams of one kind through
//! `Receiver::run_batch`, copying them into place included; the last lines are key messages, which the
//! key thread treats.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use mcast_srtp::{
    group::{GroupSpec, Interface, MediaSpec},
    ids::{Mki, MtkId, Ssrc},
    keys::PlaneLimits,
    rx::{Datagram, Event, Limits, PortId, Receiver},
    srtp::TrafficKey,
};

#[path = "../tests/common/group.rs"]
#[expect(dead_code, reason = "burst control is for tests")]
mod group;

use group::{Keys, TALKER, media, muk, muk_id, protect, rtp};

const BATCH: u32 = 64;
/// Octets of a payload: speech.
const PAYLOAD: [u8; 160] = [7; 160];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20)
        .without_plots()
        .configure_from_args();
    let keys = Keys::default();
    let key = keys.traffic_key(1, 1);
    let guess = {
        let mki = Mki::mbms(keys.msk_id(1), MtkId(1));
        TrafficKey::new(mki, keys.profile, &[0x66; 16], &[0x66; 14]).expect("a key of this length")
    };
    let speech =
        |key: &TrafficKey, ssrc: Ssrc, index: u64| protect(key, index, rtp(ssrc, index, &PAYLOAD));

    let mut group = criterion.benchmark_group("datagram");
    group.throughput(Throughput::Elements(BATCH.into()));
    feed(&mut group, "good", |n| speech(&key, TALKER, n));
    feed(&mut group, "garbage", |_| vec![0x33; 188]);
    feed(&mut group, "truncated", |_| vec![0x80; 11]);
    feed(&mut group, "replayed", |_| speech(&key, TALKER, 0));
    feed(&mut group, "forged, known stream", |n| speech(&guess, TALKER, n));
    feed(&mut group, "forged, one unknown stream", |n| speech(&guess, Ssrc(1), n));
    feed(&mut group, "forged, each another stream", |n| speech(&guess, ssrc(n), 1));
    let unknown = keys.traffic_key(9, 9);
    feed(&mut group, "unknown MKI", |n| speech(&unknown, TALKER, n));
    feed(&mut group, "MIKEY beyond the rate", |n| forged_mtk(&keys, n));
    group.finish();

    let mut group = criterion.benchmark_group("key-message");
    key_message(&mut group, "good MTK", &keys, true, |n| keys.mtk_message(1, number(n)));
    let last = |_| keys.mtk_message(1, 1);
    key_message(&mut group, "repeated MTK", &keys, false, last);
    key_message(&mut group, "forged MTK", &keys, false, |n| forged_mtk(&keys, n));
    key_message(&mut group, "MTK of an unknown MSK", &keys, false, |_| keys.mtk_message(7, 9));
    key_message(&mut group, "forged MSK", &keys, false, |n| {
        let mut message = keys.msk_message(2, 2 + (n as u32 & 0xff));
        spoil(&mut message);
        message
    });
    key_message(&mut group, "malformed", &keys, false, |_| vec![1; 60]);
    group.finish();
    criterion.final_summary();
}

/// A receiver in the middle of a talk, with nothing behind the packet path to slow it down.
fn receiver(keys: &Keys) -> (Receiver, PortId) {
    let mut receiver = Receiver::new(&Limits::default(), PlaneLimits::default());
    receiver.insert_muk(muk_id("c1"), muk("c1")).expect("room for one client key");
    let spec = GroupSpec::new("17", Interface::Any)
        .with_media(MediaSpec::rtp(std::net::IpAddr::from([239, 10, 0, 17]), 49170))
        .with_mikey_port(None);
    let added = receiver.add_group(&spec).expect("one group");
    let port = added.sockets[0].1;
    let now = Instant::now();
    receiver.announce(added.group, &keys.msk_message(1, 1), now).expect("an MSK");
    let mut batch = [keys.mtk_message(1, 1), media(&keys.traffic_key(1, 1), TALKER, 0)];
    run(&mut receiver, port, &mut batch, now);
    (receiver, port)
}

fn run(receiver: &mut Receiver, port: PortId, batch: &mut [Vec<u8>], now: Instant) -> usize {
    let source = SocketAddr::from(([192, 0, 2, 1], 49170));
    let mut datagrams = arrayvec::ArrayVec::<Datagram<'_>, { BATCH as usize }>::new();
    datagrams.extend(batch.iter_mut().map(|bytes| Datagram {
        port,
        source,
        truncated: false,
        bytes,
    }));
    let mut octets = 0;
    receiver.run_batch(&mut datagrams, now, &mut |event: Event<'_>| {
        if let Event::Media(media) = event {
            octets += media.payload.len();
        }
    });
    octets
}

/// Batches of datagrams that `make` numbers from 1.
fn feed(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, make: impl Fn(u64) -> Vec<u8>) {
    const ROUNDS: u64 = 64;
    let made: Vec<Vec<Vec<u8>>> = (0..ROUNDS)
        .map(|round| (1..=BATCH.into()).map(|n| make(round * u64::from(BATCH) + n)).collect())
        .collect();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let (mut spent, mut left) = (Duration::ZERO, iterations);
            while left > 0 {
                let (mut receiver, port) = receiver(&Keys::default());
                let mut batch = made[0].clone();
                let mut now = Instant::now();
                let rounds = left.min(ROUNDS);
                for made in made.iter().take(rounds as usize) {
                    // Speech at 50 packets a second: what waits and what pauses goes on meanwhile.
                    now += Duration::from_millis(20);
                    let before = Instant::now();
                    for (slot, datagram) in batch.iter_mut().zip(made) {
                        slot.clear();
                        slot.extend_from_slice(datagram);
                    }
                    std::hint::black_box(run(&mut receiver, port, &mut batch, now));
                    spent += before.elapsed();
                }
                left -= rounds;
            }
            spent
        });
    });
}

fn key_message(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    keys: &Keys,
    accepted: bool,
    make: impl Fn(u64) -> Vec<u8>,
) {
    let made: Vec<_> = (0..4096).map(make).collect();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let (mut spent, mut left) = (Duration::ZERO, iterations);
            while left > 0 {
                let (mut receiver, _) = receiver(keys);
                let now = Instant::now();
                let count = left.min(made.len() as u64);
                let before = Instant::now();
                for message in &made[..count as usize] {
                    assert_eq!(receiver.key_message(message, now).is_ok(), accepted, "{name}");
                }
                spent += before.elapsed();
                left -= count;
            }
            spent
        });
    });
}

fn forged_mtk(keys: &Keys, n: u64) -> Vec<u8> {
    let mut message = keys.mtk_message(1, number(n));
    spoil(&mut message);
    message
}

fn spoil(message: &mut [u8]) {
    *message.last_mut().expect("a message has octets") ^= 1;
}

fn ssrc(n: u64) -> Ssrc {
    Ssrc((n & 0xffff_ffff) as u32)
}

/// MTK IDs behind that of the talk.
fn number(n: u64) -> u16 {
    2 + (n & 0x3fff) as u16
}
