//! Where the streams of a talk group have been, so that a restarted receiver knows where to look.
//!
//! A place is the newest authenticated index of a stream. After a restart it is a candidate and no more:
//! the first packet of the stream has to authenticate under the rollover counter that follows from it.

use crate::{
    ids::{PacketIndex, Roc, Seq, Ssrc},
    record::{RecordReader, RecordWriter},
    secret::SecretBytes,
};

/// The streams of a talk group, those heard last first.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Vec<(Ssrc, PacketIndex)>);

impl Streams {
    /// Takes down where streams are; tells whether that is worth a record.
    pub(super) fn note(&mut self, seen: &[(Ssrc, PacketIndex)]) -> bool {
        let worth = seen.iter().any(|(ssrc, index)| {
            let known = self.0.iter().find(|(known, _)| known == ssrc);
            known.is_none_or(|(_, known)| known.value().abs_diff(index.value()) >= WORTH_A_RECORD)
        });
        if worth {
            self.0.retain(|(known, _)| seen.iter().all(|(ssrc, _)| ssrc != known));
            self.0.splice(..0, seen.iter().copied());
            self.0.truncate(STREAMS_OF_A_GROUP);
        }
        worth
    }

    pub(super) fn places(&self) -> &[(Ssrc, PacketIndex)] {
        &self.0
    }

    /// What is to be kept of them; `None`: nothing.
    pub(super) fn write(&self) -> Option<SecretBytes> {
        let write = |out: RecordWriter, (ssrc, index): &(Ssrc, PacketIndex)| {
            out.u32(ssrc.0).u32(index.roc().0).u16(index.seq().0)
        };
        let out = RecordWriter::default().list(self.0.iter(), write);
        (!self.0.is_empty()).then(|| out.into_value())
    }

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let mut value = RecordReader::new(value);
        let mut streams = value.list(|value| {
            let ssrc = Ssrc(value.u32()?);
            Some((ssrc, PacketIndex::new(Roc(value.u32()?), Seq(value.u16()?))))
        })?;
        streams.truncate(STREAMS_OF_A_GROUP);
        value.finish().map(|()| Self(streams))
    }
}

/// Streams remembered of one talk group.
const STREAMS_OF_A_GROUP: usize = 256;
/// A stream that has moved this far is written again: an estimate from its place bridges 2^15 packets,
/// of which three quarters are then left for the time when nobody listens.
const WORTH_A_RECORD: u64 = 1 << 13;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ssrc: u32, index: u64) -> (Ssrc, PacketIndex) {
        (Ssrc(ssrc), PacketIndex::from_value(index))
    }

    #[test]
    fn a_stream_is_written_when_it_is_new_or_has_moved_far() {
        let mut streams = Streams::default();
        assert!(!streams.note(&[]));
        assert!(streams.note(&[at(1, 70_000), at(2, 5)]));
        assert!(!streams.note(&[at(1, 70_000 + WORTH_A_RECORD - 1)]));
        assert!(streams.note(&[at(1, 70_000 + WORTH_A_RECORD)]));
        assert_eq!(streams.places(), [at(1, 70_000 + WORTH_A_RECORD), at(2, 5)]);
        let kept = streams.write().unwrap();
        assert_eq!(Streams::read(kept.expose()).unwrap().places(), streams.places());
        assert!((0..kept.len()).all(|len| Streams::read(&kept.expose()[..len]).is_none()));
    }

    #[test]
    fn streams_heard_long_ago_make_room() {
        let mut streams = Streams::default();
        for ssrc in 0..300 {
            assert!(streams.note(&[at(ssrc, 1)]));
        }
        assert_eq!(streams.places().len(), STREAMS_OF_A_GROUP);
        assert_eq!(streams.places()[0], at(299, 1));
    }
}
