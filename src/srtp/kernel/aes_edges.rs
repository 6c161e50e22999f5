//! No kernel touches a page beside its data, neither behind the end nor before the start.
//!
//! Loads of whole registers past an end go unnoticed in ordinary tests; here they end the process.

use std::ptr;

use super::{
    Backend,
    cipher::{CipherKey, CtrJob, GcmJob, ctr_batch, gcm_open_batch, gcm_seal_batch},
};
use crate::srtp::Cipher;

#[test]
fn counter_mode_stays_inside_its_data() {
    let key = &CipherKey::new(Cipher::AesCm128, &[1; 16]);
    let mut pages = Pages::new();
    for &backend in Backend::available() {
        for len in 0..=600 {
            for end in [false, true] {
                let data = pages.edge(len, end);
                let job = &mut [CtrJob { key, iv: [7; 16], data }];
                ctr_batch(backend, job);
                #[cfg(target_arch = "x86_64")]
                if backend == Backend::Avx2 {
                    assert!(super::cipher::ctr_batch_with_aes_ni(job));
                }
            }
        }
    }
}

#[test]
fn gcm_stays_inside_its_text_and_its_associated_data() {
    let key = &CipherKey::new(Cipher::AesGcm128, &[1; 16]);
    let mut texts: [Pages; 4] = std::array::from_fn(|_| Pages::new());
    let mut aads: [Pages; 4] = std::array::from_fn(|_| Pages::new());
    for &backend in Backend::available() {
        for (len, aad_len) in (0..=600).map(|len| (len, 12)).chain((0..=100).map(|len| (33, len))) {
            // One packet alone, and four that may go abreast.
            for count in [1, 4] {
                for end in [false, true] {
                    let jobs = texts.iter_mut().zip(&mut aads).take(count);
                    let mut jobs: Vec<_> = jobs
                        .map(|(text, aad)| GcmJob {
                            key,
                            iv: [9; 12].into(),
                            aad: [aad.edge(aad_len, end), &[]],
                            data: text.edge(len, end),
                            tag: [0; 16],
                        })
                        .collect();
                    gcm_seal_batch(backend, &mut jobs);
                    let mut ok = [false; 4];
                    gcm_open_batch(backend, &mut jobs, &mut ok[..count]);
                    assert_eq!(ok[..count], [true; 4][..count], "{backend} {len} {aad_len}");
                }
            }
        }
    }
}

/// A page that can be used between two that cannot.
pub(super) struct Pages(*mut u8);

impl Pages {
    const SIZE: usize = 4096;

    pub(super) fn new() -> Self {
        // SAFETY: a fresh mapping of three pages, of which the middle one is opened up.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(ptr::null_mut(), 3 * Self::SIZE, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            let middle = start.byte_add(Self::SIZE);
            let access = libc::PROT_READ | libc::PROT_WRITE;
            assert_eq!(libc::mprotect(middle, Self::SIZE, access), 0);
            Self(middle.cast())
        }
    }

    /// So many octets from the start of the page, or up to its end.
    pub(super) fn edge(&mut self, len: usize, end: bool) -> &mut [u8] {
        assert!(len <= Self::SIZE);
        let start = if end { Self::SIZE - len } else { 0 };
        // SAFETY: inside the page, which is borrowed as long as the slice is.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the three pages mapped by `new`.
        unsafe { libc::munmap(self.0.byte_sub(Self::SIZE).cast(), 3 * Self::SIZE) };
    }
}
