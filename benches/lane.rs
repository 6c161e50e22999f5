//! The receive side of a lane: 64 datagrams of 200 octets from the socket to a sink that counts.
//!
//! `cargo bench --bench lane [FILTER]`. An iteration is a batch of 64. `lane` is `Lane::run_batch`
//! alone; `sockets` takes the datagrams from a socket on the loopback interface as well, beside the
//! arena alone and a bare `recvmmsg`. Protecting and sending are not timed.

#[path = "../tools/compare/src/receive/bare.rs"]
mod bare;

use std::{
    hint::black_box,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use bare::Bare;
use criterion::{Criterion, Throughput};
use mcast_srtp::{
    Reject,
    group::Carries,
    ids::{GroupId, Mki, MskId, MtkId, Seq, Ssrc},
    keys::{KeyPlane, PlaneLimits},
    net::{Arena, send_batch},
    rx::{Datagram, Event, GroupCounters, KeyMessage, Lane, Limits, Port, PortId, Sink},
    srtp::{MAX_BATCH, Profile, Protector, SessionId, TrafficKey},
    wire::rtp::RtpWriter,
};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .without_plots()
        .configure_from_args();
    let profiles =
        [("cm128-80", Profile::AES_CM_128_HMAC_SHA1_80), ("gcm128", Profile::AEAD_AES_128_GCM)];

    let mut group = criterion.benchmark_group("lane");
    group.throughput(Throughput::Elements(MAX_BATCH as u64));
    for (name, profile) in profiles {
        let (mut sender, mut receiver) = (Sender::new(profile), Receiver::new(profile));
        group.bench_function(name, |b| {
            b.iter_custom(|batches| {
                (0..batches).map(|_| receiver.take(sender.batch())).sum::<Duration>()
            });
        });
        assert_eq!(receiver.sink.media, sender.sent());
    }
    group.finish();

    let mut group = criterion.benchmark_group("sockets");
    group.throughput(Throughput::Elements(MAX_BATCH as u64));
    for (name, profile) in profiles {
        let (mut sender, mut receiver) = (Sender::new(profile), Receiver::new(profile));
        let (pair, mut arena) = (Pair::new(), Arena::default());
        group.bench_function(name, |b| {
            b.iter_custom(|batches| {
                pair.time(batches, &mut sender, || {
                    let count = arena.receive(&pair.receiver).expect("a socket that works");
                    receiver
                        .run(arena.datagrams().map(|received| (received.source, received.bytes)));
                    count
                })
            });
        });
        assert_eq!(receiver.sink.media, sender.sent());
    }
    let (mut sender, pair) = (Sender::new(Profile::default()), Pair::new());
    let mut arena = Arena::default();
    group.bench_function("arena", |b| {
        b.iter_custom(|batches| {
            pair.time(batches, &mut sender, || {
                let count = arena.receive(&pair.receiver).expect("a socket that works");
                arena.datagrams().for_each(|datagram| {
                    black_box(datagram.bytes.len());
                });
                count
            })
        });
    });
    let mut bare = Bare::new();
    group.bench_function("bare", |b| {
        b.iter_custom(|batches| {
            pair.time(batches, &mut sender, || {
                black_box(bare.receive(&pair.receiver)).expect("a socket that works").0
            })
        });
    });
    group.finish();
    criterion.final_summary();
}

/// Makes batches of protected packets whose numbers go on.
struct Sender {
    key: TrafficKey,
    protector: Protector,
    packets: Vec<Vec<u8>>,
    sent: u32,
}

impl Sender {
    fn new(profile: Profile) -> Self {
        let (key, protector) = (traffic_key(profile), Protector::new());
        Self { key, protector, packets: vec![Vec::new(); MAX_BATCH], sent: 0 }
    }

    fn sent(&self) -> u64 {
        self.sent.into()
    }

