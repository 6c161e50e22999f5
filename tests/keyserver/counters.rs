//! Fear: in some order of events an identifier is used twice, an expelled client is given a key, or
//! a member is left without.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mcast_srtp::{
    broadcast::Lead,
    ids::{MskId, MtkId},
    keyserver::UpdateCause,
    wire::mikey::Message,
};
use proptest::prelude::*;

use crate::world::{World, secs};

const NAMES: [&str; 4] = ["c1", "c2", "c3", "c4"];

#[derive(Clone, Debug)]
enum Op {
    Join(usize),
    Leave(usize),
    Expel(usize),
    Readmit(usize),
    Update(UpdateCause),
    LoseMsks(usize, bool),
    LoseAnswers(usize, bool),
    NewMtk(Lead),
    Restart,
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let who = || 0..NAMES.len();
    prop_oneof![
        4 => who().prop_map(Op::Join),
        2 => who().prop_map(Op::Leave),
        2 => who().prop_map(Op::Expel),
        1 => who().prop_map(Op::Readmit),
        1 => prop_oneof![Just(UpdateCause::Command), Just(UpdateCause::Compromise)]
            .prop_map(Op::Update),
        2 => (who(), any::<bool>()).prop_map(|(who, yes)| Op::LoseMsks(who, yes)),
        2 => (who(), any::<bool>()).prop_map(|(who, yes)| Op::LoseAnswers(who, yes)),
        1 => prop_oneof![Just(Lead::Usual), Just(Lead::None)].prop_map(Op::NewMtk),
        1 => Just(Op::Restart),
        3 => (1..9_000_u64).prop_map(Op::Wait),
    ]
}

/// What the operator has asked for, kept apart from what the server believes.
#[derive(Default)]
struct Model {
    members: BTreeSet<&'static str>,
    /// Expelled clients, with the messages each had been sent by then.
    expelled: BTreeMap<&'static str, usize>,
}

fn apply(world: &mut World, model: &mut Model, op: &Op) {
    let channel = world.channel.clone();
    match *op {
        Op::Join(who) if model.expelled.contains_key(NAMES[who]) => {
            let (now, client) = (world.now, NAMES[who].into());
            assert!(world.server.join(&channel, &client, now).is_err());
        }
        Op::Join(who) => {
            world.join(NAMES[who]);
            model.members.insert(NAMES[who]);
        }
        Op::Leave(who) if model.members.remove(NAMES[who]) => world.leave(NAMES[who]),
        Op::Leave(_) => {}
        Op::Expel(who) => {
            model.members.remove(NAMES[who]);
            let sent = world.sent_to(NAMES[who]).len();
            model.expelled.entry(NAMES[who]).or_insert(sent);
            let (before, repeated) = (world.newest(), world.is_expelled(NAMES[who]));
            world.expel(NAMES[who]);
            assert_eq!(world.newest() > before, !repeated, "each expulsion brings a new MSK");
        }
        Op::Readmit(who) => {
            world.server.readmit(&channel, &NAMES[who].into()).unwrap();
            model.expelled.remove(NAMES[who]);
        }
        Op::Update(cause) => {
            world.command(|server, now, random| server.update(&channel, cause, now, random));
        }
        Op::LoseMsks(who, yes) => world.client(NAMES[who]).loses_msks = yes,
        Op::LoseAnswers(who, yes) => world.client(NAMES[who]).loses_answers = yes,
        Op::NewMtk(lead) => world.new_mtk(lead),
        Op::Restart => world.restart_server(),
        Op::Wait(millis) => world.idle(Duration::from_millis(millis)),
    }
    if let Some((_, deadline)) = world.server.coming_msk(&channel) {
        assert!(deadline <= world.now + secs(5));
    }
}

/// Every identifier of the messages that went out is used once.
fn check_identifiers(world: &World) {
    let mut counters: BTreeMap<&str, u32> = BTreeMap::new();
    let mut rands: BTreeMap<MskId, &[u8]> = BTreeMap::new();
    for sent in &world.sent {
        let message = Message::parse(&sent.octets).unwrap();
        let last = counters.insert(sent.client.as_str(), sent.counter);
        assert!(last.is_none_or(|last| last < sent.counter), "counters of a MUK rise");
        let rand = message.rand().unwrap();
        assert_eq!(*rands.entry(sent.msk_id).or_insert(rand), rand, "one RAND for an MSK");
    }
    let distinct: BTreeSet<_> = rands.values().collect();
    assert_eq!(distinct.len(), rands.len(), "no two MSKs share a RAND");

    let mut mtks: BTreeMap<MskId, (MtkId, u32)> = BTreeMap::new();
    for octets in &world.key_messages {
        let message = Message::parse(octets).unwrap();
        let ids = message.key_ids().unwrap();
        let counter = message.timestamp().unwrap().counter().unwrap();
        let newer = (ids.mtk.unwrap(), counter);
        let last = mtks.insert(ids.msk.unwrap(), newer);
        assert!(last.is_none_or(|last| last.0 < newer.0 && last.1 < newer.1), "{last:?} {newer:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_breaks_the_rules(ops in proptest::collection::vec(op(), 1..40)) {
        let mut world = World::new(&NAMES);
        let mut model = Model::default();
        for op in &ops {
            apply(&mut world, &mut model, op);
            for (expelled, sent) in &model.expelled {
                prop_assert_eq!(world.sent_to(expelled).len(), *sent, "given to {}", expelled);
            }
        }

        // The network recovers, and clients that were given up ask for the MSK.
        for name in NAMES {
            world.client(name).loses_msks = false;
            world.client(name).loses_answers = false;
        }
        world.idle(secs(12));
        let (channel, current) = (world.channel.clone(), world.current());
        for name in &model.members {
            if world.confirmed(name) != Some(current) {
                world.command(|server, now, _| server.resend(&channel, &(*name).into(), now));
            }
        }
        world.idle(secs(12));
        prop_assert_eq!(world.server.coming_msk(&channel), None);
        let members: Vec<_> = world.server.members(&channel).map(|(c, _)| c.to_string()).collect();
        prop_assert_eq!(members, model.members.iter().copied().collect::<Vec<_>>());
        let first = world.packets + 1;
        world.run(secs(1));
        for name in &model.members {
            prop_assert_eq!(world.confirmed(name), Some(world.current()));
            prop_assert_eq!(world.missed(name, first), Vec::<u32>::new(), "{} hears", name);
        }
        for name in model.expelled.keys() {
            prop_assert!(world.client(name).heard.last().is_none_or(|last| *last < first));
        }
        check_identifiers(&world);
        prop_assert_eq!(world.server.document(&channel, None).unwrap().msks.len(), 1);
    }
}
