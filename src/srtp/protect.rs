//! Plain packets in, protected packets out: the sender's side (RFC 3711 §3.3, §3.4).

use std::collections::HashMap;

use arrayvec::ArrayVec;

use super::{
    batch::MAX_BATCH,
    derived::DerivedKeys,
    index,
    kernel::Backend,
    key::{PacketKind, SessionKeys, TrafficKey},
    layout::{Clear, E_FLAG},
    seal::{Sealing, seal_batch},
};
use crate::{
    error::{Error, Reject},
    ids::{PacketIndex, Roc, Ssrc},
};

/// Sender side of SRTP and SRTCP: rollover counters and SRTCP indexes of its streams.
///
/// Both run on over a change of key (RFC 3711 §3.3.1, §3.4).
#[derive(Debug)]
pub struct Protector {
    highest: HashMap<Ssrc, PacketIndex>,
    next_rtcp: HashMap<Ssrc, u32>,
    backend: Backend,
    derived: DerivedKeys,
}

/// One plain packet to protect.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Which half of the crypto session it belongs to.
    pub kind: PacketKind,
    /// The key to protect it under.
    pub key: &'a TrafficKey,
    /// The packet; it grows by tag, MKI, and for RTCP the index.
    pub bytes: &'a mut Vec<u8>,
}

impl Default for Protector {
    fn default() -> Self {
        Self::new()
    }
}

impl Protector {
    /// A sender that has sent nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::with_backend(Backend::active())
    }

    /// The same with chosen kernels, for tests and benchmarks.
    #[must_use]
    pub fn with_backend(backend: Backend) -> Self {
        Self {
            highest: HashMap::new(),
            next_rtcp: HashMap::new(),
            backend,
            derived: DerivedKeys::default(),
        }
    }

    /// The rollover counter of a stream, for the SRTP-ID map of an MSK message.
    #[must_use]
    pub fn roc(&self, ssrc: Ssrc) -> Roc {
        self.highest.get(&ssrc).map_or(Roc(0), |index| index.roc())
    }

    /// Continues a stream where another sender left it: `highest` is the last index sent.
    pub fn resume(&mut self, ssrc: Ssrc, highest: PacketIndex) {
        self.highest.insert(ssrc, highest);
    }

    /// The same for SRTCP: `next` is the index of the next packet, below 2^31.
    pub fn resume_rtcp(&mut self, ssrc: Ssrc, next: u32) {
        self.next_rtcp.insert(ssrc, next);
    }

    /// Forgets a stream. If it comes back it begins anew, so that this is only safe when the keys it was
    /// protected under are used no more.
    pub fn forget(&mut self, ssrc: Ssrc) {
        self.highest.remove(&ssrc);
        self.next_rtcp.remove(&ssrc);
    }

    /// Protects an RTP packet in place; the buffer grows by
    /// [`Profile::srtp_overhead`](super::Profile::srtp_overhead) octets at most. Under RCC every R-th
    /// carries its rollover counter (RFC 4771).
    ///
    /// # Errors
    /// [`Error::Rejected`] if the packet is no RTP packet, or if its index would wrap: then the
    /// stream needs a new key and SSRC.
    pub fn protect_rtp(
        &mut self,
        key: &TrafficKey,
        packet: &mut Vec<u8>,
    ) -> Result<PacketIndex, Error> {
        self.protect_one(Outgoing { kind: PacketKind::Rtp, key, bytes: packet })
    }

    /// Protects an RTCP packet (compound, or one APP) in place; the buffer grows by 4 octets more
    /// than an RTP packet's. The index is the stream's next.
    ///
    /// # Errors
    /// [`Error::Rejected`] if the packet is no RTCP packet, or if the 31-bit index is used up.
    pub fn protect_rtcp(
        &mut self,
        key: &TrafficKey,
        packet: &mut Vec<u8>,
    ) -> Result<PacketIndex, Error> {
        self.protect_one(Outgoing { kind: PacketKind::Rtcp, key, bytes: packet })
    }

    /// Protects a batch in place; `indexes[i]` is the index of `batch[i]`, or why it has none and was
    /// left as it is.
    ///
    /// Packets and state are those of [`Self::protect_rtp`] and [`Self::protect_rtcp`] called in
    /// order. Any mix of streams, keys, profiles, lengths, RTP and RTCP. Packets beyond the length of
    /// `indexes` are not looked at.
    pub fn protect_batch(
        &mut self,
        batch: &mut [Outgoing<'_>],
        indexes: &mut [Result<PacketIndex, Reject>],
    ) {
        for (packets, indexes) in batch.chunks_mut(MAX_BATCH).zip(indexes.chunks_mut(MAX_BATCH)) {
            let mut together = ArrayVec::<Sealing<'_>, MAX_BATCH>::new();
            for (Outgoing { kind, key, bytes }, index) in packets.iter_mut().zip(indexes) {
                let next = self.next(*kind, key, bytes);
                *index = next.map(|next| next.index);
                let Ok(next) = next else { continue };
                let (key, kind) = (*key, *kind);
                let session = key.session(kind);
                match key.derivation(next.index) {
                    0 => together.push(next.sealing(key, session, bytes)),
                    // With a key derivation rate session keys come and go: alone.
                    r => {
                        let derived = self.derived.get(key, kind, r).unwrap_or(session);
                        seal_batch(self.backend, &mut [next.sealing(key, derived, bytes)]);
                    }
                }
            }
            seal_batch(self.backend, &mut together);
        }
    }

    fn protect_one(&mut self, packet: Outgoing<'_>) -> Result<PacketIndex, Error> {
        let mut index = [Err(Reject::Unsupported)];
        self.protect_batch(&mut [packet], &mut index);
        Ok(index[0]?)
    }

    /// Gives a packet its index, and takes note of it.
    fn next(&mut self, kind: PacketKind, key: &TrafficKey, packet: &[u8]) -> Result<Next, Reject> {
        let clear = Clear::parse(kind, packet)?;
        match kind {
            PacketKind::Rtp => {
                let index = match self.highest.get(&clear.ssrc) {
                    Some(highest) => index::estimate(*highest, clear.seq)?,
                    //= RFC 3711 §3.3.1: the rollover counter starts at 0
                    None => PacketIndex::new(Roc(0), clear.seq),
                };
                let highest = self.highest.entry(clear.ssrc).or_insert(index);
                *highest = index.max(*highest);
                Ok(Next { clear, index, e_word: None })
            }
            PacketKind::Rtcp => {
                let next = self.next_rtcp.entry(clear.ssrc).or_default();
                if *next >= E_FLAG {
                    //= RFC 3711 §9.2: at most 2^31 SRTCP packets
                    return Err(Reject::KeyExhausted);
                }
                let number = *next;
                *next += 1;
                let e_flag = if key.profile().encrypt_srtcp { E_FLAG } else { 0 };
                let e_word = Some(e_flag | number);
                Ok(Next { clear, index: PacketIndex::srtcp(number), e_word })
            }
        }
    }
}

