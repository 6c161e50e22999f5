//! A key service with its file, and clients that hear from it over UDP.

use std::{
    cell::Cell,
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::bounded;
use mcast_srtp::{
    ids::MskId,
    keys::{KeyLimits, KeyStore, Outcome},
    keyserver::{ChannelSpec, Reach, Retry},
    secret::Secret,
    service::{
        Event, EventKind, KeyService, KeyServiceOptions, Refused, RefusedKind, Reply, Request,
        Subscription,
    },
    state::StateOptions,
    wire::mikey::Message,
};
use tempfile::TempDir;

use crate::group::{DOMAIN, muk, muk_id};

pub(crate) const CHANNEL: &str = "group 17";
pub(crate) const KEY_GROUP: u16 = 0x17;

/// Longest wait for something that has to come; only a failed test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long nothing is listened to.
pub(crate) const SILENCE: Duration = Duration::from_millis(150);

/// A service that can be stopped and started again on its file.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) service: KeyService,
    /// What has happened and was not asked for yet.
    pub(crate) events: Subscription,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(adjust: impl FnOnce(&mut KeyServiceOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = start(&folder, adjust);
        let events = service.events(Some(0));
        Self { folder, service, events }
    }

    /// Stops the service and starts another on the same file.
    pub(crate) fn restart(&mut self, adjust: impl FnOnce(&mut KeyServiceOptions)) {
        self.service.stop();
        self.service = start(&self.folder, adjust);
        self.events = self.service.events(Some(0));
    }

    /// Why no service starts on the file, which is not in use.
    pub(crate) fn refuses_to_start(&self, adjust: impl FnOnce(&mut KeyServiceOptions)) -> String {
        KeyService::start(options(&self.folder, adjust)).unwrap_err().to_string()
    }

    /// From now on the state cannot be written: its file is gone, and something stands in the place
    /// of the next one.
    pub(crate) fn break_disk(&self) {
        std::fs::create_dir(self.next_file()).unwrap();
        std::fs::remove_file(self.file()).unwrap();
    }

    pub(crate) fn mend_disk(&self) {
        std::fs::remove_dir(self.next_file()).unwrap();
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    fn next_file(&self) -> PathBuf {
        self.folder.path().join(format!("{FILE}.new"))
    }

    pub(crate) fn does(&self, request: Request) -> Reply {
        let name = request.name();
        let reply = self.service.call(request);
        reply.unwrap_or_else(|refused| panic!("{name}: {refused}"))
    }

    /// Up to a thousand requests that share commits.
    pub(crate) fn does_all(&self, requests: impl Iterator<Item = Request>) {
        let (answer, answers) = bounded(1000);
        let mut asked = 0;
        for request in requests {
            let answer = answer.clone();
            self.service.submit(request, move |result| answer.send(result).unwrap());
            asked += 1;
        }
        for _ in 0..asked {
            assert!(answers.recv_timeout(PATIENCE).unwrap().unwrap().changed);
        }
    }

    pub(crate) fn refuses(&self, request: Request) -> (RefusedKind, String) {
        let name = request.name();
        match self.service.call(request) {
            Err(Refused { kind, text, .. }) => (kind, text),
            Ok(reply) => panic!("{name}: {reply:?}"),
        }
    }

    /// An open channel.
    pub(crate) fn open(&self, adjust: impl FnOnce(&mut ChannelSpec)) {
        let spec = spec(KEY_GROUP, adjust);
        assert!(self.does(Request::OpenChannel { channel: CHANNEL.into(), spec }).changed);
    }

    /// A client on the roster, at an address of its own.
    pub(crate) fn add(&self, name: &str) -> Client {
        let client = Client::new(name, self.service.mikey_address().unwrap());
        assert!(self.does(client.entry()).changed);
        client
    }

    /// The same, joined, with the MSK confirmed.
    pub(crate) fn member(&mut self, name: &str) -> Client {
        let mut client = self.add(name);
        assert!(self.does(join(name)).changed);
        client.confirms();
        self.wait_for(
            |kind| matches!(kind, EventKind::Confirmed { client, .. } if client.as_str() == name),
        );
        client
    }

    /// Waits for an event and takes those before it.
    pub(crate) fn wait_for(&mut self, mut wanted: impl FnMut(&EventKind) -> bool) -> Arc<Event> {
        let (end, mut seen) = (Instant::now() + PATIENCE, Vec::new());
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let batch = self.events.wait(1, left);
            assert_eq!(batch.missed, 0);
            match batch.events.into_iter().next() {
                Some(event) if wanted(&event.kind) => return event,
                Some(event) => seen.push(event),
                None => panic!("only {seen:#?}"),
            }
        }
    }

    /// The events there are, as far as they are wanted.
    pub(crate) fn told(&mut self, mut wanted: impl FnMut(&EventKind) -> bool) -> Vec<EventKind> {
        let batch = self.events.take(usize::MAX);
        let kinds = batch.events.iter().map(|event| event.kind.clone());
        kinds.filter(|kind| wanted(kind)).collect()
    }

    /// Everything that the core knows, in words.
    pub(crate) fn knows(&self) -> String {
        self.service.read(|core| format!("{core:#?}")).unwrap()
    }

    pub(crate) fn current(&self) -> u16 {
        let current = self.service.read(|core| core.current_msk(&CHANNEL.into())).unwrap();
        current.unwrap().number
    }
}

fn start(folder: &TempDir, adjust: impl FnOnce(&mut KeyServiceOptions)) -> KeyService {
    KeyService::start(options(folder, adjust)).unwrap()
}

fn options(folder: &TempDir, adjust: impl FnOnce(&mut KeyServiceOptions)) -> KeyServiceOptions {
    let state = StateOptions::new(folder.path().join(FILE)).sealed_with(Secret::new([0x77; 32]));
    let mut options = KeyServiceOptions::new(state);
    options.mikey = Some("127.0.0.1:0".parse().unwrap());
    adjust(&mut options);
    options
}

/// A client at its own address, which opens what comes and answers.
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) socket: UdpSocket,
    pub(crate) store: KeyStore,
    server: Cell<SocketAddr>,
}

