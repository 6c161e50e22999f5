//! Requests that nobody would make: the key server refuses them, stays up, and goes on serving.

mod common;

use std::{
    io::{Read, Write},
    net::Shutdown,
};

use common::key_server::{PATIENCE, Server, channel, client};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

/// Requests of each kind.
const CASES: u32 = 300;

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() })
}

fn templates() -> Vec<&'static str> {
    vec![
        "/v1/clients/#",
        "/v1/clients/#/muk",
        "/v1/clients/#/reach",
        "/v1/channels/#",
        "/v1/channels/#/members/#",
        "/v1/channels/#/members/#/answer",
        "/v1/channels/#/members/#/offer",
        "/v1/channels/#/members/#/solicit",
        "/v1/channels/#/expelled/#",
        "/v1/channels/#/expel",
        "/v1/channels/#/update",
        "/v1/channels/#/document",
        "/v1/channels/#/broadcasters/#/report",
        "/v1/events",
        "/metrics/#",
        "/#",
    ]
}

/// A path with names of any kind, and now and then a query.
fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("17".to_owned()),
        Just("c1".to_owned()),
        "[ -~]{0,8}".prop_map(|text| text.bytes().map(|octet| format!("%{octet:02x}")).collect()),
        vec(any::<u8>(), 0..6)
            .prop_map(|octets| octets.iter().map(|octet| format!("%{octet:02X}")).collect()),
        "[a-z%./]{0,200}",
    ];
    let query = prop_oneof![
        Just(String::new()),
        "\\?(once|after|wait|broadcaster)=[0-9a-z%-]{0,12}",
        "\\?once=true&after=[0-9]{1,20}",
    ];
    (select(templates()), vec(name, 3), query).prop_map(|(template, names, query)| {
        let mut names = names.into_iter();
        let parts: Vec<_> = template.split('#').collect();
        let mut path = parts[0].to_owned();
        for part in &parts[1..] {
            path.push_str(&names.next().unwrap_or_default());
            path.push_str(part);
        }
        // A stream without end is another test's.
        let query = if path == "/v1/events" { "?once=true".to_owned() } else { query };
        path + &query
    })
}

/// JSON of any form, with our own fields among others.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,70}".prop_map(Value::from),
        "[0-9a-f]{0,70}".prop_map(Value::from),
    ];
    let field = select(vec![
        "muk",
        "gba",
        "reach",
        "idi",
        "idr",
        "key",
        "ck",
        "domain",
        "key_group",
        "profile",
        "leave",
        "leave_window",
        "grace",
        "confirm_within",
        "mtk_ids",
        "low",
        "high",
        "msk_len",
        "sdp",
        "broadcasters",
        "clients",
        "cause",
        "replaces",
        "holds",
        "msk_id",
        "streams",
        "ssrc",
        "roc",
    ]);
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((field.clone(), inner), 0..6).prop_map(|fields| {
                Value::from_iter(fields.into_iter().map(|(name, value)| (name.to_owned(), value)))
            }),
        ]
    })
}

/// A body that would do, with one octet changed or its end missing.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let sound = select(vec![
        client("c7", "sdp").to_string(),
        channel(18).to_string(),
        json!({ "clients": ["c1", "c2"] }).to_string(),
        json!({ "cause": "command", "replaces": "00110001" }).to_string(),
        json!({ "holds": 1, "streams": [{ "ssrc": "5e450a11", "roc": 0 }] }).to_string(),
    ]);
    (sound, any::<prop::sample::Index>(), any::<u8>(), any::<bool>()).prop_map(
        |(sound, place, octet, cut)| {
            let mut octets = sound.into_bytes();
            let place = place.index(octets.len());
            if cut {
                octets.truncate(place);
            } else {
                octets[place] = octet;
            }
            octets
        },
    )
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        vec(any::<u8>(), 0..64),
        any_json().prop_map(|json| json.to_string().into_bytes()),
        damaged(),
    ]
}

