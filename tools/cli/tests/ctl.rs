//! `ctl` against a key server that runs, with a client that confirms what it is sent.

mod common;

use std::{
    io::{BufRead, BufReader},
    net::UdpSocket,
    process::{Output, Stdio},
    thread,
    time::Duration,
};

use common::{
    Files, assert_refused,
    key_server::{Server, config, key as key_of},
    program, run, stderr, stdout, text,
};
use mcast_srtp::{
    keys::{KeyLimits, KeyStore, Muk, MukId, Outcome},
    secret::Secret,
};
use serde_json::{Value, json};

const TOKEN: &str = "operator-token-of-the-tests";

/// A client with the key of the tests: confirms every MSK message that it is sent.
fn confirming_client(idr: &str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let mut store = KeyStore::new(KeyLimits::default());
    let mut key = [0; 32];
    hex::decode_to_slice(key_of(idr), &mut key).unwrap();
    let id = MukId { idi: "bmsc.example".into(), idr: idr.into() };
    store.insert_muk(id, Muk(Secret::new(key))).unwrap();
    thread::spawn(move || {
        let mut octets = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut octets) {
            let Ok(Outcome::Msk(accepted)) = store.receive(&octets[..len]) else { continue };
            socket.send_to(&accepted.verification.unwrap(), from).unwrap();
        }
    });
    address
}

struct World {
    server: Server,
    token: String,
}

impl World {
    fn new() -> Self {
        let files = Files::new();
        let config = config(
            &files,
            "token = \"env:TEST_OPERATOR\"",
            "[channel_defaults]\ndomain = \"00f110\"\n",
        );
        let token = text(&files.write("token", format!("{TOKEN}\n"))).to_owned();
        Self { server: Server::with(files, &config, &[("TEST_OPERATOR", TOKEN)]), token }
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = program();
        command.args(["ctl", "--server", &self.server.address, "--token-file", &self.token]);
        command.args(args);
        command
    }

    fn ctl(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The output of a command that works.
    fn said(&self, args: &[&str]) -> String {
        let output = self.ctl(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output)
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.said(&[&["--json"], args].concat())).unwrap()
    }

    fn until(&self, args: &[&str], wanted: impl Fn(&Value) -> bool) {
        for _ in 0..600 {
            if wanted(&self.json(args)) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{args:?}: {}", self.json(args));
    }

    fn write_keys(&self, name: &str, clients: &[(&str, &str)]) -> String {
        let entry = |(client, reach): &(&str, &str)| {
            format!(
                "[[muk]]\nclient = \"{client}\"\nreach = \"{reach}\"\nidi = \"bmsc.example\"\n\
                 idr = \"{client}\"\nkey = \"{}\"\n",
                key_of(client)
            )
        };
        let entries: String = clients.iter().map(entry).collect();
        text(&self.server.files.write(name, entries)).to_owned()
    }
}

#[test]
fn operator_runs_a_channel_from_opening_to_closing() {
    let world = World::new();
    let address = confirming_client("c1");
    let keys = world.write_keys("keys.toml", &[("c1", &address), ("c2", "sdp"), ("c3", "sdp")]);
    assert_eq!(world.said(&["client", "add", "--keys", &keys]), "c1: done\nc2: done\nc3: done\n");
    assert_eq!(world.said(&["client", "add", "--keys", &keys, "c2"]), "c2: nothing to do\n");
    let open = ["channel", "open", "group 17", "--key-group", "17", "--leave", "update_msk"];
    assert_eq!(world.said(&open), "group 17: done\n");
    assert_eq!(
        world.said(&["join", "group 17", "c1", "c2", "c3"]),
        "c1: done\nc2: done\nc3: done\n"
    );
    let holds = |msk: &'static str| {
        move |members: &Value| members["members"][0] == json!({ "client": "c1", "holds": msk })
    };
    let members = || world.server_members();
    until(members, holds("00110001"));
    let expelled = world.said(&["expel", "group 17", "c2", "c3"]);
    assert_eq!(expelled, "group 17: done, update to MSK 00110002 begun\n");
    world.until(&["channel", "list"], |list| list["channels"][0]["msk_in_force"] == "00110002");
    until(members, holds("00110002"));
    assert_eq!(world.said(&["readmit", "group 17", "c2"]), "c2: done\n");
    let update = world.said(&["update", "group 17", "--compromise"]);
    assert_eq!(update, "group 17: done, update to MSK 00110003 begun\n");
    world.until(&["channel", "list"], |list| list["channels"][0]["msk_in_force"] == "00110003");
    let policy = ["channel", "policy", "group 17", "--leave", "keep_msk", "--grace", "0.5"];
    assert_eq!(world.said(&policy), "group 17: done\n");
    assert_eq!(world.said(&["resend", "group 17", "c1"]), "c1: done\n");
    assert_eq!(world.said(&["solicit", "group 17", "c1"]), "c1: done\n");
    assert_eq!(world.said(&["join", "group 17", "c2"]), "c2: done\n");
    let offer = world.said(&["offer", "group 17", "c2"]);
    assert!(offer.starts_with("a=key-mgmt:mikey "), "{offer}");
    assert_eq!(world.said(&["leave", "group 17", "c1"]), "c1: done\n");
    assert_eq!(world.said(&["client", "reach", "c1", "192.0.2.7"]), "c1: done\n");
    let new = world.write_keys("new.toml", &[("c9", "sdp")]);
    assert_eq!(world.said(&["client", "muk", "c1", "--keys", &new]), "c1: done\n");
    assert_eq!(world.said(&["client", "remove", "c1"]), "c1: done\n");
    assert_eq!(world.said(&["channel", "close", "group 17"]), "group 17: done\n");
    let events = world.said(&["events"]);
    for told in [
        "group 17 joined client=c1",
        "group 17 switched lacking=[] msk_id=00110003",
        "channel_closed",
    ] {
        assert!(events.contains(told), "{told}: {events}");
    }
}

