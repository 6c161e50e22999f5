//! The system's libsrtp2, loaded when first used.

mod ffi;

use std::{
    ffi::{c_int, c_uint, c_ulong, c_void},
    fmt, ptr,
};

use ffi::{
    Api, CryptoPolicy, KeyWithMki, Policy, Protect, SEC_SERV_AUTH, Session, Status, Unprotect,
};

use crate::{Peer, Refused, Setup, Suite, walk};

/// libsrtp2, with its own handling of MKIs and up to 16 keys a stream.
///
/// The environment variable `LIBSRTP` names another file than the system's `libsrtp2.so.1`, for
/// example a build with another crypto back end.
pub struct LibSrtp {
    api: &'static Api,
    setup: Setup,
    sender: *mut Session,
    receiver: *mut Session,
    use_mki: c_uint,
    sending: c_uint,
}

impl LibSrtp {
    /// Builds both directions with the stream of the setup.
    ///
    /// # Errors
    /// [`Refused::Other`] where the library is absent or does not take the setup.
    pub fn new(setup: &Setup) -> Result<Self, Refused> {
        setup.validate()?;
        let api = Api::get().map_err(Refused::other)?;
        if matches!(setup.suite, Suite::AesCm192Sha1_80 | Suite::AesCm192Sha1_32)
            && !derives_aes_192(api)?
        {
            return Err(Refused::Other(format!(
                "{} derives AES-192 keys with AES-256, against RFC 6188; corrected upstream in 2025",
                api.version
            )));
        }
        let mut peer = Self::without_streams(api, setup);
        peer.add_ssrc(setup.ssrc)?;
        for _ in 0..setup.srtcp_sent {
            peer.protect_rtcp(&walk::empty_report(setup.ssrc))?;
        }
        Ok(peer)
    }

    fn without_streams(api: &'static Api, setup: &Setup) -> Self {
        Self {
            api,
            setup: setup.clone(),
            sender: ptr::null_mut(),
            receiver: ptr::null_mut(),
            use_mki: c_uint::from(!setup.keys[0].mki.is_empty()),
            sending: 0,
        }
    }

    /// One more stream under the same keys; both directions start at [`Setup::roc`].
    ///
    /// # Errors
    /// [`Refused::Other`] with the library's status.
    pub fn add_ssrc(&mut self, ssrc: u32) -> Result<(), Refused> {
        let (api, setup) = (self.api, &self.setup);
        let Material { mut joined, mut mkis } = Material::new(setup);
        let mut keys: Vec<_> = joined
            .iter_mut()
            .zip(&mut mkis)
            .map(|(key, mki)| KeyWithMki {
                key: key.as_mut_ptr(),
                mki_id: mki.as_mut_ptr(),
                // At most 128 by `SRTP_MAX_MKI_LEN`, which the library checks.
                mki_size: mki.len() as c_uint,
            })
            .collect();
        let mut keys: Vec<*mut KeyWithMki> = keys.iter_mut().map(ptr::from_mut).collect();

        let (rtp, rtcp) = crypto_policies(api, setup);
        let mut policy = Policy::new(ssrc, rtp, rtcp, setup.window as c_ulong);
        if self.use_mki == 1 {
            if keys.len() > ffi::MAX_KEYS {
                return Err(Refused::other("libsrtp takes at most 16 master keys a stream"));
            }
            policy.keys = keys.as_mut_ptr();
            policy.num_master_keys = keys.len() as c_ulong;
        } else {
            policy.key = joined[0].as_mut_ptr();
        }

        let _lifecycle = api.lifecycle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for session in [&mut self.sender, &mut self.receiver] {
            // SAFETY: the policy and everything it points to live until the end of this function,
            // and the library copies what it keeps. A null session is replaced by a new one, any
            // other came from `srtp_create`.
            let status = unsafe {
                if session.is_null() {
                    (api.call.create)(session, &raw const policy)
                } else {
                    (api.call.add_stream)(*session, &raw const policy)
                }
            };
            accepted(status)?;
            if setup.roc != 0 {
                // SAFETY: the session was created above or before.
                accepted(unsafe { (api.call.set_stream_roc)(*session, ssrc, setup.roc) })?;
            }
        }
        Ok(())
    }

