//! A key server as a process of its own, and the plainest HTTP client there can be.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Files, program, text};

/// The MUK of the client with this identity: no two are alike, and all begin alike.
pub(crate) fn key(idr: &str) -> String {
    let own: String = idr.bytes().map(|octet| format!("{octet:02x}")).collect();
    let alike = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    format!("{}{own}", &alike[..64 - own.len()])
}

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running key server.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
    pub(crate) mikey: Option<String>,
    pub(crate) files: Files,
    config: PathBuf,
    env: Vec<(&'static str, &'static str)>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The kind of a refusal.
    pub(crate) fn kind(&self) -> String {
        self.json()["error"]["kind"].as_str().unwrap_or_default().to_owned()
    }
}

/// A configuration that listens on free ports of loopback; `more` tables follow.
pub(crate) fn config(files: &Files, http: &str, more: &str) -> String {
    format!(
        "[state]\nfile = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n{http}\n\
         [mikey]\nlisten = \"127.0.0.1:0\"\n{more}",
        text(&files.path("key-server.state"))
    )
}

impl Server {
    /// Starts one without a token.
    pub(crate) fn start() -> Self {
        let files = Files::new();
        let config = config(&files, "", "");
        Self::with(files, &config, &[])
    }

    pub(crate) fn with(files: Files, config: &str, env: &[(&'static str, &'static str)]) -> Self {
        let path = files.write("key-server.toml", config);
        let (child, address, mikey) = spawn(&path, env);
        Self { child, address, mikey, files, config: path, env: env.to_vec() }
    }

    /// One that was started in another way.
    pub(crate) fn of(
        child: Child,
        address: String,
        mikey: Option<String>,
        files: Files,
        config: PathBuf,
    ) -> Self {
        Self { child, address, mikey, files, config, env: Vec::new() }
    }

    /// Kills it without a word, and starts it again.
    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.child, self.address, self.mikey) = spawn(&self.config, &self.env);
    }

    /// One request on a connection of its own.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|header| header.to_lowercase().starts_with("host:")) {
            head.push_str("Host: localhost\r\n");
        }
        if !body.is_empty() || matches!(method, "PUT" | "POST" | "PATCH") {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for header in headers {
            head.push_str(&format!("{header}\r\n"));
        }
        // A refusal may come before the body is through, and the connection end with it.
        let _ = stream.write_all(&[head.as_bytes(), b"\r\n", body].concat());
        read_answer(stream)
    }

    pub(crate) fn connect(&self) -> Box<dyn Stream> {
        match self.address.strip_prefix("unix:") {
            Some(path) => {
                let stream = UnixStream::connect(path).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                Box::new(stream)
            }
            None => {
                let address = self.address.strip_prefix("http://").unwrap();
                let stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                Box::new(stream)
            }
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// A request with a body in JSON; `Value::Null` is none.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        if body.is_null() {
            return self.send(method, path, &[], b"");
        }
        let body = body.to_string();
        self.send(method, path, &["Content-Type: application/json"], body.as_bytes())
    }

    /// The same, which must work; returns whether it changed anything.
    pub(crate) fn change(&self, method: &str, path: &str, body: &Value) -> bool {
        let answer = self.ask(method, path, body);
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        answer.json()["changed"].as_bool().unwrap()
    }

    /// Asks again and again until the answer is as wanted.
    pub(crate) fn until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path);
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < give_up, "{path}: {answer:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as systemd does; returns whether that went well, and what it logged.
    pub(crate) fn terminate(mut self) -> (bool, String) {
        let pid = self.child.id().to_string();
        let killed = std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(killed.success());
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().success(), log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection of either kind.
pub(crate) trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn spawn(config: &Path, env: &[(&str, &str)]) -> (Child, String, Option<String>) {
    let child = program()
        .args(["key-server", "--json", "--config", text(config)])
        .envs(env.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    serving(child)
}

/// Waits until it says where it listens.
pub(crate) fn serving(mut child: Child) -> (Child, String, Option<String>) {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let Ok(said) = serde_json::from_str::<Value>(&line) else {
        panic!("{line:?}, {:?}", rest(child.stderr.take().unwrap()));
    };
    let address = said["listening"].as_str().unwrap().to_owned();
    (child, address, said["mikey"].as_str().map(str::to_owned))
}

fn rest(mut stream: ChildStderr) -> String {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

/// Takes an answer to the end of the connection.
pub(crate) fn read_answer(mut stream: impl Read) -> Answer {
    let mut octets = Vec::new();
    if let Err(error) = stream.read_to_end(&mut octets) {
        // The end of a connection whose request was not read to its end.
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    let answer = String::from_utf8(octets).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

pub(crate) fn client(idr: &str, reach: &str) -> Value {
    json!({ "muk": { "idi": "bmsc.example", "idr": idr, "key": key(idr) }, "reach": reach })
}

pub(crate) fn channel(key_group: u16) -> Value {
    json!({ "domain": "00f110", "key_group": key_group })
}
