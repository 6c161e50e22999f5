//! The program as a person runs it, between sockets of this machine.

use std::{
    io::{BufRead, BufReader},
    net::UdpSocket,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

fn impair(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_impair"));
    command.args(line.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Sends datagrams through the program; returns what it says and what arrived.
fn run(options: &str, count: u16) -> (Value, Vec<Vec<u8>>) {
    let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
    let (sender, receiver) = (socket(), socket());
    // A port that is free now.
    let from = socket().local_addr().unwrap();
    let to = receiver.local_addr().unwrap();
    let mut child =
        impair(&format!("{from}={to} --datagrams {count} --seconds 20 --json {options}"))
            .spawn()
            .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.contains("ready, 1 routes"), "{ready}");
    for n in 0..count {
        sender.send_to(&n.to_be_bytes(), from).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    receiver.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut octets = [0; 64];
    let arrived =
        std::iter::from_fn(|| receiver.recv(&mut octets).ok().map(|n| octets[..n].to_vec()));
    let arrived = arrived.collect();
    (serde_json::from_slice(&output.stdout).unwrap(), arrived)
}

#[test]
fn what_it_says_it_passed_on_arrives() {
    let (said, arrived) = run("--drop 0.2 --duplicate 0.1 --jitter 5 --seed 3", 200);
    assert_eq!(
        (&said["sent"], &said["overrun"], &said["not_sent"]),
        (&200.into(), &0.into(), &0.into())
    );
    assert_eq!(said["arrived"], arrived.len());
    assert!(said["dropped"].as_u64().unwrap() > 10 && said["duplicated"].as_u64().unwrap() > 2);
    let (again, _) = run("--drop 0.2 --duplicate 0.1 --jitter 5 --seed 3", 200);
    assert_eq!(said, again);
}

#[test]
fn without_options_it_changes_nothing() {
    let (_, arrived) = run("", 100);
    assert_eq!(arrived, (0..100_u16).map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>());
}

#[test]
fn wrong_usage_and_missing_datagrams_have_their_exit_status() {
    let output = |line: &str| -> Output { impair(line).output().unwrap() };
    let code = |line: &str| output(line).status.code();
    assert_eq!(code(""), Some(2));
    assert_eq!(code("127.0.0.1:9=127.0.0.1:9"), Some(2));
    assert_eq!(code("127.0.0.1:9"), Some(2));
    assert_eq!(code("127.0.0.1:9=[::1]:9"), Some(2));
    assert_eq!(code("--drop 1.5 127.0.0.1:9=127.0.0.1:10"), Some(2));
    assert_eq!(code("--iface no-such-0 239.255.7.9:5004=127.0.0.1:10 --seconds 1"), Some(1));
    assert_eq!(code("127.0.0.1:0=127.0.0.1:10 --datagrams 1 --seconds 0.1"), Some(1));
    assert_eq!(code("127.0.0.1:0=127.0.0.1:10 --seconds 0.1"), Some(0));
    let help = String::from_utf8(output("--help").stdout).unwrap();
    assert!(help.contains("Example:") && help.contains("Exit status:"), "{help}");
}
