//! A gateway that is started again with its state: it goes on, and falls for nothing old.
#![cfg(feature = "state")]

#[path = "common/group.rs"]
#[expect(dead_code, reason = "a part is enough here")]
mod group;
#[path = "fears/sockets.rs"]
mod sockets;

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use group::{ANY_STREAM, Keys, TALKER, media, muk, muk_id};
use mcast_srtp::{
    Gateway, Reject, ids::Roc, keys::CryptoSession, rx::Event, secret::Secret, state::StateOptions,
};
use sockets::{free_port, sender, spec, wait_until};

/// A gateway on one group, and the indexes of the media it has delivered.
struct Running {
    gateway: Gateway,
    heard: Arc<Mutex<Vec<u64>>>,
}

impl Running {
    fn start(state: &Path, group: SocketAddr) -> Self {
        let heard = Arc::<Mutex<Vec<u64>>>::default();
        let deliver = Arc::clone(&heard);
        let options = StateOptions::new(state)
            .sealed_with(Secret::new([0x77; 32]))
            .streams_every(Duration::from_millis(20));
        let gateway = Gateway::builder()
            .state(options)
            .muk(muk_id("c1"), muk("c1"))
            .key_address("127.0.0.1:0".parse().unwrap())
            .group(spec(group))
            .start(move |event: Event<'_>| {
                if let Event::Media(media) = event {
                    deliver.lock().unwrap().push(media.index.value());
                }
            })
            .unwrap();
        Self { gateway, heard }
    }

    fn has_heard(&self, index: u64) -> bool {
        self.heard.lock().unwrap().contains(&index)
    }

    fn rejects(&self, reject: Reject) -> u64 {
        self.gateway.stats().keys.rejects.count(reject)
    }

    /// Sends an MSK message by unicast; tells whether anything is answered within this time.
    fn answers(&self, message: &[u8], within: Duration) -> bool {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(within)).unwrap();
        client.send_to(message, self.gateway.key_address().unwrap()).unwrap();
        client.recv(&mut [0; 1000]).is_ok()
    }

    /// Sends an MSK message that is to be accepted, however long the disk takes.
    fn accepts(&self, message: &[u8]) -> bool {
        self.answers(message, Duration::from_secs(20))
    }

    /// Sends one that is not to be answered.
    fn is_silent_on(&self, message: &[u8]) -> bool {
        !self.answers(message, Duration::from_millis(100))
    }
}

#[test]
fn restarted_gateway_opens_media_at_once_and_accepts_nothing_again() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("gateway.state");
    let group = SocketAddr::new("239.255.72.1".parse().unwrap(), free_port());
    let (socket, keys) = (sender(group.ip(), None), Keys::default());
    let first_msk = keys.msk_message_with(1, 1, |issue| {
        issue.sessions = &[CryptoSession { roc: Roc(0), ..ANY_STREAM }];
    });
    let messages = [keys.mtk_message(1, 1), keys.mtk_message(1, 2)];
    let key = keys.traffic_key(1, 2);
    // Each one is further than a candidate of the search from the first, but the next from the last.
    let indexes: Vec<u64> = (1..20).map(|n| n * 30_000).collect();
    let send_until_heard = |running: &Running, index: u64| {
        let packet = media(&key, TALKER, index);
        wait_until("media", || {
            socket.send(&packet, group).unwrap();
            std::thread::sleep(Duration::from_millis(2));
            running.has_heard(index)
        });
    };

    let running = Running::start(&state, group);
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(running.accepts(&first_msk));
    for message in &messages {
        socket.send(message, group).unwrap();
    }
    wait_until("MTKs", || running.gateway.stats().keys.mtk == 2);
    indexes.iter().for_each(|index| send_until_heard(&running, *index));
    assert!(running.gateway.stats().keys.commits >= 2);
    running.gateway.stop();

    // Nothing but media: MSK, MTK, the group's key group and the rollover counter are remembered.
    let running = Running::start(&state, group);
    let last = indexes.last().unwrap();
    send_until_heard(&running, last + 30_000);
    assert_eq!(running.gateway.stats().keys.msk + running.gateway.stats().keys.mtk, 0);
    assert!(running.is_silent_on(&first_msk));
    wait_until("replay", || running.rejects(Reject::KeyReplayed) == 1);
    messages.iter().for_each(|message| socket.send(message, group).unwrap());
    wait_until("replay", || running.rejects(Reject::KeyReplayed) == 2);
    wait_until("repeat", || running.rejects(Reject::KeyRepeated) == 1);
    // And what is new is taken.
    assert!(running.accepts(&keys.msk_message(2, 2)));
    socket.send(&keys.mtk_message(1, 3), group).unwrap();
    wait_until("next MTK", || running.gateway.stats().keys.mtk == 1);
    running.gateway.stop();
}

