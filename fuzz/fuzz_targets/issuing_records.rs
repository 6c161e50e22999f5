//! Records of a key server and of a broadcaster: with its own, either goes on as it was; with damaged or invented
//! ones it refuses, or can be used, and never panics.

#![no_main]

use std::time::{Duration, Instant, SystemTime};

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use mcast_srtp::{
    broadcast::{BroadcastTiming, Broadcaster, ChannelId, Lead},
    ids::{KeyDomainId, Ssrc},
    keys::{Muk, MukId},
    keyserver::{
        Action, Change, ChannelSpec, ClientId, KeyServer, LeavePolicy, MembershipEvent, Reach,
        Timing, UpdateCause,
    },
    secret::Secret,
    wire::burst::BurstMessage,
};

mod damage;
use damage::{Records, damage};

#[path = "../../tests/common/kept.rs"]
mod kept;
use kept::Kept;

fuzz_target!(|input: &[u8]| {
    // An input that ends early does less.
    let _ = run(&mut Unstructured::new(input));
});

struct World {
    server: KeyServer,
    broadcaster: Broadcaster,
    kept: Kept,
    kept_of_broadcaster: Kept,
    now: Instant,
    random: u64,
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let now = Instant::now();
    let mut world = World {
        server: KeyServer::new(Timing::default()),
        broadcaster: Broadcaster::new(&channel(), BroadcastTiming::default()),
        kept: Kept::default(),
        kept_of_broadcaster: Kept::default(),
        now,
        random: 0,
    };
    for _ in 0..u.int_in_range(0..=24)? {
        world.step(u)?;
        if u.ratio(1, 2)? {
            world.keep();
        }
    }
    world.keep();
    world.restored_is_the_same();

    let records = |kept: Kept| kept.0.into_iter().map(|(key, value)| (key.into(), value)).collect();
    let (mut server, mut broadcaster): (Records, Records) =
        (records(world.kept), records(world.kept_of_broadcaster));
    let (first, mut rest) = {
        let half = u.len() / 2;
        (u.bytes(half)?, Unstructured::new(u.bytes(u.len())?))
    };
    let _ = damage(&mut Unstructured::new(first), &mut server);
    let _ = damage(&mut rest, &mut broadcaster);
    use_server(&server, now);
    use_broadcaster(&broadcaster, now);
    Ok(())
}

