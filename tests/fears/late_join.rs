//! A client tunes in late, or misses much, where packets carry their rollover counter (RFC 4771).

use std::time::{Duration, Instant};

use mcast_srtp::{
    Reject,
    ids::{Roc, Ssrc},
    keys::CryptoSession,
    srtp::Profile,
    wire::burst::BurstMessage,
};

use crate::{
    client::{Client, source},
    group::{ANY_STREAM, Keys, TALKER, burst, media},
    sequence_wrap::{WRAP, client},
};

/// Every packet is authenticated.
const PROVEN: [&str; 3] = [
    "AES_CM_128_HMAC_SHA1_80+RCCm2:16",
    "AES_CM_128_HMAC_SHA1_32+RCCm2:16",
    "AEAD_AES_128_GCM+RCCm3:16",
];
/// Only packets that carry the counter are.
const PARTLY: &str = "AES_CM_128_HMAC_SHA1_80+RCCm1:16";
/// None is.
const UNPROVEN: &str = "AES_CM_128_HMAC_SHA1_80+RCCm3:16";

/// A long way into a stream; the next packet carries the counter.
const LATE: u64 = 300 * WRAP + 0x8000;

fn keys(profile: &str) -> Keys {
    Keys { profile: Profile::from_name(profile).unwrap(), ..Keys::default() }
}

fn modes() -> impl Iterator<Item = &'static str> {
    PROVEN.into_iter().chain([PARTLY, UNPROVEN])
}

/// A group whose traffic key is known, and the stream of its talker.
struct Listener {
    keys: Keys,
    client: Client,
    now: Instant,
}

impl Listener {
    fn new(profile: &str) -> Self {
        Self::announced(profile, &[ANY_STREAM])
    }

    fn announced(profile: &str, announced: &'static [CryptoSession]) -> Self {
        let (keys, now) = (keys(profile), Instant::now());
        Self { client: client(&keys, announced, now), keys, now }
    }

    fn packet(&self, index: u64) -> Vec<u8> {
        media(&self.keys.traffic_key(1, 1), TALKER, index)
    }

    fn hear(&mut self, indexes: impl IntoIterator<Item = u64>) {
        for index in indexes {
            let packet = self.packet(index);
            self.take(&packet);
        }
    }

    fn take(&mut self, packet: &[u8]) {
        self.client.receive(self.client.ports.media, packet, self.now);
    }

    /// Indexes heard since the last call. What was heard is what was sent.
    fn heard(&mut self) -> Vec<u64> {
        let heard = std::mem::take(&mut self.client.delivered.heard);
        heard
            .into_iter()
            .map(|(ssrc, index, payload)| {
                assert_eq!((ssrc, payload.as_slice()), (TALKER, &index.to_be_bytes()[..]));
                index
            })
            .collect()
    }

    fn count(&self, reject: Reject) -> u64 {
        self.client.count(reject)
    }
}

#[test]
fn late_joiner_opens_from_the_first_packet_that_carries_the_counter() {
    for profile in modes() {
        let mut listener = Listener::new(profile);
        listener.hear(LATE + 10..LATE + 40);
        assert_eq!(listener.heard(), (LATE + 16..LATE + 40).collect::<Vec<_>>(), "{profile}");
        // Those before have been tried, or prove nothing and could only be guessed.
        let tried = PROVEN.contains(&profile);
        let guessed = listener.count(Reject::AuthFailed) + listener.count(Reject::TrialLimit);
        let refused = (guessed, listener.count(Reject::Unsynchronized));
        assert_eq!(refused, if tried { (6, 0) } else { (0, 6) }, "{profile}");
        let proven = match profile {
            _ if tried => 24,
            PARTLY => 2,
            _ => 0,
        };
        assert_eq!(24 - listener.client.stats().unauthenticated, proven, "{profile}");
    }
}

#[test]
fn announced_counter_opens_earlier_packets_where_they_are_authenticated() {
    // It was announced before the last wrap.
    const STALE: &[CryptoSession] = &[CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(299) }];
    for profile in modes() {
        let mut listener = Listener::announced(profile, STALE);
        listener.hear(LATE + 10..LATE + 20);
        let first = if PROVEN.contains(&profile) { LATE + 10 } else { LATE + 16 };
        assert_eq!(listener.heard(), (first..LATE + 20).collect::<Vec<_>>(), "{profile}");
    }
}

#[test]
fn counter_announced_long_ago_does_no_harm() {
    const ANCIENT: &[CryptoSession] = &[CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(7) }];
    const AHEAD: &[CryptoSession] = &[CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(!0) }];
    for profile in modes() {
        for announced in [ANCIENT, AHEAD] {
            let mut listener = Listener::announced(profile, announced);
            listener.hear(LATE..LATE + 20);
            assert_eq!(listener.heard(), (LATE..LATE + 20).collect::<Vec<_>>(), "{profile}");
        }
    }
}

