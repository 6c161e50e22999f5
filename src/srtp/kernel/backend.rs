//! Which instructions the transforms use: found once, overridable.

use std::{env, fmt, sync::OnceLock};

/// A set of kernels.
///
/// The order is that of preference: a processor that has one set has those before it.
///
/// ```
/// use mcast_srtp::srtp::Backend;
///
/// println!("{} of {:?}", Backend::active(), Backend::available());
/// if let Some(value) = Backend::ignored_override() {
///     println!("{}={value} is unknown or not available here", Backend::OVERRIDE);
/// }
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Backend {
    /// RustCrypto's implementations, any processor.
    Portable,
    /// x86-64 with AVX2, BMI1, BMI2, AES-NI and PCLMULQDQ; SHA-NI is used where there is, and for
    /// AES-CM VAES.
    Avx2,
    /// x86-64 with AVX-512 (F, BW, VL), VAES and VPCLMULQDQ besides.
    Avx512,
}

impl Backend {
    /// Environment variable that forces a set: `portable`, `avx2` or `avx512`. Read once.
    pub const OVERRIDE: &'static str = "MCAST_SRTP_BACKEND";

    const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The set this process uses: the override's if it can be honoured, else the detected one.
    #[must_use]
    pub fn active() -> Self {
        Choice::of_this_process().backend
    }

    /// The value of [`Self::OVERRIDE`] if it names no set, or one this processor does not have.
    #[must_use]
    pub fn ignored_override() -> Option<&'static str> {
        Choice::of_this_process().ignored.as_deref()
    }

    /// The best set this processor has. Found once.
    #[must_use]
    pub fn detect() -> Self {
        static DETECTED: OnceLock<Backend> = OnceLock::new();
        *DETECTED.get_or_init(probe)
    }

    /// Every set this processor has, [`Self::Portable`] first.
    #[must_use]
    pub fn available() -> &'static [Self] {
        match Self::detect() {
            Self::Portable => &Self::ALL[..1],
            Self::Avx2 => &Self::ALL[..2],
            Self::Avx512 => &Self::ALL,
        }
    }

    /// The name as [`Self::OVERRIDE`] takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The set of that name, whether this processor has it or not.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|b| b.name().eq_ignore_ascii_case(name))
    }

    /// This set, or the best one before it that the processor has. What stands before a call of a
    /// function with target features: a set returned from here may be run.
    pub(super) fn usable(self) -> Self {
        self.min(Self::detect())
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the override made of the detected set.
struct Choice {
    backend: Backend,
    ignored: Option<String>,
}

impl Choice {
    fn of_this_process() -> &'static Self {
        static CHOICE: OnceLock<Choice> = OnceLock::new();
        CHOICE.get_or_init(|| {
            let value = env::var_os(Backend::OVERRIDE).unwrap_or_default();
            Self::of(&value.to_string_lossy(), Backend::detect())
        })
    }

    fn of(value: &str, detected: Backend) -> Self {
        match Backend::from_name(value) {
            Some(backend) if backend <= detected => Self { backend, ignored: None },
            _ => Self {
                backend: detected,
                ignored: Some(value.to_owned()).filter(|v| !v.is_empty()),
            },
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn probe() -> Backend {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("pclmulqdq");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("vpclmulqdq");
    match (avx2, avx512) {
        (true, true) => Backend::Avx512,
        (true, false) => Backend::Avx2,
        (false, _) => Backend::Portable,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn probe() -> Backend {
    Backend::Portable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_set() {
        for backend in Backend::ALL {
            assert_eq!(Backend::from_name(backend.name()), Some(backend));
        }
        assert_eq!(Backend::from_name("AVX512"), Some(Backend::Avx512));
        assert_eq!(Backend::from_name("neon"), None);
    }

    #[test]
    fn override_wins_where_the_processor_has_the_set() {
        let choice = Choice::of("portable", Backend::Avx512);
        assert_eq!((choice.backend, choice.ignored), (Backend::Portable, None));
    }

    #[test]
    fn override_that_cannot_be_honoured_is_reported() {
        for value in ["avx512", "sse9"] {
            let choice = Choice::of(value, Backend::Avx2);
            assert_eq!((choice.backend, choice.ignored.as_deref()), (Backend::Avx2, Some(value)));
        }
        let unset = Choice::of("", Backend::Avx2);
        assert_eq!((unset.backend, unset.ignored), (Backend::Avx2, None));
    }

    #[test]
    fn a_set_that_is_not_available_is_never_used() {
        for backend in Backend::ALL {
            assert!(Backend::available().contains(&backend.usable()));
        }
        assert_eq!(Backend::available().last(), Some(&Backend::detect()));
    }
}
