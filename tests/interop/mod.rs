//! Our side of the interop tests as one more [`Peer`], and what is played between two of them.

use std::sync::Arc;

use mcast_srtp::{
    Reject,
    ids::{Mki, PacketIndex, Roc, Seq, Ssrc},
    srtp::{
        KeyRing, Packet, PacketKind, Profile, Protector, SessionId, StreamLimits, TrafficKey,
        Unprotector,
    },
};
use peers::{MasterKey, Peer, Refused, Setup, Suite};

pub(crate) const SSRC: u32 = 0xcafe_babe;

/// MSK ID 0012 0003, MTK ID 7.
pub(crate) const MKI: &[u8] = &[0, 0x12, 0, 3, 0, 7];

/// `mcast-srtp`.
pub(crate) struct Ours {
    setup: Setup,
    ring: KeyRing,
    sending: usize,
    protector: Protector,
    started: bool,
    unprotector: Unprotector,
}

impl Ours {
    pub(crate) fn new(setup: &Setup) -> Self {
        setup.validate().unwrap();
        let profile = Profile::from_name(setup.suite.name()).unwrap();
        let keys = setup.keys.iter().map(|k| {
            let mki_len = u8::try_from(k.mki.len()).unwrap();
            let profile =
                Profile { encrypt_srtcp: setup.encrypt_srtcp, ..profile.with_mki_len(mki_len) };
            let mki = Mki::new(&k.mki).unwrap();
            Arc::new(TrafficKey::new(mki, profile, &k.key, &k.salt).unwrap())
        });
        let announced = vec![(Ssrc(setup.ssrc), Roc(setup.roc))];
        let mut limits = StreamLimits::default();
        limits.replay_window = u16::try_from(setup.window).unwrap();
        let mut protector = Protector::new();
        protector.resume_rtcp(Ssrc(setup.ssrc), setup.srtcp_sent);
        Self {
            setup: setup.clone(),
            ring: KeyRing::new(keys.collect()).with_announced(announced),
            sending: 0,
            protector,
            started: false,
            unprotector: Unprotector::new(limits),
        }
    }

    fn open(&mut self, kind: PacketKind, protected: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut bytes = protected.to_vec();
        let mut packet =
            Packet { session: SessionId(0), kind, source: 0, keys: &self.ring, bytes: &mut bytes };
        let opened = self.unprotector.unprotect(&mut packet).map_err(|reject| match reject {
            Reject::AuthFailed => Refused::Auth,
            Reject::Replayed | Reject::TooOld => Refused::Replay,
            Reject::UnknownMki => Refused::UnknownMki,
            other => Refused::Other(other.to_string()),
        })?;
        bytes.truncate(opened.len);
        Ok(bytes)
    }
}

impl Peer for Ours {
    fn name(&self) -> String {
        "mcast-srtp".to_owned()
    }

    fn use_key(&mut self, place: usize) -> Result<(), Refused> {
        self.sending = place;
        Ok(())
    }

    fn protect_rtp(&mut self, plain: &[u8]) -> Result<Vec<u8>, Refused> {
        if !self.started && self.setup.roc > 0 {
            let first = Seq(u16::from_be_bytes([plain[2], plain[3]]));
            let before = PacketIndex::new(Roc(self.setup.roc), first).value() - 1;
            // Both halves fit by construction of the index.
            let before = PacketIndex::new(Roc((before >> 16) as u32), Seq(before as u16));
            self.protector.resume(Ssrc(self.setup.ssrc), before);
        }
        self.started = true;
        let mut packet = plain.to_vec();
        let key = &self.ring.keys()[self.sending];
        self.protector.protect_rtp(key, &mut packet).map_err(|e| Refused::Other(e.to_string()))?;
        Ok(packet)
    }

    fn unprotect_rtp(&mut self, protected: &[u8]) -> Result<Vec<u8>, Refused> {
        self.open(PacketKind::Rtp, protected)
    }

    fn protect_rtcp(&mut self, plain: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut packet = plain.to_vec();
        let key = &self.ring.keys()[self.sending];
        self.protector.protect_rtcp(key, &mut packet).map_err(|e| Refused::Other(e.to_string()))?;
        Ok(packet)
    }

