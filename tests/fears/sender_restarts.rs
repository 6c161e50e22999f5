//! A sender loses its state and starts again with the SSRC it had, or its sequence number jumps.

use std::time::{Duration, Instant};

use mcast_srtp::{
    Reject,
    ids::Ssrc,
    rx::Limits,
    srtp::Profile,
    wire::burst::{BurstMessage, Taken},
};

use crate::{
    client::{Client, source},
    group::{Keys, TALKER, burst, media},
    sequence_wrap::WRAP,
};

/// Where the talker was before it started again.
const BEFORE: u64 = 5 * WRAP + 700;

/// A client that holds the MTKs 1 to 3 and has heard the talker for a while under MTK 1.
struct Listener {
    keys: Keys,
    client: Client,
    now: Instant,
}

impl Listener {
    fn new(sender_restarts: bool, profile: Profile) -> Self {
        let mut limits = Limits::default();
        limits.streams.sender_restarts = sender_restarts;
        limits.streams.roc_candidates = 8;
        let (keys, now) = (Keys { profile, ..Keys::default() }, Instant::now());
        let mut client = Client::named("c1", &limits);
        client.receiver.key_message(&keys.msk_message(1, 1), now).unwrap();
        for mtk in 1..=3 {
            client.receive(client.ports.keys, &keys.mtk_message(1, mtk), now);
        }
        Self { keys, client, now }
    }

    /// With the option, for each kind of profile: media hashed and encrypted, and AEAD.
    fn tolerant() -> impl Iterator<Item = Self> {
        [Profile::AES_CM_128_HMAC_SHA1_80, Profile::AEAD_AES_128_GCM].into_iter().map(|profile| {
            let mut listener = Self::new(true, profile);
            listener.hear(1, BEFORE..BEFORE + 10);
            listener.client.delivered.heard.clear();
            listener
        })
    }

    fn packet(&self, mtk: u16, index: u64) -> Vec<u8> {
        media(&self.keys.traffic_key(1, mtk), TALKER, index)
    }

    fn hear(&mut self, mtk: u16, indexes: impl IntoIterator<Item = u64>) {
        for index in indexes {
            let packet = self.packet(mtk, index);
            self.client.receive(self.client.ports.media, &packet, self.now);
        }
    }

    fn hear_from(&mut self, from: u8, packet: &[u8]) {
        let port = self.client.ports.media;
        self.client.receive_from(&[(port, source(from), packet)], self.now);
    }

    fn heard(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.client.delivered.heard).iter().map(|heard| heard.1).collect()
    }
}

#[test]
fn restarted_sender_is_silent_to_clients_that_keep_to_the_specification() {
    let mut listener = Listener::new(false, Profile::default());
    listener.hear(1, [BEFORE]);
    listener.hear(2, 900..910);
    assert_eq!(listener.heard(), [BEFORE]);
    assert_eq!(listener.client.verdicts(), [(Reject::AuthFailed, 10)]);
}

#[test]
fn restarted_sender_is_heard_from_its_first_packet_where_that_is_wanted() {
    // Near the old sequence number, before and behind it, and far from it.
    for first in [0, 690, 720, 40_000] {
        for mut listener in Listener::tolerant() {
            listener.hear(2, first..first + 5);
            listener.hear(3, first + 5..first + 9);
            assert_eq!(listener.heard(), (first..first + 9).collect::<Vec<_>>());
            assert_eq!(listener.client.verdicts(), []);
            assert_eq!(listener.client.stats().streams, 2, "a restart counts as a stream");
            assert_eq!(listener.client.receiver.lane().streams(), 1);
        }
    }
}

#[test]
fn nothing_from_before_the_restart_is_played_again() {
    for mut listener in Listener::tolerant() {
        let old: Vec<_> = [0, 5, 9, 20].map(|n| listener.packet(1, BEFORE + n)).to_vec();
        // Recorded when the talker was there, perhaps long before this client listened.
        let old: Vec<_> = old.into_iter().chain([listener.packet(1, 3000)]).collect();
        listener.hear(2, 1000..1005);
        let port = listener.client.ports.media;
        for packet in &old {
            listener.client.receive(port, packet, listener.now);
        }
        let batch: Vec<_> = old.iter().map(|packet| (port, packet.as_slice())).collect();
        listener.client.receive_batch(&batch, listener.now);
        // Nor after a silence, when further rollover counters are tried.
        listener.now += Duration::from_secs(3600);
        listener.client.receive_batch(&batch, listener.now);
        assert_eq!(listener.heard(), (1000..1005).collect::<Vec<_>>());
        assert_eq!(listener.client.verdicts(), [(Reject::MkiExpired, 15)]);
        listener.hear(2, [1005]);
        assert_eq!(listener.heard(), [1005]);
    }
}

