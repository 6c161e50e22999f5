//! What is kept over a restart shows no key, unless it is kept unsealed.
#![cfg(feature = "state")]

#[path = "common/group.rs"]
#[expect(dead_code, reason = "a part is enough here")]
mod group;
#[path = "common/secrets.rs"]
mod secrets;

use std::{
    fmt,
    path::Path,
    time::{Instant, SystemTime},
};

use group::{Keys, muk, muk_id};
use mcast_srtp::{
    Gateway,
    broadcast::BroadcastTiming,
    ids::KeyDomainId,
    keys::{KeyPlane, PlaneLimits},
    keyserver::{Action, ChannelSpec, Reach, Timing, UpdateCause},
    secret::Secret,
    state::{BroadcastState, KeyServerState, ReceiverState, StateOptions},
};
use secrets::Secrets;

/// What a value shows, in both layouts.
fn shown(value: &impl fmt::Debug) -> String {
    format!("{value:?}\n{value:#?}")
}

/// Not one secret is in the file, as it is.
fn assert_sealed(secrets: &Secrets, path: &Path) {
    let file = std::fs::read(path).unwrap();
    for (name, secret) in &secrets.0 {
        let shares = |part| secret.windows(8).any(|of_secret| of_secret == part);
        assert!(!file.windows(8).any(shares), "{name} in {}", path.display());
    }
}

#[test]
fn what_is_kept_over_a_restart_shows_no_key() {
    let (keys, mut plane) = (Keys::default(), KeyPlane::new(PlaneLimits::default()));
    plane.restore([]).unwrap();
    plane.insert_muk(muk_id("c1"), muk("c1")).unwrap();
    for message in [keys.msk_message(1, 1), keys.mtk_message(1, 1)] {
        plane.receive(None, &message, Instant::now()).unwrap();
    }
    let records = plane.take_changes();
    assert_eq!(records.len(), 3);
    Secrets::of(&keys).assert_absent("Record", &shown(&records));
}

#[test]
fn sealed_state_of_key_server_and_broadcaster_shows_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let (now, wall) = (Instant::now(), SystemTime::now());
    let options = |name: &str| {
        StateOptions::new(folder.path().join(name)).sealed_with(Secret::new([0xd1; 32]))
    };
    let mut secrets = Secrets::default();
    secrets.add("sealing key", &[0xd1; 32]);
    secrets.add("MUK", muk("c1").0.expose());
    let mut state = KeyServerState::open(options("server")).unwrap();
    let (mut server, _) = state.restore(Timing::default(), now, wall).unwrap();
    let (channel, mut next) = ("group 17".into(), 0x60);
    let random = &mut |out: &mut [u8]| {
        next += 1;
        out.fill(next);
    };
    server.add_client(&"c1".into(), muk_id("c1"), muk("c1"), Reach::Sdp).unwrap();
    let spec = ChannelSpec::new(KeyDomainId::default(), 7);
    let mut actions = server.open_channel(&channel, spec, now, random).unwrap();
    actions.extend(server.join(&channel, &"c1".into(), now).unwrap());
    actions.extend(server.update(&channel, UpdateCause::Command, now, random).unwrap());
    assert!(state.commit(&mut server, now, wall).unwrap());
    let mut kept = BroadcastState::open(options("broadcaster")).unwrap();
    let timing = BroadcastTiming::default();
    let (mut broadcaster, _) = kept.restore(&channel, timing, now, random).unwrap();
    for action in actions {
        let Action::Publish(document) = action else { continue };
        document.msks.iter().for_each(|listed| secrets.add("MSK", listed.msk.key.expose()));
        broadcaster.follow(&document, now, random).unwrap();
        assert!(kept.commit(broadcaster.take_changes()).unwrap());
    }
    // What was drawn last is an MTK and its salt; they are not kept, sealed or not.
    (next - 1..=next).for_each(|octet| secrets.add("MTK", &[octet; 16]));
    for name in ["server", "broadcaster"] {
        assert_sealed(&secrets, &folder.path().join(name));
    }
    let records = shown(&(server.take_changes(now, wall), broadcaster.take_changes()));
    for text in [shown(&state), shown(&kept), records] {
        secrets.assert_absent("state", &text);
    }
}

#[test]
fn sealed_state_shows_no_key_in_its_file_nor_elsewhere() {
    let (keys, folder) = (Keys::default(), tempfile::tempdir().unwrap());
    let (path, sealing) = (folder.path().join("state"), [0xd1; 32]);
    let mut secrets = Secrets::of(&keys);
    secrets.add("sealing key", &sealing);
    let options = || StateOptions::new(&path).sealed_with(Secret::new(sealing));
    let mut state = ReceiverState::open(options()).unwrap();
    let mut plane = KeyPlane::new(PlaneLimits::default());
    state.restore(&mut plane).unwrap();
    plane.insert_muk(muk_id("c1"), muk("c1")).unwrap();
    for message in [keys.msk_message(1, 1), keys.mtk_message(1, 1)] {
        plane.receive(None, &message, Instant::now()).unwrap();
        assert!(state.commit(&mut plane).unwrap());
    }
    assert_sealed(&secrets, &path);
    let other = StateOptions::new(&path).sealed_with(Secret::new([0xd2; 32]));
    drop(state);
    let refused = ReceiverState::open(other).unwrap_err();
    let state = ReceiverState::open(options()).unwrap();
    for (place, text) in [
        ("StateOptions", shown(&options())),
        ("GatewayBuilder", shown(&Gateway::builder().state(options()))),
        ("ReceiverState", shown(&state)),
        ("Error", format!("{refused} {}", shown(&refused))),
    ] {
        secrets.assert_absent(place, &text);
    }
}
