//! `recv` on the loopback interface: what was protected and sent comes out in the clear.

mod common;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    process::{Child, Output, Stdio},
    time::{Duration, Instant},
};

use common::{ALICE, Files, Issuer, base64, program, recorded, stderr, text};
use mcast_srtp::{
    group::Interface,
    net::{SendOptions, SendSocket},
    srtp::Profile,
    wire::rtp::RtpView,
};
use serde_json::Value;

/// A talk group with ports of its own, described for the program.
struct Group {
    address: IpAddr,
    media: u16,
    issuer: Issuer,
    socket: SendSocket,
    seq: u16,
}

impl Group {
    fn new(address: &str, media: u16, profile: Profile) -> Self {
        let address: IpAddr = address.parse().unwrap();
        let loopback = Interface::Addr("127.0.0.1".parse().unwrap());
        let socket = SendSocket::open(address, &loopback, &SendOptions::default()).unwrap();
        // Wraps soon.
        Self { address, media, issuer: Issuer::new(profile), socket, seq: 65_500 }
    }

    fn sdp(&self) -> String {
        let burst = self.media + 2;
        format!(
            "v=0\r\no=poc 1 1 IN IP4 127.0.0.1\r\ns=Group 17\r\nt=0 0\r\n\
             c=IN IP4 {}/1\r\na=key-mgmt:mikey {}\r\n\
             m=audio {} RTP/SAVP 97\r\na=rtpmap:97 AMR/8000/1\r\n\
             m=application {burst} udp TBCP\r\n",
            self.address,
            base64(&self.issuer.msk_message(1)),
            self.media,
        )
    }

    fn mikey_port(&self) -> u16 {
        self.media + 4
    }

    /// Sends the MTK message, an announcement, ten packets and the end of the burst.
    fn burst(&mut self) {
        self.send(self.mikey_port(), &self.issuer.mtk_message());
        let taken = self.issuer.taken();
        self.send(self.media + 2, &taken);
        for _ in 0..10 {
            let packet = self.issuer.media(self.seq, &payload(self.seq));
            self.send(self.media, &packet);
            self.seq = self.seq.wrapping_add(1);
        }
        let idle = self.issuer.idle();
        self.send(self.media + 2, &idle);
    }

    fn send(&self, port: u16, datagram: &[u8]) {
        // Before the program has joined nobody may be there.
        let _ = self.socket.send(datagram, SocketAddr::new(self.address, port));
    }
}

fn payload(seq: u16) -> Vec<u8> {
    format!("speech {seq}").into_bytes()
}

/// Starts `recv` for the group with these options more.
fn start(files: &Files, group: &Group, more: &[&str]) -> Child {
    let sdp = files.write("group.sdp", group.sdp());
    let keys = files.write("keys.toml", group.issuer.muk_entry());
    program()
        .args(["recv", "--iface", "127.0.0.1", "--sdp", text(&sdp), "--keys", text(&keys)])
        .args(["--mikey-port", &group.mikey_port().to_string()])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Sends talk bursts until the program has ended.
fn feed(group: &mut Group, mut child: Child) -> Output {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(30), "recv does not end");
        group.burst();
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

/// Checks that packets follow one another with the payload that was sent.
fn assert_as_sent(packets: &[Vec<u8>]) {
    let mut expected = None;
    for packet in packets {
        let view = RtpView::parse(packet).unwrap();
        let seq = view.seq().0;
        assert_eq!((view.ssrc(), view.payload_type()), (ALICE, 97));
        assert_eq!(view.payload(), payload(seq));
        assert_eq!(seq, expected.unwrap_or(seq));
        expected = Some(seq.wrapping_add(1));
    }
}

#[test]
fn media_comes_out_as_plain_rtp_and_bursts_as_json() {
    for (port, profile) in
        [(21_000, Profile::AES_CM_128_HMAC_SHA1_80), (21_010, Profile::AEAD_AES_256_GCM)]
    {
        let files = Files::new();
        let mut group = Group::new("239.255.73.1", port, profile);
        let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
        listener.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let to = listener.local_addr().unwrap().to_string();
        let (dump, events) = (files.path("media.rtpdump"), files.path("events.jsonl"));
        let more =
            ["--to", &to, "--rtpdump", text(&dump), "--events", text(&events), "--packets", "100"];
        let child = start(&files, &group, &more);
        let output = feed(&mut group, child);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

        let packets = recorded(&std::fs::read(&dump).unwrap());
        assert_eq!(packets.len(), 100);
        assert_as_sent(&packets);
        for packet in &packets {
            let mut octets = [0; 2048];
            let len = listener.recv(&mut octets).unwrap();
            assert_eq!(octets[..len], *packet);
        }

        let events = std::fs::read_to_string(&events).unwrap();
        let events: Vec<Value> =
            events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let taken = events.iter().find(|event| event["event"] == "taken").unwrap();
        assert_eq!(taken["group"], "Group 17");
        assert_eq!(taken["cname"], "sip:alice@example.com");
        assert_eq!(taken["talker"], ALICE.to_string());
        assert!(events.iter().any(|event| event["event"] == "idle"));

        let table = common::stdout(&output);
        assert!(table.contains("Group 17") && table.contains("media packets"), "{table}");
    }
}

#[test]
fn counters_are_printed_each_second_and_at_the_end() {
    let files = Files::new();
    let mut group = Group::new("239.255.73.2", 21_020, Profile::default());
    let child = start(&files, &group, &["--seconds", "2.3", "--json", "--gro"]);
    let output = feed(&mut group, child);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = common::json_lines(&output);
    assert!(lines.len() >= 3, "{lines:?}");
    let last = lines.last().unwrap();
    assert_eq!(last["last"], true);
    let counters = &last["groups"][0];
    assert_eq!(counters["group"], "Group 17");
    assert!(counters["media"].as_u64().unwrap() > 0 && last["keys"]["msk"] == 1, "{last:#}");
    assert_eq!(last["keys"]["mtk"], 1);
    let sockets = &last["sockets"];
    assert!(sockets["open"].as_u64().unwrap() > 0 && sockets["drops"] == 0, "{sockets}");
    assert!(last["keys"]["verdicts"]["key_repeated"].as_u64().unwrap() > 0, "{last:#}");
}

#[test]
fn too_few_packets_in_the_time_given_fail_the_command() {
    let files = Files::new();
    let group = Group::new("239.255.73.3", 21_030, Profile::default());
    let child = start(&files, &group, &["--seconds", "0.3", "--packets", "5"]);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("0 of 5 packets"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn interrupt_ends_the_reception_cleanly() {
    let files = Files::new();
    let mut group = Group::new("239.255.73.4", 21_040, Profile::default());
    let dump = files.path("media.rtpdump");
    let child = start(&files, &group, &["--rtpdump", text(&dump)]);
    let pid = child.id().to_string();
    let written = dump.clone();
    let interrupt = std::thread::spawn(move || {
        // It has begun to record when the file has more than its head.
        let begun = || std::fs::metadata(&written).is_ok_and(|about| about.len() > 512);
        let start = Instant::now();
        while !begun() && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
    });
    let output = feed(&mut group, child);
    interrupt.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_as_sent(&recorded(&std::fs::read(&dump).unwrap()));
    assert!(common::stdout(&output).contains("delivered"));
}

#[test]
fn port_in_use_is_told_with_its_number() {
    let taken = UdpSocket::bind("0.0.0.0:21050").unwrap();
    let files = Files::new();
    let group = Group::new("239.255.73.5", 21_050, Profile::default());
    let output = start(&files, &group, &["--seconds", "1"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("21050"), "{}", stderr(&output));
    drop(taken);
}
