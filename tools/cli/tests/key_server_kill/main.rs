//! `key-server`, killed again and again at work: whatever it has answered or sent still holds when it is
//! there again, and no identifier, counter or key is ever used for two things.
//!
//! Each channel is driven by a thread of its own, whose requests are repeated until they are answered. The
//! thread knows who is in the channel, and compares after each crash; what left the socket is compared with
//! all that left it before, in whichever life of the server.

#[path = "../common/clients.rs"]
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod driver;
#[path = "../common/http.rs"]
mod http;
#[path = "../common/place.rs"]
mod place;
#[path = "../common/random.rs"]
mod random;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use clients::{Clients, Confirms};
use common::{DOMAIN, Files};
use driver::{Driver, Standing};
use http::{Answer, Http};
use place::Place;
use random::Random;
use serde_json::{Value, json};

const KILLS: u32 = 300;

/// The channels' settings, and their broadcasters.
const CHANNELS: [(&str, &[&str]); 4] = [
    (r#"{"leave":"keep_msk"}"#, &["east", "west"]),
    (r#"{"leave":"update_msk","unconfirmed":"keep_trying"}"#, &[]),
    (r#"{"leave":"batched","leave_window":0.1,"expulsion_window":0.15}"#, &["east"]),
    (r#"{"leave":"keep_msk","msk_lifetime":0.3}"#, &[]),
];

/// Waits that let a life of the server hold whole updates.
const TIMING: &str = "[timing]\nudp = { first = 0.03, longest = 0.2, tries = 6 }\n\
    [channel_defaults]\nconfirm_within = 0.1\ngrace = 0.1\n";

/// What the drivers share.
struct Rig {
    http: Http,
    clients: Clients,
    /// No more requests that change something.
    settle: AtomicBool,
    /// One part of the test has failed: nobody is to wait for it.
    failed: AtomicBool,
    answered: AtomicUsize,
}

/// Tells the others when a thread panics.
struct Failing<'a>(&'a AtomicBool);

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        self.0.fetch_or(thread::panicking(), Ordering::Relaxed);
    }
}

#[test]
fn nothing_answered_is_undone_and_nothing_used_twice_over_300_kills() {
    let files = Files::new();
    let mut random = Random(Random::seed("KEY_SERVER_KILL_SEED"));
    let place = Place::new(files.path("").as_path(), "127.0.0.1:0", TIMING);
    let names = (0..24).map(|n| {
        let confirms = match n % 8 {
            0 => Confirms::Never,
            1 | 2 => Confirms::After(Duration::from_millis(20 * n)),
            _ => Confirms::AtOnce,
        };
        (format!("c{n:02}"), confirms)
    });
    let rig = Rig {
        http: place.http(),
        clients: Clients::start(names),
        settle: AtomicBool::new(false),
        failed: AtomicBool::new(false),
        answered: AtomicUsize::new(0),
    };
    let first = place.start();
    for name in rig.clients.known.keys() {
        let added =
            rig.http.ask("PUT", &format!("/v1/clients/{name}"), Some(&rig.clients.body(name)));
        added.unwrap().json();
    }
    thread::scope(|scope| {
        let _failing = Failing(&rig.failed);
        let drivers: Vec<_> = (1..)
            .zip(CHANNELS)
            .map(|(group, channel)| Driver::new(&rig, group, channel, Random(random.next())))
            .map(|mut driver| {
                scope.spawn(move || {
                    driver.run();
                    driver
                })
            })
            .collect();
        let random_of_muks = Random(random.next());
        let renewing = scope.spawn(|| renew_muks(&rig, random_of_muks));
        let mut server = Some(first);
        for _ in 0..KILLS {
            thread::sleep(Duration::from_micros(random.below(120_000)));
            drop(server.take());
            server = Some(place.start());
            rig.clients.journal().assert_clean();
            if rig.failed.load(Ordering::Relaxed) {
                break;
            }
        }
        rig.settle.store(true, Ordering::Relaxed);
        let drivers: Vec<_> = drivers.into_iter().map(|driver| driver.join().unwrap()).collect();
        check_clients(&rig, &drivers, &renewing.join().unwrap());
        drop(server);
        check_keys(&rig, &drivers);
    });
    let (answered, messages) =
        (rig.answered.load(Ordering::Relaxed), rig.clients.journal().messages);
    println!("{KILLS} kills, {answered} requests answered, {messages} MSK messages");
    assert!(answered > 1000 && messages > 1000, "too little load to say anything");
    rig.clients.journal().assert_clean();
}

impl Rig {
    /// Asks until there is an answer. `after_a_crash` is called whenever there is none.
    fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        mut after_a_crash: impl FnMut(),
    ) -> Answer {
        let start = Instant::now();
        loop {
            self.assert_in_time(start, path);
            match self.http.ask(method, path, body) {
                Ok(answer) if answer.status != 503 => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    return answer;
                }
                Ok(_) => {}
                Err(_) => after_a_crash(),
            }
            thread::sleep(PAUSE);
        }
    }

    fn assert_in_time(&self, start: Instant, what: &str) {
        assert!(!self.failed.load(Ordering::Relaxed), "another part has failed");
        assert!(start.elapsed() < PATIENCE, "no answer: {what}");
    }
}

