//! Memory that packets are opened in, laid out as the library's receive arena is.

use super::feed::Packets;

/// Datagrams in slots an odd number of cache lines apart, each 52 octets into its slot: so a 12-octet
/// RTP header ends with a line, and the slots do not compete for the same cache sets.
pub(crate) struct Slots {
    octets: Vec<u8>,
    /// Where the first line starts.
    start: usize,
    lens: Vec<usize>,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        let octets = vec![0; count * STRIDE + LINE];
        let start = octets.as_ptr().align_offset(LINE);
        Self { octets, start, lens: vec![0; count] }
    }

    pub(crate) fn len(&self) -> usize {
        self.lens.len()
    }

    /// Copies the packets from `first` on into the slots, as the kernel does when they are received.
    pub(crate) fn fill(&mut self, packets: &Packets, first: usize) {
        for place in 0..self.lens.len() {
            let packet = packets.get(first + place);
            let start = self.start + place * STRIDE + HEADROOM;
            self.octets[start..start + packet.len()].copy_from_slice(packet);
            self.lens[place] = packet.len();
        }
    }

    /// The datagrams.
    pub(crate) fn packets(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.octets[self.start..]
            .chunks_exact_mut(STRIDE)
            .zip(&self.lens)
            .map(|(slot, len)| &mut slot[HEADROOM..HEADROOM + len])
    }
}

const LINE: usize = 64;
const HEADROOM: usize = LINE - 12;
const STRIDE: usize = 33 * LINE;
