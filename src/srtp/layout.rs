//! Where the parts of a protected packet lie, counted from both ends (RFC 3711 §3.1, §3.4;
//! RFC 7714 §8.2, §9.2; RFC 4771 §2).

use super::{
    key::PacketKind,
    profile::{Profile, Rcc},
};
use crate::{
    error::Reject,
    ids::{Roc, Seq, Ssrc},
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
    /// E flag and SRTCP index of RTCP; the rollover counter of an RTP packet that carries it, or zero.
    pub(crate) word: u32,
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
/// MKI, tag field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trailer {
    /// Octets of all of it.
    behind_text: usize,
    /// Octets of MKI and tag field.
    behind_auth: usize,
    /// Octets of the tag field.
    tag_len: usize,
    /// Octets of the MAC at the end of the tag field.
    mac_len: usize,
    aead_tag_len: usize,
    /// The rollover counter stands before the MAC.
    pub(crate) carries_roc: bool,
    /// HMAC or AEAD proves the packet; without RCC one of them always does.
    pub(crate) is_authenticated: bool,
}

/// What stands behind the text of RTP packets under RCC, where that depends on the sequence number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RccTrailers {
    rcc: Rcc,
    carrying: Trailer,
    other: Trailer,
}

impl RccTrailers {
    pub(crate) fn of(profile: &Profile) -> Option<Self> {
        let rcc = profile.rcc?;
        let trailer = |carries_roc| {
            let is_authenticated = profile.authenticates(carries_roc);
            let roc_len = if carries_roc { Rcc::ROC_LEN } else { 0 };
            let has_field = carries_roc || (is_authenticated && !profile.cipher.is_aead());
            let tag_len = if has_field { profile.srtp_tag_len } else { 0 };
            Trailer {
                mac_len: usize::from(tag_len.saturating_sub(roc_len)),
                carries_roc,
                is_authenticated,
                ..Trailer::with_tag(profile, 0, tag_len)
            }
        };
        Some(Self { rcc, carrying: trailer(true), other: trailer(false) })
    }

    /// The trailer of the packet with this sequence number.
    pub(crate) const fn at(&self, seq: Seq) -> &Trailer {
        if self.rcc.carries_roc(seq) { &self.carrying } else { &self.other }
    }
}

impl Trailer {
    /// The trailer of every packet of a kind; of RTP under RCC there is none, and what this gives fits
    /// no packet.
    pub(crate) fn of(profile: &Profile, kind: PacketKind) -> Self {
        match kind {
            PacketKind::Rtp if profile.rcc.is_some() => Self {
                behind_text: usize::MAX,
                behind_auth: usize::MAX,
                tag_len: usize::MAX,
                mac_len: usize::MAX,
                ..Self::with_tag(profile, 0, 0)
            },
            PacketKind::Rtp => Self::with_tag(profile, 0, profile.srtp_tag_len),
            PacketKind::Rtcp => Self::with_tag(profile, 4, profile.srtcp_tag_len),
        }
    }

    fn with_tag(profile: &Profile, e_len: usize, tag_len: u8) -> Self {
        let (aead_tag_len, tag_len) = (profile.aead_tag_len(), usize::from(tag_len));
        let behind_auth = usize::from(profile.mki_len) + tag_len;
        Self {
            behind_text: aead_tag_len + e_len + behind_auth,
            behind_auth,
            tag_len,
            mac_len: tag_len,
            aead_tag_len,
            carries_roc: false,
            is_authenticated: true,
        }
    }

    /// What HMAC covers of the octets on the wire, for RTCP including the E word. This and the other
    /// parts are `None` where a packet is too short for them.
    #[inline(always)]
    pub(crate) fn authenticated<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        packet.get(..packet.len().checked_sub(self.behind_auth)?)
    }

    /// What stands before the tag field, the MKI at its end.
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
        packet.get(packet.len().checked_sub(self.mac_len)?..)
    }

    /// The rollover counter, in a packet that carries it.
    fn roc(&self, packet: &[u8]) -> Option<Roc> {
        //= RFC 4771 §2: it stands before the MAC in the tag field
        let field = packet.get(packet.len().checked_sub(self.tag_len)?..)?;
        let roc = u32::from_be_bytes(*field.first_chunk()?);
        self.carries_roc.then_some(Roc(roc))
    }
}

impl Layout {
    /// Finds the parts from the end of the packet; `None` if they do not fit behind the header. Finds no
    /// rollover counter.
    #[inline(always)]
    pub(crate) fn read(clear: &Clear, trailer: &Trailer, packet: &[u8]) -> Option<Self> {
        let text_end = packet.len().checked_sub(trailer.behind_text)?;
        if text_end < clear.header_len {
            return None;
        }
        let word = match clear.kind {
            PacketKind::Rtp => 0,
            PacketKind::Rtcp => {
                let e_start = text_end + trailer.aead_tag_len;
                u32::from_be_bytes(*packet.get(e_start..)?.first_chunk()?)
            }
        };
        Some(Self { text_end, word })
    }

    /// As [`Self::read`], with the rollover counter if the packet carries it.
    pub(crate) fn read_any(clear: &Clear, trailer: &Trailer, packet: &[u8]) -> Option<Self> {
        let layout = Self::read(clear, trailer, packet)?;
        Some(match trailer.roc(packet) {
            Some(roc) => Self { word: roc.0, ..layout },
            None => layout,
        })
    }

    /// Whether the E flag of SRTCP is set (RFC 3711 §3.4).
    #[inline(always)]
    pub(crate) const fn is_encrypted_rtcp(&self) -> bool {
        self.word & E_FLAG != 0
    }
}

/// E flag: the most significant bit of the word before the MKI (RFC 3711 §3.4).
pub(crate) const E_FLAG: u32 = 0x8000_0000;

/// First octet of an RTP packet with nothing but the fixed header: version 2, no extension, no CSRC
/// (RFC 3550 §5.1).
const NOTHING_OPTIONAL: u8 = 0x80;
/// Padding is part of the payload here (RFC 3550 §5.1).
const PADDING: u8 = 0x20;
