//! `inspect` on captures, hex and base64, with and without keys.

mod common;

use std::{os::unix::fs::PermissionsExt, process::Output};

use common::{
    Files, Issuer, assert_refused, base64, json_lines, pcap::Pcap, run, run_with_input, stdout,
    text,
};
use mcast_srtp::srtp::Profile;
use serde_json::Value;

/// The field with this name, however deep.
fn find<'a>(fields: &'a Value, name: &str) -> Option<&'a Value> {
    fields.as_array()?.iter().find_map(|field| {
        if field["name"] == name { Some(field) } else { find(&field["fields"], name) }
    })
}

fn value<'a>(packet: &'a Value, name: &str) -> &'a Value {
    &find(&packet["fields"], name).unwrap_or_else(|| panic!("no {name} in {packet:#}"))["value"]
}

/// A capture in which the media comes before its key, and one packet is forged.
fn capture(files: &Files, issuer: &mut Issuer) -> std::path::PathBuf {
    let mut pcap = Pcap::default();
    pcap.udp(2269, &issuer.msk_message(7));
    pcap.udp(49172, &issuer.taken());
    pcap.udp(49170, &issuer.media(65_535, b"speech"));
    pcap.udp(2269, &issuer.mtk_message());
    pcap.udp(2269, &issuer.mtk_message());
    pcap.udp(49170, &issuer.media(0, b"more speech"));
    let mut forged = issuer.media(1, b"forged");
    forged[14] ^= 1;
    pcap.udp(49170, &forged);
    let repeated = issuer.media(2, b"again");
    pcap.udp(49170, &repeated);
    pcap.udp(49170, &repeated);
    pcap.udp(9, &[0x20; 20]);
    pcap.udp(49172, &issuer.idle());
    let path = files.path("group.pcap");
    pcap.write(&path).unwrap();
    path
}

#[test]
fn capture_is_opened_with_a_verdict_for_each_packet() {
    let with_rcc = ["AES_CM_128_HMAC_SHA1_80+RCCm2:1", "AEAD_AES_128_GCM+RCCm3:1"];
    let with_rcc = with_rcc.map(|name| Profile::from_name(name).unwrap());
    let named = Profile::NAMED.iter().map(|(_, profile)| *profile);
    for profile in named.chain(with_rcc) {
        let (files, mut issuer) = (Files::new(), Issuer::new(profile));
        let capture = capture(&files, &mut issuer);
        let keys = files.write("keys.toml", issuer.muk_entry());
        let output = run(&["inspect", text(&capture), "--keys", text(&keys), "--json"]);
        assert_eq!(output.status.code(), Some(0));
        let lines = json_lines(&output);
        let verdicts: Vec<_> = lines.iter().filter_map(|line| line["verdict"].as_str()).collect();
        let expected = [
            "accepted",
            "accepted",
            "accepted",
            "accepted",
            "key_repeated",
            "accepted",
            "auth_failed",
            "accepted",
            "replayed",
            "unknown_protocol",
            "accepted",
        ];
        assert_eq!(verdicts, expected, "{profile}");

        assert_eq!(lines[0]["kind"], "msk_message");
        assert_eq!(value(&lines[0], "profile"), &profile.to_string());
        assert_eq!(value(&lines[0], "IDr"), "c1@bsf.example");
        assert_eq!(lines[1]["kind"], "burst_control");
        assert_eq!(value(&lines[1], "cname"), "sip:alice@example.com");
        assert_eq!(value(&lines[2], "payload"), &hex::encode("speech"));
        assert_eq!(value(&lines[2], "mki"), "000100010001");
        assert_eq!(value(&lines[5], "roc"), 1);
        assert_eq!(lines[5]["to"], "233.252.0.1:49170");

        let summary = &lines.last().unwrap()["summary"];
        assert_eq!(summary["packets"], 11);
        assert_eq!(summary["verdicts"]["srtp"]["accepted"], 3);
        assert_eq!(summary["verdicts"]["srtp"]["auth_failed"], 1);
        assert_eq!(summary["verdicts"]["mikey"]["key_repeated"], 1);
    }
}

