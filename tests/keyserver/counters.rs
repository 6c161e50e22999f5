//! Fear: in some order of events an identifier is used twice, an expelled client is given a key, or
//! a member is left without.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mcast_srtp::{
    broadcast::Lead,
    ids::{MskId, MtkId},
    keyserver::{ChannelSpec, LeavePolicy, Purpose, Reach, Unconfirmed, UpdateCause},
    wire::mikey::Message,
};
use proptest::{prelude::*, sample::select};

use crate::world::{World, secs};

const NAMES: [&str; 4] = ["c1", "c2", "c3", "c4"];

#[derive(Clone, Debug)]
enum Op {
    Join(usize),
    JoinInAnswer(usize),
    Leave(usize),
    Expel(Vec<usize>),
    Readmit(usize),
    Remove(usize),
    Enter(usize),
    Request(usize),
    Solicit(usize),
    Move(usize),
    Update(UpdateCause),
    Policy(Policy),
    LoseMsks(usize, bool),
    LoseAnswers(usize, bool),
    CutOffBroadcaster(bool),
    OtherBroadcasterHolds,
    NewMtk(Lead),
    Restart,
    Wait(u64),
}

#[derive(Clone, Debug)]
struct Policy {
    leave: LeavePolicy,
    expulsion_window: u64,
    confirm_within: u64,
    unconfirmed: Unconfirmed,
    two_broadcasters: bool,
}

