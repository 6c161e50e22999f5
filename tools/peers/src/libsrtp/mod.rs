//! The system's libsrtp2, loaded when first used.

mod ffi;
mod session;

use std::{ffi::c_uint, fmt};

use ffi::Api;
use session::Session;

use crate::{Peer, Refused, Setup, Suite, walk};

/// libsrtp2, with its own handling of MKIs and up to 16 keys a stream.
///
/// The environment variable `LIBSRTP` names another file than the system's `libsrtp2.so.1`, for
/// example a build with another crypto back end.
pub struct LibSrtp {
    api: &'static Api,
    setup: Setup,
    sending: c_uint,
    sender: Session,
    receiver: Session,
    /// Up to 2.6 libsrtp looks for the MKI of an SRTCP packet where the tag length of *SRTP* puts
    /// it, and so finds none in suites whose tags differ. There, SRTCP is received by a session
    /// whose two tags are alike.
    control_receiver: Session,
}

impl LibSrtp {
    /// Builds both directions with the stream of the setup.
    ///
    /// # Errors
    /// [`Refused::Other`] where the library is absent or does not take the setup.
    pub fn new(setup: &Setup) -> Result<Self, Refused> {
        setup.validate()?;
        let api = Api::get().map_err(Refused::other)?;
        if setup.suite.key_len() == 24 && !derives_aes_192(api)? {
            let version = &api.version;
            return Err(Refused::Other(format!(
                "{version} derives AES-192 keys with AES-256, against RFC 6188"
            )));
        }
        let mut peer = Self::without_check(api, setup)?;
        for _ in 0..setup.srtcp_sent {
            peer.protect_rtcp(&walk::empty_report(setup.ssrc))?;
        }
        Ok(peer)
    }

    fn without_check(api: &'static Api, setup: &Setup) -> Result<Self, Refused> {
        let mut control_receiver = Session::new(api, setup);
        control_receiver.add_stream(setup, setup.ssrc, setup.suite.srtcp_tag_len())?;
        let (sender, receiver) = (Session::new(api, setup), Session::new(api, setup));
        let setup = setup.clone();
        let ssrc = setup.ssrc;
        let mut peer = Self { api, setup, sending: 0, sender, receiver, control_receiver };
        peer.add_ssrc(ssrc)?;
        Ok(peer)
    }

    /// One more stream under the same keys, for SRTP; both directions start at [`Setup::roc`].
    ///
    /// # Errors
    /// [`Refused::Other`] with the library's status.
    pub fn add_ssrc(&mut self, ssrc: u32) -> Result<(), Refused> {
        let tag_len = self.setup.suite.srtp_tag_len();
        self.sender.add_stream(&self.setup, ssrc, tag_len)?;
        self.receiver.add_stream(&self.setup, ssrc, tag_len)
    }

    /// From now on opens SRTP of any SSRC; unknown streams start at rollover counter 0. Many streams
    /// then share the cipher contexts, which are large and slow to free with NSS.
    ///
    /// # Errors
    /// [`Refused::Other`] with the library's status.
    pub fn accept_any_ssrc(&mut self) -> Result<(), Refused> {
        self.receiver.add_template(&self.setup, self.setup.suite.srtp_tag_len())
    }

    /// Opens a packet in place and returns its new length: what a measurement calls.
    ///
    /// # Errors
    /// Why the packet was not accepted.
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        self.receiver.open(self.api.call.unprotect_mki, packet)
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
        self.sender.close(self.api.call.protect_mki, plain, self.sending)
    }

    fn unprotect_rtp(&mut self, protected: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut packet = protected.to_vec();
        let len = self.open_rtp(&mut packet)?;
        packet.truncate(len);
        Ok(packet)
    }

    fn protect_rtcp(&mut self, plain: &[u8]) -> Result<Vec<u8>, Refused> {
        self.sender.close(self.api.call.protect_rtcp_mki, plain, self.sending)
    }

    fn unprotect_rtcp(&mut self, protected: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut packet = protected.to_vec();
        let unprotect = self.api.call.unprotect_rtcp_mki;
        let len = self.control_receiver.open(unprotect, &mut packet)?;
        packet.truncate(len);
        Ok(packet)
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
    let mut peer = LibSrtp::without_check(api, &setup)?;
    let mut plain = walk::empty_packet(0, 0).to_vec();
    plain.extend([0; 4]);
    Ok(peer.protect_rtp(&plain)?.get(12..16) == Some(&KEYSTREAM))
}
