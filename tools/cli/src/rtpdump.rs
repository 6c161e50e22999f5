//! The recording format of rtptools: a text line, a header of 16 octets, then one record a packet.

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Start of the text line.
pub(crate) const MAGIC: &[u8] = b"#!rtpplay1.0 ";
const FILE_HEADER: usize = 16;
const RECORD_HEADER: usize = 8;

/// One packet of a recording.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Record<'a> {
    /// Time since the recording began.
    pub(crate) offset: Duration,
    /// The packet, RTP or RTCP.
    pub(crate) packet: &'a [u8],
}

/// Reads a whole recording.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn read(file: &[u8]) -> Result<Vec<Record<'_>>, String> {
    if !file.starts_with(MAGIC) {
        return Err("not an rtpdump file: it does not start with #!rtpplay1.0".to_owned());
    }
    let line_end =
        file.iter().position(|octet| *octet == b'\n').ok_or("the first line has no end")?;
    let mut rest = file.get(line_end + 1 + FILE_HEADER..).ok_or("the file header is cut short")?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let at = file.len() - rest.len();
        let cut = || format!("the record at octet {at} is cut short");
        let (header, _) = rest.split_first_chunk::<RECORD_HEADER>().ok_or_else(cut)?;
        let [l0, l1, _, _, time @ ..] = *header;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if length < RECORD_HEADER {
            return Err(format!("the record at octet {at} is shorter than its header"));
        }
        let packet = rest.get(RECORD_HEADER..length).ok_or_else(cut)?;
        let offset = Duration::from_millis(u32::from_be_bytes(time).into());
        records.push(Record { offset, packet });
        rest = rest.get(length..).ok_or_else(cut)?;
    }
    Ok(records)
}

/// Writes a recording packet by packet.
#[derive(Debug)]
pub(crate) struct Recorder<W> {
    out: W,
}

impl<W: Write> Recorder<W> {
    /// Writes the head of the file; `source` is what the readers of the format display.
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn new(mut out: W, source: SocketAddr, start: Duration) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        writeln!(out, "{}/{}", source.ip(), source.port())?;
        // The format has 32 bits for the seconds and for an IPv4 address.
        let seconds = u32::try_from(start.as_secs()).unwrap_or(u32::MAX);
        let address = match source.ip() {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(_) => [0; 4],
        };
        out.write_all(&seconds.to_be_bytes())?;
        out.write_all(&start.subsec_micros().to_be_bytes())?;
        out.write_all(&address)?;
        out.write_all(&source.port().to_be_bytes())?;
        out.write_all(&[0, 0])?;
        Ok(Self { out })
    }

    /// Appends an RTP packet; `offset` counts from the start of the recording.
    ///
    /// # Errors
    /// Those of the writer, and a packet that is too long for the format.
    pub(crate) fn rtp(&mut self, offset: Duration, packet: &[u8]) -> io::Result<()> {
        let too_long =
            |_| io::Error::new(io::ErrorKind::InvalidInput, "packet of over 65527 octets");
        let length = u16::try_from(RECORD_HEADER + packet.len()).map_err(too_long)?;
        let plain = u16::try_from(packet.len()).map_err(too_long)?;
        let millis = u32::try_from(offset.as_millis()).unwrap_or(u32::MAX);
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(&plain.to_be_bytes())?;
        self.out.write_all(&millis.to_be_bytes())?;
        self.out.write_all(packet)
    }

    /// Hands everything to the system.
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(packets: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        let source = "192.0.2.1:5004".parse().unwrap();
        let mut recorder = Recorder::new(&mut file, source, Duration::new(7, 9_000)).unwrap();
        for (n, packet) in (0u32..).zip(packets) {
            recorder.rtp(Duration::from_millis(20) * n, packet).unwrap();
        }
        recorder.flush().unwrap();
        file
    }

    #[test]
    fn what_was_recorded_is_read_back() {
        let file = recording(&[&[0x80; 12], &[0x81; 40]]);
        assert!(
            file.starts_with(b"#!rtpplay1.0 192.0.2.1/5004\n\0\0\0\x07\0\0\0\x09\xc0\0\x02\x01")
        );
        let records = read(&file).unwrap();
        assert_eq!(records[0].packet, [0x80; 12]);
        let second = Record { offset: Duration::from_millis(20), packet: &[0x81; 40] };
        assert_eq!(records[1], second);
    }

    #[test]
    fn a_cut_recording_is_told_with_its_place() {
        let file = recording(&[&[0x80; 12]]);
        let message = |file: &[u8]| read(file).unwrap_err();
        for (cut, text) in [(1, "octet 44 is cut short"), (24, "header is cut"), (50, "no end")] {
            assert!(message(&file[..file.len() - cut]).contains(text), "{cut}");
        }
        assert!(message(b"\x80\x00").contains("#!rtpplay1.0"));
        let mut short = file;
        short[45] = 3;
        assert!(message(&short).contains("shorter than its header"));
    }

    #[test]
    fn too_long_a_packet_is_refused() {
        let mut recorder =
            Recorder::new(Vec::new(), "[::1]:1".parse().unwrap(), Duration::ZERO).unwrap();
        assert!(recorder.rtp(Duration::ZERO, &[0; 65528]).is_err());
    }
}
