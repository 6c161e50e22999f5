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

use super::{feed::Workload, timing::Clock};

/// A receiver that is measured.
pub(crate) trait Contender {
    fn name(&self) -> String;

    /// Forgets every stream.
    fn reset(&mut self);

    /// Opens packets in order and returns how many it accepted. Takes `packets` apart by the clock:
    /// what is no part of a call happens outside of it.
    fn open(&mut self, packets: &mut Section<'_>, clock: &mut Clock) -> usize;

    /// The same, and keeps the plain packets.
    fn open_and_keep(&mut self, packets: &mut Section<'_>) -> Vec<Vec<u8>>;
}

/// The datagrams of some slots.
pub(crate) type Section<'a> = ArrayVec<&'a mut [u8], MAX_BATCH>;

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

    fn open(&mut self, packets: &mut Section<'_>, clock: &mut Clock) -> usize {
        let keys = &self.keys;
        let mut packets: ArrayVec<_, MAX_BATCH> =
            packets.iter_mut().map(|bytes| packet(keys, bytes)).collect();
        let mut verdicts = [NO_VERDICT; MAX_BATCH];
        let (unprotector, batch) = (&mut self.unprotector, self.batch);
        clock.time(|| {
            for (packets, verdicts) in packets.chunks_mut(batch).zip(verdicts.chunks_mut(batch)) {
                unprotector.unprotect_batch(black_box(packets), black_box(verdicts));
            }
        });
        verdicts[..packets.len()].iter().filter(|verdict| verdict.is_ok()).count()
    }

    fn open_and_keep(&mut self, packets: &mut Section<'_>) -> Vec<Vec<u8>> {
        let mut open = |bytes: &mut [u8]| {
            let opened = self.unprotector.unprotect(&mut packet(&self.keys, bytes)).ok()?;
            Some(bytes[..opened.len].to_vec())
        };
        packets.iter_mut().filter_map(|bytes| open(bytes)).collect()
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

    fn open(&mut self, packets: &mut Section<'_>, clock: &mut Clock) -> usize {
        let mut open = |packet| black_box(self.peer.open_rtp(black_box(packet))).is_ok();
        clock.time(|| packets.iter_mut().filter_map(|p| open(p).then_some(())).count())
    }

    fn open_and_keep(&mut self, packets: &mut Section<'_>) -> Vec<Vec<u8>> {
        packets.iter_mut().filter_map(|p| self.peer.open_rtp(p).ok()).map(Vec::from).collect()
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

    fn open(&mut self, packets: &mut Section<'_>, clock: &mut Clock) -> usize {
        let mut open = |packet| black_box(self.peer.open_rtp(black_box(packet))).is_ok();
        clock.time(|| packets.iter_mut().filter_map(|p| open(p).then_some(())).count())
    }

    fn open_and_keep(&mut self, packets: &mut Section<'_>) -> Vec<Vec<u8>> {
        packets.iter_mut().filter_map(|p| self.peer.open_rtp(p).ok()).map(|p| p.to_vec()).collect()
    }
}
