//! Where the parts of a protected packet lie, counted from both ends (RFC 3711 §3.1, §3.4;
//! RFC 7714 §8.2, §9.2).

use super::{key::PacketKind, profile::Profile};
use crate::{
    error::Reject,
    ids::{Seq, Ssrc},
    wire::rtp,
};

/// What the clear part of a packet says before any key is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clear {
    pub(crate) kind: PacketKind,
    pub(crate) ssrc: Ssrc,
    /// Zero for RTCP.
    pub(crate) seq: Seq,
    /// Octets that are never encrypted: RTP header with CSRCs and extension, or 8 for RTCP.
    pub(crate) header_len: usize,
}

/// The parts of a packet under a known profile. All offsets are proven to lie within it, in the
/// order of the fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// End of the ciphertext, AEAD tag not included.
    pub(crate) text_end: usize,
    /// End of what HMAC covers on the wire: for RTCP behind the E word.
    pub(crate) auth_end: usize,
    /// Start of the HMAC tag; the packet's end with AEAD.
    pub(crate) tag_start: usize,
    /// E flag and SRTCP index; zero for RTP.
    pub(crate) e_word: u32,
}

impl Clear {
    /// Reads the clear part.
    ///
    /// # Errors
    /// [`Reject::Truncated`] or [`Reject::BadVersion`].
    #[inline]
    pub(crate) fn parse(kind: PacketKind, packet: &[u8]) -> Result<Self, Reject> {
        match kind {
            PacketKind::Rtp => {
                let header_len = rtp::header_len(packet)?;
                let Some([_, _, s0, s1, _, _, _, _, a, b, c, d]) = packet.first_chunk() else {
                    return Err(Reject::Truncated);
                };
                let ssrc = Ssrc(u32::from_be_bytes([*a, *b, *c, *d]));
                Ok(Self { kind, ssrc, seq: Seq(u16::from_be_bytes([*s0, *s1])), header_len })
            }
            PacketKind::Rtcp => {
                let Some([first, _, _, _, a, b, c, d]) = packet.first_chunk() else {
                    return Err(Reject::Truncated);
                };
                //= RFC 3550 §6.1: version 2
                if first >> 6 != 2 {
                    return Err(Reject::BadVersion);
                }
                //= RFC 3711 §4.1.1: the SSRC of the first header of the compound packet
                let ssrc = Ssrc(u32::from_be_bytes([*a, *b, *c, *d]));
                Ok(Self { kind, ssrc, seq: Seq(0), header_len: 8 })
            }
        }
    }
}

impl Layout {
    /// Finds the parts from the end of the packet.
    ///
    /// # Errors
    /// [`Reject::Truncated`] if they do not fit behind the header.
    #[inline]
    pub(crate) fn parse(clear: &Clear, profile: &Profile, packet: &[u8]) -> Result<Self, Reject> {
        let mki_len = usize::from(profile.mki_len);
        let tag_len = match clear.kind {
            PacketKind::Rtp => profile.tag_len_at(clear.seq),
            PacketKind::Rtcp => usize::from(profile.srtcp_tag_len),
        };
        let before = |end: usize, len: usize| {
            end.checked_sub(len).filter(|start| *start >= clear.header_len).ok_or(Reject::Truncated)
        };
        let tag_start = before(packet.len(), tag_len)?;
        let auth_end = before(tag_start, mki_len)?;
        let (aead_end, e_word) = match clear.kind {
            PacketKind::Rtp => (auth_end, 0),
            PacketKind::Rtcp => {
                let start = before(auth_end, 4)?;
                let word = packet.get(start..).and_then(<[u8]>::first_chunk);
                (start, u32::from_be_bytes(*word.ok_or(Reject::Truncated)?))
            }
        };
        let text_end = before(aead_end, profile.aead_tag_len())?;
        Ok(Self { text_end, auth_end, tag_start, e_word })
    }

    /// Whether the E flag of SRTCP is set (RFC 3711 §3.4).
    #[inline]
    pub(crate) const fn is_encrypted_rtcp(&self) -> bool {
        self.e_word & E_FLAG != 0
    }
}

/// E flag: the most significant bit of the word before the MKI (RFC 3711 §3.4).
pub(crate) const E_FLAG: u32 = 0x8000_0000;
