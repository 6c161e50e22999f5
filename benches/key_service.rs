//! An expulsion at the key service: from the request to its answer, when a new MSK for everybody who
//! remains is made, on disk and handed to the socket.
//!
//! `cargo bench --features service --bench key_service [FILTER]`. The file is in the target folder, so
//! that the figure includes its disk; the messages go to a socket on loopback that nobody reads.

use std::{
    collections::VecDeque,
    net::UdpSocket,
    time::{Duration, Instant},
};

use criterion::{Bencher, Criterion, Throughput};
use crossbeam_channel::{Receiver, bounded};
use mcast_srtp::{
    broadcast::ChannelId,
    ids::KeyDomainId,
    keys::{Muk, MukId},
    keyserver::{ChannelSpec, ClientId, Reach},
    secret::Secret,
    service::{KeyService, KeyServiceOptions, Request},
    state::StateOptions,
};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_secs(1))
        .sample_size(10)
        .without_plots()
        .configure_from_args();
    let mut group = criterion.benchmark_group("expulsion");
    for members in [100, 1000, 10_000] {
        group.throughput(Throughput::Elements(members));
        group.bench_function(members.to_string(), |b| expulsion(b, members));
    }
    group.finish();
    criterion.final_summary();
}

/// Times one expulsion in each of as many channels as there are rounds, with the same members: an MSK
/// of which no answer came would hold up the next one.
fn expulsion(b: &mut Bencher<'_>, members: u64) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let state = StateOptions::new(folder.path().join("state")).sealed_with(Secret::new([1; 32]));
    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut options = KeyServiceOptions::new(state);
    options.mikey = Some("127.0.0.1:0".parse().unwrap());
    let service = KeyService::start(options).unwrap();
    let (mut group, mut waiting) = (0, VecDeque::new());
    let client = |number: u64| ClientId::from(&*format!("client {number}"));
    for number in 0..members {
        let reach = Reach::Udp(sink.local_addr().unwrap());
        let muk_id =
            MukId { idi: "bmsc.example".into(), idr: format!("client-{number}@bsf.example") };
        let mut muk = [0; 32];
        muk[..8].copy_from_slice(&number.to_be_bytes());
        let muk = Muk(Secret::new(muk));
        ask(
            &service,
            &mut waiting,
            Request::AddClient { client: client(number), muk_id, muk, reach },
        );
    }
    b.iter_custom(|rounds| {
        let mut time = Duration::ZERO;
        for _ in 0..rounds {
            group += 1;
            let channel = ChannelId::from(&*format!("channel {group}"));
            let mut spec = ChannelSpec::new(KeyDomainId([0x00, 0xf1, 0x10]), group);
            spec.confirm_within = Duration::from_secs(3600);
            service.call(Request::OpenChannel { channel: channel.clone(), spec }).unwrap();
            // Each counts as holding the first MSK.
            for number in 0..members {
                let client = client(number);
                ask(
                    &service,
                    &mut waiting,
                    Request::JoinInAnswer { channel: channel.clone(), client },
                );
            }
            let clients = vec![client(0)];
            // An answer to this one comes behind all others.
            service.call(Request::RemoveClient { client: "nobody".into() }).unwrap();
            let before = service.counters().msk_messages_sent;
            let start = Instant::now();
            service.call(Request::Expel { channel: channel.clone(), clients }).unwrap();
            time += start.elapsed();
            assert!(service.counters().msk_messages_sent - before >= members - 1);
            service.call(Request::CloseChannel { channel }).unwrap();
        }
        time
    });
}

/// Asks, and waits for the answers of some together.
fn ask(service: &KeyService, waiting: &mut VecDeque<Receiver<bool>>, request: Request) {
    let (answer, answers) = bounded(1);
    service.submit(request, move |result| answer.send(result.unwrap().changed).unwrap());
    waiting.push_back(answers);
    if waiting.len() == TOGETHER {
        waiting.drain(..).for_each(|answers| assert!(answers.recv().unwrap()));
    }
}

/// Requests that share commits, fewer than may wait.
const TOGETHER: usize = 500;
