//! The keys one group of packets may name, newest first.

use std::sync::Arc;

use super::{
    index,
    key::{KeyAge, PacketKind, TrafficKey},
};
use crate::{
    error::Reject,
    ids::{Mki, MskId, MtkId, PacketIndex, Roc, Seq, Ssrc},
};

/// Keys of one talk group: what [`crate::srtp::Unprotector`] looks an MKI up in.
///
/// Immutable once shared. A handful of keys is the normal size, so look-up is a scan.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: Vec<Arc<TrafficKey>>,
    retired: Vec<MskFloor>,
    announced: Vec<(Ssrc, Roc)>,
    expected: Vec<(Ssrc, PacketIndex)>,
}

/// Below this MTK ID the keys of an MSK are gone; `None`: all of them are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct MskFloor {
    msk: MskId,
    lowest: Option<MtkId>,
}

impl KeyRing {
    /// A ring without keys: every MKI is unknown.
    pub const EMPTY: Self =
        Self { keys: Vec::new(), retired: Vec::new(), announced: Vec::new(), expected: Vec::new() };

    /// A ring of these keys, newest first. A key that was made later is a newer one to
    /// [`StreamLimits::sender_restarts`](super::StreamLimits::sender_restarts): make each but once.
    #[must_use]
    pub fn new(keys: Vec<Arc<TrafficKey>>) -> Self {
        Self { keys, ..Self::default() }
    }

    /// Adds the rollover counters that an MSK message announced for late joiners; SSRC 0 stands for
    /// every stream (K18).
    #[must_use]
    pub fn with_announced(mut self, announced: Vec<(Ssrc, Roc)>) -> Self {
        self.announced = announced;
        self
    }

    /// Adds the indexes at which streams were before a restart.
    #[must_use]
    pub fn with_expected(mut self, expected: Vec<(Ssrc, PacketIndex)>) -> Self {
        self.expected = expected;
        self
    }

    /// Remembers that the keys of `msk` below `lowest` have been retired, or all with `None`.
    #[must_use]
    pub fn with_retired(mut self, msk: MskId, lowest: Option<MtkId>) -> Self {
        self.retired.retain(|floor| floor.msk != msk);
        self.retired.push(MskFloor { msk, lowest });
        self
    }

    /// The keys, newest first.
    #[must_use]
    pub fn keys(&self) -> &[Arc<TrafficKey>] {
        &self.keys
    }

    /// The rollover counter announced for a stream.
    #[must_use]
    pub fn announced_roc(&self, ssrc: Ssrc) -> Option<Roc> {
        let find = |wanted| self.announced.iter().find(|(s, _)| *s == wanted).map(|(_, roc)| *roc);
        find(ssrc).or_else(|| find(Ssrc(0)))
    }

    /// Where the search for a stream's rollover counter begins: as announced, or as estimated from where
    /// the stream was before a restart, whichever is later.
    #[must_use]
    pub fn expected_roc(&self, ssrc: Ssrc, seq: Seq) -> Roc {
        let before = self.expected.iter().find(|(of, _)| *of == ssrc);
        let estimated = before.map(|(_, at)| index::estimate(*at, seq).unwrap_or(*at).roc());
        self.announced_roc(ssrc).max(estimated).unwrap_or_default()
    }

    /// Whether a key of the ring is newer than all up to this age: it was made later, and none of them
    /// stands before it.
    pub(crate) fn is_newer(&self, key: &TrafficKey, than: KeyAge) -> bool {
        let mut before = self.keys.iter().map(|key| key.age()).take_while(|age| *age != key.age());
        key.age() > than && before.all(|age| age > than)
    }

    /// Finds the key that a packet names. Each key looks for its MKI where its own profile puts it.
    #[inline(always)]
    pub(crate) fn find(&self, kind: PacketKind, packet: &[u8]) -> Option<&TrafficKey> {
        match self.keys.first() {
            Some(newest) if newest.is_clearly_named_by(kind, packet) => Some(newest),
            _ => self.find_any(kind, packet),
        }
    }

    #[inline(never)]
    fn find_any(&self, kind: PacketKind, packet: &[u8]) -> Option<&TrafficKey> {
        let mut keys = self.keys.iter().map(|key| &**key);
        keys.find(|key| key.is_named_by(kind, packet))
    }

