//! One channel of the service, a gateway that has its MSKs, and a tap that sees every datagram.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use mcast_srtp::{
    Gateway,
    broadcast::{ChannelDocument, ChannelId, DocumentMsk},
    group::{GroupSpec, Interface, MediaSpec, RtcpPlace, SocketSpec},
    ids::{MskId, MtkId},
    keys::Interval,
    net::{Arena, ReceiveOptions, ReceiveSocket, SendOptions},
    rx::Event,
    service::{
        BroadcastChannel, BroadcastService, BroadcastServiceOptions,
        broadcast::{ChannelCounters, Input},
    },
    state::StateOptions,
};

use crate::{
    group::{DOMAIN, Keys, PAYLOAD_TYPE, TALKER, muk, muk_id, rtp},
    sockets::{free_port, wait_until},
};

/// In every plain packet, and in no datagram that may leave.
pub(crate) const SPEECH: &[u8] = b"plain speech of alice";

/// A group address with ports that are free.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) group: IpAddr,
    pub(crate) media: u16,
    pub(crate) burst: u16,
    pub(crate) mikey: u16,
    /// Receivers keep to a source.
    source: SocketAddr,
}

impl Place {
    pub(crate) fn new(group: &str) -> Self {
        // RTCP has the port behind that of RTP.
        let media = free_port() & !1;
        let source = SocketAddr::from(([0, 0, 0, 0], free_port()));
        let group = group.parse().unwrap();
        Self { group, media, burst: free_port(), mikey: free_port(), source }
    }

    pub(crate) fn spec(&self) -> GroupSpec {
        let rtp = MediaSpec::rtp(self.group, self.media).with_payload_types(&[PAYLOAD_TYPE]);
        let burst = MediaSpec::burst(self.group, self.burst);
        GroupSpec::new("17", Interface::name("lo"))
            .with_media(rtp.with_rtcp(RtcpPlace::Port(self.media + 1, None)))
            .with_media(burst)
            .with_mikey_port(Some(self.mikey))
    }

    pub(crate) fn channel(&self) -> BroadcastChannel {
        BroadcastChannel::new(&*channel().to_string(), self.spec())
            .with_send_options(SendOptions::default().with_source(self.source))
    }
}

pub(crate) fn channel() -> ChannelId {
    "group 17".into()
}

/// The document of a version, with MSKs up to this number, which is in force.
pub(crate) fn document(version: u64, newest: u16) -> ChannelDocument {
    let keys = Keys::default();
    let msk = |number| DocumentMsk {
        msk_id: keys.msk_id(number),
        msk: Arc::new(keys.msk(number)),
        interval: Interval { low: MtkId(0), high: MtkId(1000) },
    };
    ChannelDocument {
        channel: channel(),
        broadcaster: None,
        version,
        domain: DOMAIN,
        profile: keys.profile,
        mtk_period: None,
        msks: (newest.saturating_sub(1).max(1)..=newest).map(msk).collect(),
        in_force: keys.msk_id(newest),
    }
}

/// The service without channels.
pub(crate) fn start(state: &Path) -> BroadcastService {
    start_with(state, |options| options)
}

pub(crate) fn start_with(
    state: &Path,
    adjust: impl FnOnce(BroadcastServiceOptions) -> BroadcastServiceOptions,
) -> BroadcastService {
    let options = BroadcastServiceOptions::new(StateOptions::new(state));
    BroadcastService::start(adjust(options)).unwrap()
}

/// The service with the channel on the air, under MSK 1.
pub(crate) fn on_air(state: &Path, place: &Place) -> BroadcastService {
    let service = start(state);
    service.open(place.channel()).unwrap();
    service.follow(document(1, 1)).unwrap();
    wait_for_key(&service);
    service
}

pub(crate) fn wait_for_key(service: &BroadcastService) {
    wait_until("a key is in force", || service.report(&channel()).unwrap().mki.is_some());
}

pub(crate) fn counters(service: &BroadcastService) -> ChannelCounters {
    service.counters().channels[0].1
}

pub(crate) fn media(service: &BroadcastService) -> Input {
    service.input(&channel(), 0).unwrap()
}

/// A plain packet with this number.
pub(crate) fn speech(number: u64) -> Vec<u8> {
    rtp(TALKER, number, &[SPEECH, &number.to_be_bytes()].concat())
}