/// Clients bootstrap again, one after the other; tells how often each has.
fn renew_muks(rig: &Rig, mut random: Random) -> BTreeMap<String, u32> {
    let _failing = Failing(&rig.failed);
    let mut renewals: BTreeMap<_, _> =
        rig.clients.known.keys().map(|name| (name.clone(), 0)).collect();
    let names: Vec<_> = renewals.keys().cloned().collect();
    let mut newest = renewals.clone();
    while !rig.settle.load(Ordering::Relaxed) {
        let client = random.pick(&names);
        let path = format!("/v1/clients/{client}");
        let former: u32 = renewals[client];
        // Some go back to the MUK they had before.
        let back = former.checked_sub(1).filter(|_| random.below(4) == 0);
        let times = back.unwrap_or_else(|| newest[client] + 1);
        newest.insert(client.clone(), times.max(newest[client]));
        let body = rig.clients.renewed(client, times);
        rig.request("PUT", &format!("{path}/muk"), Some(&body), || {
            // It may have been renewed, or not.
            let Ok(known) = rig.http.ask("GET", &path, None) else { return };
            if known.status == 200 {
                let ids = [former, times].map(|times| clients::muk_id(client, times).idr);
                let known = known.json();
                assert!(ids.iter().any(|idr| known["idr"] == **idr), "{ids:?}: {known}");
            }
        })
        .json();
        renewals.insert(client.clone(), times);
        thread::sleep(Duration::from_millis(20));
    }
    renewals
}

/// The roster knows the channels of each client, and no counter lower than one that was used.
fn check_clients(rig: &Rig, drivers: &[Driver<'_>], renewals: &BTreeMap<String, u32>) {
    for client in rig.clients.known.keys() {
        let known = rig.http.ask("GET", &format!("/v1/clients/{client}"), None).unwrap().json();
        let is_member = |driver: &&Driver<'_>| driver.standing[client] == Standing::Member;
        let channels: Vec<_> =
            drivers.iter().filter(is_member).map(|driver| &driver.name).collect();
        assert_eq!(known["channels"], json!(channels), "{client}");
        let idr = clients::muk_id(client, renewals[client]).idr;
        let used = rig.clients.journal().last_counter(client, &idr);
        assert_eq!(known["idr"], *idr, "{client}");
        assert!(
            known["last_counter"].as_u64().unwrap() >= used.into(),
            "{client}: {known}, {used}"
        );
    }
}

/// Members hold the MSK in force, and the keys of clients are those of the broadcasters.
fn check_keys(rig: &Rig, drivers: &[Driver<'_>]) {
    let journal = rig.clients.journal();
    for driver in drivers {
        let checked = driver.msks.values().map(|msk| journal.check_key(DOMAIN, msk)).sum::<usize>();
        assert!(checked > 0, "{}", driver.name);
        let (document, _) = &driver.documents[&driver.broadcasters[0]];
        for (client, standing) in &driver.standing {
            let held = journal.was_given(client, document.in_force);
            assert!(held || *standing != Standing::Member, "{client} of {}", driver.name);
        }
    }
}

/// Longer than anything takes here, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);
