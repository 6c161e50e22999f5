//! Documents pushed to a broadcaster that answers, is away, or says nonsense.

mod common;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
};

use common::{
    Files,
    key_server::{PATIENCE, Server, channel, config},
};
use mcast_srtp::service::document;
use serde_json::{Value, json};

const PUSH: &str = "push-token-of-the-tests";

/// A broadcaster as the key server sees it: what it is sent, and what it answers.
struct Broadcaster(TcpListener);

/// What was pushed.
struct Pushed {
    stream: TcpStream,
    head: String,
    body: Vec<u8>,
}

impl Broadcaster {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}/pf", self.0.local_addr().unwrap())
    }

    fn next(&self) -> Pushed {
        let (stream, _) = self.0.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            reader.read_line(&mut head).unwrap();
        }
        let len = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; len.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        Pushed { stream, head, body }
    }

    /// Answers every push with what it holds until one brings this version.
    fn hold_until(&self, version: u64) -> Pushed {
        loop {
            let pushed = self.next();
            if pushed.version() >= version {
                return pushed;
            }
            let held = pushed.version();
            pushed.answer("200 OK", &json!({ "holds": held }));
        }
    }
}

impl Pushed {
    fn version(&self) -> u64 {
        document::from_json(&self.body).unwrap().version
    }

    fn answer(mut self, status: &str, report: &Value) {
        let body = report.to_string();
        let len = body.len();
        write!(self.stream, "HTTP/1.1 {status}\r\nContent-Length: {len}\r\n\r\n{body}").unwrap();
    }
}

fn server(broadcaster: &Broadcaster, every: f64) -> Server {
    let files = Files::new();
    let more = format!(
        "[[broadcaster]]\nname = \"east\"\nurl = \"{}\"\npush_token = \"env:TEST_PUSH\"\nevery = {every}\n",
        broadcaster.url()
    );
    let config = config(&files, "", &more);
    Server::with(files, &config, &[("TEST_PUSH", PUSH)])
}

fn open(server: &Server) {
    let mut settings = channel(17);
    settings["broadcasters"] = json!(["east"]);
    settings["confirm_within"] = json!(86_400);
    server.change("PUT", "/v1/channels/17", &settings);
}

#[test]
fn switch_waits_for_the_broadcaster_and_comes_when_it_holds_the_coming_msk() {
    let broadcaster = Broadcaster::new();
    let server = server(&broadcaster, 3600.0);
    open(&server);
    let first = broadcaster.hold_until(1);
    assert!(
        first.head.starts_with("PUT /pf/v1/channels/17/document HTTP/1.1\r\n"),
        "{}",
        first.head
    );
    assert!(first.head.contains(&format!("authorization: Bearer {PUSH}\r\n")), "{}", first.head);
    first.answer("200 OK", &json!({ "holds": 1 }));
    server.change("POST", "/v1/channels/17/update", &json!({ "cause": "command" }));
    let second = broadcaster.hold_until(2);
    // A day is far away: only the broadcaster can bring the switch.
    assert_eq!(server.get("/v1/channels/17").json()["msk_in_force"], "00110001");
    second.answer("200 OK", &json!({ "holds": 2 }));
    let third = broadcaster.hold_until(3);
    assert_eq!(server.get("/v1/channels/17").json()["msk_in_force"], "00110002");
    third.answer("200 OK", &json!({ "holds": 3 }));
}

#[test]
fn broadcaster_that_was_away_is_told_in_health_and_gets_the_document_again() {
    let broadcaster = Broadcaster::new();
    let server = server(&broadcaster, 0.1);
    open(&server);
    for (status, report) in [
        ("503 Service Unavailable", json!({})),
        ("200 OK", json!(["nonsense"])),
        ("200 OK", json!({ "held": 1 })),
    ] {
        broadcaster.next().answer(status, &report);
    }
    let told = server.until("/v1/health", |answer| answer.body.contains("broadcaster east: "));
    assert_eq!(told.status, 200, "the key server itself does its work");
    // A heartbeat after the other.
    for _ in 0..3 {
        let pushed = broadcaster.next();
        let version = pushed.version();
        let streams = json!([{ "ssrc": "5e450a11", "roc": 7 }]);
        pushed.answer(
            "200 OK",
            &json!({ "holds": version, "msk_id": "00110001", "streams": streams }),
        );
    }
    server.until("/v1/health", |answer| !answer.body.contains("broadcaster"));
    let metrics = server.get("/metrics").body;
    let count = |result: &str| {
        let name = "mcast_srtp_key_server_document_pushes_total";
        let line = format!("{name}{{broadcaster=\"east\",result=\"{result}\"}} ");
        let value = metrics.lines().find_map(|given| given.strip_prefix(&line));
        value.unwrap_or_else(|| panic!("{metrics}")).parse::<u64>().unwrap()
    };
    assert!(count("held") >= 3 && count("failed") >= 3, "{metrics}");
}

#[test]
fn broadcaster_with_few_mtk_ids_left_brings_an_update() {
    let broadcaster = Broadcaster::new();
    let server = server(&broadcaster, 3600.0);
    open(&server);
    let report = json!({ "holds": 1, "msk_id": "00110001", "mtk_ids_left": 3 });
    broadcaster.hold_until(1).answer("200 OK", &report);
    let second = broadcaster.hold_until(2);
    assert_eq!(document::from_json(&second.body).unwrap().msks.len(), 2);
    server.change("DELETE", "/v1/channels/17", &Value::Null);
    second.answer("200 OK", &json!({ "holds": 2 }));
    loop {
        let pushed = broadcaster.next();
        let document = document::from_json(&pushed.body).unwrap();
        pushed.answer("200 OK", &json!({ "holds": document.version }));
        if document.msks.is_empty() {
            break; // The end of the channel has reached the broadcaster.
        }
    }
}

#[test]
fn end_of_a_channel_reaches_a_broadcaster_that_was_away_over_a_restart_of_the_server() {
    let broadcaster = Broadcaster::new();
    let mut server = server(&broadcaster, 0.1);
    open(&server);
    broadcaster.hold_until(1).answer("200 OK", &json!({ "holds": 1 }));
    server.change("DELETE", "/v1/channels/17", &Value::Null);
    // Pushes that nobody answers break with the server.
    server.kill_and_restart();
    loop {
        let pushed = broadcaster.next();
        let Ok(document) = document::from_json(&pushed.body) else { continue };
        let mut stream = pushed.stream;
        let body = json!({ "holds": document.version }).to_string();
        let len = body.len();
        // What the former server has pushed has nobody to be answered to any more.
        let told = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{body}");
        if told.is_ok() && document.msks.is_empty() {
            break;
        }
    }
    server.until("/metrics", |answer| answer.body.contains("result=\"held\"} "));
}