#[test]
fn nothing_from_after_the_restart_is_played_twice() {
    for mut listener in Listener::tolerant() {
        let first = listener.packet(2, 1000);
        let port = listener.client.ports.media;
        listener.client.receive_batch(&[(port, &first), (port, &first)], listener.now);
        listener.hear(2, [1001, 1000, 1001]);
        assert_eq!(listener.heard(), [1000, 1001]);
        assert_eq!(listener.client.verdicts(), [(Reject::Replayed, 3)]);
    }
}

#[test]
fn restart_under_a_key_that_was_heard_before_is_taken_for_a_replay() {
    for mut listener in Listener::tolerant() {
        // What a recording of the talk's beginning looks like.
        listener.hear(1, 1000..1005);
        listener.hear(2, [BEFORE + 10]);
        listener.hear(2, 1000..1005);
        listener.hear(1, 1000..1005);
        assert_eq!(listener.heard(), [BEFORE + 10]);
        assert_eq!(listener.client.verdicts(), [(Reject::AuthFailed, 15)]);
        // The next key ends it.
        listener.hear(3, 1000..1005);
        assert_eq!(listener.heard(), (1000..1005).collect::<Vec<_>>());
        listener.hear(2, [BEFORE + 11, 2000]);
        assert_eq!(listener.client.count(Reject::MkiExpired), 2);
    }
}

#[test]
fn sender_that_restarts_under_the_same_key_is_heard_when_it_passes_where_it_was() {
    let mut listener = Listener::new(true, Profile::default());
    listener.hear(1, 1000..1100);
    listener.hear(1, 900..1150);
    let heard: Vec<_> = (1000..1100).chain(972..1000).chain(1100..1150).collect();
    // Of those behind, the ones that the window still reaches and that were not received before.
    assert_eq!(listener.heard(), heard);
    assert_eq!(listener.client.verdicts(), [(Reject::Replayed, 100), (Reject::TooOld, 72)]);
}

#[test]
fn forged_restarts_move_nothing_and_do_not_keep_the_sender_out() {
    for mut listener in Listener::tolerant() {
        let mut forged = listener.packet(2, 1000);
        forged[14] ^= 1;
        for _ in 0..1000 {
            listener.hear_from(66, &forged);
        }
        listener.hear(1, BEFORE + 10..BEFORE + 15);
        listener.hear_from(66, &forged);
        listener.hear(2, 1000..1005);
        let heard: Vec<_> = (BEFORE + 10..BEFORE + 15).chain(1000..1005).collect();
        assert_eq!(listener.heard(), heard);
        assert_eq!(listener.client.verdicts(), [(Reject::AuthFailed, 1001)]);
    }
}

#[test]
fn restarted_sender_with_another_address_waits_until_the_first_is_silent() {
    for mut listener in Listener::tolerant() {
        let packets = [1000, 1001].map(|index| listener.packet(2, index));
        listener.hear_from(2, &packets[0]);
        listener.hear(1, [BEFORE + 10]);
        listener.now += Duration::from_secs(30);
        listener.hear_from(2, &packets[1]);
        assert_eq!(listener.heard(), [BEFORE + 10, 1001]);
        assert_eq!(listener.client.verdicts(), [(Reject::SourceConflict, 1)]);
    }
}

#[test]
fn key_change_with_late_packets_is_no_restart() {
    for mut listener in Listener::tolerant() {
        let next = BEFORE + 10;
        listener.hear(2, [next + 5, next + 3]);
        listener.hear(1, [next, next + 1]);
        listener.hear(3, [next + 8]);
        listener.hear(2, [next + 4, next + 6]);
        listener.hear(1, [next + 2]);
        listener.hear(2, [next + 5]);
        let heard = [5, 3, 0, 1, 8, 4, 6, 2].map(|n| next + n);
        assert_eq!(listener.heard(), heard);
        assert_eq!(listener.client.verdicts(), [(Reject::Replayed, 1)]);
        assert_eq!(listener.client.stats().streams, 1);
    }
}

#[test]
fn key_change_after_a_restart_loses_no_late_packet() {
    for mut listener in Listener::tolerant() {
        listener.hear(2, [10, 11]);
        listener.hear(3, [14]);
        listener.hear(2, [12, 13]);
        listener.hear(1, [BEFORE + 11]);
        assert_eq!(listener.heard(), [10, 11, 14, 12, 13]);
        assert_eq!(listener.client.verdicts(), [(Reject::MkiExpired, 1)]);
    }
}

