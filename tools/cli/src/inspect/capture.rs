//! UDP datagrams from pcap and pcapng captures.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use pcap_parser::{
    Block, Linktype, PcapBlockOwned, PcapError, create_reader,
    data::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, PacketData, get_packetdata},
};

use super::input::{Datagram, Input};

/// Whether the file starts like a capture.
pub(super) fn is_capture(file: &[u8]) -> bool {
    const MAGICS: [[u8; 4]; 5] = [
        [0x0a, 0x0d, 0x0d, 0x0a],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
    ];
    file.first_chunk().is_some_and(|magic| MAGICS.contains(magic))
}

/// Reads every UDP datagram.
///
/// # Errors
/// The file is damaged; one that is merely cut short gives what it has.
pub(super) fn datagrams(file: &[u8]) -> Result<Input, String> {
    let damaged = |error: PcapError<&[u8]>| format!("damaged capture: {error}");
    // Room for the whole file, so that a block that does not fit is one that is cut.
    let mut reader = create_reader(file.len().max(65536), file).map_err(damaged)?;
    let mut capture = Capture::default();
    let mut refilled = false;
    loop {
        match reader.next() {
            Ok((len, block)) => {
                capture.block(&block);
                reader.consume(len);
                refilled = false;
            }
            Err(PcapError::Eof) => break,
            Err(PcapError::Incomplete(_)) if !refilled => {
                refilled = true;
                reader.refill().map_err(damaged)?;
            }
            Err(PcapError::Incomplete(_) | PcapError::UnexpectedEof) => {
                capture.input.cut = true;
                break;
            }
            Err(error) => return Err(damaged(error)),
        }
    }
    Ok(capture.input)
}

/// The datagram in a whole frame or IP packet, as some tools dump them; anything else stays as it is.
///
/// An IP packet starts with 4 or 6, which no protocol shown here does; an Ethernet frame has to fit in
/// every length.
pub(super) fn unwrapped(datagram: Datagram) -> Datagram {
    let octets = &datagram.bytes;
    let content = match ip_in_ethernet(octets).map(udp_in_ip) {
        Some(content @ Content::Udp { .. }) => content,
        _ => udp_in_ip(octets),
    };
    match content {
        Content::Udp { from, to, payload } => Datagram {
            from: Some(from),
            to: Some(to),
            bytes: payload.to_vec(),
            ..Datagram::default()
        },
        Content::Incomplete | Content::Other => datagram,
    }
}

#[derive(Default)]
struct Capture {
    input: Input,
    interfaces: Vec<Interface>,
}

#[derive(Clone, Copy)]
struct Interface {
    linktype: Linktype,
    /// Units of time per second.
    resolution: u64,
    /// Seconds to add.
    offset: i64,
}

impl Capture {
    fn block(&mut self, block: &PcapBlockOwned<'_>) {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let resolution =
                    if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
                self.interfaces =
                    vec![Interface { linktype: header.network, resolution, offset: 0 }];
            }
            PcapBlockOwned::Legacy(packet) => {
                if let Some(interface) = self.interfaces.first().copied() {
                    let units = u64::from(packet.ts_sec) * interface.resolution;
                    let time = interface.time(units + u64::from(packet.ts_usec));
                    self.frame(interface.linktype, Some(time), packet.data);
                }
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(description)) => {
                self.interfaces.push(Interface {
                    linktype: description.linktype,
                    resolution: description.ts_resolution().map_or(1_000_000, |units| units.max(1)),
                    offset: description.ts_offset(),
                });
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let interface = usize::try_from(packet.if_id).ok();
                if let Some(&interface) = interface.and_then(|n| self.interfaces.get(n)) {
                    let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                    let data = packet.data.get(..packet.caplen as usize).unwrap_or(packet.data);
                    self.frame(interface.linktype, Some(interface.time(units)), data);
                }
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                if let Some(interface) = self.interfaces.first().copied() {
                    self.frame(interface.linktype, None, packet.data);
                }
            }
            PcapBlockOwned::NG(_) => {}
        }
    }

    fn frame(&mut self, linktype: Linktype, time: Option<Duration>, frame: &[u8]) {
        let packet = match get_packetdata(frame, linktype, frame.len()) {
            Some(PacketData::L2(frame)) => ip_in_ethernet(frame),
            Some(PacketData::L3(ETHERTYPE_IPV4 | ETHERTYPE_IPV6, packet)) => Some(packet),
            _ => None,
        };
        match packet.map_or(Content::Other, udp_in_ip) {
            Content::Udp { from, to, payload } => self.input.datagrams.push(Datagram {
                time,
                from: Some(from),
                to: Some(to),
                plain: false,
                bytes: payload.to_vec(),
            }),
            Content::Incomplete => self.input.incomplete += 1,
            Content::Other => self.input.other_frames += 1,
        }
    }
}

impl Interface {
    fn time(&self, units: u64) -> Duration {
        let seconds = (units / self.resolution).saturating_add_signed(self.offset);
        let part = u128::from(units % self.resolution) * 1_000_000_000;
        // Less than a second, so it fits.
        let nanos = u32::try_from(part / u128::from(self.resolution)).unwrap_or(0);
        Duration::new(seconds, nanos)
    }
}

