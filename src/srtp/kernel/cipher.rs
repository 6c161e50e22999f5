//! AES-CM and AES-GCM over a batch of packets, each under its own key.

use std::sync::OnceLock;

use super::{
    Backend,
    aes_portable::{KeyOctets, PortableKey},
    joined,
};
#[cfg(target_arch = "x86_64")]
use super::{
    aes_schedule::Schedule, ctr_avx2, ctr_avx512, ctr_vaes256, gcm_avx2, gcm_avx512,
    gcm_powers::HashPowers,
};
use crate::srtp::Cipher;

/// An expanded key: AES rounds, and for GCM the powers of the hash key. Erased on drop.
pub struct CipherKey {
    /// Present wherever kernels can run: unless the processor has only [`Backend::Portable`].
    #[cfg(target_arch = "x86_64")]
    schedule: Option<Schedule>,
    /// Present besides in keys for GCM.
    #[cfg(target_arch = "x86_64")]
    powers: Option<HashPowers>,
    /// Made with the key where the portable back end is in use, else when a job asks for it.
    portable: OnceLock<Box<PortableKey>>,
}

impl CipherKey {
    /// Expands a session key (or a master key, for derivation). `key` has `cipher.key_len()` octets.
    ///
    /// A key for [`Cipher::Null`] is expanded as AES-128: its suites derive with that (RFC 3711
    /// §5.3), and what they leave in the clear is no job.
    ///
    /// # Panics
    /// If the key has another length.
    #[must_use]
    pub fn new(cipher: Cipher, key: &[u8]) -> Self {
        assert_eq!(key.len(), cipher.key_len(), "octets of a key for {cipher:?}");
        let octets = KeyOctets::new(key);
        #[cfg(target_arch = "x86_64")]
        let schedule = (Backend::detect() >= Backend::Avx2).then(|| {
            // SAFETY: both sets of kernels have AES-NI.
            unsafe { Schedule::new(octets) }
        });
        let new = Self {
            #[cfg(target_arch = "x86_64")]
            powers: schedule.as_ref().filter(|_| cipher.is_aead()).map(|schedule| {
                // SAFETY: both sets of kernels have AES-NI and PCLMULQDQ.
                unsafe { HashPowers::new(schedule.encrypt([0; 16])) }
            }),
            #[cfg(target_arch = "x86_64")]
            schedule,
            portable: OnceLock::new(),
        };
        if Backend::active() == Backend::Portable {
            new.portable.get_or_init(|| Box::new(PortableKey::new(octets, cipher.is_aead())));
        }
        new
    }

    /// For kernels, which run only where keys have a schedule.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn schedule(&self) -> &Schedule {
        self.schedule.as_ref().expect("kernels run where keys have a schedule")
    }

    /// For kernels; `None` in a key for another cipher than GCM.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn powers(&self) -> Option<&HashPowers> {
        self.powers.as_ref()
    }

    /// Built on first use where another back end is in use.
    fn portable(&self) -> &PortableKey {
        self.portable.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            {
                let schedule = self.schedule();
                let key = schedule.key();
                let octets = KeyOctets::new(&key[..schedule.key_len()]);
                Box::new(PortableKey::new(octets, self.powers.is_some()))
            }
            #[cfg(not(target_arch = "x86_64"))]
            unreachable!("made with the key: there is no other back end")
        })
    }
}

/// Counter mode over `data`, in place; encryption and decryption are the same (RFC 3711 §4.1.1).
pub struct CtrJob<'a> {
    /// Of any cipher; a key for GCM works too.
    pub key: &'a CipherKey,
    /// First counter block. The last four octets count blocks, modulo 2^32; SRTP starts the last
    /// two at zero and has at most 2^16 blocks.
    pub iv: [u8; 16],
    /// Transformed in place.
    pub data: &'a mut [u8],
}

/// IV of an AEAD packet: 12 octets, kept as the counter block 1 that they begin.
#[derive(Clone, Copy)]
pub struct Iv([u8; 16]);

impl Iv {
    /// From the first eight octets and the last four, as the numbers whose octets lie in memory as they
    /// do; of the second the last four octets are zero.
    #[inline(always)]
    pub(crate) fn from_halves(left: u64, right: u64) -> Self {
        //= NIST SP 800-38D §7.1 step 2: the number of the block stands behind the IV
        Self(joined(left, right | 1_u64.to_be()))
    }

    /// The counter block that masks the tag; the text starts with the next.
    #[inline(always)]
    pub(super) const fn first_block(&self) -> &[u8; 16] {
        &self.0
    }

