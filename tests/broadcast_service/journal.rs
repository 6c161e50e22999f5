//! Fear: a disk that is full brings a key on the air that a crash would forget, or stops the talk.

use std::{
    fs,
    sync::{Arc, mpsc},
    time::Duration,
};

use mcast_srtp::{
    broadcast::{ChannelDocument, DocumentMsk},
    keys::Msk,
    secret::SecretBytes,
    service::{BroadcastService, BroadcastServiceOptions},
    state::StateOptions,
};

use crate::{
    group::Keys,
    sockets::wait_until,
    world::{Listener, Place, Tap, channel, counters, document, on_air, talk},
};

/// Higher than any number of a large document.
const NEXT: u16 = 0xffff;

/// Keeps MSK 1 in force, and lists many that no document has listed before.
fn large(version: u64) -> ChannelDocument {
    let mut document = document(version, 1);
    let listed = document.msks[0].clone();
    let first = 100 * u16::try_from(version).unwrap();
    document.msks.extend((first..first + 100).map(|number| DocumentMsk {
        msk_id: Keys::default().msk_id(number),
        msk: Arc::new(Msk { key: SecretBytes::new(&[7; 16]), rand: vec![7; 255] }),
        ..listed.clone()
    }));
    document
}

#[test]
fn journal_that_cannot_be_written_sends_no_new_key_but_goes_on_with_the_old() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("folder");
    fs::create_dir(&at).unwrap();
    let place = Place::new("239.255.81.1");
    let (mut tap, service) = (Tap::new(&place), on_air(&at.join("state"), &place));
    let listener = Listener::new(&place, &[1, NEXT]);
    // Writing to a file that has no name any more fails only when the next file is begun.
    fs::remove_dir_all(&at).unwrap();
    let mut version = 1;
    wait_until("failure", || {
        version += 1;
        service.follow_then(large(version), |_| ()).unwrap();
        service.counters().commits_failed > 0
    });

    let (tell, held) = mpsc::channel();
    service
        .follow_then(document(version + 1, NEXT), move |result| drop(tell.send(result)))
        .unwrap();
    wait_until("a new key waits", || service.report(&channel()).unwrap().waits_for_journal);
    tap.look();
    let before = tap.key_messages().len();
    talk(&service, 1..20);
    listener.wait_for(1..20);
    // Longer than the lead of a new key.
    std::thread::sleep(Duration::from_millis(400));
    talk(&service, 20..30);
    listener.wait_for(20..30);
    tap.look();
    assert_eq!(tap.key_messages().len(), before, "no new key message");
    assert!(tap.mkis().iter().all(|(msk, _)| *msk == 1), "{:?}", tap.mkis());
    assert!(held.try_recv().is_err(), "nobody is told that it is held");

    fs::create_dir(&at).unwrap();
    let held = held.recv_timeout(Duration::from_secs(10)).unwrap().unwrap();
    assert_eq!(held.version, version + 1);
    let mut next = 30;
    wait_until("the new key", || {
        talk(&service, next..next + 1);
        next += 1;
        tap.look();
        tap.mkis().last().is_some_and(|(msk, _)| *msk == NEXT)
    });
    listener.wait_for(1..next);
    assert!(service.counters().commits > 0 && counters(&service).mtk_changes >= 2);
    assert!(at.join("state").exists());
}

#[test]
fn journal_of_something_else_stops_the_start_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("broadcast.state");
    fs::write(&state, b"something else").unwrap();
    let options = BroadcastServiceOptions::new(StateOptions::new(&state));
    let error = BroadcastService::start(options).unwrap_err();
    assert!(error.to_string().contains("broadcast.state"), "{error}");
}