#[test]
fn description_read_again_at_a_restart_is_no_fault_though_its_msk_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("gateway.state");
    let group = SocketAddr::new("239.255.72.2".parse().unwrap(), free_port());
    let keys = Keys::default();
    let start = || {
        let spec = spec(group).with_key_message(keys.msk_message(1, 1));
        Gateway::builder()
            .state(StateOptions::new(&state))
            .muk(muk_id("c1"), muk("c1"))
            .group(spec)
            .key_address("127.0.0.1:0".parse().unwrap())
            .start(|_| {})
            .unwrap()
    };
    let running = Running { gateway: start(), heard: Arc::default() };
    for number in 2..5 {
        assert!(running.accepts(&keys.msk_message(number, number.into())));
    }
    running.gateway.stop();
    let gateway = start();
    assert_eq!(gateway.stats().keys.msk, 0);
}

#[test]
fn group_that_is_left_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("gateway.state");
    let group = SocketAddr::new("239.255.72.3".parse().unwrap(), free_port());
    let (socket, keys) = (sender(group.ip(), None), Keys::default());
    let mut running = Running::start(&state, group);
    assert!(running.accepts(&keys.msk_message(1, 1)));
    socket.send(&keys.mtk_message(1, 1), group).unwrap();
    wait_until("MTK", || running.gateway.stats().keys.mtk == 1);
    let number = running.gateway.stats().groups[0].0;
    running.gateway.leave(number).unwrap();
    running.gateway.stop();

    // Its keys are there, but which of them are its own has to be heard again.
    let running = Running::start(&state, group);
    let packet = media(&keys.traffic_key(1, 1), TALKER, 5);
    socket.send(&packet, group).unwrap();
    wait_until("held", || running.gateway.stats().groups[0].2.held == 1);
    // It waits half a second; the disk may take longer.
    wait_until("media", || {
        socket.send(&keys.mtk_message(1, 1), group).unwrap();
        socket.send(&packet, group).unwrap();
        running.has_heard(5)
    });
}

#[test]
fn state_that_cannot_be_used_stops_the_start_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("gateway.state");
    fs::write(&state, b"something else").unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o600)).unwrap();
    let error = Gateway::builder().state(StateOptions::new(&state)).start(|_| {}).unwrap_err();
    assert!(error.to_string().contains("gateway.state: is no state file"), "{error}");
}

#[test]
fn nothing_is_accepted_while_the_state_cannot_be_written_and_all_is_when_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("folder");
    fs::create_dir(&place).unwrap();
    let state = place.join("gateway.state");
    let group = SocketAddr::new("239.255.72.4".parse().unwrap(), free_port());
    let keys = Keys::default();
    let running = Running::start(&state, group);
    assert!(running.accepts(&keys.msk_message(1, 1)));
    // Writing to a file that has no name any more would not fail by itself.
    fs::remove_dir_all(&place).unwrap();
    let mut counter = 1;
    let mut next = || {
        counter += 1;
        keys.msk_message(1, counter)
    };
    wait_until("failure", || {
        running.is_silent_on(&next());
        running.gateway.stats().keys.commits_failed > 0
    });
    let refused = next();
    assert!(running.is_silent_on(&refused));
    wait_until("refusal", || running.rejects(Reject::StateFailed) > 0);
    fs::create_dir(&place).unwrap();
    wait_until("verification", || running.answers(&next(), Duration::from_secs(1)));
    assert!(state.exists());
    running.gateway.stop();
}
