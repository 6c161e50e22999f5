//! One `srtp_t`: streams added to it, packets through it.

use std::{
    ffi::{c_int, c_uint, c_ulong, c_void},
    ptr,
    sync::PoisonError,
};

use super::ffi::{
    Api, CryptoPolicy, KeyWithMki, MAX_GROWTH, MAX_KEYS, Policy, Protect, RawSession,
    SEC_SERV_AUTH, SsrcSpec, Status, Unprotect,
};
use crate::{Refused, Setup, Suite};

/// A session of one direction, freed on drop.
pub(super) struct Session {
    api: &'static Api,
    raw: *mut RawSession,
    use_mki: c_uint,
}

impl Session {
    pub(super) fn new(api: &'static Api, setup: &Setup) -> Self {
        let use_mki = c_uint::from(!setup.keys[0].mki.is_empty());
        Self { api, raw: ptr::null_mut(), use_mki }
    }

    /// Adds a stream under the keys of the setup, with this many octets of SRTP tag.
    pub(super) fn add_stream(
        &mut self,
        setup: &Setup,
        ssrc: u32,
        srtp_tag_len: usize,
    ) -> Result<(), Refused> {
        self.add(setup, SsrcSpec::specific(ssrc), srtp_tag_len)?;
        if setup.roc != 0 {
            // SAFETY: the session was created just now or before.
            accepted(unsafe { (self.api.call.set_stream_roc)(self.raw, ssrc, setup.roc) })?;
        }
        Ok(())
    }

    /// Adds the template for streams that are not known yet; they start at rollover counter 0.
    pub(super) fn add_template(&mut self, setup: &Setup, tag_len: usize) -> Result<(), Refused> {
        self.add(setup, SsrcSpec::any_inbound(), tag_len)
    }

    fn add(&mut self, setup: &Setup, ssrc: SsrcSpec, srtp_tag_len: usize) -> Result<(), Refused> {
        if setup.keys.len() > MAX_KEYS {
            return Err(Refused::other("libsrtp takes at most 16 master keys a stream"));
        }
        // The library wants the salt behind the key, and pointers that it may write through.
        let mut joined: Vec<_> = setup.keys.iter().map(|k| [&*k.key, &*k.salt].concat()).collect();
        let mut mkis: Vec<_> = setup.keys.iter().map(|k| k.mki.clone()).collect();
        let with_mki = |(key, mki): (&mut Vec<u8>, &mut Vec<u8>)| KeyWithMki {
            key: key.as_mut_ptr(),
            mki_id: mki.as_mut_ptr(),
            // At most 128 by `SRTP_MAX_MKI_LEN`, which the library checks.
            mki_size: mki.len() as c_uint,
        };
        let mut keys: Vec<_> = joined.iter_mut().zip(&mut mkis).map(with_mki).collect();
        let mut pointers: Vec<*mut KeyWithMki> = keys.iter_mut().map(ptr::from_mut).collect();

        let (rtp, rtcp) = crypto_policies(self.api, setup, srtp_tag_len);
        let mut policy = Policy::new(ssrc, rtp, rtcp, setup.window as c_ulong);
        if self.use_mki == 1 {
            policy.keys = pointers.as_mut_ptr();
            policy.num_master_keys = pointers.len() as c_ulong;
        } else {
            policy.key = keys[0].key;
        }
        self.add_policy(&policy)
    }

    fn add_policy(&mut self, policy: &Policy) -> Result<(), Refused> {
        let call = &self.api.call;
        let _lifecycle = self.api.lifecycle.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller keeps everything that the policy points to until this returns, and the
        // library copies what it needs. A null session is replaced by a new one; any other came
        // from `srtp_create`.
        accepted(unsafe {
            if self.raw.is_null() {
                (call.create)(&raw mut self.raw, policy)
            } else {
                (call.add_stream)(self.raw, policy)
            }
        })
    }

    /// Opens a packet in place and returns its new length.
    pub(super) fn open(&mut self, open: Unprotect, packet: &mut [u8]) -> Result<usize, Refused> {
        let mut len = c_int::try_from(packet.len()).map_err(Refused::other)?;
        // SAFETY: the session exists, for `LibSrtp::new` adds a stream first, and is ours alone.
        // The library reads and writes the first `len` octets and never makes the packet longer.
        accepted(unsafe {
            open(self.raw, packet.as_mut_ptr().cast::<c_void>(), &raw mut len, self.use_mki)
        })?;
        usize::try_from(len).map_err(Refused::other)
    }

    /// Protects a packet with the key at this place.
    pub(super) fn close(
        &mut self,
        close: Protect,
        plain: &[u8],
        key: c_uint,
    ) -> Result<Vec<u8>, Refused> {
        let mut packet = plain.to_vec();
        packet.resize(plain.len() + MAX_GROWTH, 0);
        let mut len = c_int::try_from(plain.len()).map_err(Refused::other)?;
        // SAFETY: as in `open`; behind the `len` octets there is room for the longest trailer.
        accepted(unsafe {
            close(self.raw, packet.as_mut_ptr().cast::<c_void>(), &raw mut len, self.use_mki, key)
        })?;
        packet.truncate(usize::try_from(len).map_err(Refused::other)?);
        Ok(packet)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            let _lifecycle = self.api.lifecycle.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: it came from `srtp_create` and is not used again. One that the library does
            // not free is leaked.
            unsafe { (self.api.call.dealloc)(self.raw) };
        }
    }
}

/// The policies of SRTP and SRTCP.
fn crypto_policies(api: &Api, setup: &Setup, srtp_tag: usize) -> (CryptoPolicy, CryptoPolicy) {
    let call = &api.call;
    let set = match setup.suite {
        Suite::NullSha1_80 | Suite::NullSha1_32 => call.crypto_policy_set_null_cipher_hmac_sha1_80,
        Suite::AesCm128Sha1_80 | Suite::AesCm128Sha1_32 => call.crypto_policy_set_rtp_default,
        Suite::AesCm192Sha1_80 | Suite::AesCm192Sha1_32 => {
            call.crypto_policy_set_aes_cm_192_hmac_sha1_80
        }
        Suite::AesCm256Sha1_80 | Suite::AesCm256Sha1_32 => {
            call.crypto_policy_set_aes_cm_256_hmac_sha1_80
        }
        Suite::AesGcm128 => call.crypto_policy_set_aes_gcm_128_16_auth,
        Suite::AesGcm256 => call.crypto_policy_set_aes_gcm_256_16_auth,
    };
    let mut rtp = CryptoPolicy::default();
    // SAFETY: the setters fill the structure they are given.
    unsafe { set(&raw mut rtp) };
    let mut rtcp = rtp;
    if !setup.encrypt_srtcp {
        rtcp.sec_serv = SEC_SERV_AUTH;
    }
    //= RFC 3711 §5.2: only the tag of SRTP gets shorter
    if srtp_tag == 4 {
        rtp.auth_tag_len = 4;
    }
    (rtp, rtcp)
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
