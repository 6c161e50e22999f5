//! `inspect --keylog`: another SRTP implementation opens a broadcaster's media with the keys it writes.

mod common;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use common::{DOMAIN, Files, pcap::Pcap, run, stderr, text};
use mcast_srtp::{
    broadcast::{BroadcastAction, BroadcastTiming, Broadcaster, ChannelId, Lead},
    keys::{KeyLimits, KeyStore, Muk, MukId, Outcome},
    keyserver::{Action, ChannelSpec, KeyServer, Reach, Sender, Timing, UpdateCause},
    secret::Secret,
    srtp::Profile,
};
use peers::{Absent, LibSrtp, MasterKey, Peer, Setup, Suite};

const SSRC: u32 = 0xcafe_0001;
const MUK: [u8; 32] = [0x4d; 32];

/// A key server with one client, a broadcaster, and the capture of all that they send.
struct Cast {
    now: Instant,
    channel: ChannelId,
    server: KeyServer,
    broadcaster: Broadcaster,
    client: KeyStore,
    pcap: Pcap,
    /// Each packet before and after its protection.
    media: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Cast {
    fn new(profile: Profile) -> Self {
        let (channel, client) = (ChannelId::from("group 17"), "c1".into());
        let mut cast = Self {
            now: Instant::now(),
            server: KeyServer::new(Timing::default()),
            broadcaster: Broadcaster::new(&channel, BroadcastTiming::default()),
            client: KeyStore::new(KeyLimits::default()),
            channel: channel.clone(),
            pcap: Pcap::default(),
            media: Vec::new(),
        };
        let address = "192.0.2.7:2269".parse().unwrap();
        cast.server.add_client(&client, muk_id(), muk(), Reach::Udp(address)).unwrap();
        cast.client.insert_muk(muk_id(), muk()).unwrap();
        let mut spec = ChannelSpec::new(DOMAIN, 0x17);
        spec.profile = profile;
        let opened = cast.server.open_channel(&channel, spec, cast.now, &mut random);
        cast.carry_out(opened.unwrap());
        let joined = cast.server.join(&channel, &client, cast.now).unwrap();
        cast.carry_out(joined);
        cast
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::SendMsk(message) => {
                    self.pcap.udp(2269, &message.octets);
                    let Ok(Outcome::Msk(accepted)) = self.client.receive(&message.octets) else {
                        panic!("the client refuses {message:?}");
                    };
                    let (answer, from) =
                        (accepted.verification.unwrap(), Sender::Client(&message.client));
                    let confirmed = self.server.receive(&answer, from, self.now).unwrap();
                    self.carry_out(confirmed);
                }
                Action::Publish(document) => {
                    let followed = self.broadcaster.follow(&document, self.now, &mut random);
                    self.broadcast(followed.unwrap());
                }
                _ => {}
            }
        }
    }

    fn broadcast(&mut self, actions: Vec<BroadcastAction>) {
        for action in actions {
            if let BroadcastAction::SendKeyMessage(octets) = action {
                self.pcap.udp(2269, &octets);
            }
        }
    }

    /// The next traffic key, under the same MSK.
    fn new_mtk(&mut self) {
        let begun = self.broadcaster.new_mtk(Lead::Usual, self.now, &mut random).unwrap();
        self.broadcast(begun);
    }

    /// The next MSK.
    fn update(&mut self) {
        let cause = UpdateCause::Command;
        let begun = self.server.update(&self.channel, cause, self.now, &mut random).unwrap();
        self.carry_out(begun);
    }

    /// A second of media; the sequence number wraps in the first one.
    fn talk(&mut self) {
        for _ in 0..50 {
            self.now += Duration::from_millis(20);
            let due = self.broadcaster.poll(self.now, &mut random);
            self.broadcast(due);
            if self.broadcaster.mki().is_none() {
                continue;
            }
            let seq = 0xfff0_u16.wrapping_add(u16::try_from(self.media.len()).unwrap());
            let plain = common::rtp(SSRC, seq, seq.to_string().repeat(40).as_bytes());
            let mut protected = plain.clone();
            self.broadcaster.protect_rtp(&mut protected, self.now).unwrap();
            self.pcap.udp(49170, &protected);
            self.media.push((plain, protected));
        }
    }
}

/// The keys of a file of `[[mtk]]` entries alone.
fn master_keys(path: &Path) -> Vec<MasterKey> {
    let file: toml::Table = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(file.keys().collect::<Vec<_>>(), ["mtk"]);
    let octets =
        |entry: &toml::Value, name: &str| hex::decode(entry[name].as_str().unwrap()).unwrap();
    let keys = file["mtk"].as_array().unwrap().iter();
    keys.map(|entry| MasterKey {
        key: octets(entry, "key"),
        salt: octets(entry, "salt"),
        mki: octets(entry, "mki"),
    })
    .collect()
}

#[test]
fn libsrtp_opens_all_media_of_a_capture_with_the_logged_keys() {
    if !Absent::present_or_said("keys of inspect --keylog with libsrtp") {
        return;
    }
    for suite in
        [Suite::AesCm128Sha1_80, Suite::AesCm256Sha1_32, Suite::AesGcm128, Suite::AesGcm256]
    {
        let mut cast = Cast::new(Profile::from_name(suite.name()).unwrap());
        cast.talk();
        cast.new_mtk();
        cast.talk();
        cast.update();
        cast.talk();
        let files = Files::new();
        let (capture, keylog) = (files.path("cast.pcap"), files.path("keylog.toml"));
        cast.pcap.write(&capture).unwrap();
        let keys = files.write("keys.toml", muk_entry());
        let inspect = ["inspect", text(&capture), "--keys", text(&keys), "--keylog", text(&keylog)];
        let output = run(&inspect);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

        let mut setup = Setup::new(suite, &[], &[], &[], SSRC);
        setup.keys = master_keys(&keylog);
        let mkis: Vec<_> = setup.keys.iter().map(|key| hex::encode(&key.mki)).collect();
        assert_eq!(mkis, ["001700010001", "001700010002", "001700020001"], "{suite}");
        let mut libsrtp = LibSrtp::new(&setup).unwrap();
        for (plain, protected) in &cast.media {
            assert_eq!(libsrtp.unprotect_rtp(protected).as_ref(), Ok(plain), "{suite}");
        }
        assert!(cast.media.len() > 100, "{suite}");
    }
}

fn muk_id() -> MukId {
    MukId { idi: "bmsc.example".into(), idr: "c1@bsf.example".into() }
}

fn muk() -> Muk {
    Muk(Secret::new(MUK))
}

fn muk_entry() -> String {
    let MukId { idi, idr } = muk_id();
    format!("[[muk]]\nidi = \"{idi}\"\nidr = \"{idr}\"\nkey = \"{}\"\n", hex::encode(MUK))
}

fn random(out: &mut [u8]) {
    getrandom::fill(out).unwrap();
}
