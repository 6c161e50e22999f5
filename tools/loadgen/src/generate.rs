//! Datagrams of a run, one after the other, without clock or socket.

use std::{collections::VecDeque, time::Duration};

use peers::{Implementation, Peer, Setup};
use rtp::header::Header;

use crate::{
    Error,
    media::{payload, report, rtp_packet},
    schedule::{Schedule, Start},
};

/// What is sent and when, keys aside.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Media packets in all; the streams take turns.
    pub count: u64,
    /// Media packets a second over all streams; 0 for no pause at all.
    pub rate: f64,
    /// Packets that are due at the same moment.
    pub burst: u64,
    /// Payload octets of the packets in turn.
    pub payload: Vec<usize>,
    /// RTP payload type.
    pub payload_type: u8,
    /// Streams.
    pub streams: u32,
    /// SSRC of the first stream; the others count on.
    pub first_ssrc: u32,
    /// Sequence number each stream starts with.
    pub first_seq: u16,
    /// Rollover counter each stream starts with.
    pub roc: u32,
    /// Timestamp units from one packet of a stream to its next.
    pub timestamp_step: u32,
    /// After every so many media packets of a stream an RTCP packet; 0 for none.
    pub rtcp_every: u64,
    /// Before every so-manieth media packet a forgery of it; 0 for none.
    pub forge_every: u64,
    /// Who protects.
    pub implementation: Implementation,
}

impl Default for Traffic {
    /// One stream of 100 packets like coded speech, 50 a second.
    fn default() -> Self {
        Self {
            count: 100,
            rate: 50.0,
            burst: 1,
            payload: vec![32],
            payload_type: 97,
            streams: 1,
            first_ssrc: 0xcafe_babe,
            first_seq: 1,
            roc: 0,
            timestamp_step: 160,
            rtcp_every: 0,
            forge_every: 0,
            implementation: Implementation::WebrtcSrtp,
        }
    }
}

/// What a datagram is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// SRTP.
    Media,
    /// SRTCP.
    Control,
    /// SRTP whose tag is wrong: no receiver may accept it.
    Forged,
}

/// A protected packet on its way.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// What it is, which decides the port.
    pub kind: Kind,
    /// When it is due, counted from the first packet.
    pub due: Duration,
    /// Place of its key in the schedule.
    pub key: usize,
    /// The packet before protection.
    pub plain: Vec<u8>,
    /// The octets to send.
    pub bytes: Vec<u8>,
}

/// Makes the datagrams of a run.
pub struct Generator {
    traffic: Traffic,
    schedule: Schedule,
    streams: Vec<Stream>,
    sent: u64,
    key: usize,
    ready: VecDeque<Datagram>,
}

impl Generator {
    /// Checks the options and sets the streams up under the first key.
    ///
    /// # Errors
    /// [`Error::Usage`] for options that fit no run, [`Error::Protect`] if the implementation does
    /// not take the key.
    pub fn new(traffic: Traffic, schedule: Schedule) -> Result<Self, Error> {
        let usage = |text: &str| Err(Error::Usage(text.into()));
        if traffic.streams == 0 || traffic.burst == 0 || traffic.payload.is_empty() {
            return usage("streams, burst and payload sizes are at least one each");
        }
        if traffic.payload_type > 127 || (64..96).contains(&traffic.payload_type) {
            return usage("the payload type is below 128 and not from 64 to 95, where RTCP is");
        }
        if traffic.payload.iter().any(|len| *len > MAX_PAYLOAD) {
            return usage("a payload has at most 65000 octets");
        }
        if !(traffic.rate >= 0.0 && traffic.rate.is_finite()) {
            return usage("the rate is a number of packets a second, 0 for no pause");
        }
        let timed = schedule.keys().iter().any(|key| matches!(key.start, Start::Elapsed(_)));
        if traffic.rate == 0.0 && timed {
            return usage("a key at a time (at_ms) needs a rate");
        }
        let streams = (0..traffic.streams)
            .map(|n| Stream::new(&traffic, &schedule, traffic.first_ssrc.wrapping_add(n)))
            .collect::<Result<_, _>>()?;
        Ok(Self { traffic, schedule, streams, sent: 0, key: 0, ready: VecDeque::new() })
    }

