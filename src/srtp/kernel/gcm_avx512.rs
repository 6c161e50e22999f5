//! AES-GCM with VAES and VPCLMULQDQ: four blocks in a 512-bit register, one pass over the packet.
//!
//! Clauses: NIST SP 800-38D §6.4 (GHASH), §7.1 and §7.2, as RFC 7714 uses them. Portable twin:
//! [`super::aes_portable::PortableKey`], `gcm_open` and `gcm_seal`.
//!
//! A packet is hashed in chunks of up to 17 blocks, each block times its own power of the hash key, with
//! one reduction a chunk: one for a whole packet of up to 255 octets. The last register of text has
//! a lane to spare for the block of lengths, and another for the block that masks the tag.
//!
//! Safety: all loads and stores go through pointers into the job's own slices. Whole registers are
//! moved only where that many octets are left; everything else goes through byte masks, which neither
//! read nor write what they mask out. Constant time: branches depend on lengths, on which key is
//! whose and on a packet's verdict, never on other octets.

use std::arch::x86_64::*;

use super::{
    aes_portable::counter_block,
    aes_vaes::{broadcast_keys, encrypt, in_octet_order, keystream},
    cipher::{CtrJob, GcmJob},
    ctr_avx512,
    gcm_powers::HashPowers,
};