impl Client {
    pub(crate) fn new(name: &str, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut store = KeyStore::new(KeyLimits::default());
        store.insert_muk(muk_id(name), muk(name)).unwrap();
        Self { name: name.to_owned(), socket, store, server: Cell::new(server) }
    }

    /// The request that puts it on the roster.
    pub(crate) fn entry(&self) -> Request {
        let reach = Reach::Udp(self.socket.local_addr().unwrap());
        add(&self.name, reach)
    }

    /// The next message to it, within this time.
    pub(crate) fn hears(&self, within: Duration) -> Option<Vec<u8>> {
        self.socket.set_read_timeout(Some(within)).unwrap();
        let mut octets = [0; 2048];
        let (len, server) = self.socket.recv_from(&mut octets).ok()?;
        self.server.set(server);
        Some(octets[..len].to_vec())
    }

    /// The next message to it, which has to come.
    pub(crate) fn message(&self) -> Vec<u8> {
        self.hears(PATIENCE).unwrap_or_else(|| panic!("nothing came to {}", self.name))
    }

    pub(crate) fn hears_nothing(&self) -> bool {
        self.hears(SILENCE).is_none()
    }

    /// Opens a message; returns the MSK it brings and the answer to it.
    pub(crate) fn open(&mut self, message: &[u8]) -> (MskId, Vec<u8>) {
        match self.store.receive(message).unwrap() {
            Outcome::Msk(accepted) => (accepted.msk_id, accepted.verification.unwrap_or_default()),
            Outcome::MskDeleted { msk_id, verification, .. } => {
                (msk_id, verification.unwrap_or_default())
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn answers(&self, answer: &[u8]) {
        self.socket.send_to(answer, self.server.get()).unwrap();
    }

    /// Takes the next message and answers it; returns the number of the MSK.
    pub(crate) fn confirms(&mut self) -> u16 {
        let message = self.message();
        let (msk_id, answer) = self.open(&message);
        self.answers(&answer);
        msk_id.number
    }
}

pub(crate) fn counter(message: &[u8]) -> u32 {
    Message::parse(message).unwrap().timestamp().unwrap().counter().unwrap()
}

pub(crate) fn add(name: &str, reach: Reach) -> Request {
    Request::AddClient { client: name.into(), muk_id: muk_id(name), muk: muk(name), reach }
}

pub(crate) fn join(name: &str) -> Request {
    Request::Join { channel: CHANNEL.into(), client: name.into() }
}

pub(crate) fn leave(name: &str) -> Request {
    Request::Leave { channel: CHANNEL.into(), client: name.into() }
}

pub(crate) fn expel(names: &[&str]) -> Request {
    let clients = names.iter().map(|name| (*name).into()).collect();
    Request::Expel { channel: CHANNEL.into(), clients }
}

/// Repetition for tests: soon, and often enough.
pub(crate) const SOON: Retry =
    Retry::new(Duration::from_millis(30), Duration::from_millis(60), 200);

/// Repetition for tests in which nothing is to be repeated.
pub(crate) const LATE: Retry = Retry::new(Duration::from_secs(600), Duration::from_secs(600), 3);

const FILE: &str = "key-server.state";

/// Settings for a key group, changed in one way.
pub(crate) fn spec(key_group: u16, adjust: impl FnOnce(&mut ChannelSpec)) -> ChannelSpec {
    let mut spec = ChannelSpec::new(DOMAIN, key_group);
    adjust(&mut spec);
    spec
}
