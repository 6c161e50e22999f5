//! The packet path allocates: a lane that is warm goes to the allocator neither for packets, good or
//! bad, nor for a change of keys.

#[path = "common/group.rs"]
mod group;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use group::{Keys, TALKER, burst, media, muk, muk_id};
use mcast_srtp::{
    Reject,
    group::Carries,
    ids::{GroupId, Ssrc},
    keys::{KeyPlane, PlaneLimits},
    rx::{
        BatchReport, Datagram, Event, GroupCounters, KeyMessage, Lane, Limits, Port, PortId, Sink,
    },
    srtp::{Profile, SessionId},
    wire::burst::{BurstMessage, Taken},
};

/// The system's allocator, which counts for each thread how often it is asked.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends frees memory after its own variables are gone.
    let _ = REQUESTS.try_with(|requests| requests.set(requests.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        // SAFETY: `memory` came from `System`, with this layout, as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: `memory` came from `System`, with this layout, as the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// Memory for a key message on its way to the plane; the lane takes one, the plane gives it back.
type Buffer = Box<([u8; 2048], usize)>;

/// Where the lane delivers: counts, and hands key messages to the thread of the key plane.
struct Counted {
    media: usize,
    bursts: usize,
    to_plane: Sender<Buffer>,
    free: Receiver<Buffer>,
}

impl Sink for Counted {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Media(media) => self.media += usize::from(!media.payload.is_empty()),
            Event::Burst(_) => self.bursts += 1,
            _ => {}
        }
    }

    fn key_message(&mut self, message: KeyMessage<'_>) -> Result<(), Reject> {
        let mut buffer = self.free.try_recv().map_err(|_| Reject::MikeyQueueFull)?;
        buffer.0[..message.bytes.len()].copy_from_slice(message.bytes);
        buffer.1 = message.bytes.len();
        self.to_plane.try_send(buffer).map_err(|_| Reject::MikeyQueueFull)
    }
}

/// A lane with one group, and the thread of its key plane.
struct Bench {
    lane: Lane,
    port: PortId,
    sink: Counted,
    published: Receiver<bool>,
    now: Instant,
    requests: u64,
}

impl Bench {
    fn new(keys: &Keys, limits: &Limits) -> Self {
        let now = Instant::now();
        let mut plane = KeyPlane::new(PlaneLimits::default());
        plane.insert_muk(muk_id("c1"), muk("c1")).unwrap();
        plane.add_group(GroupId(0), None);
        plane.receive(None, &keys.msk_message(1, 1), now).unwrap();
        plane.receive(Some(GroupId(0)), &keys.mtk_message(1, 1), now).unwrap();
        plane.publish();

        let mut lane = Lane::new(Arc::clone(plane.published()), limits);
        let carries = Carries { rtp: true, rtcp: true, burst: true, mikey: true };
        let counters = Arc::new(GroupCounters::default());
        let port = lane.add_port(Port::new(GroupId(0), SessionId(0), carries, &[97], counters));

        let (to_plane, inbox) = bounded::<Buffer>(4);
        let (give_back, free) = bounded(4);
        (0..4).for_each(|_| give_back.send(Box::new(([0; 2048], 0))).unwrap());
        let (publish, published) = bounded(4);
        thread::spawn(move || {
            for buffer in inbox {
                let (octets, len) = &*buffer;
                let accepted = plane.receive(Some(GroupId(0)), &octets[..*len], now).is_ok();
                plane.publish();
                give_back.send(buffer).unwrap();
                publish.send(accepted).unwrap();
            }
        });
        let sink = Counted { media: 0, bursts: 0, to_plane, free };
        Self { lane, port, sink, published, now, requests: 0 }
    }

    /// Runs a batch, and counts what its thread asks of the allocator meanwhile.
    fn run(&mut self, mut datagrams: Vec<Vec<u8>>) -> BatchReport {
        let source: SocketAddr = "[2001:db8::1]:49170".parse().unwrap();
        let (port, now) = (self.port, self.now);
        let mut batch: Vec<_> = datagrams
            .iter_mut()
            .map(|bytes| Datagram { port, source, truncated: false, bytes })
            .collect();
        let before = REQUESTS.get();
        let report = self.lane.run_batch(&mut batch, now, &mut self.sink);
        self.requests += REQUESTS.get() - before;
        report
    }

