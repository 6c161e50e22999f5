//! A receiver as a process at the other end of the wire: started, watched through /proc, ended.

use std::{
    env, fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::ValueEnum;

use super::{
    BUFFER, GROUP, INTERFACE, MEDIA, RECEIVER, SENDER,
    namespace::{Wire, until},
    own::{Kind, Seen},
    stream::{ISSUER, PAYLOAD, SSRC, Sending, Stream},
};

/// Who receives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Who {
    Own(Kind),
    GStreamer,
    FFmpeg,
}

impl Who {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Own(Kind::Gateway) => "mcast-srtp",
            Self::Own(Kind::Sockets) => "its sockets alone",
            Self::Own(Kind::Bare) => "bare recvmmsg",
            Self::GStreamer => "GStreamer",
            Self::FFmpeg => "FFmpeg",
        }
    }

    /// Whether it takes the stream with MKI.
    pub(super) const fn knows_mki(self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// Why it cannot take part here, if it cannot.
    pub(super) fn absent(self) -> Option<String> {
        let (program, arguments, package): (_, &[&str], _) = match self {
            Self::Own(_) => return None,
            Self::GStreamer => {
                let package = "gstreamer1.0-tools, -plugins-good and -plugins-bad";
                ("gst-inspect-1.0", &["--exists", "srtpdec"], package)
            }
            Self::FFmpeg => ("ffmpeg", &["-version"], "ffmpeg"),
        };
        let ran = Command::new(program).args(arguments).stdout(Stdio::null()).status();
        let present = ran.is_ok_and(|status| status.success());
        (!present).then(|| format!("{}: not installed ({package})", self.name()))
    }

    /// The command line; `to` takes what is received, if it is to be looked at.
    fn command(self, wire: &Wire, wait: Duration, to: Option<&Path>) -> Result<Command, String> {
        let mut command;
        match self {
            Self::Own(kind) => {
                let this = env::current_exe().map_err(|e| e.to_string())?;
                command = wire.command(&this.to_string_lossy());
                let kind = kind.to_possible_value().map(|value| value.get_name().to_owned());
                command.arg("receiver").args(kind);
                command.args(["--wait", &wait.as_micros().to_string()]);
            }
            Self::GStreamer => {
                command = wire.command("gst-launch-1.0");
                command.args(["-q", "udpsrc", &format!("address={GROUP}")]);
                command.arg(format!("port={}", MEDIA.port()));
                command.arg(format!("multicast-iface={INTERFACE}"));
                command.arg(format!("buffer-size={BUFFER}"));
                command.args([&format!("caps={}", gstreamer_caps()), "!", "srtpdec", "!"]);
                match to {
                    Some(path) => command.args(["filesink", "buffer-mode=2", &location(path)]),
                    None => command.args(["fakesink", "sync=false"]),
                };
            }
            Self::FFmpeg => {
                let description = session_description()?;
                command = wire.command("ffmpeg");
                command.args(
                    "-nostdin -y -loglevel error -probesize 32 -analyzeduration 0".split(' '),
                );
                command.args(["-protocol_whitelist", "file,udp,rtp,srtp"]);
                command.args(["-localaddr", &RECEIVER.to_string()]);
                command.args(["-buffer_size", &BUFFER.to_string(), "-i"]).arg(description);
                match to {
                    Some(path) => {
                        command.args(["-c", "copy", "-flush_packets", "1", "-f", "mulaw"]).arg(path)
                    }
                    None => command.args(["-c", "copy", "-f", "null", "-"]),
                };
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // What FFmpeg finds strange in the first packets is no news.
        command.stderr(if matches!(self, Self::Own(_)) { Stdio::inherit() } else { Stdio::null() });
        Ok(command)
    }

    /// Starts it and waits until it has joined.
    pub(super) fn start<'a>(self, wire: &'a Wire, wait: Duration) -> Result<Running<'a>, String> {
        self.start_into(wire, wait, None)
    }

    fn start_into<'a>(
        self,
        wire: &'a Wire,
        wait: Duration,
        to: Option<&Path>,
    ) -> Result<Running<'a>, String> {
        let child = self.command(wire, wait, to)?.spawn();
        let child = child.map_err(|e| format!("cannot start {}: {e}", self.name()))?;
        let running = Running { who: self, wire, child };
        until("a receiver that has joined", || wire.socket(MEDIA.port()).is_some())?;
        // Bound comes before joined, and GStreamer's pipeline before it plays.
        thread::sleep(Duration::from_millis(300));
        Ok(running)
    }

    /// Checks that a rival opens packets to the right octets: its payloads, in order. The first may be
    /// missing, which FFmpeg uses up to look at the stream.
    pub(super) fn check(self, wire: &Wire, stream: &Stream) -> Result<(), String> {
        const COUNT: usize = 400;
        let path = scratch(self.name());
        let running = self.start_into(wire, Duration::ZERO, Some(&path))?;
        Sending::new(stream)?.packets(COUNT, 5000.0, 8)?;
        running.wait_until_drained()?;
        thread::sleep(Duration::from_millis(300));
        drop(running);
        let got = fs::read(&path).map_err(|e| format!("{} wrote nothing: {e}", self.name()))?;
        let _ = fs::remove_file(&path);
        let header = if self == Self::GStreamer { 0 } else { 12 };
        let expected: Vec<u8> =
            Stream::plain(COUNT)?.iter().flat_map(|packet| packet[header..].to_vec()).collect();
        let right = expected.ends_with(&got) && got.len() >= expected.len() * 9 / 10;
        let (packets, of) = (got.len() / (12 + PAYLOAD - header), COUNT);
        right.then_some(()).ok_or_else(|| {
            format!("{} did not open the stream: {packets} of {of} packets", self.name())
        })
    }
}

