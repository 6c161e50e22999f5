//! Memory that packets are opened in, laid out as the library's receive arena is.

use super::feed::Packets;

/// Datagrams in slots an odd number of cache lines apart, each 52 octets into its slot: so a 12-octet
/// RTP header ends with a line, and the slots do not compete for the same cache sets.
pub(crate) struct Slots {
    octets: Vec<u8>,
    /// Where the first line starts.
    start: usize,
    lens: Vec<usize>,
    /// Which slot each datagram is in.
    places: Vec<usize>,
}

impl Slots {
    /// Slots used in the order of their addresses.
    pub(crate) fn in_order(count: usize) -> Self {
        let octets = vec![0; count * STRIDE + LINE];
        let start = octets.as_ptr().align_offset(LINE);
        Self { octets, start, lens: vec![0; count], places: (0..count).collect() }
    }

    /// Slots used in an order that the processor cannot guess, always the same.
    pub(crate) fn shuffled(count: usize) -> Self {
        let mut slots = Self::in_order(count);
        let mut random = 1_u64;
        for last in (1..count).rev() {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            slots.places.swap(last, (random >> 33) as usize % (last + 1));
        }
        slots
    }

    pub(crate) fn len(&self) -> usize {
        self.lens.len()
    }

    /// Copies the packets from `first` on into the slots, as the kernel does when they are received.
    pub(crate) fn fill(&mut self, packets: &Packets, first: usize) {
        for (number, (place, len)) in self.places.iter().zip(&mut self.lens).enumerate() {
            let packet = packets.get(first + number);
            let start = self.start + place * STRIDE + HEADROOM;
            self.octets[start..start + packet.len()].copy_from_slice(packet);
            *len = packet.len();
        }
    }

    /// The datagrams.
    pub(crate) fn packets(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let slots = self.octets[self.start..].chunks_exact_mut(STRIDE);
        let mut slots: Vec<_> = slots.map(Some).collect();
        self.places.iter().zip(&self.lens).map(move |(place, len)| {
            let slot = slots[*place].take().expect("each place once");
            &mut slot[HEADROOM..HEADROOM + len]
        })
    }
}

const LINE: usize = 64;
const HEADROOM: usize = LINE - 12;
const STRIDE: usize = 33 * LINE;
