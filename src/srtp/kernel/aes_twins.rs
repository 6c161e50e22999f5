//! Every AES kernel against its portable twin, and the twin against RustCrypto's `aes-gcm`.

use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit, aead::AeadInOut};
use proptest::prelude::*;

use super::{
    Backend,
    cipher::{CipherKey, CtrJob, GcmJob, ctr_batch, gcm_open_batch, gcm_seal_batch},
};
use crate::srtp::Cipher;

const CM: [Cipher; 3] = [Cipher::AesCm128, Cipher::AesCm192, Cipher::AesCm256];
const GCM: [Cipher; 2] = [Cipher::AesGcm128, Cipher::AesGcm256];

fn kernels() -> impl Iterator<Item = Backend> {
    Backend::available().iter().copied().filter(|b| *b != Backend::Portable)
}

#[test]
fn every_length_up_to_1460_gets_the_same_keystream() {
    for cipher in CM {
        let key = &CipherKey::new(cipher, &noise(1, cipher.key_len()));
        for backend in kernels() {
            for len in 0..=1460 {
                for lens in [vec![len], vec![len, len + 1]] {
                    let mut packets: Vec<_> = lens
                        .iter()
                        .map(|len| Packet::new(*len as u64, key, *len, [12, 0]))
                        .collect();
                    compare_ctr(backend, &mut packets);
                }
            }
        }
    }
}

#[test]
fn every_length_up_to_1460_opens_and_seals_the_same() {
    for cipher in GCM {
        let key = &CipherKey::new(cipher, &noise(2, cipher.key_len()));
        for backend in kernels() {
            for len in 0..=1460 {
                // Alone; five alike, of which four can go abreast; a step of a block among them.
                let together = [vec![len; 5], vec![len, len + 1, len + 2, len + 3]];
                let together = together.into_iter().filter(|_| len <= 300);
                for lens in [vec![len]].into_iter().chain(together) {
                    let mut packets: Vec<_> = lens
                        .iter()
                        .map(|len| Packet::new(*len as u64, key, *len, [12, 0]))
                        .collect();
                    compare_gcm(backend, &mut packets);
                }
            }
        }
    }
}

#[test]
fn every_length_of_associated_data_is_hashed_the_same() {
    for cipher in GCM {
        let key = &CipherKey::new(cipher, &noise(3, cipher.key_len()));
        for backend in kernels() {
            for first in 0..=300 {
                for second in [0, 1, 4, 17] {
                    for len in [0, 32, 300] {
                        let mut packets: Vec<_> =
                            (0..4).map(|i| Packet::new(i, key, len, [first, second])).collect();
                        compare_gcm(backend, &mut packets);
                    }
                }
            }
        }
    }
}

#[test]
fn forged_packets_are_left_as_they_came_whatever_lies_beside_them() {
    let key = &CipherKey::new(Cipher::AesGcm128, &noise(4, 16));
    for &backend in Backend::available() {
        for len in [0, 1, 15, 16, 32, 160, 255, 256, 257, 600] {
            for forged in 0..64_u32 {
                let mut packets: Vec<_> =
                    (0..6).map(|i| Packet::new(i, key, len, [12, 0])).collect();
                seal(backend, &mut packets);
                for (i, packet) in packets.iter_mut().enumerate() {
                    if forged >> i & 1 == 1 {
                        // Each octet of the tag counts.
                        packet.tag[(forged as usize + 5 * i) % 16] ^= 1 << (i % 8);
                    }
                }
                let before: Vec<_> = packets.iter().map(|p| p.data.clone()).collect();
                let ok = open(backend, &mut packets);
                for (i, packet) in packets.iter().enumerate() {
                    let good = forged >> i & 1 == 0;
                    assert_eq!(ok[i], good, "{backend} {len}");
                    let expected = if good { &packet.plain } else { &before[i] };
                    assert!(packet.data == *expected, "{backend} {len}");
                }
            }
        }
    }
}

#[test]
fn a_packet_that_failed_opens_under_another_iv() {
    let key = &CipherKey::new(Cipher::AesGcm256, &noise(5, 32));
    for &backend in Backend::available() {
        let mut packets = vec![Packet::new(1, key, 160, [12, 0])];
        seal(backend, &mut packets);
        packets[0].iv[9] ^= 1;
        assert_eq!(open(backend, &mut packets), [false]);
        packets[0].iv[9] ^= 1;
        assert_eq!(open(backend, &mut packets), [true]);
        assert!(packets[0].data == packets[0].plain);
    }
}

