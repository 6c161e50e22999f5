//! A key server whose power is cut at every step of writing: no identifier is used twice, nobody who was
//! expelled is given a key, and nobody is forgotten.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime},
};

use super::{
    disk::{Disk, Unsynced},
    outside::Outside,
};
use crate::{
    Error,
    broadcast::ChannelId,
    ids::{KeyDomainId, Roc, Ssrc},
    keys::{CryptoSession, KeyPlane, Muk, MukId, PlaneLimits},
    keyserver::{
        Action, Change, ChannelSpec, ClientId, KeyServer, LeavePolicy, MembershipEvent, Reach,
        Sender, Timing, UpdateCause,
    },
    secret::Secret,
    state::{KeyServerState, seal::Owner},
};

/// What the operator, the bus, clients and time do, in this order.
#[derive(Clone, Copy, Debug)]
enum Op {
    Open,
    Close,
    Policy(fn(&mut ChannelSpec)),
    Add(&'static str, u8),
    RenewMuk(&'static str, u8),
    Move(&'static str, u16),
    Remove(&'static str),
    Join(&'static str),
    Leave(&'static str),
    Expel(&'static str),
    Readmit(&'static str),
    Bus(u64, Change, &'static str),
    Update(UpdateCause),
    Solicit(&'static str),
    Streams(u32),
    /// Whether it answers from now on.
    Answers(&'static str, bool),
    /// So many milliseconds pass.
    Wait(u64),
}

const SCRIPT: &[Op] = &[
    Op::Add("c1", 1),
    Op::Add("c2", 2),
    Op::Add("c3", 3),
    Op::Open,
    Op::Join("c1"),
    Op::Join("c2"),
    Op::Bus(1, Change::Joined, "c3"),
    Op::Streams(7),
    Op::Answers("c2", false),
    Op::Expel("c3"),
    Op::Wait(1200),
    // It has never been a member; the coming MSK is superseded.
    Op::Expel("c4"),
    Op::Join("c2"),
    Op::Wait(4000),
    Op::Answers("c2", true),
    Op::Wait(9000),
    Op::Remove("c1"),
    Op::Add("c1", 1),
    Op::Join("c1"),
    Op::Policy(|spec| spec.leave = LeavePolicy::Batched(Duration::from_secs(2))),
    Op::Bus(2, Change::Left, "c1"),
    Op::Wait(500),
    Op::Readmit("c3"),
    Op::Join("c3"),
    Op::Wait(2500),
    Op::RenewMuk("c2", 4),
    Op::Move("c3", 9),
    Op::Policy(|spec| spec.broadcasters = vec!["b1".into(), "b2".into()]),
    Op::Solicit("c2"),
    Op::Policy(|spec| spec.expulsion_window = Duration::from_secs(1)),
    Op::Expel("c2"),
    Op::Wait(300),
    Op::Update(UpdateCause::Compromise),
    Op::Wait(11_000),
    Op::Close,
    Op::Open,
    Op::Join("c3"),
    Op::Bus(3, Change::Expelled, "c3"),
    Op::Join("c2"),
];

/// What is kept for good, as far as it is acknowledged.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Model {
    open: bool,
    roster: BTreeSet<&'static str>,
    members: BTreeSet<&'static str>,
    expelled: BTreeSet<&'static str>,
    consumed: u64,
}

impl Model {
    fn after(&self, op: Op) -> Self {
        let mut next = self.clone();
        match op {
            Op::Open => next.open = true,
            Op::Close => {
                next.open = false;
                next.members.clear();
                next.expelled.clear();
            }
            Op::Add(client, _) => drop(next.roster.insert(client)),
            Op::Remove(client) => {
                next.roster.remove(client);
                next.members.remove(client);
            }
            Op::Join(client) => drop(next.members.insert(client)),
            Op::Leave(client) => drop(next.members.remove(client)),
            Op::Expel(client) => {
                next.members.remove(client);
                next.expelled.insert(client);
            }
            Op::Readmit(client) => drop(next.expelled.remove(client)),
            Op::Bus(sequence, change, client) => {
                next = match change {
                    Change::Joined => self.after(Op::Join(client)),
                    Change::Left => self.after(Op::Leave(client)),
                    Change::Expelled => self.after(Op::Expel(client)),
                    Change::Readmitted => self.after(Op::Readmit(client)),
                    Change::MskRequested => next,
                };
                next.consumed = sequence;
            }
            _ => {}
        }
        next
    }
}

/// A client with all MUKs it ever had, and whether it answers.
struct Client {
    plane: KeyPlane,
    identities: Vec<MukId>,
    answers: bool,
}

struct World {
    start: Instant,
    now: Instant,
    channel: ChannelId,
    disk: Disk,
    clients: BTreeMap<&'static str, Client>,
    outside: Outside,
    model: Model,
    told: String,
    /// Fresh for ever, also over a crash.
    entropy: u64,
}

struct Service {
    server: KeyServer,
    state: KeyServerState,
}

fn random(entropy: &mut u64) -> impl FnMut(&mut [u8]) {
    |out| {
        *entropy += 1;
        out.fill(0x5a);
        out.iter_mut().zip(entropy.to_be_bytes()).for_each(|(place, octet)| *place = octet);
    }
}

fn muk_id(name: &str, muk: u8) -> MukId {
    MukId { idi: "bmsc.example".into(), idr: format!("{name}-{muk}@bsf.example") }
}

fn muk(octet: u8) -> Muk {
    Muk(Secret::new([octet; 32]))
}

fn reach(port: u16) -> Reach {
    Reach::Udp(([192, 0, 2, 1], port).into())
}

impl World {
    fn new(disk: Disk, told: String) -> Self {
        let client = |name| {
            let plane = KeyPlane::new(PlaneLimits::default());
            (name, Client { plane, identities: Vec::new(), answers: true })
        };
        let start = Instant::now();
        Self {
            start,
            now: start,
            channel: "group 17".into(),
            disk,
            clients: ["c1", "c2", "c3"].into_iter().map(client).collect(),
            outside: Outside::default(),
            model: Model::default(),
            told,
            entropy: 0,
        }
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30) + (self.now - self.start)
    }

    /// A process starts and does what there is to do first.
    fn start(&mut self) -> Result<Service, Error> {
        let mut state = KeyServerState::on(self.disk.journal(Owner::KeyServer, Some(7))?);
        let (server, actions) = state.restore(Timing::default(), self.now, self.wall())?;
        let mut service = Service { server, state };
        self.carry_out(&mut service, actions)?;
        Ok(service)
    }

    /// Does what is in the script. Wherever the power is cut, another process starts and goes on.
    fn live(&mut self, unsynced: Unsynced) {
        let mut service = self.start();
        let mut cuts = 0;
        for op in SCRIPT {
            let until = match op {
                Op::Wait(millis) => self.now + Duration::from_millis(*millis),
                _ => self.now,
            };
            self.prepare(*op);
            while let Err(error) = self.attempt(&mut service, *op, until) {
                assert_eq!(
                    error.to_string().lines().last().unwrap_or(""),
                    NO_POWER,
                    "{}",
                    self.told
                );
                cuts += 1;
                assert!(cuts < 3, "{}", self.told);
                self.disk = self.disk.after_the_cut(unsynced);
                self.now += Duration::from_millis(70);
                service = self.start();
                if let Ok(service) = &service {
                    self.check_nothing_forgotten(&service.server, *op);
                }
            }
            self.model = self.model.after(*op);
        }
        let Ok(mut service) = service else { panic!("{}: no service", self.told) };
        self.check_the_end(&mut service);
    }

    fn attempt(
        &mut self,
        service: &mut Result<Service, Error>,
        op: Op,
        until: Instant,
    ) -> Result<(), Error> {
        let service = match service {
            Ok(service) => service,
            Err(error) => return Err(Error::invalid(error.to_string())),
        };
        let actions = self.apply(&mut service.server, op);
        self.finish(service, actions)?;
        if let Op::Expel(client) | Op::Bus(_, Change::Expelled, client) = op {
            self.outside.expelled.insert((self.channel.clone(), client.into()));
        }
        while let Some(due) = service.server.next_deadline().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            let actions = service.server.poll(self.now, &mut random(&mut self.entropy));
            self.finish(service, actions)?;
        }
        self.now = until.max(self.now);
        Ok(())
    }

    /// What happens outside of the server.
    fn prepare(&mut self, op: Op) {
        match op {
            Op::Add(name, octet) | Op::RenewMuk(name, octet) => {
                let client = self.clients.get_mut(name).unwrap();
                client.plane.insert_muk(muk_id(name, octet), muk(octet)).unwrap();
                client.identities.push(muk_id(name, octet));
            }
            Op::Answers(name, answers) => self.clients.get_mut(name).unwrap().answers = answers,
            // Whether or not it had taken effect when the power was cut, it may be sent keys.
            Op::Readmit(name) => {
                self.outside.expelled.remove(&(self.channel.clone(), name.into()));
            }
            Op::Close => self.outside.expelled.clear(),
            _ => {}
        }
    }

    /// The call. If it was carried out before the power was cut, it is refused or changes nothing.
    fn apply(&mut self, server: &mut KeyServer, op: Op) -> Vec<Action> {
        let (now, channel) = (self.now, &self.channel);
        let random = &mut random(&mut self.entropy);
        let done = match op {
            Op::Open => {
                let mut spec = ChannelSpec::new(KeyDomainId([0, 0xf1, 0x10]), 7);
                spec.leave = LeavePolicy::UpdateMsk;
                server.open_channel(channel, spec, now, random)
            }
            Op::Close => server.close_channel(channel),
            Op::Policy(change) => {
                let mut spec = server.spec(channel).unwrap().clone();
                change(&mut spec);
                server.set_policy(channel, spec, now, random)
            }
            Op::Add(name, octet) => server
                .add_client(&name.into(), muk_id(name, octet), muk(octet), reach(1))
                .map(|()| Vec::new()),
            Op::RenewMuk(name, octet) => {
                server.renew_muk(&name.into(), muk_id(name, octet), muk(octet), now)
            }
            Op::Move(name, port) => server.relocate(&name.into(), reach(port), now),
            Op::Remove(name) => server.remove_client(&name.into(), now, random),
            Op::Join(name) => server.join(channel, &name.into(), now),
            Op::Leave(name) => server.leave(channel, &name.into(), now, random),
            Op::Expel(name) => server.expel(channel, &[name.into()], now, random),
            Op::Readmit(name) => server.readmit(channel, &name.into()).map(|_| Vec::new()),
            Op::Bus(sequence, change, name) => {
                let (publisher, client) = ("pf 2".into(), name.into());
                let channel = channel.clone();
                let event = MembershipEvent { publisher, sequence, channel, client, change };
                server.consume(&event, now, random).map(|consumed| match consumed {
                    crate::keyserver::Consumed::Applied(actions) => actions,
                    _ => Vec::new(),
                })
            }
            Op::Update(cause) => server.update(channel, cause, now, random),
            Op::Solicit(name) => server.solicit(channel, &name.into(), now),
            Op::Streams(ssrc) => {
                let session = CryptoSession { policy: 0, ssrc: Ssrc(ssrc), roc: Roc(1) };
                server.set_streams(channel, None, &[session]).map(|()| Vec::new())
            }
            Op::Answers(..) | Op::Wait(_) => Ok(Vec::new()),
        };
        done.unwrap_or_default()
    }

    /// Commits, and only then carries out.
    fn finish(&mut self, service: &mut Service, actions: Vec<Action>) -> Result<(), Error> {
        service.state.commit(&mut service.server, self.now, self.wall())?;
        self.carry_out(service, actions)
    }

    fn carry_out(&mut self, service: &mut Service, actions: Vec<Action>) -> Result<(), Error> {
        let mut follow = Vec::new();
        for action in actions {
            match action {
                Action::SendMsk(message) => {
                    let client = self.clients.get_mut(message.client.as_str()).unwrap();
                    let named = |id: &&MukId| {
                        let idr = id.idr.as_bytes();
                        message.octets.windows(idr.len()).any(|part| part == idr)
                    };
                    let idr = &client.identities.iter().find(named).unwrap().idr;
                    self.outside.sent(&message, idr, &self.told);
                    if !client.answers {
                        continue;
                    }
                    let taken = client.plane.receive(None, &message.octets, self.now);
                    let taken = taken.unwrap_or_else(|reject| panic!("{}: {reject}", self.told));
                    if let Some(answer) = taken.verification() {
                        let from = Sender::Client(&message.client);
                        // Refused if a later action has made the message pointless.
                        let received = service.server.receive(answer, from, self.now);
                        follow.extend(received.unwrap_or_default());
                    }
                }
                Action::Publish(document) => {
                    self.outside.published(&document, &self.told);
                    if let Some(name) = &document.broadcaster {
                        let (version, now) = (document.version, self.now);
                        // A channel that is closed has nobody to hold anything.
                        let held =
                            service.server.broadcaster_holds(&self.channel, name, version, now);
                        follow.extend(held.unwrap_or_default());
                    }
                }
                _ => {}
            }
        }
        // Nothing to carry out, but perhaps something to keep.
        if follow.is_empty() {
            return service.state.commit(&mut service.server, self.now, self.wall()).map(drop);
        }
        self.finish(service, follow)
    }

    /// What the server knows is what was acknowledged, or that and what was under way.
    fn check_nothing_forgotten(&self, server: &KeyServer, under_way: Op) {
        let name = |client: &ClientId| {
            let known = ["c1", "c2", "c3", "c4"];
            *known.iter().find(|name| **name == client.as_str()).unwrap()
        };
        let found = Model {
            open: server.spec(&self.channel).is_some(),
            roster: server.clients().map(|(client, _)| name(client)).collect(),
            members: server.members(&self.channel).map(|(client, _)| name(client)).collect(),
            expelled: server.expelled(&self.channel).map(name).collect(),
            consumed: server.consumed().map(|(_, last)| last).next().unwrap_or(0),
        };
        let after = self.model.after(under_way);
        let told = &self.told;
        assert!(found == self.model || found == after, "{told}, {under_way:?}: {found:?}");
    }

    /// Everybody holds what is in force.
    fn check_the_end(&mut self, service: &mut Service) {
        let end = self.now + Duration::from_secs(60);
        let mut service = Ok(Service {
            server: std::mem::replace(&mut service.server, KeyServer::new(Timing::default())),
            state: KeyServerState::on(Disk::default().journal(Owner::KeyServer, None).unwrap()),
        });
        self.attempt(&mut service, Op::Wait(0), end).unwrap();
        let server = service.unwrap().server;
        let current = server.current_msk(&self.channel).unwrap();
        assert_eq!(server.coming_msk(&self.channel), None, "{}", self.told);
        let members: Vec<_> = server.members(&self.channel).collect();
        let expected: Vec<_> =
            self.model.members.iter().map(|name| ClientId::from(*name)).collect();
        assert!(members.iter().map(|(id, _)| *id).eq(&expected), "{}: {members:?}", self.told);
        for (client, confirmed) in members {
            assert_eq!(confirmed, Some(current), "{}: {client}", self.told);
            let plane = &self.clients[client.as_str()].plane;
            assert!(plane.store().msks().any(|held| held.msk_id == current), "{}", self.told);
        }
        self.outside.check_keys(&self.told);
    }
}

#[test]
fn power_cut_at_every_step_uses_nothing_twice_and_forgets_nobody() {
    let whole = Disk::default();
    World::new(whole.clone(), "no cut".into()).live(Unsynced::Lost);
    let steps = whole.0.lock().unwrap().steps;
    assert!(steps > 100, "{steps}");
    for cut in 0..steps {
        for unsynced in [UNSYNCED[0], UNSYNCED[1 + cut % (UNSYNCED.len() - 1)]] {
            let disk = Disk::default();
            disk.0.lock().unwrap().cut_at = Some(cut);
            World::new(disk, format!("cut at {cut}, {unsynced:?}")).live(unsynced);
        }
    }
}

const NO_POWER: &str = "the disk: the state cannot be written: no power";

const UNSYNCED: [Unsynced; 5] = [
    Unsynced::Lost,
    Unsynced::Begun(1),
    Unsynced::Begun(999),
    Unsynced::Sectors(0x5555_5555),
    Unsynced::Sectors(0xaaaa_aaaa),
];
