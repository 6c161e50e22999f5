//! The demo: an expelled client opens nothing, and nobody else loses a packet.

mod common;

use common::{program, run, stderr, stdout};
use mcast_srtp::srtp::Profile;
use serde_json::Value;

/// Checks the figures of a demo of three seconds.
fn assert_shown(figures: &Value, profile: &str) {
    assert_eq!(figures["ok"], true, "{figures:#}");
    assert_eq!(figures["profile"], profile);
    let sent = figures["sent_media"].as_u64().unwrap();
    assert!(sent > 100 && figures["sent_burst"].as_u64().unwrap() >= 2, "{figures:#}");
    let clients = figures["clients"].as_array().unwrap();
    let names: Vec<_> = clients.iter().filter_map(|client| client["name"].as_str()).collect();
    assert_eq!(names, ["c1", "c2", "c3"]);
    for client in &clients[..2] {
        assert_eq!((&client["media_delivered"], &client["media_lost"]), (&sent.into(), &0.into()));
        assert_eq!(client["burst_events"], figures["sent_burst"]);
        assert!(client["delivered_after_expulsion"].as_u64().unwrap() > 0, "{figures:#}");
    }
    let expelled = &clients[2];
    assert_eq!(expelled["delivered_after_expulsion"], 0);
    assert!(expelled["media_delivered"].as_u64().unwrap() > 0);
    assert!(expelled["media_delivered"].as_u64().unwrap() < sent);
}

#[test]
fn expelled_client_opens_nothing_under_every_profile_and_nobody_else_loses_a_packet() {
    let start = |profile: &str| {
        let mut demo = program();
        demo.args(["demo", "--seconds", "3", "--json", "--profile", profile]);
        demo.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        demo.spawn().unwrap()
    };
    let with_rcc = [
        "AES_CM_128_HMAC_SHA1_80+RCCm1:1",
        "AES_CM_128_HMAC_SHA1_80+RCCm2:50",
        "AEAD_AES_128_GCM+RCCm3:50",
    ];
    let names = Profile::NAMED.iter().map(|(name, _)| *name).chain(with_rcc);
    let demos: Vec<_> = names.map(|name| (name, start(name))).collect();
    for (profile, demo) in demos {
        let output = demo.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{profile}: {}", stderr(&output));
        let lines = common::json_lines(&output);
        assert_eq!(lines.len(), 1);
        assert_shown(&lines[0], profile);
    }
}

#[test]
fn timeline_tells_the_story_in_its_order() {
    let output = run(&["demo", "--seconds", "3"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let story = stdout(&output);
    let mut rest = story.as_str();
    for part in [
        "MSK 00010001, under the MUK of each, to c1, c2, c3",
        "c1 c2 c3     Taken: Alice talks",
        "new MTK, on command",
        "packets carry MKI 000100010002",
        "MSK update begins: 00010002, because of lifetime",
        "packets carry MKI 000100020001",
        "c3 is expelled",
        "MSK 00010003, under the MUK of each, to c1, c2\n",
        "packets carry MKI 000100030001",
        "c3           gets packets for which it has no key",
        "client  media  lost",
        "\nok\n",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not in order in\n{story}"));
        rest = &rest[at + part.len()..];
    }
}
