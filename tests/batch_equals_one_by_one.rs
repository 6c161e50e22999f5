//! Whatever a batch contains, it ends as if its packets had come one by one.

#[path = "common/suites.rs"]
mod suites;

use std::{sync::Arc, time::Duration};

use mcast_srtp::{
    Reject,
    ids::{PacketIndex, Roc, Seq, Ssrc},
    srtp::{
        Backend, KeyRing, Opened, Outgoing, Packet, PacketKind, Profile, Protector, SessionId,
        StreamLimits, TrafficKey, Unprotector, Verdict,
    },
};
use proptest::prelude::*;
use suites::{KEYS, keys, keys_with};

/// What happens to one packet on its way.
#[derive(Clone, Debug)]
struct Sent {
    ssrc: u32,
    /// Sequence number relative to the stream's start, which lies shortly before a wrap.
    offset: u16,
    /// How many further wraps lie between.
    wraps: u32,
    rtcp: bool,
    key: usize,
    len: usize,
    damage: Damage,
    source: u32,
}

#[derive(Clone, Debug)]
enum Damage {
    None,
    Flip(usize),
    Cut(usize),
    /// A sequence number far away, under a tag that does not match.
    Jump,
}

fn sent() -> impl Strategy<Value = Sent> {
    let damage = prop_oneof![
        12 => Just(Damage::None),
        2 => any::<usize>().prop_map(Damage::Flip),
        1 => any::<usize>().prop_map(Damage::Cut),
        1 => Just(Damage::Jump),
    ];
    let len = prop_oneof![0..40_usize, 150..170_usize, 1000..1300_usize];
    let wraps = prop_oneof![15 => Just(0), 1 => 1..5_u32];
    let place = (0..5_u32, 0..90_u16, wraps);
    (place, prop::bool::weighted(0.2), 0..KEYS, len, damage, 0..3_u32).prop_map(
        |((ssrc, offset, wraps), rtcp, key, len, damage, source)| Sent {
            ssrc,
            offset,
            wraps,
            rtcp,
            key,
            len,
            damage,
            source: source / 2,
        },
    )
}

/// Streams start at ROC 0 to 3, close below the wrap.
fn index(s: &Sent) -> PacketIndex {
    let start = PacketIndex::new(Roc(s.ssrc % 4 + s.wraps), Seq(0xffd8));
    PacketIndex::from_value(start.value() + u64::from(s.offset))
}

fn plain(s: &Sent) -> Vec<u8> {
    let seq = index(s).seq().0.to_be_bytes();
    let mut packet =
        if s.rtcp { vec![0x80, 204, 0, 2] } else { vec![0x80, 97, seq[0], seq[1], 0, 0, 0, 1] };
    packet.extend(s.ssrc.to_be_bytes());
    if s.rtcp {
        packet.extend(b"PoC1");
    }
    packet.extend((0..s.len).map(|n| (n & 0xff) as u8));
    packet
}

/// The packets as they reach the receiver.
fn wire(sent: &[Sent], keys: &[Arc<TrafficKey>]) -> Vec<Vec<u8>> {
    sent.iter()
        .map(|s| {
            let mut sender = Protector::new();
            let mut packet = plain(s);
            sender.resume(Ssrc(s.ssrc), index(s));
            sender.resume_rtcp(Ssrc(s.ssrc), u32::from(s.offset));
            if s.rtcp {
                sender.protect_rtcp(&keys[s.key], &mut packet).unwrap();
            } else {
                sender.protect_rtp(&keys[s.key], &mut packet).unwrap();
            }
            match s.damage {
                Damage::None => {}
                Damage::Flip(bit) => {
                    let bit = bit % (8 * packet.len());
                    packet[bit / 8] ^= 1 << (bit % 8);
                }
                Damage::Cut(len) => packet.truncate(len % packet.len()),
                Damage::Jump => packet[2] ^= 0x90,
            }
            packet
        })
        .collect()
}

/// The keys in the order they were made in, newest first, or the other way round.
fn ring(keys: &[Arc<TrafficKey>], newest_first: bool) -> KeyRing {
    let mut keys = keys.to_vec();
    if newest_first {
        keys.reverse();
    }
    KeyRing::new(keys)
}

type Outcome = (Verdict, Vec<u8>);

fn outcome(verdict: Verdict, bytes: &[u8]) -> Outcome {
    // Of a refused packet only the verdict is defined.
    (verdict, verdict.map(|opened: Opened| bytes[..opened.len].to_vec()).unwrap_or_default())
}

fn one_by_one(
    wire: &[Vec<u8>],
    sent: &[Sent],
    ring: &KeyRing,
    limits: StreamLimits,
    backend: Backend,
) -> Vec<Outcome> {
    let mut receiver = Unprotector::with_backend(limits, backend);
    wire.iter()
        .zip(sent)
        .map(|(packet, sent)| {
            let mut bytes = packet.clone();
            let mut packet = packet_of(sent, ring, &mut bytes);
            let verdict = receiver.unprotect(&mut packet);
            outcome(verdict, &bytes)
        })
        .collect()
}

fn in_batches(
    wire: &[Vec<u8>],
    sent: &[Sent],
    ring: &KeyRing,
    limits: StreamLimits,
    backend: Backend,
    size: usize,
) -> Vec<Outcome> {
    let mut receiver = Unprotector::with_backend(limits, backend);
    let mut outcomes = Vec::new();
    for (wire, sent) in wire.chunks(size).zip(sent.chunks(size)) {
        let mut bytes = wire.to_vec();
        let mut verdicts = vec![Err(Reject::Unsupported); wire.len()];
        let mut batch: Vec<_> =
            bytes.iter_mut().zip(sent).map(|(bytes, sent)| packet_of(sent, ring, bytes)).collect();
        receiver.unprotect_batch(&mut batch, &mut verdicts);
        outcomes.extend(verdicts.iter().zip(&bytes).map(|(v, b)| outcome(*v, b)));
    }
    outcomes
}

