//! Plain packets in, protected packets out: the sender's side (RFC 3711 §3.3, §3.4).

use std::collections::HashMap;

use super::{
    derived::DerivedKeys,
    index,
    kernel::{
        Backend,
        cipher::{CtrJob, GcmJob, ctr_batch, gcm_seal_batch},
        hmac::{HmacJob, hmac_batch},
    },
    key::{PacketKind, SessionKeys, TrafficKey},
    layout::{Clear, E_FLAG},
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

    /// Protects an RTP packet in place; the buffer grows by
    /// [`Profile::srtp_overhead`](super::Profile::srtp_overhead) octets.
    ///
    /// # Errors
    /// [`Error::Rejected`] if the packet is no RTP packet, or if its index would wrap: then the
    /// stream needs a new key and SSRC.
    pub fn protect_rtp(
        &mut self,
        key: &TrafficKey,
        packet: &mut Vec<u8>,
    ) -> Result<PacketIndex, Error> {
        let clear = Clear::parse(PacketKind::Rtp, packet)?;
        let index = match self.highest.get(&clear.ssrc) {
            Some(highest) => index::estimate(*highest, clear.seq)?,
            //= RFC 3711 §3.3.1: the rollover counter starts at 0
            None => PacketIndex::new(Roc(0), clear.seq),
        };
        self.seal(key, &clear, index, None, packet);
        let highest = self.highest.entry(clear.ssrc).or_insert(index);
        *highest = index.max(*highest);
        Ok(index)
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
        let clear = Clear::parse(PacketKind::Rtcp, packet)?;
        let next = self.next_rtcp.entry(clear.ssrc).or_default();
        if *next >= E_FLAG {
            //= RFC 3711 §9.2: at most 2^31 SRTCP packets
            return Err(Reject::KeyExhausted.into());
        }
        let number = *next;
        *next += 1;
        let e_flag = if key.profile().encrypt_srtcp { E_FLAG } else { 0 };
        let index = PacketIndex::srtcp(number);
        self.seal(key, &clear, index, Some(e_flag | number), packet);
        Ok(index)
    }

    fn seal(
        &mut self,
        key: &TrafficKey,
        clear: &Clear,
        index: PacketIndex,
        e_word: Option<u32>,
        packet: &mut Vec<u8>,
    ) {
        let r = key.derivation(index);
        let own = key.session(clear.kind);
        let session =
            if r == 0 { own } else { self.derived.get(key, clear.kind, r).unwrap_or(own) };
        let encrypted = e_word.is_none_or(|word| word & E_FLAG != 0);
        let e_word = e_word.map(u32::to_be_bytes);
        if session.hmac.is_some() {
            seal_hmac(self.backend, session, key, clear, index, (encrypted, e_word), packet);
        } else {
            seal_aead(self.backend, session, key, clear, index, (encrypted, e_word), packet);
        }
    }
}

/// Encrypts, then appends E word, MKI and tag.
fn seal_hmac(
    backend: Backend,
    session: &SessionKeys,
    key: &TrafficKey,
    clear: &Clear,
    index: PacketIndex,
    (encrypted, e_word): (bool, Option<[u8; 4]>),
    packet: &mut Vec<u8>,
) {
    if let Some(cipher) = session.cipher.as_ref().filter(|_| encrypted) {
        let iv = session.counter_block(clear.ssrc.0, index);
        let data = packet.get_mut(clear.header_len..).unwrap_or_default();
        ctr_batch(backend, &mut [CtrJob { key: cipher, iv, data }]);
    }
    packet.extend(e_word.iter().flatten());
    let (suffix, tag_len) = match clear.kind {
        PacketKind::Rtp => (Some(index.roc().0.to_be_bytes()), key.profile().tag_len_at(clear.seq)),
        PacketKind::Rtcp => (None, usize::from(key.profile().srtcp_tag_len)),
    };
    let mut mac = [[0; 20]];
    if let Some(hmac) = &session.hmac {
        hmac_batch(backend, &[HmacJob { key: hmac, message: packet, suffix }], &mut mac);
    }
    packet.extend(key.mki().as_bytes());
    packet.extend(mac[0].iter().take(tag_len));
}

/// Encrypts under AEAD and appends its tag, then E word and MKI.
fn seal_aead(
    backend: Backend,
    session: &SessionKeys,
    key: &TrafficKey,
    clear: &Clear,
    index: PacketIndex,
    (encrypted, e_word): (bool, Option<[u8; 4]>),
    packet: &mut Vec<u8>,
) {
    let clear_len = if encrypted { clear.header_len } else { packet.len() };
    let tag = session.cipher.as_ref().zip(packet.split_at_mut_checked(clear_len)).map(
        |(cipher, (aad, data))| {
            let tail = e_word.as_ref().map_or(&[][..], |word| word);
            let iv = session.nonce(clear.ssrc.0, index);
            let mut job = [GcmJob { key: cipher, iv, aad: [aad, tail], data, tag: [0; 16] }];
            gcm_seal_batch(backend, &mut job);
            job[0].tag
        },
    );
    packet.extend(tag.iter().flatten());
    packet.extend(e_word.iter().flatten());
    packet.extend(key.mki().as_bytes());
}
