//! The keys of one MIKEY message and what they do: KEMAC encryption and the MACs
//! (RFC 3830 §4.2.3, §4.2.4, §5.2).

use aes::cipher::{KeyIvInit, StreamCipher};
use hmac::Hmac;
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::prf::{Label, Prf, Purpose, mac};
use crate::{
    Reject,
    ids::CsbId,
    wire::mikey::{EncrAlg, MacAlg, PrfFunc, Timestamp},
};

/// Algorithms of a message, and what its keys are derived from besides the pre-shared key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Algorithms {
    pub(crate) prf: PrfFunc,
    pub(crate) encryption: EncrAlg,
    pub(crate) mac: MacAlg,
}

impl Algorithms {
    /// The mandatory ones of RFC 3830, which MBMS uses.
    pub(crate) const MBMS: Self = Self {
        prf: PrfFunc::MIKEY_1,
        encryption: EncrAlg::AES_CM_128,
        mac: MacAlg::HMAC_SHA_1_160,
    };
}

/// encr_key, salt_key and auth_key of the messages under one pre-shared key, RAND and CSB ID.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct MessageKeys {
    encryption: Vec<u8>,
    salt: [u8; 14],
    authentication: Vec<u8>,
    #[zeroize(skip)]
    algorithms: Algorithms,
    #[zeroize(skip)]
    csb: CsbId,
}

impl MessageKeys {
    /// Derives the keys of a message to be made: six HMACs, of which the key is hashed once.
    ///
    /// # Errors
    /// [`Reject::MikeyUnsupported`] for algorithms that are not known, or that protect nothing.
    pub(crate) fn derive(
        pre_shared: &[u8],
        rand: &[u8],
        csb: CsbId,
        algorithms: Algorithms,
    ) -> Result<Self, Reject> {
        let prf = Prf::keyed(algorithms.prf, pre_shared)?;
        Ok(Self::authenticating(&prf, rand, csb, algorithms)?.completed(&prf, rand))
    }

    /// Derives the keys of a message that has come, if they made its MAC. What a forged message costs is
    /// the derivation of one key.
    ///
    /// # Errors
    /// As [`Self::derive`] and [`Self::verify`].
    pub(crate) fn derive_verified(
        pre_shared: &[u8],
        rand: &[u8],
        csb: CsbId,
        algorithms: Algorithms,
        (pieces, mac): (&[&[u8]], &[u8]),
    ) -> Result<Self, Reject> {
        let prf = Prf::keyed(algorithms.prf, pre_shared)?;
        let keys = Self::authenticating(&prf, rand, csb, algorithms)?;
        keys.verify(pieces, mac)?;
        Ok(keys.completed(&prf, rand))
    }

    /// The auth_key alone; room for the others.
    fn authenticating(
        prf: &Prf,
        rand: &[u8],
        csb: CsbId,
        algorithms: Algorithms,
    ) -> Result<Self, Reject> {
        let encryption_len = match algorithms.encryption {
            EncrAlg::AES_CM_128 => 16,
            //= RFC 6043 §6.2: AES-CM with a key of 256 bits
            EncrAlg::AES_CM_256 => 32,
            // NULL is for messages under an outer protection, which there is none of here.
            _ => return Err(Reject::MikeyUnsupported),
        };
        let authentication_len = match algorithms.mac {
            //= RFC 3830 §4.2.4: the key is as long as the hash
            MacAlg::HMAC_SHA_1_160 => 20,
            MacAlg::HMAC_SHA_256_256 => 32,
            _ => return Err(Reject::MikeyUnsupported),
        };
        let mut keys = Self {
            encryption: vec![0; encryption_len],
            salt: [0; 14],
            authentication: vec![0; authentication_len],
            algorithms,
            csb,
        };
        let label = Label { purpose: Purpose::Authentication, csb, rand };
        prf.derive(&label, &mut keys.authentication);
        Ok(keys)
    }

    /// The same keys with encr_key and salt_key.
    fn completed(mut self, prf: &Prf, rand: &[u8]) -> Self {
        let csb = self.csb;
        let label = |purpose| Label { purpose, csb, rand };
        prf.derive(&label(Purpose::Encryption), &mut self.encryption);
        prf.derive(&label(Purpose::Salt), &mut self.salt);
        self
    }

    /// Whether these are the keys of a message with this bundle and these algorithms.
    pub(crate) fn are_for(&self, csb: CsbId, algorithms: Algorithms) -> bool {
        (self.csb, self.algorithms) == (csb, algorithms)
    }

    /// Encrypts or decrypts key data in place.
    pub(crate) fn crypt(&self, timestamp: Timestamp, data: &mut [u8]) {
        //= RFC 3830 §4.2.3: IV = (salt_key XOR (0x0000 || CSB ID || T)) || 0x0000
        let mut iv = Zeroizing::new([0; 16]);
        iv[2..6].copy_from_slice(&self.csb.0.to_be_bytes());
        iv[6..14].copy_from_slice(&timestamp.widened().to_be_bytes());
        iv.iter_mut().zip(self.salt).for_each(|(octet, salt)| *octet ^= salt);
        // `derive` made the keys of one of these lengths.
        if let Ok(mut cipher) =
            ctr::Ctr128BE::<aes::Aes128>::new_from_slices(&self.encryption, &*iv)
        {
            cipher.apply_keystream(data);
        } else if let Ok(mut cipher) =
            ctr::Ctr128BE::<aes::Aes256>::new_from_slices(&self.encryption, &*iv)
        {
            cipher.apply_keystream(data);
        }
    }

    /// The MAC over the pieces of a message, one after the other.
    pub(crate) fn mac(&self, pieces: &[&[u8]]) -> Vec<u8> {
        match self.algorithms.mac {
            MacAlg::HMAC_SHA_256_256 => mac::<Hmac<Sha256>>(&self.authentication, pieces),
            _ => mac::<Hmac<Sha1>>(&self.authentication, pieces),
        }
    }

    /// Compares a received MAC in constant time.
    ///
    /// # Errors
    /// [`Reject::KeyAuthFailed`].
    pub(crate) fn verify(&self, pieces: &[&[u8]], received: &[u8]) -> Result<(), Reject> {
        let expected = Zeroizing::new(self.mac(pieces));
        // Slices of different lengths compare as different.
        if bool::from(expected.as_slice().ct_eq(received)) {
            Ok(())
        } else {
            Err(Reject::KeyAuthFailed)
        }
    }
}

impl std::fmt::Debug for MessageKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MessageKeys(..)")
    }
}
