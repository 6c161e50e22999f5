//! `recv` fed by the key server and the broadcaster: an MSK update in mid-stream loses nothing.

mod common;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Stdio,
    time::{Duration, Instant},
};

use common::{Files, program, stderr, text};
use mcast_srtp::{
    broadcast::{BroadcastAction, BroadcastTiming, Broadcaster, ChannelId},
    group::Interface,
    ids::{KeyDomainId, Seq, Ssrc},
    keys::{Muk, MukId},
    keyserver::{Action, ChannelSpec, KeyServer, Reach, Route, Sender, Timing, UpdateCause},
    net::{SendOptions, SendSocket},
    secret::Secret,
    wire::rtp::{RtpView, RtpWriter},
};

const MEDIA_PORT: u16 = 21_060;
const MIKEY_PORT: u16 = 21_064;

fn random(octets: &mut [u8]) {
    getrandom::fill(octets).unwrap();
}

/// Server side of one client.
struct Servers {
    channel: ChannelId,
    keys: KeyServer,
    broadcaster: Broadcaster,
    unicast: UdpSocket,
    group: IpAddr,
    multicast: SendSocket,
    sent: u16,
}

impl Servers {
    fn new() -> Self {
        let channel = ChannelId::from("Group 17");
        let unicast = UdpSocket::bind("127.0.0.1:0").unwrap();
        unicast.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let group: IpAddr = "239.255.73.6".parse().unwrap();
        let loopback = Interface::Addr("127.0.0.1".parse().unwrap());
        let mut servers = Self {
            keys: KeyServer::new(Timing::default()),
            broadcaster: Broadcaster::new(&channel, BroadcastTiming::default()),
            channel,
            unicast,
            group,
            multicast: SendSocket::open(group, &loopback, &SendOptions::default()).unwrap(),
            sent: 0,
        };
        let now = Instant::now();
        let muk_id = MukId { idi: "bmsc.example".into(), idr: "c1@bsf.example".into() };
        let reach = Reach::Udp(SocketAddr::new("127.0.0.1".parse().unwrap(), MIKEY_PORT));
        let muk = Muk(Secret::new([0x11; 32]));
        servers.keys.add_client(&"c1".into(), muk_id, muk, reach).unwrap();
        let spec = ChannelSpec::new(KeyDomainId([0x00, 0xf1, 0x10]), 1);
        let opened = servers.keys.open_channel(&servers.channel, spec, now, &mut random).unwrap();
        servers.carry_out(opened);
        let joined = servers.keys.join(&servers.channel, &"c1".into(), now).unwrap();
        servers.carry_out(joined);
        servers
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::SendMsk(message) => {
                    let Route::Udp(to) = message.to else { panic!("{message:?}") };
                    // Before the program listens the system may say so.
                    let _ = self.unicast.send_to(&message.octets, to);
                }
                Action::Publish(document) => {
                    let now = Instant::now();
                    let actions = self.broadcaster.follow(&document, now, &mut random).unwrap();
                    self.broadcast(actions);
                }
                _ => {}
            }
        }
    }

    fn broadcast(&self, actions: Vec<BroadcastAction>) {
        for action in actions {
            if let BroadcastAction::SendKeyMessage(message) = action {
                self.send(MIKEY_PORT, &message);
            }
        }
    }

    fn send(&self, port: u16, datagram: &[u8]) {
        let _ = self.multicast.send(datagram, SocketAddr::new(self.group, port));
    }

    /// Does what is due, and sends the next packet once a traffic key is in force.
    fn turn(&mut self) {
        let now = Instant::now();
        let due = self.keys.poll(now, &mut random);
        self.carry_out(due);
        let due = self.broadcaster.poll(now, &mut random);
        self.broadcast(due);
        let mut octets = [0; 2048];
        if let Ok((len, from)) = self.unicast.recv_from(&mut octets) {
            let taken = self.keys.receive(&octets[..len], Sender::Address(from), now);
            self.carry_out(taken.unwrap_or_default());
        }
        if self.broadcaster.mki().is_some() {
            self.sent += 1;
            let mut packet = vec![0; 14];
            let writer = RtpWriter::new(97, Seq(self.sent), 0, Ssrc(7));
            writer.write(&self.sent.to_be_bytes(), &mut packet).unwrap();
            self.broadcaster.protect_rtp(&mut packet, now).unwrap();
            self.send(MEDIA_PORT, &packet);
        }
    }

    fn client_holds_the_msk(&self) -> bool {
        let current = self.keys.current_msk(&self.channel);
        self.keys.members(&self.channel).all(|(_, held)| held == current)
    }
}

#[test]
fn msk_update_by_unicast_in_mid_stream_loses_no_packet() {
    let files = Files::new();
    let sdp = files.write(
        "group.sdp",
        format!(
            "v=0\r\no=poc 1 1 IN IP4 127.0.0.1\r\ns=Group 17\r\nt=0 0\r\nc=IN IP4 239.255.73.6/1\r\n\
             m=audio {MEDIA_PORT} RTP/SAVP 97\r\na=rtpmap:97 AMR/8000/1\r\nb=RS:0\r\nb=RR:0\r\n"
        ),
    );
    let muk = "11".repeat(32);
    let muk =
        format!("[[muk]]\nidi = \"bmsc.example\"\nidr = \"c1@bsf.example\"\nkey = \"{muk}\"\n");
    let (keys, dump) = (files.write("keys.toml", muk), files.path("media.rtpdump"));
    let mut child = program()
        .args(["recv", "--iface", "127.0.0.1", "--msk-at", "127.0.0.1"])
        .args(["--mikey-port", &MIKEY_PORT.to_string(), "--packets", "300", "--json"])
        .args(["--sdp", text(&sdp), "--keys", text(&keys), "--rtpdump", text(&dump)])
        .env("MCAST_SRTP_LOG", "error")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();

    let (start, mut servers) = (Instant::now(), Servers::new());
    let (mut received_since, mut updated) = (None, false);
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(30), "recv does not end");
        servers.turn();
        if received_since.is_none() && servers.client_holds_the_msk() {
            received_since = Some(servers.sent);
        }
        // In mid-stream, with the first MTK in use.
        if !updated && received_since.is_some_and(|first| servers.sent > first + 150) {
            updated = true;
            let (channel, now) = (servers.channel.clone(), Instant::now());
            let begun = servers.keys.update(&channel, UpdateCause::Command, now, &mut random);
            servers.carry_out(begun.unwrap());
        }
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = common::json_lines(&output);
    let keys = &lines.last().unwrap()["keys"];
    assert_eq!(keys["msk"], 2, "{keys:#}");
    assert!(keys["mtk"].as_u64().unwrap() >= 2, "{keys:#}");

    let packets = common::recorded(&std::fs::read(&dump).unwrap());
    assert_eq!(packets.len(), 300);
    let seqs: Vec<_> = packets.iter().map(|p| RtpView::parse(p).unwrap().seq().0).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
}
