//! The control interface of a key server that runs as a process: every route, every refusal.

mod common;

use common::{
    Files,
    key_server::{Answer, Server, channel, client, config, key},
};
use serde_json::{Value, json};

const OPERATOR: &str = "operator-token-of-the-tests";
const METRICS: &str = "metrics-token-of-the-tests";
const EAST: &str = "east-token-of-the-tests";

fn guarded() -> Server {
    let files = Files::new();
    let http = "token = \"env:TEST_OPERATOR\"\nmetrics_token = \"env:TEST_METRICS\"";
    let more = "[[broadcaster]]\nname = \"east\"\naccess_token = \"env:TEST_EAST\"\n";
    let config = config(&files, http, more);
    let env = [("TEST_OPERATOR", OPERATOR), ("TEST_METRICS", METRICS), ("TEST_EAST", EAST)];
    Server::with(files, &config, &env)
}

fn with_token(server: &Server, token: &str, method: &str, path: &str, body: &Value) -> Answer {
    let header = format!("Authorization: Bearer {token}");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.send(method, path, &[&header, "Content-Type: application/json"], body.as_bytes())
}

#[test]
fn each_request_works_and_its_repetition_changes_nothing() {
    let server = Server::start();
    let muk = json!({ "muk": { "idi": "bmsc.example", "idr": "c1-new", "key": key("c1-new") } });
    for (method, path, body) in [
        ("PUT", "/v1/clients/c1", client("c1", "sdp")),
        ("PUT", "/v1/clients/c2", client("c2", "127.0.0.1:9")),
        ("PUT", "/v1/clients/c3", client("c3", "sdp")),
        ("PUT", "/v1/clients/c1/muk", muk),
        ("PUT", "/v1/clients/c1/reach", json!({ "reach": "127.0.0.1:9" })),
        ("PUT", "/v1/clients/c1/reach", json!({ "reach": "sdp" })),
        ("PUT", "/v1/channels/17", channel(17)),
        ("PATCH", "/v1/channels/17", json!({ "leave": "batched", "leave_window": 60 })),
        ("PUT", "/v1/channels/17/members/c1", Value::Null),
        ("PUT", "/v1/channels/17/members/c2", Value::Null),
        ("PUT", "/v1/channels/17/members/c3", Value::Null),
        ("DELETE", "/v1/channels/17/members/c2", Value::Null),
        ("PUT", "/v1/channels/17/expelled/c2", Value::Null),
        ("DELETE", "/v1/channels/17/expelled/c2", Value::Null),
        ("POST", "/v1/channels/17/expel", json!({ "clients": ["c2", "c3"] })),
        ("DELETE", "/v1/clients/c2", Value::Null),
    ] {
        assert!(server.change(method, path, &body), "{method} {path} did nothing");
        assert!(!server.change(method, path, &body), "{method} {path} did it twice");
    }
    let members = server.get("/v1/channels/17/members").json();
    assert_eq!(members["members"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/v1/channels/17/expelled").json(), json!({ "expelled": ["c2", "c3"] }));
    assert_eq!(server.get("/v1/clients/c1").json()["idr"], "c1-new");
    assert_eq!(server.get("/v1/clients").json()["clients"].as_array().unwrap().len(), 2);
    let shown = server.get("/v1/channels/17").json();
    assert_eq!((&shown["settings"]["leave_window"], &shown["members"]), (&json!(60.0), &json!(1)));
    // Solicited is who is reached by UDP.
    server.change("PUT", "/v1/clients/c4", &client("c4", "127.0.0.1:9"));
    server.change("PUT", "/v1/channels/17/members/c4", &Value::Null);
    for what in ["c1/msk-request", "c1/join-in-answer", "c4/solicit"] {
        let path = format!("/v1/channels/17/members/{what}");
        assert_eq!(server.ask("POST", &path, &Value::Null).status, 200, "{what}");
    }
    assert!(server.change("DELETE", "/v1/channels/17", &Value::Null));
    assert!(!server.change("DELETE", "/v1/channels/17", &Value::Null));
    assert_eq!(server.get("/v1/channels").json(), json!({ "channels": [] }));
}

#[test]
fn update_that_is_repeated_replaces_one_msk_once() {
    let server = Server::start();
    server.change("PUT", "/v1/channels/17", &channel(17));
    let update = json!({ "cause": "command", "replaces": "00110001" });
    assert!(server.change("POST", "/v1/channels/17/update", &update));
    assert!(!server.change("POST", "/v1/channels/17/update", &update));
    server.until("/v1/channels/17", |answer| answer.json()["msk_in_force"] == "00110002");
    let again = json!({ "cause": "compromise", "replaces": "00110002" });
    let answer = server.ask("POST", "/v1/channels/17/update", &again);
    assert_eq!(answer.json(), json!({ "changed": true, "update": "00110003" }));
}

#[test]
fn offer_is_taken_and_a_wrong_answer_to_it_refused() {
    let server = Server::start();
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=17\r\nt=0 0\r\nm=audio 5000 RTP/SAVP 97\r\n";
    let mut settings = channel(17);
    settings["sdp"] = json!(sdp);
    server.change("PUT", "/v1/channels/17", &settings);
    server.change("PUT", "/v1/clients/c1", &client("c1", "sdp"));
    server.change("PUT", "/v1/channels/17/members/c1", &Value::Null);
    let offer = server.get("/v1/channels/17/members/c1/offer");
    assert!(offer.head.contains("content-type: application/sdp"), "{offer:?}");
    assert!(offer.body.contains("\r\na=key-mgmt:mikey ") && offer.body.contains("\r\nm=audio"));
    let answer = |media_type: &str, body: &[u8]| {
        let header = format!("Content-Type: {media_type}");
        server.send("POST", "/v1/channels/17/members/c1/answer", &[&header], body)
    };
    assert_eq!(answer("text/plain", b"v=0").status, 415);
    for (media_type, body) in
        [("application/sdp", &b"v=0\r\n"[..]), ("application/mikey", b"\x01\x00")]
    {
        let refused = answer(media_type, body);
        assert!(matches!(refused.status, 409 | 422), "{refused:?}");
    }
    assert_eq!(server.get("/v1/channels/17/members/c2/offer").status, 404);
}

#[test]
fn what_is_refused_says_why_and_changes_nothing() {
    let server = Server::start();
    server.change("PUT", "/v1/clients/c1", &client("c1", "sdp"));
    server.change("PUT", "/v1/channels/17", &channel(17));
    let before = [server.get("/v1/clients").body, server.get("/v1/channels").body];
    let long = "x".repeat(129);
    let (long_client, many) = (format!("/v1/clients/{long}"), "y".repeat(1 << 20));
    for (method, path, body, status, kind) in [
        ("GET", "/v1/nothing", Value::Null, 404, "not_found"),
        ("GET", "/v1/clients/c9", Value::Null, 404, "not_found"),
        ("GET", "/v1/channels/99", Value::Null, 404, "not_found"),
        ("GET", "/v1/channels/99/members", Value::Null, 404, "not_found"),
        ("GET", "/v1/channels/99/document", Value::Null, 404, "not_found"),
        ("PATCH", "/v1/channels/99", json!({ "grace": 1 }), 404, "not_found"),
        ("PUT", "/v1/channels/17/members/c9", Value::Null, 404, "not_found"),
        ("POST", "/v1/channels/17/members/c1/msk-request", Value::Null, 404, "not_found"),
        ("POST", "/v1/clients/c1", Value::Null, 405, "method_not_allowed"),
        ("PUT", "/v1/clients/c1", client("c1", "127.0.0.1:9"), 409, "conflict"),
        ("PUT", "/v1/clients/c2", client("c1", "sdp"), 409, "conflict"),
        ("PUT", "/v1/channels/17", channel(18), 409, "conflict"),
        ("GET", long_client.as_str(), Value::Null, 400, "bad_request"),
        ("GET", "/v1/clients/%00", Value::Null, 400, "bad_request"),
        ("GET", "/v1/clients/%ff", Value::Null, 400, "bad_request"),
        ("GET", "/v1/channels/17/document?wait=61", Value::Null, 400, "bad_request"),
        ("GET", "/v1/channels/17/document?wait=x", Value::Null, 400, "bad_request"),
        ("GET", "/v1/channels/17/document?since=1", Value::Null, 400, "bad_request"),
        ("GET", "/v1/channels/17/document?after=9", Value::Null, 422, "invalid"),
        ("GET", "/v1/events?after=-1", Value::Null, 400, "bad_request"),
        ("PUT", "/v1/clients/c2", json!({}), 422, "invalid"),
        ("PUT", "/v1/clients/c2", json!({ "reach": "sdp" }), 422, "invalid"),
        ("PUT", "/v1/clients/c2", client("", "sdp"), 422, "invalid"),
        ("PUT", "/v1/clients/c2", client("c2", "239.0.0.1"), 422, "invalid"),
        ("PUT", "/v1/channels/18", json!({ "key_group": 18 }), 422, "invalid"),
        ("PUT", "/v1/channels/18", json!({ "domain": "00f110" }), 422, "invalid"),
        ("PATCH", "/v1/channels/17", json!({ "profile": "AEAD_AES_128_GCM" }), 422, "invalid"),
        ("PATCH", "/v1/channels/17", json!({ "graze": 1 }), 422, "invalid"),
        ("PATCH", "/v1/channels/17", json!({ "grace": 1e9 }), 422, "invalid"),
        ("POST", "/v1/channels/17/expel", json!({ "clients": [] }), 422, "invalid"),
        ("POST", "/v1/channels/17/expel", json!({ "clients": [""] }), 400, "bad_request"),
        ("POST", "/v1/channels/17/expel", json!({ "clients": [many] }), 413, "too_large"),
        ("POST", "/v1/channels/17/update", json!({ "cause": "boredom" }), 422, "invalid"),
        (
            "POST",
            "/v1/channels/17/update",
            json!({ "cause": "command", "replaces": "1" }),
            422,
            "invalid",
        ),
    ] {
        let answer = server.ask(method, path, &body);
        assert_eq!(
            (answer.status, answer.kind().as_str()),
            (status, kind),
            "{method} {path} {body}"
        );
        let message = &answer.json()["error"]["message"];
        assert!(message.as_str().is_some_and(|message| !message.is_empty()), "{answer:?}");
    }
    for (headers, body, status) in [
        (&["Content-Type: text/plain"][..], "{}", 415),
        (&[], "{}", 415),
        (&["Content-Type: application/json"], "{", 400),
        (&["Content-Type: application/json; charset=utf-8"], "{}", 422),
    ] {
        let answer = server.send("PUT", "/v1/clients/c2", headers, body.as_bytes());
        assert_eq!(answer.status, status, "{headers:?} {body}");
    }
    assert_eq!([server.get("/v1/clients").body, server.get("/v1/channels").body], before);
}

#[test]
fn token_opens_what_it_is_for_and_nothing_else() {
    let server = guarded();
    let status =
        |token: &str, path: &str| with_token(&server, token, "GET", path, &Value::Null).status;
    let mut settings = channel(17);
    settings["broadcasters"] = json!(["east", "west"]);
    let open = with_token(&server, OPERATOR, "PUT", "/v1/channels/17", &settings);
    assert_eq!(open.status, 200, "{open:?}");
    for (path, [none, operator, metrics, east]) in [
        ("/v1/health", [200, 200, 200, 200]),
        ("/metrics", [401, 200, 200, 403]),
        ("/openapi.json", [401, 200, 403, 403]),
        ("/v1/clients", [401, 200, 403, 403]),
        ("/v1/channels/17", [401, 200, 403, 403]),
        ("/v1/channels/17/document?broadcaster=east", [401, 200, 403, 200]),
        ("/v1/channels/17/document?broadcaster=west", [401, 200, 403, 403]),
        ("/v1/channels/17/document", [401, 404, 403, 403]),
    ] {
        let given =
            [status("", path), status(OPERATOR, path), status(METRICS, path), status(EAST, path)];
        assert_eq!(given, [none, operator, metrics, east], "{path}");
        assert_eq!(status("operator-token-of-the-test", path) == 200, none == 200, "{path}");
    }
    let refused = server.get("/v1/clients");
    assert!(refused.head.contains("www-authenticate: bearer"), "{refused:?}");
    for (name, status) in [("east", 200), ("west", 403)] {
        let path = format!("/v1/channels/17/broadcasters/{name}/report");
        let answer = with_token(&server, EAST, "POST", &path, &json!({ "holds": 1 }));
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[test]
fn page_under_a_foreign_name_cannot_use_a_server_without_a_token() {
    let server = Server::start();
    let from = |host: &str| server.send("GET", "/v1/clients", &[host], b"").status;
    assert_eq!(from("Host: 127.0.0.1:7269"), 200);
    assert_eq!(from("Host: rebound.example"), 403);
}

#[test]
fn every_route_is_in_the_openapi_document_and_every_path_of_it_is_a_route() {
    let server = Server::start();
    let document = server.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let mut known: Vec<_> = paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    known.sort();
    let channel = "/v1/channels/{channel}";
    let member = "/v1/channels/{channel}/members/{client}";
    let mut wanted: Vec<_> = [
        "get /metrics".to_owned(),
        "get /openapi.json".to_owned(),
        "get /v1/channels".to_owned(),
        "get /v1/clients".to_owned(),
        "get /v1/events".to_owned(),
        "get /v1/health".to_owned(),
        "put /v1/clients/{client}/muk".to_owned(),
        "put /v1/clients/{client}/reach".to_owned(),
        format!("get {channel}/document"),
        format!("get {channel}/expelled"),
        format!("get {channel}/members"),
        format!("get {member}/offer"),
        format!("post {channel}/broadcasters/{{broadcaster}}/report"),
        format!("post {channel}/expel"),
        format!("post {channel}/update"),
        format!("post {member}/answer"),
        format!("post {member}/join-in-answer"),
        format!("post {member}/msk-request"),
        format!("post {member}/solicit"),
    ]
    .into_iter()
    .chain(["delete", "get", "put"].map(|method| format!("{method} /v1/clients/{{client}}")))
    .chain(["delete", "get", "patch", "put"].map(|method| format!("{method} {channel}")))
    .chain(["delete", "put"].map(|method| format!("{method} {member}")))
    .chain(["delete", "put"].map(|method| format!("{method} {channel}/expelled/{{client}}")))
    .collect();
    wanted.sort();
    assert_eq!(known, wanted);
    for (path, item) in paths {
        let real = path.replace(['{', '}'], "");
        for method in ["get", "put", "post", "patch", "delete"] {
            if path == "/v1/events" && method == "get" {
                continue; // Without end.
            }
            let answer = server.send(&method.to_uppercase(), &real, &[], b"");
            let routed = answer.status != 405 && answer.status != 404
                || answer.status == 404 && !answer.body.contains("no such path");
            assert_eq!(routed, item.get(method).is_some(), "{method} {path}: {answer:?}");
            if answer.status == 405 {
                assert!(answer.head.contains("allow: "), "{answer:?}");
            }
        }
    }
}

#[test]
fn answers_are_not_to_be_stored() {
    let server = Server::start();
    for path in ["/v1/health", "/v1/clients", "/v1/nothing"] {
        let answer = server.get(path);
        assert!(answer.head.contains("cache-control: no-store"), "{answer:?}");
    }
}
