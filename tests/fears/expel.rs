//! Somebody who was expelled goes on listening, or somebody else stops hearing.

use std::time::{Duration, Instant};

use mcast_srtp::{
    Reject,
    broadcast::Lead,
    ids::Ssrc,
    keyserver::{LeavePolicy, UpdateCause},
    srtp::Profile,
};

use crate::{
    air::{Air, channel},
    client::{Client, Ports},
    group::{Keys, TALKER, media},
};

const CALM: Duration = Duration::from_millis(80);
/// As much as packets and messages can be delayed against each other so that none is lost: the time
/// for which packets are held back, less a step of the simulated clock.
const ROUGH: Duration = Duration::from_millis(490);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn expel(air: &mut Air, name: &str) {
    air.command(|server, now, random| server.expel(&channel(), &[name.into()], now, random));
}

fn leave(air: &mut Air, name: &str) {
    air.command(|server, now, random| server.leave(&channel(), &name.into(), now, random));
}

fn update(air: &mut Air) {
    let cause = UpdateCause::Command;
    air.command(|server, now, random| server.update(&channel(), cause, now, random));
}

/// Checks that a client has heard what was sent under the first MSK, and nothing else.
fn assert_heard_the_first_msk_only(air: &mut Air, name: &str) {
    let first = Keys::default().msk_id(1);
    let media = air.media_under(|msk| msk == first);
    let bursts = air.bursts.iter().filter(|msk| **msk == first).count();
    assert!(media.len() < air.media.len() && bursts < air.bursts.len());
    let client = air.client(name);
    let mut heard = client.indexes();
    heard.sort_unstable();
    assert_eq!(heard, media);
    assert_eq!(client.delivered.bursts.len(), bursts);
}

#[test]
fn expelled_member_opens_neither_media_nor_burst_control_after_the_next_msk() {
    for profile in [Profile::AES_CM_128_HMAC_SHA1_80, Profile::AEAD_AES_128_GCM] {
        let mut spec = Air::spec();
        spec.profile = profile;
        let mut air = Air::new(&["c1", "c2", "c3"], CALM, spec);
        air.run(secs(2));
        expel(&mut air, "c3");
        air.run(secs(15));
        air.settle();
        air.assert_heard_everything("c1");
        air.assert_heard_everything("c2");
        assert_heard_the_first_msk_only(&mut air, "c3");
        let held: Vec<_> = air.client("c3").receiver.plane().store().msks().collect();
        assert_eq!(held.len(), 1, "c3 has been given nothing more");
    }
}

#[test]
fn expelled_member_that_overhears_every_key_message_still_opens_nothing() {
    let mut air = Air::new(&["c1", "c2", "c3"], CALM, Air::spec());
    air.run(secs(2));
    expel(&mut air, "c3");
    let (overheard, now) = (air.msk_messages.clone(), air.now);
    let c3 = air.client("c3");
    let verdicts: Vec<_> = overheard
        .iter()
        .filter_map(|message| c3.receiver.key_message(message, now).err())
        .collect();
    // Its own first message, and the messages to the others: two before, two after.
    assert_eq!(verdicts.iter().filter(|v| **v == Reject::KeyReplayed).count(), 1);
    assert_eq!(verdicts.iter().filter(|v| **v == Reject::UnknownMuk).count(), 4);
    assert_eq!(verdicts.len(), overheard.len());
    air.run(secs(3));
    air.settle();
    assert_heard_the_first_msk_only(&mut air, "c3");
}

#[test]
fn nobody_who_remains_loses_a_packet_however_the_network_reorders() {
    for lead in [Lead::Usual, Lead::None] {
        let mut air = Air::new(&["c1", "c2", "c3"], ROUGH, Air::spec());
        air.lead = lead;
        air.run(secs(2));
        air.new_mtk();
        air.run(secs(2));
        expel(&mut air, "c3");
        air.run(secs(10));
        air.settle();
        air.assert_heard_everything("c1");
        air.assert_heard_everything("c2");
        assert_heard_the_first_msk_only(&mut air, "c3");
        for name in ["c1", "c2", "c3"] {
            let now = air.now;
            air.client(name).assert_nothing_is_lost_silently(now);
        }
    }
}

