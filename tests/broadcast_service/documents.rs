//! Fear: a document that came late, twice or from elsewhere makes the channel go back.

use mcast_srtp::broadcast::ChannelDocument;

use crate::world::{
    Listener, Place, Tap, channel, counters, document, on_air, start, start_with, talk,
    wait_for_key,
};

#[test]
fn older_document_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new("239.255.78.1");
    let mut tap = Tap::new(&place);
    let service = on_air(&folder.path().join("state"), &place);
    let held = service.follow(document(5, 2)).unwrap();
    assert_eq!((held.channel, held.version), (channel(), 5));
    crate::sockets::wait_until("MSK 2", || {
        service.report(&channel()).unwrap().msk_id().is_some_and(|msk| msk.number == 2)
    });
    let before = service.report(&channel()).unwrap();
    for version in [1, 4, 5] {
        assert_eq!(service.follow(document(version, 1)).unwrap().version, 5, "what is held");
    }
    let after = service.report(&channel()).unwrap();
    assert_eq!(
        (after.version, after.mki, after.mtk_ids_left),
        (5, before.mki, before.mtk_ids_left)
    );
    assert_eq!(counters(&service).documents, 2);
    talk(&service, 1..3);
    tap.wait_for(counters(&service).packets_out + counters(&service).key_messages);
    assert_eq!(tap.mkis(), [(2, 1)]);
}

#[test]
fn msk_update_in_mid_stream_loses_nothing_and_cuts_off_who_lacks_the_new_msk() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new("239.255.78.2");
    let service = on_air(&folder.path().join("state"), &place);
    let (stays, expelled) = (Listener::new(&place, &[1, 2]), Listener::new(&place, &[1]));
    talk(&service, 1..20);
    stays.wait_for(1..20);
    expelled.wait_for(1..20);
    service.follow(document(2, 2)).unwrap();
    for number in 20..80 {
        talk(&service, number..number + 1);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    stays.wait_for(1..80);
    assert_eq!(service.report(&channel()).unwrap().msk_id().unwrap().number, 2);
    assert!(!expelled.heard().contains(&79));
}

#[test]
fn document_that_cannot_be_followed_is_refused_and_the_channel_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new("239.255.78.3");
    let state = folder.path().join("state");
    let service = start_with(&state, |options| options.with_name("east"));
    service.open(place.channel()).unwrap();
    let named = |version, name: Option<&str>| ChannelDocument {
        broadcaster: name.map(Into::into),
        ..document(version, 1)
    };
    let refused = |document| service.follow(document).unwrap_err().to_string();
    assert!(refused(named(1, Some("west"))).contains("another broadcaster"));
    let elsewhere = ChannelDocument { channel: "group 99".into(), ..document(1, 1) };
    assert!(refused(elsewhere).contains("group 99"));
    service.follow(named(1, Some("east"))).unwrap();
    wait_for_key(&service);
    let mut bad = named(2, None);
    bad.profile = bad.profile.with_mki_len(4);
    assert!(refused(bad).contains("6 octets"));
    let listener = Listener::new(&place, &[1]);
    talk(&service, 1..4);
    listener.wait_for(1..4);
    assert_eq!(service.report(&channel()).unwrap().version, 1);
    service.stop();
    assert!(service.follow(named(3, None)).is_err());
    assert!(start(&state).channels().is_empty(), "the journal is free again");
}
