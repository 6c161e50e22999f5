//! Datagrams written as text: hex dumps, lines of hex, base64.
//!
//! A dump has an offset before each line, and offset 0 starts a packet: `xxd`, `hexdump -C`,
//! `tcpdump -x` and Wireshark write so. Without offsets a line is a packet. Lines of a session
//! description count only if they carry a key message.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::input::Datagram;

/// Reads all datagrams of a text.
///
/// # Errors
/// The first line that is neither hex nor base64, with its number.
pub(super) fn datagrams(text: &str) -> Result<Vec<Datagram>, String> {
    let is_sdp = text.trim_start().starts_with("v=0");
    let mut reader = TextReader::default();
    for (n, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        let read = match line.split_once("key-mgmt:") {
            Some((_, attribute)) => {
                reader.end_packet();
                reader.base64_line(key_message(attribute))
            }
            None if is_sdp => continue,
            None => reader.line(line.trim_start()),
        };
        read.map_err(|what| format!("line {n}: {what}"))?;
    }
    reader.end_packet();
    Ok(reader.packets.into_iter().map(|bytes| Datagram { bytes, ..Datagram::default() }).collect())
}

/// The base64 text of a key-mgmt attribute (RFC 4567 §3.1).
fn key_message(attribute: &str) -> &str {
    let attribute = attribute.trim();
    attribute.strip_prefix("mikey").unwrap_or(attribute).trim()
}

#[derive(Default)]
struct TextReader {
    packets: Vec<Vec<u8>>,
    /// The packet of a dump, while its lines last.
    dump: Option<Vec<u8>>,
    /// Base64 that goes on in the next line.
    base64: String,
}

impl TextReader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            self.end_packet();
            return Ok(());
        }
        if let Some((offset, columns)) = dump_line(line) {
            return self.dump_line(offset, columns);
        }
        if self.dump.as_ref().is_some_and(|packet| offset(line) == Some(packet.len())) {
            // The length with which `hexdump` closes.
            return Ok(());
        }
        self.end_dump();
        let digits: String = line.chars().filter(|c| !matches!(c, ' ' | '\t' | ':')).collect();
        if self.base64.is_empty()
            && let Ok(octets) = hex::decode(&digits)
        {
            self.packets.push(octets);
            return Ok(());
        }
        self.base64_line(line)
    }

    fn dump_line(&mut self, offset: usize, columns: &str) -> Result<(), String> {
        if offset == 0 {
            self.end_packet();
        }
        let packet = self.dump.get_or_insert_default();
        // The text column of the line before may look like hex: the offset says how much was meant.
        packet.truncate(offset);
        if packet.len() < offset {
            let have = packet.len();
            return Err(format!("the dump goes on at octet {offset}, but only {have} came before"));
        }
        packet.extend(columns_of_hex(columns));
        Ok(())
    }

    fn base64_line(&mut self, line: &str) -> Result<(), String> {
        self.base64.push_str(line);
        // Tools wrap base64 at 64 or 76 characters; a shorter line, or padding, is an end.
        if matches!(line.len(), 64 | 76) && !line.ends_with('=') {
            return Ok(());
        }
        self.end_base64().map_err(|error| format!("neither hex nor base64 ({error})"))
    }

    fn end_packet(&mut self) {
        self.end_dump();
        // A text that ends here after a line of full width; what is no base64 was found before.
        let _ = self.end_base64();
    }

    fn end_dump(&mut self) {
        self.packets.extend(self.dump.take());
    }

    fn end_base64(&mut self) -> Result<(), base64::DecodeError> {
        let text = std::mem::take(&mut self.base64);
        if !text.is_empty() {
            self.packets.push(BASE64_STANDARD.decode(text)?);
        }
        Ok(())
    }
}

/// Splits a line of a dump: the offset ends with a colon, or two spaces follow it.
fn dump_line(line: &str) -> Option<(usize, &str)> {
    let end = line.find([' ', '\t', ':'])?;
    let (first, rest) = line.split_at(end);
    let is_offset = rest.starts_with([':', '\t']) || rest.starts_with("  ");
    // A colon after two digits separates octets.
    let offset = offset(first).filter(|_| is_offset && first.len() > 2)?;
    Some((offset, rest.trim_start_matches(':').trim_start()))
}

