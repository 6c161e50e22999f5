//! Published vectors of AES-CM and AES-GCM, on every back end this processor has.

use serde_json::Value;

use super::{
    Backend,
    cipher::{CipherKey, CtrJob, GcmJob, ctr_batch, gcm_open_batch, gcm_seal_batch},
};
use crate::srtp::Cipher;

#[test]
fn keystream_of_65282_blocks_as_rfc3711_b2_and_rfc6188_print_it() {
    let files = [
        include_str!("../../../tests/vectors/rfc3711-b2-aes-cm.json"),
        include_str!("../../../tests/vectors/rfc6188-aes-192-256.json"),
    ];
    let cases = files.iter().flat_map(|file| cases(file)).filter(|c| c["type"] != "kdf-set");
    let mut seen = 0;
    for case in cases {
        let cipher = match octets(&case["session_key"]).len() {
            16 => Cipher::AesCm128,
            24 => Cipher::AesCm192,
            _ => Cipher::AesCm256,
        };
        let key = CipherKey::new(cipher, &octets(&case["session_key"]));
        //= RFC 3711 §4.1.1: with SSRC and index zero the first counter block is the salt, shifted
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&octets(&case["session_salt"]));
        for &backend in Backend::available() {
            let mut data = vec![0; 16 * 65282];
            ctr_batch(backend, &mut [CtrJob { key: &key, iv, data: &mut data }]);
            assert_eq!(data[..48], joined(&case["first3"]), "{backend} {}", case["id"]);
            assert_eq!(data[16 * 65279..], joined(&case["last3"]), "{backend} {}", case["id"]);
        }
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn srtp_packets_of_rfc7714_16_open_and_seal() {
    let text = include_str!("../../../tests/vectors/rfc7714-srtp-aes-gcm.json");
    let file: Value = serde_json::from_str(text).unwrap();
    let (plain, iv) = (octets(&file["rtp"]), octets(&file["iv"]));
    for case in cases(text) {
        let srtp = octets(&case["srtp"]);
        let (body, tag) = srtp.split_last_chunk::<16>().unwrap();
        // A packet that is authenticated only is all associated data.
        let header = if case["encrypt"] == true { 12 } else { plain.len() };
        check(&Vector {
            name: case["id"].as_str().unwrap(),
            key: &octets(&case["session_key"]),
            iv: iv[..].try_into().unwrap(),
            aad: [&body[..header], &[]],
            plain: &plain[header..],
            sealed: &body[header..],
            tag,
        });
    }
}

#[test]
fn srtcp_packets_of_rfc7714_17_open_and_seal() {
    let text = include_str!("../../../tests/vectors/rfc7714-srtcp-aes-gcm.json");
    let file: Value = serde_json::from_str(text).unwrap();
    let (plain, iv) = (octets(&file["rtcp"]), octets(&file["iv"]));
    for case in cases(text) {
        let srtcp = octets(&case["srtcp"]);
        let (rest, e_word) = srtcp.split_last_chunk::<4>().unwrap();
        let (body, tag) = rest.split_last_chunk::<16>().unwrap();
        let header = if case["e"] == 1 { 8 } else { plain.len() };
        check(&Vector {
            name: case["id"].as_str().unwrap(),
            key: &octets(&case["session_key"]),
            iv: iv[..].try_into().unwrap(),
            aad: [&body[..header], e_word],
            plain: &plain[header..],
            sealed: &body[header..],
            tag,
        });
    }
}

struct Vector<'a> {
    name: &'a str,
    key: &'a [u8],
    iv: [u8; 12],
    aad: [&'a [u8]; 2],
    plain: &'a [u8],
    sealed: &'a [u8],
    tag: &'a [u8; 16],
}

fn check(v: &Vector<'_>) {
    let cipher = if v.key.len() == 16 { Cipher::AesGcm128 } else { Cipher::AesGcm256 };
    let key = &CipherKey::new(cipher, v.key);
    for &backend in Backend::available() {
        let mut data = v.plain.to_vec();
        let mut job = GcmJob { key, iv: v.iv.into(), aad: v.aad, data: &mut data, tag: [0; 16] };
        gcm_seal_batch(backend, std::slice::from_mut(&mut job));
        assert_eq!(job.data, v.sealed, "{backend} {}", v.name);
        assert_eq!(job.tag, *v.tag, "{backend} {}", v.name);

        let mut ok = [false];
        gcm_open_batch(backend, std::slice::from_mut(&mut job), &mut ok);
        assert_eq!((&*job.data, ok), (v.plain, [true]), "{backend} {}", v.name);
    }
}

fn cases(file: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn octets(text: &Value) -> Vec<u8> {
    hex::decode(text.as_str().unwrap()).unwrap()
}

fn joined(blocks: &Value) -> Vec<u8> {
    blocks.as_array().unwrap().iter().flat_map(octets).collect()
}
