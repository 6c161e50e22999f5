//! An HTTP client for servers that may die at any moment.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

/// A server behind a Unix socket; one connection for each request.
#[derive(Clone, Debug)]
pub(crate) struct Http(PathBuf);

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Http {
    pub(crate) fn at(socket: &Path) -> Self {
        Self(socket.to_path_buf())
    }

    /// Asks and waits for the whole answer.
    ///
    /// # Errors
    /// Nobody is there, or is there no longer: whether the request was carried out is not known.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        let mut stream = UnixStream::connect(&self.0)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Answer::parse(&answer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Answer {
    /// `None` for an answer that was cut.
    fn parse(octets: &[u8]) -> Option<Self> {
        let end = octets.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&octets[..end]).ok()?.to_ascii_lowercase();
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let length = lines.find_map(|line| line.strip_prefix("content-length:"));
        let length = length.map_or(Some(0), |length| length.trim().parse().ok())?;
        let body = octets[end + 4..].to_vec();
        (body.len() == length).then_some(Self { status, body })
    }

    /// The body of an answer that is well.
    pub(crate) fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, 200, "{text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
