//! Counter mode and GCM alone, on every back end: nanoseconds per packet and per key.
//!
//! `cargo bench --features internals --bench ctr_gcm [FILTER]`. Prints the least of many repetitions:
//! what the code takes when nothing else runs, which is what one version can be compared by with
//! another on a noisy machine.

use std::{hint::black_box, time::Instant};

use mcast_srtp::srtp::{
    Backend, Cipher,
    internals::{CipherKey, CtrJob, GcmJob, ctr_batch, gcm_open_batch, gcm_seal_batch},
};

fn main() {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with("--")).unwrap_or_default();
    let bench = |name: String, ns: &mut dyn FnMut() -> f64| {
        if name.contains(&filter) {
            println!("{name:44} {:8.1} ns", ns());
        }
    };
    for &backend in Backend::available().iter().rev() {
        for cipher in [Cipher::AesCm128, Cipher::AesCm256, Cipher::AesGcm128, Cipher::AesGcm256] {
            for (shape, lens) in SHAPES {
                for (batch, keys) in [(64, 1), (64, 64), (8, 1), (1, 1)] {
                    let mut set = Packets::new(cipher, lens, batch, keys);
                    let name =
                        |what| format!("{backend}/{what}/{cipher:?}/{shape}/{batch}p{keys}k");
                    if cipher.is_aead() {
                        bench(name("open"), &mut || set.open(backend));
                        bench(name("seal"), &mut || set.seal(backend));
                    } else {
                        bench(name("ctr"), &mut || set.ctr(backend));
                    }
                }
            }
        }
    }
    for cipher in [Cipher::AesCm128, Cipher::AesCm256, Cipher::AesGcm128, Cipher::AesGcm256] {
        let key = vec![7; cipher.key_len()];
        let set_up = || drop(black_box(CipherKey::new(cipher, black_box(&key))));
        bench(format!("set-up and erasure/{cipher:?}"), &mut || least(1, set_up));
    }
}

const SHAPES: [(&str, &[usize]); 7] = [
    ("32", &[32]),
    ("48", &[48]),
    ("61", &[61]),
    ("160", &[160]),
    ("333", &[333]),
    ("1200", &[1200]),
    ("mix", &[32, 160, 1200, 61, 160, 32, 90, 333]),
];

/// A batch in slots of 2 KiB, as an arena of datagrams has them, payload 12 octets behind the start.
struct Packets {
    keys: Vec<CipherKey>,
    lens: &'static [usize],
    slots: Vec<[u8; 2112]>,
    tags: Vec<[u8; 16]>,
}

impl Packets {
    fn new(cipher: Cipher, lens: &'static [usize], batch: usize, keys: usize) -> Self {
        let keys = (0..keys).map(|i| CipherKey::new(cipher, &vec![i as u8; cipher.key_len()]));
        let mut new = Self {
            keys: keys.collect(),
            lens,
            slots: vec![[0x5a; 2112]; batch],
            tags: vec![[0; 16]; batch],
        };
        if cipher.is_aead() {
            let mut jobs = gcm_jobs(&new.keys, new.lens, &mut new.slots, &new.tags);
            gcm_seal_batch(Backend::detect(), &mut jobs);
            new.tags = jobs.iter().map(|job| job.tag).collect();
        }
        new
    }

    fn ctr(&mut self, backend: Backend) -> f64 {
        let keys = &self.keys;
        let mut jobs: Vec<_> = self
            .slots
            .iter_mut()
            .enumerate()
            .map(|(i, slot)| CtrJob {
                key: &keys[i % keys.len()],
                iv: [i as u8; 16],
                data: &mut slot[12..12 + self.lens[i % self.lens.len()]],
            })
            .collect();
        least(jobs.len(), || ctr_batch(backend, black_box(&mut jobs)))
    }

    /// Every second round opens; the rounds between seal again and are not timed.
    fn open(&mut self, backend: Backend) -> f64 {
        let mut jobs = gcm_jobs(&self.keys, self.lens, &mut self.slots, &self.tags);
        let mut ok = vec![false; jobs.len()];
        let mut best = f64::MAX;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            gcm_open_batch(backend, black_box(&mut jobs), &mut ok);
            best = best.min(start.elapsed().as_nanos() as f64);
            assert!(ok.iter().all(|ok| *ok), "what was sealed opens");
            gcm_seal_batch(Backend::detect(), &mut jobs);
        }
        best / jobs.len() as f64
    }

    fn seal(&mut self, backend: Backend) -> f64 {
        let mut jobs = gcm_jobs(&self.keys, self.lens, &mut self.slots, &self.tags);
        let ns = least(jobs.len(), || gcm_seal_batch(backend, black_box(&mut jobs)));
        self.tags = jobs.iter().map(|job| job.tag).collect();
        ns
    }
}

fn gcm_jobs<'a>(
    keys: &'a [CipherKey],
    lens: &[usize],
    slots: &'a mut [[u8; 2112]],
    tags: &[[u8; 16]],
) -> Vec<GcmJob<'a>> {
    let job = |(i, (slot, tag)): (usize, (&'a mut [u8; 2112], &[u8; 16]))| {
        let (header, payload) = slot.split_at_mut(12);
        GcmJob {
            key: &keys[i % keys.len()],
            iv: [i as u8; 12].into(),
            aad: [header, &[]],
            data: &mut payload[..lens[i % lens.len()]],
            tag: *tag,
        }
    };
    slots.iter_mut().zip(tags).enumerate().map(job).collect()
}

/// Least time of a run of `work`, divided over `units`, each called once per round.
fn least(units: usize, mut work: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        if units == 1 {
            // One packet is shorter than the clock is exact.
            (0..64).for_each(|_| work());
        } else {
            work();
        }
        best = best.min(start.elapsed().as_nanos() as f64);
    }
    best / if units == 1 { 64.0 } else { units as f64 }
}

const ROUNDS: usize = 2000;
