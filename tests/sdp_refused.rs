//! A description that cannot work is refused, with the line and what is wrong with it.

#![cfg(feature = "sdp")]

use mcast_srtp::{
    group::{GroupSpec, Interface, MediaSpec},
    ids::{CsbId, KeyDomainId, MskId, MtkId, Roc, Ssrc},
    keys::{
        CryptoSession, Interval, Msk, Muk, MukId,
        issue::{MskIssue, seal_msk},
    },
    secret::{Secret, SecretBytes},
    srtp::Profile,
    wire::sdp::{Description, MAX_LEN, Origin},
};
use proptest::{collection::vec, prelude::*};

const HEAD: &str = "v=0\r\no=poc 1 1 IN IP4 192.0.2.10\r\ns=Group 17\r\nt=0 0\r\n";

fn refusal(lines: &str) -> String {
    let text = format!("{HEAD}{}\r\n", lines.replace('\n', "\r\n"));
    GroupSpec::from_sdp(&text, Interface::Any).unwrap_err().to_string()
}

/// Lines, and words of the message.
fn assert_refused(cases: &[(&str, &[&str])]) {
    for (lines, words) in cases {
        let error = refusal(lines);
        for word in *words {
            assert!(error.contains(word), "{lines:?}: {error}");
        }
    }
}

#[test]
fn addresses_that_cannot_be_joined() {
    assert_refused(&[
        ("c=IN IP4 239.1.1.1\nm=audio 5004 RTP/SAVP 0", &["c=IN IP4 239.1.1.1", "no TTL"]),
        ("c=IN IP4 239.1.1.1/x\nm=audio 5004 RTP/SAVP 0", &["c=IN IP4 239.1.1.1/x"]),
        ("c=IN IP4 239.1.1.1/256\nm=audio 5004 RTP/SAVP 0", &["239.1.1.1/256"]),
        ("c=IN IP4 239.1.1.1/9/0\nm=audio 5004 RTP/SAVP 0", &["not so many groups"]),
        ("c=IN IP4 239.255.255.255/9/2\nm=audio 5004 RTP/SAVP 0", &["not so many groups"]),
        ("c=IN IP4 192.0.2.1\nm=audio 5004 RTP/SAVP 0", &["192.0.2.1", "not a multicast"]),
        ("c=IN IP4 192.0.2.1/9\nm=audio 5004 RTP/SAVP 0", &["only a group has a TTL"]),
        ("c=IN IP6 2001:db8::1\nm=audio 5004 RTP/SAVP 0", &["2001:db8::1", "not a multicast"]),
        ("c=IN IP4 ff15::1\nm=audio 5004 RTP/SAVP 0", &["not of the type"]),
        ("c=IN IP6 239.1.1.1\nm=audio 5004 RTP/SAVP 0", &["not of the type"]),
        ("c=IN IP8 239.1.1.1/9\nm=audio 5004 RTP/SAVP 0", &["IP8", "neither IP4 nor IP6"]),
        ("c=ATM NSAP 47.0091\nm=audio 5004 RTP/SAVP 0", &["network type is not IN"]),
        ("c=IN IP4 group.example/9\nm=audio 5004 RTP/SAVP 0", &["group.example"]),
        ("m=audio 5004 RTP/SAVP 0", &["m=audio 5004", "no c= line"]),
        ("c=IN IP4 232.1.1.1/9\nm=audio 5004 RTP/SAVP 0", &["source-specific"]),
    ]);
}

#[test]
fn ports_and_formats_that_cannot_be() {
    assert_refused(&[
        ("c=IN IP4 239.1.1.1/9\nm=audio 0 RTP/SAVP 0", &["m=audio 0", "port 0"]),
        ("c=IN IP4 239.1.1.1/9\nm=audio 65536 RTP/SAVP 0", &["port"]),
        ("c=IN IP4 239.1.1.1/9\nm=audio 65535 RTP/SAVP 0", &["no port for RTCP"]),
        ("c=IN IP4 239.1.1.1/9\nm=audio 65534/2 RTP/SAVP 0", &["not so many ports"]),
        ("c=IN IP4 239.1.1.1/9\nm=audio 5004/0 RTP/SAVP 0", &["not so many ports"]),
        ("c=IN IP4 239.1.1.1/9/3\nm=audio 5004/2 RTP/SAVP 0", &["3 addresses", "2 ports"]),
        ("c=IN IP4 239.1.1.1/9\nm=audio 5004/300 RTP/SAVP 0", &["more than 256 media"]),
        ("c=IN IP4 239.1.1.1/9\nm=audio 5004 RTP/SAVP 128", &["\"128\"", "payload type"]),
        ("c=IN IP4 239.1.1.1/9\nm=audio 5004 RTP/SAVP opus", &["\"opus\"", "payload type"]),
        ("c=IN IP4 239.1.1.1/9\nm=audio 9 UDP/TLS/RTP/SAVP 0", &["no medium to join"]),
        ("c=IN IP4 239.1.1.1/9", &["no medium to join"]),
    ]);
}