/// Hands in packets with these numbers, and waits until they have been taken.
pub(crate) fn talk(service: &BroadcastService, numbers: std::ops::Range<u64>) {
    let (before, count) = (counters(service).packets_in, numbers.end - numbers.start);
    let input = media(service);
    numbers.for_each(|number| input.push(speech(number)).unwrap());
    wait_until("taken", || counters(service).packets_in == before + count);
}

/// A gateway with MSKs, and the numbers of the packets it has opened.
pub(crate) struct Listener {
    pub(crate) gateway: Gateway,
    heard: Arc<Mutex<Vec<u64>>>,
}

impl Listener {
    pub(crate) fn new(place: &Place, msks: &[u16]) -> Self {
        let heard = Arc::<Mutex<Vec<u64>>>::default();
        let deliver = Arc::clone(&heard);
        let messages = (1..).zip(msks).map(|(n, msk)| Keys::default().msk_message(*msk, n));
        let spec = messages.fold(place.spec(), GroupSpec::with_key_message);
        let gateway = Gateway::builder()
            .muk(muk_id("c1"), muk("c1"))
            .group(spec)
            .start(move |event: Event<'_>| {
                if let Event::Media(media) = event {
                    let number = media.payload.strip_prefix(SPEECH).unwrap();
                    let number = u64::from_be_bytes(number.try_into().unwrap());
                    deliver.lock().unwrap().push(number);
                }
            })
            .unwrap();
        Self { gateway, heard }
    }

    pub(crate) fn wait_for(&self, numbers: impl IntoIterator<Item = u64>) {
        let wanted: Vec<_> = numbers.into_iter().collect();
        wait_until(&format!("{wanted:?} heard"), || {
            let heard = self.heard.lock().unwrap();
            wanted.iter().all(|number| heard.contains(number))
        });
    }

    pub(crate) fn heard(&self) -> Vec<u64> {
        self.heard.lock().unwrap().clone()
    }
}

/// Sockets on every port of the group.
pub(crate) struct Tap {
    sockets: Vec<ReceiveSocket>,
    mikey: u16,
    pub(crate) seen: Vec<(SocketAddr, Vec<u8>)>,
}

impl Tap {
    pub(crate) fn new(place: &Place) -> Self {
        let ports = [place.media, place.media + 1, place.burst, place.mikey];
        let (lo, options) = (Interface::name("lo"), ReceiveOptions::default());
        let open = |port| ReceiveSocket::open(&SocketSpec::new(place.group, port), &lo, &options);
        let sockets = ports.map(|port| open(port).unwrap()).into();
        Self { sockets, mikey: place.mikey, seen: Vec::new() }
    }

    /// Takes down what has arrived.
    pub(crate) fn look(&mut self) {
        let mut arena = Arena::default();
        for socket in &self.sockets {
            while arena.receive(socket.udp()).unwrap() > 0 {
                let datagrams = arena.datagrams().map(|d| (socket.local(), d.bytes.to_vec()));
                self.seen.extend(datagrams);
            }
        }
    }

    /// Looks until so many datagrams were seen in all.
    pub(crate) fn wait_for(&mut self, count: u64) {
        let start = Instant::now();
        while (self.seen.len() as u64) < count {
            assert!(start.elapsed() < Duration::from_secs(10), "{} of {count}", self.seen.len());
            std::thread::sleep(Duration::from_millis(5));
            self.look();
        }
    }

    /// The MKIs of all media seen, in order, each once: MSK number and MTK ID.
    pub(crate) fn mkis(&self) -> Vec<(u16, u16)> {
        let profile = Keys::default().profile;
        let is_key = |at: &SocketAddr| at.port() == self.mikey;
        let packets = self.seen.iter().filter(|(at, _)| !is_key(at)).map(|(_, bytes)| bytes);
        let mut mkis: Vec<_> = packets
            .map(|bytes| {
                let end = bytes.len() - usize::from(profile.srtp_tag_len);
                let [_, _, m0, m1, t0, t1] = *bytes[end - 6..end].first_chunk().unwrap();
                let id = MskId { group: 0, number: u16::from_be_bytes([m0, m1]) };
                (id.number, u16::from_be_bytes([t0, t1]))
            })
            .collect();
        mkis.dedup();
        mkis
    }

    /// Distinct key messages seen.
    pub(crate) fn key_messages(&self) -> Vec<&[u8]> {
        let on_port = self.seen.iter().filter(|(at, _)| at.port() == self.mikey);
        let mut messages: Vec<_> = on_port.map(|(_, bytes)| &bytes[..]).collect();
        messages.sort_unstable();
        messages.dedup();
        messages
    }
}
