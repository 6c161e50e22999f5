//! The packets that all contenders open, and the arena they open them in.

use peers::{Peer, Refused, Setup, WebrtcSrtp};

use crate::scenario::Scenario;

/// Packets that a lane receives at a time.
pub(crate) const SECTION: usize = 64;

/// SSRC of the first stream; the others count on.
pub(crate) const FIRST_SSRC: u32 = 0x1000_0000;

/// A packet, plain and protected.
pub(crate) struct Pair {
    pub(crate) plain: Vec<u8>,
    pub(crate) protected: Vec<u8>,
}

/// Protects one packet after another, by `webrtc-srtp`: sequence numbers are never used twice.
pub(crate) struct Feed {
    scenario: Scenario,
    sender: WebrtcSrtp,
    made: u64,
}

impl Feed {
    pub(crate) fn new(scenario: Scenario, setup: &Setup) -> Result<Self, Refused> {
        Ok(Self { scenario, sender: WebrtcSrtp::new(setup)?, made: 0 })
    }

    /// The next sections: at least `packets`, and each stream at least once.
    pub(crate) fn round(&mut self, packets: usize) -> Result<Vec<Vec<Pair>>, Refused> {
        let streams = usize::try_from(self.scenario.ssrcs).map_err(|_| Refused::Replay)?;
        let sections = packets.max(streams).div_ceil(SECTION);
        (0..sections).map(|_| (0..SECTION).map(|_| self.next()).collect()).collect()
    }

    fn next(&mut self) -> Result<Pair, Refused> {
        let (number, streams) = (self.made, u64::from(self.scenario.ssrcs));
        self.made += 1;
        // A stream's sequence number is the lower half of its count.
        let seq = ((number / streams + 1) & 0xffff) as u16;
        // Below the number of streams, which has 32 bits.
        let ssrc = FIRST_SSRC + (number % streams) as u32;
        let mut plain = vec![0x80, 97];
        plain.extend(seq.to_be_bytes());
        plain.extend(160_u32.wrapping_mul(u32::from(seq)).to_be_bytes());
        plain.extend(ssrc.to_be_bytes());
        // One octet of the sum, so that packets differ.
        plain.extend((0..self.scenario.payload.len(number)).map(|i| (number + i as u64) as u8));
        let protected = self.sender.protect_rtp(&plain)?;
        Ok(Pair { plain, protected })
    }
}

/// A lane's arena: slots that begin on a cache line, used in a scrambled order, so that the
/// processor cannot guess where the next packet lies.
pub(crate) struct Arena {
    #[expect(clippy::vec_box, reason = "their order is not the order of their addresses")]
    slots: Vec<Box<Slot>>,
    lens: Vec<usize>,
}

#[repr(align(64))]
struct Slot([u8; Arena::SLOT_LEN]);

impl Arena {
    /// As in the library's receive arena.
    const SLOT_LEN: usize = 2048;

    pub(crate) fn new() -> Self {
        let slot = || Box::new(Slot([0; Self::SLOT_LEN]));
        let mut slots: Vec<_> = std::iter::repeat_with(slot).take(SECTION).collect();
        // By the reversed bits of their addresses: neighbours in use are far apart in memory.
        slots.sort_by_cached_key(|slot| {
            (std::ptr::from_ref(&**slot) as usize / Self::SLOT_LEN).reverse_bits()
        });
        Self { slots, lens: vec![0; SECTION] }
    }

    /// Copies a section in, as the kernel does when datagrams are received.
    pub(crate) fn fill(&mut self, section: &[Pair]) {
        for ((slot, len), pair) in self.slots.iter_mut().zip(&mut self.lens).zip(section) {
            slot.0[..pair.protected.len()].copy_from_slice(&pair.protected);
            *len = pair.protected.len();
        }
    }

    /// The datagrams.
    pub(crate) fn packets(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.slots.iter_mut().zip(&self.lens).map(|(slot, len)| &mut slot.0[..*len])
    }

    /// Drops the datagrams from all caches, where the processor can.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn flush(&mut self) {
        use std::arch::x86_64::{_mm_clflush, _mm_mfence};
        for line in self.packets().flat_map(|packet| packet.chunks(64)) {
            // SAFETY: flushing a line changes no content, and the address is a reference's.
            unsafe { _mm_clflush(line.as_ptr()) };
        }
        // SAFETY: a fence has no precondition.
        unsafe { _mm_mfence() };
    }

    /// Other processors: the `--cold` lines are refused before they get here.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn flush(&mut self) {}
}

/// Whether [`Arena::flush`] does something.
pub(crate) const CAN_FLUSH: bool = cfg!(target_arch = "x86_64");
