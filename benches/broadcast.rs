//! The broadcast service: what a packet costs, and how late the key messages of many groups leave.
//!
//! `cargo bench --features service --bench broadcast [-- packet | schedule [SECONDS]]`. Everything goes
//! to groups on the loopback interface that nobody has joined; the journal is in the target folder, so
//! that commits are those of its disk.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use mcast_srtp::{
    broadcast::{ChannelDocument, ChannelId, DocumentMsk},
    group::{GroupSpec, Interface, MediaSpec, RtcpPlace},
    ids::{KeyDomainId, MskId, MtkId},
    keys::{Interval, Msk},
    net::SendOptions,
    secret::SecretBytes,
    service::{BroadcastChannel, BroadcastService, BroadcastServiceOptions},
    srtp::Profile,
    state::StateOptions,
};

fn main() {
    let args: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let wants = |name: &str| args.is_empty() || args.iter().any(|arg| arg == name);
    if wants("packet") {
        for (name, profile) in [("cm", Profile::default()), ("gcm", Profile::AEAD_AES_128_GCM)] {
            for len in [32, 160, 1200] {
                packet(name, profile, len);
            }
        }
    }
    if wants("schedule") {
        let seconds = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(30);
        schedule(1000, Duration::from_secs(seconds));
    }
}

/// Packets handed in as fast as the service takes them.
fn packet(name: &str, profile: Profile, len: usize) {
    const PACKETS: u32 = 200_000;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let service = service(&folder);
    open(&service, 0, profile, None);
    let input = service.input(&id(0), 0).unwrap();
    let sent = || service.counters().channels[0].1.packets_out;
    let (start, cpu) = (Instant::now(), sender_time());
    for number in 0..PACKETS {
        let mut next = rtp(number, len);
        while let Err((_, back)) = input.push(next) {
            next = back;
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    while sent() < PACKETS.into() {
        std::thread::sleep(Duration::from_micros(50));
    }
    let per_packet = |time: Duration| time.as_nanos() / u128::from(PACKETS);
    let (wall, cpu) = (per_packet(start.elapsed()), per_packet(sender_time() - cpu));
    println!("packet/{name}/{len}: {cpu} ns of the sending thread, {wall} ns wall");
    service.stop();
}

/// Groups whose MTK changes every second, each at a moment of its own.
fn schedule(groups: u32, time: Duration) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let service = service(&folder);
    for number in 0..groups {
        open(&service, number, Profile::default(), Some(Duration::from_secs(1)));
    }
    // The first periods are cut down, so that the changes spread.
    std::thread::sleep(Duration::from_secs(2));
    let (before, cpu) = (service.counters(), sender_time());
    std::thread::sleep(time);
    let (after, cpu) = (service.counters(), sender_time() - cpu);
    let late = after.late;
    let changes = |of: &mcast_srtp::service::broadcast::BroadcastCounters| -> u64 {
        of.channels.iter().map(|(_, counters)| counters.mtk_changes).sum()
    };
    let seconds = time.as_secs_f64();
    println!(
        "schedule/{groups} groups, {seconds} s: {:.0} key messages/s, {:.0} MTK changes/s, {:.0} \
         commits/s; late p50 {:?}, p99 {:?}, max {:?}, mean {:?}; {:.1} % of a core",
        (late.count() - before.late.count()) as f64 / seconds,
        (changes(&after) - changes(&before)) as f64 / seconds,
        (after.commits - before.commits) as f64 / seconds,
        late.quantile(0.5),
        late.quantile(0.99),
        late.max(),
        late.mean(),
        100.0 * cpu.as_secs_f64() / seconds,
    );
    service.stop();
}

fn service(folder: &tempfile::TempDir) -> BroadcastService {
    let state = StateOptions::new(folder.path().join("state"));
    BroadcastService::start(BroadcastServiceOptions::new(state)).unwrap()
}

fn id(number: u32) -> ChannelId {
    format!("group {number}").as_str().into()
}

/// Opens a channel, and waits until it has a key.
fn open(service: &BroadcastService, number: u32, profile: Profile, mtk_period: Option<Duration>) {
    let [.., high, low] = number.to_be_bytes();
    let address = IpAddr::from([239, 255, 100 + high, low]);
    let media = MediaSpec::rtp(address, 40_000).with_rtcp(RtcpPlace::None);
    let spec = GroupSpec::new(id(number).as_str(), Interface::name("lo")).with_media(media);
    let source = SocketAddr::from(([0, 0, 0, 0], 0));
    let channel = BroadcastChannel::new(id(number).as_str(), spec)
        .with_send_options(SendOptions::default().with_source(source));
    service.open(channel).unwrap();
    let msk_id = MskId { group: u16::from_be_bytes([high, low]), number: 1 };
    let msk = Arc::new(Msk { key: SecretBytes::new(&[7; 16]), rand: vec![8; 16] });
    let interval = Interval { low: MtkId(0), high: MtkId(u16::MAX) };
    let document = ChannelDocument {
        channel: id(number),
        broadcaster: None,
        version: 1,
        domain: KeyDomainId([0, 0xf1, 0x10]),
        profile,
        mtk_period,
        msks: vec![DocumentMsk { msk_id, msk, interval }],
        in_force: msk_id,
    };
    service.follow(document).unwrap();
    while service.report(&id(number)).unwrap().mki.is_none() && mtk_period.is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn rtp(number: u32, len: usize) -> Vec<u8> {
    let [.., s0, s1] = number.to_be_bytes();
    let mut packet = Vec::with_capacity(12 + len + 32);
    packet.extend([0x80, 97, s0, s1, 0, 0, 0, 1, 0, 0, 0, 7]);
    packet.resize(12 + len, 0x5a);
    packet
}

/// Processor time of the thread that protects and sends.
fn sender_time() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let time = tasks.filter_map(|task| {
        let path = task.ok()?.path();
        let name = fs::read_to_string(path.join("comm")).ok()?;
        let stat = fs::read_to_string(path.join("schedstat")).ok()?;
        let nanos = stat.split(' ').next()?.parse().ok()?;
        (name.trim() == "bcast").then(|| Duration::from_nanos(nanos))
    });
    time.max().unwrap_or_default()
}
