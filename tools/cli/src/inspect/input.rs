//! From a file to datagrams, whatever form the file has.

use std::{
    io::{self, Read},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use super::{capture, text};
use crate::{exit::Failure, rtpdump};

/// One UDP payload, with what the input tells about its journey.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Datagram {
    /// Since 1970, or since the recording began.
    pub(crate) time: Option<Duration>,
    pub(crate) from: Option<SocketAddr>,
    pub(crate) to: Option<SocketAddr>,
    /// Known to be without protection.
    pub(crate) plain: bool,
    pub(crate) bytes: Vec<u8>,
}

/// The datagrams of an input, and how much of it was something else.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Input {
    pub(crate) datagrams: Vec<Datagram>,
    /// Frames without a UDP datagram.
    pub(crate) other_frames: usize,
    /// Fragments, and datagrams of which the capture holds only the start.
    pub(crate) incomplete: usize,
    /// The file ends within a block.
    pub(crate) cut: bool,
}

impl Input {
    /// Reads a file, or the standard input for `-`.
    ///
    /// # Errors
    /// A usage failure: unreadable, or of no known form.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let mut octets = Vec::new();
        let read = if path == Path::new("-") {
            io::stdin().lock().read_to_end(&mut octets)
        } else {
            std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut octets))
        };
        let fail = |text: String| Failure::usage(format!("{}: {text}", path.display()));
        read.map_err(|error| fail(format!("cannot be read: {error}")))?;
        Self::parse(&octets).map_err(fail)
    }

    fn parse(octets: &[u8]) -> Result<Self, String> {
        if capture::is_capture(octets) {
            return capture::datagrams(octets);
        }
        let datagrams = if octets.starts_with(rtpdump::MAGIC) {
            rtpdump::read(octets)?
                .into_iter()
                .map(|record| Datagram {
                    time: Some(record.offset),
                    plain: true,
                    bytes: record.packet.to_vec(),
                    ..Datagram::default()
                })
                .collect()
        } else {
            let text = std::str::from_utf8(octets).map_err(|_| {
                "neither a capture (pcap, pcapng) nor text (hex, base64)".to_owned()
            })?;
            text::datagrams(text)?.into_iter().map(capture::unwrapped).collect()
        };
        Ok(Self { datagrams, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_of_no_known_form_is_refused_with_the_forms() {
        let message = Input::parse(&[0xff, 0xfe, 0]).unwrap_err();
        assert!(message.contains("pcapng") && message.contains("base64"), "{message}");
    }

    #[test]
    fn recordings_of_recv_can_be_inspected() {
        let source = "127.0.0.1:5004".parse().unwrap();
        let mut file = Vec::new();
        let mut recorder = rtpdump::Recorder::new(&mut file, source, Duration::ZERO).unwrap();
        recorder.rtp(Duration::from_millis(20), &[0x80; 12]).unwrap();
        let input = Input::parse(&file).unwrap();
        assert_eq!(input.datagrams[0].bytes, [0x80; 12]);
        assert_eq!(input.datagrams[0].time, Some(Duration::from_millis(20)));
    }
}
