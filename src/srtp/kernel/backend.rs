//! Which instructions the transforms use: found once, overridable.

/// A set of kernels.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Backend {
    /// RustCrypto's implementations, any processor.
    Portable,
    /// x86-64 with AVX2, AES-NI, PCLMULQDQ and SHA-NI.
    Avx2,
    /// x86-64 with AVX-512 (F, BW, VL), VAES and VPCLMULQDQ besides.
    Avx512,
}
