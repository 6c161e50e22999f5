//! What is measured: suite, sizes, batch, streams, cache.

use std::{fmt, str::FromStr};

use peers::Suite;
use serde::Serialize;

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Scenario {
    #[serde(serialize_with = "suite_name")]
    pub(crate) suite: Suite,
    #[serde(serialize_with = "as_text")]
    pub(crate) payload: Payload,
    /// Packets that `mcast-srtp` gets at a time; the others always take one.
    pub(crate) batch: usize,
    /// Streams, whose packets come in turn.
    pub(crate) ssrcs: u32,
    /// Packets flushed from the caches before they are opened.
    pub(crate) cold: bool,
}

/// Payload octets of the packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Payload {
    Fixed(usize),
    /// Speech and video: 160 and 1200 octets in turn.
    Mix,
}

impl Scenario {
    const BASE: Self = Self {
        suite: Suite::AesCm128Sha1_80,
        payload: Payload::Fixed(160),
        batch: 64,
        ssrcs: 1,
        cold: false,
    };

    /// The lines that the project's targets are about.
    pub(crate) fn table() -> Vec<Self> {
        let (cm, sizes) = (Self::BASE, [32, 160, 1200].map(Payload::Fixed));
        let gcm = Self { suite: Suite::AesGcm128, ..cm };
        let of_sizes = |base: Self| sizes.into_iter().map(move |payload| Self { payload, ..base });
        of_sizes(cm)
            .chain([Self { payload: Payload::Mix, ..cm }])
            .chain(of_sizes(gcm))
            .chain([Self { payload: Payload::Mix, ..gcm }])
            .chain(of_sizes(Self { batch: 8, ..cm }))
            .chain(of_sizes(Self { batch: 1, ..cm }))
            .chain(of_sizes(Self { batch: 8, ..gcm }))
            .chain(of_sizes(Self { batch: 1, ..gcm }))
            .chain(of_sizes(Self { ssrcs: 1024, ..cm }))
            .chain(of_sizes(Self { ssrcs: 16_384, ..cm }))
            .chain(of_sizes(Self { cold: true, ..cm }))
            .collect()
    }

    /// Every combination of the values; an empty list stands for the usual value.
    pub(crate) fn product(
        suites: &[Suite],
        payloads: &[Payload],
        batches: &[usize],
        ssrcs: &[u32],
        cold: bool,
    ) -> Vec<Self> {
        fn or<T: Copy>(values: &[T], usual: T) -> Vec<T> {
            if values.is_empty() { vec![usual] } else { values.to_vec() }
        }
        let mut lines = vec![Self { cold, ..Self::BASE }];
        lines = vary(lines, &or(suites, Self::BASE.suite), |base, suite| Self { suite, ..base });
        lines = vary(lines, &or(payloads, Self::BASE.payload), |b, payload| Self { payload, ..b });
        lines = vary(lines, &or(batches, Self::BASE.batch), |base, batch| Self { batch, ..base });
        vary(lines, &or(ssrcs, Self::BASE.ssrcs), |base, ssrcs| Self { ssrcs, ..base })
    }
}

fn vary<T: Copy>(
    lines: Vec<Scenario>,
    values: &[T],
    with: impl Fn(Scenario, T) -> Scenario + Copy,
) -> Vec<Scenario> {
    lines.into_iter().flat_map(|line| values.iter().map(move |v| with(line, *v))).collect()
}

impl Payload {
    /// Octets of the `number`-th packet's payload. Neighbours in a batch differ in a mix, and with
    /// several streams so do neighbours in a stream.
    pub(crate) const fn len(self, number: u64) -> usize {
        match self {
            Self::Fixed(len) => len,
            Self::Mix if number.is_multiple_of(2) => 160,
            Self::Mix => 1200,
        }
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(len) => write!(f, "{len}"),
            Self::Mix => f.write_str("160+1200"),
        }
    }
}

impl FromStr for Payload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(len) if len <= MAX_PAYLOAD => Ok(Self::Fixed(len)),
            Err(_) if text == "mix" => Ok(Self::Mix),
            _ => Err(format!("a payload is a number up to {MAX_PAYLOAD}, or mix")),
        }
    }
}

/// Slots have 2048 octets; header, MKI and tag need some.
const MAX_PAYLOAD: usize = 1800;

fn suite_name<S: serde::Serializer>(suite: &Suite, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(suite.name())
}

fn as_text<S: serde::Serializer>(payload: &Payload, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_a_list_is_one_line() {
        assert_eq!(Scenario::product(&[], &[], &[], &[], false), [Scenario::BASE]);
        let suites = [Suite::AesGcm128, Suite::AesGcm256];
        let lines = Scenario::product(&suites, &[Payload::Mix], &[1, 8, 64], &[1, 1024], true);
        assert_eq!(lines.len(), 12);
        assert!(lines.iter().all(|line| line.cold && line.payload == Payload::Mix));
    }

    #[test]
    fn payload_is_a_length_or_the_mix() {
        assert_eq!("1200".parse(), Ok(Payload::Fixed(1200)));
        assert_eq!("mix".parse(), Ok(Payload::Mix));
        assert!("1801".parse::<Payload>().is_err());
        assert!("fast".parse::<Payload>().is_err());
    }
}