    fn tick(&mut self) -> BatchReport {
        let before = REQUESTS.get();
        let report = self.lane.tick(self.now, &mut self.sink);
        self.requests += REQUESTS.get() - before;
        report
    }

    /// Forgets what the first batch of a thread has cost.
    fn warm_up(&mut self, first: Vec<u8>) {
        assert_eq!(self.run(vec![first]).accepted, 1);
        self.tick();
        self.requests = 0;
    }
}

#[test]
fn counter_counts() {
    let before = REQUESTS.get();
    drop(std::hint::black_box(Box::new(7)));
    assert_eq!(REQUESTS.get() - before, 2);
}

#[test]
fn warm_lane_allocates_nothing_for_good_packets_whatever_the_profile() {
    let named = Profile::NAMED.iter().map(|(_, profile)| *profile);
    let with_rcc = [
        "AES_CM_128_HMAC_SHA1_80+RCCm1:16",
        "AES_CM_128_HMAC_SHA1_80+RCCm2:16",
        "AES_CM_128_HMAC_SHA1_80+RCCm3:16",
        "AEAD_AES_128_GCM+RCCm3:16",
    ];
    let with_rcc = with_rcc.map(|name| Profile::from_name(name).unwrap());
    for profile in named.chain(with_rcc).chain([Profile::default().with_kdr(16)]) {
        let keys = Keys { profile, ..Keys::default() };
        let (mut bench, key) = (Bench::new(&keys, &Limits::default()), keys.traffic_key(1, 1));
        bench.warm_up(media(&key, TALKER, 0xfff0));
        for batch in 0..10_u32 {
            let taken = BurstMessage::Taken(Taken { talker: TALKER, ..Taken::default() });
            // Over a wrap of the sequence number, with a new stream in each batch.
            let index = 0xfff1 + u64::from(batch) * 60;
            let mut datagrams: Vec<_> = (0..60).map(|n| media(&key, TALKER, index + n)).collect();
            datagrams.push(media(&key, Ssrc(batch), 0x1_0000));
            datagrams.push(burst(&key, batch, taken));
            let report = bench.run(datagrams);
            assert_eq!((report.accepted, report.rejected), (62, 0), "{profile}");
        }
        assert_eq!((bench.sink.media, bench.sink.bursts), (1 + 10 * 61, 10));
        assert_eq!(bench.requests, 0, "{profile}");
    }
}

#[test]
fn warm_lane_allocates_nothing_for_bad_packets() {
    let mut limits = Limits::default();
    limits.streams.streams_per_session = 8;
    let keys = Keys::default();
    let (mut bench, key) = (Bench::new(&keys, &limits), keys.traffic_key(1, 1));
    bench.warm_up(media(&key, TALKER, 1));
    let unknown = Keys::of_group(0x99).traffic_key(1, 1);
    for batch in 0..100 {
        let mut forged = media(&key, Ssrc(batch), 7);
        *forged.last_mut().unwrap() ^= 1;
        let mut datagrams = vec![
            media(&key, TALKER, 1),       // replayed
            media(&unknown, TALKER, 2),   // held back until there is no more room
            media(&key, Ssrc(!batch), 3), // evicts a stream
            media(&key, TALKER, 4)[..30].to_vec(),
            forged,
            Vec::new(),
            vec![0x01; 40], // for the key plane, which refuses it
            vec![0x33; 1500],
        ];
        datagrams.extend((0..8).map(|_| media(&unknown, TALKER, 2)));
        bench.run(datagrams);
        assert!(!bench.published.recv().unwrap());
    }
    assert!(bench.lane.held() > 0);
    bench.now += Duration::from_secs(1);
    assert!(bench.tick().rejected > 0);
    assert_eq!((bench.lane.held(), bench.requests), (0, 0));
}

