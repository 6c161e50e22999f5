//! `recv --state`, killed while it takes key messages: what it has confirmed it has, and what it has
//! accepted it does not accept again.

mod common;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use common::{Files, assert_refused, program, run, text};
use mcast_srtp::{
    group::Interface,
    ids::{CsbId, KeyDomainId, Mki, MskId, MtkId, Roc, Seq, Ssrc},
    keys::{
        CryptoSession, Interval, Msk, Mtk, Muk, MukId,
        issue::{MskIssue, MtkIssue, open_verification, seal_msk, seal_mtk},
    },
    net::{SendOptions, SendSocket},
    secret::{Secret, SecretBytes},
    srtp::{Profile, Protector, TrafficKey},
    wire::rtp::RtpWriter,
};

const DOMAIN: KeyDomainId = KeyDomainId([0x00, 0xf1, 0x10]);
const MEDIA_PORT: u16 = 21_060;
const MIKEY_PORT: u16 = 21_064;
const ROUNDS: u16 = 50;

fn muk_id() -> MukId {
    MukId { idi: "bmsc.example".into(), idr: "c1@bsf.example".into() }
}

fn muk() -> Muk {
    Muk(Secret::new([0x11; 32]))
}

/// An MSK whose number is also its counter.
fn msk(number: u16) -> (MskId, Msk) {
    let octets = number.to_be_bytes().repeat(8);
    (MskId { group: 1, number }, Msk { key: SecretBytes::new(&octets), rand: octets })
}

fn msk_message(number: u16) -> Vec<u8> {
    let (msk_id, msk) = msk(number);
    let issue = MskIssue {
        domain: DOMAIN,
        msk_id,
        msk: &msk,
        interval: Interval { low: MtkId(0), high: MtkId(100) },
        counter: number.into(),
        csb: CsbId(0),
        muk_id: &muk_id(),
        verify: true,
        profile: Profile::default(),
        sessions: &[CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(0) }],
        sdp_ids: None,
    };
    seal_msk(&issue, &muk()).unwrap()
}

fn mtk() -> Mtk {
    Mtk { key: SecretBytes::new(&[0x31; 16]), salt: Some(SecretBytes::new(&[0x32; 14])) }
}

fn mtk_message(number: u16, mtk_id: u16) -> Vec<u8> {
    let ((msk_id, msk), mtk) = (msk(number), mtk());
    let issue = MtkIssue {
        domain: DOMAIN,
        msk_id,
        mtk_id: MtkId(mtk_id),
        counter: mtk_id.into(),
        csb: CsbId(0),
        msk: &msk,
        mtk: &mtk,
    };
    seal_mtk(&issue).unwrap()
}

/// One packet under a traffic key.
fn media(number: u16, mtk_id: u16, seq: u16) -> Vec<u8> {
    let mki = Mki::mbms(msk(number).0, MtkId(mtk_id));
    let mtk = mtk();
    let salt = mtk.salt.unwrap();
    let key = TrafficKey::new(mki, Profile::default(), mtk.key.expose(), salt.expose()).unwrap();
    let mut packet = vec![0; 1500];
    let writer = RtpWriter::new(97, Seq(seq), 0, Ssrc(7));
    let len = writer.write(&seq.to_be_bytes(), &mut packet).unwrap();
    packet.truncate(len);
    Protector::new().protect_rtp(&key, &mut packet).unwrap();
    packet
}

/// The key server, the broadcaster, and who hears what the program forwards.
struct World {
    group: IpAddr,
    multicast: SendSocket,
    server: UdpSocket,
    listener: UdpSocket,
    files: Files,
}

