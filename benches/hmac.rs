//! HMAC-SHA1 alone, on every set of kernels: nanoseconds per packet and per key.
//!
//! `cargo bench --features internals --bench hmac [FILTER]`. Prints the least of many repetitions:
//! what the code takes when nothing else runs, which is what one version can be compared by with
//! another on a noisy machine. The constants of `src/srtp/kernel/hmac_x86.rs` come from here.

use std::{hint::black_box, time::Instant};

#[cfg(target_arch = "x86_64")]
use mcast_srtp::srtp::internals::{HmacKernels, hmac_on};
use mcast_srtp::srtp::{
    Backend,
    internals::{HmacJob, HmacKey, hmac_batch},
};

fn main() {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with("--")).unwrap_or_default();
    for (name, run) in contenders() {
        for (shape, lens) in SHAPES {
            for batch in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 24, 64] {
                for keys in [1, 8] {
                    let name = format!("{name}/{shape}/{batch}, keys {keys}");
                    if name.contains(&filter) {
                        println!("{name:44} {:8.1} ns", packets(&run, lens, batch, keys));
                    }
                }
            }
        }
    }
    if "set-up and erasure".contains(&filter) {
        let set_up = || drop(black_box(HmacKey::new(black_box(&[7; 20]))));
        println!("{:36} {:8.1} ns", "set-up and erasure", least(1, set_up));
    }
}

type Run = Box<dyn Fn(&[HmacJob<'_>], &mut [[u8; 20]])>;

/// The portable twin, and each set of kernels there is; the first of these is what is chosen here.
fn contenders() -> Vec<(String, Run)> {
    let portable = |jobs: &[HmacJob<'_>], tags: &mut [_]| hmac_batch(Backend::Portable, jobs, tags);
    let mut all: Vec<(String, Run)> = vec![("portable".into(), Box::new(portable))];
    #[cfg(target_arch = "x86_64")]
    for kernels in HmacKernels::available() {
        let lanes = if kernels.wide { "16 and 8 lanes (AVX-512)" } else { "8 lanes (AVX2)" };
        let name = match (kernels.wide, kernels.chains) {
            (false, true) => "chains".into(),
            (true, true) => format!("{lanes}, chains"),
            (_, false) => lanes.into(),
        };
        all.push((name, Box::new(move |jobs, tags| hmac_on(kernels, jobs, tags))));
    }
    all
}

/// Payloads; header and ROC come on top.
const SHAPES: [(&str, &[usize]); 6] = [
    ("32", &[32]),
    ("160", &[160]),
    ("1200", &[1200]),
    ("160+1200", &[160, 1200]),
    ("mostly 160", &[160, 160, 160, 160, 160, 160, 160, 160, 160, 160, 160, 160, 1200]),
    ("mix", &[32, 160, 1200, 61, 160, 32, 90, 333]),
];

/// Least time per packet: packets in slots of 2 KiB, as an arena of datagrams has them, under
/// these keys in turn.
fn packets(run: &Run, lens: &[usize], batch: usize, keys: u8) -> f64 {
    let keys: Vec<_> = (0..keys).map(|i| HmacKey::new(&[i; 20])).collect();
    let slots = vec![[0x5a; 2112]; batch];
    let jobs = slots.iter().enumerate().map(|(i, slot)| HmacJob {
        key: &keys[i % keys.len()],
        message: &slot[..12 + lens[i % lens.len()]],
        suffix: Some([0, 0, 0, 1]),
    });
    let jobs: Vec<_> = jobs.collect();
    let mut tags = vec![[0; 20]; batch];
    least(batch, || run(black_box(&jobs), black_box(&mut tags)))
}

/// Least time of a run of `work`, divided over `units`.
fn least(units: usize, mut work: impl FnMut()) -> f64 {
    // A few packets are shorter than the clock is exact.
    let times = 64_usize.div_ceil(units);
    let round = |_| {
        let start = Instant::now();
        (0..times).for_each(|_| work());
        start.elapsed().as_nanos()
    };
    let best = (0..ROUNDS).map(round).min().unwrap_or_default();
    best as f64 / (times * units) as f64
}

const ROUNDS: usize = 2000;
