//! What the program says when it is called in a way that cannot work.

mod common;

use common::{Files, Issuer, assert_refused, base64, run, stdout, text};
use mcast_srtp::srtp::Profile;

const SDP: &str = "v=0\r\no=poc 1 1 IN IP4 127.0.0.1\r\ns=Group 17\r\nt=0 0\r\n\
    c=IN IP4 239.255.72.1/1\r\nm=audio 20170 RTP/SAVP 97\r\na=rtpmap:97 AMR/8000/1\r\n";

fn issuer() -> Issuer {
    Issuer::new(Profile::default())
}

/// Runs `recv` with this description and key file.
fn recv(sdp: &str, keys: &str, more: &[&str]) -> std::process::Output {
    let files = Files::new();
    let sdp = files.write("group.sdp", sdp);
    let keys = files.write("keys.toml", keys);
    let mut args = vec!["recv", "--sdp", text(&sdp), "--keys", text(&keys)];
    args.extend(more);
    run(&args)
}

#[test]
fn version_tells_the_crypto_back_end_when_asked() {
    let plain = run(&["--version"]);
    assert_eq!(stdout(&plain), format!("mcast-srtp {}\n", env!("CARGO_PKG_VERSION")));
    let more = stdout(&run(&["--version", "-v"]));
    assert!(more.contains("crypto back end: "), "{more}");
}

#[test]
fn unknown_commands_and_values_end_with_code_2() {
    assert_refused(&run(&[]), &["Usage"]);
    assert_refused(&run(&["fly"]), &["fly"]);
    assert_refused(&run(&["demo", "--seconds", "1"]), &["2..=3600"]);
    assert_refused(&run(&["demo", "--profile", "ROT13"]), &["ROT13", "AEAD_AES_256_GCM"]);
    assert_refused(&run(&["recv", "--keys", "keys.toml"]), &["--sdp"]);
    let args = ["recv", "--sdp", "a", "--keys", "b", "--to", "192.0.2.1"];
    assert_refused(&run(&args), &["HOST:PORT"]);
}

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in ["demo", "recv", "inspect", "key-server", "ctl"] {
        let help = stdout(&run(&[command, "--help"]));
        assert!(help.contains("Example:"), "{help}");
    }
}

#[test]
fn missing_files_are_named() {
    let args = ["recv", "--sdp", "no.sdp", "--keys", "no.toml"];
    assert_refused(&run(&args), &["no.toml", "cannot read"]);
    assert_refused(&run(&["inspect", "no.pcap"]), &["no.pcap", "cannot be read"]);
    let files = Files::new();
    let keys = files.write("keys.toml", "");
    assert_refused(&run(&["recv", "--sdp", "no.sdp", "--keys", text(&keys)]), &["no.sdp"]);
}

#[test]
fn key_file_with_a_short_key_is_refused_with_its_place() {
    let keys = issuer().muk_entry().replacen("1111", "11", 1);
    let told = ["keys.toml:4", "[[muk]] entry 1, field key", "62 hex digits", "64"];
    assert_refused(&recv(SDP, &keys, &[]), &told);
}

#[test]
fn description_with_broken_base64_is_refused_with_its_line() {
    let message = base64(&issuer().msk_message(1));
    let broken = format!("{SDP}a=key-mgmt:mikey {}\r\n", message.replacen('A', "$", 1));
    assert_refused(&recv(&broken, &issuer().muk_entry(), &[]), &["group.sdp", "key-mgmt"]);
}

#[test]
fn group_that_is_not_multicast_is_refused() {
    let sdp = SDP.replace("239.255.72.1/1", "192.0.2.1");
    assert_refused(&recv(&sdp, &issuer().muk_entry(), &[]), &["192.0.2.1", "multicast"]);
}

#[test]
fn unknown_interface_is_refused_with_those_there_are() {
    let output = recv(SDP, &issuer().muk_entry(), &["--iface", "eth99"]);
    assert_refused(&output, &["eth99", "lo"]);
}

#[test]
fn outputs_that_cannot_be_opened_are_named() {
    let keys = issuer().muk_entry();
    for option in ["--rtpdump", "--events"] {
        let output = recv(SDP, &keys, &["--iface", "127.0.0.1", option, "/no/such/folder/file"]);
        assert_refused(&output, &["/no/such/folder/file", "cannot be written"]);
    }
}

#[test]
fn msk_message_under_another_muk_fails_the_reception() {
    let sdp = format!("{SDP}a=key-mgmt:mikey {}\r\n", base64(&issuer().msk_message(1)));
    let keys = issuer().muk_entry().replacen("1111", "1211", 1);
    let output = recv(&sdp, &keys, &["--iface", "127.0.0.1", "--mikey-port", "20179"]);
    assert_eq!(output.status.code(), Some(1));
    let told = common::stderr(&output);
    assert!(told.contains("key_auth_failed") && told.contains("mcast-srtp inspect"), "{told}");
}