#[test]
fn warm_lane_allocates_nothing_while_keys_change() {
    for profile in [Profile::AES_CM_128_HMAC_SHA1_80, Profile::AEAD_AES_128_GCM] {
        let keys = Keys { profile, ..Keys::default() };
        let mut bench = Bench::new(&keys, &Limits::default());
        bench.warm_up(media(&keys.traffic_key(1, 1), TALKER, 0));
        for mtk in 2..20 {
            let (old, new) = (keys.traffic_key(1, mtk - 1), keys.traffic_key(1, mtk));
            let index = u64::from(mtk) * 40;
            // Packets under the new key overtake its message; the last of the old come in between.
            let mut datagrams: Vec<_> = (20..40).map(|n| media(&new, TALKER, index + n)).collect();
            datagrams.extend((0..20).map(|n| media(&old, TALKER, index + n)));
            datagrams.push(keys.mtk_message(1, mtk));
            let report = bench.run(datagrams);
            // The plane works meanwhile: its table may come before the batch needs it.
            let held = report.held;
            assert_eq!((report.accepted + held, report.key_messages), (40, 1));
            assert!([0, 20].contains(&held));
            assert!(bench.published.recv().unwrap());
            // Half of the changes are noticed with the next packet, half without one.
            let released = if mtk % 2 == 0 {
                bench.run(vec![media(&new, Ssrc(1), index)]).released
            } else {
                bench.tick().released
            };
            assert_eq!(released, held);
        }
        assert_eq!(bench.requests, 0, "{profile}");
    }
}

#[test]
fn warm_lane_allocates_and_frees_nothing_in_a_storm_of_key_changes() {
    let keys = Keys::default();
    let now = Instant::now();
    let mut plane = KeyPlane::new(PlaneLimits::default());
    plane.insert_muk(muk_id("c1"), muk("c1")).unwrap();
    plane.add_group(GroupId(0), None);
    plane.announce(GroupId(0), &keys.msk_message(1, 1), now).unwrap();
    // A key given by hand stays whatever comes and goes beside it.
    let key = Arc::new(Keys::of_group(0x99).traffic_key(1, 1));
    plane.insert_fixed(GroupId(0), Arc::clone(&key)).unwrap();
    plane.publish();
    let published = Arc::clone(plane.published());
    let mut lane = Lane::new(Arc::clone(&published), &Limits::default());
    let carries = Carries { rtp: true, ..Carries::default() };
    let port = lane.add_port(Port::new(GroupId(0), SessionId(0), carries, &[], Arc::default()));

    // A new table as fast as they can be made: several while a batch is under way.
    let messages: Vec<_> = (1..=4000).map(|mtk| keys.mtk_message(1, mtk)).collect();
    let storm = thread::spawn(move || {
        for message in &messages {
            plane.receive(Some(GroupId(0)), message, now).unwrap();
            assert!(plane.publish());
        }
        plane
    });
    let (_queue, free) = bounded(1);
    let mut sink = Counted { media: 0, bursts: 0, to_plane: bounded(1).0, free };
    let (mut batches, mut tables, mut requests) = (0, Vec::with_capacity(8192), 0);
    while !storm.is_finished() || batches < 10 {
        let first = batches * 64;
        let mut packets: Vec<_> = (first..first + 64).map(|n| media(&key, TALKER, n)).collect();
        let source: SocketAddr = "192.0.2.1:49170".parse().unwrap();
        let mut batch: Vec<_> = packets
            .iter_mut()
            .map(|bytes| Datagram { port, source, truncated: false, bytes })
            .collect();
        let before = REQUESTS.get();
        let report = lane.run_batch(&mut batch, now, &mut sink);
        if batches > 0 {
            requests += REQUESTS.get() - before;
        }
        assert_eq!(report.accepted, 64);
        tables.push(published.load().generation());
        batches += 1;
    }
    let _plane = storm.join().unwrap();
    tables.dedup();
    assert!(tables.len() > 2, "the storm has passed beside the lane: {} tables", tables.len());
    assert_eq!(requests, 0);
}
