//! A recording as a timetable: what is handed in, and when; with talk bursts around each spurt.

use std::{collections::HashMap, path::Path, time::Duration};

use mcast_srtp::{
    ids::{PacketIndex, Seq, Ssrc},
    wire::{
        Text,
        burst::{BurstMessage, BurstPacket, NAME, Taken},
        classify::{Class, classify},
        rtcp::{APP, Compound, RtcpView},
        rtp::RtpView,
    },
};

use super::config::FileInput;
use crate::{exit::Failure, inspect::Input};

/// A recording, ready to be sent any number of times.
#[derive(Debug)]
pub(super) struct Recording {
    entries: Vec<Entry>,
    /// From the first packet to the first of the next time.
    length: Duration,
    streams: HashMap<Ssrc, Span>,
}

/// One packet.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: Duration,
    /// Place of the medium in the group: 0 media, 1 burst control.
    pub(super) medium: usize,
    pub(super) packet: Vec<u8>,
}

/// What of a stream a recording covers.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: Seq,
    packets: u32,
    ticks: u32,
    /// Ticks between the last two packets.
    step: u32,
    last: (Seq, u32),
}

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    /// Usage: it cannot be read, or has no packet to send.
    pub(super) fn read(input: &FileInput) -> Result<Self, Failure> {
        Self::of(Input::read(&input.file)?, input)
            .map_err(|what| Failure::usage(format!("{}: {what}", shown(&input.file))))
    }

    fn of(read: Input, input: &FileInput) -> Result<Self, String> {
        let wanted = |to: Option<std::net::SocketAddr>| match (input.port, to) {
            (Some(port), Some(to)) => to.port() == port,
            _ => true,
        };
        let mut entries = Vec::new();
        let start = read.datagrams.iter().filter_map(|datagram| datagram.time).min();
        for datagram in read.datagrams.into_iter().filter(|datagram| wanted(datagram.to)) {
            let at = datagram.time.zip(start).map_or(Duration::ZERO, |(at, start)| at - start);
            let Some(medium) = medium(&datagram.bytes) else { continue };
            entries.push(Entry { at, medium, packet: datagram.bytes });
        }
        entries.sort_by_key(|entry| entry.at);
        let streams = spans(&entries);
        if streams.is_empty() {
            return Err("no RTP packet in it to send".to_owned());
        }
        let last = entries.last().map_or(Duration::ZERO, |entry| entry.at);
        if let Some(talker) = &input.talker {
            announce(&mut entries, talker)?;
        }
        Ok(Self { entries, length: last + FRAME, streams })
    }

    /// The packets of one round, the `n`th: sequence numbers and time stamps run on. `highest` tells where
    /// streams stand that were sent in an earlier run, so that none of their indexes is used again.
    pub(super) fn round(
        &self,
        n: u32,
        highest: &[(Ssrc, PacketIndex)],
    ) -> impl Iterator<Item = Entry> + '_ {
        let offsets: HashMap<_, _> = self
            .streams
            .iter()
            .map(|(ssrc, span)| {
                let before = highest.iter().find(|(known, _)| known == ssrc);
                let ahead = before.map_or(0, |(_, index)| {
                    index.seq().0.wrapping_add(UNKNOWN).wrapping_sub(span.first.0)
                });
                // Both wrap around as the fields do.
                let seq = ahead.wrapping_add(span.packets.wrapping_mul(n) as u16);
                (*ssrc, (seq, span.ticks.wrapping_mul(n)))
            })
            .collect();
        let shift = self.length * n;
        self.entries.iter().map(move |entry| {
            let mut entry = entry.clone();
            entry.at += shift;
            if let Ok(view) = RtpView::parse(&entry.packet)
                && classify(&entry.packet) == Class::Rtp
                && let Some((seq, ticks)) = offsets.get(&view.ssrc())
            {
                let (seq, time) =
                    (view.seq().0.wrapping_add(*seq), view.timestamp().wrapping_add(*ticks));
                entry.packet[2..4].copy_from_slice(&seq.to_be_bytes());
                entry.packet[4..8].copy_from_slice(&time.to_be_bytes());
            }
            entry
        })
    }
}

fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}