/// What an IP packet holds.
#[derive(Debug, Eq, PartialEq)]
enum Content<'a> {
    Udp {
        from: SocketAddr,
        to: SocketAddr,
        payload: &'a [u8],
    },
    /// A fragment, or UDP of which the capture has only the start.
    Incomplete,
    Other,
}

/// Skips the addresses and any VLAN tags.
fn ip_in_ethernet(frame: &[u8]) -> Option<&[u8]> {
    let mut rest = frame.get(12..)?;
    loop {
        let (&[hi, lo], behind) = rest.split_first_chunk()?;
        rest = match u16::from_be_bytes([hi, lo]) {
            // IEEE 802.1Q and 802.1ad tags: two octets more.
            0x8100 | 0x88a8 => behind.get(2..)?,
            ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => return Some(behind),
            _ => return None,
        };
    }
}

fn udp_in_ip(packet: &[u8]) -> Content<'_> {
    match packet.first().map(|octet| octet >> 4) {
        Some(4) => udp_in_ipv4(packet),
        Some(6) => udp_in_ipv6(packet),
        _ => Content::Other,
    }
}

const UDP: u8 = 17;

fn udp_in_ipv4(packet: &[u8]) -> Content<'_> {
    let Some((header, _)) = packet.split_first_chunk::<20>() else { return Content::Incomplete };
    let [first, _, len_hi, len_lo, _, _, frag_hi, frag_lo, _, protocol, ..] = *header;
    if protocol != UDP {
        return Content::Other;
    }
    // More-fragments bit or an offset.
    if u16::from_be_bytes([frag_hi, frag_lo]) & 0x3fff != 0 {
        return Content::Incomplete;
    }
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    // The frame may be longer than the packet, for Ethernet pads; length 0 is left by offloading.
    let end = match usize::from(u16::from_be_bytes([len_hi, len_lo])) {
        0 => packet.len(),
        len => len.min(packet.len()),
    };
    let start = 4 * usize::from(first & 0x0f);
    let Some(datagram) = packet.get(start..end) else { return Content::Incomplete };
    udp(datagram, [s0, s1, s2, s3].into(), [d0, d1, d2, d3].into())
}

fn udp_in_ipv6(packet: &[u8]) -> Content<'_> {
    let Some((header, mut rest)) = packet.split_first_chunk::<40>() else {
        return Content::Incomplete;
    };
    let address = |at: usize| {
        let octets: [u8; 16] = header.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::from(octets))
    };
    let (Some(from), Some(to)) = (address(8), address(24)) else { return Content::Other };
    let mut next = header[6];
    // RFC 8200 §4: hop-by-hop options, routing, destination options carry their length; a fragment
    // header has a fixed one.
    while let 0 | 43 | 44 | 60 = next {
        let Some((&[following, len, offset_hi, offset_lo], _)) = rest.split_first_chunk() else {
            return Content::Incomplete;
        };
        // Offset or more-fragments bit.
        if next == 44 && u16::from_be_bytes([offset_hi, offset_lo]) & 0xfff9 != 0 {
            return Content::Incomplete;
        }
        let len = if next == 44 { 8 } else { 8 * (1 + usize::from(len)) };
        let Some(behind) = rest.get(len..) else { return Content::Incomplete };
        (next, rest) = (following, behind);
    }
    if next == UDP { udp(rest, from, to) } else { Content::Other }
}

