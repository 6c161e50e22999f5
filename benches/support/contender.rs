//! Receivers: each opens packets as its users would.

use std::hint::black_box;

use arrayvec::ArrayVec;
use mcast_srtp::{
    Reject,
    srtp::{
        Backend, KeyRing, MAX_BATCH, Packet, PacketKind, SessionId, StreamLimits, Unprotector,
        Verdict,
    },
};
use peers::{RtcSrtp, Setup, WebrtcSrtp};

use super::{feed::Workload, slots::Slots};

/// A receiver that is measured.
pub(crate) trait Contender {
    fn name(&self) -> String;

    /// Forgets every stream.
    fn reset(&mut self);

    /// Opens all packets of the slots in order and returns how many it accepted.
    fn open(&mut self, slots: &mut Slots) -> usize;

    /// The same, and keeps the plain packets.
    fn open_and_keep(&mut self, slots: &mut Slots) -> Vec<Vec<u8>>;
}

/// `mcast-srtp`: the public batch call.
pub(crate) struct Ours {
    backend: Backend,
    limits: StreamLimits,
    batch: usize,
    keys: KeyRing,
    unprotector: Unprotector,
}

impl Ours {
    /// `batch` is the number of packets it gets at a time, 64 at most.
    pub(crate) fn new(workload: &Workload, backend: Backend, batch: usize) -> Self {
        let limits = limits(workload);
        let unprotector = Unprotector::with_backend(limits, backend);
        Self { backend, limits, batch, keys: workload.ring(), unprotector }
    }

    /// Opens batch after batch; `see` gets the packets of each with their verdicts.
    #[inline]
    fn run(&mut self, slots: &mut Slots, mut see: impl FnMut(&[Packet<'_>], &[Verdict])) {
        let mut datagrams = slots.packets();
        let mut verdicts = [NO_VERDICT; MAX_BATCH];
        loop {
            let mut packets = ArrayVec::<Packet<'_>, MAX_BATCH>::new();
            packets.extend(datagrams.by_ref().take(self.batch).map(|d| packet(&self.keys, d)));
            if packets.is_empty() {
                return;
            }
            let verdicts = &mut verdicts[..packets.len()];
            self.unprotector.unprotect_batch(&mut packets, verdicts);
            see(black_box(&packets), verdicts);
        }
    }
}

/// Room for the streams of a workload.
pub(crate) fn limits(workload: &Workload) -> StreamLimits {
    let mut limits = StreamLimits::default();
    limits.streams = workload.streams as usize;
    limits.streams_per_session = limits.streams;
    limits
}

/// A packet as a lane hands it over.
pub(crate) fn packet<'a>(keys: &'a KeyRing, bytes: &'a mut [u8]) -> Packet<'a> {
    Packet { session: SessionId(1), kind: PacketKind::Rtp, source: 0x0a00_0001, keys, bytes }
}

pub(crate) const NO_VERDICT: Verdict = Err(Reject::Unsupported);

impl Contender for Ours {
    fn name(&self) -> String {
        format!("ours-{}", self.backend)
    }

    fn reset(&mut self) {
        self.unprotector = Unprotector::with_backend(self.limits, self.backend);
    }

    fn open(&mut self, slots: &mut Slots) -> usize {
        let mut accepted = 0;
        self.run(slots, |_, verdicts| accepted += verdicts.iter().filter(|v| v.is_ok()).count());
        accepted
    }

    fn open_and_keep(&mut self, slots: &mut Slots) -> Vec<Vec<u8>> {
        let mut kept = Vec::new();
        self.run(slots, |packets, verdicts| {
            let opened = packets.iter().zip(verdicts).filter_map(|(p, v)| Some((p, v.ok()?)));
            kept.extend(opened.map(|(packet, opened)| packet.bytes[..opened.len].to_vec()));
        });
        kept
    }
}

/// `webrtc-srtp`, one packet at a time.
pub(crate) struct Webrtc {
    setup: Setup,
    peer: WebrtcSrtp,
}

impl Webrtc {
    pub(crate) fn new(workload: &Workload) -> Self {
        let setup = workload.setup();
        let peer = WebrtcSrtp::new(&setup).expect("a suite of WebRTC");
        Self { setup, peer }
    }
}

impl Contender for Webrtc {
    fn name(&self) -> String {
        "webrtc-srtp".to_owned()
    }

    fn reset(&mut self) {
        self.peer = WebrtcSrtp::new(&self.setup).expect("a suite of WebRTC");
    }

    fn open(&mut self, slots: &mut Slots) -> usize {
        slots.packets().filter_map(|p| black_box(self.peer.open_rtp(p)).ok()).count()
    }

    fn open_and_keep(&mut self, slots: &mut Slots) -> Vec<Vec<u8>> {
        slots.packets().filter_map(|p| self.peer.open_rtp(p).ok()).map(Vec::from).collect()
    }
}

/// `rtc-srtp`, one packet at a time.
pub(crate) struct Rtc {
    setup: Setup,
    peer: RtcSrtp,
}

impl Rtc {
    pub(crate) fn new(workload: &Workload) -> Self {
        let setup = workload.setup();
        let peer = RtcSrtp::new(&setup).expect("a suite of WebRTC");
        Self { setup, peer }
    }
}

impl Contender for Rtc {
    fn name(&self) -> String {
        "rtc-srtp".to_owned()
    }

    fn reset(&mut self) {
        self.peer = RtcSrtp::new(&self.setup).expect("a suite of WebRTC");
    }

    fn open(&mut self, slots: &mut Slots) -> usize {
        slots.packets().filter_map(|p| black_box(self.peer.open_rtp(p)).ok()).count()
    }

    fn open_and_keep(&mut self, slots: &mut Slots) -> Vec<Vec<u8>> {
        slots.packets().filter_map(|p| self.peer.open_rtp(p).ok()).map(|p| p.to_vec()).collect()
    }
}
