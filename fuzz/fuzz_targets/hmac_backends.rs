//! Arbitrary batches through every back end of HMAC-SHA1: the MACs are the same.

#![no_main]

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
#[cfg(target_arch = "x86_64")]
use mcast_srtp::srtp::internals::{HmacKernels, hmac_on};
use mcast_srtp::srtp::{
    Backend,
    internals::{HmacJob, HmacKey, hmac_batch},
};

fuzz_target!(|input: &[u8]| {
    // An input that ends before the batch does is no batch.
    let _ = compare(&mut Unstructured::new(input));
});

fn compare(u: &mut Unstructured<'_>) -> Result<()> {
    let keys = (0..4).map(|_| Ok(HmacKey::new(&u.arbitrary::<[u8; 20]>()?)));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let count = u.int_in_range(0..=80)?;
    let messages = (0..count).map(|_| Message::new(u)).collect::<Result<Vec<_>>>()?;
    let jobs = messages.iter().map(|m| HmacJob {
        key: &keys[m.key],
        message: &m.octets[m.start..],
        suffix: m.suffix,
    });
    let jobs: Vec<_> = jobs.collect();

    let mut expected = vec![[0; 20]; count];
    hmac_batch(Backend::Portable, &jobs, &mut expected);
    for backend in Backend::available() {
        let mut macs = vec![[0; 20]; count];
        hmac_batch(*backend, &jobs, &mut macs);
        assert!(macs == expected, "{backend}");
    }
    #[cfg(target_arch = "x86_64")]
    for kernels in HmacKernels::available() {
        let mut macs = vec![[0; 20]; count];
        hmac_on(kernels, &jobs, &mut macs);
        assert!(macs == expected, "{kernels:?}");
    }
    Ok(())
}

struct Message {
    key: usize,
    /// Where the message begins, so that it lies on any boundary.
    start: usize,
    octets: Vec<u8>,
    suffix: Option<[u8; 4]>,
}

impl Message {
    fn new(u: &mut Unstructured<'_>) -> Result<Self> {
        // Mostly of one length and with a suffix, so that neighbours are alike.
        let rare = |u: &mut Unstructured<'_>| u.ratio(1, 4);
        let key = u.int_in_range(0..=3)?;
        let start = u.int_in_range(0..=63)?;
        let len = if rare(u)? { u.int_in_range(0..=1500)? } else { 172 };
        let suffix = if rare(u)? { None } else { Some(u.arbitrary()?) };
        // What the input does not have is zero: long messages must not need long inputs.
        let mut octets = vec![0; start + len];
        u.fill_buffer(&mut octets)?;
        Ok(Self { key, start, octets, suffix })
    }
}
