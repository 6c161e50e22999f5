//! Where deliveries go: a UDP destination, an rtpdump file, JSON lines of burst events.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    net::{SocketAddr, UdpSocket},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use mcast_srtp::rx::Burst;
use serde_json::{Map, Value, json};

use crate::{
    args::RecvArgs,
    burst,
    exit::Failure,
    field::{self, Field},
    rtpdump::Recorder,
};

/// The outputs that were asked for.
pub(super) struct Outputs {
    forward: Option<Forward>,
    recorder: Option<Recorder<BufWriter<File>>>,
    events: Option<Box<dyn Write>>,
}

/// Where media goes as plain RTP.
struct Forward {
    socket: UdpSocket,
    to: SocketAddr,
    /// Packets the system would not send.
    refused: u64,
    /// When that may be logged again.
    next_warning: Option<Instant>,
}

impl Forward {
    fn send(&mut self, packet: &[u8]) {
        let Err(error) = self.socket.send_to(packet, self.to) else { return };
        self.refused += 1;
        let now = Instant::now();
        if self.next_warning.is_none_or(|next| next <= now) {
            self.next_warning = Some(now + Duration::from_secs(60));
            tracing::warn!(to = %self.to, %error, packets = self.refused, "packets not forwarded");
        }
    }
}

impl Outputs {
    /// Opens files and socket before anything is received.
    ///
    /// # Errors
    /// A usage failure that names what cannot be opened.
    pub(super) fn open(args: &RecvArgs) -> Result<Self, Failure> {
        let forward = match args.to {
            Some(to) => {
                let socket = sending_socket(to)?;
                Some(Forward { socket, to, refused: 0, next_warning: None })
            }
            None => None,
        };
        let recorder = args.rtpdump.as_deref().map(|path| recorder(path, args.to)).transpose()?;
        let events = args.events.as_deref().map(event_writer).transpose()?;
        Ok(Self { forward, recorder, events })
    }

    /// Writes one plain RTP packet.
    ///
    /// # Errors
    /// Those of the file. A datagram that cannot be sent is lost, as on any network, and counted.
    pub(super) fn media(&mut self, offset: Duration, packet: &[u8]) -> io::Result<()> {
        if let Some(forward) = &mut self.forward {
            forward.send(packet);
        }
        self.recorder.as_mut().map_or(Ok(()), |recorder| recorder.rtp(offset, packet))
    }

    /// Writes one burst event, at once: somebody may be waiting for it.
    ///
    /// # Errors
    /// Those of the file.
    pub(super) fn burst(&mut self, line: &BurstLine) -> io::Result<()> {
        let Some(events) = &mut self.events else { return Ok(()) };
        writeln!(events, "{}", line.0)?;
        events.flush()
    }

    /// Packets that could not be forwarded.
    pub(super) fn not_forwarded(&self) -> u64 {
        self.forward.as_ref().map_or(0, |forward| forward.refused)
    }

    /// Hands what has been written to the system.
    ///
    /// # Errors
    /// Those of the files.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.recorder.as_mut().map_or(Ok(()), Recorder::flush)
    }

    /// The same at the end.
    ///
    /// # Errors
    /// Those of the files.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush()
    }
}

fn sending_socket(to: SocketAddr) -> Result<UdpSocket, Failure> {
    let any: SocketAddr =
        if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    UdpSocket::bind(any).map_err(|error| Failure::usage(format!("--to {to}: no socket: {error}")))
}

fn recorder(path: &Path, to: Option<SocketAddr>) -> Result<Recorder<BufWriter<File>>, Failure> {
    let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let source = to.unwrap_or_else(|| ([0, 0, 0, 0], 0).into());
    File::create(path)
        .and_then(|file| Recorder::new(BufWriter::new(file), source, start))
        .map_err(|error| Failure::usage(format!("{}: cannot be written: {error}", path.display())))
}

fn event_writer(path: &Path) -> Result<Box<dyn Write>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout()));
    }
    match File::create(path) {
        Ok(file) => Ok(Box::new(BufWriter::new(file))),
        Err(error) => {
            Err(Failure::usage(format!("{}: cannot be written: {error}", path.display())))
        }
    }
}

/// One line of the event file.
pub(super) struct BurstLine(Value);

impl BurstLine {
    /// The event with the group's name, and each field of the message beside it.
    pub(super) fn new(at: SystemTime, group: &str, burst: &Burst<'_>) -> Self {
        let since_1970 = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut line = Map::new();
        line.insert("time".to_owned(), json!(since_1970.as_secs_f64()));
        line.insert("group".to_owned(), json!(group));
        line.insert("event".to_owned(), json!(burst.event.name()));
        for field in burst::fields(&burst.message) {
            insert(&mut line, field);
        }
        Self(Value::Object(line))
    }
}

/// A value under its name; a number's meaning under the same name with `_name`.
fn insert(line: &mut Map<String, Value>, field: Field) {
    let name = field.name.replace(' ', "_");
    if let (Some(meaning), Some(field::Value::Number(_))) = (field.meaning, &field.value) {
        line.insert(format!("{name}_name"), Value::String(meaning));
    }
    line.insert(name, json!(field.value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_with_a_meaning_becomes_two_values() {
        let mut line = Map::new();
        insert(&mut line, Field::code("retry reason", 4u8, Some("pre_empted")));
        insert(&mut line, Field::text("cname", "sip:alice@example.com"));
        assert_eq!(
            Value::Object(line),
            json!({"retry_reason": 4, "retry_reason_name": "pre_empted",
                   "cname": "sip:alice@example.com"})
        );
    }
}