#[test]
fn packets_lost_by_the_ten_thousands_are_made_up_for_at_once() {
    for profile in modes() {
        for lost in [1 << 15, 40_000, WRAP, 5 * WRAP + 160, 1 << 40] {
            let mut listener = Listener::new(profile);
            listener.hear(16..40);
            assert_eq!(listener.heard().len(), 24);
            let next = (40 + lost).next_multiple_of(16);
            listener.hear(next..next + 60);
            // What nothing proves has to be repeated before a jump is believed.
            let first = if profile == UNPROVEN { next + 16 } else { next };
            let heard = listener.heard_from(first);
            assert_eq!(heard, (first..next + 60).collect::<Vec<_>>(), "{profile} {lost}");
        }
    }
}

impl Listener {
    /// As [`Self::heard`], without what came before this index and was garbled.
    fn heard_from(&mut self, first: u64) -> Vec<u64> {
        let readable = |(_, index, payload): &(Ssrc, u64, Vec<u8>)| {
            *index >= first || *payload == index.to_be_bytes()
        };
        self.client.delivered.heard.retain(readable);
        self.heard()
    }
}

#[test]
fn reordered_packet_near_a_wrap_does_not_step_the_counter_back() {
    // Sequence numbers 0xffff and 0 both carry it.
    for mode in ["RCCm1", "RCCm2", "RCCm3"] {
        let profile = format!("AES_CM_128_HMAC_SHA1_80+{mode}:5");
        let mut listener = Listener::new(&profile);
        let order = [WRAP - 11, WRAP - 6, WRAP, WRAP + 1, WRAP - 1, WRAP + 2, WRAP - 3, WRAP + 6];
        listener.hear(order);
        assert_eq!(listener.heard(), order, "{mode}");
        assert_eq!(listener.client.verdicts(), [], "{mode}");
    }
    let mut listener = Listener::new("AEAD_AES_256_GCM+RCCm3:1");
    let order = [WRAP, WRAP - 1, WRAP + 1, WRAP - 2, WRAP + 3, WRAP + 2];
    listener.hear(order);
    assert_eq!(listener.heard(), order);
}

#[test]
fn wrong_counter_in_a_packet_moves_nothing() {
    for profile in PROVEN.into_iter().chain([PARTLY]) {
        let roc_at = |packet: &[u8]| packet.len() - usize::from(keys(profile).profile.srtp_tag_len);
        let mut listener = Listener::new(profile);
        let genuine = listener.packet(LATE);
        for bit in 0..32 {
            let mut forged = genuine.clone();
            forged[roc_at(&genuine) + bit / 8] ^= 1 << (bit % 8);
            listener.take(&forged);
        }
        assert_eq!(listener.client.receiver.lane().streams(), 0, "{profile}");
        listener.hear(LATE..LATE + 5);
        for bit in 0..32 {
            let mut forged = listener.packet(LATE + 16);
            let at = roc_at(&forged);
            forged[at + bit / 8] ^= 1 << (bit % 8);
            listener.take(&forged);
        }
        // A step back would show in those that do not carry it.
        listener.hear(LATE + 5..LATE + 40);
        assert_eq!(listener.heard(), (LATE..LATE + 40).collect::<Vec<_>>(), "{profile}");
        let (failed, old) = (listener.count(Reject::AuthFailed), listener.count(Reject::TooOld));
        assert_eq!(failed + old, 64, "{profile}");
        assert!(old < 32, "{profile}");
    }
}

#[test]
fn replay_of_packets_that_carry_the_counter_is_refused() {
    for profile in PROVEN.into_iter().chain([PARTLY]) {
        let mut listener = Listener::new(profile);
        let carrying = || (LATE..LATE + 320).step_by(16);
        listener.hear(carrying());
        assert_eq!(listener.heard().len(), 20);
        listener.hear(carrying());
        assert!(listener.heard().is_empty(), "{profile}");
        // The replay window has 128 places.
        let (replayed, old) = (listener.count(Reject::Replayed), listener.count(Reject::TooOld));
        assert_eq!((replayed, old), (8, 12), "{profile}");
        // Long ago, under another counter, and after a long silence too.
        listener.now += Duration::from_secs(3600);
        listener.hear([0, 16, WRAP, LATE - WRAP, LATE]);
        assert!(listener.heard().is_empty(), "{profile}");
    }
}

