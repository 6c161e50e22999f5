//! The receive rows at their smallest, in namespaces of their own.

use std::process::{Command, Stdio};

use serde_json::Value;

fn compare(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compare"));
    command.args(line.split_whitespace());
    command
}

/// Whether this host makes the namespaces that the rows need; if not, says so.
fn possible() -> bool {
    let unshare = Command::new("unshare")
        .args(
            "--user --map-root-user --net ip link add veth-a type veth peer name veth-b".split(' '),
        )
        .stderr(Stdio::null())
        .status();
    let possible = unshare.is_ok_and(|status| status.success());
    if !possible {
        eprintln!("this host makes no network namespaces with veth (unshare, ip)");
    }
    possible
}

#[test]
fn every_receiver_gets_the_stream_and_nothing_is_lost_at_an_easy_pace() {
    if !possible() {
        return;
    }
    let output =
        compare("receive --row saturated,rekey --rounds 1 --thousands 200 --json").output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let table: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    let outcomes = |row: &Value| row["outcomes"].as_array().unwrap().clone();
    let absent = table["not_run"].as_array().unwrap().len();
    assert_eq!(outcomes(&rows[0]).len(), 5 - absent, "{table}");
    assert_eq!(outcomes(&rows[1]).len(), 2);
    for outcome in rows.iter().flat_map(outcomes) {
        assert!(outcome["ns"]["min"].as_f64().unwrap() > 0.0, "{outcome}");
    }
}

#[test]
fn rows_that_do_not_exist_are_usage() {
    for line in ["receive --row none", "receive --rounds 0", "--json receive", "receiver nobody"] {
        assert_eq!(compare(line).output().unwrap().status.code(), Some(2), "{line}");
    }
}