/// Opens every job; the data of one that fails is put back as it was.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
pub(super) fn open(jobs: &mut [GcmJob<'_>], ok: &mut [bool]) {
    let mut verdicts = ok;
    for run in jobs.chunk_by_mut(|a, b| std::ptr::eq(a.key, b.key)) {
        let (of_run, others) = verdicts.split_at_mut(run.len());
        match run[0].key.schedule().last() {
            10 => open_run::<11>(run, of_run),
            _ => open_run::<15>(run, of_run),
        }
        verdicts = others;
    }
}

/// Seals every job.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
pub(super) fn seal(jobs: &mut [GcmJob<'_>]) {
    for run in jobs.chunk_by_mut(|a, b| std::ptr::eq(a.key, b.key)) {
        match run[0].key.schedule().last() {
            10 => seal_run::<11>(run),
            _ => seal_run::<15>(run),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
fn open_run<const KEYS: usize>(jobs: &mut [GcmJob<'_>], ok: &mut [bool]) {
    let key = jobs[0].key;
    let Some(powers) = key.powers() else { return ok.fill(false) };
    let keys = broadcast_keys::<KEYS>(key.schedule());
    for (job, ok) in jobs.iter_mut().zip(ok) {
        let made = packet::<KEYS, false>(&keys, powers, job);
        // SAFETY: the tag is 16 octets.
        let expected = unsafe { _mm_loadu_si128(job.tag.as_ptr().cast()) };
        *ok = _mm_cmpneq_epi64_mask(made, expected) == 0;
        if !*ok {
            put_back(job);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
fn seal_run<const KEYS: usize>(jobs: &mut [GcmJob<'_>]) {
    let key = jobs[0].key;
    let powers = key.powers().expect("sealing needs a key for GCM");
    let keys = broadcast_keys::<KEYS>(key.schedule());
    for job in jobs {
        let made = packet::<KEYS, true>(&keys, powers, job);
        // SAFETY: the tag is 16 octets.
        unsafe { _mm_storeu_si128(job.tag.as_mut_ptr().cast(), made) }
    }
}

/// Undoes the decryption of a packet whose tag did not match.
#[cold]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes")]
fn put_back(job: &mut GcmJob<'_>) {
    //= RFC 7714 §5.3: nothing of a packet is released before its tag is verified
    let iv = counter_block(&job.iv, 2);
    ctr_avx512::ctr(&mut [CtrJob { key: job.key, iv, data: &mut *job.data }]);
}

/// Transforms the text and returns the tag that belongs to it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
fn packet<const KEYS: usize, const SEAL: bool>(
    keys: &[__m512i; KEYS],
    powers: &HashPowers,
    job: &mut GcmJob<'_>,
) -> __m128i {
    let aad_len = job.aad[0].len() + job.aad[1].len();
    //= NIST SP 800-38D §7.1 step 5: the lengths in bits, as the last block
    let lengths = _mm_set_epi64x((aad_len as i64) << 3, (job.data.len() as i64) << 3);
    let (whole, last) = job.data.as_chunks_mut::<256>();
    let first_chunk = if whole.is_empty() { last.len().div_ceil(16) + 1 } else { 16 };
    let mut state = State {
        counters: counters(&job.iv),
        hash: _mm_setzero_si128(),
        sum: associated(powers, job.aad, first_chunk),
    };
    for chunk in whole {
        state.whole::<KEYS, SEAL>(keys, powers, chunk);
    }
    match last.len().div_ceil(16) / 4 {
        0 => state.last::<KEYS, 1, SEAL>(keys, powers, last, lengths),
        1 => state.last::<KEYS, 2, SEAL>(keys, powers, last, lengths),
        2 => state.last::<KEYS, 3, SEAL>(keys, powers, last, lengths),
        3 => state.last::<KEYS, 4, SEAL>(keys, powers, last, lengths),
        _ => state.last::<KEYS, 5, SEAL>(keys, powers, last, lengths),
    }
}

struct State {
    /// The next four counter blocks of text.
    counters: __m512i,
    /// Hash of the chunks before.
    hash: __m128i,
    /// Of the chunk at hand: what is hashed already.
    sum: Sum,
}

impl State {
    /// Sixteen blocks.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
    fn whole<const KEYS: usize, const SEAL: bool>(
        &mut self,
        keys: &[__m512i; KEYS],
        powers: &HashPowers,
        chunk: &mut [u8; 256],
    ) {
        let stream = keystream::<KEYS, 4>(keys, &mut self.counters);
        let mut before = _mm512_zextsi128_si512(self.hash);
        for (i, stream) in stream.into_iter().enumerate() {
            // SAFETY: four registers of 64 octets in a chunk of 256.
            let sealed = unsafe {
                let p = chunk.as_mut_ptr().add(64 * i).cast::<__m512i>();
                let text = _mm512_loadu_si512(p);
                let other = _mm512_xor_si512(text, stream);
                _mm512_storeu_si512(p, other);
                if SEAL { other } else { text }
            };
            let blocks = _mm512_xor_si512(reversed(sealed), before);
            self.sum.add(blocks, powers.four(16 - 4 * i));
            before = _mm512_setzero_si512();
        }
        self.hash = self.sum.take();
    }

    /// Up to 255 octets and the block of lengths, in N registers of which the last is never full.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
    fn last<const KEYS: usize, const N: usize, const SEAL: bool>(
        mut self,
        keys: &[__m512i; KEYS],
        powers: &HashPowers,
        text: &mut [u8],
        lengths: __m128i,
    ) -> __m128i {
        let mut stream = [_mm512_setzero_si512(); N];
        for (i, block) in stream.iter_mut().enumerate() {
            if i == N - 1 {
                //= NIST SP 800-38D §7.1 step 2: counter block 1 masks the tag
                const COUNT_OF_LANE_3: u16 = 1 << 15;
                let one = _mm512_set1_epi32(1);
                self.counters = _mm512_mask_mov_epi32(self.counters, COUNT_OF_LANE_3, one);
            }
            *block = in_octet_order(self.counters);
            let step = _mm512_set_epi32(4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0);
            self.counters = _mm512_add_epi32(self.counters, step);
        }
        encrypt(keys, &mut stream);

        let blocks = text.len().div_ceil(16);
        let mut before = _mm512_zextsi128_si512(self.hash);
        for i in 0..N {
            let octets = text.len().saturating_sub(64 * i).min(64);
            let mask = if i + 2 < N { u64::MAX } else { first_octets(octets) };
            // SAFETY: the mask selects no more octets than `text` has behind 64 i; where that is
            // none, the pointer is at most one behind `text`... and nothing is accessed.
            let sealed = unsafe {
                let p = text.as_mut_ptr().wrapping_add(64 * i).cast::<i8>();
                let text = _mm512_maskz_loadu_epi8(mask, p);
                let other = _mm512_xor_si512(text, stream[i]);
                _mm512_mask_storeu_epi8(p, mask, other);
                if SEAL { _mm512_maskz_mov_epi8(mask, other) } else { text }
            };
            let mut hashed = _mm512_xor_si512(reversed(sealed), before);
            if i == N - 1 {
                let lane = 0xf << (4 * (blocks % 4));
                hashed = _mm512_xor_si512(hashed, _mm512_maskz_broadcast_i32x4(lane, lengths));
            }
            self.sum.add(hashed, powers.four(blocks + 1 - 4 * i));
            before = _mm512_setzero_si512();
        }
        let hash = _mm512_castsi512_si128(reversed(_mm512_castsi128_si512(self.sum.take())));
        _mm_xor_si128(hash, _mm512_extracti32x4_epi32::<3>(stream[N - 1]))
    }
}

/// A sum of products not reduced yet: `low + middle x^64 + high x^128`, over the four lanes.
struct Sum {
    low: __m512i,
    middle: __m512i,
    high: __m512i,
}

impl Sum {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn zero() -> Self {
        let zero = _mm512_setzero_si512();
        Self { low: zero, middle: zero, high: zero }
    }

    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq")]
    fn add(&mut self, blocks: __m512i, powers: __m512i) {
        let low = _mm512_clmulepi64_epi128::<0x00>(blocks, powers);
        let high = _mm512_clmulepi64_epi128::<0x11>(blocks, powers);
        let left = _mm512_clmulepi64_epi128::<0x01>(blocks, powers);
        let right = _mm512_clmulepi64_epi128::<0x10>(blocks, powers);
        self.low = _mm512_xor_si512(self.low, low);
        self.high = _mm512_xor_si512(self.high, high);
        self.middle = xor3(self.middle, left, right);
    }

    /// The sum of the lanes, reduced; a new sum begins.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,vpclmulqdq")]
    fn take(&mut self) -> __m128i {
        let Self { low, middle, high } = std::mem::replace(self, Self::zero());
        // As in gcm_powers::reduce, in four lanes; their sum afterwards is one vector, not three.
        let polynomial = _mm512_set1_epi64(0xc2 << 56);
        let fold = _mm512_clmulepi64_epi128::<0x00>(low, polynomial);
        let middle = xor3(middle, fold, _mm512_shuffle_epi32::<0x4e>(low));
        let fold = _mm512_clmulepi64_epi128::<0x00>(middle, polynomial);
        let lanes = xor3(high, fold, _mm512_shuffle_epi32::<0x4e>(middle));
        let half =
            _mm256_xor_si256(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64::<1>(lanes));
        _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half))
    }
}

/// The sum over associated data in front of `following` blocks of the same chunk.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vpclmulqdq")]
fn associated(powers: &HashPowers, aad: [&[u8]; 2], following: usize) -> Sum {
    let mut sum = Sum::zero();
    if aad[0].len() <= 64 && aad[1].is_empty() {
        let mask = first_octets(aad[0].len());
        // SAFETY: the mask selects the octets of the slice.
        let octets = unsafe { _mm512_maskz_loadu_epi8(mask, aad[0].as_ptr().cast()) };
        sum.add(reversed(octets), powers.four(following + aad[0].len().div_ceil(16)));
    } else {
        associated_in_pieces(powers, aad, following, &mut sum);
    }
    sum
}

/// Associated data in two pieces (SRTCP), or longer than any RTP header without an extension.
#[cold]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vpclmulqdq")]
fn associated_in_pieces(powers: &HashPowers, aad: [&[u8]; 2], following: usize, sum: &mut Sum) {
    let mut buffer = [0; 64];
    let mut filled = 0;
    let mut before = _mm512_setzero_si512();
    for mut piece in aad {
        while !piece.is_empty() {
            if filled == 64 {
                sum.add(_mm512_xor_si512(load_reversed(&buffer), before), powers.four(4));
                before = _mm512_zextsi128_si512(sum.take());
                buffer = [0; 64];
                filled = 0;
            }
            let (now, later) = piece.split_at(piece.len().min(64 - filled));
            buffer[filled..filled + now.len()].copy_from_slice(now);
            filled += now.len();
            piece = later;
        }
    }
    let blocks = _mm512_xor_si512(load_reversed(&buffer), before);
    sum.add(blocks, powers.four(following + filled.div_ceil(16)));
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_reversed(octets: &[u8; 64]) -> __m512i {
    // SAFETY: 64 octets are read from an array of 64.
    reversed(unsafe { _mm512_loadu_si512(octets.as_ptr().cast()) })
}

/// Counter blocks 2 to 5 of an IV, the counting word as a little-endian number.
#[inline]
#[target_feature(enable = "avx512f")]
fn counters(iv: &[u8; 12]) -> __m512i {
    let [a, b, c] = *iv.as_chunks::<4>().0 else { unreachable!("12 octets are three words") };
    let words = [a, b, c].map(i32::from_le_bytes);
    let block = _mm_set_epi32(2, words[2], words[1], words[0]);
    let lanes = _mm512_set_epi32(3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
    _mm512_add_epi32(_mm512_broadcast_i32x4(block), lanes)
}

/// Each block with its octets in opposite order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn reversed(blocks: __m512i) -> __m512i {
    let order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm512_shuffle_epi8(blocks, _mm512_broadcast_i32x4(order))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<0x96>(a, b, c)
}

/// A mask of the first `count` octets, up to 64.
#[inline]
fn first_octets(count: usize) -> u64 {
    debug_assert!(count <= 64);
    if count == 0 { 0 } else { u64::MAX >> (64 - count) }
}
