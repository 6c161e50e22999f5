//! Packet index from a sequence number and the highest index authenticated so far.

use crate::{
    error::Reject,
    ids::{PacketIndex, Seq},
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
    let distance = seq.0.wrapping_sub(highest.seq().0).cast_signed();
    // Below index 0 the sum wraps, so that it is too large like one behind the last index.
    let value = highest.value().wrapping_add_signed(distance.into());
    if distance == i16::MIN || value > PacketIndex::MAX.value() {
        return estimate_at_an_edge(highest, seq);
    }
    Ok(PacketIndex::from_value(value))
}

#[cold]
fn estimate_at_an_edge(highest: PacketIndex, seq: Seq) -> Result<PacketIndex, Reject> {
    match seq.0.wrapping_sub(highest.seq().0).cast_signed() {
        // Equally far both ways: the same rollover counter, says Appendix A.
        i16::MIN => Ok(PacketIndex::new(highest.roc(), seq)),
        //= RFC 3711 Appendix A wraps ROC - 1 to 2^32 - 1 here; such a packet precedes the stream
        -0x7fff..0 => Err(Reject::BeforeStart),
        //= RFC 3711 §9.2: the index does not wrap under one key
        _ => Err(Reject::KeyExhausted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Roc;

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
