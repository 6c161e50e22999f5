//! Who opens packets: each as its users would call it.

use std::sync::Arc;

use arrayvec::ArrayVec;
use mcast_srtp::{
    Reject,
    ids::Mki,
    srtp::{
        Backend, KeyRing, Packet, PacketKind, Profile, SessionId, StreamLimits, TrafficKey,
        Unprotector, Verdict,
    },
};
use peers::{LibSrtp, Peer, Refused, RtcSrtp, Setup, WebrtcSrtp};

use crate::{
    feed::{Arena, SECTION},
    scenario::Scenario,
};

/// A receiver that takes part.
pub(crate) enum Contender {
    Ours(Box<Ours>),
    WebrtcSrtp(WebrtcSrtp),
    RtcSrtp(RtcSrtp),
    LibSrtp(LibSrtp),
}

/// Which receivers there are, besides ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Rival {
    WebrtcSrtp,
    RtcSrtp,
    Libsrtp,
}

impl Rival {
    pub(crate) const ALL: [Self; 3] = [Self::WebrtcSrtp, Self::RtcSrtp, Self::Libsrtp];

    pub(crate) fn contender(self, setup: &Setup) -> Result<Contender, Refused> {
        Ok(match self {
            Self::WebrtcSrtp => Contender::WebrtcSrtp(WebrtcSrtp::new(setup)?),
            Self::RtcSrtp => Contender::RtcSrtp(RtcSrtp::new(setup)?),
            Self::Libsrtp => {
                let mut peer = LibSrtp::new(setup)?;
                peer.accept_any_ssrc()?;
                Contender::LibSrtp(peer)
            }
        })
    }
}

impl Contender {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Ours(ours) => format!("mcast-srtp ({})", ours.backend),
            Self::WebrtcSrtp(peer) => peer.name(),
            Self::RtcSrtp(peer) => peer.name(),
            Self::LibSrtp(peer) => peer.name(),
        }
    }

    /// Opens all packets of the arena and shows each plain packet, with its place. A packet that is
    /// refused is not shown.
    pub(crate) fn open(
        &mut self,
        arena: &mut Arena,
        batch: usize,
        see: &mut impl FnMut(usize, &[u8]),
    ) {
        match self {
            Self::Ours(ours) => ours.open(arena, batch, see),
            Self::WebrtcSrtp(peer) => {
                for (place, packet) in arena.packets().enumerate() {
                    if let Ok(plain) = peer.open_rtp(packet) {
                        see(place, &plain);
                    }
                }
            }
            Self::RtcSrtp(peer) => {
                for (place, packet) in arena.packets().enumerate() {
                    if let Ok(plain) = peer.open_rtp(packet) {
                        see(place, &plain);
                    }
                }
            }
            Self::LibSrtp(peer) => {
                for (place, packet) in arena.packets().enumerate() {
                    if let Ok(len) = peer.open_rtp(packet) {
                        see(place, &packet[..len]);
                    }
                }
            }
        }
    }
}

/// `mcast-srtp` through its public batch call.
pub(crate) struct Ours {
    backend: Backend,
    keys: KeyRing,
    unprotector: Unprotector,
}

impl Ours {
    pub(crate) fn contender(
        scenario: &Scenario,
        setup: &Setup,
        backend: Backend,
    ) -> Result<Contender, Refused> {
        let refused = |e: mcast_srtp::Error| Refused::Other(e.to_string());
        let material = &setup.keys[0];
        let mki = Mki::new(&material.mki).ok_or(Refused::UnknownMki)?;
        let mki_len = u8::try_from(material.mki.len()).map_err(|_| Refused::UnknownMki)?;
        let profile =
            Profile::from_name(setup.suite.name()).map_err(refused)?.with_mki_len(mki_len);
        let key = TrafficKey::new(mki, profile, &material.key, &material.salt).map_err(refused)?;
        let mut limits = StreamLimits::default();
        let streams = usize::try_from(scenario.ssrcs).map_err(|_| Refused::Replay)?;
        limits.streams = limits.streams.max(streams);
        limits.streams_per_session = limits.streams_per_session.max(streams);
        limits.replay_window = u16::try_from(setup.window).map_err(|_| Refused::Replay)?;
        let unprotector = Unprotector::with_backend(limits, backend);
        let keys = KeyRing::new(vec![Arc::new(key)]);
        Ok(Contender::Ours(Box::new(Self { backend, keys, unprotector })))
    }

    fn open(&mut self, arena: &mut Arena, batch: usize, see: &mut impl FnMut(usize, &[u8])) {
        let mut packets: ArrayVec<Packet<'_>, SECTION> = arena
            .packets()
            .map(|bytes| Packet {
                session: SessionId(0),
                kind: PacketKind::Rtp,
                source: 0,
                keys: &self.keys,
                bytes,
            })
            .collect();
        let mut verdicts: [Verdict; SECTION] = [Err(Reject::UnknownProtocol); SECTION];
        for (packets, verdicts) in packets.chunks_mut(batch).zip(verdicts.chunks_mut(batch)) {
            self.unprotector.unprotect_batch(packets, verdicts);
        }
        for (place, (packet, verdict)) in packets.iter().zip(&verdicts).enumerate() {
            if let Ok(opened) = verdict {
                see(place, &packet.bytes[..opened.len]);
            }
        }
    }
}
