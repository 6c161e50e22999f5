//! The part of `srtp2/srtp.h` that is used here, and the library it is loaded from.
//!
//! Layouts are those of libsrtp 2.1 to 2.x, whose soname is `libsrtp2.so.1`; [`Api::load`] refuses
//! another major version.

use std::{
    error::Error,
    ffi::{CStr, c_char, c_int, c_uint, c_ulong, c_void},
    fs,
    path::PathBuf,
    ptr,
    sync::{Mutex, OnceLock},
};

use libloading::Library;

use super::Absent;

/// `srtp_ctx_t`: a session, of which only the address is known.
#[repr(C)]
pub(super) struct RawSession {
    _opaque: [u8; 0],
}

/// `srtp_crypto_policy_t`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct CryptoPolicy {
    pub(super) cipher_type: u32,
    pub(super) cipher_key_len: c_int,
    pub(super) auth_type: u32,
    pub(super) auth_key_len: c_int,
    pub(super) auth_tag_len: c_int,
    pub(super) sec_serv: c_int,
}

/// `sec_serv_auth` of `srtp_sec_serv_t`: authentication without confidentiality.
pub(super) const SEC_SERV_AUTH: c_int = 2;

/// `srtp_ssrc_t`.
#[repr(C)]
pub(super) struct SsrcSpec {
    pub(super) kind: c_uint,
    pub(super) value: c_uint,
}

impl SsrcSpec {
    /// One stream: `ssrc_specific` of `srtp_ssrc_type_t`.
    pub(super) const fn specific(ssrc: u32) -> Self {
        Self { kind: 1, value: ssrc }
    }

    /// A template for every stream not known yet: `ssrc_any_inbound`.
    pub(super) const fn any_inbound() -> Self {
        Self { kind: 2, value: 0 }
    }
}

/// `srtp_master_key_t`: key and salt in one piece, and the MKI.
#[repr(C)]
pub(super) struct KeyWithMki {
    pub(super) key: *mut u8,
    pub(super) mki_id: *mut u8,
    pub(super) mki_size: c_uint,
}

/// `srtp_policy_t`.
#[repr(C)]
pub(super) struct Policy {
    pub(super) ssrc: SsrcSpec,
    pub(super) rtp: CryptoPolicy,
    pub(super) rtcp: CryptoPolicy,
    pub(super) key: *mut u8,
    pub(super) keys: *mut *mut KeyWithMki,
    pub(super) num_master_keys: c_ulong,
    pub(super) deprecated_ekt: *mut c_void,
    pub(super) window_size: c_ulong,
    pub(super) allow_repeat_tx: c_int,
    pub(super) enc_xtn_hdr: *mut c_int,
    pub(super) enc_xtn_hdr_count: c_int,
    pub(super) next: *mut Self,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Policy>() == 128 && size_of::<KeyWithMki>() == 24);

/// `SRTP_MAX_TRAILER_LEN`, and four octets for the SRTCP index: what a packet may grow by.
pub(super) const MAX_GROWTH: usize = 16 + 128 + 4;
/// `SRTP_MAX_NUM_MASTER_KEYS`.
pub(super) const MAX_KEYS: usize = 16;

/// `srtp_err_status_t`: 0, or why not.
pub(super) type Status = c_int;

/// `srtp_crypto_policy_set_…`.
pub(super) type PolicySetter = unsafe extern "C" fn(*mut CryptoPolicy);
/// `srtp_protect_mki` and `srtp_protect_rtcp_mki`.
pub(super) type Protect =
    unsafe extern "C" fn(*mut RawSession, *mut c_void, *mut c_int, c_uint, c_uint) -> Status;
/// `srtp_unprotect_mki` and `srtp_unprotect_rtcp_mki`.
pub(super) type Unprotect =
    unsafe extern "C" fn(*mut RawSession, *mut c_void, *mut c_int, c_uint) -> Status;

macro_rules! symbols {
    ($($name:ident: $signature:ty,)+) => {
        /// The functions, under their names without `srtp_`.
        pub(super) struct Symbols { $(pub(super) $name: $signature,)+ }

        impl Symbols {
            fn find(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: each signature is the one of `srtp2/srtp.h`, and the library is
                    // never unloaded, so the address stays good.
                    $($name: *unsafe {
                        library.get::<$signature>(concat!("srtp_", stringify!($name)))?
                    },)+
                })
            }
        }
    };
}

