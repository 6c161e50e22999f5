//! The pseudo-random functions of MIKEY (RFC 3830 §4.1.2, RFC 6043 §6.1).

use hmac::{Hmac, KeyInit, Mac};
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

/// Fills `out` from a pre-shared key.
///
/// # Errors
/// [`Reject::MikeyUnsupported`] for another function, [`Reject::BadKeyData`] for an empty key, which
/// the construction cannot represent.
pub(crate) fn derive(
    function: PrfFunc,
    inkey: &[u8],
    label: &Label<'_>,
    out: &mut [u8],
) -> Result<(), Reject> {
    if inkey.is_empty() {
        return Err(Reject::BadKeyData);
    }
    let label = label.octets();
    match function {
        PrfFunc::MIKEY_1 => expand::<Hmac<Sha1>>(inkey, &label, out),
        PrfFunc::HMAC_SHA_256 => expand::<Hmac<Sha256>>(inkey, &label, out),
        _ => return Err(Reject::MikeyUnsupported),
    }
    Ok(())
}

impl Label<'_> {
    fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(9 + self.rand.len());
        octets.extend((self.purpose as u32).to_be_bytes());
        //= RFC 3830 §4.1.4: cs_id is 0xFF where the key is not for one crypto session
        octets.push(0xff);
        octets.extend(self.csb.0.to_be_bytes());
        octets.extend(self.rand);
        octets
    }
}

/// `P(s_1, label, m) XOR ... XOR P(s_n, label, m)` over blocks of 32 octets of the key.
///
/// A key of a multiple of 32 octets, such as a MUK, has no empty block behind it.
fn expand<M: Mac + KeyInit>(inkey: &[u8], label: &[u8], out: &mut [u8]) {
    out.zeroize();
    for block in inkey.chunks(32) {
        let mut a = Zeroizing::new(label.to_vec());
        for part in out.chunks_mut(M::output_size()) {
            a = Zeroizing::new(mac::<M>(block, &[&a]));
            let p = Zeroizing::new(mac::<M>(block, &[&a, label]));
            part.iter_mut().zip(p.iter()).for_each(|(octet, p)| *octet ^= p);
        }
    }
}

/// A keyed hash over the pieces, one after the other.
pub(crate) fn mac<M: Mac + KeyInit>(key: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    // HMAC takes a key of any length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().to_vec()
}

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
            derive(function, &octets("inkey"), &label, &mut out).unwrap();
            assert_eq!(hex::encode(out), case["out"].as_str().unwrap(), "{case}");
        }
        let label = Label { purpose: Purpose::Salt, csb: CsbId(0), rand: &[] };
        let empty = derive(PrfFunc::MIKEY_1, &[], &label, &mut [0]);
        assert_eq!(empty, Err(Reject::BadKeyData));
    }
}
