//! Authenticate and decrypt, in place: nanoseconds per packet on every back end, beside other
//! implementations that get the same packets.
//!
//! `cargo bench --bench unprotect [FILTER]`; benches are named
//! `GROUP/PROFILE/PAYLOAD/bBATCH/RECEIVER`, with the groups `sizes`, `batches`, `streams` and `cold`
//! (see `benches/README.md`). An iteration is one packet. Below each set stands the least time of any
//! 1024 packets in a row, and how many times it the others take: medians move on a shared machine,
//! these hardly do.
//!
//! Packets are protected before the clock runs, with fresh sequence numbers, and copied into the
//! slots between two readings of it, 64 at a time. Only the calls are timed.

mod support;

use std::{cell::RefCell, time::Duration};

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use mcast_srtp::srtp::Backend;

use support::{
    contender::{Contender, Ours, Rtc, Webrtc},
    feed::{Feed, Kind, Sizes, Workload},
    timing::{Least, Track},
};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(40))
        .measurement_time(Duration::from_millis(160))
        .sample_size(10)
        .nresamples(1001)
        .without_plots()
        .configure_from_args();
    for kind in [Kind::CM_80, Kind::GCM_128, Kind::GCM_256] {
        for sizes in Sizes::EACH {
            bench(&mut criterion, &Set::of("sizes", kind, sizes));
        }
        for sizes in [Sizes::SMALL, Sizes::VOICE, Sizes::VIDEO] {
            for batch in [1, 8] {
                bench(&mut criterion, &Set { batch, ..Set::of("batches", kind, sizes) });
            }
        }
    }
    for kind in [Kind::CM_80, Kind::GCM_128] {
        for sizes in [Sizes::SMALL, Sizes::VOICE, Sizes::VIDEO] {
            for streams in [1024, 16384] {
                bench(&mut criterion, &Set { streams, ..Set::of("streams", kind, sizes) });
            }
            bench(&mut criterion, &Set { cold: true, ..Set::of("cold", kind, sizes) });
        }
    }
    criterion.final_summary();
}

/// Benches that get the same packets.
struct Set {
    group: &'static str,
    kind: Kind,
    sizes: Sizes,
    batch: usize,
    streams: u32,
    cold: bool,
}

impl Set {
    const fn of(group: &'static str, kind: Kind, sizes: Sizes) -> Self {
        Self { group, kind, sizes, batch: 64, streams: 1, cold: false }
    }

    fn name(&self) -> String {
        let Self { group, kind, sizes, batch, streams, .. } = self;
        let streams = if *streams == 1 { String::new() } else { format!("/{streams}ssrc") };
        format!("{group}/{}/{}/b{batch}{streams}", kind.name, sizes.name)
    }

    fn workload(&self) -> Workload {
        let packets = if self.cold { 16384 } else { (2 * self.streams as usize).max(8192) };
        Workload { kind: self.kind, sizes: self.sizes, streams: self.streams, packets }
    }

    fn track(&self) -> Track {
        let feed = Feed::new(&self.workload());
        if self.cold { Track::cold(feed) } else { Track::hot(feed) }
    }
}

fn bench(criterion: &mut Criterion, set: &Set) {
    let workload = set.workload();
    let track = RefCell::new(None);
    let mut table = Vec::new();
    let mut group = criterion.benchmark_group(set.name());
    group.throughput(Throughput::Elements(1));
    for backend in Backend::available().iter().rev() {
        let ours = || Ours::new(&workload, *backend, set.batch);
        table.push(measure(&mut group, ours, &track, set));
    }
    table.push(measure(&mut group, || Webrtc::new(&workload), &track, set));
    table.push(measure(&mut group, || Rtc::new(&workload), &track, set));
    group.finish();
    print(&set.name(), &table);
}

/// One receiver. Neither it nor the packets are made unless a filter lets it run.
fn measure<C: Contender>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    receiver: impl Fn() -> C,
    track: &RefCell<Option<Track>>,
    set: &Set,
) -> (String, Option<f64>) {
    let (name, least) = (receiver().name(), Least::default());
    let mut ready = None;
    group.bench_function(&name, |bencher| {
        let mut track = track.borrow_mut();
        let track = track.get_or_insert_with(|| set.track());
        let receiver = ready.get_or_insert_with(|| {
            let mut receiver = receiver();
            track.check(&mut receiver);
            receiver
        });
        bencher.iter_custom(|packets| track.run(receiver, packets, &least));
    });
    (name, least.ns())
}

/// Least nanoseconds of each receiver, and what multiple of the first one's they are.
fn print(set: &str, table: &[(String, Option<f64>)]) {
    let ran: Vec<_> = table.iter().filter_map(|(name, ns)| Some((name, (*ns)?))).collect();
    let Some((_, ours)) = ran.first() else { return };
    let columns: Vec<_> =
        ran.iter().map(|(name, ns)| format!("{name} {ns:.1} ns ({:.2}x)", ns / ours)).collect();
    println!("least {set}: {}\n", columns.join(", "));
}