impl World {
    fn new() -> Self {
        let group: IpAddr = "239.255.73.9".parse().unwrap();
        let loopback = Interface::Addr("127.0.0.1".parse().unwrap());
        let patient = |wait: u64| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(wait))).unwrap();
            socket
        };
        Self {
            group,
            multicast: SendSocket::open(group, &loopback, &SendOptions::default()).unwrap(),
            server: patient(20),
            listener: patient(5),
            files: Files::new(),
        }
    }

    fn start(&self) -> Child {
        let sdp = format!(
            "v=0\r\no=poc 1 1 IN IP4 127.0.0.1\r\ns=Group 17\r\nt=0 0\r\nc=IN IP4 {}/1\r\n\
             m=audio {MEDIA_PORT} RTP/SAVP 97\r\na=rtpmap:97 AMR/8000/1\r\n",
            self.group
        );
        let MukId { idi, idr } = muk_id();
        let key = "11".repeat(32);
        let keys = format!("[[muk]]\nidi = \"{idi}\"\nidr = \"{idr}\"\nkey = \"{key}\"\n");
        let (sdp, keys) = (self.files.write("group.sdp", sdp), self.files.write("keys.toml", keys));
        let sealing = self.files.write("state.key", "5a".repeat(32));
        let state = self.files.path("recv.state");
        program()
            .args(["recv", "--iface", "127.0.0.1", "--sdp", text(&sdp), "--keys", text(&keys)])
            .args(["--mikey-port", &MIKEY_PORT.to_string(), "--msk-at", "127.0.0.1"])
            .args(["--to", &self.listener.local_addr().unwrap().to_string()])
            .args(["--state", text(&state), "--state-key", text(&sealing)])
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn send(&self, port: u16, datagram: &[u8]) {
        // Before the program has joined nobody may be there.
        let _ = self.multicast.send(datagram, SocketAddr::new(self.group, port));
    }

    /// Hands an MSK message to the program. While it is not there yet the system says so.
    fn unicast(&self, message: &[u8]) {
        let _ = self.server.send_to(message, ("127.0.0.1", MIKEY_PORT));
    }

    /// The counters of the MSKs that the program confirms, until it is silent for a while.
    fn confirmed(&self) -> Option<u16> {
        let mut answer = [0; 1000];
        let len = self.server.recv(&mut answer).ok()?;
        (1..=u16::MAX).take(4 * usize::from(ROUNDS)).find(|number| {
            let rand = msk(*number).1.rand;
            open_verification(&answer[..len], &rand, &muk_id(), &muk()) == Ok((*number).into())
        })
    }

    /// Repeats the packets until the last of them comes out in the clear.
    fn until_heard(&self, datagrams: &[(u16, &[u8])], seq: u16) {
        let start = Instant::now();
        let mut octets = [0; 1500];
        loop {
            assert!(start.elapsed() < Duration::from_secs(20), "packet {seq} does not come out");
            datagrams.iter().for_each(|(port, datagram)| self.send(*port, datagram));
            while let Ok(len) = self.listener.recv(&mut octets) {
                if octets[..len].ends_with(&seq.to_be_bytes()) {
                    return;
                }
            }
        }
    }
}

#[test]
fn killed_at_any_moment_it_has_what_it_confirmed_and_takes_nothing_twice() {
    let world = World::new();
    let (mut number, mut seq, mut chance) = (0, 0, 0x2545_f491_u32);
    // The newest MSK that was confirmed, and the next MTK ID under it.
    let mut held: Option<(u16, u16)> = None;
    let mut replays = Vec::<u16>::new();
    let mut confirmed_late = 0;
    for round in 1..=ROUNDS {
        let mut program = world.start();
        // What was confirmed before the program was killed opens the next MTK message.
        if let Some((msk, mtk)) = &mut held {
            (*mtk, seq) = (*mtk + 1, seq + 1);
            let (message, packet) = (mtk_message(*msk, *mtk), media(*msk, *mtk, seq));
            world.until_heard(&[(MIKEY_PORT, &message), (MEDIA_PORT, &packet)], seq);
        }
        // Old messages first: if one were accepted, its confirmation would come first.
        let start = Instant::now();
        number += 1;
        let next = msk_message(number);
        let confirmed = loop {
            assert!(start.elapsed() < Duration::from_secs(20), "round {round}: no confirmation");
            replays.iter().rev().take(8).for_each(|old| world.unicast(&msk_message(*old)));
            world.unicast(&next);
            if let Some(confirmed) = world.confirmed() {
                break confirmed;
            }
        };
        assert_eq!(confirmed, number, "round {round}: an old MSK message is accepted again");
        held = Some((number, 0));
        replays.push(number);
        // One more is under way when the end comes.
        number += 1;
        world.unicast(&msk_message(number));
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        std::thread::sleep(Duration::from_micros(u64::from(chance >> 16) % 12_000));
        program.kill().unwrap();
        program.wait().unwrap();
        if let Some(confirmed) = world.confirmed() {
            assert_eq!(confirmed, number);
            held = Some((number, 0));
            replays.push(number);
            confirmed_late += 1;
        }
        let mode = world.files.path("recv.state").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    println!("{ROUNDS} kills, {confirmed_late} of them behind the confirmation under way");
}

#[test]
fn state_that_cannot_be_used_is_a_matter_of_usage() {
    let world = World::new();
    let state = world.files.write("recv.state", "something else");
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o600)).unwrap();
    let output = world.start().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read(&state).unwrap(), b"something else");
    let key_alone = ["recv", "--sdp", "-", "--keys", "-", "--state-key", "env:KEY"];
    assert_refused(&run(&key_alone), &["--state <FILE>"]);
}
