//! Protected packets with fresh sequence numbers, made before anything is timed.

use std::sync::Arc;

use mcast_srtp::{
    ids::{Mki, MskId, MtkId, Roc, Seq, Ssrc},
    srtp::{KeyRing, Profile, Protector, TrafficKey},
};
use peers::{Setup, Suite};

/// Cipher and authentication of a bench, as ours and as the peers name it.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) profile: Profile,
    pub(crate) suite: Suite,
}

impl Kind {
    pub(crate) const CM_80: Self = Self {
        name: "cm128-80",
        profile: Profile::AES_CM_128_HMAC_SHA1_80,
        suite: Suite::AesCm128Sha1_80,
    };
    pub(crate) const GCM_128: Self =
        Self { name: "gcm128", profile: Profile::AEAD_AES_128_GCM, suite: Suite::AesGcm128 };
    pub(crate) const GCM_256: Self =
        Self { name: "gcm256", profile: Profile::AEAD_AES_256_GCM, suite: Suite::AesGcm256 };
}

/// Payload octets of the packets, one after another and again from the start.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) name: &'static str,
    pub(crate) octets: &'static [usize],
}

impl Sizes {
    pub(crate) const SMALL: Self = Self { name: "32", octets: &[32] };
    pub(crate) const VOICE: Self = Self { name: "160", octets: &[160] };
    pub(crate) const VIDEO: Self = Self { name: "1200", octets: &[1200] };
    /// A talk group with video: AMR and Opus frames, G.711, and two frames of video as packets that
    /// are full but for the last one.
    pub(crate) const MIX: Self = Self {
        name: "mix",
        octets: &[32, 61, 160, 1200, 1200, 1200, 417, 33, 78, 160, 32, 1200, 1200, 893, 62, 160],
    };
    pub(crate) const EACH: [Self; 4] = [Self::SMALL, Self::VOICE, Self::VIDEO, Self::MIX];
}

/// What is sent.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) kind: Kind,
    pub(crate) sizes: Sizes,
    /// Streams, whose packets come in turn.
    pub(crate) streams: u32,
    /// Packets after the first of each stream.
    pub(crate) packets: usize,
}

impl Workload {
    pub(crate) fn ring(&self) -> KeyRing {
        let (key, salt) = material(&self.kind);
        // Lengths fit: they are the profile's own.
        let key = TrafficKey::new(mki(), self.kind.profile, &key, &salt).expect("a traffic key");
        KeyRing::new(vec![Arc::new(key)])
    }

    pub(crate) fn setup(&self) -> Setup {
        let (key, salt) = material(&self.kind);
        Setup::new(self.kind.suite, &key, &salt, mki().as_bytes(), self.ssrc(0).0)
    }

    /// SSRCs as receivers meet them: random, and always the same ones.
    fn ssrc(&self, stream: u32) -> Ssrc {
        let mixed = (u64::from(stream) + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Ssrc((mixed >> 29) as u32)
    }

    fn plain(&self, number: usize, stream: u32, seq: Seq) -> Vec<u8> {
        let mut packet = vec![0x80, 97];
        packet.extend(seq.0.to_be_bytes());
        packet.extend(160_u32.wrapping_mul(u32::from(seq.0)).to_be_bytes());
        packet.extend(self.ssrc(stream).0.to_be_bytes());
        let len = self.sizes.octets[number % self.sizes.octets.len()];
        packet.extend((0..len).map(|i| (number + i) as u8));
        packet
    }
}

/// A workload, protected. Every receiver gets it from the start, as often as it takes; it forgets
/// its streams in between, so that the sequence numbers are fresh each time.
pub(crate) struct Feed {
    /// The first packet of each stream.
    pub(crate) first: Packets,
    /// The packets that are timed.
    pub(crate) packets: Packets,
    /// The octets that the first timed packets open to.
    pub(crate) plain: Vec<Vec<u8>>,
}

impl Feed {
    pub(crate) fn new(workload: &Workload) -> Self {
        let ring = workload.ring();
        let key = &ring.keys()[0];
        let mut sender = Protector::new();
        let mut protect = |number: usize, seq: usize| {
            let stream = (number % workload.streams as usize) as u32;
            let plain = workload.plain(number, stream, Seq((seq & 0xffff) as u16));
            let mut packet = plain.clone();
            let index =
                sender.protect_rtp(key, &mut packet).expect("a packet that can be protected");
            // Peers start at rollover counter 0 and never leave it here.
            assert_eq!(index.roc(), Roc(0));
            (plain, packet)
        };
        let streams = workload.streams as usize;
        let (mut first, mut packets, mut plain) = (Packets::default(), Packets::default(), vec![]);
        for number in 0..streams {
            first.push(&protect(number, 1).1);
        }
        for number in 0..workload.packets {
            let (clear, packet) = protect(number, 2 + number / streams);
            packets.push(&packet);
            if number < CHECKED {
                plain.push(clear);
            }
        }
        Self { first, packets, plain }
    }
}

/// Packets back to back.
#[derive(Default)]
pub(crate) struct Packets {
    octets: Vec<u8>,
    ends: Vec<usize>,
}

impl Packets {
    fn push(&mut self, packet: &[u8]) {
        self.octets.extend(packet);
        self.ends.push(self.octets.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.octets[start..self.ends[place]]
    }
}

fn mki() -> Mki {
    Mki::mbms(MskId { group: 18, number: 3 }, MtkId(7))
}

fn material(kind: &Kind) -> (Vec<u8>, Vec<u8>) {
    let octets = |len: usize, first: u8| (first..=255).cycle().take(len).collect();
    (octets(kind.suite.key_len(), 0x21), octets(kind.suite.salt_len(), 0x83))
}

/// Packets whose plain text is compared before anything is timed.
const CHECKED: usize = 64;
