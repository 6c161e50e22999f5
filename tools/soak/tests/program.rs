//! The program for two seconds of much re-keying, on the loopback interface.

use std::process::{Command, Output};

use serde_json::Value;

fn soak(line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_soak")).args(line.split_whitespace()).output().unwrap()
}

#[test]
fn nothing_is_lost_while_keys_change() {
    let load = "--seconds 2 --rate 1000 --mtk-every 0.4 --msk-every 0.8 --growth 16777216 --json";
    let output = soak(load);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["sent"], &report["delivered"]), (&2000.into(), &2000.into()));
    assert_eq!((&report["mtk_changes"], &report["msk_changes"]), (&4.into(), &2.into()));
    let latency = report["latency"].as_array().unwrap();
    let packets: u64 = latency.iter().map(|l| l["packets"].as_u64().unwrap()).sum();
    assert_eq!(packets, 2000);
    assert!(latency.iter().all(|l| l["packets"].as_u64().unwrap() > 0), "{report}");
}

#[test]
fn wrong_usage_and_a_port_that_is_taken_have_their_exit_status() {
    for line in ["--rate 5", "--group 192.0.2.1", "--mtk-every 0.01", "--profile ROT13"] {
        assert_eq!(soak(line).status.code(), Some(2), "{line}");
    }
    let taken = std::net::UdpSocket::bind("127.0.0.1:21802").unwrap();
    let port = taken.local_addr().unwrap().port() - 2;
    let output = soak(&format!("--seconds 1 --port {port}"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
