//! The pseudo-random functions of MIKEY (RFC 3830 §4.1.2, RFC 6043 §6.1).

use hmac::{Hmac, KeyInit, Mac, digest::Output};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::{Reject, ids::CsbId, wire::mikey::PrfFunc};

/// What a key derived from a pre-shared key is for: the constant of its label (RFC 3830 §4.1.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub(crate) enum Purpose {
    Encryption = 0x1505_33E1,
    Authentication = 0x2D22_AC75,
    Salt = 0x29B8_8916,
}

/// Label of a derivation: constant, crypto session, bundle, RAND (RFC 3830 §4.1.3).
pub(crate) struct Label<'a> {
    pub(crate) purpose: Purpose,
    pub(crate) csb: CsbId,
    pub(crate) rand: &'a [u8],
}

/// A pseudo-random function with its pre-shared key. Hashing the key is done once for all that is
/// derived from it.
pub(crate) enum Prf {
    Mikey1(Vec<Hmac<Sha1>>),
    HmacSha256(Vec<Hmac<Sha256>>),
}

impl Prf {
    /// Takes the key in, in blocks of 32 octets.
    ///
    /// A key of a multiple of 32 octets, such as a MUK, has no empty block behind it.
    ///
    /// # Errors
    /// [`Reject::MikeyUnsupported`] for another function, [`Reject::BadKeyData`] for an empty key,
    /// which the construction cannot represent.
    pub(crate) fn keyed(function: PrfFunc, inkey: &[u8]) -> Result<Self, Reject> {
        if inkey.is_empty() {
            return Err(Reject::BadKeyData);
        }
        match function {
            PrfFunc::MIKEY_1 => Ok(Self::Mikey1(blocks(inkey))),
            PrfFunc::HMAC_SHA_256 => Ok(Self::HmacSha256(blocks(inkey))),
            _ => Err(Reject::MikeyUnsupported),
        }
    }

    /// Fills `out`.
    pub(crate) fn derive(&self, label: &Label<'_>, out: &mut [u8]) {
        match self {
            Self::Mikey1(keyed) => expand(keyed, label, out),
            Self::HmacSha256(keyed) => expand(keyed, label, out),
        }
    }
}

impl Label<'_> {
    /// What stands before the RAND.
    fn head(&self) -> [u8; 9] {
        //= RFC 3830 §4.1.4: cs_id is 0xFF where the key is not for one crypto session
        let mut head = [0xff; 9];
        head[..4].copy_from_slice(&(self.purpose as u32).to_be_bytes());
        head[5..].copy_from_slice(&self.csb.0.to_be_bytes());
        head
    }
}

fn blocks<M: Mac + KeyInit>(inkey: &[u8]) -> Vec<M> {
    // HMAC takes a key of any length.
    inkey.chunks(32).filter_map(|block| <M as KeyInit>::new_from_slice(block).ok()).collect()
}

/// `P(s_1, label, m) XOR ... XOR P(s_n, label, m)` over the blocks of the key.
fn expand<M: Mac + Clone>(keyed: &[M], label: &Label<'_>, out: &mut [u8]) {
    let head = label.head();
    out.zeroize();
    for block in keyed {
        let mut a = Zeroizing::new([0; LONGEST_HASH]);
        let a = &mut a[..M::output_size()];
        let mut first = true;
        for part in out.chunks_mut(M::output_size()) {
            let next = if first { tag(block, &[&head, label.rand]) } else { tag(block, &[a]) };
            first = false;
            a.copy_from_slice(&next);
            let mut p = tag(block, &[a, &head, label.rand]);
            part.iter_mut().zip(&p).for_each(|(octet, p)| *octet ^= p);
            p.as_mut_slice().zeroize();
        }
    }
}

/// The keyed hash of the pieces, one after the other.
fn tag<M: Mac + Clone>(keyed: &M, pieces: &[&[u8]]) -> Output<M> {
    let mut mac = keyed.clone();
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes()
}

/// A keyed hash over the pieces, one after the other.
pub(crate) fn mac<M: Mac + KeyInit>(key: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    // HMAC takes a key of any length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().to_vec()
}

/// Octets of the longest hash there is here.
const LONGEST_HASH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_length_expand_as_a_second_implementation_expands_them() {
        let file = include_str!("../../tests/vectors/mikey-mbms.json");
        let file: serde_json::Value = serde_json::from_str(file).unwrap();
        let cases = file["prf"].as_array().unwrap();
        assert_eq!(cases.len(), 14);
        for case in cases {
            let octets = |name: &str| hex::decode(case[name].as_str().unwrap()).unwrap();
            let function =
                if case["prf"] == "MIKEY-1" { PrfFunc::MIKEY_1 } else { PrfFunc::HMAC_SHA_256 };
            let csb = CsbId(u32::try_from(case["csb"].as_u64().unwrap()).unwrap());
            let rand = octets("rand");
            let label = Label { purpose: Purpose::Encryption, csb, rand: &rand };
            let mut out = vec![0xff; 45];
            Prf::keyed(function, &octets("inkey")).unwrap().derive(&label, &mut out);
            assert_eq!(hex::encode(out), case["out"].as_str().unwrap(), "{case}");
        }
        assert_eq!(Prf::keyed(PrfFunc::MIKEY_1, &[]).err(), Some(Reject::BadKeyData));
    }
}
