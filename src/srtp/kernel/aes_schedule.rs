//! The AES key schedule in the order the AES instructions take it (FIPS 197 §5.2).
//!
//! Shared by the x86-64 kernels beside it. Its twin is the expansion inside RustCrypto's `aes`.

use std::arch::x86_64::*;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::aes_portable::KeyOctets;

/// Round keys 0 to 10, 12 or 14; those not used are zero.
#[derive(Zeroize, ZeroizeOnDrop)]
#[repr(C, align(64))]
pub(super) struct Schedule {
    rounds: [u128; 15],
    last: usize,
}

impl Schedule {
    /// Expands a key: 40 to 60 ns, most of it the chain of word substitutions.
    #[target_feature(enable = "aes,sse2")]
    pub(super) fn new(key: KeyOctets<'_>) -> Self {
        match key {
            KeyOctets::Aes128(key) => Self::expand::<4>(key),
            KeyOctets::Aes192(key) => Self::expand::<6>(key),
            KeyOctets::Aes256(key) => Self::expand::<8>(key),
        }
    }

    /// Index of the last round key: 10, 12 or 14.
    pub(super) fn last(&self) -> usize {
        self.last
    }

    /// Round key `index`.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn round(&self, index: usize) -> __m128i {
        // SAFETY: indexing has checked the element, which is 16 octets.
        unsafe { _mm_load_si128((&raw const self.rounds[index]).cast()) }
    }

    /// Octets of the key it was expanded from.
    pub(super) fn key_len(&self) -> usize {
        4 * (self.last - 6)
    }

    /// That key, with more behind it: the schedule begins with it.
    pub(super) fn key(&self) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        for (octets, round) in key.as_chunks_mut().0.iter_mut().zip(&self.rounds) {
            *octets = round.to_le_bytes();
        }
        key
    }

    /// One block (FIPS 197 §5.1).
    #[target_feature(enable = "aes,sse2")]
    pub(super) fn encrypt(&self, mut block: [u8; 16]) -> [u8; 16] {
        // SAFETY: 16 octets are read from an array of 16.
        let mut state = unsafe { _mm_loadu_si128(block.as_ptr().cast()) };
        state = _mm_xor_si128(state, self.round(0));
        for index in 1..self.last {
            state = _mm_aesenc_si128(state, self.round(index));
        }
        state = _mm_aesenclast_si128(state, self.round(self.last));
        // SAFETY: 16 octets are written to an array of 16.
        unsafe { _mm_storeu_si128(block.as_mut_ptr().cast(), state) }
        block
    }

    //= FIPS 197 §5.2: KEYEXPANSION over Nk-word keys, words kept in the order of their octets
    #[target_feature(enable = "aes,sse2")]
    fn expand<const NK: usize>(key: &[u8]) -> Self {
        let last = NK + 6;
        let mut words = [0_u32; 60];
        for (word, octets) in words.iter_mut().zip(key.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*octets);
        }
        let mut round_constant = 1_u8;
        for i in NK..4 * (last + 1) {
            let before = words[i - 1];
            let mixed = if i % NK == 0 {
                let constant = u32::from(round_constant);
                round_constant = (round_constant << 1) ^ ((round_constant >> 7) * 0x1b);
                substitute(before.rotate_right(8)) ^ constant
            } else if NK > 6 && i % NK == 4 {
                substitute(before)
            } else {
                before
            };
            words[i] = words[i - NK] ^ mixed;
        }
        let mut schedule = Self { rounds: [0; 15], last };
        for (round, words) in schedule.rounds.iter_mut().zip(words.as_chunks::<4>().0) {
            *round = words.iter().rev().fold(0, |round, word| round << 32 | u128::from(*word));
        }
        words.zeroize();
        schedule
    }
}

/// FIPS 197 §5.2 SUBWORD: the last AES round without a key. Its SHIFTROWS has no effect on a state of
/// four equal columns.
#[target_feature(enable = "aes,sse2")]
fn substitute(word: u32) -> u32 {
    let columns = _mm_set1_epi32(word.cast_signed());
    _mm_cvtsi128_si32(_mm_aesenclast_si128(columns, _mm_setzero_si128())).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::Backend;

    //= FIPS 197 Appendix A: the last words of the three expansions printed there
    #[test]
    fn expansion_ends_as_fips_197_prints_it() {
        if Backend::detect() == Backend::Portable {
            return;
        }
        let key = |text: &str| hex::decode(text).unwrap();
        let end = |octets| {
            // SAFETY: every back end but the portable one has AES-NI.
            let schedule = unsafe { Schedule::new(octets) };
            hex::encode(schedule.rounds[schedule.last()].to_le_bytes())
        };
        let k128 = key("2b7e151628aed2a6abf7158809cf4f3c");
        assert_eq!(
            end(KeyOctets::Aes128(k128[..].try_into().unwrap())),
            "d014f9a8c9ee2589e13f0cc8b6630ca6"
        );
        let k192 = key("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b");
        assert_eq!(
            end(KeyOctets::Aes192(k192[..].try_into().unwrap())),
            "e98ba06f448c773c8ecc720401002202"
        );
        let k256 = key("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
        assert_eq!(
            end(KeyOctets::Aes256(k256[..].try_into().unwrap())),
            "fe4890d1e6188d0b046df344706c631e"
        );
    }
}