impl Policy {
    fn apply(&self, spec: &mut ChannelSpec) {
        spec.leave = self.leave;
        spec.expulsion_window = secs(self.expulsion_window);
        spec.confirm_within = secs(self.confirm_within);
        spec.unconfirmed = self.unconfirmed;
        spec.broadcasters = vec!["b1".into()];
        if self.two_broadcasters {
            spec.broadcasters.push("b2".into());
        }
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    let leave = [LeavePolicy::KeepMsk, LeavePolicy::UpdateMsk, LeavePolicy::Batched(secs(6))];
    let unconfirmed = [Unconfirmed::KeepTrying, Unconfirmed::WaitForRequest, Unconfirmed::Remove];
    let (leave, unconfirmed) = (select(leave.to_vec()), select(unconfirmed.to_vec()));
    (leave, select(vec![0, 0, 3]), select(vec![1, 5]), unconfirmed, any::<bool>()).prop_map(
        |(leave, expulsion_window, confirm_within, unconfirmed, two_broadcasters)| Policy {
            leave,
            expulsion_window,
            confirm_within,
            unconfirmed,
            two_broadcasters,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let who = || 0..NAMES.len();
    let causes = vec![UpdateCause::Command, UpdateCause::Compromise];
    prop_oneof![
        6 => who().prop_map(Op::Join),
        1 => who().prop_map(Op::JoinInAnswer),
        3 => who().prop_map(Op::Leave),
        3 => proptest::collection::vec(who(), 1..3).prop_map(Op::Expel),
        2 => who().prop_map(Op::Readmit),
        1 => who().prop_map(Op::Remove),
        2 => who().prop_map(Op::Enter),
        1 => who().prop_map(Op::Request),
        1 => who().prop_map(Op::Solicit),
        1 => who().prop_map(Op::Move),
        1 => select(causes).prop_map(Op::Update),
        1 => policy().prop_map(Op::Policy),
        2 => (who(), any::<bool>()).prop_map(|(who, yes)| Op::LoseMsks(who, yes)),
        2 => (who(), any::<bool>()).prop_map(|(who, yes)| Op::LoseAnswers(who, yes)),
        1 => any::<bool>().prop_map(Op::CutOffBroadcaster),
        1 => Just(Op::OtherBroadcasterHolds),
        1 => select(vec![Lead::Usual, Lead::None]).prop_map(Op::NewMtk),
        1 => Just(Op::Restart),
        4 => (1..9_000_u64).prop_map(Op::Wait),
    ]
}

/// What the operator has asked for, kept apart from what the server believes.
#[derive(Default)]
struct Model {
    members: BTreeSet<&'static str>,
    /// Expelled clients, each with the newest MSK that there was then.
    expelled: BTreeMap<&'static str, MskId>,
    /// Clients that are off the roster.
    removed: BTreeSet<&'static str>,
    /// Messages sent to each client that is no member, when it was struck off.
    sent: BTreeMap<&'static str, usize>,
    /// Lines of the log that have been read.
    read: usize,
}

impl Model {
    fn may_join(&self, name: &str) -> bool {
        !self.expelled.contains_key(name) && !self.removed.contains(name)
    }

    fn strike_off(&mut self, world: &World, name: &'static str) {
        self.members.remove(name);
        self.sent.entry(name).or_insert_with(|| world.sent_to(name).len());
    }

    /// Members that the server has removed by itself, as the policy has it.
    fn hear_of_removals(&mut self, world: &World) {
        for line in &world.log[self.read..] {
            if let Some(rest) = line.strip_prefix("removed ") {
                let name = NAMES.into_iter().find(|name| rest.starts_with(name)).unwrap();
                self.strike_off(world, name);
            }
        }
        self.read = world.log.len();
    }

    fn check(&self, world: &World) {
        for name in NAMES.iter().filter(|name| !self.members.contains(*name)) {
            let sent = self.sent.get(name).copied().unwrap_or(0);
            assert_eq!(
                world.sent_to(name).len(),
                sent,
                "{name} is no member, and is given something"
            );
        }
        let (channel, deadline) = (&world.channel, world.server.coming_msk(&world.channel));
        let most = world.server.spec(channel).unwrap().confirm_within.max(secs(5));
        assert!(deadline.is_none_or(|(_, deadline)| deadline <= world.now + most));
    }
}

fn apply(world: &mut World, model: &mut Model, op: &Op) {
    let (channel, now) = (world.channel.clone(), world.now);
    match op {
        Op::Join(who) | Op::JoinInAnswer(who) if !model.may_join(NAMES[*who]) => {
            let client = NAMES[*who].into();
            assert!(world.server.join(&channel, &client, now).is_err());
            assert!(world.server.join_in_answer(&channel, &client, now).is_err());
        }
        Op::Join(who) => {
            model.sent.remove(NAMES[*who]);
            model.members.insert(NAMES[*who]);
            world.join(NAMES[*who]);
        }
        Op::JoinInAnswer(who) => {
            // SIP repeats an answer until it has arrived.
            world.client(NAMES[*who]).loses_msks = false;
            model.sent.remove(NAMES[*who]);
            model.members.insert(NAMES[*who]);
            let client = NAMES[*who].into();
            world.command(|server, now, _| server.join_in_answer(&channel, &client, now));
        }
        Op::Leave(who) if model.members.contains(NAMES[*who]) => {
            model.strike_off(world, NAMES[*who]);
            world.leave(NAMES[*who]);
        }
        Op::Expel(who) => {
            let clients: Vec<_> = who.iter().map(|who| NAMES[*who].into()).collect();
            for who in who {
                model.strike_off(world, NAMES[*who]);
                let newest = world.newest();
                model.expelled.entry(NAMES[*who]).or_insert(newest);
            }
            world.command(|server, now, random| server.expel(&channel, &clients, now, random));
        }
        Op::Readmit(who) => {
            world.server.readmit(&channel, &NAMES[*who].into()).unwrap();
            model.expelled.remove(NAMES[*who]);
        }
        Op::Remove(who) if model.removed.insert(NAMES[*who]) => {
            model.strike_off(world, NAMES[*who]);
            let client = NAMES[*who].into();
            world.command(|server, now, random| server.remove_client(&client, now, random));
        }
        Op::Enter(who) if model.removed.remove(NAMES[*who]) => {
            world.enter(NAMES[*who], u8::try_from(*who).unwrap());
        }
        Op::Request(who) | Op::Solicit(who) if !model.members.contains(NAMES[*who]) => {
            let client = NAMES[*who].into();
            assert!(world.server.resend(&channel, &client, now).is_err());
            assert!(world.server.solicit(&channel, &client, now).is_err());
        }
        Op::Request(who) => {
            world.command(|server, now, _| server.resend(&channel, &NAMES[*who].into(), now));
        }
        Op::Solicit(who) => {
            world.command(|server, now, _| server.solicit(&channel, &NAMES[*who].into(), now));
        }
        Op::Move(who) if !model.removed.contains(NAMES[*who]) => {
            let reach = Reach::Udp(([192, 0, 2, 100], 2269).into());
            world.command(|server, now, _| server.relocate(&NAMES[*who].into(), reach, now));
        }
        Op::Update(cause) => {
            world.command(|server, now, random| server.update(&channel, *cause, now, random));
        }
        Op::Policy(policy) => world.set_policy(|spec| policy.apply(spec)),
        Op::LoseMsks(who, yes) => world.client(NAMES[*who]).loses_msks = *yes,
        Op::LoseAnswers(who, yes) => world.client(NAMES[*who]).loses_answers = *yes,
        Op::CutOffBroadcaster(yes) => world.cut_off_broadcaster(*yes),
        Op::OtherBroadcasterHolds => {
            if world.server.spec(&channel).unwrap().broadcasters.len() == 2 {
                world.holds_newest("b2");
            }
        }
        Op::NewMtk(lead) => world.new_mtk(*lead),
        Op::Restart => world.restart_server(),
        Op::Wait(millis) => world.idle(Duration::from_millis(*millis)),
        Op::Leave(_) | Op::Remove(_) | Op::Enter(_) | Op::Move(_) => {}
    }
    model.hear_of_removals(world);
}

/// Every identifier of the messages that went out is used once.
fn check_identifiers(world: &World) {
    let mut counters: BTreeMap<&str, u32> = BTreeMap::new();
    let mut rands: BTreeMap<MskId, &[u8]> = BTreeMap::new();
    for sent in &world.sent {
        let message = Message::parse(&sent.octets).unwrap();
        // Each client has one MUK, also after it was removed and added again.
        let last = counters.insert(sent.client.as_str(), sent.counter);
        assert!(last.is_none_or(|last| last < sent.counter), "counters of a MUK rise");
        let rand = message.rand().unwrap();
        if sent.purpose == Purpose::Solicit {
            continue; // no key, and no RAND of its own
        }
        assert_eq!(*rands.entry(sent.msk_id).or_insert(rand), rand, "one RAND for an MSK");
    }
    let distinct: BTreeSet<_> = rands.values().collect();
    assert_eq!(distinct.len(), rands.len(), "no two MSKs share a RAND");

    let updates: Vec<_> = world.logged("update ");
    let drawn: BTreeSet<_> = updates.iter().map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(drawn.len(), updates.len(), "each update draws a new key number");

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
    fn no_order_of_events_breaks_the_rules(
        first in policy(),
        ops in proptest::collection::vec(op(), 1..50),
    ) {
        let mut world = World::under(&NAMES, |spec| first.apply(spec));
        let mut model = Model::default();
        for op in &ops {
            apply(&mut world, &mut model, op);
            model.check(&world);
            world.keep();
            world.check_kept();
        }

        // The network recovers, and clients that were given up ask for the MSK.
        for name in NAMES {
            world.client(name).loses_msks = false;
            world.client(name).loses_answers = false;
        }
        world.cut_off_broadcaster(false);
        world.idle(secs(30));
        model.hear_of_removals(&world);
        let (channel, current) = (world.channel.clone(), world.current());
        for name in &model.members {
            if world.confirmed(name) != Some(current) {
                world.command(|server, now, _| server.resend(&channel, &(*name).into(), now));
            }
        }
        world.idle(secs(12));
        model.check(&world);
        prop_assert_eq!(world.server.coming_msk(&channel), None);
        let members: Vec<_> = world.server.members(&channel).map(|(c, _)| c.to_string()).collect();
        prop_assert_eq!(members, model.members.iter().copied().collect::<Vec<_>>());
        let first = world.packets + 1;
        world.run(secs(1));
        for name in &model.members {
            prop_assert_eq!(world.confirmed(name), Some(world.current()));
            prop_assert_eq!(world.missed(name, first), Vec::<u32>::new(), "{} hears", name);
        }
        for (name, newest) in &model.expelled {
            prop_assert!(world.current() > *newest, "each expulsion brings a new MSK");
            prop_assert!(!world.client(name).holds().contains(&world.current().number));
            prop_assert!(world.client(name).heard.last().is_none_or(|last| *last < first));
        }
        check_identifiers(&world);
        prop_assert_eq!(world.documents.last().unwrap().msks.len(), 1, "all old MSKs are gone");
    }
}