#[test]
fn without_keys_all_that_is_readable_is_shown() {
    let (files, mut issuer) = (Files::new(), Issuer::new(Profile::AES_CM_128_HMAC_SHA1_32));
    let capture = capture(&files, &mut issuer);
    let output = stdout(&run(&["inspect", text(&capture)]));
    for part in [
        "MIKEY msk message",
        "MBMS Key Domain ID",
        "00f110",
        "IDi                              bmsc.example (URI)",
        "authentication tag length",
        "encrypted key data",
        "sequence number                  65535",
        "mki                            000100010001 (at octet 18)",
        "subtype                          2 (taken, if it is burst control)",
        "mikey",
        "3 not_opened",
    ] {
        assert!(output.to_lowercase().contains(&part.to_lowercase()), "{part:?} in\n{output}");
    }
    assert!(!output.contains(&hex::encode("speech")), "{output}");
}

#[test]
fn key_file_may_bring_the_msk_message_or_the_traffic_key() {
    let (files, mut issuer) = (Files::new(), Issuer::new(Profile::AEAD_AES_128_GCM));
    let message = format!("[[msk_message]]\nbase64 = \"{}\"\n", base64(&issuer.msk_message(1)));
    let mtk_message = hex::encode(issuer.mtk_message());
    let media = hex::encode(issuer.media(1, b"speech"));
    for (keys, input) in [
        (issuer.muk_entry() + &message, format!("{mtk_message}\n{media}\n")),
        (issuer.mtk_entry(), format!("{media}\n")),
    ] {
        let keys = files.write("keys.toml", keys);
        let output = run_with_input(&["inspect", "-", "--keys", text(&keys), "--json"], &input);
        let lines = json_lines(&output);
        let packet = &lines[lines.len() - 2];
        assert_eq!(packet["verdict"], "accepted", "{packet:#}");
        assert_eq!(value(packet, "payload"), &hex::encode("speech"));
    }
}

#[test]
fn keylog_opens_the_same_media_without_any_mikey() {
    for profile in [Profile::AES_256_CM_HMAC_SHA1_32, Profile::AEAD_AES_128_GCM] {
        let (files, mut issuer) = (Files::new(), Issuer::new(profile));
        let capture = capture(&files, &mut issuer);
        let (keys, keylog) = (files.write("keys.toml", issuer.muk_entry()), files.path("log.toml"));
        let media = |output: &Output| {
            let lines = json_lines(output).into_iter();
            lines.filter(|line| line["protocol"] == "srtp").collect::<Vec<_>>()
        };
        let inspect = ["inspect", text(&capture), "--json", "--keys"];
        let opened = run(&[&inspect[..], &[text(&keys), "--keylog", text(&keylog)]].concat());
        let again = run(&[&inspect[..], &[text(&keylog)]].concat());
        assert_eq!(media(&opened), media(&again));
        assert_eq!(media(&again)[0]["verdict"], "accepted");
        assert_eq!(std::fs::metadata(&keylog).unwrap().permissions().mode() & 0o777, 0o600);

        let log = std::fs::read_to_string(&keylog).unwrap();
        let secrets = ["31".repeat(16), "32".repeat(12)];
        assert!(secrets.iter().all(|secret| log.contains(secret)), "{log}");
        for output in [opened, again] {
            let printed = stdout(&output);
            assert!(!secrets.iter().any(|secret| printed.contains(secret)), "{printed}");
        }
    }
}

#[test]
fn keylog_writes_over_no_file_and_needs_keys() {
    let (files, mut issuer) = (Files::new(), Issuer::new(Profile::default()));
    let capture = capture(&files, &mut issuer);
    let keys = files.write("keys.toml", issuer.muk_entry());
    let inspect = ["inspect", text(&capture), "--keylog", text(&keys)];
    assert_refused(&run(&inspect), &["--keys"]);
    let output = run(&[&inspect[..], &["--keys", text(&keys)]].concat());
    assert_refused(&output, &["keys.toml", "exists"]);
    assert_eq!(std::fs::read_to_string(&keys).unwrap(), issuer.muk_entry());
}