    /// Counter block 2, the first of the text.
    pub(crate) const fn text_block(self) -> [u8; 16] {
        let Self(mut block) = self;
        block[15] = 2;
        block
    }
}

impl From<[u8; 12]> for Iv {
    fn from(octets: [u8; 12]) -> Self {
        let mut block = [0; 16];
        block[..12].copy_from_slice(&octets);
        block[15] = 1;
        Self(block)
    }
}

/// One AEAD packet (RFC 7714).
pub struct GcmJob<'a> {
    /// For GCM. Under a key for another cipher nothing opens, and sealing panics.
    pub key: &'a CipherKey,
    /// Salt, SSRC, ROC and SEQ combined (RFC 7714 §8.1).
    pub iv: Iv,
    /// Associated data: two pieces, hashed one after the other (SRTCP: 8 octets, then the E word).
    pub aad: [&'a [u8]; 2],
    /// Text without tag, transformed in place.
    pub data: &'a mut [u8],
    /// Tag: expected when opening, made when sealing.
    pub tag: [u8; 16],
}

/// Runs every job.
pub fn ctr_batch(backend: Backend, jobs: &mut [CtrJob<'_>]) {
    match backend.usable() {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512 => {
            // SAFETY: a usable back end's target features are there.
            unsafe { ctr_avx512::ctr(jobs) }
        }
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 if is_x86_feature_detected!("vaes") => {
            // SAFETY: as above, and VAES besides.
            unsafe { ctr_vaes256::ctr(jobs) }
        }
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 => {
            // SAFETY: as above.
            unsafe { ctr_avx2::ctr(jobs) }
        }
        _ => {
            for job in jobs {
                job.key.portable().ctr(&job.iv, job.data);
            }
        }
    }
}

/// Runs every job as [`Backend::Avx2`] does on a processor without VAES, which tests and fuzzing would not
/// meet on one that has it. `false`, and nothing done, without that set.
#[cfg(all(target_arch = "x86_64", any(test, feature = "internals")))]
pub fn ctr_batch_with_aes_ni(jobs: &mut [CtrJob<'_>]) -> bool {
    let usable = Backend::detect() >= Backend::Avx2;
    if usable {
        // SAFETY: the set's target features are there.
        unsafe { ctr_avx2::ctr(jobs) }
    }
    usable
}

/// Opens each job; `ok`, as long as `jobs`, tells which tags matched.
///
/// The data of a job that failed is as it was before the call: it can be tried again with another
/// IV, and no text is released that is not authentic (RFC 7714 §5.3).
///
/// # Panics
/// If `ok` is longer or shorter than `jobs`.
pub fn gcm_open_batch(backend: Backend, jobs: &mut [GcmJob<'_>], ok: &mut [bool]) {
    assert_eq!(jobs.len(), ok.len(), "a verdict for each job");
    match backend.usable() {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512 if !is_one_short(jobs) => {
            // SAFETY: a usable back end's target features are there.
            unsafe { gcm_avx512::open(jobs, ok) }
        }
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512 | Backend::Avx2 => {
            // SAFETY: as above; a set has the features of those before it.
            unsafe { gcm_avx2::open(jobs, ok) }
        }
        _ => {
            for (job, ok) in jobs.iter_mut().zip(ok) {
                *ok = job.key.portable().gcm_open(&job.iv, job.aad, job.data, &job.tag);
            }
        }
    }
}

/// Whether this is one packet that narrow registers open sooner than wide ones, which it does not
/// fill: 37 against 48 ns for 32 octets on an AMD EPYC (Zen 4).
#[cfg(target_arch = "x86_64")]
fn is_one_short(jobs: &[GcmJob<'_>]) -> bool {
    matches!(jobs, [job] if job.data.len() <= 48)
}

/// Encrypts each job and puts the tag into it.
///
/// # Panics
/// If a key is not for GCM: its packet would leave in the clear.
pub fn gcm_seal_batch(backend: Backend, jobs: &mut [GcmJob<'_>]) {
    match backend.usable() {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512 => {
            // SAFETY: a usable back end's target features are there.
            unsafe { gcm_avx512::seal(jobs) }
        }
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 => {
            // SAFETY: as above.
            unsafe { gcm_avx2::seal(jobs) }
        }
        _ => {
            for job in jobs {
                let tag = job.key.portable().gcm_seal(&job.iv, job.aad, job.data);
                job.tag = tag.expect("sealing needs a key for GCM");
            }
        }
    }
}
