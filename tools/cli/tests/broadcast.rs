//! `mcast-srtp broadcast` as a process, heard by `mcast-srtp recv`.

mod common;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    process::{Child, ChildStdout, Stdio},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use common::{ALICE, Files, Issuer, MSK_ID, assert_refused, base64, program, recorded, run, text};
use mcast_srtp::{
    broadcast::{ChannelDocument, DocumentMsk},
    ids::{KeyDomainId, MtkId, Seq},
    keys::{Interval, Msk},
    secret::SecretBytes,
    service::document::to_json,
    srtp::Profile,
    wire::rtp::RtpWriter,
};
use serde_json::Value;

/// What the key server says of the channel.
fn document() -> Vec<u8> {
    let msk = Msk { key: SecretBytes::new(&[0x21; 16]), rand: vec![0x22; 16] };
    let interval = Interval { low: MtkId(0), high: MtkId(100) };
    let document = ChannelDocument {
        channel: "group 17".into(),
        broadcaster: Some("east".into()),
        version: 3,
        domain: KeyDomainId([0, 0xf1, 0x10]),
        profile: Profile::default(),
        mtk_period: Some(Duration::from_secs(1)),
        msks: vec![DocumentMsk { msk_id: MSK_ID, msk: Arc::new(msk), interval }],
        in_force: MSK_ID,
    };
    to_json(&document).unwrap().to_vec()
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A plain packet of Alice.
fn speech(seq: u16) -> Vec<u8> {
    let mut packet = vec![0; 100];
    let writer = RtpWriter::new(97, Seq(seq), u32::from(seq) * 160, ALICE);
    let len = writer.write(&[&b"speech "[..], &seq.to_be_bytes()].concat(), &mut packet).unwrap();
    packet.truncate(len);
    packet
}

/// The files and ports of one channel.
struct Channel {
    files: Files,
    mikey: u16,
    input: SocketAddr,
}

impl Channel {
    /// With this group address, and this in the configuration beside it; `input` is the channel's.
    fn new(group: &str, keys: &str, input: impl Fn(&Files, SocketAddr) -> String) -> Self {
        let (files, mikey) = (Files::new(), free_port());
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (media, burst, source) = (free_port() & !1, free_port(), free_port());
        let config = format!(
            "name = \"east\"\nsource_port = {source}\n[state]\nfile = \"{}\"\n{keys}\n\
             [[channel]]\nname = \"group 17\"\ngroup = \"{group}\"\nport = {media}\n\
             rtcp_port = 0\nburst_port = {burst}\nmikey_port = {mikey}\niface = \"lo\"\n\
             codecs = [{{ payload_type = 97, encoding = \"AMR/8000/1\" }}]\nsdp_out = \"{}\"\n\
             input = {}\n",
            text(&files.path("broadcast.state")),
            text(&files.path("group.sdp")),
            input(&files, address),
        );
        files.write("broadcast.toml", config);
        let issuer = Issuer::new(Profile::default());
        let message = base64(&issuer.msk_message(1));
        let entry = format!("[[msk_message]]\nbase64 = \"{message}\"\n");
        files.write("keys.toml", issuer.muk_entry() + &entry);
        Self { files, mikey, input: address }
    }

    /// Starts the broadcaster; `listens`: waits for its address, which is returned too.
    fn broadcast(&self, more: &[&str], listens: bool) -> (Process, String) {
        let config = self.files.path("broadcast.toml");
        let mut command = program();
        command.args(["broadcast", "--json", "--config", text(&config)]).args(more);
        let mut process = Process::start(command);
        let address = if listens {
            let line = process.line().expect("an address");
            line["listening"].as_str().unwrap().trim_start_matches("http://").to_owned()
        } else {
            String::new()
        };
        // Written when all sockets are open.
        wait_until("description", || self.files.path("group.sdp").exists());
        (process, address)
    }

    /// Starts a receiver for so many packets.
    fn receive(&self, packets: usize) -> Process {
        let mut command = program();
        let (packets, mikey) = (packets.to_string(), self.mikey.to_string());
        let path = |name| self.files.path(name);
        let (sdp, keys) = (path("group.sdp"), path("keys.toml"));
        let (media, events) = (self.media(), path("events.json"));
        command
            .args(["recv", "--json", "--iface", "lo", "--seconds", "60"])
            .args(["--packets", &packets, "--mikey-port", &mikey])
            .args(["--sdp", text(&sdp), "--keys", text(&keys)])
            .args(["--rtpdump", text(&media), "--events", text(&events)]);
        let mut process = Process::start(command);
        // The first line comes when the group is joined.
        process.line().expect("a report");
        process
    }

    fn media(&self) -> PathBuf {
        self.files.path("media.rtpdump")
    }

    /// What the receiver wrote.
    fn received(&self) -> Vec<Vec<u8>> {
        recorded(&std::fs::read(self.media()).unwrap())
    }
}

/// A program that runs; it ends with the test.
struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    fn start(mut command: std::process::Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line it prints.
    fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    /// Reads on until a line is as wanted.
    fn line_with(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..60 {
            let Some(line) = self.line() else { break };
            if wanted(&line) {
                return line;
            }
        }
        panic!("no line with {what}");
    }

    /// Asks it to end.
    fn terminate(&mut self) {
        let id = self.child.id().to_string();
        assert!(std::process::Command::new("kill").arg(&id).status().unwrap().success());
    }

    /// Waits for its end: exit code and last line.
    fn end(mut self) -> (Option<i32>, Value) {
        let mut last = Value::Null;
        while let Some(line) = self.line() {
            last = line;
        }
        (self.child.wait().unwrap().code(), last)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _code = self.child.wait();
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One HTTP exchange: status and body.
fn ask(address: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

const JSON: &str = "Content-Type: application/json\r\n";
const PATH: &str = "/v1/channels/group%2017/document";

fn udp(_: &Files, address: SocketAddr) -> String {
    format!("{{ udp = \"{address}\" }}")
}

/// Sends packets with these numbers, not faster than they can be taken.
fn talk(channel: &Channel, numbers: std::ops::Range<u16>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for seq in numbers {
        socket.send_to(&speech(seq), channel.input).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn pushed_document_puts_udp_input_on_the_air_and_recv_hears_it_over_a_crash() {
    let keys = "[http]\nlisten = \"127.0.0.1:0\"";
    let channel = Channel::new("239.255.91.1", keys, udp);
    let (mut broadcast, at) = channel.broadcast(&[], true);
    assert_eq!(ask(&at, "GET", "/v1/health", "", b"").0, 503, "no key yet");
    let other = ask(&at, "PUT", "/v1/channels/group%2018/document", JSON, &document());
    assert_eq!(other.0, 422, "{}", other.1);
    let (status, body) = ask(&at, "PUT", PATH, JSON, &document());
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &report["holds"]), (200, &Value::from(3)), "{body}");
    let on_air = |line: &Value| line["channels"][0]["mki"].is_string();
    broadcast.line_with("a key", on_air);
    assert_eq!(ask(&at, "GET", "/v1/health", "", b"").0, 200);

    let receiver = channel.receive(150);
    talk(&channel, 0..100);
    let line = broadcast.line_with("packets", |line| line["channels"][0]["packets_out"] == 100);
    assert!(line["channels"][0]["mtk_changes"].as_u64().unwrap() >= 1, "{line}");
    let (_, metrics) = ask(&at, "GET", "/metrics", "", b"");
    let out = "mcast_srtp_broadcast_packets_out_total{channel=\"group 17\"} 100";
    assert!(metrics.contains(out), "{metrics}");

    // Killed, not asked: the journal alone is left.
    broadcast.child.kill().unwrap();
    broadcast.child.wait().unwrap();
    let (mut broadcast, _) = channel.broadcast(&[], true);
    broadcast.line_with("a key", on_air);
    talk(&channel, 100..150);
    let (code, last) = receiver.end();
    assert_eq!(code, Some(0), "{last}");
    assert_eq!(channel.received(), (0..150).map(speech).collect::<Vec<_>>());
    broadcast.terminate();
    let (code, last) = broadcast.end();
    assert_eq!((code, &last["last"]), (Some(0), &Value::from(true)));
    assert_eq!(last["channels"][0]["version"], 3);
}

#[test]
fn recording_is_sent_in_its_own_time_with_talk_bursts_from_a_key_server_that_is_polled() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = server.local_addr().unwrap();
    let (tell, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut len) = (String::new(), 0);
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    len = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; len];
            reader.read_exact(&mut body).unwrap();
            let answer = match first.as_str() {
                get if get.contains("after=0") => document(),
                get if get.starts_with("GET") => {
                    std::thread::sleep(Duration::from_millis(200));
                    Vec::new()
                }
                _ => b"{\"changed\":true}".to_vec(),
            };
            let status = if answer.is_empty() { "204 No Content" } else { "200 OK" };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n\
                 Content-Length: {}\r\n\r\n",
                answer.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &answer].concat());
            let _ = tell.send((first, String::from_utf8(body).unwrap()));
        }
    });
    let keys = format!("[key_server]\nurl = \"http://{url}\"");
    let channel = Channel::new("239.255.91.2", &keys, |files, _| {
        let mut file = b"#!rtpplay1.0 127.0.0.1/5004\n".to_vec();
        file.extend([0; 16]);
        for seq in 0..40_u16 {
            let packet = speech(seq);
            let len = u16::try_from(packet.len()).unwrap();
            file.extend((len + 8).to_be_bytes());
            file.extend(len.to_be_bytes());
            // A pause in the middle, and one before, so that the receiver can get ready.
            let at = 4_000 + 20 * u32::from(seq) + if seq < 20 { 0 } else { 1_000 };
            file.extend((if seq == 0 { 0 } else { at }).to_be_bytes());
            file.extend(packet);
        }
        let file = files.write("speech.rtpdump", file);
        format!("{{ file = \"{}\", talker = \"sip:alice@example.com\" }}", text(&file))
    });
    let (broadcast, _) = channel.broadcast(&["--once"], false);
    let receiver = channel.receive(39);
    let (code, last) = receiver.end();
    assert_eq!(code, Some(0), "{last}");
    let received = channel.received();
    // The first is sent when the key is there, and may have been too early.
    let first = u16::from(received[0] != speech(0));
    assert_eq!(received, (first..first + 39).map(speech).collect::<Vec<_>>());
    let (code, last) = broadcast.end();
    assert_eq!(code, Some(0), "{last}");
    // Taken and Idle for each of the three spurts.
    assert_eq!(last["channels"][0]["packets_out"], 40 + 6, "{last}");
    let events = std::fs::read_to_string(channel.files.path("events.json")).unwrap();
    assert!(events.contains("alice@example.com"), "{events}");

    let asked: Vec<_> = asked.try_iter().collect();
    let has = |part: &str| asked.iter().any(|(line, _)| line.contains(part));
    let first = "GET /v1/channels/group%2017/document?after=0&wait=20&broadcaster=east ";
    assert!(has(first), "{asked:?}");
    assert!(has("?after=3&"), "which says that version 3 is held: {asked:?}");
    let report = asked.iter().find(|(line, _)| line.starts_with("POST ")).unwrap();
    assert!(report.0.contains("/v1/channels/group%2017/broadcasters/east/report"), "{report:?}");
    assert!(report.1.contains("\"holds\":3"), "{report:?}");
}

#[test]
fn configuration_that_cannot_work_is_refused_with_its_line_and_secrets_are_named_not_shown() {
    let files = Files::new();
    let check = |config: &str| {
        let path = files.write("broadcast.toml", config);
        run(&["broadcast", "--check", "--config", text(&path)])
    };
    let good = format!(
        "[state]\nfile = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n[[channel]]\nname = \"17\"\n\
         group = \"239.1.1.1\"\nport = 49170\n",
        text(&files.path("state"))
    );
    assert_eq!(check(&good).status.code(), Some(0));
    assert!(!files.path("state").exists(), "a check changes nothing");
    let unicast = good.replace("239.1.1.1", "10.1.1.1");
    assert_refused(&check(&unicast), &["broadcast.toml:7:", "field group", "not a multicast"]);
    let token = files.write("token", "short-secret");
    let token = good.replace("[[channel]]", &format!("token = \"{}\"\n[[channel]]", text(&token)));
    let refused = check(&token);
    assert_refused(&refused, &["[http] token", "16 characters"]);
    assert!(!common::stderr(&refused).contains("short-secret"));
}
