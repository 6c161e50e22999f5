//! Session keys from a master key (RFC 3711 §4.3).

use zeroize::Zeroize;

use super::kernel::{
    Backend,
    cipher::{CipherKey, CtrJob, ctr_batch},
};
use crate::srtp::Cipher;

/// What a derived key is for (RFC 3711 §4.3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Label {
    RtpEncryption = 0x00,
    RtpAuthentication = 0x01,
    RtpSalt = 0x02,
    RtcpEncryption = 0x03,
    RtcpAuthentication = 0x04,
    RtcpSalt = 0x05,
}

/// The pseudo-random function: AES-CM under the master key, of the master key's size.
pub(crate) struct Kdf<'a> {
    key: CipherKey,
    salt: &'a [u8],
}

impl<'a> Kdf<'a> {
    /// Expands the master key once for all labels.
    ///
    /// A salt of 12 octets (GCM) is extended by two zero octets (RFC 7714, erratum 4938); a missing
    /// one counts as zero (RFC 3711 §3.2.1).
    pub(crate) fn new(master_key: &[u8], master_salt: &'a [u8]) -> Self {
        //= RFC 6188 §2: a longer master key means the AES of its size as PRF
        let cipher = match master_key.len() {
            24 => Cipher::AesCm192,
            32 => Cipher::AesCm256,
            _ => Cipher::AesCm128,
        };
        Self { key: CipherKey::new(cipher, master_key), salt: master_salt }
    }

    /// Fills `out` for a label. `r` is index DIV kdr, or 0 without a key derivation rate.
    pub(crate) fn derive(&self, label: Label, r: u64, out: &mut [u8]) {
        let mut iv = [0_u8; 16];
        for (place, octet) in iv.iter_mut().zip(self.salt).take(14) {
            *place = *octet;
        }
        //= RFC 3711 §4.3.1: key_id = label || r, XORed into the salt right-aligned
        // r keeps 48 bits for SRTCP too: what every deployed implementation does.
        iv[7] ^= label as u8;
        for (place, octet) in iv[8..14].iter_mut().zip(&r.to_be_bytes()[2..]) {
            *place ^= octet;
        }
        out.zeroize();
        ctr_batch(Backend::active(), &mut [CtrJob { key: &self.key, iv, data: out }]);
        iv.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> serde_json::Value {
        serde_json::from_str(text).unwrap()
    }

    fn octets(value: &serde_json::Value) -> Vec<u8> {
        hex::decode(value.as_str().unwrap()).unwrap()
    }

    fn label(number: u64) -> Label {
        use Label::*;
        [RtpEncryption, RtpAuthentication, RtpSalt, RtcpEncryption, RtcpAuthentication, RtcpSalt]
            [usize::try_from(number).unwrap()]
    }

    fn check(master_key: &[u8], salt: &[u8], number: u64, r: u64, expected: &[u8]) {
        let mut out = vec![0xff; expected.len()];
        Kdf::new(master_key, salt).derive(label(number), r, &mut out);
        assert_eq!(hex::encode(out), hex::encode(expected), "label {number}");
    }

    #[test]
    fn rfc3711_b3() {
        let file = file(include_str!("../../tests/vectors/rfc3711-b3-kdf.json"));
        let (key, salt) = (octets(&file["master_key"]), octets(&file["master_salt"]));
        for case in file["cases"].as_array().unwrap() {
            check(&key, &salt, case["label"].as_u64().unwrap(), 0, &octets(&case["out"]));
        }
    }

    #[test]
    fn rfc6188_sets_and_key_derivation_rates() {
        for text in [
            include_str!("../../tests/vectors/rfc6188-aes-192-256.json"),
            include_str!("../../tests/vectors/computed-kdr.json"),
        ] {
            let file = file(text);
            let sets = file["cases"].as_array().unwrap().iter().filter(|c| c["type"] == "kdf-set");
            let mut count = 0;
            for case in sets {
                let r = match case["kdr"].as_u64() {
                    Some(kdr) => case["index"].as_u64().unwrap() / kdr,
                    None => 0,
                };
                for (number, out) in case["out"].as_object().unwrap() {
                    let (key, salt) = (octets(&case["master_key"]), octets(&case["master_salt"]));
                    check(&key, &salt, number.parse().unwrap(), r, &octets(out));
                    count += 1;
                }
            }
            assert!(count >= 6);
        }
    }
}
