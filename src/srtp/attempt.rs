//! One packet whose key and parts are known: what of it is hashed, compared and decrypted.

use std::hint::black_box;

use subtle::ConstantTimeEq;

use super::{
    kernel::{
        Backend,
        cipher::{CtrJob, GcmJob, ctr_batch, gcm_open_batch},
        hmac::{HmacJob, hmac_batch},
    },
    key::{Course, PacketKind, SessionKeys, TrafficKey},
    layout::{Clear, Layout, Trailer},
    stream::{SessionId, StreamKey},
    unprotect::{Opened, Packet},
};
use crate::{
    error::Reject,
    ids::{PacketIndex, Roc},
};

/// A packet that names a key it has room for. Nothing of it is proven.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    pub(super) key: &'a TrafficKey,
    pub(super) clear: Clear,
    pub(super) layout: Layout,
}

impl<'a> Attempt<'a> {
    /// Reads what can be read of a packet without the state of its stream; `None` if it is malformed
    /// or its key is unknown.
    pub(super) fn read(packet: &Packet<'a>) -> Option<Self> {
        let clear = Clear::read(packet.kind, packet.bytes)?;
        let key = packet.keys.find(clear.kind, packet.bytes)?;
        let trailer = key.trailer_at(clear.kind, clear.seq);
        let layout = Layout::read_any(&clear, trailer, packet.bytes)?;
        Some(Self { key, clear, layout })
    }

    /// As [`Self::read`], for RTP packets with nothing but the fixed header and without RCC, which most
    /// are; `None` for others too.
    #[inline(always)]
    pub(super) fn read_plain(packet: &Packet<'a>) -> Option<Self> {
        let clear = Clear::read_plain(packet.kind, packet.bytes)?;
        let key = packet.keys.find(clear.kind, packet.bytes)?;
        let layout = Layout::read(&clear, key.trailer(clear.kind), packet.bytes)?;
        Some(Self { key, clear, layout })
    }

    /// Why [`Self::read`] found nothing to try. Asked for afterwards, because a reason beside the
    /// result would cost every packet.
    #[cold]
    pub(super) fn why_not(packet: &Packet<'_>) -> Reject {
        let Packet { kind, keys, .. } = *packet;
        match (Clear::parse(kind, packet.bytes), keys.find(kind, packet.bytes)) {
            (Err(reject), _) => reject,
            (Ok(_), None) => keys.why_not(kind, packet.bytes),
            (Ok(_), Some(_)) => Reject::Truncated,
        }
    }

    /// What the packet ends with.
    pub(super) fn trailer(&self) -> &'a Trailer {
        self.key.trailer_at(self.clear.kind, self.clear.seq)
    }

    /// The same for a packet that [`Self::read_plain`] has read; for others perhaps what fits no packet.
    #[inline(always)]
    pub(super) const fn plain_trailer(&self) -> &'a Trailer {
        self.key.trailer(self.clear.kind)
    }

    /// The index, if the packet states it: SRTCP always does, SRTP where it carries its rollover
    /// counter (RFC 4771).
    pub(super) fn stated_index(&self) -> Option<PacketIndex> {
        let word = self.layout.word;
        match self.clear.kind {
            PacketKind::Rtp if self.trailer().carries_roc => {
                Some(PacketIndex::new(Roc(word), self.clear.seq))
            }
            PacketKind::Rtp => None,
            PacketKind::Rtcp => Some(PacketIndex::srtcp(word)),
        }
    }

    /// Whether anything proves the packet.
    pub(super) fn is_authenticated(&self) -> bool {
        self.trailer().is_authenticated
    }

    /// Session keys of derivation index 0.
    #[inline(always)]
    pub(super) const fn session(&self) -> &'a SessionKeys {
        self.key.session(self.clear.kind)
    }
}