    /// Why [`KeyRing::find`] found nothing: a key that is gone, or one that may still come.
    #[cold]
    pub(crate) fn why_not(&self, kind: PacketKind, packet: &[u8]) -> Reject {
        let unknown = self.keys.first().map_or_else(
            // Without any key the layout is unknown; the packet waits for the first.
            || None,
            |key| key.mki_of(kind, packet).and_then(Mki::new),
        );
        match unknown.and_then(|mki| mki.split_mbms()) {
            Some((msk, mtk)) if self.is_retired(msk, mtk) => Reject::MkiExpired,
            _ => Reject::UnknownMki,
        }
    }

    fn is_retired(&self, msk: MskId, mtk: MtkId) -> bool {
        self.retired
            .iter()
            .any(|floor| floor.msk == msk && floor.lowest.is_none_or(|lowest| mtk < lowest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::Profile;

    const MSK: MskId = MskId { group: 1, number: 2 };

    fn ring() -> KeyRing {
        let keys = [9, 8].map(|n| {
            let mki = Mki::mbms(MSK, MtkId(n));
            Arc::new(TrafficKey::new(mki, Profile::default(), &[0; 16], &[0; 14]).unwrap())
        });
        KeyRing::new(keys.to_vec()).with_retired(MSK, Some(MtkId(8)))
    }

    fn packet(mtk: u16) -> Vec<u8> {
        let mut packet = vec![0x80; 12];
        packet.extend(Mki::mbms(MSK, MtkId(mtk)).as_bytes());
        packet.extend([0; 10]);
        packet
    }

    #[test]
    fn newer_key_is_awaited_and_retired_key_is_expired() {
        let ring = ring();
        let find = |mtk| ring.find(PacketKind::Rtp, &packet(mtk)).map(|k| *k.mki());
        assert_eq!(find(8), Some(Mki::mbms(MSK, MtkId(8))));
        assert_eq!((find(7), find(10)), (None, None));
        assert_eq!(ring.why_not(PacketKind::Rtp, &packet(7)), Reject::MkiExpired);
        assert_eq!(ring.why_not(PacketKind::Rtp, &packet(10)), Reject::UnknownMki);
        let gone = ring.with_retired(MSK, None);
        assert_eq!(gone.why_not(PacketKind::Rtp, &packet(10)), Reject::MkiExpired);
    }

    #[test]
    fn key_is_newer_only_by_age_and_by_place() {
        let ring = ring();
        let (newest, older) = (&ring.keys[0], &ring.keys[1]);
        assert!(older.age() > newest.age(), "made in the wrong order");
        assert!(!ring.is_newer(newest, older.age()) && !ring.is_newer(older, newest.age()));
        let ring = KeyRing::new(vec![Arc::clone(older), Arc::clone(newest)]);
        let (newest, older) = (&ring.keys[0], &ring.keys[1]);
        assert!(ring.is_newer(newest, older.age()) && !ring.is_newer(older, newest.age()));
        assert!(!ring.is_newer(newest, newest.age()));
        // Whether the key that was heard is still held makes no difference.
        let alone = KeyRing::new(vec![Arc::clone(newest)]);
        assert!(alone.is_newer(newest, older.age()));
    }

    #[test]
    fn announced_roc_falls_back_to_the_wildcard() {
        let ring = KeyRing::default().with_announced(vec![(Ssrc(0), Roc(1)), (Ssrc(5), Roc(7))]);
        assert_eq!(ring.announced_roc(Ssrc(5)), Some(Roc(7)));
        assert_eq!(ring.announced_roc(Ssrc(6)), Some(Roc(1)));
        assert_eq!(KeyRing::default().announced_roc(Ssrc(5)), None);
    }

    #[test]
    fn stream_from_before_the_restart_is_expected_where_it_would_be_now() {
        let before = PacketIndex::new(Roc(7), Seq(0xf000));
        let announced = vec![(Ssrc(5), Roc(6)), (Ssrc(6), Roc(9))];
        let ring = KeyRing::default()
            .with_announced(announced)
            .with_expected(vec![(Ssrc(5), before), (Ssrc(6), before)]);
        assert_eq!(ring.expected_roc(Ssrc(5), Seq(0xf800)), Roc(7));
        assert_eq!(ring.expected_roc(Ssrc(5), Seq(0x0100)), Roc(8));
        assert_eq!(ring.expected_roc(Ssrc(6), Seq(0x0100)), Roc(9));
        assert_eq!(ring.expected_roc(Ssrc(7), Seq(0x0100)), Roc(0));
    }

    #[test]
    fn packets_shorter_than_a_trailer_name_no_key() {
        for len in 0..16 {
            assert!(ring().find(PacketKind::Rtp, &vec![0x80; len]).is_none());
        }
    }
}