    /// Makes the next media packet and what goes with it.
    fn advance(&mut self) -> Result<(), Error> {
        let (number, traffic) = (self.sent, &self.traffic);
        let due = due(traffic, number);
        let key = self.schedule.in_force(number, due);
        if key != self.key {
            self.key = key;
            for stream in &mut self.streams {
                stream.change_key(traffic, &self.schedule, key)?;
            }
        }
        let turn = usize::try_from(number % u64::from(traffic.streams)).unwrap_or_default();
        let stream = &mut self.streams[turn];
        let size = number % u64::try_from(traffic.payload.len()).unwrap_or(1);
        let len = traffic.payload[usize::try_from(size).unwrap_or_default()];
        let datagram = |kind, plain, bytes| Datagram { kind, due, key, plain, bytes };

        let (plain, bytes) = stream.media(traffic, payload(number, len))?;
        if traffic.forge_every != 0 && (number + 1).is_multiple_of(traffic.forge_every) {
            let mki_len = self.schedule.keys()[key].key.mki.len();
            let forged = forge(&bytes, self.schedule.keys()[key].suite.is_aead(), mki_len);
            self.ready.push_back(datagram(Kind::Forged, plain.clone(), forged));
        }
        self.ready.push_back(datagram(Kind::Media, plain, bytes));
        if traffic.rtcp_every != 0 && u64::from(stream.packets).is_multiple_of(traffic.rtcp_every) {
            let (plain, bytes) = stream.control()?;
            self.ready.push_back(datagram(Kind::Control, plain, bytes));
        }
        self.sent += 1;
        Ok(())
    }
}