/// A receiver at work.
pub(super) struct Running<'a> {
    who: Who,
    wire: &'a Wire,
    child: Child,
}

impl Running<'_> {
    /// Processor time of all its threads.
    pub(super) fn cpu(&self) -> Result<Duration, String> {
        let folder = format!("/proc/{}/task", self.child.id());
        let threads = fs::read_dir(&folder).map_err(|e| format!("{folder}: {e}"))?;
        let mut nanos = 0;
        for thread in threads.flatten() {
            // Time on a processor in nanoseconds comes first.
            let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            nanos += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Datagrams that found its buffer full.
    pub(super) fn drops(&self) -> Result<u64, String> {
        let socket = self.wire.socket(MEDIA.port());
        let ended = || format!("{} has ended by itself", self.who.name());
        socket.map(|(_, drops)| drops).ok_or_else(ended)
    }

    pub(super) fn wait_until_drained(&self) -> Result<(), String> {
        until("an empty socket", || {
            self.wire.socket(MEDIA.port()).is_none_or(|(waiting, _)| waiting == 0)
        })
    }

    /// Stops it where it is, or lets it go on.
    pub(super) fn hold(&self, held: bool) -> Result<(), String> {
        let signal = if held { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            _ => Err(format!("cannot send {signal} to {}", self.who.name())),
        }
    }

    /// Ends a receiver of ours; returns what it has seen.
    pub(super) fn end(mut self) -> Result<Seen, String> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        let output = self.child.stdout.take().map(|mut out| out.read_to_string(&mut text));
        output.transpose().map_err(|e| e.to_string())?;
        self.child.wait().map_err(|e| e.to_string())?;
        serde_json::from_str(&text).map_err(|e| format!("{} said {text:?}: {e}", self.who.name()))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.who == Who::FFmpeg {
            let _ = fs::remove_file(scratch(DESCRIPTION));
        }
    }
}

fn gstreamer_caps() -> String {
    let (key, salt) = ISSUER.material(1, 1);
    let key: String = key.iter().chain(&salt).map(|octet| format!("{octet:02x}")).collect();
    format!(
        "application/x-srtp,media=(string)audio,payload=(int)0,clock-rate=(int)8000,\
         encoding-name=(string)PCMU,ssrc=(uint){SSRC},srtp-key=(buffer){key},\
         srtp-cipher=(string)aes-128-icm,srtp-auth=(string)hmac-sha1-80,\
         srtcp-cipher=(string)aes-128-icm,srtcp-auth=(string)hmac-sha1-80"
    )
}

fn location(path: &Path) -> String {
    format!("location={}", path.display())
}

fn session_description() -> Result<PathBuf, String> {
    let (key, salt) = ISSUER.material(1, 1);
    let inline = BASE64_STANDARD.encode([key, salt].concat());
    let text = format!(
        "v=0\r\no=- 0 0 IN IP4 {SENDER}\r\ns=compare\r\nc=IN IP4 {GROUP}/1\r\nt=0 0\r\n\
         m=audio {} RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{inline}\r\n",
        MEDIA.port()
    );
    let path = scratch(DESCRIPTION);
    fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

/// FFmpeg's session description.
const DESCRIPTION: &str = "sdp";

/// A file of this run.
fn scratch(name: &str) -> PathBuf {
    env::temp_dir().join(format!("compare-{}-{name}", std::process::id()))
}
