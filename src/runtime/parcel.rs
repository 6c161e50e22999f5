//! Datagrams on their way from the thread that reads sockets to a worker.

use std::net::SocketAddr;

use arrayvec::ArrayVec;

use crate::{
    net::Arena,
    rx::{Datagram, PortId},
    srtp::{MAX_BATCH, PacketKind},
};

/// A batch in memory of its own, which goes back and forth and is never freed meanwhile.
#[derive(Debug)]
pub(super) struct Parcel {
    entries: ArrayVec<Entry, MAX_BATCH>,
    octets: Box<[u8]>,
    used: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    port: PortId,
    source: SocketAddr,
    kind: PacketKind,
    start: usize,
    len: usize,
}

impl Parcel {
    /// Room for a batch of datagrams as long as a slot.
    pub(super) fn new() -> Self {
        // Zeroed memory: the system gives pages as they are used.
        let octets = vec![0; MAX_BATCH * (Arena::SLOT_LEN + 2 * LINE)].into_boxed_slice();
        Self { entries: ArrayVec::new(), octets, used: 0 }
    }

    /// Copies a datagram in; `false` if there is no room.
    #[inline]
    pub(super) fn push(&mut self, datagram: &Datagram<'_>, kind: PacketKind) -> bool {
        // As in an arena, the payload behind a plain RTP header starts a cache line.
        let (start, len) = (self.used.next_multiple_of(LINE) + LINE - 12, datagram.bytes.len());
        let Some(room) = self.octets.get_mut(start..start + len) else { return false };
        let Datagram { port, source, ref bytes, .. } = *datagram;
        if self.entries.try_push(Entry { port, source, kind, start, len }).is_err() {
            return false;
        }
        room.copy_from_slice(bytes);
        self.used = start + len;
        true
    }

    pub(super) const fn is_full(&self) -> bool {
        self.entries.len() == MAX_BATCH
    }

    /// The datagrams in order, and what they are.
    pub(super) fn datagrams(
        &mut self,
    ) -> (ArrayVec<Datagram<'_>, MAX_BATCH>, ArrayVec<Option<PacketKind>, MAX_BATCH>) {
        let mut datagrams = ArrayVec::new();
        let kinds = self.entries.iter().map(|entry| Some(entry.kind)).collect();
        let (mut rest, mut at) = (&mut *self.octets, 0);
        for Entry { port, source, start, len, .. } in &self.entries {
            // Entries lie in order of their octets, so each is split off the rest.
            let (_, behind) = rest.split_at_mut(start - at);
            let (bytes, behind) = behind.split_at_mut(*len);
            datagrams.push(Datagram { port: *port, source: *source, truncated: false, bytes });
            (rest, at) = (behind, start + len);
        }
        (datagrams, kinds)
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.used = 0;
    }
}

const LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_out_as_they_went_in_until_there_is_no_room() {
        let mut parcel = Parcel::new();
        for len in [0, 1, 40, 2048] {
            parcel.clear();
            let source = SocketAddr::from(([192, 0, 2, 1], 7));
            for n in 0..MAX_BATCH {
                let mut bytes = vec![n as u8; len];
                let datagram =
                    Datagram { port: PortId(n), source, truncated: false, bytes: &mut bytes };
                assert_eq!(parcel.push(&datagram, PacketKind::Rtp), n < MAX_BATCH);
                assert_eq!(parcel.is_full(), n + 1 == MAX_BATCH);
            }
            let more = Datagram { port: PortId(0), source, truncated: false, bytes: &mut [] };
            assert!(!parcel.push(&more, PacketKind::Rtp));
            let (datagrams, kinds) = parcel.datagrams();
            assert_eq!((datagrams.len(), kinds.len()), (MAX_BATCH, MAX_BATCH));
            for (n, datagram) in datagrams.iter().enumerate() {
                assert_eq!((datagram.port, &*datagram.bytes), (PortId(n), &*vec![n as u8; len]));
            }
        }
        let mut long = vec![7; 100_000];
        let source = SocketAddr::from(([192, 0, 2, 1], 7));
        parcel.clear();
        let fits = |parcel: &mut Parcel, bytes: &mut [u8]| {
            let datagram = Datagram { port: PortId(0), source, truncated: false, bytes };
            parcel.push(&datagram, PacketKind::Rtcp)
        };
        assert!(fits(&mut parcel, &mut long) && !fits(&mut parcel, &mut long));
    }
}
