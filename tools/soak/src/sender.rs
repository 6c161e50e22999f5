//! The sending side: media in bursts, and the keys ahead of it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use mcast_srtp::{
    group::Interface,
    ids::{Seq, Ssrc},
    net::{SendOptions, SendSocket},
    srtp::{Protector, TrafficKey},
    wire::rtp::RtpWriter,
};
use soak::{Issuer, Pace};

use crate::meter::{PAYLOAD_LEN, Phase, stamp};

/// What is sent where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) rate: u32,
    pub(crate) seconds: u32,
    pub(crate) mtk_every: Duration,
    pub(crate) msk_every: Duration,
    pub(crate) group: SocketAddr,
    pub(crate) key_port: u16,
    pub(crate) key_address: SocketAddr,
}

/// What was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) packets: u64,
    pub(crate) mtk_changes: u64,
    pub(crate) msk_changes: u64,
    pub(crate) worst_delay: Duration,
}

pub(crate) struct Sender {
    load: Load,
    issuer: Issuer,
    start: Instant,
    multicast: SendSocket,
    unicast: UdpSocket,
}

/// A traffic key by its numbers, and when it comes into force.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    msk: u16,
    mtk: u16,
    from: Duration,
}

impl Sender {
    pub(crate) fn new(
        load: Load,
        issuer: Issuer,
        start: Instant,
    ) -> Result<Self, mcast_srtp::Error> {
        let loopback = Interface::Addr(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let multicast = SendSocket::open(load.group.ip(), &loopback, &SendOptions::default())?;
        let unicast = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|source| {
            mcast_srtp::Error::Io { context: "a socket for MSK messages".into(), source }
        })?;
        Ok(Self { load, issuer, start, multicast, unicast })
    }

    /// Sends for as long as asked. Times are counted from the first packet.
    pub(crate) fn run(&self) -> Result<Sent, Box<dyn std::error::Error + Send + Sync>> {
        let load = self.load;
        let mut now_in_force = Epoch { msk: 1, mtk: 1, from: Duration::ZERO };
        self.announce_mtk(now_in_force)?;
        // The key thread accepts it meanwhile.
        std::thread::sleep(Duration::from_millis(200));
        let mut key = self.issuer.traffic_key(1, 1)?;
        let mut coming = now_in_force;
        let mut announcements: Vec<(Duration, Announcement)> = Vec::new();
        let mut protector = Protector::new();
        let mut sent =
            Sent { packets: 0, mtk_changes: 0, msk_changes: 0, worst_delay: Duration::ZERO };
        let mut batch = vec![Vec::new(); SLICE];
        let mut pace = Pace::new(BURST_INTERVAL);
        let bursts = load.seconds * 1000;
        for burst in 0..bursts {
            pace.wait();
            // By the schedule, not by the clock: what a packet is does not depend on delays.
            let now = burst * BURST_INTERVAL;
            if coming.from <= now {
                if coming.mtk != now_in_force.mtk || coming.msk != now_in_force.msk {
                    sent.mtk_changes += 1;
                    sent.msk_changes += u64::from(coming.msk != now_in_force.msk);
                    key = self.issuer.traffic_key(coming.msk, coming.mtk)?;
                }
                now_in_force = coming;
                coming = self.next(now_in_force);
                plan(coming, coming.msk != now_in_force.msk, &mut announcements);
            }
            for (_, what) in announcements.extract_if(.., |(at, _)| *at <= now) {
                match what {
                    Announcement::Mtk => self.announce_mtk(coming)?,
                    Announcement::Msk => {
                        let message = self.issuer.msk_message(coming.msk)?;
                        self.unicast.send_to(&message, load.key_address)?;
                    }
                }
            }
            let phase = Phase::of(now.saturating_sub(now_in_force.from), coming.from - now);
            // Rounded down so that over a second exactly the rate is sent.
            let until = u64::from(load.rate) * u64::from(burst + 1) / 1000;
            while sent.packets < until {
                // At most a slice, so that it fits.
                let count = usize::try_from(until - sent.packets).unwrap_or(SLICE).min(SLICE);
                self.burst(&mut batch[..count], sent.packets, phase, &key, &mut protector)?;
                sent.packets += count as u64;
            }
        }
        sent.worst_delay = pace.worst();
        Ok(sent)
    }

    fn next(&self, after: Epoch) -> Epoch {
        let Load { mtk_every, msk_every, .. } = self.load;
        let from = after.from + mtk_every;
        let of_msk = mtk_every.saturating_mul(after.mtk.into());
        let (msk, mtk) =
            if of_msk >= msk_every { (after.msk + 1, 1) } else { (after.msk, after.mtk + 1) };
        Epoch { msk, mtk, from }
    }

    fn announce_mtk(&self, epoch: Epoch) -> Result<(), mcast_srtp::Error> {
        let message = self.issuer.mtk_message(epoch.msk, epoch.mtk)?;
        self.multicast.send(&message, SocketAddr::new(self.load.group.ip(), self.load.key_port))
    }

    fn burst(
        &self,
        packets: &mut [Vec<u8>],
        first: u64,
        phase: Phase,
        key: &TrafficKey,
        protector: &mut Protector,
    ) -> Result<(), mcast_srtp::Error> {
        for (packet, number) in packets.iter_mut().zip(first..) {
            // Lower halves: numbers wrap like those of a stream.
            let writer = RtpWriter::new(97, Seq(number as u16), number as u32, Ssrc(0x50a4));
            packet.resize(12 + PAYLOAD_LEN, 0);
            writer.write(&stamp(number, self.start.elapsed(), phase), packet)?;
            protector.protect_rtp(key, packet)?;
        }
        let to = self.load.group;
        let mut datagrams = [(&[][..], to); SLICE];
        datagrams.iter_mut().zip(&*packets).for_each(|(place, packet)| place.0 = packet);
        let mut left = &datagrams[..packets.len()];
        while !left.is_empty() {
            left = &left[self.multicast.send_batch(left)?..];
        }
        Ok(())
    }
}

/// What is sent ahead of a traffic key.
#[derive(Clone, Copy, Debug)]
enum Announcement {
    Mtk,
    Msk,
}

/// The messages of a coming key, each twice.
fn plan(coming: Epoch, new_msk: bool, announcements: &mut Vec<(Duration, Announcement)>) {
    let ahead = |ms| coming.from.saturating_sub(Duration::from_millis(ms));
    if new_msk {
        announcements.extend([1000, 800].map(|ms| (ahead(ms), Announcement::Msk)));
    }
    announcements.extend([300, 150].map(|ms| (ahead(ms), Announcement::Mtk)));
}

/// Packets in one system call.
const SLICE: usize = 64;
const BURST_INTERVAL: Duration = Duration::from_millis(1);