    fn batch(&mut self) -> &mut [Vec<u8>] {
        // What CM and GCM add is 16 and 22 octets.
        let trailer = if *self.key.profile() == Profile::AEAD_AES_128_GCM { 22 } else { 16 };
        for packet in &mut self.packets {
            // The lower half: numbers wrap like those of a stream.
            let writer = RtpWriter::new(97, Seq(self.sent as u16), self.sent, Ssrc(7));
            self.sent += 1;
            packet.resize(200 - trailer, 0);
            writer.write(&[0x5a; 200][..188 - trailer], packet).expect("a packet that fits");
            self.protector.protect_rtp(&self.key, packet).expect("a fresh index");
            assert_eq!(packet.len(), 200);
        }
        &mut self.packets
    }
}

/// A lane with one port and its key.
struct Receiver {
    lane: Lane,
    port: PortId,
    sink: Counting,
    start: Instant,
    // The lane reads what the plane has published.
    _plane: KeyPlane,
}

impl Receiver {
    fn new(profile: Profile) -> Self {
        let group = GroupId(0);
        let mut plane = KeyPlane::new(PlaneLimits::default());
        plane.add_group(group, None);
        plane.insert_fixed(group, Arc::new(traffic_key(profile))).expect("a group just added");
        plane.publish();
        let mut lane = Lane::new(Arc::clone(plane.published()), &Limits::default());
        let carries = Carries { rtp: true, ..Carries::NOTHING };
        let counters = Arc::new(GroupCounters::default());
        let port = lane.add_port(Port::new(group, SessionId(0), carries, &[], counters));
        Self { lane, port, sink: Counting::default(), start: Instant::now(), _plane: plane }
    }

    /// Treats a batch; returns how long it took.
    fn take(&mut self, packets: &mut [Vec<u8>]) -> Duration {
        let source = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let start = Instant::now();
        self.run(packets.iter_mut().map(|packet| (source, packet.as_mut_slice())));
        start.elapsed()
    }

    fn run<'a>(&mut self, datagrams: impl Iterator<Item = (SocketAddr, &'a mut [u8])>) {
        let port = self.port;
        let mut batch: arrayvec::ArrayVec<_, MAX_BATCH> = datagrams
            .map(|(source, bytes)| Datagram { port, source, truncated: false, bytes })
            .collect();
        self.lane.run_batch(&mut batch, self.start, &mut self.sink);
    }
}

#[derive(Default)]
struct Counting {
    media: u64,
    octets: u64,
}

impl Sink for Counting {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Media(media) = event {
            self.media += 1;
            self.octets += media.payload.len() as u64;
        }
    }

    fn key_message(&mut self, _: KeyMessage<'_>) -> Result<(), Reject> {
        Err(Reject::MikeyUnsupported)
    }
}

/// Two sockets of the loopback interface.
struct Pair {
    sender: UdpSocket,
    receiver: UdpSocket,
    to: SocketAddr,
}

impl Pair {
    fn new() -> Self {
        let socket = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let (sender, receiver) = (socket(), socket());
        let to = receiver.local_addr().expect("a bound socket");
        Self { sender, receiver, to }
    }

    /// Sends this many batches; returns how long `receive` took to take them, which tells how many
    /// datagrams it took in a call.
    fn time(
        &self,
        batches: u64,
        sender: &mut Sender,
        mut receive: impl FnMut() -> usize,
    ) -> Duration {
        let mut spent = Duration::ZERO;
        for _ in 0..batches {
            let packets = sender.batch();
            let datagrams: arrayvec::ArrayVec<_, MAX_BATCH> =
                packets.iter().map(|packet| (packet.as_slice(), self.to)).collect();
            assert_eq!(send_batch(&self.sender, &datagrams).expect("loopback"), MAX_BATCH);
            let start = Instant::now();
            // On the loopback interface they are there when the call returns.
            let count = receive();
            spent += start.elapsed();
            assert_eq!(count, MAX_BATCH);
        }
        spent
    }
}

fn traffic_key(profile: Profile) -> TrafficKey {
    let profile = profile.with_mki_len(6);
    let (key, salt) = (vec![0x21; profile.cipher.key_len()], vec![0x83; profile.cipher.salt_len()]);
    let mki = Mki::mbms(MskId { group: 18, number: 3 }, MtkId(7));
    TrafficKey::new(mki, profile, &key, &salt).expect("lengths of the profile")
}