fn udp(datagram: &[u8], from: IpAddr, to: IpAddr) -> Content<'_> {
    let Some((&[s0, s1, d0, d1, l0, l1, ..], _)) = datagram.split_first_chunk::<8>() else {
        return Content::Incomplete;
    };
    let end = usize::from(u16::from_be_bytes([l0, l1]));
    let Some(payload) = datagram.get(8..end) else { return Content::Incomplete };
    Content::Udp {
        from: SocketAddr::new(from, u16::from_be_bytes([s0, s1])),
        to: SocketAddr::new(to, u16::from_be_bytes([d0, d1])),
        payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: [u8; 5] = [1, 2, 3, 4, 5];

    fn udp_datagram() -> Vec<u8> {
        let mut datagram = vec![0x08, 0xdd, 0xc0, 0x12, 0, 13, 0, 0];
        datagram.extend(PAYLOAD);
        datagram
    }

    fn ipv4(flags: [u8; 2]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 33, 0, 0, flags[0], flags[1], 1, 17, 0, 0];
        packet.extend([192, 0, 2, 1, 239, 1, 2, 3]);
        packet.extend(udp_datagram());
        packet
    }

    fn ipv6(next: u8, extension: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 13, next, 1];
        packet.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        packet.extend([0xff, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        packet.extend(extension);
        packet.extend(udp_datagram());
        packet
    }

    /// Addresses as they should be read, or the other contents.
    fn read(packet: &[u8]) -> String {
        match udp_in_ip(packet) {
            Content::Udp { from, to, payload } => {
                assert_eq!(payload, PAYLOAD);
                format!("{from} {to}")
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn ethernet_padding_and_vlan_tags_are_not_payload() {
        let mut frame = vec![0; 12];
        frame.extend([0x88, 0xa8, 0, 7, 0x81, 0x00, 0, 9, 0x08, 0x00]);
        frame.extend(ipv4([0x40, 0]));
        frame.extend([0xee; 13]);
        assert_eq!(read(ip_in_ethernet(&frame).unwrap()), "192.0.2.1:2269 239.1.2.3:49170");
        assert_eq!(ip_in_ethernet(&[0; 14]), None);
    }

    #[test]
    fn dumped_frames_are_unwrapped_and_payloads_left_alone() {
        let mut frame = vec![0x01, 0x00, 0x5e, 1, 2, 3, 0, 0, 0, 0, 0, 1, 0x08, 0x00];
        frame.extend(ipv4([0x40, 0]));
        for octets in [frame, ipv4([0x40, 0]), ipv6(17, &[])] {
            let datagram = unwrapped(Datagram { bytes: octets, ..Datagram::default() });
            assert_eq!((datagram.bytes, datagram.to.unwrap().port()), (PAYLOAD.to_vec(), 49170));
        }
        let payload = Datagram { bytes: vec![0x80; 40], ..Datagram::default() };
        assert_eq!(unwrapped(payload.clone()), payload);
    }

    #[test]
    fn fragments_and_cut_datagrams_are_counted_not_guessed() {
        assert_eq!(read(&ipv4([0x20, 0])), "Incomplete");
        assert_eq!(read(&ipv4([0, 9])), "Incomplete");
        let whole = ipv4([0, 0]);
        for len in 1..whole.len() {
            assert_eq!(read(&whole[..len]), "Incomplete", "{len}");
        }
    }

    #[test]
    fn extension_headers_of_ipv6_are_passed() {
        let expected = "[fe80::1]:2269 [ff15::2]:49170";
        assert_eq!(read(&ipv6(17, &[])), expected);
        assert_eq!(read(&ipv6(0, &[17, 0, 5, 2, 0, 0, 0, 0])), expected);
        assert_eq!(read(&ipv6(44, &[17, 0, 0, 0, 0, 0, 0, 1])), expected);
        assert_eq!(read(&ipv6(44, &[17, 0, 0, 1, 0, 0, 0, 1])), "Incomplete");
        assert_eq!(read(&ipv6(6, &[])), "Other");
        let whole = ipv6(0, &[17, 0, 5, 2, 0, 0, 0, 0]);
        for len in 1..whole.len() {
            assert_eq!(read(&whole[..len]), "Incomplete", "{len}");
        }
    }

    fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        for word in [0u32, 0, 65535, 101] {
            file.extend(word.to_le_bytes());
        }
        for packet in packets {
            let len = u32::try_from(packet.len()).unwrap();
            for word in [7, 250_000, len, len] {
                file.extend(word.to_le_bytes());
            }
            file.extend(packet);
        }
        file
    }

    #[test]
    fn cut_capture_gives_what_it_has() {
        let file = pcap(&[ipv4([0, 0]), ipv6(17, &[])]);
        let whole = datagrams(&file).unwrap();
        assert_eq!((whole.datagrams.len(), whole.cut), (2, false));
        assert_eq!(whole.datagrams[0].time, Some(Duration::new(7, 250_000_000)));
        let cut = datagrams(&file[..file.len() - 1]).unwrap();
        assert_eq!((cut.datagrams.len(), cut.cut), (1, true));
    }

    fn pcapng_block(kind: u32, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(12 + body.len()).unwrap();
        [&kind.to_le_bytes()[..], &len.to_le_bytes(), body, &len.to_le_bytes()].concat()
    }

    #[test]
    fn pcapng_is_read_with_the_time_of_its_interface() {
        let section = [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0].into_iter().chain([0xff; 8]);
        // Link type 101, no snap length, if_tsresol 9 (nanoseconds), end of options.
        let interface = [101, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0];
        let packet = ipv4([0, 0]);
        let len = u32::try_from(packet.len()).unwrap();
        let head = [0, 0, 2_000_000_003, len, len].map(u32::to_le_bytes).concat();
        let padding = vec![0; packet.len().next_multiple_of(4) - packet.len()];
        let file = [
            pcapng_block(0x0a0d_0d0a, &section.collect::<Vec<_>>()),
            pcapng_block(1, &interface),
            pcapng_block(6, &[head, packet, padding].concat()),
        ]
        .concat();
        let input = datagrams(&file).unwrap();
        assert!(is_capture(&file) && !input.cut);
        assert_eq!(input.datagrams[0].bytes, PAYLOAD);
        assert_eq!(input.datagrams[0].time, Some(Duration::new(2, 3)));
        assert!(datagrams(&file[..file.len() - 4]).unwrap().cut);
    }

    #[test]
    fn time_units_of_pcapng_are_scaled() {
        let interface =
            |resolution, offset| Interface { linktype: Linktype::RAW, resolution, offset };
        assert_eq!(interface(1_000_000_000, 5).time(1_000_000_007), Duration::new(6, 7));
        assert_eq!(interface(1 << 20, 0).time(1 << 19), Duration::from_millis(500));
    }
}
