//! Sender and receiver reports (RFC 3550 §6.4).

use super::{NtpTime, split_ssrc};
use crate::{Reject, ids::Ssrc};

/// SR packet (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug)]
pub struct SenderReport<'a> {
    /// Who reports.
    pub ssrc: Ssrc,
    /// What it has sent.
    pub info: SenderInfo,
    blocks: &'a [[u8; ReportBlock::LEN]],
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, Reject> {
        let (ssrc, rest) = split_ssrc(body)?;
        let (info, rest) = rest.split_first_chunk().ok_or(Reject::BadRtcp)?;
        Ok(Self { ssrc, info: SenderInfo::from_octets(*info), blocks: split_blocks(count, rest)? })
    }

    /// How the sender receives others.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + use<'a> {
        self.blocks.iter().map(ReportBlock::from_octets)
    }
}

/// RR packet (RFC 3550 §6.4.2).
#[derive(Clone, Copy, Debug)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub ssrc: Ssrc,
    blocks: &'a [[u8; ReportBlock::LEN]],
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, Reject> {
        let (ssrc, rest) = split_ssrc(body)?;
        Ok(Self { ssrc, blocks: split_blocks(count, rest)? })
    }

    /// How this participant receives others.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + use<'a> {
        self.blocks.iter().map(ReportBlock::from_octets)
    }
}

/// What a sender has sent so far, and how its clocks relate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SenderInfo {
    /// Wall-clock time of this report.
    pub ntp: NtpTime,
    /// The same moment in units of the RTP timestamp.
    pub rtp_timestamp: u32,
    /// Packets sent since the stream began.
    pub packet_count: u32,
    /// Payload octets sent since the stream began.
    pub octet_count: u32,
}

impl SenderInfo {
    const LEN: usize = 20;

    fn from_octets(octets: [u8; Self::LEN]) -> Self {
        let [n0, n1, n2, n3, n4, n5, n6, n7, t0, t1, t2, t3, p0, p1, p2, p3, o0, o1, o2, o3] =
            octets;
        Self {
            ntp: NtpTime(u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7])),
            rtp_timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            packet_count: u32::from_be_bytes([p0, p1, p2, p3]),
            octet_count: u32::from_be_bytes([o0, o1, o2, o3]),
        }
    }
}

/// How one source is received.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReportBlock {
    /// The source this block is about.
    pub ssrc: Ssrc,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the stream began, a signed number of 24 bits; duplicates count as negative.
    pub cumulative_lost: i32,
    /// Highest sequence number received, with the count of its wraps in the upper 16 bits.
    pub highest_seq: u32,
    /// Interarrival jitter in units of the RTP timestamp.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report, 0 if there was none.
    pub last_sr: u32,
    /// Time since that report in 1/65536 s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    const LEN: usize = 24;

    fn from_octets(octets: &[u8; Self::LEN]) -> Self {
        let (words, _) = octets.as_chunks::<4>();
        let word = |at: usize| words.get(at).map_or(0, |word| u32::from_be_bytes(*word));
        let [_, _, _, _, fraction_lost, l0, l1, l2, ..] = *octets;
        Self {
            ssrc: Ssrc(word(0)),
            fraction_lost,
            cumulative_lost: i32::from_be_bytes([l0, l1, l2, 0]) >> 8,
            highest_seq: word(2),
            jitter: word(3),
            last_sr: word(4),
            delay_since_last_sr: word(5),
        }
    }
}

/// What follows the blocks is a profile's own extension and not looked at.
fn split_blocks(count: u8, bytes: &[u8]) -> Result<&[[u8; ReportBlock::LEN]], Reject> {
    bytes.as_chunks().0.get(..usize::from(count)).ok_or(Reject::BadRtcp)
}