#[test]
fn restart_within_one_batch_ends_as_one_by_one() {
    for mut listener in Listener::tolerant() {
        let sent = [
            (1, BEFORE + 10),
            (2, 60),
            (1, BEFORE + 11),
            (2, 61),
            (2, 60),
            (3, 62),
            (2, 63),
            (3, BEFORE + 12),
        ];
        let packets = sent.map(|(mtk, index)| listener.packet(mtk, index));
        let port = listener.client.ports.media;
        let batch = packets.each_ref().map(|packet| (port, packet.as_slice()));
        listener.client.receive_batch(&batch, listener.now);
        assert_eq!(listener.heard(), [BEFORE + 10, 60, 61, 62, 63]);
        let refused = [(Reject::MkiExpired, 1), (Reject::AuthFailed, 1), (Reject::Replayed, 1)];
        assert_eq!(listener.client.verdicts(), refused);
    }
}

#[test]
fn burst_control_of_a_restarted_server_is_heard_where_that_is_wanted() {
    let taken = BurstMessage::Taken(Taken { talker: TALKER, ..Taken::default() });
    for (sender_restarts, heard) in [(false, 1), (true, 3)] {
        let mut listener = Listener::new(sender_restarts, Profile::default());
        let message = |listener: &Listener, mtk, index| {
            burst(&listener.keys.traffic_key(1, mtk), index, taken)
        };
        let port = listener.client.ports.burst;
        for (mtk, index) in [(1, 500), (2, 1), (2, 2), (2, 1), (1, 500), (1, 501)] {
            let packet = message(&listener, mtk, index);
            listener.client.receive(port, &packet, listener.now);
        }
        if sender_restarts {
            assert_eq!(listener.client.delivered.bursts.len(), heard);
            let refused = [(Reject::MkiExpired, 2), (Reject::Replayed, 1)];
            assert_eq!(listener.client.verdicts(), refused);
        } else {
            assert_eq!(listener.client.delivered.bursts.len(), heard + 1, "500 and 501");
            let refused = [(Reject::Replayed, 1), (Reject::TooOld, 3)];
            assert_eq!(listener.client.verdicts(), refused);
        }
    }
}

#[test]
fn packets_that_carry_their_rollover_counter_are_believed_as_ever() {
    for profile in ["AES_CM_128_HMAC_SHA1_80+RCCm2:4", "AEAD_AES_128_GCM+RCCm3:4"] {
        let mut listener = Listener::new(true, Profile::from_name(profile).unwrap());
        listener.hear(1, [BEFORE, BEFORE + 1]);
        listener.hear(2, 1000..1008);
        assert_eq!(listener.heard(), [BEFORE, BEFORE + 1], "{profile}");
        assert_eq!(listener.client.count(Reject::TooOld), 2, "{profile}");
        listener.hear(1, [BEFORE + 2]);
        assert_eq!(listener.heard(), [BEFORE + 2], "{profile}");
    }
}

#[test]
fn sequence_number_that_jumps_far_is_followed_after_the_source_timeout() {
    let start = Instant::now();
    for jump in [0x7fff, 0x8000, 0x8001, 50_000, 70_000] {
        let mut listener = Listener::new(false, Profile::default());
        listener.hear(1, [700]);
        let mut heard = vec![700];
        for second in 0..40 {
            listener.now = start + Duration::from_secs(second);
            let index = 700 + jump + second;
            listener.hear(1, [index]);
            // Across half of the numbers and more, the estimate looks for it behind the last packet.
            if jump < 0x8000 || second > 30 {
                heard.push(index);
            }
        }
        let got = listener.heard();
        assert!(heard.iter().all(|index| got.contains(index)), "{jump}: {got:?}");
        assert_eq!(listener.client.stats().streams, 1);
    }
}

#[test]
fn forged_jump_of_the_sequence_number_moves_nothing() {
    let mut listener = Listener::new(true, Profile::default());
    listener.hear(1, [700]);
    for ahead in [200, 0x7000, 0x8001, 60_000] {
        let mut forged = listener.packet(1, 700 + ahead);
        forged[13] ^= 1;
        listener.hear_from(1, &forged);
    }
    listener.hear(1, [699, 701]);
    assert_eq!(listener.heard(), [700, 699, 701]);
}

#[test]
fn talkers_do_not_restart_each_other() {
    for mut listener in Listener::tolerant() {
        let other = Ssrc(0x77);
        let port = listener.client.ports.media;
        let packet = media(&listener.keys.traffic_key(1, 2), other, 1000);
        listener.client.receive(port, &packet, listener.now);
        listener.hear(1, [BEFORE + 10]);
        assert_eq!(listener.heard(), [1000, BEFORE + 10]);
    }
}
