//! Fear: a restarted broadcaster uses a number twice, or is heard by nobody.

use std::{collections::BTreeSet, fs};

use crate::world::{
    Listener, Place, Tap, channel, counters, document, on_air, start, talk, wait_for_key,
};

#[test]
fn restart_uses_no_mtk_id_twice_and_receivers_hear_on() {
    let folder = tempfile::tempdir().unwrap();
    let (state, place) = (folder.path().join("state"), Place::new("239.255.80.1"));
    let (listener, mut tap) = (Listener::new(&place, &[1]), Tap::new(&place));
    let mut used = Vec::new();
    for run in 0..5 {
        let service = if run == 0 { on_air(&state, &place) } else { start(&state) };
        if run > 0 {
            // No document: what was held is enough.
            service.open(place.channel()).unwrap();
            wait_for_key(&service);
            assert_eq!(service.report(&channel()).unwrap().version, 1);
        }
        // The sequence number wraps on the way.
        let numbers = 65_530 + 10 * run..65_540 + 10 * run;
        talk(&service, numbers.clone());
        listener.wait_for(numbers);
        service.stop();
        tap.look();
        used.push(tap.mkis());
        tap.seen.clear();
    }
    let distinct: BTreeSet<_> = used.iter().flatten().collect();
    assert_eq!(distinct.len(), used.iter().map(Vec::len).sum::<usize>(), "{used:?}");
    assert_eq!(listener.heard(), (65_530..65_580).collect::<Vec<_>>());
}

#[test]
fn crash_at_any_time_uses_no_mtk_id_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (state, place) = (folder.path().join("state"), Place::new("239.255.80.2"));
    let mut tap = Tap::new(&place);
    let service = on_air(&state, &place);
    let mut copies = Vec::new();
    // What the file is the moment a packet has left is what a crash would leave.
    for (version, msk) in [(2, 2), (3, 3), (4, 4)] {
        service.follow(document(version, msk)).unwrap();
        while tap.mkis().last().is_none_or(|(number, _)| *number != msk) {
            let next = counters(&service).packets_in;
            talk(&service, next..next + 1);
            std::thread::sleep(std::time::Duration::from_millis(5));
            tap.look();
        }
        let copy = folder.path().join(format!("crash-{version}"));
        fs::copy(&state, &copy).unwrap();
        copies.push((copy, version, tap.mkis()));
    }
    service.stop();
    for (copy, version, used) in copies {
        tap.look();
        tap.seen.clear();
        let service = start(&copy);
        service.open(place.channel()).unwrap();
        wait_for_key(&service);
        assert_eq!(service.report(&channel()).unwrap().version, version);
        talk(&service, 1..3);
        tap.wait_for(counters(&service).packets_out + counters(&service).key_messages);
        service.stop();
        assert!(tap.mkis().iter().all(|mki| !used.contains(mki)), "{:?} {used:?}", tap.mkis());
    }
}

#[test]
fn channel_closed_and_opened_again_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new("239.255.80.3");
    let (listener, service) =
        (Listener::new(&place, &[1]), on_air(&folder.path().join("s"), &place));
    talk(&service, 1..5);
    listener.wait_for(1..5);
    let stale = crate::world::media(&service);
    service.close(&channel()).unwrap();
    service.open(place.channel()).unwrap();
    // Handed in for a channel that is gone: not for the one that has its name now.
    stale.push(crate::world::speech(5)).unwrap();
    wait_for_key(&service);
    talk(&service, 6..9);
    listener.wait_for(6..9);
    assert_eq!(listener.heard(), [1, 2, 3, 4, 6, 7, 8]);
    assert_eq!(counters(&service).packets_in, 3);
}
