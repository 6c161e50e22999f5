//! A little key server and broadcaster with fixed keys, and the program under test.

#![allow(dead_code, reason = "each test file uses a part")]

#[path = "../../../../tests/common/pcap.rs"]
pub(crate) mod pcap;

pub(crate) mod key_server;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use mcast_srtp::{
    ids::{CsbId, KeyDomainId, Mki, MskId, MtkId, Roc, Seq, Ssrc},
    keys::{
        CryptoSession, Interval, KeyLimits, KeyStore, Msk, Mtk, Muk, MukId, Outcome,
        issue::{MskIssue, MtkIssue, seal_msk, seal_mtk},
    },
    secret::{Secret, SecretBytes},
    srtp::{Profile, Protector, TrafficKey},
    wire::{
        Text,
        burst::{BurstMessage, BurstPacket, Taken},
        rtp::RtpWriter,
    },
};

pub(crate) const ALICE: Ssrc = Ssrc(0x5e45_0a11);
pub(crate) const MSK_ID: MskId = MskId { group: 1, number: 1 };
const SERVER: Ssrc = Ssrc(0x5e45_0001);
pub(crate) const DOMAIN: KeyDomainId = KeyDomainId([0x00, 0xf1, 0x10]);
const MTK_ID: MtkId = MtkId(1);

/// Makes key messages and protected packets of one talk group.
pub(crate) struct Issuer {
    profile: Profile,
    msk: Msk,
    muk_id: MukId,
    key: TrafficKey,
    mtk: Mtk,
    protector: Protector,
}

impl Issuer {
    pub(crate) fn new(profile: Profile) -> Self {
        let mtk = Mtk {
            key: SecretBytes::new(&vec![0x31; profile.cipher.key_len()]),
            salt: Some(SecretBytes::new(&[0x32; 14])),
        };
        let salt = mtk.salt.as_ref().unwrap().expose();
        let key = TrafficKey::new(Mki::mbms(MSK_ID, MTK_ID), profile, mtk.key.expose(), salt);
        Self {
            profile,
            msk: Msk { key: SecretBytes::new(&[0x21; 16]), rand: vec![0x22; 16] },
            muk_id: MukId { idi: "bmsc.example".into(), idr: "c1@bsf.example".into() },
            key: key.unwrap(),
            mtk,
            protector: Protector::new(),
        }
    }

    /// The MUK as the key file gives it.
    pub(crate) fn muk_entry(&self) -> String {
        let MukId { idi, idr } = &self.muk_id;
        let key = "11".repeat(32);
        format!("[[muk]]\nidi = \"{idi}\"\nidr = \"{idr}\"\nkey = \"{key}\"\n")
    }

    /// The traffic key as the key file gives it.
    pub(crate) fn mtk_entry(&self) -> String {
        let key = hex::encode(self.mtk.key.expose());
        let salt_len = self.profile.cipher.salt_len();
        format!(
            "[[mtk]]\nmki = \"{}\"\nkey = \"{key}\"\nsalt = \"{}\"\nprofile = \"{}\"\n",
            self.key.mki(),
            "32".repeat(salt_len),
            self.profile,
        )
    }

    pub(crate) fn msk_message(&self, counter: u32) -> Vec<u8> {
        let issue = MskIssue {
            domain: DOMAIN,
            msk_id: MSK_ID,
            msk: &self.msk,
            interval: Interval { low: MtkId(0), high: MtkId(100) },
            counter,
            csb: CsbId(0),
            muk_id: &self.muk_id,
            verify: true,
            profile: self.profile,
            sessions: &[CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(0) }],
            sdp_ids: None,
        };
        seal_msk(&issue, &Muk(Secret::new([0x11; 32]))).unwrap()
    }

    /// The answer of the client to an MSK message.
    pub(crate) fn verification(&self, msk_message: &[u8]) -> Vec<u8> {
        let mut client = KeyStore::new(KeyLimits::default());
        client.insert_muk(self.muk_id.clone(), Muk(Secret::new([0x11; 32]))).unwrap();
        match client.receive(msk_message).unwrap() {
            Outcome::Msk(accepted) => accepted.verification.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn mtk_message(&self) -> Vec<u8> {
        let issue = MtkIssue {
            domain: DOMAIN,
            msk_id: MSK_ID,
            mtk_id: MTK_ID,
            counter: 1,
            csb: CsbId(0),
            msk: &self.msk,
            mtk: &self.mtk,
        };
        seal_mtk(&issue).unwrap()
    }

    /// One protected packet of Alice.
    pub(crate) fn media(&mut self, seq: u16, payload: &[u8]) -> Vec<u8> {
        let mut packet = rtp(ALICE.0, seq, payload);
        self.protector.protect_rtp(&self.key, &mut packet).unwrap();
        packet
    }

    /// The announcement that Alice talks.
    pub(crate) fn taken(&mut self) -> Vec<u8> {
        let taken = Taken {
            talker: ALICE,
            cname: Text::from("sip:alice@example.com"),
            name: Some(Text::from("Alice")),
            ..Taken::default()
        };
        self.burst(BurstMessage::Taken(taken))
    }

    /// The announcement that nobody talks.
    pub(crate) fn idle(&mut self) -> Vec<u8> {
        self.burst(BurstMessage::Idle)
    }

    fn burst(&mut self, message: BurstMessage<'_>) -> Vec<u8> {
        let mut packet = vec![0; BurstPacket::MAX_LEN];
        let len = BurstPacket::new(SERVER, message).write(&mut packet).unwrap();
        packet.truncate(len);
        self.protector.protect_rtcp(&self.key, &mut packet).unwrap();
        packet
    }
}

/// A plain packet of payload type 97.
pub(crate) fn rtp(ssrc: u32, seq: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 1500];
    let writer = RtpWriter::new(97, Seq(seq), u32::from(seq) * 160, Ssrc(ssrc));
    let len = writer.write(payload, &mut packet).unwrap();
    packet.truncate(len);
    packet
}

/// A folder for the files of one test.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, contents).unwrap();
        path
    }
}

pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mcast-srtp"))
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

/// Runs the program with this text on the standard input.
pub(crate) fn run_with_input(args: &[&str], input: &str) -> Output {
    let mut child = program()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The JSON objects of the standard output, one a line.
pub(crate) fn json_lines(output: &Output) -> Vec<serde_json::Value> {
    assert!(output.stderr.is_empty(), "{}", stderr(output));
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Checks that the program refused its input with exit code 2 and said why.
pub(crate) fn assert_refused(output: &Output, why: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in why {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}

pub(crate) fn base64(octets: &[u8]) -> String {
    BASE64_STANDARD.encode(octets)
}

/// The packets of an rtpdump file.
pub(crate) fn recorded(file: &[u8]) -> Vec<Vec<u8>> {
    let head = file.iter().position(|octet| *octet == b'\n').unwrap() + 1 + 16;
    let mut rest = &file[head..];
    let mut packets = Vec::new();
    while let [hi, lo, ..] = rest {
        let len = usize::from(u16::from_be_bytes([*hi, *lo]));
        packets.push(rest[8..len].to_vec());
        rest = &rest[len..];
    }
    packets
}
