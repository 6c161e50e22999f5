//! HMAC-SHA1 one message after another: the twin that proves the other kernels equal.
//!
//! The block function is that of the `sha1` crate (FIPS 180-4 §6.1.2), which has no table and no branch
//! on its input. Blocks are read where they lie; only the last one or two are copied for the padding.

use sha1::block_api::compress;

use super::hmac::{BLOCK, HmacJob, TAG};

/// Computes the MAC of each job into the tag of the same place.
pub(super) fn hmac(jobs: &[HmacJob<'_>], tags: &mut [[u8; TAG]]) {
    for (job, tag) in jobs.iter().zip(tags) {
        *tag = mac(job);
    }
}

fn mac(job: &HmacJob<'_>) -> [u8; TAG] {
    let (blocks, rest) = job.message.as_chunks();
    let mut state = job.key.inner;
    compress(&mut state, blocks);

    let mut tail = [[0; BLOCK]; 2];
    let octets = tail.as_flattened_mut();
    let suffix = job.suffix.as_ref().map_or(&[][..], |roc| roc);
    let used = rest.len() + suffix.len();
    octets[..rest.len()].copy_from_slice(rest);
    octets[rest.len()..used].copy_from_slice(suffix);
    let end = pad(octets, used, BLOCK + job.message.len() + suffix.len());
    compress(&mut state, &tail[..end]);

    let digest = octets_of(state);
    let mut last = [0; BLOCK];
    last[..TAG].copy_from_slice(&digest);
    pad(&mut last, TAG, BLOCK + TAG);
    state = job.key.outer;
    compress(&mut state, &[last]);
    octets_of(state)
}

/// Pads the `used` first octets of a cleared buffer as the end of `total` octets (FIPS 180-4 §5.1.1);
/// returns the number of blocks that are in use.
fn pad(octets: &mut [u8], used: usize, total: usize) -> usize {
    let blocks = (used + 1 + 8).div_ceil(BLOCK);
    let bits = 8 * total as u64;
    octets[used] = 0x80;
    octets[blocks * BLOCK - 8..blocks * BLOCK].copy_from_slice(&bits.to_be_bytes());
    blocks
}

fn octets_of(state: [u32; 5]) -> [u8; TAG] {
    let mut octets = [0; TAG];
    octets.as_chunks_mut().0.iter_mut().zip(state).for_each(|(o, word)| *o = word.to_be_bytes());
    octets
}
