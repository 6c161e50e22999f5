//! `broadcast`, killed again and again at work: no traffic key identifier ever names two keys, no packet
//! index under a key protects two packets, and a document that it has said to hold it holds.
//!
//! The source of the media starts over a little before the place where it was when the program was killed, as
//! one that is restarted would, with other content under the same sequence numbers.

mod common;

#[path = "common/http.rs"]
mod http;
#[path = "common/random.rs"]
#[allow(dead_code, reason = "each test file uses a part")]
mod random;

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    process::{Child, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use common::{DOMAIN, Files, program, rtp, text};
use http::Http;
use mcast_srtp::{
    Reject,
    broadcast::{ChannelDocument, DocumentMsk},
    ids::{CsbId, Mki, MskId, MtkId, Roc, Ssrc},
    keys::{
        CryptoSession, Interval, KeyLimits, KeyStore, Msk, Muk, MukId, Outcome,
        issue::{MskIssue, seal_msk},
    },
    secret::{Secret, SecretBytes},
    service::document::to_json,
    srtp::{
        KeyRing, Packet, PacketKind, Profile, SessionId, StreamLimits, TrafficKey, Unprotector,
    },
    wire::mikey::Message,
};
use random::Random;
use serde_json::Value;

const KILLS: u32 = 50;
const TALKER: u32 = 0xcafe_0001;
const GROUPS: [Ipv4Addr; 2] = [Ipv4Addr::new(239, 255, 74, 1), Ipv4Addr::new(239, 255, 74, 2)];
const MEDIA_PORT: u16 = 21_200;
const MIKEY_PORT: u16 = 21_204;

/// One channel, as the key server and a client know it.
struct Channel {
    name: String,
    input: SocketAddr,
    document: ChannelDocument,
    /// The document before it.
    former: ChannelDocument,
    /// The newest version that was said to be held.
    held: u64,
    air: Arc<Mutex<Air>>,
    /// The last sequence number fed.
    seq: u16,
}

/// All that ever was on the air of a channel, and who reads it.
#[derive(Default)]
struct Air {
    /// A client for each MSK: one alone would hold two, and MSKs change fast here.
    clients: BTreeMap<MskId, KeyStore>,
    keys: HashMap<Mki, Arc<TrafficKey>>,
    key_messages: BTreeMap<(MskId, u32), Vec<u8>>,
    packets: HashMap<(Mki, u16), Vec<u8>>,
    faults: Vec<String>,
}

#[test]
fn no_key_and_no_index_is_used_twice_over_50_kills() {
    let files = Files::new();
    let mut random = Random(Random::seed("BROADCAST_KILL_SEED"));
    let mut channels: Vec<_> = (0..GROUPS.len()).map(Channel::new).collect();
    let socket = files.path("http.sock");
    let config = files.write("broadcast.toml", config(&channels, &files.path("state"), &socket));
    let http = Http::at(&socket);
    for life in 0..KILLS {
        let mut child = start(&config);
        let end = AtomicBool::new(false);
        let alive = Duration::from_millis(30 + random.below(150));
        thread::scope(|scope| {
            for channel in &mut channels {
                let (random, http) = (Random(random.next()), &http);
                let end = &end;
                scope.spawn(move || channel.live(life, random, http, end));
            }
            thread::sleep(alive);
            child.kill().unwrap();
            child.wait().unwrap();
            end.store(true, Ordering::Relaxed);
        });
    }
    for channel in &channels {
        let air = channel.air.lock().unwrap();
        assert!(air.faults.is_empty(), "{}: {:#?}", channel.name, air.faults);
        let opened = air.packets.iter().filter(|(key, packet)| air.open(key, packet)).count();
        let (keys, packets) = (air.keys.len(), air.packets.len());
        println!("{}: {packets} packets under {keys} keys, {opened} opened", channel.name);
        assert!(keys > 50 && opened > 500, "too little load to say anything");
    }
}

impl Channel {
    fn new(n: usize) -> Self {
        let key_group = u16::try_from(n + 1).unwrap();
        let name = format!("channel-{key_group}");
        let port = 21_210 + key_group;
        let msks = vec![new_msk(MskId { group: key_group, number: 1 })];
        let mut air = Air::default();
        air.give(&msks[0]);
        let air = Arc::new(Mutex::new(air));
        for port in [MEDIA_PORT, MIKEY_PORT] {
            listen(GROUPS[n], port, Arc::clone(&air));
        }
        let document = ChannelDocument {
            channel: name.as_str().into(),
            broadcaster: None,
            version: 1,
            domain: DOMAIN,
            profile: Profile::default(),
            mtk_period: Some(Duration::from_millis(100)),
            in_force: msks[0].msk_id,
            msks,
        };
        let input = SocketAddr::from(([127, 0, 0, 1], port));
        Self { name, input, former: document.clone(), document, held: 0, air, seq: 1000 }
    }

    /// One life of the program: documents to it, and media until it ends.
    fn live(&mut self, life: u32, mut random: Random, http: &Http, end: &AtomicBool) {
        // An old document changes nothing.
        self.push(http, &self.former.clone());
        self.push(http, &self.document.clone());
        self.seq -= 30;
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for n in 0.. {
            if end.load(Ordering::Relaxed) {
                return;
            }
            if n % 16 == random.below(16) {
                self.change();
                self.push(http, &self.document.clone());
            }
            self.seq += 1;
            let content = format!("{} {} {life}", self.name, self.seq);
            let packet = rtp(TALKER, self.seq, content.as_bytes());
            // Nobody may listen any more.
            let _ = socket.send_to(&packet, self.input);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The next document: another MSK comes, or the one that has come is in force.
    fn change(&mut self) {
        self.former = self.document.clone();
        let document = &mut self.document;
        document.version += 1;
        let newest = document.msks.last().unwrap().msk_id;
        if newest == document.in_force {
            let next = new_msk(MskId { number: newest.number + 1, ..newest });
            self.air.lock().unwrap().give(&next);
            document.msks.push(next);
        } else {
            document.in_force = newest;
            document.msks.retain(|msk| msk.msk_id == newest);
        }
    }

    /// Pushes a document, and notes what is held then.
    fn push(&mut self, http: &Http, document: &ChannelDocument) {
        let body: Value = serde_json::from_slice(&to_json(document).unwrap()).unwrap();
        let path = format!("/v1/channels/{}/document", self.name);
        let Ok(answer) = http.ask("PUT", &path, Some(&body)) else { return };
        let (holds, known) = (answer.json()["holds"].as_u64().unwrap(), self.held);
        assert!(holds >= known.max(document.version), "{} held {known}, holds {holds}", self.name);
        self.held = holds;
    }
}

impl Air {
    /// A client is given an MSK.
    fn give(&mut self, held: &DocumentMsk) {
        let issue = MskIssue {
            domain: DOMAIN,
            msk_id: held.msk_id,
            msk: &held.msk,
            interval: held.interval,
            counter: 1,
            csb: CsbId(0),
            muk_id: &muk_id(),
            verify: false,
            profile: Profile::default(),
            sessions: &[CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(0) }],
            sdp_ids: None,
        };
        let mut client = KeyStore::new(KeyLimits::default());
        client.insert_muk(muk_id(), muk()).unwrap();
        client.receive(&seal_msk(&issue, &muk()).unwrap()).unwrap();
        self.clients.insert(held.msk_id, client);
    }

    fn key_message(&mut self, octets: &[u8]) {
        let message = Message::parse(octets).unwrap();
        let msk_id = message.key_ids().and_then(|ids| ids.msk).unwrap();
        let counter = message.timestamp().and_then(|timestamp| timestamp.counter()).unwrap();
        let former = self.key_messages.insert((msk_id, counter), octets.to_vec());
        if former.as_ref().is_some_and(|former| former != octets) {
            self.faults.push(format!("two messages under {msk_id} with counter {counter}"));
        }
        let client = self.clients.get_mut(&msk_id).unwrap();
        match client.receive(octets) {
            Ok(Outcome::Mtk(accepted)) => {
                let (mki, mtk) = (Mki::mbms(msk_id, accepted.mtk_id), accepted.mtk);
                let salt = mtk.salt.as_ref().map_or(&[][..], |salt| salt.expose());
                let key = TrafficKey::new(mki, accepted.profile, mtk.key.expose(), salt).unwrap();
                if self.keys.insert(mki, Arc::new(key)).is_some() {
                    self.faults.push(format!("{mki} was used before"));
                }
            }
            // A copy, also of the message before one whose key was dropped before its use.
            Err(Reject::KeyRepeated | Reject::KeyReplayed) if former.is_some() => {}
            other => self.faults.push(format!("{msk_id}, counter {counter}: {other:?}")),
        }
    }

    fn media(&mut self, packet: &[u8]) {
        let seq = u16::from_be_bytes([packet[2], packet[3]]);
        let trailer = Mki::MBMS_LEN + usize::from(Profile::default().srtp_tag_len);
        let mki = Mki::new(&packet[packet.len() - trailer..][..Mki::MBMS_LEN]).unwrap();
        // So few packets are sent that the rollover counter stays 0.
        if self.packets.insert((mki, seq), packet.to_vec()).is_some_and(|former| former != packet) {
            self.faults.push(format!("two packets under {mki} with sequence number {seq}"));
        }
    }

    /// Whether the packet's key is known, which opens it then.
    fn open(&self, (mki, seq): &(Mki, u16), packet: &[u8]) -> bool {
        let Some(key) = self.keys.get(mki) else { return false };
        let keys = KeyRing::new(vec![Arc::clone(key)]).with_announced(vec![(Ssrc(TALKER), Roc(0))]);
        let mut bytes = packet.to_vec();
        let mut sealed = Packet {
            session: SessionId(0),
            kind: PacketKind::Rtp,
            source: 0,
            keys: &keys,
            bytes: &mut bytes,
        };
        let opened = Unprotector::new(StreamLimits::default()).unprotect(&mut sealed).unwrap();
        let content = String::from_utf8_lossy(&bytes[opened.header_len..opened.len]).into_owned();
        assert!(content.contains(&format!(" {seq} ")), "{mki}, {seq}: {content}");
        true
    }
}

/// Writes down what reaches this port of the group, as long as the test runs.
fn listen(group: Ipv4Addr, port: u16, air: Arc<Mutex<Air>>) {
    let socket = UdpSocket::bind((group, port)).unwrap();
    socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    thread::spawn(move || {
        let mut octets = [0; 2048];
        while let Ok(len) = socket.recv(&mut octets) {
            let mut air = air.lock().unwrap();
            match port {
                MIKEY_PORT => air.key_message(&octets[..len]),
                _ => air.media(&octets[..len]),
            }
        }
    });
}

fn config(channels: &[Channel], state: &Path, socket: &Path) -> String {
    let channels = channels.iter().zip(GROUPS).map(|(channel, group)| {
        let Channel { name, input, .. } = channel;
        format!(
            "[[channel]]\nname = \"{name}\"\ngroup = \"{group}\"\nport = {MEDIA_PORT}\n\
             mikey_port = {MIKEY_PORT}\niface = \"127.0.0.1\"\ninput = {{ udp = \"{input}\" }}\n"
        )
    });
    format!(
        "[state]\nfile = {state:?}\n[http]\nlisten = \"unix:{}\"\n{}",
        text(socket),
        channels.collect::<String>(),
    )
}

fn start(config: &Path) -> Child {
    let mut child = program()
        .env("MCAST_SRTP_LOG", "warn")
        .args(["broadcast", "--config", text(config)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("listening"), "the broadcaster does not start: {line:?}");
    child
}

fn new_msk(msk_id: MskId) -> DocumentMsk {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).unwrap();
    let (key, rand) = octets.split_at(16);
    let msk = Arc::new(Msk { key: SecretBytes::new(key), rand: rand.to_vec() });
    DocumentMsk { msk_id, msk, interval: Interval { low: MtkId(0), high: MtkId(u16::MAX) } }
}

fn muk_id() -> MukId {
    MukId { idi: "bmsc.example".into(), idr: "c1@bsf.example".into() }
}

fn muk() -> Muk {
    Muk(Secret::new([0x11; 32]))
}
