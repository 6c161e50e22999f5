//! What the hand-over of packets to workers costs, beside a lane that treats them itself.
//!
//! `cargo bench --features internals --bench handover`. Packets of 200 octets of 64 streams, 64 a batch, no
//! sockets. The first column is processor time of the thread that would read sockets, the second that of
//! the whole process, both per packet: the least of several rounds. What workers add to the second is the
//! price of the hand-over; what they take off the first is what it is paid for.

use std::{mem, net::SocketAddr, sync::Arc};

use mcast_srtp::{
    ids::{Mki, MtkId, Ssrc},
    runtime::internals::Handover,
    rx::Datagram,
    srtp::TrafficKey,
};

#[path = "../tests/common/group.rs"]
#[expect(dead_code, reason = "key messages and burst control are for tests")]
mod group;

use group::{Keys, protect, rtp};

fn main() {
    let keys = Keys::default();
    let mtk = keys.mtk(1, 1);
    let mki = Mki::mbms(keys.msk_id(1), MtkId(1));
    let salt = mtk.salt.as_ref().map_or(&[][..], |salt| salt.expose());
    let key = TrafficKey::new(mki, keys.profile, mtk.key.expose(), salt).expect("it fits");
    let packet = |n: u64| {
        let (ssrc, index) = (Ssrc((n % STREAMS) as u32), 1 + n / STREAMS);
        // 12 octets of header, 6 of MKI, 10 of tag.
        protect(&key, index, rtp(ssrc, index, &[7; 200 - 28]))
    };
    let packets: Vec<Vec<u8>> = (0..BATCHES * 64).map(packet).collect();
    let key = Arc::new(key);
    println!("{:<10} {:>14} {:>14}", "workers", "reader ns", "process ns");
    let mut least = [[f64::MAX; 2]; CASES.len()];
    // In turn, so that a slow moment of the machine hits all of them.
    for _ in 0..ROUNDS {
        for (workers, least) in CASES.iter().zip(&mut least) {
            let spent = round(*workers, &key, &packets);
            least.iter_mut().zip(spent).for_each(|(least, spent)| *least = least.min(spent));
        }
    }
    for (workers, [reader, process]) in CASES.iter().zip(least) {
        println!("{workers:<10} {reader:>14.1} {process:>14.1}");
    }
}

/// Processor time per packet, of this thread and of the process.
fn round(workers: usize, key: &Arc<TrafficKey>, packets: &[Vec<u8>]) -> [f64; 2] {
    let mut handover = Handover::new(workers, Arc::clone(key)).expect("a group and a key");
    let (port, source) = (handover.port(), SocketAddr::from(([192, 0, 2, 1], 5004)));
    let mut slots = vec![vec![0; 200]; 64];
    let mut spent = [0; 2];
    let batches = packets.chunks(64).collect::<Vec<_>>();
    for few in batches.chunks(16) {
        let before = times();
        for batch in few {
            // Stands for what the kernel would have copied; the same in every case.
            slots.iter_mut().zip(*batch).for_each(|(slot, packet)| slot.copy_from_slice(packet));
            let mut datagrams = arrayvec::ArrayVec::<_, 64>::new();
            datagrams.extend(slots.iter_mut().map(|bytes| Datagram {
                port,
                source,
                truncated: false,
                bytes,
            }));
            handover.take(&mut datagrams);
        }
        let reader = times()[0];
        handover.settle();
        let process = times()[1];
        spent[0] += reader - before[0];
        spent[1] += process - before[1];
    }
    let stats = handover.stats();
    assert_eq!((stats.media, stats.rejects.total()), (packets.len() as u64, 0));
    spent.map(|nanoseconds| nanoseconds as f64 / packets.len() as f64)
}

/// Nanoseconds of processor time of this thread and of the process.
#[expect(unsafe_code, reason = "std has no processor time")]
fn times() -> [u64; 2] {
    [libc::CLOCK_THREAD_CPUTIME_ID, libc::CLOCK_PROCESS_CPUTIME_ID].map(|clock| {
        // SAFETY: all zero is a valid `timespec`, and the call fills it in.
        let time = unsafe {
            let mut time: libc::timespec = mem::zeroed();
            libc::clock_gettime(clock, &raw mut time);
            time
        };
        u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).expect("after the start")
    })
}

const STREAMS: u64 = 64;
const BATCHES: u64 = 512;
const ROUNDS: usize = 15;
const CASES: [usize; 4] = [0, 1, 2, 4];