#[test]
fn nothing_opens_under_a_key_for_another_cipher() {
    let cm = &CipherKey::new(Cipher::AesCm128, &noise(6, 16));
    for &backend in Backend::available() {
        let mut packets: Vec<_> = (0..5).map(|i| Packet::new(i, cm, 32, [12, 0])).collect();
        assert_eq!(open(backend, &mut packets), [false; 5]);
        assert!(packets.iter().all(|p| p.data == p.plain));
    }
}

#[test]
fn twin_agrees_with_a_second_implementation_of_gcm() {
    for len in [0, 1, 16, 33, 160, 1200] {
        for aad in [0, 5, 12, 16, 76] {
            let packet = |key| Packet::new(7, key, len, [aad, 0]);
            let (k128, k256) = (noise(8, 16), noise(9, 32));

            let key = CipherKey::new(Cipher::AesGcm128, &k128);
            let mut packets = [packet(&key)];
            seal(Backend::Portable, &mut packets);
            let other = Aes128Gcm::new_from_slice(&k128).unwrap();
            packets[0].check(&other);

            let key = CipherKey::new(Cipher::AesGcm256, &k256);
            let mut packets = [packet(&key)];
            seal(Backend::Portable, &mut packets);
            let other = Aes256Gcm::new_from_slice(&k256).unwrap();
            packets[0].check(&other);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_batch_of_keystreams_is_the_same(shapes in shapes()) {
        let keys: Vec<_> = (0..6).map(|i| CipherKey::new(CM[i % 3], &noise(i as u64, CM[i % 3].key_len()))).collect();
        for backend in kernels() {
            let mut packets: Vec<_> = shapes.iter().map(|s| s.packet(&keys)).collect();
            compare_ctr(backend, &mut packets);
        }
    }

    #[test]
    fn any_batch_of_aead_packets_is_the_same(shapes in shapes()) {
        let keys: Vec<_> = (0..6).map(|i| CipherKey::new(GCM[i % 2], &noise(i as u64, GCM[i % 2].key_len()))).collect();
        for backend in kernels() {
            let mut packets: Vec<_> = shapes.iter().map(|s| s.packet(&keys)).collect();
            compare_gcm(backend, &mut packets);
        }
    }
}

/// A packet of any make: mostly short, so that neighbours have as many blocks by chance.
#[derive(Clone, Debug)]
struct Shape {
    seed: u64,
    key: usize,
    len: usize,
    offset: usize,
    aad: [usize; 2],
}

impl Shape {
    fn packet<'a>(&self, keys: &'a [CipherKey]) -> Packet<'a> {
        let packet = Packet::new(self.seed, &keys[self.key % keys.len()], self.len, self.aad);
        Packet { offset: self.offset, ..packet }
    }
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let len = prop_oneof![3 => 0..80_usize, 2 => 150..170_usize, 1 => 0..1500_usize];
    let aad = (
        prop_oneof![3 => Just(12_usize), 1 => 0..100_usize],
        prop_oneof![4 => Just(0_usize), 1 => Just(4)],
    );
    let key = prop_oneof![4 => Just(0_usize), 1 => 0..6_usize];
    let shape = (any::<u64>(), key, len, 0..64_usize, aad).prop_map(
        |(seed, key, len, offset, (first, second))| Shape {
            seed,
            key,
            len,
            offset,
            aad: [first, second],
        },
    );
    prop::collection::vec(shape, 0..=64)
}

/// One packet and what it should be.
struct Packet<'a> {
    key: &'a CipherKey,
    iv: [u8; 16],
    aad: [Vec<u8>; 2],
    /// Where its data lies behind an aligned address.
    offset: usize,
    plain: Vec<u8>,
    data: Vec<u8>,
    tag: [u8; 16],
}

impl<'a> Packet<'a> {
    fn new(seed: u64, key: &'a CipherKey, len: usize, aad: [usize; 2]) -> Self {
        let plain = noise(seed, len);
        Self {
            key,
            // Now and then a counter that wraps.
            iv: if seed.is_multiple_of(5) {
                [0xff; 16]
            } else {
                noise(!seed, 16).try_into().unwrap()
            },
            aad: aad.map(|len| noise(seed ^ 0xaad, len)),
            offset: 12,
            data: plain.clone(),
            plain,
            tag: [0; 16],
        }
    }

    fn check(
        &self,
        other: &impl AeadInOut<
            NonceSize = aes_gcm::aead::consts::U12,
            TagSize = aes_gcm::aead::consts::U16,
        >,
    ) {
        let mut data = self.plain.clone();
        let nonce = self.iv[..12].try_into().unwrap();
        let tag =
            other.encrypt_inout_detached(&nonce, &self.aad[0], data.as_mut_slice().into()).unwrap();
        assert_eq!((&data, tag.as_slice()), (&self.data, &self.tag[..]));
    }
}