#[test]
fn base64_of_a_session_description_is_opened() {
    let (files, issuer) = (Files::new(), Issuer::new(Profile::default()));
    let keys = files.write("keys.toml", issuer.muk_entry());
    let sdp = format!(
        "v=0\r\no=poc 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\na=key-mgmt:mikey {}\r\n",
        base64(&issuer.msk_message(3)),
    );
    let output = run_with_input(&["inspect", "-", "--keys", text(&keys), "--json"], &sdp);
    let lines = json_lines(&output);
    assert_eq!((lines.len(), &lines[0]["verdict"]), (2, &Value::from("accepted")));
    assert_eq!(value(&lines[0], "T"), 3);
    assert_eq!(value(&lines[0], "mtk ids"), "0000 to 0064");
}

#[test]
fn verification_message_is_checked_against_the_message_it_answers() {
    let (files, issuer) = (Files::new(), Issuer::new(Profile::default()));
    let keys = files.write("keys.toml", issuer.muk_entry());
    let sent = issuer.msk_message(9);
    let answer = issuer.verification(&sent);
    let mut forged = answer.clone();
    *forged.last_mut().unwrap() ^= 1;
    let lines = [&answer, &sent, &answer, &forged].map(|octets| base64(octets)).join("\n");
    let output = run_with_input(&["inspect", "-", "--keys", text(&keys), "--json"], &lines);
    let lines = json_lines(&output);
    let verdicts: Vec<_> = lines.iter().filter_map(|line| line["verdict"].as_str()).collect();
    assert_eq!(verdicts, ["unknown_muk", "accepted", "accepted", "key_auth_failed"]);
    assert_eq!(lines[2]["kind"], "verification_message");
    assert_eq!(value(&lines[2], "answers counter"), 9);
}

#[test]
fn plain_burst_control_is_read_as_it_is() {
    let idle = "85cc0002 00000007 506f4331\n";
    let lines = json_lines(&run_with_input(&["inspect", "-", "--json"], idle));
    assert_eq!(lines[0]["verdict"], "not_protected");
    assert_eq!(find(&lines[0]["fields"], "burst control").unwrap()["meaning"], "idle");
}

#[test]
fn messages_of_wrong_keys_have_their_verdict() {
    let (files, issuer) = (Files::new(), Issuer::new(Profile::default()));
    let wrong = issuer.muk_entry().replacen("1111", "1211", 1);
    let input = format!("{}\n{}\n", base64(&issuer.msk_message(1)), base64(&issuer.mtk_message()));
    let keys = files.write("keys.toml", wrong);
    let lines =
        json_lines(&run_with_input(&["inspect", "-", "--keys", text(&keys), "--json"], &input));
    assert_eq!(lines[0]["verdict"], "key_auth_failed");
    assert_eq!(lines[1]["verdict"], "unknown_msk");
    let keys = files.write("keys.toml", "");
    let lines =
        json_lines(&run_with_input(&["inspect", "-", "--keys", text(&keys), "--json"], &input));
    assert_eq!(lines[0]["verdict"], "unknown_muk");
}

#[test]
fn damaged_packets_get_a_verdict_and_never_end_the_program() {
    let mut issuer = Issuer::new(Profile::default());
    let packets =
        [issuer.msk_message(1), issuer.mtk_message(), issuer.media(1, b"speech"), issuer.taken()];
    let files = Files::new();
    let keys = files.write("keys.toml", issuer.muk_entry());
    let mut input = String::new();
    for packet in &packets {
        for len in 1..packet.len() {
            input += &hex::encode(&packet[..len]);
            input += "\n";
        }
    }
    let output = run_with_input(&["inspect", "-", "--keys", text(&keys), "--json"], &input);
    assert_eq!(output.status.code(), Some(0));
    let lines = json_lines(&output);
    let total: usize = packets.iter().map(|packet| packet.len() - 1).sum();
    assert_eq!(lines.len(), total + 1);
    assert!(lines.iter().all(|line| line["verdict"] != "accepted"));
}

#[test]
fn input_without_packets_fails_and_input_of_no_known_form_is_refused() {
    let empty = run_with_input(&["inspect", "-"], "# nothing\n");
    assert_eq!(empty.status.code(), Some(1));
    assert_refused(&run_with_input(&["inspect", "-"], "hello\n"), &["line 1", "base64"]);
}