    fn unprotect_rtcp(&mut self, protected: &[u8]) -> Result<Vec<u8>, Refused> {
        self.open(PacketKind::Rtcp, protected)
    }
}

/// Builds the other side.
pub(crate) type Theirs = fn(&Setup) -> Result<Box<dyn Peer>, Refused>;

/// Sender and receiver, once each way.
pub(crate) fn both_ways(setup: &Setup, theirs: Theirs) -> [(Box<dyn Peer>, Box<dyn Peer>); 2] {
    let theirs = || theirs(setup).unwrap();
    let ours = || -> Box<dyn Peer> { Box::new(Ours::new(setup)) };
    [(ours(), theirs()), (theirs(), ours())]
}

/// A session with one key, with an MKI of six octets or without.
pub(crate) fn setup(suite: Suite, mki: &[u8]) -> Setup {
    let material: Vec<u8> = (0..46).map(|i| i * 5 + 3).collect();
    let (key, salt) = (&material[..suite.key_len()], &material[46 - suite.salt_len()..]);
    Setup::new(suite, key, salt, mki, SSRC)
}

/// The key after it: the same MSK, the next MTK.
pub(crate) fn next_key(suite: Suite) -> MasterKey {
    MasterKey {
        key: vec![0x5a; suite.key_len()],
        salt: vec![0xa5; suite.salt_len()],
        mki: vec![0, 0x12, 0, 3, 0, 8],
    }
}

/// Media of every length class over a wrap of the sequence number, each packet twice.
pub(crate) fn media_passes(setup: &Setup, theirs: Theirs) {
    for (mut from, mut to) in both_ways(setup, theirs) {
        let case = format!("{} to {}, {}", from.name(), to.name(), setup.suite);
        let lens = [0, 1, 15, 16, 17, 32, 48, 63, 64, 65, 160, 255, 256, 257, 1000, 1200, 1460];
        for (seq, len) in (0xfff8..=0xffff).chain(0..).zip(lens) {
            let plain = rtp(seq, len);
            let protected = from.protect_rtp(&plain).unwrap();
            assert_eq!(to.unprotect_rtp(&protected), Ok(plain), "{case}, {seq}, {len}");
            assert_eq!(to.unprotect_rtp(&protected), Err(Refused::Replay), "{case}, {seq}");
        }
        let with_everything = [
            &[0xb2, 0xe1, 0, 9, 0, 0, 0, 160][..], // padding, extension, two CSRCs, marker
            &SSRC.to_be_bytes(),
            &[0, 0, 0, 1, 0, 0, 0, 2], // CSRCs
            &[0xbe, 0xde, 0, 2, 0x10, 0xaa, 0x20, 0xbb, 0, 0, 0, 0], // one-octet header extensions
            b"speech\0\x02",           // two octets of padding
        ]
        .concat();
        let protected = from.protect_rtp(&with_everything).unwrap();
        assert_eq!(protected[..32], with_everything[..32], "{case}: header stays clear");
        assert_eq!(to.unprotect_rtp(&protected), Ok(with_everything), "{case}");
    }
}

/// A burst-control message, a compound packet and one of every padding of the cipher's block.
pub(crate) fn control_passes(setup: &Setup, theirs: Theirs) {
    for (mut from, mut to) in both_ways(setup, theirs) {
        let case = format!("{} to {}, {}", from.name(), to.name(), setup.suite);
        let mut packets = vec![[&[0x85, 204, 0, 2][..], &SSRC.to_be_bytes(), b"PoC1"].concat()];
        packets.push(compound());
        packets.extend((1..9_u8).map(|words| {
            let body = vec![words; 4 * usize::from(words)];
            [&[0x81, 204, 0, 2 + words][..], &SSRC.to_be_bytes(), b"PoC1", &body].concat()
        }));
        for plain in packets {
            let protected = from.protect_rtcp(&plain).unwrap();
            let same = protected[8..plain.len()] == plain[8..];
            assert_eq!(same, !setup.encrypt_srtcp, "{case}");
            assert_eq!(to.unprotect_rtcp(&protected), Ok(plain), "{case}");
            assert_eq!(to.unprotect_rtcp(&protected), Err(Refused::Replay), "{case}");
        }
    }
}

