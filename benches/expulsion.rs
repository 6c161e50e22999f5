//! One of many members expelled: what the key server does until the messages are there.
//!
//! `cargo bench --bench expulsion [FILTER]`. An iteration is one expulsion; the throughput is in
//! members who get the new MSK. `expel` makes the MSK and a message for each, `changes` also gives
//! what is to be kept before they are sent.

use std::{
    hint::black_box,
    time::{Duration, Instant, SystemTime},
};

use criterion::{Criterion, Throughput};
use mcast_srtp::{
    broadcast::ChannelId,
    ids::KeyDomainId,
    keys::{Muk, MukId},
    keyserver::{ChannelSpec, ClientId, KeyServer, Reach, Timing},
    secret::Secret,
};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(10)
        .without_plots()
        .configure_from_args();
    let mut group = criterion.benchmark_group("expulsion");
    for members in [100, 10_000] {
        group.throughput(Throughput::Elements(members - 1));
        for (name, keeps) in [("expel", false), ("changes", true)] {
            group.bench_function(format!("{name}/{members}"), |bencher| {
                let mut talk_group = TalkGroup::of(members);
                bencher.iter_custom(|iterations| {
                    (0..iterations).map(|_| talk_group.expel(keeps)).sum::<Duration>()
                });
            });
        }
    }
    group.finish();
    criterion.final_summary();
}

/// A channel all members of which hold the MSK in force.
struct TalkGroup {
    now: Instant,
    channel: ChannelId,
    members: Vec<ClientId>,
    server: KeyServer,
    drawn: u64,
}

impl TalkGroup {
    fn of(members: u64) -> Self {
        let channel = ChannelId::from("group 17");
        let mut server = KeyServer::new(Timing::default());
        let members = (0..members).map(|number| {
            let client = ClientId::from(format!("sip:user{number:08}@poc.example.com").as_str());
            let idr = format!("{number:032x}@bsf.example.com");
            let muk_id = MukId { idi: "bmsc.example.com".into(), idr };
            let mut muk = [7; 32];
            muk[..8].copy_from_slice(&number.to_be_bytes());
            let [.., a, b, c] = number.to_be_bytes();
            let reach = Reach::Udp(([10, a, b, c], 2269).into());
            server.add_client(&client, muk_id, Muk(Secret::new(muk)), reach).expect("a client");
            client
        });
        let members = members.collect();
        let mut talk_group = Self { now: Instant::now(), channel, members, server, drawn: 0 };
        let spec = ChannelSpec::new(KeyDomainId([0x00, 0xf1, 0x10]), 1);
        let (channel, now) = (talk_group.channel.clone(), talk_group.now);
        let random = &mut |out: &mut [u8]| fill(&mut talk_group.drawn, out);
        talk_group.server.open_channel(&channel, spec, now, random).expect("a channel");
        talk_group.settle();
        talk_group
    }

    /// How long it takes to expel one, and with `keeps` to say what has changed.
    fn expel(&mut self, keeps: bool) -> Duration {
        let expelled = &self.members[..1];
        let random = &mut |out: &mut [u8]| fill(&mut self.drawn, out);
        let before = Instant::now();
        let expelled = self.server.expel(&self.channel, expelled, self.now, random);
        let actions = black_box(expelled.expect("an open channel"));
        if keeps {
            black_box(self.server.take_changes(self.now, SystemTime::UNIX_EPOCH));
        }
        let spent = before.elapsed();
        assert!(actions.len() >= self.members.len() - 1);
        self.settle();
        spent
    }

    /// The update ends, the one who was expelled is back, and all hold the MSK.
    fn settle(&mut self) {
        self.now += Duration::from_secs(600);
        self.server.poll(self.now, &mut |out| fill(&mut self.drawn, out));
        self.server.readmit(&self.channel, &self.members[0]).expect("an open channel");
        for member in &self.members {
            self.server.join_in_answer(&self.channel, member, self.now).expect("a client");
        }
        self.server.take_changes(self.now, SystemTime::UNIX_EPOCH);
    }
}

/// Octets that do not repeat.
fn fill(drawn: &mut u64, out: &mut [u8]) {
    for octet in out {
        *drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *octet = (*drawn >> 56) as u8;
    }
}
