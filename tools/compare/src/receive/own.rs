//! Receivers of our own, each a process: `compare receiver KIND`. Not for people: `compare receive`
//! starts it.

#![expect(unsafe_code, reason = "the bare loop is recvmmsg and nothing else")]

use std::{
    io::{self, Read},
    mem,
    net::UdpSocket,
    os::fd::AsRawFd,
    ptr,
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

use super::{BUFFER, GROUP, MEDIA, MSK, MTK, RECEIVER, stream::ISSUER};

/// What a receiver does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Kind {
    /// The gateway with a sink that counts.
    Gateway,
    /// The sockets, poller and arena of the gateway, without lane and keys.
    Sockets,
    /// poll and recvmmsg of 64.
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
        Kind::Sockets => looping(sockets, wait),
        Kind::Bare => looping(bare, wait),
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

/// Runs a loop over one joined socket on a thread of its own.
fn looping(
    body: fn(&UdpSocket, Duration, &AtomicBool) -> io::Result<Seen>,
    wait: Duration,
) -> Result<Seen, String> {
    let spec = SocketSpec::new(GROUP, MEDIA.port());
    let options = ReceiveOptions::default().with_buffer(BUFFER);
    let socket = ReceiveSocket::open(&spec, &Interface::Addr(RECEIVER), &options)
        .map_err(|e| e.to_string())?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let lane = scope.spawn(|| body(socket.udp(), wait, &stop));
        end_of_input();
        stop.store(true, Ordering::Relaxed);
        let seen = lane.join().map_err(|_| "the loop panicked".to_owned())?;
        seen.map_err(|e| e.to_string())
    })
}

/// As a lane does it.
fn sockets(socket: &UdpSocket, wait: Duration, stop: &AtomicBool) -> io::Result<Seen> {
    let (mut arena, mut poller, mut seen) = (Arena::default(), Poller::new()?, Seen::default());
    poller.add(socket, 0)?;
    while !stop.load(Ordering::Relaxed) {
        if poller.wait(Some(IDLE))?.is_empty() {
            continue;
        }
        for _ in 0..BATCHES_IN_TURN {
            let count = arena.receive(socket)?;
            for datagram in arena.datagrams() {
                seen.packets += 1;
                seen.octets += datagram.bytes.len() as u64;
            }
            if count < BATCH {
                break;
            }
        }
        if !wait.is_zero() {
            thread::sleep(wait);
        }
    }
    Ok(seen)
}

/// The least that receives: no addresses, no layout, nothing looked at but lengths.
fn bare(socket: &UdpSocket, wait: Duration, stop: &AtomicBool) -> io::Result<Seen> {
    let mut slots = vec![[0_u8; 2048]; BATCH];
    let mut parts: Vec<libc::iovec> = slots
        .iter_mut()
        .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = parts
        .iter_mut()
        .map(|part| {
            // SAFETY: all zeros is a header without address, buffers and control data.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header
        })
        .collect();
    let fd = socket.as_raw_fd();
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor, as the count says. 100 ms.
        if unsafe { libc::poll(&raw mut poll, 1, IDLE.as_millis() as libc::c_int) } <= 0 {
            continue;
        }
        for _ in 0..BATCHES_IN_TURN {
            // SAFETY: each header points to one buffer, and all live as long as this function.
            let count = unsafe {
                libc::recvmmsg(
                    fd,
                    headers.as_mut_ptr(),
                    BATCH as libc::c_uint, // 64
                    libc::MSG_DONTWAIT,
                    ptr::null_mut(),
                )
            };
            // Nothing there is -1 here.
            let count = usize::try_from(count).unwrap_or(0);
            for header in &headers[..count] {
                seen.packets += 1;
                seen.octets += u64::from(header.msg_len);
            }
            if count < BATCH {
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
const BATCH: usize = 64;
const IDLE: Duration = Duration::from_millis(100);
