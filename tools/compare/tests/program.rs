//! The program at its smallest: everybody opens the same packets to the same octets.

use std::process::Command;

use serde_json::Value;

#[test]
fn every_contender_agrees_and_is_timed() {
    let output = Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(["--suite", "AES_CM_128_HMAC_SHA1_80,AEAD_AES_256_GCM", "--payload", "0,mix"])
        .args(["--batch", "1,8", "--ssrcs", "1,100", "--rounds", "1", "--packets", "64", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = report["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 16);
    let absent = report["not_run"].as_array().unwrap().len();
    for line in lines {
        let contenders = line["contenders"].as_array().unwrap();
        assert_eq!(contenders.len(), 4 - absent, "{report}");
        assert!(contenders.iter().all(|c| c["ns"]["min"].as_f64().unwrap() > 0.0), "{line}");
        assert_eq!(contenders[0]["ratio"]["median"], 1.0);
    }
}

#[test]
fn suites_and_kernels_that_do_not_exist_are_usage() {
    for arguments in [["--suite", "ROT13"], ["--backend", "abacus"], ["--batch", "65"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_compare")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