#[test]
fn strange_requests_are_refused_and_never_a_fault_of_the_server() {
    let server = Server::start();
    server.change("PUT", "/v1/clients/c1", &client("c1", "sdp"));
    let methods = select(vec!["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "FLY"]);
    let media_types = select(vec!["application/json", "application/sdp", "application/mikey", "x"]);
    runner()
        .run(&(methods, path(), media_types, body()), |(method, path, media_type, body)| {
            let header = format!("Content-Type: {media_type}");
            let answer = server.send(method, &path, &[&header], &body);
            prop_assert!(answer.status < 500, "{} {}: {:?}", method, path, answer);
            if answer.status >= 400 && method != "HEAD" && !answer.body.is_empty() {
                prop_assert!(!answer.kind().is_empty(), "{} {}: {:?}", method, path, answer);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(server.get("/v1/health").status, 200);
    assert!(server.change("PUT", "/v1/clients/c99", &client("c99", "sdp")));
}

#[test]
fn octets_that_are_no_requests_end_their_connection_alone() {
    let server = Server::start();
    let address = server.address.strip_prefix("http://").unwrap();
    let start = prop_oneof![
        Just(&b""[..]),
        Just(&b"GET /v1/health HTTP/1.1\r\n"[..]),
        Just(&b"PUT /v1/clients/c1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"[..]),
        Just(&b"PUT /v1/clients/c1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n"[..]),
    ];
    runner()
        .run(&(start, vec(any::<u8>(), 0..200)), |(start, octets)| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // The server may end the connection while this is under way.
            let _ = stream.write_all(&[start, &octets].concat());
            let _ = stream.shutdown(Shutdown::Write);
            let mut answer = Vec::new();
            let ended = stream.read_to_end(&mut answer);
            let broke = std::io::ErrorKind::ConnectionReset;
            prop_assert!(
                ended.as_ref().err().is_none_or(|error| error.kind() == broke),
                "{:?}",
                ended
            );
            prop_assert!(
                !answer.starts_with(b"HTTP/1.1 5"),
                "{:?}",
                String::from_utf8_lossy(&answer)
            );
            Ok(())
        })
        .unwrap();
    assert_eq!(server.get("/v1/health").status, 200);
}

#[test]
fn clients_that_hold_connections_and_say_nothing_keep_nobody_out() {
    let server = Server::start();
    let mut silent: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for stream in silent.iter_mut().step_by(2) {
        stream.write_all(b"PUT /v1/clients/c1 HTTP/1.1\r\nHost: localhost\r\n").unwrap();
    }
    assert!(server.change("PUT", "/v1/clients/c1", &client("c1", "sdp")));
    assert_eq!(server.get("/v1/health").status, 200);
}

#[test]
fn metrics_keep_to_the_rules_of_their_format() {
    let server = Server::start();
    server.change("PUT", "/v1/channels/17", &channel(17));
    server.get("/v1/clients/nobody");
    let answer = server.get("/metrics");
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{answer:?}");
    assert!(answer.body.ends_with('\n'));
    let (mut family, mut families, mut samples) = (String::new(), Vec::new(), Vec::new());
    for line in answer.body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(matches!(kind, "counter" | "gauge"), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert_eq!(family, name, "the help comes first");
            families.push(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split_once(' ').unwrap().0.to_owned();
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            assert_eq!(name, family, "samples follow their family");
            assert!(
                name.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_'),
                "{name}"
            );
            value.parse::<f64>().unwrap();
            samples.push(sample.to_owned());
        }
    }
    for list in [&mut families, &mut samples] {
        let len = list.len();
        list.sort();
        list.dedup();
        assert_eq!(list.len(), len, "nothing comes twice");
    }
    for wanted in [
        "mcast_srtp_key_server_channels 1",
        "mcast_srtp_key_server_healthy 1",
        "mcast_srtp_key_server_http_responses_total{status=\"404\"} 1",
    ] {
        assert!(answer.body.lines().any(|line| line == wanted), "{wanted}: {}", answer.body);
    }
}
