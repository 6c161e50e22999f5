//! From the bootstrapped keys CK and IK to MUK and MRK (TS 33.220 Annex B, TS 33.246 §6.1, Annex F).
//!
//! The bootstrapping exchange belongs to the operator's network; this is the arithmetic behind it.

use hmac::Hmac;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Muk, prf::mac};
use crate::secret::Secret;

/// Ua security protocol identifier of MBMS (TS 33.220 §H.3).
pub const UA_MBMS: [u8; 5] = [0x01, 0x00, 0x00, 0x00, 0x01];

/// Where the GBA functions of a client run.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Variant {
    /// GBA_ME: in the terminal.
    Me,
    /// GBA_U: on the smart card.
    U,
}

/// What both ends know after bootstrapping.
#[derive(Debug)]
pub struct Bootstrapped<'a> {
    /// Cipher key of the authentication vector.
    pub ck: &'a Secret<16>,
    /// Integrity key of the authentication vector.
    pub ik: &'a Secret<16>,
    /// Challenge of the authentication vector.
    pub rand: [u8; 16],
    /// Private identity of the user, as in `user@operator.example`.
    pub impi: &'a str,
    /// FQDN of the network application function: the key server.
    pub naf: &'a str,
}

/// The keys that MBMS takes from GBA.
#[derive(Debug)]
pub struct UserKeys {
    /// Protects MSK messages.
    pub muk: Muk,
    /// Password of HTTP digest for registration and MSK requests.
    pub mrk: Secret<32>,
}

impl Bootstrapped<'_> {
    /// Derives MUK and MRK: two or three HMACs.
    #[must_use]
    pub fn user_keys(&self, variant: Variant) -> UserKeys {
        match variant {
            Variant::Me => {
                let ks_naf = self.naf_key(b"gba-me");
                //= TS 33.246 Annex F (K1): MRK = KDF(Ks_NAF, "mbms-mrk")
                let mrk = kdf(ks_naf.expose(), FC_GBA, &[b"mbms-mrk"]);
                UserKeys { muk: Muk(ks_naf), mrk }
            }
            Variant::U => {
                UserKeys { muk: Muk(self.naf_key(b"gba-u")), mrk: self.naf_key(b"gba-me") }
            }
        }
    }

    /// Ks_NAF and Ks_ext_NAF with `gba-me`, Ks_int_NAF with `gba-u` (TS 33.220 §B.3).
    fn naf_key(&self, kind: &[u8]) -> Secret<32> {
        let mut ks = Zeroizing::new([0; 32]);
        ks[..16].copy_from_slice(self.ck.expose());
        ks[16..].copy_from_slice(self.ik.expose());
        //= TS 33.220 §B.3: NAF_Id is the FQDN and the Ua security protocol identifier
        let naf_id = [self.naf.as_bytes(), &UA_MBMS].concat();
        kdf(&*ks, FC_GBA, &[kind, &self.rand, self.impi.as_bytes(), &naf_id])
    }
}

/// The generic key derivation function (TS 33.220 §B.2).
fn kdf(key: &[u8], fc: u8, parameters: &[&[u8]]) -> Secret<32> {
    let mut s = vec![fc];
    for parameter in parameters {
        s.extend(*parameter);
        // Identities have far fewer than 2^16 octets.
        s.extend(((parameter.len() & 0xffff) as u16).to_be_bytes());
    }
    let mut out = [0; 32];
    out.copy_from_slice(&Zeroizing::new(mac::<Hmac<Sha256>>(key, &[&s])));
    Secret::new(out)
}

/// FC of the GBA derivations (TS 33.220 §B.3).
const FC_GBA: u8 = 0x01;
