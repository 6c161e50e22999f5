//! `recv` behind a relay that is a bad network: every datagram that the relay passed on is accounted
//! for, and every packet that got through is written once, with the octets that were sent.

mod common;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    sync::{atomic::AtomicBool, mpsc},
    thread,
    time::Duration,
};

use common::{Files, program, recorded, text};
use impair::{Bursts, End, Impairments, Outcome, Route, relay};
use loadgen::{Destination, Generator, Schedule, Traffic};
use mcast_srtp::wire::rtp::RtpView;
use serde_json::Value;

const COUNT: u64 = 600;
const PORT: u16 = 21_070;
const SCHEDULE: &str = include_str!("../../loadgen/schedule.toml");

/// Sends the schedule's stream into the network and returns what that says it did.
fn send_through_network(impairments: Impairments) -> Outcome {
    let address = |group: &str| format!("{group}:{PORT}").parse().unwrap();
    let route = Route { from: address("239.255.73.7"), to: address("239.255.73.8") };
    let loopback = impair::Interface::Address([127, 0, 0, 1].into());
    let end = End { datagrams: Some(COUNT), after: Some(Duration::from_secs(30)) };
    thread::scope(|scope| {
        let (ready, is_ready) = mpsc::channel();
        let relaying = scope.spawn(move || {
            let ready = move || ready.send(()).unwrap();
            let stop = AtomicBool::new(false);
            relay(&[route], Some(&loopback), impairments, 5, end, &stop, ready).unwrap()
        });
        is_ready.recv().unwrap();
        let traffic = Traffic { count: COUNT, rate: 500.0, ..Traffic::default() };
        let to = Destination {
            media: route.from,
            control_port: PORT + 1,
            interface: Some(loadgen::Interface::Address([127, 0, 0, 1].into())),
            ttl: 0,
        };
        // Two of the three keys: the third starts after eight seconds.
        let stream = Generator::new(traffic, Schedule::from_toml(SCHEDULE).unwrap()).unwrap();
        loadgen::send(&to, stream).unwrap();
        relaying.join().unwrap()
    })
}

/// Of the only group.
fn delivered_and_refused(report: &Value) -> (u64, u64) {
    let group = &report["groups"][0];
    let verdicts = group["verdicts"].as_object().unwrap().values();
    let refused = verdicts.map(|count| count.as_u64().unwrap()).sum();
    (group["media"].as_u64().unwrap(), refused)
}

#[test]
fn all_that_the_relay_passed_on_is_written_once_or_counted_under_a_reason() {
    let files = Files::new();
    let sdp = files.write(
        "group.sdp",
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=Group 17\r\nt=0 0\r\nc=IN IP4 239.255.73.8/1\r\n\
             m=audio {PORT} RTP/SAVP 97\r\na=rtpmap:97 AMR/8000/1\r\nb=RS:0\r\nb=RR:0\r\n"
        ),
    );
    let names_no_start = |line: &&str| !line.starts_with("at_");
    let keys: Vec<&str> = SCHEDULE.lines().filter(names_no_start).collect();
    let (keys, dump) = (files.write("keys.toml", keys.join("\n")), files.path("media.rtpdump"));
    let mut child = program()
        .args(["recv", "--iface", "127.0.0.1", "--mikey-port", "21074", "--json"])
        .args(["--sdp", text(&sdp), "--keys", text(&keys), "--rtpdump", text(&dump)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    // It reports each second, so that with the first line it has joined.
    lines.read_line(&mut String::new()).unwrap();

    let said = send_through_network(Impairments {
        drop: 0.05,
        bursts: Some(Bursts { enter: 0.01, leave: 0.3, loss: 0.9 }),
        delay: Duration::from_millis(5),
        jitter: Duration::from_millis(20),
        duplicate: 0.1,
        reorder: 0.05,
        late: Duration::from_millis(50),
        corrupt: 0.05,
    });
    assert_eq!((said.counts.sent, said.overrun, said.not_sent), (COUNT, 0, 0));
    // A packet whose MKI was damaged is held back for its whole time. Reports come each second.
    let mut accounted_for = || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let report: Value = serde_json::from_str(&line).unwrap();
        let (media, refused) = delivered_and_refused(&report);
        media + refused == said.counts.arrived
    };
    assert!((0..30).any(|_| accounted_for()), "{said:?}");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let report: Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
    let (media, refused) = delivered_and_refused(&report);
    let group = &report["groups"][0];
    assert_eq!(group["datagrams"], said.counts.arrived, "{report}");
    assert_eq!(media + refused, said.counts.arrived, "{report}");
    let verdicts = group["verdicts"].as_object().unwrap();
    // Nothing else is refused than second copies and what was damaged, of which some looks like a
    // second copy of another packet.
    let replayed = verdicts.get("replayed").and_then(Value::as_u64).unwrap_or(0);
    assert!((refused - replayed..=refused).contains(&said.counts.corrupted), "{report}");
    assert!(replayed > 20 && said.counts.corrupted > 10, "{report}");

    let packets = recorded(&std::fs::read(&dump).unwrap());
    assert_eq!(packets.len() as u64, media);
    let mut seen = BTreeSet::new();
    for packet in &packets {
        let rtp = RtpView::parse(packet).unwrap();
        // The streams of the load generator start with 1.
        let sent = u64::from(rtp.seq().0) - 1;
        assert_eq!(rtp.payload(), loadgen::payload(sent, 32));
        assert!(seen.insert(sent), "{sent} twice");
    }
}