#[test]
fn one_broken_key_message_fails_the_whole() {
    let medium = "c=IN IP4 239.1.1.1/9\na=key-mgmt:mikey AQIDBA==\nm=audio 5004 RTP/SAVP 0\n";
    for (line, word) in [
        ("a=key-mgmt:mikey AQIDBA", "not base64"),
        ("a=key-mgmt:mikey AQ*DBA==", "not base64"),
        ("a=key-mgmt:mikey AQIDBA== ", "not base64"),
        ("a=key-mgmt:mikey", "mikey BASE64"),
        ("a=key-mgmt", "no value"),
        ("a=key-mgmt:MIKEY AQIDBA==", "only mikey is supported"),
        ("a=key-mgmt:other AAAA", "offers other"),
    ] {
        let error = refusal(&format!("{medium}{line}"));
        assert!(error.contains("a=key-mgmt") && error.contains(word), "{line}: {error}");
    }
}

#[test]
fn description_from_which_a_protocol_was_taken_away() {
    let line = |listed| {
        let muk_id = MukId { idi: "bmsc.example".into(), idr: "c1@bsf.example".into() };
        let msk = Msk { key: SecretBytes::new(&[3; 16]), rand: vec![4; 16] };
        let issue = MskIssue {
            domain: KeyDomainId([0x00, 0xf1, 0x10]),
            msk_id: MskId { group: 1, number: 1 },
            msk: &msk,
            interval: Interval { low: MtkId(0), high: MtkId(9) },
            counter: 1,
            csb: CsbId(0),
            muk_id: &muk_id,
            verify: false,
            profile: Profile::default(),
            sessions: &[CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(0) }],
            sdp_ids: listed,
        };
        let message = seal_msk(&issue, &Muk(Secret::new([1; 32]))).unwrap();
        let data = GroupSpec::new("Group 17", Interface::Any)
            .with_media(MediaSpec::burst("239.1.1.1".parse().unwrap(), 5004))
            .with_key_message(message)
            .to_sdp(Origin::new(1, "192.0.2.10".parse().unwrap()))
            .unwrap();
        data.lines().find(|line| line.starts_with("a=key-mgmt:")).unwrap().to_owned()
    };
    let with = |lines: &str| format!("c=IN IP4 239.1.1.1/9\n{lines}\nm=audio 5004 RTP/SAVP 0");
    let other = "a=key-mgmt:other AAAA";
    let error = refusal(&with(&line(Some("other;mikey"))));
    assert!(error.contains("offers mikey") && error.contains("lists other;mikey"), "{error}");
    let error = refusal(&with(&format!("{other}\n{}", line(Some("mikey")))));
    assert!(error.contains("offers other;mikey"), "{error}");
    for lines in [
        line(None),
        line(Some("mikey")),
        format!("{other}\n{}", line(None)),
        format!("{other}\n{}", line(Some("other;mikey"))),
    ] {
        let text = format!("{HEAD}{}\r\n", with(&lines).replace('\n', "\r\n"));
        GroupSpec::from_sdp(&text, Interface::Any).unwrap();
    }
}

#[test]
fn source_filters_that_say_nothing() {
    let with = |line: &str| format!("c=IN IP4 239.1.1.1/9\n{line}\nm=audio 5004 RTP/SAVP 0");
    for (line, word) in [
        ("a=source-filter: incl IN IP4 239.1.1.1", "Source list"),
        ("a=source-filter: incl IN IP4 239.1.1.1/9 192.0.2.1", "239.1.1.1/9"),
        ("a=source-filter: only IN IP4 239.1.1.1 192.0.2.1", "only"),
        ("a=source-filter: incl IN IP4 239.1.1.1 host.example", "names are not looked up"),
        ("a=source-filter: incl IN * group.example 192.0.2.1", "not looked up"),
        ("a=source-filter: incl IN IP4 239.1.1.1 2001:db8::1", "address type"),
        ("a=source-filter: incl TN IP4 239.1.1.1 192.0.2.1", "not IN"),
        ("a=source-filter: incl IN IP4 239.1.1.1 239.1.1.2", "no host"),
        ("a=source-filter", "no value"),
    ] {
        let error = refusal(&with(line));
        assert!(error.contains(word), "{line}: {error}");
    }
    let twice =
        "a=source-filter: incl IN IP4 * 192.0.2.1\na=source-filter: excl IN IP4 * 192.0.2.2";
    assert!(refusal(&with(twice)).contains("second filter"));
}

