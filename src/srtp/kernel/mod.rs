//! The transforms over batches of packets, one back end chosen at start.
//!
//! [`crate::srtp`] hands over jobs; nothing here parses a packet or knows an SSRC. Every kernel has a
//! portable twin that proves it equal.

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads and stores of SIMD kernels")]
mod aes_ni;
mod aes_portable;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads of SIMD kernels")]
mod aes_schedule;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads and stores of SIMD kernels")]
mod aes_vaes;
mod backend;
#[cfg_attr(
    not(feature = "internals"),
    expect(unreachable_pub, reason = "public through the feature `internals` only")
)]
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "calls kernels once they may run"))]
pub(crate) mod cipher;
#[cfg(target_arch = "x86_64")]
mod ctr_avx2;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "SIMD kernel")]
mod ctr_avx512;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads and stores of SIMD kernels")]
mod ctr_vaes256;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "SIMD kernel")]
mod gcm_abreast512;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "SIMD kernel")]
mod gcm_along512;
#[cfg(target_arch = "x86_64")]
mod gcm_avx2;
#[cfg(target_arch = "x86_64")]
mod gcm_avx512;
#[cfg(target_arch = "x86_64")]
mod gcm_hash128;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads of SIMD kernels")]
mod gcm_hash512;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads and stores of SIMD kernels")]
mod gcm_powers;
#[cfg_attr(
    not(feature = "internals"),
    expect(unreachable_pub, reason = "public through the feature `internals` only")
)]
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "calls kernels once they may run"))]
pub(crate) mod hmac;
#[cfg(target_arch = "x86_64")]
mod hmac_order;
mod hmac_portable;
#[cfg(target_arch = "x86_64")]
#[cfg_attr(
    not(feature = "internals"),
    expect(unreachable_pub, reason = "public through the feature `internals` only")
)]
#[expect(unsafe_code, reason = "calls kernels once they may run")]
mod hmac_x86;
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "what has no safe form"))]
mod memory;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "SIMD kernel")]
mod sha1_avx2;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "SIMD kernel")]
mod sha1_avx512;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "SIMD kernel")]
mod sha1_avx512vl;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads and stores of SIMD kernels")]
mod sha1_eight;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads of SIMD kernels")]
mod sha1_ends;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "SIMD kernel")]
mod sha1_ni;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads of SIMD kernels")]
mod sha1_tail;

#[cfg(all(test, target_os = "linux", not(miri)))]
#[expect(unsafe_code, reason = "pages that cannot be touched")]
mod aes_edges;
#[cfg(test)]
mod aes_twins;
#[cfg(test)]
mod aes_vectors;
#[cfg(all(test, target_os = "linux", not(miri)))]
mod hmac_edges;
#[cfg(all(test, target_arch = "x86_64"))]
mod hmac_twins;

pub use backend::Backend;
pub(crate) use memory::{joined, prefetch};

/// The kernels, for this package's own benches, fuzz targets and tests. Unstable: no version promises it.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    #[cfg(target_arch = "x86_64")]
    pub use super::cipher::ctr_batch_with_aes_ni;
    pub use super::cipher::{
        CipherKey, CtrJob, GcmJob, Iv, ctr_batch, gcm_open_batch, gcm_seal_batch,
    };
    pub use super::hmac::{HmacJob, HmacKey, hmac_batch};
    #[cfg(target_arch = "x86_64")]
    pub use super::hmac_x86::{Kernels as HmacKernels, hmac_on};
}
