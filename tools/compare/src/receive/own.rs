//! Receivers of our own, each a process: `compare receiver KIND`. Not for people: `compare receive`
//! starts it.

use std::{
    io::{self, Read},
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use clap::{Args, ValueEnum};
use mcast_srtp::{
    Gateway,
    group::{GroupSpec, Interface, MediaSpec, RtcpPlace, SocketSpec},
    ids::PacketIndex,
    net::{Arena, Poller, ReceiveOptions, ReceiveSocket},
    rx::Event,
};
use serde::{Deserialize, Serialize};

use super::{BUFFER, GROUP, MEDIA, MSK, MTK, RECEIVER, bare::Bare, stream::ISSUER};

/// What a receiver does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Kind {
    /// The gateway with a sink that counts.
    Gateway,
    /// The sockets, poller and arena of the gateway, without lane and keys.
    Sockets,
    /// Waiting and recvmmsg of 64.
    Bare,
}

#[derive(Args)]
pub(crate) struct ReceiverArgs {
    #[arg(value_enum)]
    kind: Kind,
    /// Wait after a batch, in microseconds
    #[arg(long, default_value_t = 0)]
    wait: u64,
}

/// What a receiver of ours has seen, when it is told to end.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Seen {
    pub(super) packets: u64,
    pub(super) octets: u64,
    /// Packets whose index was not greater than that before: repeated or out of order.
    pub(super) not_rising: u64,
    /// Counters, for an error's text.
    pub(super) counters: String,
}

/// Receives until the standard input ends, then prints what it has seen.
pub(crate) fn receiver(args: &ReceiverArgs) -> Result<(), String> {
    let wait = Duration::from_micros(args.wait);
    let seen = match args.kind {
        Kind::Gateway => gateway(wait),
        Kind::Sockets => sockets(wait),
        Kind::Bare => bare(wait),
    }?;
    println!("{}", serde_json::to_string(&seen).map_err(|e| e.to_string())?);
    Ok(())
}

fn end_of_input() {
    let _ = io::stdin().read_to_end(&mut Vec::new());
}

/// What the callback counts. One lane calls it, so that adding needs no locked instruction.
#[derive(Default)]
struct Counts {
    packets: AtomicU64,
    octets: AtomicU64,
    next: AtomicU64,
    not_rising: AtomicU64,
}

impl Counts {
    fn note(&self, index: PacketIndex, len: usize) {
        add(&self.packets, 1);
        add(&self.octets, len as u64);
        let index = index.value();
        if index < self.next.load(Ordering::Relaxed) {
            add(&self.not_rising, 1);
        }
        self.next.store(index + 1, Ordering::Relaxed);
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

fn gateway(wait: Duration) -> Result<Seen, String> {
    let text = |error: mcast_srtp::Error| error.to_string();
    let media = MediaSpec::rtp(GROUP, MEDIA.port()).with_rtcp(RtcpPlace::None);
    let spec = GroupSpec::new("compare", Interface::Addr(RECEIVER))
        .with_media(media)
        .with_mikey_port(Some(MTK.port()))
        .with_key_message(ISSUER.msk_message(1).map_err(text)?);
    let (id, muk) = ISSUER.muk();
    let counts = Arc::new(Counts::default());
    let sink = Arc::clone(&counts);
    let gateway = Gateway::builder()
        .muk(id, muk)
        .key_address(MSK)
        .coalesce(wait)
        .receive_options(ReceiveOptions::default().with_buffer(BUFFER))
        .group(spec)
        .start(move |event| {
            if let Event::Media(media) = event {
                sink.note(media.index, media.payload.len());
            }
        })
        .map_err(text)?;
    end_of_input();
    let counters = gateway.stats().to_string();
    gateway.stop();
    let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(Seen {
        packets: value(&counts.packets),
        octets: value(&counts.octets),
        not_rising: value(&counts.not_rising),
        counters,
    })
}

/// The sockets of the gateway as a lane drains them, but the datagrams are only counted.
fn sockets(wait: Duration) -> Result<Seen, String> {
    let mut arena = Arena::default();
    drain_until_end(wait, move |socket| {
        let count = arena.receive(socket)?;
        Ok((count, arena.datagrams().map(|datagram| datagram.bytes.len() as u64).sum()))
    })
}

/// The same with nothing but the system calls.
fn bare(wait: Duration) -> Result<Seen, String> {
    let mut bare = Bare::new();
    drain_until_end(wait, move |socket| bare.receive(socket))
}

/// Takes what one joined socket receives until the standard input ends. `receive` tells datagrams and
/// octets of a batch.
fn drain_until_end(
    wait: Duration,
    receive: impl FnMut(&UdpSocket) -> io::Result<(usize, u64)>,
) -> Result<Seen, String> {
    let spec = SocketSpec::new(GROUP, MEDIA.port());
    let options = ReceiveOptions::default().with_buffer(BUFFER);
    let socket = ReceiveSocket::open(&spec, &Interface::Addr(RECEIVER), &options)
        .map_err(|e| e.to_string())?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            end_of_input();
            stop.store(true, Ordering::Relaxed);
        });
        drain(socket.udp(), wait, &stop, receive).map_err(|e| e.to_string())
    })
}

/// Waits, takes batches until one is short, and waits again as a lane does.
fn drain(
    socket: &UdpSocket,
    wait: Duration,
    stop: &AtomicBool,
    mut receive: impl FnMut(&UdpSocket) -> io::Result<(usize, u64)>,
) -> io::Result<Seen> {
    let (mut poller, mut seen) = (Poller::new()?, Seen::default());
    poller.add(socket, 0)?;
    while !stop.load(Ordering::Relaxed) {
        if poller.wait(Some(IDLE))?.is_empty() {
            continue;
        }
        for _ in 0..BATCHES_IN_TURN {
            let (count, octets) = receive(socket)?;
            seen.packets += count as u64;
            seen.octets += octets;
            if count < Bare::BATCH {
                break;
            }
        }
        if !wait.is_zero() {
            thread::sleep(wait);
        }
    }
    Ok(seen)
}

/// As in a lane.
const BATCHES_IN_TURN: usize = 16;
const IDLE: Duration = Duration::from_millis(100);