impl Iterator for Generator {
    type Item = Result<Datagram, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty() {
            if self.sent >= self.traffic.count {
                return None;
            }
            if let Err(error) = self.advance() {
                self.sent = self.traffic.count;
                return Some(Err(error));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

/// One SSRC.
struct Stream {
    ssrc: u32,
    /// Rollover counter and sequence number of the next packet.
    index: u64,
    timestamp: u32,
    packets: u32,
    octets: u32,
    reports: u32,
    peer: Box<dyn Peer>,
}

impl Stream {
    fn new(traffic: &Traffic, schedule: &Schedule, ssrc: u32) -> Result<Self, Error> {
        let index = u64::from(traffic.roc) << 16 | u64::from(traffic.first_seq);
        let peer = peer(traffic, schedule, 0, (ssrc, traffic.roc, 0))?;
        Ok(Self { ssrc, index, timestamp: 0, packets: 0, octets: 0, reports: 0, peer })
    }

    /// Goes on under another key: neither the rollover counter nor the SRTCP index starts anew
    /// (RFC 3711 §3.3.1, §3.4).
    fn change_key(
        &mut self,
        traffic: &Traffic,
        schedule: &Schedule,
        key: usize,
    ) -> Result<(), Error> {
        let roc = u32::try_from(self.index >> 16)
            .map_err(|_| Error::Usage("a stream has used up its 2^48 packets".into()))?;
        self.peer = peer(traffic, schedule, key, (self.ssrc, roc, self.reports))?;
        Ok(())
    }

    fn media(&mut self, traffic: &Traffic, payload: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let header = Header {
            version: 2,
            marker: self.packets == 0,
            payload_type: traffic.payload_type,
            // The lower half of an index is the sequence number.
            sequence_number: (self.index & 0xffff) as u16,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            ..Header::default()
        };
        // A count of octets may wrap (RFC 3550 §6.4.1); a payload has fewer than 2^16.
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        let plain = rtp_packet(header, payload)?;
        let bytes = self.peer.protect_rtp(&plain)?;
        self.index += 1;
        self.timestamp = self.timestamp.wrapping_add(traffic.timestamp_step);
        self.packets = self.packets.wrapping_add(1);
        Ok((plain, bytes))
    }

    fn control(&mut self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let plain = report(self.ssrc, self.timestamp, self.packets, self.octets)?;
        let bytes = self.peer.protect_rtcp(&plain)?;
        self.reports += 1;
        Ok((plain, bytes))
    }
}

/// A sender for one stream under one key.
fn peer(
    traffic: &Traffic,
    schedule: &Schedule,
    key: usize,
    (ssrc, roc, srtcp_sent): (u32, u32, u32),
) -> Result<Box<dyn Peer>, Error> {
    let scheduled = &schedule.keys()[key];
    let material = &scheduled.key;
    let setup = Setup {
        roc,
        srtcp_sent,
        ..Setup::new(scheduled.suite, &material.key, &material.salt, &material.mki, ssrc)
    };
    Ok(traffic.implementation.peer(&setup)?)
}

/// The packet with the last octet of its tag changed; of an AEAD packet the MKI comes behind it.
fn forge(packet: &[u8], aead: bool, mki_len: usize) -> Vec<u8> {
    let mut forged = packet.to_vec();
    let behind = if aead { mki_len } else { 0 };
    if let Some(octet) = forged.iter_mut().rev().nth(behind) {
        *octet ^= 0x55;
    }
    forged
}

/// When the `number`-th media packet is due: bursts at even intervals.
fn due(traffic: &Traffic, number: u64) -> Duration {
    if traffic.rate == 0.0 {
        return Duration::ZERO;
    }
    let before = number - number % traffic.burst;
    // Exact for the first 2^53 packets.
    Duration::try_from_secs_f64(before as f64 / traffic.rate).unwrap_or(Duration::MAX)
}

const MAX_PAYLOAD: usize = 65_000;

#[cfg(test)]
mod tests {
    use super::*;
    use peers::{Refused, WebrtcSrtp};

    const SCHEDULE: &str = include_str!("../schedule.toml");

    fn run(traffic: Traffic) -> Vec<Datagram> {
        let schedule = Schedule::from_toml(SCHEDULE).unwrap();
        Generator::new(traffic, schedule).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_receiver_with_the_schedule_opens_everything_but_the_forgeries() {
        let traffic = Traffic {
            count: 420,
            streams: 2,
            first_seq: 65_500,
            payload: vec![0, 32, 1200],
            rtcp_every: 50,
            forge_every: 7,
            ..Traffic::default()
        };
        let schedule = Schedule::from_toml(SCHEDULE).unwrap();
        let mut receivers: Vec<_> = schedule
            .keys()
            .iter()
            .flat_map(|k| {
                let key = &k.key;
                (0..2).map(|n| {
                    let ssrc = traffic.first_ssrc + n;
                    Setup::new(k.suite, &key.key, &key.salt, &key.mki, ssrc)
                })
            })
            // The second and third key take over behind the wrap.
            .enumerate()
            .map(|(n, setup)| Setup { roc: u32::from(n >= 2), ..setup })
            .map(|setup| WebrtcSrtp::new(&setup).unwrap())
            .collect();
        let (mut opened, mut refused) = (0, 0);
        for datagram in run(traffic) {
            let ssrc_at = if datagram.kind == Kind::Control { 7 } else { 11 };
            let stream = usize::from(datagram.plain[ssrc_at] - 0xbe);
            let receiver = &mut receivers[2 * datagram.key + stream];
            let plain = match datagram.kind {
                Kind::Control => receiver.unprotect_rtcp(&datagram.bytes),
                _ => receiver.unprotect_rtp(&datagram.bytes),
            };
            if datagram.kind == Kind::Forged {
                assert_eq!(plain, Err(Refused::Auth));
                refused += 1;
            } else {
                assert_eq!(plain, Ok(datagram.plain));
                opened += 1;
            }
        }
        assert_eq!((opened, refused), (420 + 8, 60));
    }

    #[test]
    fn keys_change_at_their_packet_and_at_their_time() {
        let datagrams = run(Traffic { count: 450, ..Traffic::default() });
        let keys: Vec<_> = datagrams.iter().map(|d| d.key).collect();
        assert_eq!((keys[249], keys[250], keys[399], keys[400]), (0, 1, 1, 2));
        assert!(datagrams[400].bytes.windows(6).any(|w| w == [0, 0x12, 0, 4, 0, 1]));
    }

    #[test]
    fn bursts_are_due_together() {
        let traffic = Traffic { rate: 1000.0, burst: 8, ..Traffic::default() };
        let ms = |n| due(&traffic, n).as_millis();
        assert_eq!((ms(0), ms(7), ms(8), ms(16)), (0, 0, 8, 16));
    }

    #[test]
    fn options_that_fit_no_run_are_named() {
        let error = |traffic| {
            let schedule = Schedule::from_toml(SCHEDULE).unwrap();
            Generator::new(traffic, schedule).err().unwrap().to_string()
        };
        let base = Traffic::default();
        assert!(error(Traffic { burst: 0, ..base.clone() }).contains("at least one"));
        assert!(error(Traffic { payload_type: 72, ..base.clone() }).contains("RTCP"));
        assert!(error(Traffic { rate: 0.0, ..base.clone() }).contains("at_ms"));
        assert!(error(Traffic { roc: u32::MAX, ..base }).contains("rollover counter"));
    }
}
