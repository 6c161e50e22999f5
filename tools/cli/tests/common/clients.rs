//! Clients of a key server that the test plays on loopback: they open MSK messages with their MUKs and
//! confirm them, each at its own pace. What reaches them is written down, outside the server: it is all that
//! ever left the server's socket.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use mcast_srtp::{
    broadcast::DocumentMsk,
    ids::{CsbId, KeyDomainId, MskId, MtkId},
    keys::{
        KeyLimits, KeyStore, Mtk, Muk, MukId, Outcome,
        issue::{MtkIssue, seal_mtk},
    },
    secret::{Secret, SecretBytes},
    srtp::Profile,
    wire::mikey::Message,
};
use serde_json::{Value, json};

/// When a client sends its verification messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Confirms {
    AtOnce,
    After(Duration),
    Never,
}

/// All clients at work, on a thread of their own.
pub(crate) struct Clients {
    pub(crate) known: BTreeMap<String, Known>,
    journal: Arc<Mutex<Journal>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A client as the test knows it.
pub(crate) struct Known {
    pub(crate) address: SocketAddr,
    pub(crate) confirms: Confirms,
    store: Arc<Mutex<KeyStore>>,
}

/// What has reached the clients, and what about it must not be.
#[derive(Default)]
pub(crate) struct Journal {
    clients: BTreeMap<String, Seen>,
    /// The RAND of each MSK, which it has for life.
    rands: BTreeMap<MskId, Vec<u8>>,
    pub(crate) messages: usize,
    faults: Vec<String>,
}

#[derive(Default)]
struct Seen {
    /// Every message by its MUK and its counter.
    counters: BTreeMap<(String, u32), Vec<u8>>,
    /// A message that gave it this MSK.
    given: BTreeMap<MskId, Vec<u8>>,
    /// Of each key group, the key number from which on nothing may come.
    barred: BTreeMap<u16, u16>,
}

/// One client.
struct Player {
    name: String,
    socket: UdpSocket,
    store: Arc<Mutex<KeyStore>>,
    confirms: Confirms,
    /// Verification messages, and when to send them where.
    answers: VecDeque<(Instant, Vec<u8>, SocketAddr)>,
}

impl Clients {
    /// Starts clients with these names.
    pub(crate) fn start(clients: impl IntoIterator<Item = (String, Confirms)>) -> Self {
        let players: Vec<_> =
            clients.into_iter().map(|(name, confirms)| Player::new(name, confirms)).collect();
        let known = players.iter().map(|player| {
            let address = player.socket.local_addr().unwrap();
            let store = Arc::clone(&player.store);
            (player.name.clone(), Known { address, confirms: player.confirms, store })
        });
        let known = known.collect();
        let (journal, stop) = (Arc::default(), Arc::<AtomicBool>::default());
        let (noted, stopped) = (Arc::clone(&journal), Arc::clone(&stop));
        let thread = thread::spawn(move || play(players, &noted, &stopped));
        Self { known, journal, stop, thread: Some(thread) }
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    /// A client as the key server is told of it.
    pub(crate) fn body(&self, name: &str) -> Value {
        json!({ "muk": muk_body(name, 0), "reach": self.known[name].address.to_string() })
    }

    /// The client bootstraps again, for the so-manieth time: its MUK as the key server is told of it. It
    /// keeps the former ones, for messages that are on their way.
    pub(crate) fn renewed(&self, name: &str, times: u32) -> Value {
        let mut store = lock(&self.known[name].store);
        store.insert_muk(muk_id(name, times), muk(name, times)).unwrap();
        json!({ "muk": muk_body(name, times) })
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "the clients ended early");
    }
}

impl Journal {
    /// From now on the client is given no MSK of this key group with this key number or a higher one. It
    /// must not have one already.
    pub(crate) fn bar(&mut self, client: &str, from: MskId) {
        let seen = self.clients.entry(client.to_owned()).or_default();
        seen.barred.insert(from.group, from.number);
        let later = MskId { number: u16::MAX, ..from };
        if let Some((msk_id, _)) = seen.given.range(from..=later).next() {
            self.faults.push(format!("{client} had {msk_id} before it was expelled at {from}"));
        }
    }

    /// The client is let in again.
    pub(crate) fn unbar(&mut self, client: &str, group: u16) {
        if let Some(seen) = self.clients.get_mut(client) {
            seen.barred.remove(&group);
        }
    }

    /// Whether a message gave the client this MSK.
    pub(crate) fn was_given(&self, client: &str, msk_id: MskId) -> bool {
        self.clients.get(client).is_some_and(|seen| seen.given.contains_key(&msk_id))
    }

    /// The highest counter of a message to the client under this MUK, 0 if there was none.
    pub(crate) fn last_counter(&self, client: &str, idr: &str) -> u32 {
        let of_muk = (idr.to_owned(), 0)..=(idr.to_owned(), u32::MAX);
        let last =
            self.clients.get(client).and_then(|seen| seen.counters.range(of_muk).next_back());
        last.map_or(0, |((_, counter), _)| *counter)
    }

    /// Fails if something happened that must not.
    pub(crate) fn assert_clean(&self) {
        assert!(self.faults.is_empty(), "{:#?}", self.faults);
    }

