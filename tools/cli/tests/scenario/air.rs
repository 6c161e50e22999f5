//! What is said into the broadcasters, and what is on the air.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use mcast_srtp::{ids::Mki, srtp::Profile};

use crate::{INPUT_PORT, MEDIA_PORT, common, lan::Lan};

const TALKER: u32 = 0xcafe_0001;

/// What was on the air: of each packet the key.
#[derive(Default)]
pub(crate) struct Air(Mutex<BTreeMap<u16, Mki>>);

/// The talker: the same numbered packets to both broadcasters.
pub(crate) struct Talk {
    sent: Arc<AtomicU16>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Air {
    /// Notes the key of every packet to this group, as long as the test runs.
    pub(crate) fn listen(self: &Arc<Self>, group: Ipv4Addr) {
        let socket = UdpSocket::bind((group, MEDIA_PORT)).unwrap();
        socket.join_multicast_v4(&group, &Lan::HUB).unwrap();
        let air = Arc::clone(self);
        thread::spawn(move || {
            let mut octets = [0; 2048];
            let trailer = Mki::MBMS_LEN + usize::from(Profile::default().srtp_tag_len);
            while let Ok(len) = socket.recv(&mut octets) {
                let seq = u16::from_be_bytes([octets[2], octets[3]]);
                let mki = Mki::new(&octets[len - trailer..][..Mki::MBMS_LEN]).unwrap();
                let former = air.0.lock().unwrap().insert(seq, mki);
                assert_eq!(former, None, "packet {seq} was sent twice");
            }
        });
    }

    /// The key number of the MSK under which the newest packet went out.
    pub(crate) fn newest(&self) -> Option<u16> {
        self.0.lock().unwrap().last_key_value().map(|(_, mki)| msk_number(mki))
    }

    pub(crate) fn first_under(&self, msk: u16) -> u16 {
        let air = self.0.lock().unwrap();
        *air.iter().find(|(_, mki)| msk_number(mki) == msk).unwrap().0
    }

    pub(crate) fn keys(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().values().map(Mki::to_string).collect()
    }
}

impl Talk {
    /// A packet to each of these every few milliseconds, numbered from 1.
    pub(crate) fn start(to: Vec<Ipv4Addr>) -> Self {
        let (sent, stop) = (Arc::<AtomicU16>::default(), Arc::<AtomicBool>::default());
        let (counted, stopped) = (Arc::clone(&sent), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let socket = UdpSocket::bind((Lan::HUB, 0)).unwrap();
            for seq in 1..u16::MAX {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let packet = common::rtp(TALKER, seq, &seq.to_be_bytes());
                for to in &to {
                    // Before a broadcaster is there nobody may hear.
                    let _ = socket.send_to(&packet, (*to, INPUT_PORT));
                }
                counted.store(seq, Ordering::SeqCst);
                thread::sleep(FRAME);
            }
        });
        Self { sent, stop, thread: Some(thread) }
    }

    /// The number of the newest packet.
    pub(crate) fn now(&self) -> u16 {
        self.sent.load(Ordering::SeqCst)
    }

    pub(crate) fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn msk_number(mki: &Mki) -> u16 {
    mki.split_mbms().unwrap().0.number
}

/// Between two packets.
pub(crate) const FRAME: Duration = Duration::from_millis(5);
