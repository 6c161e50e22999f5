//! Arbitrary batches through every back end of the ciphers: octets, tags and verdicts are the same.

#![no_main]

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use mcast_srtp::srtp::{
    Backend, Cipher,
    internals::{self, CipherKey, CtrJob, GcmJob, ctr_batch, gcm_open_batch, gcm_seal_batch},
};

fuzz_target!(|input: &[u8]| {
    // An input that ends before the batch does is no batch.
    let _ = compare(&mut Unstructured::new(input));
});

fn compare(u: &mut Unstructured<'_>) -> Result<()> {
    let cm = keys(u, &[Cipher::AesCm128, Cipher::AesCm192, Cipher::AesCm256])?;
    let gcm = keys(u, &[Cipher::AesGcm128, Cipher::AesGcm256])?;
    let count = u.int_in_range(0..=64)?;
    let packets = (0..count).map(|_| Packet::new(u)).collect::<Result<Vec<_>>>()?;

    let (portable, kernels) = Backend::available().split_first().expect("one is always there");
    let streams = ctr(&cm, &packets, |jobs| ctr_batch(*portable, jobs));
    let sealed = gcm_seal(*portable, &gcm, &packets);
    let opened = gcm_open(*portable, &gcm, &packets, &sealed);
    for kernel in kernels {
        assert!(ctr(&cm, &packets, |jobs| ctr_batch(*kernel, jobs)) == streams, "{kernel}");
        assert!(gcm_seal(*kernel, &gcm, &packets) == sealed, "{kernel}");
        assert!(gcm_open(*kernel, &gcm, &packets, &sealed) == opened, "{kernel}");
    }
    #[cfg(target_arch = "x86_64")]
    if !kernels.is_empty() {
        let with_aes_ni = |jobs: &mut [CtrJob<'_>]| assert!(internals::ctr_batch_with_aes_ni(jobs));
        assert!(ctr(&cm, &packets, with_aes_ni) == streams, "AES-NI");
    }
    // A forged packet is as it came, any other as it was before it was sealed.
    for (i, (packet, (text, ok))) in packets.iter().zip(opened).enumerate() {
        assert_eq!(ok, packet.flipped.is_none());
        assert!(text == if ok { &packet.text } else { &sealed[i].0 }[..]);
    }
    Ok(())
}

struct Packet {
    key: usize,
    iv: [u8; 16],
    aad: [Vec<u8>; 2],
    text: Vec<u8>,
    /// A bit of the tag that changes on the way.
    flipped: Option<usize>,
}

impl Packet {
    fn new(u: &mut Unstructured<'_>) -> Result<Self> {
        // Mostly one key, short text and a bare header, so that neighbours are alike.
        let rare = |u: &mut Unstructured<'_>| u.ratio(1, 4);
        let key = if rare(u)? { u.int_in_range(0..=3)? } else { 0 };
        let len = if rare(u)? { u.int_in_range(0..=1500)? } else { u.int_in_range(0..=64)? };
        let first = if rare(u)? { u.int_in_range(0..=100)? } else { 12 };
        let second = if rare(u)? { 4 } else { 0 };
        let flipped = if rare(u)? { Some(u.int_in_range(0..=127)?) } else { None };
        let mut octets = |len| {
            // What the input does not have is zero: long packets must not need long inputs.
            let mut octets = vec![0; len];
            u.fill_buffer(&mut octets).map(|()| octets)
        };
        let (aad, text) = ([octets(first)?, octets(second)?], octets(len)?);
        Ok(Self { key, iv: u.arbitrary()?, aad, text, flipped })
    }
}

fn keys(u: &mut Unstructured<'_>, ciphers: &[Cipher]) -> Result<Vec<CipherKey>> {
    let key = |i: usize| {
        let cipher = ciphers[i % ciphers.len()];
        let mut octets = [0; 32];
        u.fill_buffer(&mut octets)?;
        Ok(CipherKey::new(cipher, &octets[..cipher.key_len()]))
    };
    (0..4).map(key).collect()
}

fn ctr(keys: &[CipherKey], packets: &[Packet], batch: impl Fn(&mut [CtrJob<'_>])) -> Vec<Vec<u8>> {
    let mut texts: Vec<_> = packets.iter().map(|p| p.text.clone()).collect();
    let jobs = packets.iter().zip(&mut texts);
    let mut jobs: Vec<_> =
        jobs.map(|(p, data)| CtrJob { key: &keys[p.key], iv: p.iv, data }).collect();
    batch(&mut jobs);
    texts
}

fn gcm_seal(backend: Backend, keys: &[CipherKey], packets: &[Packet]) -> Vec<(Vec<u8>, [u8; 16])> {
    let mut texts: Vec<_> = packets.iter().map(|p| p.text.clone()).collect();
    let jobs = packets.iter().zip(&mut texts);
    let mut jobs: Vec<_> = jobs.map(|(p, data)| job(keys, p, data, [0; 16])).collect();
    gcm_seal_batch(backend, &mut jobs);
    let tags: Vec<_> = jobs.iter().map(|job| job.tag).collect();
    texts.into_iter().zip(tags).collect()
}

fn gcm_open(
    backend: Backend,
    keys: &[CipherKey],
    packets: &[Packet],
    sealed: &[(Vec<u8>, [u8; 16])],
) -> Vec<(Vec<u8>, bool)> {
    let mut texts: Vec<_> = sealed.iter().map(|(text, _)| text.clone()).collect();
    let mut jobs = Vec::new();
    for ((packet, data), (_, tag)) in packets.iter().zip(&mut texts).zip(sealed) {
        let mut tag = *tag;
        if let Some(bit) = packet.flipped {
            tag[bit / 8] ^= 1 << (bit % 8);
        }
        jobs.push(job(keys, packet, data, tag));
    }
    let mut ok = vec![false; jobs.len()];
    gcm_open_batch(backend, &mut jobs, &mut ok);
    texts.into_iter().zip(ok).collect()
}

fn job<'a>(
    keys: &'a [CipherKey],
    packet: &'a Packet,
    data: &'a mut [u8],
    tag: [u8; 16],
) -> GcmJob<'a> {
    let iv = *packet.iv.first_chunk::<12>().expect("12 of 16 octets");
    let aad = [&packet.aad[0][..], &packet.aad[1][..]];
    GcmJob { key: &keys[packet.key], iv: iv.into(), aad, data, tag }
}