#[test]
fn client_that_confirms_late_catches_up_by_itself_and_holds_nobody_up() {
    let mut air = Air::new(&["c1", "c2", "c3"], CALM, Air::spec());
    air.run(secs(2));
    // The switch is due after 5 s; c2 hears of the new MSK some seconds later.
    air.member("c2").unreachable_until = Some(air.now + secs(7));
    expel(&mut air, "c3");
    air.run(secs(30));
    air.settle();
    air.assert_heard_everything("c1");

    let (sent, switched) = (air.media_under(|_| true), air.media_under(|msk| msk.number == 2));
    let c2 = air.client("c2");
    let missed: Vec<_> = sent.iter().filter(|index| !c2.indexes().contains(index)).collect();
    assert_eq!(missed[0], &switched[0], "it has missed nothing before the switch");
    let long_before_the_end = &sent[sent.len() - 100];
    assert!(*missed.last().unwrap() < long_before_the_end, "it has caught up");
    assert!(c2.count(Reject::HoldExpired) >= missed.len() as u64, "what it missed is counted");
}

#[test]
fn member_that_left_is_cut_off_if_the_policy_says_so() {
    let mut spec = Air::spec();
    spec.leave = LeavePolicy::UpdateMsk;
    let mut air = Air::new(&["c1", "c2"], CALM, spec);
    air.run(secs(2));
    leave(&mut air, "c2");
    air.run(secs(5));
    air.settle();
    air.assert_heard_everything("c1");
    assert_heard_the_first_msk_only(&mut air, "c2");
}

#[test]
fn leave_without_update_changes_no_key_and_disturbs_nobody() {
    let mut air = Air::new(&["c1", "c2"], CALM, Air::spec());
    air.run(secs(2));
    leave(&mut air, "c2");
    air.run(secs(5));
    air.settle();
    assert_eq!(air.msk_messages.len(), 2);
    air.assert_heard_everything("c1");
    air.assert_heard_everything("c2");
}

#[test]
fn third_msk_within_the_grace_of_the_first_costs_no_packet() {
    let mut air = Air::new(&["c1", "c2"], CALM, Air::spec());
    for _ in 0..4 {
        air.run(secs(2));
        update(&mut air);
    }
    air.run(secs(2));
    air.settle();
    air.assert_heard_everything("c1");
    air.assert_heard_everything("c2");
    assert_eq!(air.media.last().unwrap().1.number, 5);
    let held: Vec<_> = air.client("c1").receiver.plane().store().msks().collect();
    let held: Vec<_> = held.iter().map(|held| held.msk_id.number).collect();
    assert_eq!(held, [4, 5], "two MSKs of a group at most");
}

#[test]
fn expelled_member_cannot_speak_to_those_who_remain_after_the_grace() {
    let (mut c1, keys, start) = (Client::new(), Keys::default(), Instant::now());
    let Ports { media: port, keys: key_port, .. } = c1.ports;
    let forger = Ssrc(0xbad);
    for (msk, time) in [(1, start), (2, start + secs(1))] {
        c1.receiver.key_message(&keys.msk_message(msk, msk.into()), time).unwrap();
        c1.receive(key_port, &keys.mtk_message(msk, 1), time);
        c1.receive(port, &media(&keys.traffic_key(msk, 1), TALKER, msk.into()), time);
        c1.tick(time);
    }
    // As long as packets of the old MSK may be under way, its holders are still believed.
    let old = keys.traffic_key(1, 1);
    c1.receive(port, &media(&old, forger, 1), start + secs(10));
    assert_eq!(c1.delivered.heard.last().unwrap().0, forger);

    let after = start + secs(11);
    c1.tick(after);
    c1.receive(port, &media(&old, forger, 2), after);
    c1.receive(key_port, &keys.mtk_message(1, 2), after);
    c1.receive(port, &media(&keys.traffic_key(1, 2), forger, 3), after);
    assert_eq!(c1.verdicts(), [(Reject::MkiExpired, 2), (Reject::UnknownMsk, 1)]);
    c1.receive(port, &media(&keys.traffic_key(2, 1), TALKER, 3), after);
    assert_eq!(c1.indexes(), [1, 2, 1, 3]);
}