    /// Opens a packet in place and returns its new length: what a measurement calls.
    ///
    /// # Errors
    /// Why the packet was not accepted.
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        self.open(self.api.call.unprotect_mki, packet)
    }

    fn open(&mut self, unprotect: Unprotect, packet: &mut [u8]) -> Result<usize, Refused> {
        let mut len = c_int::try_from(packet.len()).map_err(Refused::other)?;
        // SAFETY: the session is ours alone; the library reads and writes only the first `len`
        // octets of the packet and makes it no longer.
        let status = unsafe {
            unprotect(
                self.receiver,
                packet.as_mut_ptr().cast::<c_void>(),
                &raw mut len,
                self.use_mki,
            )
        };
        accepted(status)?;
        usize::try_from(len).map_err(Refused::other)
    }

    fn close(&mut self, protect: Protect, plain: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut packet = plain.to_vec();
        packet.resize(plain.len() + ffi::MAX_GROWTH, 0);
        let mut len = c_int::try_from(plain.len()).map_err(Refused::other)?;
        // SAFETY: as in `open`; behind the `len` octets there is room for the longest trailer.
        let status = unsafe {
            let start = packet.as_mut_ptr().cast::<c_void>();
            protect(self.sender, start, &raw mut len, self.use_mki, self.sending)
        };
        accepted(status)?;
        packet.truncate(usize::try_from(len).map_err(Refused::other)?);
        Ok(packet)
    }
}

impl Peer for LibSrtp {
    fn name(&self) -> String {
        format!("{} ({})", self.api.version, self.api.backend)
    }

    fn use_key(&mut self, place: usize) -> Result<(), Refused> {
        if place >= self.setup.keys.len() {
            return Err(Refused::Other(format!("no master key at place {place}")));
        }
        self.sending = c_uint::try_from(place).map_err(Refused::other)?;
        Ok(())
    }

    fn protect_rtp(&mut self, plain: &[u8]) -> Result<Vec<u8>, Refused> {
        self.close(self.api.call.protect_mki, plain)
    }

    fn unprotect_rtp(&mut self, protected: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut packet = protected.to_vec();
        let len = self.open(self.api.call.unprotect_mki, &mut packet)?;
        packet.truncate(len);
        Ok(packet)
    }

    fn protect_rtcp(&mut self, plain: &[u8]) -> Result<Vec<u8>, Refused> {
        self.close(self.api.call.protect_rtcp_mki, plain)
    }

    fn unprotect_rtcp(&mut self, protected: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut packet = protected.to_vec();
        let len = self.open(self.api.call.unprotect_rtcp_mki, &mut packet)?;
        packet.truncate(len);
        Ok(packet)
    }
}

impl Drop for LibSrtp {
    fn drop(&mut self) {
        let _lifecycle =
            self.api.lifecycle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for session in [self.sender, self.receiver] {
            if !session.is_null() {
                // SAFETY: the session came from `srtp_create` and is not used again. A session that
                // cannot be freed is leaked.
                unsafe { (self.api.call.dealloc)(session) };
            }
        }
    }
}

/// The library cannot be used here.
#[derive(Clone, Debug)]
pub struct Absent {
    library: String,
    why: String,
}

impl Absent {
    /// For a test that needs libsrtp: `true` if it is there. Otherwise says so on standard error and
    /// returns `false`, so that the test can end; where the environment says `CI=true`, an absent
    /// library is a failure.
    ///
    /// # Panics
    /// In CI, if the library is absent.
    #[must_use]
    pub fn present_or_said(test: &str) -> bool {
        let Err(absent) = Api::get() else { return true };
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{test} needs libsrtp, and CI must have it: {absent}"
        );
        eprintln!("NOT RUN: {test}: {absent}");
        false
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be used ({}); install libsrtp2-1", self.library, self.why)
    }
}