/// Where a packet belongs; `None` for anything but RTP and RTCP.
fn medium(packet: &[u8]) -> Option<usize> {
    match classify(packet) {
        Class::Rtp => Some(0),
        Class::Rtcp => {
            let burst = |packet: mcast_srtp::wire::rtcp::RtcpPacket<'_>| {
                packet.packet_type() == APP
                    && matches!(packet.view(), Ok(RtcpView::App(app)) if app.name == NAME)
            };
            let is_burst = Compound::parse(packet).is_ok_and(|all| all.packets().any(burst));
            Some(usize::from(is_burst))
        }
        Class::Mikey | Class::Unknown => None,
    }
}

fn spans(entries: &[Entry]) -> HashMap<Ssrc, Span> {
    let mut spans = HashMap::<Ssrc, Span>::new();
    for entry in entries.iter().filter(|entry| classify(&entry.packet) == Class::Rtp) {
        let Ok(view) = RtpView::parse(&entry.packet) else { continue };
        let (seq, time) = (view.seq(), view.timestamp());
        let new = Span { first: seq, packets: 1, ticks: TICKS, step: TICKS, last: (seq, time) };
        let span = spans.entry(view.ssrc()).or_insert(new);
        let (last_seq, last_time) = span.last;
        let (further, ticks) = (seq.0.wrapping_sub(last_seq.0), time.wrapping_sub(last_time));
        // A packet out of order is within what the others cover.
        if (1..0x8000).contains(&further) {
            span.packets = span.packets.wrapping_add(further.into());
            span.ticks = span.ticks.wrapping_add(ticks);
            span.step = if ticks > 0 { ticks } else { span.step };
            span.last = (seq, time);
        }
    }
    for span in spans.values_mut() {
        span.ticks = span.ticks.wrapping_sub(TICKS).wrapping_add(span.step);
    }
    spans
}

/// Puts Taken before and Idle behind each spurt: a run of packets of one source without a long pause.
fn announce(entries: &mut Vec<Entry>, talker: &str) -> Result<(), String> {
    let mut bursts = Vec::new();
    let mut talking: Option<(Ssrc, Duration)> = None;
    for entry in entries.iter() {
        let Ok(view) = RtpView::parse(&entry.packet) else { continue };
        if classify(&entry.packet) != Class::Rtp {
            continue;
        }
        let ssrc = view.ssrc();
        match talking {
            Some((same, last)) if same == ssrc && entry.at - last < PAUSE => {}
            before => {
                if let Some((_, last)) = before {
                    bursts.push(burst(last, BurstMessage::Idle)?);
                }
                let cname = Text::from(talker);
                let taken = Taken { talker: ssrc, cname, ..Taken::default() };
                bursts.push(burst(entry.at, BurstMessage::Taken(taken))?);
            }
        }
        talking = Some((ssrc, entry.at));
    }
    if let Some((_, last)) = talking {
        bursts.push(burst(last, BurstMessage::Idle)?);
    }
    entries.append(&mut bursts);
    // Of one moment: Taken, then media, then Idle.
    let order = |entry: &Entry| match (entry.medium, entry.packet.first()) {
        (0, _) => 1,
        (_, Some(first)) if *first == IDLE => 2,
        _ => 0,
    };
    entries.sort_by_key(|entry| (entry.at, order(entry)));
    Ok(())
}

fn burst(at: Duration, message: BurstMessage<'_>) -> Result<Entry, String> {
    let mut packet = vec![0; BurstPacket::MAX_LEN];
    let len = BurstPacket::new(SERVER, message).write(&mut packet);
    let len = len.map_err(|error| format!("talker: {error}"))?;
    packet.truncate(len);
    Ok(Entry { at, medium: 1, packet })
}

/// Who announces the talk bursts.
const SERVER: Ssrc = Ssrc(0x5e52_4652);
/// First octet of an Idle: version 2 and its subtype.
const IDLE: u8 = 0x85;
/// A pause that ends a spurt.
const PAUSE: Duration = Duration::from_millis(600);
/// Between the last packet and the first of the next round, and its ticks at 8 kHz.
const FRAME: Duration = Duration::from_millis(20);
const TICKS: u32 = 160;
/// Indexes behind the highest one that is known which may have been used before a crash.
const UNKNOWN: u16 = (1 << 14) + 1;

#[cfg(test)]
mod tests {
    use mcast_srtp::{ids::Roc, wire::burst::bursts};

