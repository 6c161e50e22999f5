//! Arbitrary packets, good and bad, through `unprotect_batch` in arbitrary pieces on every back end: the
//! verdicts and plain packets are those of the portable code that takes them one by one.

#![no_main]

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use mcast_srtp::{
    Reject,
    ids::{PacketIndex, Roc, Seq, Ssrc},
    srtp::{
        Backend, KeyRing, Packet, PacketKind, Protector, SessionId, StreamLimits, Unprotector,
        Verdict,
    },
};

#[path = "../../tests/common/suites.rs"]
mod suites;

fuzz_target!(|input: &[u8]| {
    // An input that ends before the batch does is no batch.
    let _ = compare(&mut Unstructured::new(input));
});

fn compare(u: &mut Unstructured<'_>) -> Result<()> {
    let ring = KeyRing::new(suites::keys());
    let mut limits = StreamLimits::default();
    // A budget that no batch uses up, so that the length of the batches does not show.
    limits.roc_trials_per_batch = u32::MAX;
    limits.streams_per_session = u.int_in_range(1..=4)?;
    let count = u.int_in_range(0..=100)?;
    let packets = (0..count).map(|_| Sent::new(u, &ring)).collect::<Result<Vec<_>>>()?;
    let lengths: Vec<usize> = (0..8).map(|_| u.int_in_range(1..=70)).collect::<Result<_>>()?;

    let mut receiver = Unprotector::with_backend(limits, Backend::Portable);
    let mut expected = Vec::new();
    for sent in &packets {
        let mut octets = sent.octets.clone();
        let verdict = receiver.unprotect(&mut sent.packet(&ring, &mut octets));
        expected.push(outcome(verdict, octets));
    }
    for backend in Backend::available() {
        let mut receiver = Unprotector::with_backend(limits, *backend);
        let (mut rest, mut found) = (&packets[..], Vec::new());
        for len in lengths.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, behind) = rest.split_at((*len).min(rest.len()));
            rest = behind;
            let mut octets: Vec<_> = now.iter().map(|sent| sent.octets.clone()).collect();
            let mut verdicts = vec![Err(Reject::Unsupported); now.len()];
            let mut batch: Vec<_> = now
                .iter()
                .zip(&mut octets)
                .map(|(sent, octets)| sent.packet(&ring, octets))
                .collect();
            receiver.unprotect_batch(&mut batch, &mut verdicts);
            found.extend(verdicts.into_iter().zip(octets).map(|(v, o)| outcome(v, o)));
        }
        assert_eq!(found, expected, "{backend}");
    }
    Ok(())
}

/// Of a refused packet only the verdict is defined.
fn outcome(verdict: Verdict, mut octets: Vec<u8>) -> (Verdict, Vec<u8>) {
    octets.truncate(verdict.map_or(0, |opened| opened.len));
    (verdict, octets)
}

/// One packet as it arrives.
struct Sent {
    session: SessionId,
    kind: PacketKind,
    source: u32,
    octets: Vec<u8>,
}

impl Sent {
    fn new(u: &mut Unstructured<'_>, ring: &KeyRing) -> Result<Self> {
        // Mostly one key, one stream, and short text, so that packets have to do with one another.
        let rare = |u: &mut Unstructured<'_>| u.ratio(1, 4);
        let kind = if rare(u)? { PacketKind::Rtcp } else { PacketKind::Rtp };
        let key = if rare(u)? { u.choose_index(ring.keys().len())? } else { 0 };
        let ssrc = Ssrc(if rare(u)? { u.int_in_range(0..=3)? } else { 0 });
        let wraps = if rare(u)? { u.int_in_range(0..=4)? } else { 0 };
        let start = PacketIndex::new(Roc(ssrc.0 % 2 + wraps), Seq(0xffe0));
        let index = PacketIndex::from_value(start.value() + u64::from(u.int_in_range(0..=63_u8)?));
        let len = if rare(u)? { u.int_in_range(0..=1400)? } else { u.int_in_range(0..=48)? };

        let seq = index.seq().0.to_be_bytes();
        let mut octets = match kind {
            PacketKind::Rtp => vec![0x80, 97, seq[0], seq[1], 0, 0, 0, 1],
            PacketKind::Rtcp => vec![0x80, 204, 0, 1],
        };
        octets.extend(ssrc.0.to_be_bytes());
        if kind == PacketKind::Rtp && rare(u)? {
            octets[0] |= 0x10;
            octets.extend([0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]);
        }
        octets.resize(octets.len() + len, 0x5a);
        let mut sender = Protector::new();
        sender.resume(ssrc, index);
        sender.resume_rtcp(ssrc, u32::from(index.seq().0));
        let key = &ring.keys()[key];
        let protected = match kind {
            PacketKind::Rtp => sender.protect_rtp(key, &mut octets),
            PacketKind::Rtcp => sender.protect_rtcp(key, &mut octets),
        };
        protected.expect("a stream at its start can go on");

        if rare(u)? {
            let place = u.choose_index(octets.len())?;
            match u.int_in_range(0..=2)? {
                0 => octets[place] ^= u.arbitrary::<u8>()?,
                1 => octets.truncate(place),
                _ => octets = u.bytes(place.min(u.len()))?.to_vec(),
            }
        }
        let session = SessionId(u32::from(rare(u)?));
        Ok(Self { session, kind, source: u32::from(rare(u)?), octets })
    }

    fn packet<'a>(&self, keys: &'a KeyRing, bytes: &'a mut [u8]) -> Packet<'a> {
        Packet { session: self.session, kind: self.kind, source: self.source, keys, bytes }
    }
}