#[test]
fn packet_without_a_tag_moves_nothing_and_keeps_to_its_source() {
    let mut listener = Listener::new(PARTLY);
    listener.hear(LATE..LATE + 5);
    // Anybody can make these. They are heard, as noise, and marked.
    for ahead in [1000, 30_000, 32_000, 32_700] {
        let mut forged = listener.packet((LATE + ahead) | 1);
        forged[15] ^= 0xff;
        listener.take(&forged);
        let elsewhere = (listener.client.ports.media, source(2), forged.as_slice());
        listener.client.receive_from(&[elsewhere], listener.now);
    }
    assert_eq!(listener.client.stats().unauthenticated, 4 + 4);
    assert_eq!(listener.count(Reject::SourceConflict), 4);
    listener.client.delivered.heard.retain(|(_, index, _)| *index < LATE + 5);
    listener.hear(LATE + 5..LATE + 40);
    assert_eq!(listener.heard(), (LATE..LATE + 40).collect::<Vec<_>>());
    assert_eq!(listener.client.receiver.lane().streams(), 1);
}

#[test]
fn packet_without_a_tag_makes_no_stream() {
    let mut listener = Listener::new(PARTLY);
    listener.hear(LATE + 1..LATE + 16);
    assert_eq!(listener.client.receiver.lane().streams(), 0);
    assert_eq!(listener.count(Reject::Unsynchronized), 15);
}

#[test]
fn packets_far_from_those_that_carry_the_counter_are_placed_right() {
    // Only sequence numbers 0 and 0xffff carry it.
    for mode in ["RCCm1", "RCCm3"] {
        let mut listener = Listener::new(&format!("AES_CM_128_HMAC_SHA1_80+{mode}:65535"));
        let order: Vec<_> = [0, 1, 30_000, 40_000, 65_000, 65_534, 65_535]
            .into_iter()
            .flat_map(|seq| [7 * WRAP + seq])
            .chain([8 * WRAP, 8 * WRAP + 50_000])
            .collect();
        listener.hear(order.iter().copied());
        assert_eq!(listener.heard(), order, "{mode}");
    }
}

#[test]
fn counter_that_nothing_proves_is_followed_only_when_two_packets_agree() {
    let mut listener = Listener::new(UNPROVEN);
    listener.hear(LATE..LATE + 20);
    assert_eq!(listener.heard().len(), 20);
    let far = LATE + 1000 * WRAP;
    listener.hear([far, far, LATE + 32]);
    assert_eq!(listener.heard(), [LATE + 32]);
    assert_eq!(listener.count(Reject::Unsynchronized), 2, "a copy is no second opinion");
    listener.hear([far + 16, LATE + 33, far + 32, far + 33, LATE + 48]);
    assert_eq!(listener.heard(), [LATE + 33, far + 32, far + 33]);
    // A sender that has started again is followed as well.
    listener.hear([0, 16, 17, 32]);
    assert_eq!(listener.heard(), [16, 17, 32]);
}

#[test]
fn forged_streams_that_nothing_proves_stay_bounded_and_leave_others_alone() {
    let mut listener = Listener::new(UNPROVEN);
    let key = listener.keys.traffic_key(1, 1);
    for ssrc in 0..1000 {
        listener.take(&media(&key, Ssrc(ssrc), 16));
    }
    assert_eq!(listener.client.receiver.lane().streams(), 256);
    listener.client.delivered.heard.clear();
    listener.hear(LATE..LATE + 10);
    assert_eq!(listener.heard().len(), 10);
}

#[test]
fn burst_control_beside_such_media_is_as_it_always_is() {
    for profile in modes() {
        let mut listener = Listener::new(profile);
        let idle = burst(&listener.keys.traffic_key(1, 1), 0, BurstMessage::Idle);
        let port = listener.client.ports.burst;
        listener.client.receive(port, &idle, listener.now);
        listener.client.receive(port, &idle, listener.now);
        assert_eq!(listener.client.delivered.bursts, ["idle"], "{profile}");
        assert_eq!(listener.client.verdicts(), [(Reject::Replayed, 1)], "{profile}");
    }
}

#[test]
fn key_change_loses_nothing_whichever_packets_carry_the_counter() {
    for profile in modes() {
        let mut listener = Listener::new(profile);
        listener.hear(WRAP - 16..WRAP - 5);
        let second = listener.keys.mtk_message(1, 2);
        listener.client.receive(listener.client.ports.keys, &second, listener.now);
        let next = listener.keys.traffic_key(1, 2);
        for index in WRAP - 5..WRAP + 20 {
            listener.take(&media(&next, TALKER, index));
        }
        assert_eq!(listener.heard(), (WRAP - 16..WRAP + 20).collect::<Vec<_>>(), "{profile}");
        assert_eq!(listener.client.verdicts(), [], "{profile}");
    }
}
