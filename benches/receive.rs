//! Processor time that a lane spends on receiving a datagram, by number of groups and how they share
//! sockets. A thread of the same process sends at a fixed rate over the loopback interface; the lane's
//! time is what the kernel says (`/proc/self/task/*/schedstat`), waking and waiting included.
//!
//! `cargo bench --bench receive -- 64 250` measures these numbers of groups.
//!
//! Datagrams are of a foreign protocol, so that nothing but receiving and sorting them is measured.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    path::PathBuf,
    time::{Duration, Instant},
};

use mcast_srtp::{
    Error, Gateway,
    group::{GroupSpec, Interface, MediaSpec, RtcpPlace},
    net::{ReceiveOptions, SendOptions, SendSocket},
};

const OCTETS: usize = 200;
const PER_SECOND: u32 = 50_000;
/// Datagrams sent in one call; each to another group.
const BURST: usize = 50;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(1);

fn main() {
    println!(
        "{PER_SECOND} datagrams/s of {OCTETS} octets, bursts of {BURST} to as many groups as there \
         are; median of {ROUNDS} rounds"
    );
    println!("groups  sockets        open  lane ns/datagram  sender ns/datagram  lost");
    let ways = [
        ("one each", ReceiveOptions::default().with_sharing(usize::MAX, 1)),
        ("shared", ReceiveOptions::default().with_sharing(0, 100)),
        ("default", ReceiveOptions::default()),
    ];
    let asked: Vec<u16> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    let usual = [1, 4, 16, 64, 250, 1000];
    for groups in if asked.is_empty() { usual.to_vec() } else { asked } {
        for (name, options) in ways {
            match measure(groups, &options) {
                Ok(Measured { open, lane, sender, lost }) => {
                    println!("{groups:>6}  {name:<12} {open:>6} {lane:>17} {sender:>19} {lost:>5}");
                }
                Err(error) => println!("{groups:>6}  {name:<12} {error}"),
            }
        }
    }
}

struct Measured {
    open: usize,
    lane: u64,
    sender: u64,
    lost: u64,
}

fn measure(groups: u16, options: &ReceiveOptions) -> Result<Measured, Error> {
    let port = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.local_addr());
    let port = port.map_or(49_170, |address| address.port());
    let lo = Interface::name("lo");
    let groups: Vec<SocketAddr> = (0..groups)
        .map(|n| {
            let [high, low] = n.to_be_bytes();
            SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 200, high, low)), port)
        })
        .collect();
    let mut gateway = Gateway::builder().receive_options(*options).start(|_| {})?;
    for group in &groups {
        let media = MediaSpec::rtp(group.ip(), port).with_rtcp(RtcpPlace::None);
        let spec = GroupSpec::new(group.to_string(), lo.clone()).with_media(media);
        gateway.join(spec.with_mikey_port(None))?;
    }
    let lane = task_of("mcast-lane");
    let socket = SendSocket::open(groups[0].ip(), &lo, &SendOptions::default())?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let received = || gateway.stats().groups.iter().map(|(_, _, g)| g.datagrams).sum::<u64>();
        let (before, lane_before) = (received(), ran(&lane));
        let (sent, sender) = send(&socket, &groups)?;
        std::thread::sleep(Duration::from_millis(50));
        let (received, lane_time) = (received() - before, ran(&lane) - lane_before);
        rounds.push((lane_time / received.max(1), sender / sent, sent - received));
    }
    rounds.sort_unstable();
    let (lane, sender, _) = rounds[ROUNDS / 2];
    let lost = rounds.iter().map(|round| round.2).sum();
    Ok(Measured { open: gateway.stats().sockets.open, lane, sender, lost })
}

/// Sends for one round; how many, and the time on the processor.
fn send(socket: &SendSocket, groups: &[SocketAddr]) -> Result<(u64, u64), Error> {
    let payload = [0x20; OCTETS];
    let this = PathBuf::from("/proc/thread-self");
    let (start, before) = (Instant::now(), ran(&this));
    let gap = Duration::from_secs(1) / PER_SECOND * BURST as u32;
    let (mut sent, mut next) = (0, 0);
    while start.elapsed() < ROUND {
        let batch: Vec<(&[u8], SocketAddr)> =
            (next..next + BURST).map(|n| (&payload[..], groups[n * 7 % groups.len()])).collect();
        next += BURST;
        sent += socket.send_batch(&batch)? as u64;
        let due = start + gap * (next / BURST) as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok((sent, ran(&this) - before))
}

/// The thread of this process that has this name.
fn task_of(name: &str) -> PathBuf {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let named =
        |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|c| c.trim() == name);
    tasks.map(|task| task.path()).find(named).expect("the gateway has a lane")
}

/// Nanoseconds that a thread has had a processor.
fn ran(task: &std::path::Path) -> u64 {
    let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}
