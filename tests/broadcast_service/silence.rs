//! Fear: a broadcaster that has lost its key server serves an expelled member for ever.

use std::time::Duration;

use crate::{
    sockets::wait_until,
    world::{Listener, Place, Tap, channel, counters, document, start_with, talk, wait_for_key},
};

#[test]
fn silence_after_losing_the_key_server_and_back_on_the_air_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new("239.255.79.1");
    let patience = Duration::from_secs(2);
    let service = start_with(&folder.path().join("state"), |options| {
        options.with_silence_after(Some(patience))
    });
    service.open(place.channel()).unwrap();
    service.follow(document(1, 1)).unwrap();
    wait_for_key(&service);
    let (listener, mut tap) = (Listener::new(&place, &[1]), Tap::new(&place));
    talk(&service, 1..2);
    listener.wait_for(1..2);
    // Kept alive by an answer without news.
    service.heard(&channel()).unwrap();
    let silent = || service.report(&channel()).unwrap().silent;
    wait_until("silent", silent);
    tap.look();
    let (seen, sent) = (tap.seen.len(), counters(&service));
    talk(&service, 2..5);
    assert_eq!(
        (counters(&service).silenced, counters(&service).packets_out),
        (3, sent.packets_out)
    );
    // Longer than the time between two copies of a key message.
    std::thread::sleep(Duration::from_millis(1200));
    tap.look();
    assert_eq!(tap.seen.len(), seen, "neither packets nor key messages");
    // The document that is held already is enough.
    assert_eq!(service.follow(document(1, 1)).unwrap().version, 1);
    assert!(!silent());
    talk(&service, 5..6);
    listener.wait_for(5..6);
    assert_eq!(listener.heard(), [1, 5]);
}

#[test]
fn without_the_option_the_group_is_served_on() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new("239.255.79.2");
    let service = crate::world::on_air(&folder.path().join("state"), &place);
    let listener = Listener::new(&place, &[1]);
    talk(&service, 1..2);
    listener.wait_for(1..2);
    assert!(!service.report(&channel()).unwrap().silent);
    assert!(service.heard(&"group 99".into()).is_err());
}