fn compare_ctr(backend: Backend, packets: &mut [Packet<'_>]) {
    let run = |ctr: &dyn Fn(&mut [CtrJob<'_>])| {
        let mut arenas: Vec<_> = packets.iter().map(Arena::of).collect();
        let jobs = arenas.iter_mut().zip(&*packets);
        let mut jobs: Vec<_> =
            jobs.map(|(arena, p)| CtrJob { key: p.key, iv: p.iv, data: arena.data() }).collect();
        ctr(&mut jobs);
        drop(jobs);
        arenas.iter().map(Arena::check_guards).collect::<Vec<_>>()
    };
    let expected = run(&|jobs| ctr_batch(Backend::Portable, jobs));
    let mut all_made = vec![run(&|jobs| ctr_batch(backend, jobs))];
    #[cfg(target_arch = "x86_64")]
    if backend == Backend::Avx2 {
        all_made.push(run(&|jobs| assert!(super::cipher::ctr_batch_with_aes_ni(jobs))));
    }
    for made in all_made {
        for ((packet, made), expected) in packets.iter().zip(&made).zip(&expected) {
            assert!(made == expected, "{backend}, {} octets", packet.plain.len());
        }
    }
}

fn compare_gcm(backend: Backend, packets: &mut [Packet<'_>]) {
    seal(Backend::Portable, packets);
    let expected: Vec<_> = packets.iter().map(|p| (p.data.clone(), p.tag)).collect();
    packets.iter_mut().for_each(|p| p.data.clone_from(&p.plain));
    seal(backend, packets);
    for (packet, expected) in packets.iter().zip(&expected) {
        let aad = packet.aad.each_ref().map(Vec::len);
        assert!(
            (&packet.data, &packet.tag) == (&expected.0, &expected.1),
            "{backend}, {} octets sealed, {aad:?}",
            packet.plain.len()
        );
    }
    assert!(open(backend, packets).iter().all(|ok| *ok), "{backend}");
    assert!(packets.iter().all(|p| p.data == p.plain), "{backend}");
}

fn seal(backend: Backend, packets: &mut [Packet<'_>]) {
    with_jobs(packets, |jobs| gcm_seal_batch(backend, jobs));
}

fn open(backend: Backend, packets: &mut [Packet<'_>]) -> Vec<bool> {
    with_jobs(packets, |jobs| {
        // A stale verdict must not survive.
        let mut ok: Vec<_> = (0..jobs.len()).map(|i| i % 2 == 0).collect();
        gcm_open_batch(backend, jobs, &mut ok);
        ok
    })
}

fn with_jobs<T>(packets: &mut [Packet<'_>], work: impl FnOnce(&mut [GcmJob<'_>]) -> T) -> T {
    let mut arenas: Vec<_> = packets.iter().map(Arena::of).collect();
    let mut jobs = Vec::new();
    for (arena, p) in arenas.iter_mut().zip(&*packets) {
        let iv = *p.iv.first_chunk::<12>().unwrap();
        let aad = [&p.aad[0][..], &p.aad[1][..]];
        jobs.push(GcmJob { key: p.key, iv: iv.into(), aad, data: arena.data(), tag: p.tag });
    }
    let result = work(&mut jobs);
    let tags: Vec<_> = jobs.iter().map(|job| job.tag).collect();
    for ((packet, arena), tag) in packets.iter_mut().zip(&arenas).zip(tags) {
        packet.data = arena.check_guards();
        packet.tag = tag;
    }
    result
}

/// Data at an offset between octets that must stay as they are.
struct Arena {
    octets: Vec<u8>,
    start: usize,
    len: usize,
}

impl Arena {
    const GUARD: usize = 192;

    fn of(packet: &Packet<'_>) -> Self {
        let len = packet.data.len();
        let mut octets = vec![0xa5; Self::GUARD + packet.offset + len + Self::GUARD];
        let start = Self::GUARD + packet.offset;
        octets[start..start + len].copy_from_slice(&packet.data);
        Self { octets, start, len }
    }

    fn data(&mut self) -> &mut [u8] {
        &mut self.octets[self.start..self.start + self.len]
    }

    /// The data, once nothing around it is found changed.
    fn check_guards(&self) -> Vec<u8> {
        let (before, rest) = self.octets.split_at(self.start);
        let (data, behind) = rest.split_at(self.len);
        assert!(before.iter().chain(behind).all(|octet| *octet == 0xa5), "write outside the data");
        data.to_vec()
    }
}

/// Octets that look random and depend on the seed alone.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}
