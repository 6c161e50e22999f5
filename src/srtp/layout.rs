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
    pub(crate) ssrc: Ssrc,
    /// Zero for RTCP.
    pub(crate) seq: Seq,
    /// Octets that are never encrypted: RTP header with CSRCs and extension, or 8 for RTCP.
    pub(crate) header_len: usize,
    pub(crate) kind: PacketKind,
}

/// The parts of a packet under a known profile: header, text and [`Trailer`] are proven to fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// End of the ciphertext, AEAD tag not included.
    pub(crate) text_end: usize,
    /// E flag and SRTCP index; zero for RTP.
    pub(crate) e_word: u32,
}

impl Clear {
    /// Reads the clear part.
    ///
    /// # Errors
    /// [`Reject::Truncated`] or [`Reject::BadVersion`].
    #[inline(always)]
    pub(crate) fn parse(kind: PacketKind, packet: &[u8]) -> Result<Self, Reject> {
        Self::read(kind, packet).ok_or_else(|| Self::why_not(kind, packet))
    }

    /// As [`Self::parse`], without a reason.
    pub(crate) fn read(kind: PacketKind, packet: &[u8]) -> Option<Self> {
        if let Some(plain) = Self::read_plain(kind, packet) {
            return Some(plain);
        }
        match kind {
            PacketKind::Rtp => {
                let header_len = rtp::header_len(packet).ok()?;
                packet.first_chunk().map(|fixed| Self::of_rtp(fixed, header_len))
            }
            PacketKind::Rtcp => {
                let [first, _, _, _, a, b, c, d] = packet.first_chunk()?;
                //= RFC 3711 §4.1.1: the SSRC of the first header of the compound packet
                let ssrc = Ssrc(u32::from_be_bytes([*a, *b, *c, *d]));
                //= RFC 3550 §6.1: version 2
                (first >> 6 == 2).then_some(Self { ssrc, seq: Seq(0), header_len: 8, kind })
            }
        }
    }

    /// As [`Self::read`], for RTP packets with nothing but the fixed header, which most are.
    #[inline(always)]
    pub(crate) fn read_plain(kind: PacketKind, packet: &[u8]) -> Option<Self> {
        match (kind, packet.first_chunk::<12>()) {
            (PacketKind::Rtp, Some(fixed)) if fixed[0] & !PADDING == NOTHING_OPTIONAL => {
                Some(Self::of_rtp(fixed, 12))
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn of_rtp(fixed: &[u8; 12], header_len: usize) -> Self {
        let [_, _, s0, s1, _, _, _, _, a, b, c, d] = *fixed;
        Self {
            ssrc: Ssrc(u32::from_be_bytes([a, b, c, d])),
            seq: Seq(u16::from_be_bytes([s0, s1])),
            header_len,
            kind: PacketKind::Rtp,
        }
    }

    #[cold]
    fn why_not(kind: PacketKind, packet: &[u8]) -> Reject {
        match kind {
            PacketKind::Rtp => rtp::header_len(packet).err().unwrap_or(Reject::Truncated),
            PacketKind::Rtcp if packet.len() < 8 => Reject::Truncated,
            PacketKind::Rtcp => Reject::BadVersion,
        }
    }
}

/// What stands behind the text of packets of one kind under one profile: AEAD tag, E word of SRTCP,
/// MKI, HMAC tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trailer {
    /// Octets of all of it.
    behind_text: usize,
    /// Octets of MKI and HMAC tag.
    behind_auth: usize,
    tag_len: usize,
    aead_tag_len: usize,
}

impl Trailer {
    /// The trailer under a profile without RCC, where no tag depends on the sequence number.
    pub(crate) fn of(profile: &Profile, kind: PacketKind) -> Self {
        let (e_len, tag_len) = match kind {
            PacketKind::Rtp => (0, profile.srtp_tag_len),
            PacketKind::Rtcp => (4, profile.srtcp_tag_len),
        };
        let (aead_tag_len, tag_len) = (profile.aead_tag_len(), usize::from(tag_len));
        let behind_auth = usize::from(profile.mki_len) + tag_len;
        Self { behind_text: aead_tag_len + e_len + behind_auth, behind_auth, tag_len, aead_tag_len }
    }

    /// What HMAC covers of the octets on the wire, for RTCP including the E word. This and the other
    /// parts are `None` where a packet is too short for them.
    #[inline(always)]
    pub(crate) fn authenticated<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        packet.get(..packet.len().checked_sub(self.behind_auth)?)
    }

    /// What stands before the HMAC tag, the MKI at its end.
    #[inline(always)]
    pub(crate) fn before_tag<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        packet.get(..packet.len().checked_sub(self.tag_len)?)
    }

    /// The MKI.
    pub(crate) fn mki<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        self.before_tag(packet)?.get(packet.len().checked_sub(self.behind_auth)?..)
    }

    /// The HMAC tag; nothing with AEAD.
    #[inline(always)]
    pub(crate) fn tag<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        packet.get(packet.len().checked_sub(self.tag_len)?..)
    }
}

impl Layout {
    /// Finds the parts from the end of the packet; `None` if they do not fit behind the header.
    #[inline(always)]
    pub(crate) fn read(clear: &Clear, trailer: &Trailer, packet: &[u8]) -> Option<Self> {
        let text_end = packet.len().checked_sub(trailer.behind_text)?;
        if text_end < clear.header_len {
            return None;
        }
        let e_word = match clear.kind {
            PacketKind::Rtp => 0,
            PacketKind::Rtcp => {
                let e_start = text_end + trailer.aead_tag_len;
                u32::from_be_bytes(*packet.get(e_start..)?.first_chunk()?)
            }
        };
        Some(Self { text_end, e_word })
    }

    /// Whether the E flag of SRTCP is set (RFC 3711 §3.4).
    #[inline(always)]
    pub(crate) const fn is_encrypted_rtcp(&self) -> bool {
        self.e_word & E_FLAG != 0
    }
}

/// E flag: the most significant bit of the word before the MKI (RFC 3711 §3.4).
pub(crate) const E_FLAG: u32 = 0x8000_0000;

/// First octet of an RTP packet with nothing but the fixed header: version 2, no extension, no CSRC
/// (RFC 3550 §5.1).
const NOTHING_OPTIONAL: u8 = 0x80;
/// Padding is part of the payload here (RFC 3550 §5.1).
const PADDING: u8 = 0x20;
