//! A description is read for what it says, and what is written is read back the same.

#![cfg(feature = "sdp")]

use std::net::IpAddr;

use mcast_srtp::{
    group::{
        Codec, GroupSpec, Interface, MediaKind, MediaSpec, RtcpPlace, SourceFilter, profile_of,
    },
    ids::{Mki, MskId, MtkId, Ssrc},
    srtp::{Cipher, Rcc, RccMode},
    wire::sdp::{Attribute, Description, Direction, Kind, Origin},
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn origin() -> Origin {
    Origin::new(17, ip("192.0.2.10"))
}

/// A description whose session part is fixed; `lines` follow.
fn sdp(lines: &[&str]) -> String {
    let mut text = "v=0\r\no=poc 1 1 IN IP4 192.0.2.10\r\ns=Group 17\r\nt=0 0\r\n".to_owned();
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text
}

fn group(lines: &[&str]) -> GroupSpec {
    GroupSpec::from_sdp(&sdp(lines), Interface::Any).unwrap()
}

fn one(lines: &[&str]) -> MediaSpec {
    group(lines).media.remove(0)
}

const SSM_EXAMPLE: &str = "v=0
o=poc 1 1 IN IP4 192.0.2.10
s=Group 17
c=IN IP4 232.10.0.17/16
t=0 0
a=source-filter: incl IN IP4 232.10.0.17 192.0.2.10
m=audio 49170 RTP/SAVP 97
a=rtpmap:97 AMR/8000/1
a=fmtp:97 octet-align=1; mode-set=1
a=ptime:200
a=ssrc:3405691582 cname:poc-server-17
m=application 49172 udp TBCP
a=fmtp:TBCP queuing=1; tb_priority=1; timestamp=0
";

#[test]
fn source_specific_group_with_audio_and_burst_control() {
    let spec = GroupSpec::from_sdp(SSM_EXAMPLE, Interface::name("eth1")).unwrap();
    assert_eq!((spec.name.as_str(), spec.mikey_port), ("Group 17", Some(2269)));
    let [audio, burst] = spec.media.as_slice() else { panic!("two media") };
    assert_eq!(audio.kind, MediaKind::Rtp { rtcp: RtcpPlace::Port(49171, None) });
    assert_eq!((audio.group, audio.port, audio.ttl), (ip("232.10.0.17"), 49170, 16));
    assert_eq!(audio.sources, SourceFilter::Include(vec![ip("192.0.2.10")]));
    assert_eq!(
        (audio.payload_types.as_slice(), &audio.ssrcs),
        (&[97][..], &vec![Ssrc(0xcafe_babe)])
    );
    let codec = Codec {
        payload_type: 97,
        encoding: "AMR/8000/1".to_owned(),
        parameters: Some("octet-align=1; mode-set=1".to_owned()),
    };
    assert_eq!(audio.codecs, [codec]);
    assert_eq!((burst.kind, burst.port), (MediaKind::BurstControl, 49172));
    assert_eq!(burst.sources, audio.sources);
    let parameters = [("queuing", "1"), ("tb_priority", "1"), ("timestamp", "0")];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(burst.parameters, parameters);
}

#[test]
fn what_is_not_understood_is_kept() {
    let read = Description::parse(SSM_EXAMPLE).unwrap();
    assert_eq!(read.media[0].level.attributes, [Attribute::new("ptime", 200)]);
    let text = read.to_string();
    assert!(text.contains("\r\na=ptime:200\r\n"), "{text}");
    assert_eq!(Description::parse(&text).unwrap().to_string(), text);
}

#[test]
fn burst_control_tokens_of_both_releases_in_any_case() {
    for format in ["TBCP", "MBCP", "tbcp", "Mbcp"] {
        for protocol in ["udp", "UDP"] {
            let line = format!("m=application 40002 {protocol} {format}");
            let media = one(&["c=IN IP4 239.1.1.1/1", &line, "a=fmtp:TBCP queuing=1;x"]);
            assert_eq!(media.kind, MediaKind::BurstControl);
            assert_eq!(media.parameters[1], ("x".to_owned(), String::new()));
        }
    }
}

#[test]
fn protected_and_open_transports_are_both_rtp() {
    for (protocol, protected) in
        [("RTP/SAVP", true), ("RTP/SAVPF", true), ("RTP/AVP", false), ("rtp/avpf", false)]
    {
        let line = format!("m=video 5004 {protocol} 0 8");
        let text = sdp(&["c=IN IP4 239.1.1.1/1", &line]);
        let read = Description::parse(&text).unwrap();
        assert_eq!(read.media[0].kind(), Kind::Rtp { protected });
        let spec = GroupSpec::from_description(&read, Interface::Any).unwrap();
        assert_eq!(spec.media[0].payload_types, [0, 8]);
        assert_eq!(spec.media[0].media_type, "video");
    }
}

#[test]
fn rtcp_goes_where_the_lines_say() {
    let with =
        |line: &str| match one(&["c=IN IP4 239.1.1.1/1", "m=audio 5004 RTP/SAVP 0", line]).kind {
            MediaKind::Rtp { rtcp } => rtcp,
            other => panic!("{other:?}"),
        };
    assert_eq!(with("a=recvonly"), RtcpPlace::Port(5005, None));
    assert_eq!(with("a=rtcp-mux"), RtcpPlace::Mux);
    assert_eq!(with("a=rtcp:6001"), RtcpPlace::Port(6001, None));
    let elsewhere = RtcpPlace::Port(49171, Some(ip("239.1.2.4")));
    assert_eq!(with("a=rtcp:49171 IN IP4 239.1.2.4"), elsewhere);
    // A unicast address takes feedback; what listeners hear goes to the group.
    assert_eq!(with("a=rtcp:6001 IN IP4 192.0.2.10"), RtcpPlace::Port(6001, None));
    let silent = ["c=IN IP4 239.1.1.1/1", "b=RS:0", "m=audio 5004 RTP/SAVP 0", "b=RR:0"];
    assert_eq!(one(&silent).kind, MediaKind::Rtp { rtcp: RtcpPlace::None });
}

#[test]
fn counts_stand_for_consecutive_groups_and_ports() {
    let places =
        |lines: &[&str]| group(lines).media.iter().map(|m| (m.group, m.port)).collect::<Vec<_>>();
    let (a, b) = (ip("239.1.1.255"), ip("239.1.2.0"));
    let two_groups = places(&["c=IN IP4 239.1.1.255/9/2", "m=audio 5004 RTP/SAVP 0"]);
    assert_eq!(two_groups, [(a, 5004), (b, 5004)]);
    let two_ports = places(&["m=audio 5004/2 RTP/SAVP 0", "c=IN IP4 239.1.1.255/9"]);
    assert_eq!(two_ports, [(a, 5004), (a, 5006)]);
    let paired = places(&["c=IN IP4 239.1.1.255/9/2", "m=application 5004/2 udp TBCP"]);
    assert_eq!(paired, [(a, 5004), (b, 5005)]);
    let v6 = places(&["c=IN IP6 ff15::ffff/2", "m=audio 5004 RTP/SAVP 0"]);
    assert_eq!(v6, [(ip("ff15::ffff"), 5004), (ip("ff15::1:0"), 5004)]);
    let lines = ["m=audio 5004 RTP/SAVP 0", "c=IN IP4 239.1.1.255/9", "c=IN IP4 239.1.2.0/9"];
    assert_eq!(places(&lines), two_groups);
}

#[test]
fn rtcp_of_several_ports_keeps_its_distance() {
    let spec = group(&["c=IN IP4 239.1.1.1/9", "m=audio 5004/2 RTP/SAVP 0", "a=rtcp:6001"]);
    let rtcp = spec.media.iter().map(|media| media.kind).collect::<Vec<_>>();
    let place = |port| MediaKind::Rtp { rtcp: RtcpPlace::Port(port, None) };
    assert_eq!(rtcp, [place(6001), place(6003)]);
}

#[test]
fn connection_of_the_medium_replaces_that_of_the_session() {
    let lines = ["c=IN IP4 239.1.1.1/9", "m=audio 5004 RTP/SAVP 0", "c=IN IP6 ff15::1"];
    assert_eq!(one(&lines).group, ip("ff15::1"));
}

#[test]
fn source_filters_as_printed_and_as_specified() {
    for line in [
        "a=source-filter: incl IN IP4 232.3.4.5 192.0.2.10 192.0.2.11",
        "a=source-filter:incl IN IP4 232.3.4.5 192.0.2.10 192.0.2.11",
        "a=source-filter incl IN IP4 232.3.4.5 192.0.2.10 192.0.2.11",
        "a=source-filter: INCL IN IP4 * 192.0.2.10 192.0.2.11",
    ] {
        let media = one(&["c=IN IP4 232.3.4.5/9", line, "m=audio 5004 RTP/SAVP 0"]);
        assert_eq!(media.sources.addresses(), [ip("192.0.2.10"), ip("192.0.2.11")], "{line}");
    }
    for line in [
        "a=source-filter: incl IN IP6 ff35::1 2001:db8::10",
        "a=source-filter incl IN IP6 ff35::1 2001:db8::10",
    ] {
        let media = one(&["c=IN IP6 ff35::1", line, "m=audio 5004 RTP/SAVP 0"]);
        assert_eq!(media.sources, SourceFilter::Include(vec![ip("2001:db8::10")]), "{line}");
    }
}

#[test]
fn source_filter_applies_to_its_destination_and_level_only() {
    let lines = [
        "c=IN IP4 239.1.1.1/9",
        "a=source-filter: excl IN IP4 239.1.1.1 192.0.2.66",
        "a=source-filter: incl IN IP4 239.1.1.2 192.0.2.2",
        "a=source-filter: incl IN IP4 * 192.0.2.9",
        "m=audio 5004 RTP/SAVP 0",
        "m=audio 5006 RTP/SAVP 0",
        "c=IN IP4 239.1.1.3/9",
        "m=audio 5008 RTP/SAVP 0",
        "a=source-filter: incl IN IP4 239.1.1.7 192.0.2.7",
    ];
    let filters: Vec<_> = group(&lines).media.into_iter().map(|media| media.sources).collect();
    let expected = [
        SourceFilter::Exclude(vec![ip("192.0.2.66")]),
        SourceFilter::Include(vec![ip("192.0.2.9")]),
        SourceFilter::Any, // the medium's own filters, of which none fits, replace the session's
    ];
    assert_eq!(filters, expected);
}

#[test]
fn key_messages_of_both_levels_in_order_and_once() {
    let spec = group(&[
        "c=IN IP4 239.1.1.1/9",
        "a=key-mgmt:mikey AQIDBA==",
        "m=audio 5004 RTP/SAVP 0",
        "a=key-mgmt:mikey AQIDBQ==",
        "m=application 5006 udp TBCP",
        "a=key-mgmt:mikey AQIDBA==",
    ]);
    assert_eq!(spec.key_messages, [vec![1, 2, 3, 4], vec![1, 2, 3, 5]]);
    assert_eq!(spec.key_protocols.as_deref(), Some("mikey"));
}

#[test]
fn mikey_is_taken_among_several_protocols_and_all_are_listed() {
    let spec = group(&[
        "c=IN IP4 239.1.1.1/9",
        "a=key-mgmt:other AAAA",
        "a=key-mgmt:mikey AQIDBA==",
        "m=audio 5004 RTP/SAVP 0",
    ]);
    assert_eq!(spec.key_messages, [[1, 2, 3, 4]]);
    assert_eq!(spec.key_protocols.as_deref(), Some("other;mikey"));
}

#[test]
fn bcast_attributes() {
    let text = sdp(&[
        "a=bcastversion:1.1",
        "c=IN IP4 239.1.1.1/9",
        "a=stkmstream:7",
        "m=audio 5004 RTP/SAVP 0",
        "a=SRTPAuthentication:3",
        "a=SRTPROCTxRate:64",
        "a=stkmstream:1",
        "a=stkmstream:2",
        "m=video 5006 RTP/SAVP 31",
        "a=SRTPAuthentication:2",
        "a=inactive",
        "m=data 4000 UDP vnd.oma.bcast.stkm",
        "a=fmtp:vnd.oma.bcast.stkm streamid=1;kmstype=oma-bcast-gba-mbms",
    ]);
    let read = Description::parse(&text).unwrap();
    assert_eq!(read.bcast_version, Some((1, 1)));
    assert_eq!(read.session.key_streams, [7]);
    assert_eq!(read.media[0].level.key_streams, [1, 2]);
    assert_eq!(read.media[1].level.direction, Some(Direction::Inactive));
    assert_eq!(read.media[2].kind(), Kind::KeyStream);
    let spec = GroupSpec::from_description(&read, Interface::Any).unwrap();
    assert_eq!(spec.media[0].rcc, Some(Rcc { mode: RccMode::M2, rate: 64 }));
    assert_eq!(spec.media[1].rcc, Some(Rcc { mode: RccMode::M1, rate: 1 }));
    assert_eq!(spec.rcc(), None, "one traffic key cannot serve both");
    let mut audio = spec.clone();
    audio.media.remove(1);
    assert_eq!(audio.rcc(), Some(Rcc { mode: RccMode::M2, rate: 64 }));
    assert_eq!((spec.media[2].kind, spec.media[2].port), (MediaKind::KeyMessages, 4000));
    assert_eq!(spec.mikey_port, None, "the key stream has its own port");
}

#[test]
fn media_of_other_kinds_are_passed_over() {
    let spec = group(&[
        "c=IN IP4 239.1.1.1/9",
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        "m=application 5006 udp TBCP",
    ]);
    assert_eq!(spec.media.len(), 1);
}

#[test]
fn keys_in_the_clear_are_read_and_never_written() {
    let key = "inline:MDEyMzQ1Njc4OWFiY2RlZkFCQ0RFRkdISUpLTE1O";
    let line = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {key}|2^31|77309607943:6 KDR=4");
    let unknown = "a=crypto:2 DOUBLE_AEAD inline:AAAA";
    let text = sdp(&["c=IN IP4 239.1.1.1/9", "m=audio 5004 RTP/SAVP 0", &line, unknown]);
    let read = Description::parse(&text).unwrap();
    let [crypto] = read.media[0].crypto.as_slice() else { panic!("one known suite") };
    assert_eq!(crypto.keys[0].key.expose(), b"0123456789abcdef");
    assert_eq!(crypto.keys[0].salt.expose(), b"ABCDEFGHIJKLMN");
    assert_eq!(crypto.keys[0].mki, Mki::mbms(MskId { group: 0x12, number: 3 }, MtkId(7)));
    let profile = profile_of(crypto).unwrap();
    assert_eq!((profile.cipher, profile.mki_len, profile.kdr), (Cipher::AesCm128, 6, 16));
    for shown in [read.to_string(), format!("{read:?}")] {
        assert!(!shown.contains("inline:") && !shown.contains("MDEyMzQ1"), "{shown}");
    }
}

#[test]
fn parameters_of_keys_in_the_clear_change_the_profile_or_are_refused() {
    let profile = |crypto: &str| {
        let line = format!("a=crypto:1 {crypto}");
        let text = sdp(&["c=IN IP4 239.1.1.1/9", "m=audio 5004 RTP/SAVP 0", &line]);
        profile_of(&Description::parse(&text).unwrap().media[0].crypto[0])
    };
    let (key30, key28) = ("A".repeat(40), format!("{}==", "A".repeat(38)));
    let open = profile(&format!(
        "AES_CM_128_HMAC_SHA1_32 inline:{key30} UNENCRYPTED_SRTP UNAUTHENTICATED_SRTP"
    ));
    let open = open.unwrap();
    assert_eq!((open.encrypt_srtp, open.encrypt_srtcp), (false, true));
    assert_eq!((open.srtp_tag_len, open.srtcp_tag_len), (0, 10));
    let aead = profile(&format!("AEAD_AES_128_GCM inline:{key28} UNENCRYPTED_SRTCP"));
    let aead = aead.unwrap_err().to_string();
    assert!(aead.contains("cannot go without"), "{aead}");
}

/// One of everything that a description can say about a group.
fn everything() -> GroupSpec {
    let mut audio = MediaSpec::rtp(ip("232.10.0.17"), 49170)
        .with_payload_types(&[97, 0])
        .from_source(ip("192.0.2.10"))
        .from_source(ip("192.0.2.11"));
    audio.codecs = vec![
        Codec {
            payload_type: 97,
            encoding: "AMR/8000/1".to_owned(),
            parameters: Some("a=1; b".to_owned()),
        },
        Codec { payload_type: 0, encoding: "PCMU/8000".to_owned(), parameters: None },
    ];
    audio.ssrcs = vec![Ssrc(1), Ssrc(u32::MAX)];
    audio.rcc = Some(Rcc { mode: RccMode::M3, rate: 10 });
    let mut burst = MediaSpec::burst(ip("239.1.1.1"), 49172).with_ttl(3);
    burst.parameters =
        vec![("queuing".to_owned(), "1".to_owned()), ("x".to_owned(), String::new())];
    burst.sources = SourceFilter::Exclude(vec![ip("192.0.2.66")]);
    let mut video = MediaSpec::rtp(ip("ff15::17"), 5004)
        .with_payload_types(&[31])
        .with_rtcp(RtcpPlace::Port(6001, Some(ip("ff15::18"))));
    video.media_type = "video".to_owned();
    let muxed = MediaSpec::rtp(ip("239.1.1.2"), 5004).with_payload_types(&[8]);
    let silent = muxed.clone().with_rtcp(RtcpPlace::None);
    let key_stream = MediaSpec::key_messages(ip("239.1.1.3"), 4000);
    let mut spec = GroupSpec::new("Group 17", Interface::Any).with_mikey_port(None);
    spec.media = vec![audio, burst, video, muxed.with_rtcp(RtcpPlace::Mux), silent, key_stream];
    spec.key_messages = vec![vec![1, 2, 3, 4], vec![5; 300]];
    spec.key_protocols = Some("mikey".to_owned());
    spec
}

#[test]
fn what_is_written_is_read_back_the_same() {
    let spec = everything();
    let text = spec.to_sdp(origin()).unwrap();
    assert_eq!(GroupSpec::from_sdp(&text, Interface::Any).unwrap(), spec, "{text}");
}

#[test]
fn the_body_for_a_client_has_its_message_at_session_level() {
    let text = GroupSpec::from_sdp(SSM_EXAMPLE, Interface::Any)
        .unwrap()
        .with_key_message(vec![1, 2, 3, 4])
        .to_sdp(origin())
        .unwrap();
    let expected = "v=0\r\n\
        o=- 17 1 IN IP4 192.0.2.10\r\n\
        s=Group 17\r\n\
        c=IN IP4 232.10.0.17/16\r\n\
        t=0 0\r\n\
        a=source-filter: incl IN IP4 232.10.0.17 192.0.2.10\r\n\
        a=key-mgmt:mikey AQIDBA==\r\n\
        m=audio 49170 RTP/SAVP 97\r\n\
        a=rtpmap:97 AMR/8000/1\r\n\
        a=fmtp:97 octet-align=1; mode-set=1\r\n\
        a=ssrc:3405691582 cname:-\r\n\
        m=application 49172 udp TBCP\r\n\
        a=fmtp:TBCP queuing=1; tb_priority=1; timestamp=0\r\n";
    assert_eq!(text, expected);
}

#[test]
fn a_key_port_of_ones_own_becomes_a_key_stream_for_each_address() {
    let media = MediaSpec::burst(ip("239.1.1.1"), 5004);
    let spec = GroupSpec::new("", Interface::Any)
        .with_media(media.clone())
        .with_media(MediaSpec::burst(ip("239.1.1.1"), 5006))
        .with_media(MediaSpec::burst(ip("239.1.1.2"), 5006))
        .with_mikey_port(Some(4000));
    let text = spec.to_sdp(origin()).unwrap();
    let read = GroupSpec::from_sdp(&text, Interface::Any).unwrap();
    let places = |spec: &GroupSpec| {
        let mut places: Vec<_> =
            spec.sockets().unwrap().iter().map(|s| (s.group, s.port, s.carries)).collect();
        places.sort_by_key(|(group, port, _)| (*group, *port));
        places
    };
    assert_eq!(places(&read), places(&spec), "{text}");
    assert!(text.contains("\r\ns=-\r\n"));
}

#[test]
fn a_name_cannot_add_lines() {
    let spec = GroupSpec::new("Group\r\na=key-mgmt:mikey AAAA", Interface::Any)
        .with_media(MediaSpec::burst(ip("239.1.1.1"), 5004));
    let mut origin = origin();
    origin.username = "a b\nc".to_owned();
    let text = spec.to_sdp(origin).unwrap();
    assert!(text.contains("o=abc 17 1 IN"), "{text}");
    assert!(GroupSpec::from_sdp(&text, Interface::Any).unwrap().key_messages.is_empty());
}