impl Attempt<'_> {
    /// The stream it claims to belong to.
    #[inline(always)]
    pub(super) const fn stream(&self, session: SessionId) -> StreamKey {
        StreamKey::new(session, self.clear.kind, self.clear.ssrc)
    }

    /// How a batch treats it: as its key says, unless it is RTCP that was left unencrypted.
    #[inline(always)]
    pub(super) const fn course(&self) -> Course {
        if self.is_encrypted() { self.key.course() } else { Course::Alone }
    }

    /// What to hash; `None` with AEAD.
    #[inline(always)]
    pub(super) fn hmac_job<'b>(
        &self,
        trailer: &Trailer,
        session: &'b SessionKeys,
        index: PacketIndex,
        bytes: &'b [u8],
    ) -> Option<HmacJob<'b>> {
        let key = session.hmac.as_ref()?;
        let message = trailer.authenticated(bytes)?;
        //= RFC 3711 §4.2: of RTP, the rollover counter is covered too
        let suffix = match self.clear.kind {
            PacketKind::Rtp => Some(index.roc().0.to_be_bytes()),
            PacketKind::Rtcp => None,
        };
        Some(HmacJob { key, message, suffix })
    }

    /// Compares the tag on the wire with a computed MAC, in constant time.
    #[inline(always)]
    pub(super) fn tag_matches(trailer: &Trailer, bytes: &[u8], mac: &[u8; 20]) -> bool {
        trailer.tag(bytes).is_some_and(|tag| tag_matches(tag, mac))
    }

    /// Whether the HMAC tag matches. Changes nothing.
    #[inline(never)]
    pub(super) fn verify_hmac(
        &self,
        trailer: &Trailer,
        backend: Backend,
        session: &SessionKeys,
        index: PacketIndex,
        bytes: &[u8],
    ) -> bool {
        let Some(job) = self.hmac_job(trailer, session, index, bytes) else { return false };
        let mut mac = [[0; 20]];
        hmac_batch(backend, &[job], &mut mac);
        Self::tag_matches(trailer, bytes, &mac[0])
    }

    /// Runs counter mode over the text, if there is any.
    #[inline]
    pub(super) fn decrypt(
        &self,
        backend: Backend,
        session: &SessionKeys,
        index: PacketIndex,
        bytes: &mut [u8],
    ) {
        if self.is_encrypted()
            && let Some(job) = self.delivered(index, false, true).text_job(session, bytes)
        {
            ctr_batch(backend, &mut [job]);
        }
    }

    /// Associated data, text, and tag of an AEAD packet (RFC 7714 §8.2, §9.2, §9.3).
    #[inline(always)]
    pub(super) fn gcm_job<'b>(
        &self,
        session: &'b SessionKeys,
        index: PacketIndex,
        bytes: &'b mut [u8],
    ) -> Option<GcmJob<'b>> {
        let key = session.cipher.as_ref()?;
        let iv = session.nonce(self.clear.ssrc.0, index);
        let (head, behind) = bytes.split_at_mut_checked(self.layout.text_end)?;
        let tag = *behind.first_chunk()?;
        let e_word = match self.clear.kind {
            PacketKind::Rtp => &[][..],
            PacketKind::Rtcp => behind.get(16..20)?,
        };
        let clear_len = if self.is_encrypted() { self.clear.header_len } else { head.len() };
        let (aad, data) = head.split_at_mut_checked(clear_len)?;
        Some(GcmJob { key, iv, aad: [aad, e_word], data, tag })
    }

    /// Opens an AEAD packet; if the tag does not match, it is as it was.
    #[inline]
    pub(super) fn open_aead(
        &self,
        backend: Backend,
        session: &SessionKeys,
        index: PacketIndex,
        bytes: &mut [u8],
    ) -> bool {
        let mut ok = [false];
        if let Some(job) = self.gcm_job(session, index, bytes) {
            gcm_open_batch(backend, &mut [job], &mut ok);
        }
        ok[0]
    }

    /// What is told of it once it is accepted, and to its key.
    #[inline(always)]
    pub(super) fn opened(&self, index: PacketIndex, new_stream: bool) -> Opened {
        self.key.mark_used();
        self.delivered(index, new_stream, true)
    }

    /// What is told of a packet.
    #[inline(always)]
    pub(super) const fn delivered(
        &self,
        index: PacketIndex,
        new_stream: bool,
        authenticated: bool,
    ) -> Opened {
        let (header_len, len) = (self.clear.header_len, self.layout.text_end);
        Opened { index, ssrc: self.clear.ssrc, header_len, len, new_stream, authenticated }
    }

    /// Restores the ciphertext of an AEAD packet that was opened under this index: counter mode is
    /// its own inverse.
    #[cold]
    pub(super) fn undo(&self, backend: Backend, index: PacketIndex, bytes: &mut [u8]) {
        let Some(GcmJob { key, iv, data, .. }) = self.gcm_job(self.session(), index, bytes) else {
            return;
        };
        ctr_batch(backend, &mut [CtrJob { key, iv: iv.text_block(), data }]);
    }

    /// Whether the text is encrypted: by policy for SRTP, by the E flag for SRTCP.
    #[inline(always)]
    pub(super) const fn is_encrypted(&self) -> bool {
        match self.clear.kind {
            PacketKind::Rtp => true,
            PacketKind::Rtcp => self.layout.is_encrypted_rtcp(),
        }
    }
}

