//! A key server that runs as a process, over its life: start, kill, full disk, end.

mod common;

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    process::{Command, Stdio},
};

use common::{
    Files, assert_refused,
    key_server::{PATIENCE, Server, channel, client, config, key, read_answer, serving},
    program, run, text,
};
use serde_json::{Value, json};

const TOKEN: &str = "operator-token-of-the-tests";

#[test]
fn killed_server_comes_back_with_all_it_had_answered() {
    let mut server = Server::start();
    for n in 1..=20 {
        server.change("PUT", &format!("/v1/clients/c{n}"), &client(&format!("c{n}"), "sdp"));
    }
    server.change("PUT", "/v1/channels/17", &channel(17));
    server.change("PATCH", "/v1/channels/17", &json!({ "expulsion_window": 60, "grace": 0.5 }));
    for n in 1..=19 {
        server.change("PUT", &format!("/v1/channels/17/members/c{n}"), &Value::Null);
    }
    server.change("POST", "/v1/channels/17/expel", &json!({ "clients": ["c3", "c4"] }));
    server.change("DELETE", "/v1/channels/17/members/c5", &Value::Null);
    let paths = ["/v1/channels/17", "/v1/channels/17/members", "/v1/channels/17/expelled"];
    let look = |server: &Server| paths.map(|path| server.get(path).body);
    let counters = |server: &Server| {
        let clients = server.get("/v1/clients").json();
        let clients = clients["clients"].as_array().unwrap().clone();
        clients.iter().map(|one| one["last_counter"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let (before, counted) = (look(&server), counters(&server));
    server.kill_and_restart();
    assert_eq!(look(&server), before);
    assert_eq!(counters(&server).len(), counted.len());
    assert!(counters(&server).iter().zip(&counted).all(|(after, before)| after >= before));
    assert!(!server.change("PUT", "/v1/clients/c1", &client("c1", "sdp")));
}

#[test]
fn reader_of_events_goes_on_where_it_was() {
    let mut server = Server::start();
    server.change("PUT", "/v1/clients/c1", &client("c1", "sdp"));
    server.change("PUT", "/v1/clients/c2", &client("c2", "sdp"));
    let events = |server: &Server, headers: &[&str]| {
        let answer = server.send("GET", "/v1/events?once=true&after=0", headers, b"");
        let body = answer.body.replace("\r\n", "\n");
        let field = |event: &str, name: &str| {
            event.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned))
        };
        body.split("\n\n")
            .filter_map(|event| Some((field(event, "id: ")?, field(event, "event: ")?)))
            .collect::<Vec<_>>()
    };
    let all = events(&server, &[]);
    let names: Vec<_> = all.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["started", "client_added", "client_added"]);
    let after_first = format!("Last-Event-ID: {}", all[1].0);
    assert_eq!(events(&server, &[&after_first]), all[2..]);
    server.kill_and_restart();
    server.change("PUT", "/v1/clients/c3", &client("c3", "sdp"));
    let later = events(&server, &[&after_first]);
    assert_eq!(later[0].1, "started");
    let number = |id: &str| id.parse::<u64>().unwrap();
    assert!(number(&later[0].0) > number(&all[2].0), "numbers rise over restarts");
}

#[test]
fn event_reaches_a_reader_that_waits_and_the_end_ends_the_stream() {
    let server = Server::start();
    let mut stream = server.connect();
    stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut seen = Vec::new();
    let mut until = |seen: &mut Vec<u8>, wanted: &str| {
        let mut octets = [0; 4096];
        while !String::from_utf8_lossy(seen).contains(wanted) {
            let len = stream.read(&mut octets).unwrap();
            assert_ne!(len, 0, "{:?}", String::from_utf8_lossy(seen));
            seen.extend(&octets[..len]);
        }
    };
    until(&mut seen, ": mcast-srtp key server");
    server.change("PUT", "/v1/clients/c1", &client("c1", "sdp"));
    until(&mut seen, "event: client_added");
    let (ended_well, _) = server.terminate();
    assert!(ended_well);
}