#[test]
fn attributes_whose_values_do_not_exist() {
    for (line, word) in [
        ("a=SRTPAuthentication:1", "2, 3 and 4"),
        ("a=SRTPAuthentication:5", "2, 3 and 4"),
        ("a=SRTPAuthentication:", "not a number"),
        ("a=SRTPROCTxRate:0", "1 to 65535"),
        ("a=SRTPROCTxRate:65536", "not a number"),
        ("a=stkmstream:0", "1 to 65535"),
        ("a=ssrc:4294967296 cname:x", "not a number"),
        ("a=ssrc:1", "second word"),
        ("a=rtpmap:97", "second word"),
        ("a=rtpmap:+7 AMR/8000", "not a number"),
        ("a=rtcp:x", "x"),
        ("a=rtcp:5005 IN IP4 nowhere", "nowhere"),
        ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA", "key and salt have 3 octets"),
    ] {
        let error = refusal(&format!("c=IN IP4 239.1.1.1/9\nm=audio 5004 RTP/SAVP 97\n{line}"));
        assert!(error.contains(word), "{line}: {error}");
    }
    let version = "a=bcastversion:1\nc=IN IP4 239.1.1.1/9\nm=audio 5004 RTP/SAVP 97";
    assert!(refusal(version).contains("major.minor"));
}

#[test]
fn text_that_is_no_description() {
    for text in ["", "hello", "s=x\r\n", "v=1\r\n", "v=0\r\nnonsense\r\n", "v=0\r\nc=IN\r\n"] {
        let error = Description::parse(text).unwrap_err().to_string();
        assert!(error.contains("session description: "), "{text:?}: {error}");
    }
    let long = format!("{HEAD}{}", "a=x\r\n".repeat(MAX_LEN / 5));
    assert!(Description::parse(&long).unwrap_err().to_string().contains("longer than"));
}

#[test]
fn no_cut_of_a_description_panics() {
    let text = format!(
        "{HEAD}c=IN IP4 239.1.1.1/9\r\na=key-mgmt:mikey AQIDBA==\r\n\
         a=source-filter incl IN IP4 * 192.0.2.1\r\nm=audio 5004/2 RTP/SAVP 97\r\n\
         a=rtcp:5005 IN IP4 239.1.1.2\r\na=ssrc:1 cname:é\r\na=crypto:1 AEAD_AES_128_GCM \
         inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==|2^31|1:4 KDR=3\r\n"
    );
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        let _verdict = GroupSpec::from_sdp(&text[..end], Interface::Any);
        let _verdict = GroupSpec::from_sdp(&text[end..], Interface::Any);
    }
}

proptest! {
    #[test]
    fn no_damage_to_a_description_panics(damage in vec((0..400usize, any::<char>()), 1..8)) {
        let text = format!(
            "{HEAD}c=IN IP4 239.1.1.1/9/2\r\na=key-mgmt:mikey AQIDBA==\r\n\
             a=source-filter: excl IN IP4 * 192.0.2.1\r\nm=audio 5004/2 RTP/SAVP 97\r\n\
             a=rtpmap:97 AMR/8000\r\na=rtcp:5005\r\na=ssrc:1 cname:x\r\nb=RS:0\r\n\
             m=application 5010 udp TBCP\r\na=fmtp:TBCP queuing=1; x\r\n"
        );
        let mut damaged: Vec<char> = text.chars().collect();
        for (place, with) in damage {
            let len = damaged.len();
            damaged[place % len] = with;
        }
        let damaged: String = damaged.into_iter().collect();
        // What is still accepted can be written, and means the same when it is read again.
        if let Ok(spec) = GroupSpec::from_sdp(&damaged, Interface::Any) {
            let origin = Origin::new(1, "192.0.2.10".parse().unwrap());
            let text = spec.to_sdp(origin).unwrap();
            let again = GroupSpec::from_sdp(&text, Interface::Any).unwrap();
            prop_assert_eq!(again.sockets().unwrap(), spec.sockets().unwrap());
        }
    }
}

#[test]
fn a_group_that_cannot_be_described_says_why() {
    let origin = || Origin::new(1, "192.0.2.10".parse().unwrap());
    let spec = GroupSpec::new("x", Interface::Any);
    assert!(spec.to_sdp(origin()).unwrap_err().to_string().contains("no media"));
    let spec = spec.with_media(MediaSpec::rtp("239.1.1.1".parse().unwrap(), 5004));
    assert!(spec.to_sdp(origin()).unwrap_err().to_string().contains("payload types"));
}