fn packet_of<'a>(sent: &Sent, keys: &'a KeyRing, bytes: &'a mut [u8]) -> Packet<'a> {
    let kind = if sent.rtcp { PacketKind::Rtcp } else { PacketKind::Rtp };
    Packet { session: SessionId(sent.ssrc % 2), kind, source: sent.source, keys, bytes }
}

/// A budget no batch uses up, so that its length does not show.
fn limits() -> StreamLimits {
    let mut limits = StreamLimits::default();
    limits.roc_trials_per_batch = u32::MAX;
    limits.streams_per_session = 3;
    limits
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn batches_of_any_size_and_mixture(
        sent in proptest::collection::vec(sent(), 0..150),
        size in 1..90_usize,
        always_silent: bool,
        sender_restarts: bool,
    ) {
        let keys = keys();
        // Only where the newest key is the one made last can a sender start again.
        let (wire, ring) = (wire(&sent, &keys), ring(&keys, sender_restarts));
        let mut limits = limits();
        limits.sender_restarts = sender_restarts;
        if always_silent {
            // Streams may jump ahead, and change their source, with every packet.
            limits.source_timeout = Duration::ZERO;
        }
        let expected = one_by_one(&wire, &sent, &ring, limits, Backend::Portable);
        for backend in Backend::available() {
            let backend = *backend;
            prop_assert_eq!(&in_batches(&wire, &sent, &ring, limits, backend, size), &expected);
            prop_assert_eq!(&one_by_one(&wire, &sent, &ring, limits, backend), &expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn batches_in_which_senders_start_again_under_newer_keys(
        mut sent in proptest::collection::vec(sent(), 20..150),
        size in 2..90_usize,
        always_silent: bool,
    ) {
        let profiles = [Profile::AES_CM_128_HMAC_SHA1_80, Profile::AEAD_AES_128_GCM];
        let keys = keys_with(&profiles.repeat(4));
        let count = sent.len();
        for (place, sent) in sent.iter_mut().enumerate() {
            // One key after the other, with late packets of the one before, at rollover counters 0 to 4.
            sent.key = (keys.len() * place / count).saturating_sub(sent.key % 4 / 3);
            sent.ssrc = 4 * (sent.ssrc % 2);
            sent.source = 1;
        }
        let (wire, ring) = (wire(&sent, &keys), ring(&keys, true));
        let mut limits = limits();
        limits.sender_restarts = true;
        limits.roc_trial_pause = Duration::ZERO;
        if always_silent {
            limits.source_timeout = Duration::ZERO;
        }
        let expected = one_by_one(&wire, &sent, &ring, limits, Backend::Portable);
        for backend in Backend::available() {
            let found = in_batches(&wire, &sent, &ring, limits, *backend, size);
            prop_assert_eq!(&found, &expected, "{}", backend);
        }
        for (place, (verdict, _)) in expected.iter().enumerate() {
            // No octets are delivered twice.
            let again = wire[..place].iter().zip(&expected).any(|(octets, (before, _))| {
                *octets == wire[place] && before.is_ok() && verdict.is_ok()
            });
            prop_assert!(!again, "{}", place);
        }
    }

    #[test]
    fn protected_batches_of_any_size_and_mixture(
        sent in proptest::collection::vec(sent(), 0..150),
        size in 1..90_usize,
    ) {
        let keys = keys();
        let kind = |sent: &Sent| if sent.rtcp { PacketKind::Rtcp } else { PacketKind::Rtp };
        let plain: Vec<_> = sent.iter().map(plain).collect();
        let mut sender = Protector::with_backend(Backend::Portable);
        let one_by_one: Vec<_> = sent.iter().zip(plain.clone()).map(|(sent, mut packet)| {
            let key = &keys[sent.key];
            let index = match kind(sent) {
                PacketKind::Rtp => sender.protect_rtp(key, &mut packet),
                PacketKind::Rtcp => sender.protect_rtcp(key, &mut packet),
            };
            (index.ok(), packet)
        }).collect();
        for backend in Backend::available() {
            let mut sender = Protector::with_backend(*backend);
            let mut packets = plain.clone();
            let mut indexes = vec![Err(Reject::Unsupported); packets.len()];
            let mut batch: Vec<_> = packets.iter_mut().zip(&sent).map(|(bytes, sent)| {
                Outgoing { kind: kind(sent), key: &keys[sent.key], bytes }
            }).collect();
            for (batch, indexes) in batch.chunks_mut(size).zip(indexes.chunks_mut(size)) {
                sender.protect_batch(batch, indexes);
            }
            let together: Vec<_> =
                indexes.into_iter().map(Result::ok).zip(packets).collect();
            prop_assert_eq!(&together, &one_by_one, "{}", backend);
        }
    }
}

#[test]
fn replay_within_one_batch_is_delivered_once() {
    let keys = keys();
    for key in 0..KEYS {
        let one = Sent {
            ssrc: 4,
            offset: 50,
            wraps: 0,
            rtcp: false,
            key,
            len: 33,
            damage: Damage::None,
            source: 0,
        };
        let sent = vec![one; 5];
        let wire = wire(&sent, &keys);
        let verdicts: Vec<_> =
            in_batches(&wire, &sent, &ring(&keys, false), limits(), Backend::active(), 5)
                .into_iter()
                .map(|(verdict, _)| verdict)
                .collect();
        assert!(verdicts[0].is_ok(), "{verdicts:?}");
        assert_eq!(verdicts[1..], [Err(Reject::Replayed); 4]);
    }
}