/// What a packet gets before it is sealed.
#[derive(Clone, Copy)]
struct Next {
    clear: Clear,
    index: PacketIndex,
    /// E flag and index of RTCP.
    e_word: Option<u32>,
}

impl Next {
    fn sealing<'a>(
        self,
        key: &'a TrafficKey,
        session: &'a SessionKeys,
        packet: &'a mut Vec<u8>,
    ) -> Sealing<'a> {
        let Self { clear, index, e_word } = self;
        let encrypted = e_word.is_none_or(|word| word & E_FLAG != 0);
        let e_word = e_word.map(u32::to_be_bytes);
        Sealing { key, session, clear, index, encrypted, e_word, packet }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::Mki, srtp::Profile};

    const SSRC: Ssrc = Ssrc(7);

    fn rtp(seq: u16) -> Vec<u8> {
        let [hi, lo] = seq.to_be_bytes();
        vec![0x80, 96, hi, lo, 0, 0, 0, 0, 0, 0, 0, 7, 1, 2, 3]
    }

    fn key() -> TrafficKey {
        TrafficKey::new(Mki::new(&[7; 6]).unwrap(), Profile::default(), &[1; 16], &[2; 14]).unwrap()
    }

    #[test]
    fn no_rtp_index_follows_the_last_of_2_to_the_48() {
        let (mut sender, key) = (Protector::new(), key());
        sender.resume(SSRC, PacketIndex::from_value((1 << 48) - 2));
        let last = sender.protect_rtp(&key, &mut rtp(0xffff)).unwrap();
        assert_eq!(last.value(), (1 << 48) - 1);
        let mut beyond = rtp(0);
        let refused = sender.protect_rtp(&key, &mut beyond).unwrap_err();
        assert!(matches!(refused, Error::Rejected(Reject::KeyExhausted)));
        assert_eq!(beyond, rtp(0), "left as it was");
    }

    #[test]
    fn no_srtcp_index_follows_the_last_of_2_to_the_31() {
        let (mut sender, key) = (Protector::new(), key());
        sender.resume_rtcp(SSRC, (1 << 31) - 1);
        let report = || vec![0x80, 201, 0, 1, 0, 0, 0, 7];
        let last = sender.protect_rtcp(&key, &mut report()).unwrap();
        assert_eq!(last.value(), (1 << 31) - 1);
        let refused = sender.protect_rtcp(&key, &mut report()).unwrap_err();
        assert!(matches!(refused, Error::Rejected(Reject::KeyExhausted)));
    }
}
