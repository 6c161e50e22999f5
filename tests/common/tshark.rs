//! Asks Wireshark's command-line program what it sees in our packets.

use std::{
    env,
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
};

use crate::pcap::Pcap;

/// The program, if it is on this machine.
pub(crate) struct Tshark(());

/// What tshark says about one packet.
#[derive(Debug)]
pub(crate) struct Dissected {
    /// The fields asked for, in that order; several values of one field are separated by `|`.
    pub(crate) fields: Vec<String>,
    /// What is wrong with the packet, in tshark's words; empty if nothing is.
    pub(crate) complaint: String,
}

impl Tshark {
    /// Finds the program. Without it a test has nothing to say, and says so; under `CI=true` it fails.
    pub(crate) fn find() -> Option<Self> {
        let version = Command::new("tshark").arg("--version").stderr(Stdio::null()).output();
        if version.is_ok_and(|output| output.status.success()) {
            return Some(Self(()));
        }
        assert!(
            env::var_os("CI").is_none_or(|ci| ci != "true"),
            "tshark is missing, and CI=true asks for every check; install Debian package tshark"
        );
        #[expect(clippy::explicit_write, reason = "a passing test swallows what eprintln! says")]
        writeln!(io::stderr(), "not run: tshark is missing; install Debian package tshark")
            .unwrap();
        None
    }

    /// Dissects every datagram. `name` tells the capture file apart from those of other tests,
    /// `decode_as` is what option `-d` takes, for example `udp.port==5005,rtcp`.
    pub(crate) fn dissect(
        &self,
        name: &str,
        pcap: &Pcap,
        decode_as: &[&str],
        fields: &[&str],
    ) -> Vec<Dissected> {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("pcap");
        pcap.write(&file).unwrap();
        let mut tshark = Command::new("tshark");
        tshark.args(["-n", "-T", "fields", "-E", "separator=/t", "-E", "aggregator=|", "-r"]);
        tshark.arg(&file);
        for rule in decode_as {
            tshark.args(["-d", rule]);
        }
        // A cut packet has the first of these, any other complaint the second.
        for field in ["_ws.malformed", "_ws.expert.message"].iter().chain(fields) {
            tshark.args(["-e", field]);
        }
        let output = tshark.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let rows: Vec<_> = text.lines().map(dissected).collect();
        assert_eq!(rows.len(), pcap.len(), "one line for each datagram");
        rows
    }
}

fn dissected(line: &str) -> Dissected {
    let mut columns = line.split('\t').map(str::to_owned);
    let complaint = [columns.next(), columns.next()].into_iter().flatten().collect();
    Dissected { fields: columns.collect(), complaint }
}
