//! The packet path calls the system for something else than datagrams: a lane under load receives once a
//! batch, waits and sleeps, and does nothing besides, however often keys change.
//!
//! A second process runs the gateway under `strace`, and this one reads what its lane's thread has called.

// The calls have other names on other processors.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[path = "common/group.rs"]
#[expect(dead_code, reason = "burst control and MSK variants are for other tests")]
mod group;
#[path = "fears/sockets.rs"]
mod sockets;

use std::{
    collections::BTreeMap,
    env, fs,
    net::SocketAddr,
    process::{Command, Stdio},
};

use group::{Keys, TALKER, media, muk, muk_id};
use mcast_srtp::{Gateway, ids::GroupId};
use sockets::{free_port, sender, spec, wait_until};

const INSIDE: &str = "MCAST_SRTP_TRACED";
const TEST: &str = "warm_lane_calls_the_system_once_a_batch_even_in_a_storm_of_key_changes";

#[test]
fn warm_lane_calls_the_system_once_a_batch_even_in_a_storm_of_key_changes() {
    if env::var_os(INSIDE).is_some() {
        return carry_load();
    }
    let trace = env::temp_dir().join(format!("mcast-srtp-trace-{}", std::process::id()));
    let strace = |program: &std::ffi::OsStr| {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o"]).arg(&trace).arg(program).env(INSIDE, "1");
        command
    };
    let possible = strace("true".as_ref()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("{TEST}: strace is not there, or may not trace here");
        return;
    }
    let this = env::current_exe().expect("a test knows its program");
    let inside = strace(this.as_os_str())
        .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
        .output()
        .expect("strace ran a moment ago");
    let output = String::from_utf8_lossy(&inside.stdout).into_owned()
        + &String::from_utf8_lossy(&inside.stderr);
    assert!(inside.status.success() && output.contains("1 passed"), "{output}");
    let text = fs::read_to_string(&trace).expect("strace has written it");
    let _ = fs::remove_file(&trace);

    let storm = Calls::of_lane(&text, "storm");
    let others = |calls: &Calls, allowed: &[&str]| -> Vec<String> {
        calls.counts.keys().filter(|name| !allowed.contains(&name.as_str())).cloned().collect()
    };
    // The drops of a socket are read once a second.
    let of_packets = ["recvmmsg", "epoll_wait", "clock_nanosleep", "getsockopt"];
    assert_eq!(others(&storm, &of_packets), [""; 0], "{storm:?}");
    storm.assert_one_receive_a_batch();

    // A key message on the group's address may have to wake the key thread, and its table the lane if it
    // holds packets back for it: a few calls for a message, none for a packet.
    let messages = Calls::of_lane(&text, "messages");
    let of_keys = [&of_packets[..], &["futex", "recvfrom"]].concat();
    assert_eq!(others(&messages, &of_keys), [""; 0], "{messages:?}");
    let [wakes, woken] = ["futex", "recvfrom"].map(|name| messages.count(name));
    assert!(wakes <= 2 * BATCHES && woken <= 2 * BATCHES, "{messages:?}");
    messages.assert_one_receive_a_batch();
}

/// What one thread has called, by name.
#[derive(Debug, Default)]
struct Calls {
    counts: BTreeMap<String, usize>,
    /// Waits that have found datagrams.
    ready: usize,
    /// Receive calls that have filled a batch, so that there may be more.
    full: usize,
}

impl Calls {
    /// The calls of the lane's thread between two marks.
    fn of_lane(trace: &str, phase: &str) -> Self {
        let mark = |edge: &str| format!("/mcast-srtp/{phase}/{edge}/");
        let inside = trace.split_once(&mark("begin")).expect("begun").1;
        let (lane, rest) = inside.split_once('"').expect("a mark ends");
        let lines = rest.split_once(&mark("end")).expect("ended").0.lines();
        let mut calls = Self::default();
        let lane = format!("{lane} ");
        for line in lines.filter_map(|line| line.strip_prefix(&lane)) {
            // One that was interrupted by another thread's stands on two lines, with its result on the
            // second.
            let Some((call, result)) = line.rsplit_once(" = ") else { continue };
            let call = call.trim_start().trim_start_matches("<... ");
            let name = call.split(['(', ' ']).next().unwrap_or_default();
            *calls.counts.entry(name.to_owned()).or_default() += 1;
            let number = result.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
            calls.ready += usize::from(name == "epoll_wait" && number > 0);
            calls.full += usize::from(name == "recvmmsg" && number == 64);
        }
        calls
    }

    fn count(&self, name: &str) -> usize {
        self.counts.get(name).copied().unwrap_or(0)
    }

    fn assert_one_receive_a_batch(&self) {
        let received = self.count("recvmmsg");
        // The wait before the first one may lie before the mark.
        assert!(received > 0 && received <= self.ready + self.full + 1, "{self:?}");
        assert!(self.count("clock_nanosleep") <= self.ready + 1, "{self:?}");
    }
}

/// Inside: a gateway, packets, and many changes of keys.
fn carry_load() {
    let (keys, group) = (Keys::default(), SocketAddr::new([239, 255, 77, 1].into(), free_port()));
    let gateway = Gateway::builder()
        .muk(muk_id("c1"), muk("c1"))
        .group(spec(group).with_key_message(keys.msk_message(1, 1)))
        .start(|_| ())
        .unwrap();
    let multicast = sender(group.ip(), None);
    multicast.send(&keys.mtk_message(1, 1), group).unwrap();
    wait_until("the key", || gateway.stats().keys.mtk == 1);
    let mut sent = 0;
    let mut batch = |gateway: &Gateway, mtk: u16| {
        let key = keys.traffic_key(1, mtk);
        for _ in 0..PACKETS {
            sent += 1;
            multicast.send(&media(&key, TALKER, sent), group).unwrap();
        }
        wait_until("media", || gateway.stats().groups[0].2.media == sent);
    };
    (0..10).for_each(|_| batch(&gateway, 1));

    let lane = lane_thread();
    mark("storm", "begin", lane);
    for number in 0..BATCHES {
        // Keys that are there before anything is sent under them, as they should be.
        let mki = mcast_srtp::ids::Mki::new(&(number as u32).to_be_bytes()).unwrap();
        let profile = keys.profile.with_mki_len(4);
        gateway.insert_traffic_key(GroupId(0), mki, profile, &[7; 16], &[8; 14]).unwrap();
        batch(&gateway, 1);
    }
    mark("storm", "end", lane);
    mark("messages", "begin", lane);
    for mtk in 2..2 + BATCHES as u16 {
        multicast.send(&keys.mtk_message(1, mtk), group).unwrap();
        batch(&gateway, mtk);
    }
    mark("messages", "end", lane);
    assert!(gateway.stats().keys.publishes > 2 * BATCHES as u64);
    assert_eq!(gateway.stats().groups[0].2.rejects.total(), 0);
}

fn lane_thread() -> u32 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let lane = |task: &std::path::PathBuf| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "mcast-lane")
    };
    let task = tasks.into_iter().find(lane).unwrap();
    task.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// Leaves a mark in the trace: a call that names a file nobody has.
fn mark(phase: &str, edge: &str, lane: u32) {
    assert!(!fs::exists(format!("/mcast-srtp/{phase}/{edge}/{lane}")).unwrap());
}

const BATCHES: usize = 50;
const PACKETS: usize = 60;