#[test]
fn broadcaster_that_waits_for_a_document_gets_the_next_one() {
    let server = Server::start();
    let mut settings = channel(17);
    settings["broadcasters"] = json!(["east"]);
    server.change("PUT", "/v1/channels/17", &settings);
    let document = "/v1/channels/17/document?broadcaster=east";
    let first = server.get(document).json();
    assert_eq!((&first["version"], &first["in_force"]), (&json!(1), &json!("00110001")));
    assert_eq!(server.get(&format!("{document}&after=1")).status, 204);
    let mut waits = server.connect();
    let request = format!(
        "GET {document}&after=1&wait=60 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    waits.write_all(request.as_bytes()).unwrap();
    server.change("POST", "/v1/channels/17/update", &json!({ "cause": "command" }));
    let second = read_answer(waits).json();
    assert_eq!((&second["version"], &second["in_force"]), (&json!(2), &json!("00110001")));
    assert_eq!(second["msks"].as_array().unwrap().len(), 2);
    // The switch waits for the broadcaster to say that it holds the coming MSK.
    let switched = server.get(&format!("{document}&after=2&wait=60")).json();
    assert_eq!((&switched["version"], &switched["in_force"]), (&json!(3), &json!("00110002")));
}

#[test]
fn unix_socket_is_for_its_group_and_belongs_to_one_server() {
    let files = Files::new();
    let socket = files.path("key-server.sock");
    let config = format!(
        "[state]\nfile = \"{}\"\n[http]\nlisten = \"unix:{}\"\n",
        text(&files.path("state")),
        text(&socket)
    );
    let mut server = Server::with(files, &config, &[]);
    assert_eq!(server.get("/v1/health").status, 200);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let other = server.files.write("other.toml", config.replace("/state\"", "/other-state\""));
    let refused = run(&["key-server", "--config", text(&other)]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(common::stderr(&refused).contains("another server listens"), "{refused:?}");
    server.kill_and_restart();
    assert_eq!(server.get("/v1/health").status, 200, "what a killed server leaves is replaced");
    let (ended_well, _) = server.terminate();
    assert!(ended_well && !socket.exists());
}

#[test]
fn unusable_configuration_is_refused_with_its_place() {
    let files = Files::new();
    let broken = files.write("broken.toml", "[state]\nfile = \"s\"\n[http]\nlisten = \"lo\"\n");
    for check in [&["--check"][..], &[]] {
        let args = [&["key-server", "--config", text(&broken)][..], check].concat();
        assert_refused(&run(&args), &["broken.toml:4: [http], field listen"]);
    }
    assert_refused(&run(&["key-server", "--config", "no.toml"]), &["cannot read no.toml"]);
    let fine = files.write("fine.toml", config(&files, "", ""));
    assert!(run(&["key-server", "--check", "--config", text(&fine)]).status.success());
}

#[test]
fn clients_of_the_key_file_are_entered_once_and_stay_as_they_are() {
    let files = Files::new();
    let entry = |n: u32| {
        let key = key(&format!("c{n}"));
        format!("[[muk]]\nidi = \"bmsc.example\"\nidr = \"c{n}\"\nkey = \"{key}\"\n")
    };
    let keys = files.write("clients.toml", (0..600).map(entry).collect::<String>());
    let config = format!("clients = \"{}\"\n{}", text(&keys), config(&files, "", ""));
    // Nobody reads the log here: an event for each client would fill its pipe.
    let mut server = Server::with(files, &config, &[("MCAST_SRTP_LOG", "warn")]);
    let count =
        |server: &Server| server.get("/v1/clients").json()["clients"].as_array().unwrap().len();
    assert_eq!(count(&server), 600);
    server.change("PUT", "/v1/clients/c7/reach", &json!({ "reach": "127.0.0.1:9" }));
    server.kill_and_restart();
    assert_eq!(count(&server), 600);
    assert_eq!(server.get("/v1/clients/c7").json()["reach"], "127.0.0.1:9");
}

#[test]
fn systemd_is_told_when_requests_are_served() {
    let files = Files::new();
    let path = files.path("notify.sock");
    let listener = UnixDatagram::bind(&path).unwrap();
    listener.set_read_timeout(Some(PATIENCE)).unwrap();
    let config = files.write("key-server.toml", config(&files, "", ""));
    let child = program()
        .args(["key-server", "--json", "--config", text(&config)])
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut child, ..) = serving(child);
    let mut told = [0; 64];
    let len = listener.recv(&mut told).unwrap();
    assert_eq!(&told[..len], b"READY=1");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn log_at_its_most_talkative_has_no_keys_and_no_tokens() {
    let files = Files::new();
    let config = config(&files, "token = \"env:TEST_OPERATOR\"", "");
    let env = [("TEST_OPERATOR", TOKEN), ("MCAST_SRTP_LOG", "trace")];
    let server = Server::with(files, &config, &env);
    let header = format!("Authorization: Bearer {TOKEN}");
    let headers = [header.as_str(), "Content-Type: application/json"];
    let send = |method: &str, path: &str, body: &Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        server.send(method, path, &headers, body.as_bytes())
    };
    let mut settings = channel(17);
    settings["broadcasters"] = json!(["east"]);
    send("PUT", "/v1/clients/c1", &client("c1", "127.0.0.1:9"));
    send("PUT", "/v1/clients/c1", &json!({ "muk": key("c1") }));
    send("PUT", "/v1/channels/17", &settings);
    send("PUT", "/v1/channels/17/members/c1", &Value::Null);
    let document = send("GET", "/v1/channels/17/document?broadcaster=east", &Value::Null).json();
    let msk = document["msks"][0]["key"].as_str().unwrap().to_owned();
    server.send("GET", "/v1/clients", &[&format!("{header}x")], b"");
    let (ended_well, log) = server.terminate();
    assert!(ended_well && log.contains("/v1/clients/c1"), "{log}");
    for secret in [&key("c1"), &msk, TOKEN, "000102", &msk[..8]] {
        assert!(!log.to_lowercase().contains(secret), "{secret} is in {log}");
    }
}

#[test]
fn full_disk_is_told_and_nothing_is_answered_that_is_not_kept() {
    let files = Files::new();
    let folder = files.path("disk");
    fs::create_dir(&folder).unwrap();
    let path = files.write(
        "key-server.toml",
        format!("[state]\nfile = \"{}/state\"\n[http]\nlisten = \"127.0.0.1:0\"\n", text(&folder)),
    );
    // A small disk of its own, seen by the server alone.
    let script = format!(
        "mount -t tmpfs -o size=256k tmpfs {} && exec {} key-server --json --config {}",
        text(&folder),
        env!("CARGO_BIN_EXE_mcast-srtp"),
        text(&path)
    );
    let child = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (child, address, mikey) = serving(child);
    let filler = format!("/proc/{}/root{}/filler", child.id(), text(&folder));
    let server = Server::of(child, address, mikey, files, path);
    server.change("PUT", "/v1/channels/17", &channel(17));
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    // What is left of the last block of the file is used up by some requests.
    let mut kept = 0;
    let refused = (0..200)
        .map(|n| server.ask("PUT", &format!("/v1/clients/c{n}"), &client(&format!("c{n}"), "sdp")))
        .find(|answer| {
            kept += u32::from(answer.status == 200);
            answer.status != 200
        });
    let refused = refused.expect("the disk is full");
    assert_eq!((refused.status, refused.kind().as_str()), (503, "unavailable"), "{refused:?}");
    assert!(refused.head.contains("retry-after: 1"), "{refused:?}");
    let health = server.get("/v1/health");
    assert_eq!((health.status, &health.json()["ok"]), (503, &json!(false)));
    assert!(!health.json()["reasons"].as_array().unwrap().is_empty(), "{health:?}");
    drop(file);
    fs::remove_file(&filler).unwrap();
    server.until("/v1/health", |answer| answer.status == 200);
    let path = format!("/v1/clients/c{kept}");
    assert_eq!(server.ask("PUT", &path, &client(&format!("c{kept}"), "sdp")).status, 200);
}
