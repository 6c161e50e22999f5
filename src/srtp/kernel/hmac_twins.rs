//! Every HMAC kernel against the portable twin.

use proptest::prelude::*;

use super::{
    Backend,
    hmac::{HmacJob, HmacKey, hmac_batch},
    hmac_x86::{Kernels, hmac_on},
};

#[test]
fn every_length_up_to_1460_has_the_same_mac() {
    // Sixteen lanes; eight; four chains and two.
    for count in [16, 8, 6] {
        for len in 0..=1460 {
            let lens: Vec<_> = (0..count).map(|i| len + i % 2).collect();
            compare(&Packets::new(&lens));
        }
    }
    for len in 0..=1460 {
        compare(&Packets::new(&[len]));
        compare(&Packets::new(&[len; 3]));
    }
}

#[test]
fn messages_under_one_key_that_end_alike_have_the_same_macs() {
    for len in 0..=1460 {
        let counts = if len < 260 { &[8, 16, 21][..] } else { &[17] };
        for (count, suffix) in counts.iter().flat_map(|&n| [(n, None), (n, Some([7, 0, 0x80, 9]))])
        {
            let packet = |i: usize| Packet { key: 3, start: 5 * i, len, suffix };
            compare(&Packets::from((0..count).map(packet).collect()));
        }
    }
}

#[test]
fn one_message_among_alike_ones_with_another_key_length_or_suffix_has_its_own_mac() {
    let usual = Packet { key: 1, start: 0, len: 100, suffix: Some([0; 4]) };
    let key = Packet { key: 2, ..usual };
    let suffix = Packet { suffix: Some([0, 0, 0, 1]), ..usual };
    let bare = Packet { suffix: None, ..usual };
    for other in [key, suffix, bare, Packet { len: 99, ..usual }, Packet { len: 104, ..bare }] {
        for (count, place) in [(8, 0), (8, 7), (16, 9), (33, 32), (33, 1)] {
            let mut all = vec![usual; count];
            all[place] = other;
            compare(&Packets::from(all));
        }
    }
}

#[test]
fn a_few_long_messages_go_on_when_the_others_have_ended() {
    for count in [9_usize, 12, 16, 17, 20] {
        for long in 0..=count {
            for lens in [[160, 1200], [32, 100], [0, 4000]] {
                // Each long message by a block more than the one before it.
                let len = |i| if i < long { lens[1] + 64 * i } else { lens[0] };
                let lens: Vec<_> = (0..count).map(|i| len(i * 7 % count)).collect();
                compare(&Packets::new(&lens));
            }
        }
    }
}

#[test]
fn batches_beyond_64_and_messages_beyond_any_datagram_are_hashed_too() {
    let lens: Vec<_> = (0..150).map(|i| i * 29 % 700).collect();
    compare(&Packets::new(&lens));
    compare(&Packets::new(&[160, 1 << 18, 32]));
}

#[test]
fn tags_without_a_job_are_left_alone() {
    let packets = Packets::new(&[100; 20]);
    for kernels in Kernels::available() {
        for (jobs, tags) in [(0, 4), (1, 3), (9, 20), (16, 17), (20, 5), (20, 0)] {
            let mut macs = vec![[7; 20]; tags];
            hmac_on(kernels, &packets.jobs()[..jobs], &mut macs);
            let expected = packets.portable();
            let expected = expected[..jobs].iter().chain([&[7; 20]; 20]).take(tags);
            assert!(macs.iter().eq(expected), "{kernels:?} {jobs} {tags}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_batch_has_the_same_macs(packets in packets()) {
        compare(&packets);
    }
}

fn compare(packets: &Packets) {
    let expected = packets.portable();
    for kernels in Kernels::available() {
        let mut macs = vec![[0; 20]; packets.all.len()];
        hmac_on(kernels, &packets.jobs(), &mut macs);
        assert!(macs == expected, "{kernels:?} {packets:?}");
    }
}

struct Packets {
    keys: Vec<HmacKey>,
    data: Vec<u8>,
    all: Vec<Packet>,
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    key: usize,
    start: usize,
    len: usize,
    suffix: Option<[u8; 4]>,
}

impl Packets {
    /// Messages of these lengths, of several alignments, keys, and suffixes.
    fn new(lens: &[usize]) -> Self {
        let packet = |(i, &len): (usize, &usize)| Packet {
            key: i % 5,
            start: (len + 3 * i) % 64,
            len,
            suffix: ((len + i) % 3 > 0).then_some([i as u8, len as u8, 0x80, 0xff]),
        };
        Self::from(lens.iter().enumerate().map(packet).collect())
    }

    fn from(all: Vec<Packet>) -> Self {
        let end = all.iter().map(|p| p.start + p.len).max().unwrap_or_default();
        Self {
            keys: (0..8).map(|i| HmacKey::new(&[i; 20])).collect(),
            data: (0..end as u32).map(|i| (i.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect(),
            all,
        }
    }

    fn jobs(&self) -> Vec<HmacJob<'_>> {
        let job = |p: &Packet| HmacJob {
            key: &self.keys[p.key],
            message: &self.data[p.start..][..p.len],
            suffix: p.suffix,
        };
        self.all.iter().map(job).collect()
    }

    fn portable(&self) -> Vec<[u8; 20]> {
        let mut macs = vec![[0; 20]; self.all.len()];
        hmac_batch(Backend::Portable, &self.jobs(), &mut macs);
        macs
    }
}

impl std::fmt::Debug for Packets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.all.fmt(f)
    }
}

/// Mostly messages of few lengths, as a batch has them.
fn packets() -> impl Strategy<Value = Packets> {
    let len =
        prop_oneof![2 => Just(44_usize), 2 => Just(172), 1 => Just(1212), 3 => 0..=1500_usize];
    let packet = (0..8_usize, 0..64_usize, len, any::<Option<[u8; 4]>>())
        .prop_map(|(key, start, len, suffix)| Packet { key, start, len, suffix });
    proptest::collection::vec(packet, 0..=64).prop_map(Packets::from)
}
