//! What it costs the key server to issue: an expulsion from a channel of 10 000, confirmations, a restart.
//!
//! `cargo bench --features state --bench issue [FILTER]`. The file is in the target folder, so that the figures
//! of commits are those of its disk. Datagrams go to 10 000 addresses of the loopback interface, behind which one
//! socket throws most of them away.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use criterion::{Bencher, Criterion};
use mcast_srtp::{
    broadcast::ChannelId,
    group::Interface,
    ids::KeyDomainId,
    keys::{KeyPlane, Muk, MukId, PlaneLimits},
    keyserver::{
        Action, ChannelSpec, ClientId, KeyServer, MskMessage, Reach, Retry, Route, Sender, Timing,
        UpdateCause,
    },
    net::{SendOptions, SendSocket},
    secret::Secret,
    state::{KeyServerState, StateOptions},
};

const CLIENTS: u32 = 10_000;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(3))
        .sample_size(10)
        .without_plots()
        .configure_from_args();

    let mut group = criterion.benchmark_group("expel");
    for (name, stage) in STAGES {
        group.bench_function(*name, |b| expel(b, *stage));
    }
    group.finish();
    let mut group = criterion.benchmark_group("confirm");
    for count in [1, 64] {
        group.bench_function(count.to_string(), |b| confirm(b, count));
    }
    group.finish();
    criterion.bench_function("restore", restore);
    criterion.final_summary();
}

/// The parts of an expulsion, by what they take of the four measured times.
type Stage = fn(&Times) -> Duration;

const STAGES: &[(&str, Stage)] = &[
    ("messages", |times| times.messages),
    ("records", |times| times.records),
    ("commit", |times| times.commit),
    ("send", |times| times.send),
    ("whole", |times| times.messages + times.commit + times.send),
];

#[derive(Default)]
struct Times {
    messages: Duration,
    /// A part of `commit` in the other lines.
    records: Duration,
    commit: Duration,
    send: Duration,
}

fn expel(b: &mut Bencher<'_>, stage: Stage) {
    let (mut service, with_records) = (Service::begin(), stage(&RECORDS_ONLY) > Duration::ZERO);
    let socket = service.sender();
    b.iter_custom(|iterations| {
        (0..iterations).map(|_| stage(&service.expel_one(&socket, with_records))).sum()
    });
}

const RECORDS_ONLY: Times = Times {
    messages: Duration::ZERO,
    records: Duration::from_secs(1),
    commit: Duration::ZERO,
    send: Duration::ZERO,
};

/// Confirmations that one commit makes durable, each with its own verification message.
fn confirm(b: &mut Bencher<'_>, count: usize) {
    let mut service = Service::begin();
    b.iter_custom(|iterations| {
        let mut time = Duration::ZERO;
        for _ in 0..iterations {
            let messages = service.update();
            let answers: Vec<_> = messages.iter().take(count).map(answer).collect();
            let now = service.now;
            let start = Instant::now();
            for (client, answer) in &answers {
                service.server.receive(answer, Sender::Client(client), now).unwrap();
            }
            assert!(service.commit());
            time += start.elapsed();
            service.settle();
        }
        time
    });
}

/// A start with the state of 10 000 members, who hold all they should.
fn restore(b: &mut Bencher<'_>) {
    let mut service = Service::begin();
    let messages = service.update();
    for (client, answer) in messages.iter().map(answer) {
        service.server.receive(&answer, Sender::Client(&client), service.now).unwrap();
    }
    service.settle();
    let Service { path, state, .. } = &mut service;
    let mut state = Some(std::mem::replace(state, open(&path.with_extension("other"))));
    b.iter_custom(|iterations| {
        let mut time = Duration::ZERO;
        for _ in 0..iterations {
            drop(state.take());
            let start = Instant::now();
            let mut opened = open(path);
            let now = Instant::now();
            let (server, actions) =
                opened.restore(Timing::default(), now, SystemTime::now()).unwrap();
            time += start.elapsed();
            assert_eq!(server.clients().count(), CLIENTS as usize);
            assert!(matches!(&actions[..], [Action::Publish(_)]), "all hold what they should");
            state = Some(opened);
        }
        time
    });
}

/// A key server with a channel of 10 000 members and its state.
struct Service {
    server: KeyServer,
    state: KeyServerState,
    path: PathBuf,
    channel: ChannelId,
    now: Instant,
    begun: Instant,
    random: u64,
    sink: UdpSocket,
    _folder: tempfile::TempDir,
}