    use super::*;
    use crate::inspect::Datagram;

    fn rtp(ssrc: u8, seq: u16, time: u32) -> Vec<u8> {
        let mut packet = vec![0x80, 97];
        packet.extend(seq.to_be_bytes());
        packet.extend(time.to_be_bytes());
        packet.extend([0, 0, 0, ssrc, 1, 2, 3]);
        packet
    }

    fn input(packets: &[(u64, Vec<u8>)]) -> Input {
        let datagrams = packets.iter().map(|(ms, bytes)| Datagram {
            time: Some(Duration::from_millis(1_000 + ms)),
            bytes: bytes.clone(),
            ..Datagram::default()
        });
        Input { datagrams: datagrams.collect(), ..Input::default() }
    }

    fn recording(packets: &[(u64, Vec<u8>)], talker: Option<&str>) -> Recording {
        let talker = talker.map(str::to_owned);
        let file = FileInput { file: "x".into(), port: None, again: true, talker };
        Recording::of(input(packets), &file).unwrap()
    }

    fn seqs(entries: impl Iterator<Item = Entry>) -> Vec<(u16, u32, u64)> {
        entries
            .filter(|entry| entry.medium == 0)
            .map(|entry| {
                let view = RtpView::parse(&entry.packet).unwrap();
                (view.seq().0, view.timestamp(), entry.at.as_millis() as u64)
            })
            .collect()
    }

    #[test]
    fn rounds_run_on_in_sequence_and_time() {
        let packets = [(0, rtp(1, 0xffff, 10)), (20, rtp(1, 0, 170)), (40, rtp(1, 1, 330))];
        let recording = recording(&packets, None);
        assert_eq!(seqs(recording.round(0, &[])), [(0xffff, 10, 0), (0, 170, 20), (1, 330, 40)]);
        assert_eq!(seqs(recording.round(1, &[])), [(2, 490, 60), (3, 650, 80), (4, 810, 100)]);
    }

    #[test]
    fn streams_of_an_earlier_run_go_on_beyond_what_a_crash_may_hide() {
        let recording = recording(&[(0, rtp(1, 7, 0)), (5, rtp(2, 7, 0))], None);
        let highest = [(Ssrc(1), PacketIndex::new(Roc(3), Seq(100)))];
        let first = 100 + (1 << 14) + 1;
        assert_eq!(seqs(recording.round(0, &highest)), [(first, 0, 0), (7, 0, 5)]);
        assert_eq!(seqs(recording.round(1, &highest)), [(first + 1, 160, 25), (8, 160, 30)]);
    }

    #[test]
    fn each_spurt_is_announced_and_ended() {
        let spurts = [(0, rtp(1, 1, 0)), (20, rtp(1, 2, 160)), (900, rtp(2, 1, 0))];
        let recording = recording(&spurts, Some("sip:alice@example.com"));
        let said: Vec<_> = recording
            .round(0, &[])
            .map(|entry| {
                let at = entry.at.as_millis();
                if entry.medium == 0 {
                    return format!("{at} media");
                }
                let burst = bursts(Compound::parse(&entry.packet).unwrap()).next();
                match burst.unwrap().unwrap().message {
                    BurstMessage::Taken(taken) => format!("{at} taken {}", taken.talker.0),
                    BurstMessage::Idle => format!("{at} idle"),
                    other => panic!("{other:?}"),
                }
            })
            .collect();
        assert_eq!(
            said,
            ["0 taken 1", "0 media", "20 media", "20 idle", "900 taken 2", "900 media", "900 idle"]
        );
    }

    #[test]
    fn only_rtp_and_rtcp_of_the_port_are_sent() {
        let file = FileInput { file: "x".into(), port: Some(5004), again: false, talker: None };
        let mut read = input(&[(0, rtp(1, 1, 0)), (1, vec![0x16; 30]), (2, rtp(1, 2, 160))]);
        read.datagrams[2].to = Some("192.0.2.1:6000".parse().unwrap());
        let recording = Recording::of(read, &file).unwrap();
        assert_eq!(seqs(recording.round(0, &[])), [(1, 0, 0)]);
        let nothing = Recording::of(Input::default(), &file).unwrap_err();
        assert!(nothing.contains("no RTP packet"), "{nothing}");
    }
}
