//! Writes a capture file of UDP datagrams, for programs that read one.

use std::{fs, io, path::Path};

/// Datagrams from one host to one multicast group, a second apart.
#[derive(Default)]
pub(crate) struct Pcap {
    packets: Vec<Vec<u8>>,
}

impl Pcap {
    const LINKTYPE_RAW: u32 = 101;

    /// Adds a datagram to this port.
    pub(crate) fn udp(&mut self, port: u16, payload: &[u8]) {
        let udp_len = u16::try_from(8 + payload.len()).expect("a datagram of at most 64 KiB");
        let mut packet = vec![0x45, 0];
        packet.extend((20 + udp_len).to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 1, 17, 0, 0, 192, 0, 2, 1, 233, 252, 0, 1]);
        let sum = !packet.chunks(2).fold(0u32, |sum, pair| {
            let sum = sum + u32::from(u16::from_be_bytes([pair[0], pair[1]]));
            (sum & 0xffff) + (sum >> 16)
        });
        packet[10..12].copy_from_slice(&sum.to_be_bytes()[2..]);
        for field in [50_000, port, udp_len, 0] {
            packet.extend(field.to_be_bytes());
        }
        packet.extend(payload);
        self.packets.push(packet);
    }

    /// How many datagrams there are.
    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Writes the file in the classic format, little endian, microseconds.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = Vec::new();
        file.extend(0xa1b2_c3d4_u32.to_le_bytes());
        file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        file.extend(0xffff_u32.to_le_bytes());
        file.extend(Self::LINKTYPE_RAW.to_le_bytes());
        for (second, packet) in (0u32..).zip(&self.packets) {
            let len = u32::try_from(packet.len()).expect("a packet of at most 64 KiB");
            for field in [second, 0, len, len] {
                file.extend(field.to_le_bytes());
            }
            file.extend(packet);
        }
        fs::write(path, file)
    }
}