impl World {
    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (channel, now) = (channel(), self.now);
        let client = ClientId::from(["c1", "c2", "c3"][u.choose_index(3)?]);
        let mut random = fresh(&mut self.random);
        let server = &mut self.server;
        let done = match u.int_in_range(0..=15_u8)? {
            0 => {
                let mut spec = ChannelSpec::new(KeyDomainId([0, 0xf1, 0x10]), 7);
                spec.leave = LeavePolicy::Batched(Duration::from_secs(u.int_in_range(0..=3)?));
                spec.expulsion_window = Duration::from_secs(u.int_in_range(0..=2)?);
                spec.broadcasters = if u.ratio(1, 3)? { vec!["b1".into()] } else { Vec::new() };
                server.open_channel(&channel, spec, now, &mut random)
            }
            1 => server.close_channel(&channel),
            2 | 3 => {
                let octet = u.int_in_range(1..=4)?;
                server.add_client(&client, muk_id(octet), muk(octet), Reach::Sdp).map(|()| vec![])
            }
            4 => {
                let octet = u.int_in_range(1..=4)?;
                server.renew_muk(&client, muk_id(octet), muk(octet), now)
            }
            5 => server.remove_client(&client, now, &mut random),
            6 | 7 => server.join(&channel, &client, now),
            8 => server.leave(&channel, &client, now, &mut random),
            9 => server.expel(&channel, &[client], now, &mut random),
            10 => server.readmit(&channel, &client).map(|_| vec![]),
            11 => server.update(&channel, UpdateCause::Compromise, now, &mut random),
            12 => {
                let change = if u.arbitrary()? { Change::Joined } else { Change::Expelled };
                let sequence = u.int_in_range(1..=4)?;
                let publisher = "pf".into();
                let event = MembershipEvent { publisher, sequence, channel, client, change };
                let _ = server.consume(&event, now, &mut random);
                Ok(vec![])
            }
            13 => {
                let clients = vec![client; u.int_in_range(0..=3)?];
                let _ = server.publish(&channel, &clients, Change::Left);
                let last = server.outbox(0).map(|(number, _)| number).last().unwrap_or_default();
                // More than there are are refused.
                let _ = server.notices_taken(last.saturating_sub(u.int_in_range(0..=4)?) + 1);
                Ok(vec![])
            }
            14 => {
                let _ = self.broadcaster.new_mtk(Lead::None, now, &mut random);
                let _ =
                    self.broadcaster.burst(Ssrc(u.int_in_range(1..=3)?), BurstMessage::Idle, now);
                Ok(vec![])
            }
            _ => {
                self.now += Duration::from_millis(u.int_in_range(0..=9000)?);
                Ok(server.poll(self.now, &mut random))
            }
        };
        for action in done.unwrap_or_default() {
            if let Action::Publish(document) = action {
                // Refused if it is older than another.
                let _ = self.broadcaster.follow(&document, self.now, &mut random);
            }
        }
        Ok(())
    }

    fn keep(&mut self) {
        self.kept.take(self.server.take_changes(self.now, wall()));
        self.kept_of_broadcaster.take(self.broadcaster.take_changes());
    }

    fn restored_is_the_same(&self) {
        let restored = KeyServer::restore(Timing::default(), self.kept.records(), self.now, wall());
        let (mut server, _) = restored.expect("its own records");
        let known = |server: &KeyServer| {
            let of = (server.current_msk(&channel()), server.spec(&channel()).cloned());
            let clients: Vec<_> = server.clients().map(|(id, _)| id.clone()).collect();
            let members: Vec<_> = server.members(&channel()).map(|(id, _)| id.clone()).collect();
            let expelled: Vec<_> = server.expelled(&channel()).cloned().collect();
            let outbox: Vec<_> = server.outbox(0).map(|(n, notice)| (n, notice.clone())).collect();
            (of, clients, members, expelled, outbox)
        };
        // An update that is overdue, or for which nobody is left, is over then.
        if server.coming_msk(&channel()) == self.server.coming_msk(&channel()) {
            assert_eq!(known(&server), known(&self.server));
        }
        // What it keeps from the start is what it was made of, but for what it has sent since.
        let mut again = self.kept.clone();
        again.take(server.take_changes(self.now, wall()));
        let restored = KeyServer::restore(Timing::default(), again.records(), self.now, wall());
        assert_eq!(known(&restored.expect("its own records").0), known(&server));

        let (mut random, mut kept) = (0, self.kept_of_broadcaster.clone());
        for _ in 0..2 {
            let timing = BroadcastTiming::default();
            let random = &mut fresh(&mut random);
            let restored =
                Broadcaster::restore(&channel(), timing, kept.records(), self.now, random);
            // All MTK IDs may be used up; there are far more of them than steps.
            let (mut broadcaster, _) = restored.expect("its own records");
            assert_eq!(broadcaster.followed(), self.broadcaster.followed());
            assert!(broadcaster.msk_ids().eq(self.broadcaster.msk_ids()));
            kept.take(broadcaster.take_changes());
        }
    }
}

fn use_server(records: &Records, now: Instant) {
    let records = records.iter().map(|(key, value)| (&**key, &value[..]));
    let Ok((mut server, _)) = KeyServer::restore(Timing::default(), records, now, wall()) else {
        return;
    };
    let mut next = 0;
    let random = &mut fresh(&mut next);
    let _ = server.join(&channel(), &"c1".into(), now);
    server.poll(now + Duration::from_secs(3600), random);
    let _ = server.update(&channel(), UpdateCause::Command, now, random);
    let mut kept = Kept::default();
    kept.take(server.take_changes(now, wall()));
    let _ = server.close_channel(&channel());
    kept.take(server.take_changes(now, wall()));
}

fn use_broadcaster(records: &Records, now: Instant) {
    let records = records.iter().map(|(key, value)| (&**key, &value[..]));
    let (timing, mut next) = (BroadcastTiming::default(), 0);
    let random = &mut fresh(&mut next);
    let restored = Broadcaster::restore(&channel(), timing, records, now, random);
    let Ok((mut broadcaster, _)) = restored else { return };
    let _ = broadcaster.new_mtk(Lead::None, now, random);
    let _ = broadcaster.burst(Ssrc(1), BurstMessage::Idle, now);
    broadcaster.take_changes();
}

fn channel() -> ChannelId {
    "17".into()
}

fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30)
}

fn muk_id(octet: u8) -> MukId {
    MukId { idi: "bmsc.example".into(), idr: format!("c{octet}@bsf.example") }
}

fn muk(octet: u8) -> Muk {
    Muk(Secret::new([octet; 32]))
}

fn fresh(next: &mut u64) -> impl FnMut(&mut [u8]) {
    |out| {
        *next += 1;
        out.fill(3);
        out.iter_mut().zip(next.to_be_bytes()).for_each(|(place, octet)| *place = octet);
    }
}
