//! Which packet indexes were accepted: a bitmap behind the highest one (RFC 3711 §3.3.2).

use crate::{error::Reject, ids::PacketIndex};

/// Highest accepted index and the [`ReplayWindow::CAPACITY`] bits up to it.
///
/// The bitmap is a ring, so that advancing by one touches one word. Indexes are plain numbers; they
/// never wrap inside one stream (RFC 3711 §9.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplayWindow {
    highest: PacketIndex,
    seen: [u64; WORDS],
}

/// Proof that an index was not accepted before. Only [`ReplayWindow::check`] makes one.
#[must_use = "an accepted packet has to be committed"]
#[derive(Debug)]
pub(crate) struct Fresh(PacketIndex);

impl ReplayWindow {
    /// Largest window in packets.
    pub(crate) const CAPACITY: u16 = 64 * WORDS as u16;

    /// A window that has accepted exactly this index.
    pub(crate) fn starting_at(index: PacketIndex) -> Self {
        let mut window = Self { highest: index, seen: [0; WORDS] };
        window.set(index);
        window
    }

    /// Records the index. The window moves if it is the highest so far.
    #[inline]
    pub(crate) fn commit(&mut self, fresh: Fresh) {
        let Fresh(index) = fresh;
        if index > self.highest {
            // The next in order has nothing to clear: its own bit is set below.
            if index.value() - self.highest.value() > 1 {
                self.clear_between(self.highest.value(), index.value());
            }
            self.highest = index;
        }
        self.set(index);
    }

    /// Whether the index may still be accepted, with a window of `size` packets
    /// (64 to [`Self::CAPACITY`]). Changes nothing.
    ///
    /// # Errors
    /// [`Reject::TooOld`] behind the window, [`Reject::Replayed`] if it was accepted.
    #[inline]
    pub(crate) fn check(&self, index: PacketIndex, size: u16) -> Result<Fresh, Reject> {
        if index > self.highest {
            return Ok(Fresh(index));
        }
        if self.highest.value() - index.value() >= u64::from(size) {
            return Err(Reject::TooOld);
        }
        let (word, bit) = place(index.value());
        if self.seen[word] & bit != 0 { Err(Reject::Replayed) } else { Ok(Fresh(index)) }
    }

    /// Records an index that lies ahead of the highest one, by less than half a turn of the sequence
    /// number. `false`, and nothing has changed, for any other: [`Self::check`] decides.
    #[inline(always)]
    pub(crate) fn advance(&mut self, index: PacketIndex) -> bool {
        let ahead = index.value().wrapping_sub(self.highest.value());
        if !(1..0x8000).contains(&ahead) {
            return false;
        }
        // The next in order has nothing to clear: its own bit is set below.
        if ahead > 1 {
            self.clear_between(self.highest.value(), index.value());
        }
        self.highest = index;
        self.set(index);
        true
    }

    /// Highest accepted index.
    #[inline]
    pub(crate) const fn highest(&self) -> PacketIndex {
        self.highest
    }

    #[inline]
    fn set(&mut self, index: PacketIndex) {
        let (word, bit) = place(index.value());
        self.seen[word] |= bit;
    }

    /// Clears the bits of the indexes behind `from` up to and including `to`.
    #[inline(never)]
    fn clear_between(&mut self, from: u64, to: u64) {
        if to - from >= u64::from(Self::CAPACITY) {
            self.seen = [0; WORDS];
            return;
        }
        let mut next = from + 1;
        while next <= to {
            let (word, first) = place(next);
            let last_in_word = next | 63;
            // Ones from the first bit up to the last index of this word that is to be cleared.
            let above = if last_in_word <= to { !0 } else { (place(to).1 << 1).wrapping_sub(1) };
            self.seen[word] &= !(above & !(first - 1));
            next = last_in_word + 1;
        }
    }
}

#[inline]
fn place(index: u64) -> (usize, u64) {
    // WORDS is a power of two; the mask keeps the word below it.
    ((index >> 6) as usize & (WORDS - 1), 1 << (index & 63))
}

const WORDS: usize = 4;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn accept(window: &mut ReplayWindow, index: u64, size: u16) -> Result<(), Reject> {
        window.check(PacketIndex::from_value(index), size).map(|fresh| window.commit(fresh))
    }

    #[test]
    fn second_copy_is_replayed_and_far_past_is_too_old() {
        let mut window = ReplayWindow::starting_at(PacketIndex::from_value(1000));
        assert_eq!(accept(&mut window, 1000, 64), Err(Reject::Replayed));
        assert_eq!(accept(&mut window, 937, 64), Ok(()));
        assert_eq!(accept(&mut window, 937, 64), Err(Reject::Replayed));
        assert_eq!(accept(&mut window, 936, 64), Err(Reject::TooOld));
        assert_eq!(accept(&mut window, 936, 128), Ok(()));
    }

    proptest! {
        #[test]
        fn window_equals_a_set_of_indexes(
            steps in proptest::collection::vec((-300_i64..300, 0_u8..20), 1..400),
            size in 64_u16..=ReplayWindow::CAPACITY,
        ) {
            let start = 10_000_u64;
            let mut window = ReplayWindow::starting_at(PacketIndex::from_value(start));
            let (mut seen, mut highest) = (BTreeSet::from([start]), start);
            for (offset, rare) in steps {
                let far = if rare == 0 { 1000 } else { 0 };
                let index = highest.saturating_add_signed(offset + far);
                let expected = if index + u64::from(size) <= highest {
                    Err(Reject::TooOld)
                } else if seen.contains(&index) {
                    Err(Reject::Replayed)
                } else {
                    Ok(())
                };
                prop_assert_eq!(accept(&mut window, index, size), expected);
                if expected.is_ok() {
                    seen.insert(index);
                    highest = highest.max(index);
                }
                prop_assert_eq!(window.highest().value(), highest);
            }
        }
    }
}