    /// Checks that whoever was given this MSK was given the very key that the broadcaster has: it opens an
    /// MTK message that the broadcaster could send. Returns how many were.
    pub(crate) fn check_key(&self, domain: KeyDomainId, held: &DocumentMsk) -> usize {
        let DocumentMsk { msk_id, ref msk, interval } = *held;
        let mtk_id = MtkId(interval.low.0 + 1);
        let secret = |len: usize| SecretBytes::new(&vec![0x4d; len]);
        let cipher = Profile::default().cipher;
        let mtk = Mtk { key: secret(cipher.key_len()), salt: Some(secret(cipher.salt_len())) };
        let (counter, csb) = (mtk_id.0.into(), CsbId(0));
        let issue = MtkIssue { domain, msk_id, mtk_id, counter, csb, msk, mtk: &mtk };
        let probe = seal_mtk(&issue).unwrap();
        assert!(self.rands.get(&msk_id).is_none_or(|rand| *rand == msk.rand), "RAND of {msk_id}");
        let given =
            self.clients.iter().filter_map(|(name, seen)| Some((name, seen.given.get(&msk_id)?)));
        given
            .map(|(name, message)| {
                let mut store = KeyStore::new(KeyLimits::default());
                let idr = idr(&Message::parse(message).unwrap());
                let times = idr.split(['.', '@']).nth(1).unwrap().parse().unwrap();
                store.insert_muk(muk_id(name, times), muk(name, times)).unwrap();
                store.receive(message).unwrap();
                let opened = store.receive(&probe);
                assert!(matches!(opened, Ok(Outcome::Mtk(_))), "{name}, {msk_id}: {opened:?}");
            })
            .count()
    }

    fn note(&mut self, client: &str, octets: &[u8], outcome: &Result<Outcome, mcast_srtp::Reject>) {
        self.messages += 1;
        let seen = self.clients.entry(client.to_owned()).or_default();
        let mut fault = |text: String| self.faults.push(format!("{client}: {text}"));
        let Ok(message) = Message::parse(octets) else {
            return fault(format!("no MIKEY message: {}", hex::encode(octets)));
        };
        let counter = message.timestamp().and_then(|timestamp| timestamp.counter()).unwrap_or(0);
        let before = seen.counters.insert((idr(&message), counter), octets.to_vec());
        if before.is_some_and(|before| before != octets) {
            fault(format!("two messages with counter {counter} under {}", idr(&message)));
        }
        let Some(msk_id) = message.key_ids().and_then(|ids| ids.msk) else {
            return fault("a message without an MSK ID".to_owned());
        };
        let rand = message.rand().unwrap_or_default();
        if self.rands.entry(msk_id).or_insert_with(|| rand.to_vec()) != rand {
            fault(format!("two keys with the number {msk_id}"));
        }
        match outcome {
            Ok(Outcome::Msk(accepted)) => {
                if accepted.replaced {
                    fault(format!("another key under the number {msk_id}"));
                }
                seen.given.insert(msk_id, octets.to_vec());
                if let Some(from) =
                    seen.barred.get(&msk_id.group).filter(|from| msk_id.number >= **from)
                {
                    fault(format!(
                        "given {msk_id}, though it is expelled from key number {from} on"
                    ));
                }
            }
            Ok(Outcome::MskDeleted { .. } | Outcome::MskRequested { .. }) => {}
            other => fault(format!("{msk_id} to {}, counter {counter}: {other:?}", idr(&message))),
        }
    }
}

impl Player {
    fn new(name: String, confirms: Confirms) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut store = KeyStore::new(KeyLimits::default());
        store.insert_muk(muk_id(&name, 0), muk(&name, 0)).unwrap();
        Self { name, socket, store: Arc::new(store.into()), confirms, answers: VecDeque::new() }
    }

    /// Takes what has come. Returns whether anything had.
    fn turn(&mut self, journal: &Mutex<Journal>) -> bool {
        let mut octets = [0; 4096];
        let mut busy = false;
        while let Ok((len, source)) = self.socket.recv_from(&mut octets) {
            busy = true;
            let outcome = lock(&self.store).receive(&octets[..len]);
            lock(journal).note(&self.name, &octets[..len], &outcome);
            let wait = match self.confirms {
                Confirms::AtOnce => Duration::ZERO,
                Confirms::After(wait) => wait,
                Confirms::Never => continue,
            };
            if let Some(answer) = verification(outcome) {
                self.answers.push_back((Instant::now() + wait, answer, source));
            }
        }
        while let Some((due, answer, to)) = self.answers.front()
            && *due <= Instant::now()
        {
            // The server may be down; it will ask again.
            let _ = self.socket.send_to(answer, to);
            self.answers.pop_front();
        }
        busy
    }
}

fn play(mut players: Vec<Player>, journal: &Mutex<Journal>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut busy = false;
        for player in &mut players {
            busy |= player.turn(journal);
        }
        if !busy {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn verification(outcome: Result<Outcome, mcast_srtp::Reject>) -> Option<Vec<u8>> {
    match outcome {
        Ok(Outcome::Msk(accepted)) => accepted.verification,
        Ok(Outcome::MskDeleted { verification, .. }) => verification,
        _ => None,
    }
}

/// Whose MUK a message is under.
fn idr(message: &Message<'_>) -> String {
    let idr = message.second_id().map(|id| id.data).unwrap_or_default();
    String::from_utf8_lossy(idr).into_owned()
}

/// The identities of a client's MUK after so many renewals.
pub(crate) fn muk_id(name: &str, times: u32) -> MukId {
    MukId { idi: "bmsc.example".into(), idr: format!("{name}.{times}@bsf.example") }
}

/// A client's MUK after so many renewals.
pub(crate) fn muk(name: &str, times: u32) -> Muk {
    let mut octets = [0x3c; 32];
    let given = name.bytes().chain(times.to_be_bytes());
    octets.iter_mut().zip(given).for_each(|(octet, given)| *octet ^= given);
    Muk(Secret::new(octets))
}

/// The same as the key server is told of it.
pub(crate) fn muk_body(name: &str, times: u32) -> Value {
    let (MukId { idi, idr }, Muk(key)) = (muk_id(name, times), muk(name, times));
    json!({ "idi": idi, "idr": idr, "key": hex::encode(key.expose()) })
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