impl Opened {
    /// The text to run counter mode over if it is encrypted; `None` with the NULL cipher.
    #[inline(always)]
    pub(super) fn text_job<'b>(
        &self,
        session: &'b SessionKeys,
        bytes: &'b mut [u8],
    ) -> Option<CtrJob<'b>> {
        let key = session.cipher.as_ref()?;
        let data = bytes.get_mut(self.header_len..self.len)?;
        Some(CtrJob { key, iv: session.counter_block(self.ssrc.0, self.index), data })
    }
}

/// Compares a tag with as much of a MAC, in constant time. Tags of 8 to 16 octets, which nearly all
/// have, by their first and their last eight: those may overlap.
#[inline(always)]
fn tag_matches(tag: &[u8], mac: &[u8; 20]) -> bool {
    let count = tag.len();
    let Some(mac) = mac.get(..count) else { return false };
    let ends = |octets: &[u8]| {
        let (first, last) = (octets.first_chunk()?, octets.last_chunk()?);
        Some((u64::from_ne_bytes(*first), u64::from_ne_bytes(*last)))
    };
    match (ends(tag), ends(mac)) {
        (Some(tag), Some(mac)) if count <= 16 => black_box((tag.0 ^ mac.0) | (tag.1 ^ mac.1)) == 0,
        // No tag proves nothing.
        _ => count > 0 && tag.ct_eq(mac).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        ids::Mki,
        srtp::{KeyRing, Profile},
    };

    /// Octets of a packet under a profile with tags of that length.
    fn packet(tag_len: u8) -> (KeyRing, Vec<u8>) {
        let profile = Profile { srtp_tag_len: tag_len, ..Profile::default() }.with_mki_len(0);
        let mki = Mki::new(&[]).unwrap();
        let key = TrafficKey::new(mki, profile, &[1; 16], &[2; 14]).unwrap();
        let mut bytes = vec![0x80, 97, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0xaa];
        bytes.extend(100..100 + tag_len);
        (KeyRing::new(vec![Arc::new(key)]), bytes)
    }

    #[test]
    fn every_octet_of_a_tag_of_any_length_counts() {
        for tag_len in 1..=20 {
            let (keys, mut bytes) = packet(tag_len);
            let packet = Packet {
                session: SessionId(0),
                kind: PacketKind::Rtp,
                source: 0,
                keys: &keys,
                bytes: &mut bytes,
            };
            let attempt = Attempt::read(&packet).unwrap();
            let mut mac = [0x5a; 20];
            mac[..usize::from(tag_len)].copy_from_slice(&packet.bytes[13..]);
            assert!(Attempt::tag_matches(attempt.trailer(), packet.bytes, &mac), "{tag_len}");
            for bit in 0..8 * usize::from(tag_len) {
                let mut other = mac;
                other[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    !Attempt::tag_matches(attempt.trailer(), packet.bytes, &other),
                    "{tag_len}: {bit}"
                );
            }
        }
    }
}
