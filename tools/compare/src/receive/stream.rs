//! The datagrams, protected by webrtc-srtp before anything is measured, and how they are sent.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use loadgen::{Generator, Schedule, ScheduledKey, Start, Traffic};
use mcast_srtp::{
    group::Interface,
    net::{SendOptions, SendSocket},
    srtp::Profile,
};
use peers::{MasterKey, Suite};
use soak::{Issuer, Pace};

use super::{GROUP, MEDIA, MSK, MTK, SENDER};

/// SSRC of the stream.
pub(super) const SSRC: u32 = 0x1122_3344;
/// Payload octets: with the RTP header, an MKI of 6 and a tag of 10 octets a datagram of 200.
pub(super) const PAYLOAD: usize = 172;
/// G.711, which every program knows.
const PAYLOAD_TYPE: u8 = 0;

/// Keys of the streams.
pub(super) const ISSUER: Issuer = Issuer { profile: Profile::AES_CM_128_HMAC_SHA1_80 };

/// Protected packets back to back, and the key messages among them.
pub(super) struct Stream {
    octets: Vec<u8>,
    ends: Vec<usize>,
    /// Before which packet each message goes out.
    messages: Vec<(usize, SocketAddr, Vec<u8>)>,
}

/// What a stream is protected with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Keying {
    /// One key without MKI, for programs that know none.
    Plain,
    /// One key from MIKEY, its MKI in each packet.
    Mikey,
    /// As many packets under one key before the next; a new MSK in the middle.
    Changing { every: usize },
}

impl Stream {
    pub(super) fn new(keying: Keying, packets: usize) -> Result<Self, String> {
        let epochs = match keying {
            Keying::Changing { every } => packets.div_ceil(every),
            Keying::Plain | Keying::Mikey => 1,
        };
        let every = packets.div_ceil(epochs);
        // The second half of the keys comes under the second MSK.
        let half = epochs.div_ceil(2);
        let names: Vec<(u16, u16)> = (0..epochs)
            .map(|n| if n < half { (1, n + 1) } else { (2, n - half + 1) })
            .map(|(msk, mtk)| Ok((msk, u16::try_from(mtk).map_err(|e| e.to_string())?)))
            .collect::<Result<_, String>>()?;
        let keys = names.iter().enumerate().map(|(n, (msk, mtk))| {
            let (key, salt) = ISSUER.material(*msk, *mtk);
            let mki = match keying {
                Keying::Plain => Vec::new(),
                _ => ISSUER.mki(*msk, *mtk).as_bytes().to_vec(),
            };
            let start = Start::Packet((n * every) as u64);
            ScheduledKey { suite: Suite::AesCm128Sha1_80, key: MasterKey { key, salt, mki }, start }
        });
        let schedule = Schedule::new(keys.collect()).map_err(|e| e.to_string())?;
        let mut stream = Self { octets: Vec::new(), ends: Vec::new(), messages: Vec::new() };
        for datagram in Generator::new(traffic(packets), schedule).map_err(|e| e.to_string())? {
            stream.octets.extend(datagram.map_err(|e| e.to_string())?.bytes);
            stream.ends.push(stream.octets.len());
        }
        if keying != Keying::Plain {
            stream.plan_messages(&names, every).map_err(|e| e.to_string())?;
        }
        Ok(stream)
    }

    /// Each MTK message twice before its first packet, as each MSK message; the first MSK is known.
    fn plan_messages(
        &mut self,
        names: &[(u16, u16)],
        every: usize,
    ) -> Result<(), mcast_srtp::Error> {
        for (n, (msk, mtk)) in names.iter().enumerate() {
            let ahead = |part: usize| (n * every).saturating_sub(every * part / 10);
            if *mtk == 1 && *msk > 1 {
                let message = ISSUER.msk_message(*msk)?;
                self.messages.extend([30, 20].map(|part| (ahead(part), MSK, message.clone())));
            }
            let message = ISSUER.mtk_message(*msk, *mtk)?;
            self.messages.extend([6, 3].map(|part| (ahead(part), MTK, message.clone())));
        }
        self.messages.sort_by_key(|(before, ..)| *before);
        Ok(())
    }

    /// Plain RTP packets that the first `count` open to.
    pub(super) fn plain(count: usize) -> Result<Vec<Vec<u8>>, String> {
        let (key, salt) = ISSUER.material(1, 1);
        let material = MasterKey { key, salt, mki: Vec::new() };
        let (suite, start) = (Suite::AesCm128Sha1_80, Start::Packet(0));
        let schedule = Schedule::new(vec![ScheduledKey { suite, key: material, start }]);
        Generator::new(traffic(count), schedule.map_err(|e| e.to_string())?)
            .map_err(|e| e.to_string())?
            .map(|datagram| datagram.map(|d| d.plain).map_err(|e| e.to_string()))
            .collect()
    }

    fn packet(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.octets[start..self.ends[place]]
    }
}

/// Sends a stream from its start on, in parts.
pub(super) struct Sending<'a> {
    stream: &'a Stream,
    next: usize,
    next_message: usize,
    multicast: SendSocket,
    unicast: UdpSocket,
}

impl<'a> Sending<'a> {
    pub(super) fn new(stream: &'a Stream) -> Result<Self, String> {
        let multicast = SendSocket::open(GROUP, &Interface::Addr(SENDER), &SendOptions::default())
            .map_err(|e| e.to_string())?;
        let unicast = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(|e| e.to_string())?;
        Ok(Self { stream, next: 0, next_message: 0, multicast, unicast })
    }

    /// Packets not sent yet.
    pub(super) fn left(&self) -> usize {
        self.stream.ends.len() - self.next
    }

    /// Sends messages that are due before the next packet.
    pub(super) fn messages(&mut self) -> Result<(), String> {
        while let Some((before, to, message)) = self.stream.messages.get(self.next_message)
            && *before <= self.next
        {
            self.unicast_or_group(message, *to)?;
            self.next_message += 1;
        }
        Ok(())
    }

    /// Sends packets at a pace; of a rate of 0, as fast as the system takes them.
    pub(super) fn packets(&mut self, count: usize, rate: f64, burst: usize) -> Result<(), String> {
        let interval = if rate > 0.0 { burst as f64 / rate } else { 0.0 };
        let mut pace = Pace::new(Duration::from_secs_f64(interval));
        let end = self.next + count.min(self.left());
        while self.next < end {
            if rate > 0.0 {
                pace.wait();
            }
            self.messages()?;
            let upto = end.min(self.next + burst);
            let packets: Vec<_> =
                (self.next..upto).map(|place| (self.stream.packet(place), MEDIA)).collect();
            let mut left = packets.as_slice();
            while !left.is_empty() {
                left = &left[self.multicast.send_batch(left).map_err(|e| e.to_string())?..];
            }
            self.next = upto;
        }
        Ok(())
    }

    fn unicast_or_group(&self, message: &[u8], to: SocketAddr) -> Result<(), String> {
        if to.ip().is_multicast() {
            return self.multicast.send(message, to).map_err(|e| e.to_string());
        }
        // A receiver without keys of its own refuses it, which the socket may tell.
        let _ = self.unicast.send_to(message, to);
        Ok(())
    }
}

fn traffic(packets: usize) -> Traffic {
    Traffic {
        count: packets as u64,
        payload: vec![PAYLOAD],
        payload_type: PAYLOAD_TYPE,
        first_ssrc: SSRC,
        first_seq: 0,
        ..Traffic::default()
    }
}