impl std::error::Error for Absent {}

/// Keys with their salts appended, as libsrtp wants them, and MKIs it may point to.
struct Material {
    joined: Vec<Vec<u8>>,
    mkis: Vec<Vec<u8>>,
}

impl Material {
    fn new(setup: &Setup) -> Self {
        let joined = setup.keys.iter().map(|k| [&k.key[..], &k.salt].concat()).collect();
        Self { joined, mkis: setup.keys.iter().map(|k| k.mki.clone()).collect() }
    }
}

/// The policies of SRTP and SRTCP.
fn crypto_policies(api: &Api, setup: &Setup) -> (CryptoPolicy, CryptoPolicy) {
    let set = match setup.suite {
        Suite::NullSha1_80 | Suite::NullSha1_32 => {
            api.call.crypto_policy_set_null_cipher_hmac_sha1_80
        }
        Suite::AesCm128Sha1_80 | Suite::AesCm128Sha1_32 => api.call.crypto_policy_set_rtp_default,
        Suite::AesCm192Sha1_80 | Suite::AesCm192Sha1_32 => {
            api.call.crypto_policy_set_aes_cm_192_hmac_sha1_80
        }
        Suite::AesCm256Sha1_80 | Suite::AesCm256Sha1_32 => {
            api.call.crypto_policy_set_aes_cm_256_hmac_sha1_80
        }
        Suite::AesGcm128 => api.call.crypto_policy_set_aes_gcm_128_16_auth,
        Suite::AesGcm256 => api.call.crypto_policy_set_aes_gcm_256_16_auth,
    };
    let mut rtp = CryptoPolicy::default();
    // SAFETY: the setters fill the structure they are given.
    unsafe { set(&raw mut rtp) };
    let mut rtcp = rtp;
    if !setup.encrypt_srtcp {
        rtcp.sec_serv = SEC_SERV_AUTH;
    }
    //= RFC 3711 §5.2: only the tag of SRTP gets shorter
    if setup.suite.srtp_tag_len() == 4 {
        rtp.auth_tag_len = 4;
    }
    (rtp, rtcp)
}

/// Whether this libsrtp follows RFC 6188 for AES-192, which took until after 2.7 except with
/// OpenSSL's own key derivation: known answer for the master key of RFC 6188 §7.4.
fn derives_aes_192(api: &'static Api) -> Result<bool, Refused> {
    const KEY: [u8; 24] = [
        0x73, 0xed, 0xc6, 0x6c, 0x4f, 0xa1, 0x57, 0x76, 0xfb, 0x57, 0xf9, 0x50, 0x5c, 0x17, 0x13,
        0x65, 0x50, 0xff, 0xda, 0x71, 0xf3, 0xe8, 0xe5, 0xf1,
    ];
    const SALT: [u8; 14] =
        [0xc8, 0x52, 0x2f, 0x3a, 0xcd, 0x4c, 0xe8, 0x6d, 0x5a, 0xdd, 0x78, 0xed, 0xbb, 0x11];
    const KEYSTREAM: [u8; 4] = [0x72, 0x23, 0xce, 0xfe];
    let setup = Setup::new(Suite::AesCm192Sha1_80, &KEY, &SALT, &[], 0);
    let mut peer = LibSrtp::without_streams(api, &setup);
    peer.add_ssrc(0)?;
    let mut plain = walk::empty_packet(0, 0).to_vec();
    plain.extend([0; 4]);
    Ok(peer.protect_rtp(&plain)?.get(12..16) == Some(&KEYSTREAM))
}

/// The library's status as a result.
fn accepted(status: Status) -> Result<(), Refused> {
    match status {
        0 => Ok(()),
        7 => Err(Refused::Auth),
        9 | 10 | 26 => Err(Refused::Replay),
        25 => Err(Refused::UnknownMki),
        other => Err(Refused::Other(format!("libsrtp status {other}"))),
    }
}
