//! The program as a person runs it, to a socket of this machine.

use std::{
    io::Write,
    net::UdpSocket,
    process::{Command, Output},
    time::Duration,
};

const SCHEDULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schedule.toml");

#[test]
fn everything_announced_in_the_summary_arrives() {
    let media = socket();
    let control = socket();
    let (to, rtcp) = (media.local_addr().unwrap(), control.local_addr().unwrap().port());
    let output = loadgen(&format!(
        "--to {to} --rtcp-port {rtcp} --iface 127.0.0.1 --keys {SCHEDULE} --count 60 --rate 2000 \
         --burst 4 --payload 20,160 --streams 3 --rtcp-every 10 --forge-every 6 --json"
    ));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["media"], &summary["forged"]), (&60.into(), &10.into()));
    assert_eq!(summary["control"], 6);
    assert_eq!((count(&media), count(&control)), (70, 6));
}

#[test]
fn wrong_usage_and_a_failing_network_have_their_exit_status() {
    let code = |line: &str| loadgen(line).status.code();
    let to = "--to 239.255.7.1:5004";
    assert_eq!(code(to), Some(2));
    assert_eq!(code(&format!("{to} --keys /nonexistent")), Some(2));
    assert_eq!(code(&format!("{to} --keys {SCHEDULE} --ssrc nothex")), Some(2));
    assert_eq!(code(&format!("{to} --keys {SCHEDULE} --rate 0")), Some(2));
    assert_eq!(code(&format!("{to} --keys {SCHEDULE} --iface no-such-0")), Some(1));
    assert_eq!(code("--help"), Some(0));
}

fn loadgen(line: &str) -> Output {
    let output =
        Command::new(env!("CARGO_BIN_EXE_loadgen")).args(line.split_whitespace()).output().unwrap();
    std::io::stderr().write_all(&output.stderr).unwrap();
    output
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

fn count(socket: &UdpSocket) -> usize {
    let mut buffer = [0; 2048];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count()
}
