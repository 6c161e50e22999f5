//! What is kept over a restart shows no key, unless it is kept unsealed.
#![cfg(feature = "state")]

#[path = "common/group.rs"]
#[expect(dead_code, reason = "a part is enough here")]
mod group;
#[path = "common/secrets.rs"]
mod secrets;

use std::{fmt, time::Instant};

use group::{Keys, muk, muk_id};
use mcast_srtp::{
    Gateway,
    keys::{KeyPlane, PlaneLimits},
    secret::Secret,
    state::{ReceiverState, StateOptions},
};
use secrets::Secrets;

/// What a value shows, in both layouts.
fn shown(value: &impl fmt::Debug) -> String {
    format!("{value:?}\n{value:#?}")
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
    let file = std::fs::read(&path).unwrap();
    for (name, secret) in &secrets.0 {
        assert!(!file.windows(8).any(|part| secret.windows(8).any(|s| s == part)), "{name}");
    }
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