impl Service {
    fn begin() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path().join("state");
        let sink = UdpSocket::bind("0.0.0.0:0").unwrap();
        let (mut state, now) = (open(&path), Instant::now());
        // One copy of each message: repeats are not what is measured here.
        let once = Retry::new(Duration::from_secs(1), Duration::from_secs(1), 1);
        let mut timing = Timing::default();
        (timing.udp, timing.sdp) = (once, once);
        let (server, _) = state.restore(timing, now, SystemTime::now()).unwrap();
        let channel = ChannelId::from("group 17");
        let mut service = Self {
            server,
            state,
            path,
            channel,
            now,
            begun: now,
            random: 0,
            sink,
            _folder: folder,
        };
        service.fill();
        service
    }

    fn fill(&mut self) {
        let port = self.sink.local_addr().unwrap().port();
        for place in 0..CLIENTS {
            let [_, _, c, d] = place.to_be_bytes();
            let reach = Reach::Udp(SocketAddr::from(([127, 1, c, d], port)));
            self.server.add_client(&client(place), muk_id(place), muk(place), reach).unwrap();
        }
        let spec = ChannelSpec::new(KeyDomainId([0x00, 0xf1, 0x10]), 1);
        let (channel, now) = (&self.channel, self.now);
        self.server.open_channel(channel, spec, now, &mut fresh(&mut self.random)).unwrap();
        for place in 0..CLIENTS {
            self.server.join(&self.channel, &client(place), self.now).unwrap();
        }
        assert!(self.commit());
        self.settle();
    }

    /// Expels one client, carries it out, and takes the client back in.
    fn expel_one(&mut self, socket: &SendSocket, with_records: bool) -> Times {
        let (mut times, expelled, now) = (Times::default(), client(17), self.now);
        let mut start = Instant::now();
        let mut lap = || std::mem::replace(&mut start, Instant::now()).elapsed();
        let (channel, expelled) = (&self.channel, std::slice::from_ref(&expelled));
        let actions =
            self.server.expel(channel, expelled, now, &mut fresh(&mut self.random)).unwrap();
        times.messages = lap();
        if with_records {
            let records = self.server.take_changes(now, SystemTime::now());
            times.records = lap();
            assert_eq!(records.len(), CLIENTS as usize + 3, "{:?}", records.first());
        } else {
            assert!(self.state.commit(&mut self.server, now, SystemTime::now()).unwrap());
            times.commit = lap();
        }
        let messages = msk_messages(actions);
        assert_eq!(messages.len(), CLIENTS as usize - 1);
        lap();
        let datagrams: Vec<_> = messages
            .iter()
            .filter_map(|message| match message.to {
                Route::Udp(to) => Some((&message.octets[..], to)),
                Route::SdpOffer | Route::SdpAnswer => None,
            })
            .collect();
        assert_eq!(socket.send_batch(&datagrams).unwrap(), datagrams.len());
        times.send = lap();
        self.settle();
        self.server.readmit(&self.channel, &expelled[0]).unwrap();
        self.server.join(&self.channel, &expelled[0], self.now).unwrap();
        self.settle();
        times
    }

    /// Starts an update; its messages.
    fn update(&mut self) -> Vec<MskMessage> {
        let (channel, cause, now) = (&self.channel, UpdateCause::Command, self.now);
        let actions =
            self.server.update(channel, cause, now, &mut fresh(&mut self.random)).unwrap();
        assert!(self.commit());
        msk_messages(actions)
    }

    /// The update is over, and nobody is waited for.
    fn settle(&mut self) {
        for _ in 0..2 {
            self.now += Duration::from_secs(20);
            self.server.poll(self.now, &mut fresh(&mut self.random));
        }
        self.commit();
        assert_eq!(self.server.coming_msk(&self.channel), None);
    }

    fn commit(&mut self) -> bool {
        let wall = SystemTime::now() + (self.now - self.begun);
        self.state.commit(&mut self.server, self.now, wall).unwrap()
    }

    fn sender(&self) -> SendSocket {
        let any = IpAddr::from(Ipv4Addr::new(239, 255, 0, 1));
        SendSocket::open(any, &Interface::name("lo"), &SendOptions::default()).unwrap()
    }
}

fn open(path: &std::path::Path) -> KeyServerState {
    KeyServerState::open(StateOptions::new(path).sealed_with(Secret::new([1; 32]))).unwrap()
}

fn msk_messages(actions: Vec<Action>) -> Vec<MskMessage> {
    let messages = actions.into_iter().filter_map(|action| match action {
        Action::SendMsk(message) => Some(message),
        _ => None,
    });
    messages.collect()
}

/// The client of a message, and its verification message.
fn answer(message: &MskMessage) -> (ClientId, Vec<u8>) {
    let place = message.client.as_str().parse().unwrap();
    let mut plane = KeyPlane::new(PlaneLimits::default());
    plane.insert_muk(muk_id(place), muk(place)).unwrap();
    let taken = plane.receive(None, &message.octets, Instant::now()).unwrap();
    (message.client.clone(), taken.verification().unwrap().to_vec())
}

fn client(place: u32) -> ClientId {
    ClientId::from(&*place.to_string())
}

fn muk_id(place: u32) -> MukId {
    MukId { idi: "bmsc.example".into(), idr: format!("c{place}@bsf.example") }
}

fn muk(place: u32) -> Muk {
    let mut octets = [2; 32];
    octets[..4].copy_from_slice(&place.to_be_bytes());
    Muk(Secret::new(octets))
}

fn fresh(next: &mut u64) -> impl FnMut(&mut [u8]) {
    |out| {
        *next += 1;
        out.fill(3);
        out.iter_mut().zip(next.to_be_bytes()).for_each(|(place, octet)| *place = octet);
    }
}
