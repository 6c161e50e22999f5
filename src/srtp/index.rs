//! Packet index from a sequence number and the highest index authenticated so far.

use crate::{
    error::Reject,
    ids::{PacketIndex, Roc, Seq},
};

/// Estimates the index of a packet (RFC 3711 §3.3.1 and Appendix A).
///
/// `highest` is the highest authenticated index of the stream; its halves are ROC and s_l.
///
/// # Errors
/// [`Reject::BeforeStart`] if the nearest index lies before index 0, [`Reject::KeyExhausted`] if it
/// lies beyond the last one.
#[inline]
pub(crate) fn estimate(highest: PacketIndex, seq: Seq) -> Result<PacketIndex, Reject> {
    let Roc(roc) = highest.roc();
    match step(highest.seq(), seq) {
        0 => Ok(PacketIndex::new(Roc(roc), seq)),
        //= RFC 3711 Appendix A wraps ROC - 1 to 2^32 - 1 here; such a packet precedes the stream
        -1 if roc == 0 => Err(Reject::BeforeStart),
        -1 => Ok(PacketIndex::new(Roc(roc - 1), seq)),
        //= RFC 3711 §9.2: the index does not wrap under one key
        _ => roc
            .checked_add(1)
            .map(|next| PacketIndex::new(Roc(next), seq))
            .ok_or(Reject::KeyExhausted),
    }
}

/// How far the rollover counter of `seq` is from that of `highest`: -1, 0 or 1.
///
/// A distance of exactly 2^15 resolves to 0.
#[inline]
fn step(highest: Seq, seq: Seq) -> i32 {
    let distance = i32::from(seq.0) - i32::from(highest.0);
    i32::from(distance < -0x8000) - i32::from(distance > 0x8000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimate_follows_appendix_a() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/computed-index-estimate.json"))
                .unwrap();
        let cases = file["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 17);
        for case in cases {
            let number = |name: &str| u32::try_from(case[name].as_u64().unwrap()).unwrap();
            let (roc, v) = (number("roc"), number("v"));
            let seq = Seq(u16::try_from(number("seq")).unwrap());
            let highest = PacketIndex::new(Roc(roc), Seq(u16::try_from(number("s_l")).unwrap()));
            let expected = match (roc, v) {
                (0, u32::MAX) => Err(Reject::BeforeStart),
                (u32::MAX, 0) => Err(Reject::KeyExhausted),
                _ => Ok(PacketIndex::new(Roc(v), seq)),
            };
            assert_eq!(estimate(highest, seq), expected, "{case}");
        }
    }
}
