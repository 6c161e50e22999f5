//! Encryption and tags of outgoing packets, a batch at a time.

use arrayvec::ArrayVec;

use super::{
    batch::MAX_BATCH,
    kernel::{
        Backend,
        cipher::{CtrJob, GcmJob, ctr_batch, gcm_seal_batch},
        hmac::{HmacJob, hmac_batch},
    },
    key::{PacketKind, SessionKeys, TrafficKey},
    layout::Clear,
};
use crate::ids::PacketIndex;

/// A plain packet with its index and the keys for it.
pub(super) struct Sealing<'a> {
    pub(super) key: &'a TrafficKey,
    pub(super) session: &'a SessionKeys,
    pub(super) clear: Clear,
    pub(super) index: PacketIndex,
    pub(super) encrypted: bool,
    /// E flag and index of RTCP.
    pub(super) e_word: Option<[u8; 4]>,
    pub(super) packet: &'a mut Vec<u8>,
}

/// Seals up to [`MAX_BATCH`] packets in place.
pub(super) fn seal_batch(backend: Backend, batch: &mut [Sealing<'_>]) {
    encrypt(backend, batch);
    authenticate(backend, batch);
    seal_aead(backend, batch);
}

/// Counter mode over the packets that are not AEAD's.
fn encrypt(backend: Backend, batch: &mut [Sealing<'_>]) {
    let mut jobs = ArrayVec::<CtrJob<'_>, MAX_BATCH>::new();
    for sealing in batch.iter_mut().filter(|sealing| sealing.encrypted && !sealing.is_aead()) {
        let iv = sealing.session.counter_block(sealing.clear.ssrc.0, sealing.index);
        let data = sealing.packet.get_mut(sealing.clear.header_len..);
        let key = sealing.session.cipher.as_ref();
        jobs.extend(key.zip(data).map(|(key, data)| CtrJob { key, iv, data }));
    }
    ctr_batch(backend, &mut jobs);
}

/// E word, MKI and tag of the packets that are not AEAD's.
fn authenticate(backend: Backend, batch: &mut [Sealing<'_>]) {
    let mut jobs = ArrayVec::<HmacJob<'_>, MAX_BATCH>::new();
    for sealing in batch.iter_mut().filter(|sealing| !sealing.is_aead()) {
        sealing.packet.extend(sealing.e_word.iter().flatten());
    }
    for sealing in batch.iter() {
        //= RFC 3711 §4.2: of RTP, the rollover counter is covered too
        let suffix = match sealing.clear.kind {
            PacketKind::Rtp => Some(sealing.index.roc().0.to_be_bytes()),
            PacketKind::Rtcp => None,
        };
        let message = sealing.packet.as_slice();
        jobs.extend(sealing.session.hmac.as_ref().map(|key| HmacJob { key, message, suffix }));
    }
    let mut macs = [[0; 20]; MAX_BATCH];
    hmac_batch(backend, &jobs, &mut macs[..jobs.len()]);
    drop(jobs);
    for (sealing, mac) in batch.iter_mut().filter(|sealing| !sealing.is_aead()).zip(macs) {
        sealing.end(&mac);
    }
}

/// Encryption under AEAD with its tag, then E word and MKI (RFC 7714 §8.2, §9.2).
fn seal_aead(backend: Backend, batch: &mut [Sealing<'_>]) {
    let mut jobs = ArrayVec::<GcmJob<'_>, MAX_BATCH>::new();
    for sealing in batch.iter_mut().filter(|sealing| sealing.is_aead()) {
        let iv = sealing.session.nonce(sealing.clear.ssrc.0, sealing.index);
        let clear_len =
            if sealing.encrypted { sealing.clear.header_len } else { sealing.packet.len() };
        let parts = sealing.packet.split_at_mut_checked(clear_len);
        let e_word = sealing.e_word.as_ref().map_or(&[][..], |word| word);
        let job = sealing.session.cipher.as_ref().zip(parts).map(|(key, (aad, data))| GcmJob {
            key,
            iv,
            aad: [aad, e_word],
            data,
            tag: [0; 16],
        });
        jobs.extend(job);
    }
    gcm_seal_batch(backend, &mut jobs);
    let tags: ArrayVec<_, MAX_BATCH> = jobs.iter().map(|job| job.tag).collect();
    drop(jobs);
    for (sealing, tag) in batch.iter_mut().filter(|sealing| sealing.is_aead()).zip(tags) {
        sealing.packet.extend(tag);
        sealing.packet.extend(sealing.e_word.iter().flatten());
        sealing.end(&[]);
    }
}

impl Sealing<'_> {
    const fn is_aead(&self) -> bool {
        self.session.hmac.is_none()
    }

    /// Appends MKI and tag field: as much of the MAC as it holds, and before it the rollover counter
    /// where this packet carries it (RFC 4771 §2).
    fn end(&mut self, mac: &[u8]) {
        let Self { clear, key, packet, index, .. } = self;
        packet.extend(key.mki().as_bytes());
        let profile = key.profile();
        let (roc, tag_len) = match clear.kind {
            PacketKind::Rtp => (
                profile.rcc.filter(|rcc| rcc.carries_roc(clear.seq)).map(|_| index.roc()),
                profile.tag_len_at(clear.seq),
            ),
            PacketKind::Rtcp => (None, usize::from(profile.srtcp_tag_len)),
        };
        let roc = roc.map(|roc| roc.0.to_be_bytes());
        packet.extend(roc.iter().flatten().chain(mac).take(tag_len));
    }
}