impl World {
    fn server_members(&self) -> Value {
        // `channel show --json` prints the channel, then its members.
        let said = self.said(&["--json", "channel", "show", "group 17"]);
        serde_json::from_str(said.lines().nth(1).unwrap()).unwrap()
    }
}

fn until(mut look: impl FnMut() -> Value, wanted: impl Fn(&Value) -> bool) {
    for _ in 0..600 {
        if wanted(&look()) {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{}", look());
}

#[test]
fn text_is_for_people_and_json_is_the_servers() {
    let world = World::new();
    let keys = world.write_keys("keys.toml", &[("c1", "sdp"), ("c10", "192.0.2.7")]);
    world.said(&["client", "add", "--keys", &keys]);
    assert_eq!(
        world.said(&["client", "list"]),
        "client           reach  counter  channels\n\
         c1                 sdp        0         0\n\
         c10     192.0.2.7:2269        0         0\n"
    );
    assert_eq!(world.json(&["client", "show", "c10"])["reach"], "192.0.2.7:2269");
    assert!(world.said(&["client", "show", "c1"]).contains("IDi                bmsc.example\n"));
    assert_eq!(world.said(&["health"]), "serves\n");
    assert_eq!(world.json(&["health"]), json!({ "ok": true, "reasons": [] }));
    world.said(&["channel", "open", "17", "--key-group", "17", "--mtk-ids", "0100-01ff"]);
    let shown = world.said(&["channel", "show", "17"]);
    for line in [
        "MSK in force       00110001",
        "MTK IDs            0100-01ff",
        "leave              keep_msk",
    ] {
        assert!(shown.lines().any(|given| given == line), "{line}: {shown}");
    }
    let event: Value =
        serde_json::from_str(world.said(&["--json", "events"]).lines().next().unwrap()).unwrap();
    assert_eq!(event["event"], "started");
}

#[test]
fn exit_code_tells_usage_from_refusal() {
    let world = World::new();
    let code = |args: &[&str]| world.ctl(args).status.code().unwrap();
    assert_eq!(code(&["client", "show", "nobody"]), 1);
    assert_eq!(code(&["join", "17", "c1"]), 1);
    assert_eq!(code(&["channel", "open", "17"]), 2, "the key group is missing");
    assert_eq!(code(&["channel", "open", "17", "--key-group", "17", "--profile", "ROT13"]), 2);
    assert_eq!(code(&["client", "reach", "c1", "nowhere"]), 2);
    assert_eq!(code(&["client", "add", "--keys", "no.toml"]), 2);
    assert_eq!(code(&["answer", "17", "c1", "no.sdp"]), 2);
    assert_eq!(code(&["fly"]), 2);
    let keys = world.write_keys("keys.toml", &[("c1", "sdp"), ("c2", "sdp")]);
    assert_refused(
        &world.ctl(&["client", "add", "--keys", &keys, "c3"]),
        &["no entry of client c3"],
    );
    assert_refused(&run(&["ctl", "--server", "https://h", "health"]), &["--server", "proxy"]);
    let without =
        program().args(["ctl", "--server", &world.server.address, "client", "list"]).output();
    let without = without.unwrap();
    assert_eq!(without.status.code(), Some(1));
    assert!(stderr(&without).contains("Authorization: Bearer"), "{}", stderr(&without));
    let token = program()
        .args(["ctl", "--server", &world.server.address, "client", "list"])
        .env("MCAST_SRTP_TOKEN", TOKEN)
        .output();
    assert!(token.unwrap().status.success());
    let absent = run(&["ctl", "--server", "unix:/no/such.sock", "health"]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(
        stderr(&absent).contains("unix:/no/such.sock cannot be reached"),
        "{}",
        stderr(&absent)
    );
}

#[test]
fn follower_of_events_goes_on_when_the_server_has_been_killed() {
    let files = Files::new();
    let socket = files.path("s.sock");
    let config = format!(
        "[state]\nfile = \"{}\"\n[http]\nlisten = \"unix:{}\"\n",
        text(&files.path("state")),
        text(&socket)
    );
    let mut server = Server::with(files, &config, &[]);
    let mut follower = program()
        .args(["ctl", "--server", &server.address, "events", "--follow", "--after", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut until = |told: &str| lines.find(|line| line.as_ref().unwrap().contains(told)).unwrap();
    let add = |server: &Server, name: &str| {
        let body = common::key_server::client(name, "sdp");
        server.change("PUT", &format!("/v1/clients/{name}"), &body);
    };
    add(&server, "c1");
    until("client_added client=c1").unwrap();
    server.kill_and_restart();
    add(&server, "c2");
    until("started").unwrap();
    until("client_added client=c2").unwrap();
    follower.kill().unwrap();
    follower.wait().unwrap();
}
