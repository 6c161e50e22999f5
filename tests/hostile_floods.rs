//! Somebody sends as much as the talkers do: of the talk nothing is lost, nothing is remembered, and
//! memory stays as it is.

#[path = "common/group.rs"]
#[expect(dead_code, reason = "burst control is for other tests")]
mod group;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    net::SocketAddr,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use group::{Keys, TALKER, media, muk, muk_id};
use mcast_srtp::{
    Reject,
    group::{GroupSpec, Interface, MediaSpec},
    ids::{GroupId, Mki, MskId, MtkId, Ssrc},
    keys::PlaneLimits,
    rx::{Datagram, Event, Limits, PortId, Receiver},
    srtp::TrafficKey,
};

/// The system's allocator, which keeps count of the octets in use.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
static IN_USE: AtomicI64 = AtomicI64::new(0);

fn count(octets: usize, sign: i64) {
    IN_USE.fetch_add(sign * octets as i64, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: `memory` came from `System`, with this layout, as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// A receiver with one group in which two talk, one of them not heard yet.
struct Talk {
    receiver: Receiver,
    group: GroupId,
    port: PortId,
    keys: Keys,
    now: Instant,
    heard: usize,
    /// MTK in use.
    mtk: u16,
    index: u64,
}

impl Talk {
    fn new() -> Self {
        let (keys, now) = (Keys::default(), Instant::now());
        let mut receiver = Receiver::new(&Limits::default(), PlaneLimits::default());
        receiver.insert_muk(muk_id("c1"), muk("c1")).unwrap();
        let spec = GroupSpec::new("17", Interface::Any)
            .with_media(MediaSpec::rtp("239.10.0.17".parse().unwrap(), 49170))
            .with_mikey_port(None);
        let added = receiver.add_group(&spec).unwrap();
        let (group, port) = (added.group, added.sockets[0].1);
        receiver.announce(group, &keys.msk_message(1, 1), now).unwrap();
        let mut talk = Self { receiver, group, port, keys, now, heard: 0, mtk: 0, index: 0 };
        // Until the ring is as long as it gets.
        (0..10).for_each(|_| talk.change_keys());
        talk.run(&[]);
        talk
    }

    fn change_keys(&mut self) {
        self.mtk += 1;
        let message = self.keys.mtk_message(1, self.mtk);
        let (_, accepted) = self.datagrams(&mut [(SERVER, message)]);
        assert_eq!(accepted, 1, "{:?}", self.verdicts());
    }

    /// As many good packets as hostile ones, in turn, 20 ms later; each good one has to be heard.
    fn run(&mut self, hostile: &[Vec<u8>]) {
        self.now += Duration::from_millis(20);
        let key = self.keys.traffic_key(1, self.mtk);
        let mut batch = Vec::new();
        for n in 0..32 {
            batch.extend(hostile.get(n).map(|octets| (ATTACKER, octets.clone())));
            self.index += 1;
            batch.push((SERVER, media(&key, TALKER, self.index)));
        }
        let (heard, _) = self.datagrams(&mut batch);
        assert_eq!(heard, 32, "{:?}", self.verdicts());
        self.heard += heard;
    }

    /// How many were heard, and how many key messages were accepted.
    fn datagrams(&mut self, batch: &mut [(SocketAddr, Vec<u8>)]) -> (usize, usize) {
        let (port, mut heard, mut keys) = (self.port, 0, 0);
        let mut datagrams: Vec<_> = batch
            .iter_mut()
            .map(|(source, bytes)| Datagram { port, source: *source, truncated: false, bytes })
            .collect();
        self.receiver.run_batch(&mut datagrams, self.now, &mut |event: Event<'_>| match event {
            Event::Media(_) => heard += 1,
            Event::Key(_) => keys += 1,
            _ => {}
        });
        self.receiver.tick(self.now, &mut |_: Event<'_>| ());
        (heard, keys)
    }

    fn verdicts(&self) -> Vec<(Reject, u64)> {
        self.receiver.stats(self.group).unwrap().rejects.iter().collect()
    }

    /// Everything that a stranger must not move, in words.
    fn state(&self) -> String {
        let plane = self.receiver.plane();
        let msks: Vec<_> = plane.store().msks().collect();
        let (streams, keys) = (self.receiver.lane().streams(), plane.live_keys(self.group));
        format!("{msks:?} {streams} {keys:?} {}", plane.published().load().generation())
    }
}

#[test]
fn floods_as_large_as_the_talk_cost_it_nothing() {
    let keys = Keys::default();
    let guess = |mtk: u16| {
        let mki = Mki::mbms(keys.msk_id(1), MtkId(mtk));
        TrafficKey::new(mki, keys.profile, &[0x66; 16], &[0x66; 14]).unwrap()
    };
    let spoilt = |mut octets: Vec<u8>| {
        *octets.last_mut().unwrap() ^= 1;
        octets
    };
    // In the order of the calls, `n` counts the hostile datagrams.
    let kinds: [(&str, Make<'_>); 9] = [
        ("forged SSRCs", &|n| media(&guess(10), Ssrc(0x6600_0000 | n), u64::from(n))),
        ("the talker's name", &|n| media(&guess(10), TALKER, u64::from(n.wrapping_mul(977)))),
        ("replays", &|n| media(&keys.traffic_key(1, 10), TALKER, u64::from(1 + n % 32))),
        ("random MKIs", &|n| {
            let mki = Mki::mbms(MskId { group: (n * 7) as u16, number: 9 }, MtkId(n as u16));
            media(&TrafficKey::new(mki, keys.profile, &[1; 16], &[]).unwrap(), TALKER, 1)
        }),
        ("MKIs to come", &|n| media(&guess(11 + (n % 1000) as u16), TALKER, u64::from(n))),
        ("forged MTK messages", &|n| spoilt(keys.mtk_message(1, 11 + (n % 5000) as u16))),
        ("forged MSK messages", &|n| spoilt(keys.msk_message(2, 2 + n))),
        ("repeated MTK messages", &|_| keys.mtk_message(1, 10)),
        ("garbage", &|n| (0..n % 200).map(|place| (place * n) as u8).collect()),
    ];
    for (name, make) in kinds {
        let mut talk = Talk::new();
        let flood = |talk: &mut Talk, from: u32, batches: u32| {
            for batch in from..from + batches {
                let hostile: Vec<_> = (0..32).map(|n| make(32 * batch + n)).collect();
                talk.run(&hostile);
            }
        };
        flood(&mut talk, 0, 20);
        let (state, in_use) = (talk.state(), IN_USE.load(Ordering::Relaxed));
        flood(&mut talk, 20, 80);
        let grown = IN_USE.load(Ordering::Relaxed) - in_use;
        assert_eq!((talk.state(), grown), (state, 0), "{name}");
        assert_eq!(talk.heard, 32 * 101, "{name}");

        // In the middle of the flood the keys change and another begins to talk, a wrap behind what
        // was announced: neither is noticed any later for that.
        talk.change_keys();
        flood(&mut talk, 100, 1);
        let other = media(&keys.traffic_key(1, talk.mtk), Ssrc(0x1a7e), 0x1_0005);
        assert_eq!(talk.datagrams(&mut [(SERVER, other)]).0, 1, "{name}");
    }
}

/// Makes a hostile datagram, by number.
type Make<'a> = &'a dyn Fn(u32) -> Vec<u8>;

const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 49170);
const ATTACKER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 66)), 49170);
