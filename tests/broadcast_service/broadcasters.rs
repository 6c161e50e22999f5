//! Fear: two broadcasters of one channel use one MTK ID for two keys.

use std::time::Instant;

use mcast_srtp::{
    keyserver::{ChannelSpec, KeyServer, Timing},
    service::BroadcastService,
};

use crate::{
    group::{DOMAIN, Keys},
    sockets::wait_until,
    world::{Place, Tap, channel, counters, start_with, talk, wait_for_key},
};

fn random(out: &mut [u8]) {
    getrandom::fill(out).unwrap();
}

#[test]
fn two_broadcasters_of_one_channel_use_disjoint_mtk_ids() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = KeyServer::new(Timing::default());
    let mut spec = ChannelSpec::new(DOMAIN, Keys::default().key_group);
    spec.broadcasters = vec!["east".into(), "west".into()];
    server.open_channel(&channel(), spec, Instant::now(), &mut random).unwrap();

    let run = |name: &str, group: &str| -> Vec<(u16, u16)> {
        let place = Place::new(group);
        let mut tap = Tap::new(&place);
        let state = folder.path().join(name);
        let start = || -> BroadcastService {
            let service = start_with(&state, |options| options.with_name(name));
            service.open(place.channel()).unwrap();
            let document = server.document(&channel(), Some(&name.into())).unwrap();
            service.follow(document).unwrap();
            wait_for_key(&service);
            service
        };
        // Each restart takes a new MTK ID.
        for run in 0..4 {
            let service = start();
            talk(&service, 10 * run..10 * run + 5);
            wait_until("sent", || counters(&service).packets_out == 5);
            service.stop();
        }
        tap.look();
        tap.mkis()
    };
    let (east, west) = (run("east", "239.255.82.1"), run("west", "239.255.82.2"));
    assert_eq!((east.len(), west.len()), (4, 4), "{east:?} {west:?}");
    assert!(east.iter().all(|mki| !west.contains(mki)), "{east:?} {west:?}");
    // West would take what is for east by mistake only if it were told another name.
    let service = start_with(&folder.path().join("other"), |options| options.with_name("west"));
    service.open(Place::new("239.255.82.3").channel()).unwrap();
    let easts = server.document(&channel(), Some(&"east".into())).unwrap();
    assert!(service.follow(easts).unwrap_err().to_string().contains("another broadcaster"));
}
