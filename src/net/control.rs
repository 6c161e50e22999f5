//! What the kernel tells beside a datagram: its destination, drops before it, the length of the
//! datagrams that were merged into it.

use std::{ffi::c_int, net::IpAddr};

use libc::UDP_GRO;

/// Room for the messages of one datagram; the kernel writes into it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(super) struct Control([u8; Self::LEN]);

impl Control {
    /// Octets: three messages with their headers, the longest an `in6_pktinfo`.
    pub(super) const LEN: usize = 96;

    /// Room to be written to.
    pub(super) const EMPTY: Self = Self([0; Self::LEN]);

    /// Reads the first `len` octets.
    pub(super) fn read(&self, len: usize) -> Told {
        let mut told = Told::default();
        let mut rest = self.0.get(..len).unwrap_or_default();
        while let Some((level, kind, data, behind)) = message(rest) {
            told.note(level, kind, data);
            rest = behind;
        }
        told
    }
}

/// What was told of one datagram, as far as it was asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Told {
    /// Address it was sent to.
    pub(super) destination: Option<IpAddr>,
    /// Datagrams dropped at the socket before this one came, modulo 2^32.
    pub(super) drops: Option<u32>,
    /// Octets of each datagram that was merged, if any were; the last may be shorter.
    pub(super) segment: Option<usize>,
}

impl Told {
    fn note(&mut self, level: c_int, kind: c_int, data: &[u8]) {
        match (level, kind) {
            // in_pktinfo: interface, address of the interface, destination.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let address = data.get(8..).and_then(<[u8]>::first_chunk::<4>);
                self.destination = address.map(|octets| IpAddr::from(*octets));
            }
            // in6_pktinfo: destination, interface.
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                self.destination = data.first_chunk::<16>().map(|octets| IpAddr::from(*octets));
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                self.drops = data.first_chunk().map(|octets| u32::from_ne_bytes(*octets));
            }
            (libc::SOL_UDP, UDP_GRO) => {
                let octets = data.first_chunk().map(|octets| i32::from_ne_bytes(*octets));
                self.segment = octets.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
            }
            _ => {}
        }
    }
}

/// Takes one message off: level, type, data, and what follows. A `cmsghdr` is a length, which counts
/// the header, then two integers; the next message starts aligned like a length.
fn message(octets: &[u8]) -> Option<(c_int, c_int, &[u8], &[u8])> {
    const ALIGN: usize = size_of::<usize>();
    let (len, after) = octets.split_first_chunk::<ALIGN>()?;
    let (level, after) = after.split_first_chunk()?;
    let (kind, after) = after.split_first_chunk()?;
    let header = octets.len() - after.len();
    let data_len = usize::from_ne_bytes(*len).checked_sub(header)?;
    let data = after.get(..data_len)?;
    let behind = after.get(data_len.next_multiple_of(ALIGN)..).unwrap_or_default();
    Some((c_int::from_ne_bytes(*level), c_int::from_ne_bytes(*kind), data, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(messages: &[(c_int, c_int, &[u8])]) -> (Control, usize) {
        let (mut control, mut len) = (Control::EMPTY, 0);
        for (level, kind, data) in messages {
            let header = size_of::<usize>() + 8;
            let mut octets = (header + data.len()).to_ne_bytes().to_vec();
            octets.extend(level.to_ne_bytes());
            octets.extend(kind.to_ne_bytes());
            octets.extend(*data);
            octets.resize(octets.len().next_multiple_of(size_of::<usize>()), 0);
            control.0[len..len + octets.len()].copy_from_slice(&octets);
            len += octets.len();
        }
        (control, len)
    }

    #[test]
    fn every_message_is_read_in_any_order() {
        let v4 = [1, 0, 0, 0, 127, 0, 0, 1, 239, 255, 1, 2];
        let ovfl = 7u32.to_ne_bytes();
        let gro = 200i32.to_ne_bytes();
        let messages: [(c_int, c_int, &[u8]); 3] = [
            (libc::IPPROTO_IP, libc::IP_PKTINFO, &v4),
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &ovfl),
            (libc::SOL_UDP, UDP_GRO, &gro),
        ];
        let expected = Told {
            destination: Some(IpAddr::from([239, 255, 1, 2])),
            drops: Some(7),
            segment: Some(200),
        };
        for turn in 0..3 {
            let mut turned = messages;
            turned.rotate_left(turn);
            let (control, len) = written(&turned);
            assert_eq!(control.read(len), expected);
        }
        let group: [u8; 16] = std::array::from_fn(|n| 0xf0 | n as u8);
        let mut v6 = group.to_vec();
        v6.extend(3u32.to_ne_bytes());
        let (control, len) = written(&[(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &v6)]);
        assert_eq!(control.read(len).destination, Some(IpAddr::from(group)));
    }

    #[test]
    fn a_message_cut_short_tells_nothing() {
        let v4 = [1, 0, 0, 0, 127, 0, 0, 1, 239, 255, 1, 2];
        let (control, len) = written(&[(libc::IPPROTO_IP, libc::IP_PKTINFO, &v4)]);
        let needed = size_of::<usize>() + 8 + v4.len();
        for short in 0..needed {
            assert_eq!(control.read(short), Told::default());
        }
        assert!(control.read(len).destination.is_some());
        let nothing = Control([0xff; Control::LEN]);
        assert_eq!(nothing.read(Control::LEN), Told::default());
        assert_eq!(nothing.read(usize::MAX), Told::default());
        let (zero, len) = written(&[(libc::SOL_UDP, UDP_GRO, &[0; 4])]);
        assert_eq!(zero.read(len), Told::default());
    }
}
