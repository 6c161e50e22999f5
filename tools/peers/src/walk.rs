//! How an implementation without a way to set the rollover counter is brought to it: by packets.

/// Sequence numbers that carry a stream from its start to the packet before (`roc`, `seq`), in
/// steps short enough for every index estimate (RFC 3711 §3.3.1). None where ROC is 0: a stream
/// starts there.
pub(crate) fn sequence_numbers(roc: u32, seq: u16) -> impl Iterator<Item = u16> {
    const STEP: usize = 0x7000;
    let before = if roc == 0 { None } else { Some((u64::from(roc) << 16 | u64::from(seq)) - 1) };
    before
        .into_iter()
        .flat_map(|end| (0..end).step_by(STEP).chain([end]))
        // The lower half of an index is the sequence number.
        .map(|index| (index & 0xffff) as u16)
}

/// An RTP packet with nothing but a header.
pub(crate) fn empty_packet(ssrc: u32, seq: u16) -> [u8; 12] {
    let ([s0, s1], [a, b, c, d]) = (seq.to_be_bytes(), ssrc.to_be_bytes());
    [0x80, 0, s0, s1, 0, 0, 0, 0, a, b, c, d]
}

/// An RTCP packet with nothing but a header: a receiver report without blocks.
pub(crate) fn empty_report(ssrc: u32) -> [u8; 8] {
    let [a, b, c, d] = ssrc.to_be_bytes();
    [0x80, 201, 0, 1, a, b, c, d]
}

/// Sequence number and SSRC of an RTP packet.
pub(crate) fn seq_and_ssrc(packet: &[u8]) -> Option<(u16, u32)> {
    let fixed: &[u8; 12] = packet.first_chunk()?;
    let [_, _, s0, s1, _, _, _, _, a, b, c, d] = *fixed;
    Some((u16::from_be_bytes([s0, s1]), u32::from_be_bytes([a, b, c, d])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walk_ends_one_packet_short_and_takes_no_long_step() {
        assert_eq!(sequence_numbers(0, 40_000).count(), 0);
        let walk: Vec<_> = sequence_numbers(2, 0).collect();
        assert_eq!(walk.last(), Some(&0xffff));
        assert!(walk.windows(2).all(|w| w[1].wrapping_sub(w[0]) <= 0x7000));
        assert_eq!(walk.windows(2).filter(|w| w[1] < w[0]).count(), 1);
    }
}