/// A change to the next traffic key and, for one late packet, back.
pub(crate) fn key_change_passes(setup: &Setup, theirs: Theirs, sequence_numbers: [u16; 5]) {
    let mut setup = setup.clone();
    setup.keys.push(next_key(setup.suite));
    for (mut from, mut to) in both_ways(&setup, theirs) {
        let case = format!("{} to {}, {}", from.name(), to.name(), setup.suite);
        for (seq, place) in sequence_numbers.into_iter().zip([0, 0, 1, 0, 1]) {
            from.use_key(place).unwrap();
            let protected = from.protect_rtp(&rtp(seq, 40)).unwrap();
            assert_eq!(to.unprotect_rtp(&protected), Ok(rtp(seq, 40)), "{case}, {seq}");
        }
        let control = from.protect_rtcp(&compound()).unwrap();
        assert_eq!(to.unprotect_rtcp(&control), Ok(compound()), "{case}");
    }
}

/// A receiver that joins a session when the sequence number has wrapped `roc` times.
pub(crate) fn late_join_passes(setup: &Setup, theirs: Theirs) {
    for (roc, first) in [(1, 0_u16), (1, 0xffff), (300, 0x8000)] {
        let setup = Setup { roc, ..setup.clone() };
        for (mut from, mut to) in both_ways(&setup, theirs) {
            let case = format!("{} to {}, {roc}, {first}", from.name(), to.name());
            for seq in [first, first.wrapping_add(1), first.wrapping_add(2)] {
                let protected = from.protect_rtp(&rtp(seq, 40)).unwrap();
                assert_eq!(to.unprotect_rtp(&protected), Ok(rtp(seq, 40)), "{case}, {seq}");
            }
        }
    }
}

/// Every octet of a packet changed in turn: both receivers refuse it, and for the same reason.
pub(crate) fn forgeries_are_refused_alike(setup: &Setup, theirs: Theirs) {
    let mut sender = Ours::new(setup);
    let genuine = sender.protect_rtp(&rtp(499, 20)).unwrap();
    let protected = sender.protect_rtp(&rtp(500, 20)).unwrap();
    let control = sender.protect_rtcp(&compound()).unwrap();
    let (mut ours, mut theirs) = (Ours::new(setup), theirs(setup).unwrap());
    // webrtc-srtp lets the first packet set its replay window before the tag is checked.
    assert_eq!(ours.unprotect_rtp(&genuine), theirs.unprotect_rtp(&genuine));
    // The first octet decides whether it is a packet at all, the SSRC whose it is.
    for at in (2..8).chain(12..protected.len()) {
        let mut forged = protected.clone();
        forged[at] ^= 0x10;
        let verdict = ours.unprotect_rtp(&forged);
        assert!(matches!(verdict, Err(Refused::Auth | Refused::UnknownMki)), "{verdict:?}, {at}");
        assert_eq!(verdict, theirs.unprotect_rtp(&forged), "{}, octet {at}", setup.suite);
    }
    for at in 8..control.len() {
        let mut forged = control.clone();
        forged[at] ^= 0x10;
        assert!(ours.unprotect_rtcp(&forged).is_err(), "{}, octet {at}", setup.suite);
        assert!(theirs.unprotect_rtcp(&forged).is_err(), "{}, octet {at}", setup.suite);
    }
    assert_eq!(ours.unprotect_rtp(&protected), theirs.unprotect_rtp(&protected));
    assert_eq!(ours.unprotect_rtcp(&control), theirs.unprotect_rtcp(&control));
}

/// A sender report and a source description.
pub(crate) fn compound() -> Vec<u8> {
    let ssrc = SSRC.to_be_bytes();
    let report = [&[0x80, 200, 0, 6][..], &ssrc, &[0x11; 20]].concat();
    let name = [&[0x81, 202, 0, 3][..], &ssrc, b"\x01\x04poc1\0\0"].concat();
    [report, name].concat()
}

/// An RTP packet of payload type 97.
pub(crate) fn rtp(seq: u16, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 97];
    packet.extend(seq.to_be_bytes());
    packet.extend([0, 0, 0, 160]);
    packet.extend(SSRC.to_be_bytes());
    packet.extend((0..payload).map(|i| (i % 251) as u8));
    packet
}