symbols! {
    init: unsafe extern "C" fn() -> Status,
    get_version: unsafe extern "C" fn() -> c_uint,
    get_version_string: unsafe extern "C" fn() -> *const c_char,
    create: unsafe extern "C" fn(*mut *mut RawSession, *const Policy) -> Status,
    add_stream: unsafe extern "C" fn(*mut RawSession, *const Policy) -> Status,
    dealloc: unsafe extern "C" fn(*mut RawSession) -> Status,
    set_stream_roc: unsafe extern "C" fn(*mut RawSession, u32, u32) -> Status,
    protect_mki: Protect,
    unprotect_mki: Unprotect,
    protect_rtcp_mki: Protect,
    unprotect_rtcp_mki: Unprotect,
    crypto_policy_set_rtp_default: PolicySetter,
    crypto_policy_set_aes_cm_192_hmac_sha1_80: PolicySetter,
    crypto_policy_set_aes_cm_256_hmac_sha1_80: PolicySetter,
    crypto_policy_set_null_cipher_hmac_sha1_80: PolicySetter,
    crypto_policy_set_aes_gcm_128_16_auth: PolicySetter,
    crypto_policy_set_aes_gcm_256_16_auth: PolicySetter,
}

/// The library, initialised.
pub(super) struct Api {
    pub(super) call: Symbols,
    pub(super) version: String,
    pub(super) backend: String,
    /// Taken around creation and destruction, where the crypto back end keeps global state.
    pub(super) lifecycle: Mutex<()>,
}

impl Api {
    /// The library, loaded and initialised on the first call.
    pub(super) fn get() -> Result<&'static Self, Absent> {
        static API: OnceLock<Result<Api, Absent>> = OnceLock::new();
        API.get_or_init(Self::load).as_ref().map_err(Clone::clone)
    }

    fn load() -> Result<Self, Absent> {
        let name = std::env::var("LIBSRTP").unwrap_or_else(|_| "libsrtp2.so.1".to_owned());
        let absent = |why: String| Absent { library: name.clone(), why };
        // SAFETY: the library's constructors do nothing but what every C program linked against it
        // gets; the caller of this process chose the file.
        let library = unsafe { Library::new(&name) }.map_err(|e| absent(in_full(&e)))?;
        let call = Symbols::find(&library).map_err(|e| absent(in_full(&e)))?;
        // Its functions are kept for the life of the process.
        std::mem::forget(library);
        // SAFETY: both take nothing and may be called before `srtp_init`; the string is static.
        let (number, text) =
            unsafe { ((call.get_version)(), CStr::from_ptr((call.get_version_string)())) };
        if number >> 24 != 2 {
            return Err(absent(format!(
                "version {number:#x}; only 2.x has the layouts known here"
            )));
        }
        // SAFETY: called once, behind the `OnceLock`, before any other function.
        match unsafe { (call.init)() } {
            0 => {}
            status => return Err(absent(format!("srtp_init returned {status}"))),
        }
        let version = text.to_string_lossy().into_owned();
        let backend = backend(&call);
        Ok(Self { call, version, backend, lifecycle: Mutex::new(()) })
    }
}

/// An error with the loader's own words, which name the file or the symbol.
fn in_full(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The crypto library that libsrtp was built with: the one its file asks the loader for, or holds.
fn backend(call: &Symbols) -> String {
    let file = file_of(call.init as usize).and_then(|path| fs::read(path).ok()).unwrap_or_default();
    let holds = |text: &[u8]| file.windows(text.len()).any(|window| window == text);
    if file.is_empty() {
        return "unknown crypto".to_owned();
    }
    let known = [
        ("libnss3.so", "NSS"),
        ("libcrypto.so", "OpenSSL"),
        ("libmbedcrypto.so", "Mbed TLS"),
        ("libwolfssl.so", "wolfSSL"),
    ];
    let asked = known.iter().find(|(soname, _)| holds(soname.as_bytes())).map(|(_, name)| *name);
    asked
        .map(str::to_owned)
        .or_else(|| openssl_inside(&file))
        .unwrap_or_else(|| "built-in crypto".to_owned())
}

/// Name and version of the OpenSSL that was linked into a file, as its version text says.
fn openssl_inside(file: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"OpenSSL ";
    let version = file.windows(NAME.len() + 16).find_map(|window| {
        let version = window.strip_prefix(NAME)?.split(|octet| *octet == b' ').next()?;
        let is_version = version.len() >= 5
            && version.iter().all(|octet| octet.is_ascii_digit() || *octet == b'.');
        is_version.then_some(version)
    })?;
    Some(format!("OpenSSL {}", String::from_utf8_lossy(version)))
}

/// The file that an address of this process was mapped from.
fn file_of(address: usize) -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        let here = (number(from)?..number(to)?).contains(&address);
        here.then(|| line.find('/').map(|at| PathBuf::from(&line[at..])))?
    })
}

impl Policy {
    /// A policy without keys yet.
    pub(super) fn new(
        ssrc: SsrcSpec,
        rtp: CryptoPolicy,
        rtcp: CryptoPolicy,
        window: c_ulong,
    ) -> Self {
        Self {
            ssrc,
            rtp,
            rtcp,
            key: ptr::null_mut(),
            keys: ptr::null_mut(),
            num_master_keys: 0,
            deprecated_ekt: ptr::null_mut(),
            window_size: window,
            allow_repeat_tx: 0,
            enc_xtn_hdr: ptr::null_mut(),
            enc_xtn_hdr_count: 0,
            next: ptr::null_mut(),
        }
    }
}