fn offset(text: &str) -> Option<usize> {
    usize::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

/// The octets of a line of a dump, without the text column behind them.
fn columns_of_hex(columns: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = columns;
    while octets.len() < 16 {
        let token_end = rest.find([' ', '\t']).unwrap_or(rest.len());
        let (token, behind) = rest.split_at(token_end);
        let Ok(some) = hex::decode(token) else { break };
        octets.extend(some);
        let gap = behind.len() - behind.trim_start().len();
        // Two spaces stand before the text column, and in some dumps after the eighth octet.
        if gap == 0 || gap > 2 || (gap == 2 && octets.len() != 8) {
            break;
        }
        rest = behind.trim_start();
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(text: &str) -> Vec<Vec<u8>> {
        datagrams(text).unwrap().into_iter().map(|datagram| datagram.bytes).collect()
    }

    fn counting(len: u8) -> Vec<u8> {
        (0..len).collect()
    }

    #[test]
    fn dumps_of_the_usual_tools_are_read() {
        let xxd = "00000000: 0001 0203 0405 0607 0809 0a0b 0c0d 0e0f  ................\n\
                   00000010: 1011 12                                  abc\n";
        let hexdump = "00000000  00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f  |................|\n\
                       00000010  10 11 12                                          |abc|\n\
                       00000013\n";
        let tcpdump = "\t0x0000:  0001 0203 0405 0607 0809 0a0b 0c0d 0e0f\n\
                       \t0x0010:  1011 12\n";
        let wireshark = "0000   00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f   ................\n\
                         0010   10 11 12                                          abc\n";
        for dump in [xxd, hexdump, tcpdump, wireshark] {
            assert_eq!(packets(dump), [counting(19)], "{dump}");
            assert_eq!(packets(&format!("{dump}\n{dump}")), [counting(19), counting(19)]);
        }
    }

    #[test]
    fn text_column_that_looks_like_hex_is_left_out() {
        let dump = "0000: 00 01 02 03 04 05 06 07  abcdabcd\n0008: 08 09 0a 0b  eeee\n";
        assert_eq!(packets(dump), [counting(12)]);
    }

    #[test]
    fn gap_in_a_dump_is_told() {
        let message = datagrams("0000: 00 01\n0010: 02\n").unwrap_err();
        assert!(message.starts_with("line 2:") && message.contains("octet 16"), "{message}");
    }

    #[test]
    fn lines_without_offsets_are_packets() {
        let text = "# two packets\n00010203\n00 01:02\n\nAAECAwQ=\n";
        assert_eq!(packets(text), [counting(4), counting(3), counting(5)]);
    }

    #[test]
    fn wrapped_base64_is_one_message() {
        let message: Vec<u8> = (0..=255).collect();
        let text = BASE64_STANDARD.encode(&message);
        for width in [64, 76] {
            let lines: Vec<_> =
                text.as_bytes().chunks(width).map(|l| str::from_utf8(l).unwrap()).collect();
            assert_eq!(packets(&lines.join("\n")), vec![message.clone()]);
        }
    }

    #[test]
    fn session_description_gives_its_key_messages() {
        let sdp = "v=0\no=- 1 1 IN IP4 192.0.2.1\na=key-mgmt:mikey AAEC\nm=audio 1 RTP/SAVP 97\n";
        assert_eq!(packets(sdp), [counting(3)]);
        assert_eq!(packets("a=key-mgmt: mikey AAEC"), [counting(3)]);
    }

    #[test]
    fn broken_base64_is_told_with_its_line() {
        let message = datagrams("00\nv=0 but not at the start\n").unwrap_err();
        assert!(message.starts_with("line 2: neither hex nor base64"), "{message}");
        let message = datagrams("v=0\na=key-mgmt:mikey AAE$\n").unwrap_err();
        assert!(message.starts_with("line 2:"), "{message}");
    }
}
