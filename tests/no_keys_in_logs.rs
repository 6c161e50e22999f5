//! A key appears in a log, in an error or in the debug output of a value, in whatever spelling.

#[path = "common/group.rs"]
mod group;
#[path = "common/secrets.rs"]
mod secrets;

use std::{
    fmt::{self, Write as _},
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use group::{DOMAIN, Keys, SERVER, TALKER, burst, media, muk, muk_id};
use mcast_srtp::{
    Gateway,
    broadcast::{BroadcastTiming, Broadcaster, Lead},
    group::{GroupSpec, Interface, MediaSpec, RtcpPlace},
    ids::{GroupId, Mki, MtkId, Ssrc},
    keys::{
        CryptoSession, KeyPlane, KeyStore, Msk, Muk, PlaneLimits,
        gba::{Bootstrapped, Variant},
        issue::seal_solicited_pull,
    },
    keyserver::{Action, ChannelSpec, KeyServer, Reach, Timing},
    net::{SendOptions, SendSocket},
    rx::{Limits, Receiver},
    secret::{Secret, SecretBytes},
    srtp::{KeyRing, Packet, PacketKind, Profile, Protector, SessionId, TrafficKey, Unprotector},
    wire::{
        burst::BurstMessage,
        mikey::{KeyData, KeyDataChain, KeyType, Validity},
    },
};
use secrets::{Secrets, Text, WINDOW, hex};
use tracing::{Event, Metadata, Subscriber, field::Field, span};

/// Writes down everything that is traced, at every level, with every field.
struct Recorder(Arc<Mutex<String>>);

impl Recorder {
    fn write(&self, metadata: &Metadata<'_>, fields: impl FnOnce(&mut Line<'_>)) {
        let mut text = self.0.lock().unwrap();
        let _ = write!(text, "{} {}", metadata.level(), metadata.target());
        fields(&mut Line(&mut text));
        text.push('\n');
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        self.write(span.metadata(), |line| span.record(line));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Line(&mut self.0.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        self.write(event.metadata(), |line| event.record(line));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line<'a>(&'a mut String);

impl tracing::field::Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

#[test]
fn search_finds_every_spelling() {
    let secret: Vec<u8> = (0xf1..=0xff).collect();
    let mut secrets = Secrets::default();
    secrets.add("secret", &secret);
    secrets.assert_absent("nothing", "");
    let colons: Vec<_> = secret.iter().map(|octet| format!("{octet:02X}")).collect();
    for leak in [
        format!("{secret:?}"),
        format!("{secret:#?}"),
        format!("{secret:02x?}"),
        format!("{secret:#04x?}"),
        format!("key={}!", hex(&secret)),
        colons.join(":"),
        format!("{:?}", secret.escape_ascii().to_string()),
        STANDARD.encode(&secret),
        STANDARD.encode([&[1], &*secret].concat()),
        STANDARD.encode([&[1, 2], &*secret].concat()),
    ] {
        let text = Text::new(&leak);
        assert!(secret.windows(WINDOW).any(|part| text.spells(part).is_some()), "{leak}");
    }
    assert_eq!(Text::new("plain text").spells(b"plain"), Some("raw"));
}

#[test]
fn change_of_keys_at_trace_level_logs_no_key() {
    let log = Arc::new(Mutex::new(String::new()));
    tracing::subscriber::set_global_default(Recorder(Arc::clone(&log))).unwrap();
    let (keys, group) = (Keys::default(), "239.255.73.1");
    let port = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let media_spec = MediaSpec::rtp(group.parse().unwrap(), port).with_rtcp(RtcpPlace::Mux);
    let spec = GroupSpec::new("Group 17", Interface::name("lo"))
        .with_media(media_spec)
        .with_mikey_port(None)
        .with_key_message(keys.msk_message(1, 1));
    let events = Arc::clone(&log);
    let mut gateway = Gateway::builder()
        .muk(muk_id("c1"), muk("c1"))
        .key_address("127.0.0.1:0".parse().unwrap())
        .group(spec)
        .start(move |event| {
            let _ = writeln!(events.lock().unwrap(), "{event:?}");
        })
        .unwrap();

    let to = SocketAddr::new(group.parse().unwrap(), port);
    let multicast = SendSocket::open(to.ip(), &Interface::name("lo"), &SendOptions::default());
    let multicast = multicast.unwrap();
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let unicast = |message: &[u8]| server.send_to(message, gateway.key_address().unwrap()).unwrap();
    unicast(&keys.msk_message(2, 2));
    unicast(&keys.msk_message(2, 2));
    let mut forged = keys.msk_message(3, 3);
    *forged.last_mut().unwrap() ^= 1;
    unicast(&forged);
    unicast(b"no MIKEY at all");
    let pull = seal_solicited_pull(DOMAIN, 0x17, 4, &muk_id("c1"), &muk("c1"), &[1; 16]);
    unicast(&pull.unwrap());
    for (index, (msk, mtk)) in (1..).zip([(1, 1), (1, 2), (2, 1), (2, 2)]) {
        let key = keys.traffic_key(msk, mtk);
        let index_of_rtcp = u32::try_from(index).unwrap();
        let mut forged = media(&key, TALKER, index);
        forged[20] ^= 1;
        let message = keys.mtk_message(msk, mtk);
        let datagrams = [
            message.clone(),
            message,
            media(&key, TALKER, index),
            burst(&key, index_of_rtcp, BurstMessage::Idle),
            forged,
        ];
        // MSK 2 travels another way than the MTKs under it: repeat until it has arrived.
        let deadline = Instant::now() + Duration::from_secs(10);
        while gateway.stats().groups[0].2.media < index {
            assert!(Instant::now() < deadline, "{}", gateway.stats());
            datagrams.iter().for_each(|datagram| multicast.send(datagram, to).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let mut text = format!("{gateway:?} {} {:?}", gateway.stats(), gateway.stats());
    gateway.leave(GroupId(0)).unwrap();
    gateway.stop();

    text.push_str(&log.lock().unwrap());
    for expected in ["MSK accepted", "MTK accepted", "key messages refused", "MSK request", "Mtk {"]
    {
        assert!(text.contains(expected), "{expected:?} is missing: {text}");
    }
    Secrets::of(&keys).assert_absent("the log", &text);
}

/// What a value shows, in both layouts.
fn shown(value: &impl fmt::Debug) -> String {
    format!("{value:?}\n{value:#?}")
}

#[test]
fn keys_and_their_messages_show_no_key() {
    let keys = Keys::default();
    let secrets = Secrets::of(&keys);
    let now = Instant::now();
    let mut store = KeyStore::new(Default::default());
    store.insert_muk(muk_id("c1"), muk("c1")).unwrap();
    let msk = store.receive(&keys.msk_message(1, 1)).unwrap();
    let mtk = store.receive(&keys.mtk_message(1, 1)).unwrap();
    let mut plane = KeyPlane::new(PlaneLimits::default());
    plane.insert_muk(muk_id("c1"), muk("c1")).unwrap();
    plane.add_group(GroupId(0), None);
    let event = plane.receive(None, &keys.msk_message(1, 1), now).unwrap();
    plane.receive(Some(GroupId(0)), &keys.mtk_message(1, 1), now).unwrap();
    plane.publish();
    let table = plane.published().load();
    let mut issues = String::new();
    keys.msk_message_with(1, 1, |issue| issues.push_str(&shown(issue)));
    keys.mtk_message_with(1, 1, |issue| issues.push_str(&shown(issue)));
    let Msk { key, .. } = keys.msk(1);
    let validity = Validity::Always;
    let data = KeyData { key_type: KeyType::TGK, key: key.expose(), salt: None, validity };
    let encoded = data.encode().unwrap();
    for (place, text) in [
        ("Muk", shown(&muk("c1"))),
        ("Msk", shown(&keys.msk(1))),
        ("Mtk", shown(&keys.mtk(1, 1))),
        ("SecretBytes", shown(&SecretBytes::new(keys.msk(1).key.expose()))),
        ("KeyStore", shown(&store)),
        ("Outcome::Msk", shown(&msk)),
        ("Outcome::Mtk", shown(&mtk)),
        ("KeyEvent", shown(&event)),
        ("KeyPlane", shown(&plane)),
        ("KeyTable", shown(&**table)),
        ("PublishedKeys", shown(plane.published())),
        ("MskIssue, MtkIssue", issues),
        ("KeyData", shown(&data)),
        ("KeyDataChain", shown(&KeyDataChain::parse(&encoded).unwrap())),
    ] {
        secrets.assert_absent(place, &text);
    }
}

#[test]
fn what_applies_the_keys_shows_no_key() {
    let keys = Keys { profile: Profile::default().with_kdr(16), ..Keys::default() };
    let secrets = Secrets::of(&keys);
    let key = Arc::new(keys.traffic_key(1, 1));
    let ring = KeyRing::new(vec![Arc::clone(&key)]);
    let mut protector = Protector::new();
    let mut packet = group::rtp(TALKER, 40, b"speech");
    protector.protect_rtp(&key, &mut packet).unwrap();
    // Few streams, so that there is less to search.
    let mut limits = Limits::default();
    (limits.streams.streams, limits.held_packets) = (4, 4);
    limits.held_octets = 64;
    let mut unprotector = Unprotector::new(limits.streams);
    let (session, kind, bytes) = (SessionId(0), PacketKind::Rtp, packet.as_mut_slice());
    unprotector.unprotect(&mut Packet { session, kind, source: 0, keys: &ring, bytes }).unwrap();
    let mut receiver = Receiver::new(&limits, PlaneLimits::default());
    receiver.insert_muk(muk_id("c1"), muk("c1")).unwrap();
    receiver.key_message(&keys.msk_message(1, 1), Instant::now()).unwrap();
    let mki = Mki::mbms(keys.msk_id(1), MtkId(1));
    let master = keys.mtk(1, 1).key;
    let too_short = TrafficKey::new(mki, keys.profile, &master.expose()[1..], &[]).unwrap_err();
    for (place, text) in [
        ("TrafficKey", shown(&key)),
        ("KeyRing", shown(&ring)),
        ("Protector", shown(&protector)),
        ("Unprotector", shown(&unprotector)),
        ("Receiver", shown(&receiver)),
        ("GatewayBuilder", shown(&Gateway::builder().muk(muk_id("c1"), muk("c1")))),
        ("Error", format!("{too_short} {}", shown(&too_short))),
    ] {
        secrets.assert_absent(place, &text);
    }
}

#[test]
fn server_and_broadcaster_show_no_key() {
    let (now, channel) = (Instant::now(), "17".into());
    // Everything that is drawn is a secret, RANDs and salts included in excess.
    let (mut secrets, mut next) = (Secrets::default(), 0x80_u8);
    let mut random = |out: &mut [u8]| {
        next += 1;
        out.fill(next);
    };
    let mut server = KeyServer::new(Timing::default());
    let reach = Reach::Udp("192.0.2.1:2269".parse().unwrap());
    server.add_client(&"c1".into(), muk_id("c1"), muk("c1"), reach).unwrap();
    let spec = ChannelSpec::new(DOMAIN, Keys::of_group(1).key_group);
    let mut actions = server.open_channel(&channel, spec, now, &mut random).unwrap();
    actions.extend(server.join(&channel, &"c1".into(), now).unwrap());
    actions.extend(server.expel(&channel, &["c2".into()], now, &mut random).unwrap());
    let streams = [CryptoSession { ssrc: Ssrc(1), ..group::ANY_STREAM }];
    server.set_streams(&channel, None, &streams).unwrap();
    let mut broadcaster = Broadcaster::new(&channel, BroadcastTiming::default());
    let mut shown_actions = shown(&actions);
    for action in actions {
        if let Action::Publish(document) = action {
            shown_actions.push_str(&shown(&document));
            document.msks.iter().for_each(|listed| secrets.add("MSK", listed.msk.key.expose()));
            let sent = broadcaster.follow(&document, now, &mut random).unwrap();
            shown_actions.push_str(&shown(&sent));
        }
    }
    let sent = broadcaster.new_mtk(Lead::None, now, &mut random).unwrap();
    shown_actions.push_str(&shown(&sent));
    broadcaster.burst(SERVER, BurstMessage::Idle, now).unwrap();
    let kept = server.take_changes(now, std::time::SystemTime::now());
    secrets.add("MUK", muk("c1").0.expose());
    // What was drawn last is the MTK in force: key and salt.
    secrets.add("salt", &[next; 14]);
    secrets.add("MTK", &[next - 1; 16]);
    for (place, text) in [
        ("actions", shown_actions),
        ("KeyServer", shown(&server)),
        ("records of the server", shown(&kept)),
        ("Broadcaster", shown(&broadcaster)),
        ("records of the broadcaster", shown(&broadcaster.take_changes())),
    ] {
        secrets.assert_absent(place, &text);
    }
}

#[test]
fn bootstrapped_keys_show_no_key() {
    let (ck, ik) = (Secret::new([0xc7; 16]), Secret::new([0x17; 16]));
    let (impi, naf) = ("user@operator.example", "bmsc.example");
    let bootstrapped = Bootstrapped { ck: &ck, ik: &ik, rand: [1; 16], impi, naf };
    for variant in [Variant::Me, Variant::U] {
        let keys = bootstrapped.user_keys(variant);
        let Muk(muk) = &keys.muk;
        let mut secrets = Secrets::default();
        secrets.add("CK", ck.expose());
        secrets.add("IK", ik.expose());
        secrets.add("MUK", muk.expose());
        secrets.add("MRK", keys.mrk.expose());
        secrets.assert_absent("GBA", &(shown(&bootstrapped) + &shown(&keys)));
    }
}

#[cfg(feature = "sdp")]
#[test]
fn description_with_keys_in_the_clear_shows_no_key() {
    use mcast_srtp::wire::sdp::Description;

    let octets: Vec<u8> = (0x41..).take(30).collect();
    let mut secrets = Secrets::default();
    secrets.add("inline key", &octets);
    let key = STANDARD.encode(&octets);
    let description = |line: &str| {
        format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 239.1.1.1/16\r\nt=0 0\r\n\
             m=audio 5004 RTP/SAVP 97\r\n{line}\r\n"
        )
    };
    for (suite, known) in [("AES_CM_128_HMAC_SHA1_80", true), ("F8_128_HMAC_SHA1_80", false)] {
        let line = format!("a=crypto:1 {suite} inline:{key}");
        let parsed = Description::parse(&description(&line)).unwrap();
        assert_eq!(parsed.media[0].crypto.len(), usize::from(known));
        secrets.assert_absent(suite, &shown(&parsed));
        for broken in [
            format!("{line}AAAA"),
            format!("{line}|2^99"),
            format!("{line}|1:200"),
            format!("{line} NO_SUCH_PARAMETER={key}"),
            line.replace("inline:", ""),
            line.replace("a=crypto:1", "a=crypto:one"),
        ] {
            if let Err(error) = Description::parse(&description(&broken)) {
                secrets.assert_absent(&broken, &format!("{error} {}", shown(&error)));
            }
        }
    }
}
