//! AES-GCM with AES-NI and PCLMULQDQ: eight blocks at a time, one pass over the packet.
//!
//! Clauses: NIST SP 800-38D §7.1 and §7.2, as RFC 7714 uses them. Portable twin:
//! [`super::aes_portable::PortableKey`], `gcm_open` and `gcm_seal`.
//!
//! Text is hashed in chunks of eight blocks, each block times its own power of the hash key, with one
//! reduction a chunk; when opening, products are computed between the rounds of AES, because other
//! units do them.
//!
//! Safety: loads and stores take arrays of 16 octets. Constant time: branches depend on lengths, on
//! the size of the key and on a packet's verdict, never on other octets.

use std::arch::x86_64::*;

use super::{
    aes_ni::{count, encrypt_beside, in_octet_order, load, load_part, store, store_part},
    aes_schedule::Schedule,
    cipher::{CtrJob, GcmJob},
    ctr_avx2,
    gcm_hash128::{Sum, associated, reversed},
    gcm_powers::HashPowers,
};

/// Opens every job; the data of one that fails is put back as it was.
#[target_feature(enable = "avx2,aes,bmi1,bmi2,pclmulqdq")]
pub(super) fn open(jobs: &mut [GcmJob<'_>], ok: &mut [bool]) {
    for (job, ok) in jobs.iter_mut().zip(ok) {
        let Some(powers) = job.key.powers() else {
            *ok = false;
            continue;
        };
        let schedule = job.key.schedule();
        let made = if schedule.last() == 10 {
            packet::<11, false>(schedule, powers, job)
        } else {
            packet::<15, false>(schedule, powers, job)
        };
        let differ = _mm_xor_si128(made, load(&job.tag));
        *ok = _mm_testz_si128(differ, differ) == 1;
        if !*ok {
            put_back(job);
        }
    }
}

/// Seals every job.
#[target_feature(enable = "avx2,aes,bmi1,bmi2,pclmulqdq")]
pub(super) fn seal(jobs: &mut [GcmJob<'_>]) {
    for job in jobs {
        let powers = job.key.powers().expect("sealing needs a key for GCM");
        let schedule = job.key.schedule();
        let made = if schedule.last() == 10 {
            packet::<11, true>(schedule, powers, job)
        } else {
            packet::<15, true>(schedule, powers, job)
        };
        store(&mut job.tag, made);
    }
}

/// Undoes the decryption of a packet whose tag did not match.
#[cold]
#[target_feature(enable = "avx2,aes,bmi1,bmi2,pclmulqdq")]
fn put_back(job: &mut GcmJob<'_>) {
    //= RFC 7714 §5.3: nothing of a packet is released before its tag is verified
    let iv = job.iv.text_block();
    ctr_avx2::ctr(&mut [CtrJob { key: job.key, iv, data: &mut *job.data }]);
}

/// Transforms the text of a packet and returns its tag.
#[inline]
#[target_feature(enable = "avx2,aes,bmi1,bmi2,pclmulqdq")]
fn packet<const KEYS: usize, const SEAL: bool>(
    schedule: &Schedule,
    powers: &HashPowers,
    job: &mut GcmJob<'_>,
) -> __m128i {
    let first = load(job.iv.first_block());
    let bits = |octets: usize| (octets as i64) << 3;
    let lengths = _mm_set_epi64x(bits(job.aad[0].len() + job.aad[1].len()), bits(job.data.len()));
    let (whole, last) = job.data.as_chunks_mut::<128>();
    let top = if whole.is_empty() { last.len().div_ceil(16) + 1 } else { 8 };
    let mut packet = Packet {
        schedule,
        powers,
        first,
        counter: _mm_add_epi32(in_octet_order(first), _mm_set_epi32(1, 0, 0, 0)),
        carry: _mm_setzero_si128(),
        sum: Sum::zero(),
    };
    packet.associated(job.aad, top);
    for chunk in whole {
        packet.whole::<KEYS, SEAL>(chunk);
    }
    // The tag's mask goes along as the last block.
    match last.len().div_ceil(16) {
        0..=2 => packet.last::<KEYS, 3, SEAL>(last, lengths),
        3 | 4 => packet.last::<KEYS, 5, SEAL>(last, lengths),
        5 | 6 => packet.last::<KEYS, 7, SEAL>(last, lengths),
        _ => packet.last::<KEYS, 9, SEAL>(last, lengths),
    }
}

/// A packet on its way.
struct Packet<'a> {
    schedule: &'a Schedule,
    powers: &'a HashPowers,
    /// Counter block 1.
    first: __m128i,
    /// The next counter block of text, its counting word little-endian.
    counter: __m128i,
    /// Hash of what lies before the chunk at hand.
    carry: __m128i,
    /// Of the chunk at hand.
    sum: Sum,
}

impl Packet<'_> {
    /// Hashes associated data, in front of a chunk whose first block meets the power `top`.
    #[inline]
    #[target_feature(enable = "avx2,aes,bmi1,bmi2,pclmulqdq")]
    fn associated(&mut self, [first, second]: [&[u8]; 2], top: usize) {
        if first.len() < 16 && second.is_empty() {
            self.sum.add(reversed(load_part(first)), self.powers.one(top + 1));
        } else {
            let mut hash = [0; 16];
            associated(self.powers, [first, second], &mut hash);
            self.carry = load(&hash);
        }
    }

    /// Eight blocks.
    #[inline]
    #[target_feature(enable = "avx2,aes,bmi1,bmi2,pclmulqdq")]
    fn whole<const KEYS: usize, const SEAL: bool>(&mut self, chunk: &mut [u8; 128]) {
        let blocks = chunk.as_chunks_mut().0;
        let mut stream = count::<8>(&mut self.counter);
        encrypt_beside::<KEYS, 8>(self.schedule, &mut stream, |round| {
            if !SEAL && round <= 8 {
                self.hash(8 - round, load(&blocks[8 - round]), 8);
                self.sum.pin();
            }
        });
        for (i, (block, stream)) in blocks.iter_mut().zip(stream).enumerate() {
            let combined = _mm_xor_si128(load(block), stream);
            store(block, combined);
            if SEAL {
                self.hash(i, combined, 8);
            }
        }
        self.carry = self.sum.reduced();
        self.sum = Sum::zero();
    }

    /// Up to 127 octets, in up to N - 1 blocks, and the block of lengths. Returns the tag.
    #[inline]
    #[target_feature(enable = "avx2,aes,bmi1,bmi2,pclmulqdq")]
    fn last<const KEYS: usize, const N: usize, const SEAL: bool>(
        &mut self,
        text: &mut [u8],
        lengths: __m128i,
    ) -> __m128i {
        let (whole, part) = text.as_chunks_mut();
        let count_whole = whole.len();
        let top = count_whole + usize::from(!part.is_empty()) + 1;
        let mut stream = count::<N>(&mut self.counter);
        //= NIST SP 800-38D §7.1 step 6: counter block 1 masks the tag
        stream[N - 1] = self.first;
        encrypt_beside::<KEYS, N>(self.schedule, &mut stream, |round| {
            if !SEAL && round < N {
                // As in a whole chunk; what is hashed first is what needs no reduction first.
                if let Some(block) = whole.get(N - 1 - round) {
                    self.hash(N - 1 - round, load(block), top);
                    self.sum.pin();
                }
            }
        });
        for (i, (block, stream)) in whole.iter_mut().zip(stream).enumerate() {
            let combined = _mm_xor_si128(load(block), stream);
            store(block, combined);
            if SEAL {
                self.hash(i, combined, top);
            }
        }
        if !part.is_empty() {
            let before = load_part(part);
            let after = store_part(part, _mm_xor_si128(before, stream[count_whole]));
            self.hash(count_whole, if SEAL { after } else { before }, top);
        }
        //= NIST SP 800-38D §7.1 step 5: the lengths in bits are the last block
        let lengths = if top == 1 { _mm_xor_si128(lengths, self.carry) } else { lengths };
        self.sum.add(lengths, self.powers.one(1));
        _mm_xor_si128(reversed(self.sum.reduced()), stream[N - 1])
    }

    /// Adds block `i` of a chunk whose first block meets the power `top`.
    #[inline]
    #[target_feature(enable = "avx2,aes,bmi1,bmi2,pclmulqdq")]
    fn hash(&mut self, i: usize, sealed: __m128i, top: usize) {
        let mut block = reversed(sealed);
        if i == 0 {
            block = _mm_xor_si128(block, self.carry);
        }
        self.sum.add(block, self.powers.one(top - i));
    }
}
