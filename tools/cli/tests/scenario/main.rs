//! A key server, two broadcasters and ten gateways, each a process on a host of its own: clients join,
//! leave and are expelled, the key server is killed, a client is cut off. In the end each has heard exactly
//! what its membership entitled it to.
//!
//! The two broadcasters serve two areas of one channel, each with a multicast group and a part of the MTK
//! IDs. The test reads from the air which packet went out under which key, and from the gateways' recordings
//! what they heard.

mod air;
#[path = "../common/clients.rs"]
#[allow(dead_code, reason = "the clients' keys are wanted, not the clients")]
mod clients;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/http.rs"]
mod http;
#[path = "../common/lan.rs"]
mod lan;
#[path = "../common/place.rs"]
mod place;
#[path = "../../../../tests/private_net/mod.rs"]
mod private_net;

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    ops::RangeInclusive,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use air::{Air, FRAME, Talk};
use common::{Files, text};
use http::Http;
use lan::{Host, Lan};
use mcast_srtp::rx::Limits;
use place::{Place, Running};
use serde_json::{Value, json};

const GATEWAYS: usize = 10;
const MEDIA_PORT: u16 = 49_170;
const INPUT_PORT: u16 = 6000;
const MIKEY_PORT: u16 = 2269;

/// One area: its broadcaster, and what it puts on the air.
struct Area {
    name: &'static str,
    group: Ipv4Addr,
    host: Host,
    broadcaster: Option<Child>,
    air: Arc<Air>,
}

/// A client: a gateway on a host of its own, with a recording of what it hears.
struct Gateway {
    host: Host,
    area: usize,
    recording: PathBuf,
    program: Option<Child>,
}

/// Everything there is.
struct World {
    files: Files,
    place: Place,
    http: Http,
    server: Option<Running>,
    areas: Vec<Area>,
    gateways: Vec<Gateway>,
    talk: Talk,
}

#[test]
fn every_client_hears_exactly_what_its_membership_entitles_it_to() {
    let test = "every_client_hears_exactly_what_its_membership_entitles_it_to";
    private_net::run(test, true, || match Lan::new() {
        Ok(lan) => play(&mut World::new(&lan)),
        Err(why) => eprintln!("{test}: not run: this host makes no bridge: {why}"),
    });
}

fn play(world: &mut World) {
    let members = [0, 1, 2, 3, 5, 6, 7, 8];
    members.iter().for_each(|n| world.join(*n));
    world.until_all_hear(&members);

    world.join(4);
    world.join(9);
    world.until_all_hear(&[4, 9]);

    world.ask("DELETE", &member(3));
    let without_3 = world.until_switched();

    // The server dies with the update under way.
    world.ask("PUT", "/expelled/c1");
    world.server.take();
    world.server = Some(world.place.start());
    let without_1 = world.until_switched();
    let rest = [0, 2, 4, 5, 6, 7, 8, 9];
    world.until_all_hear(&rest);

    let cut_off = world.cut_off(6);
    world.ask("PUT", "/expelled/c8");
    let without_8 = world.until_switched();
    world.until_all_hear(&[0, 2, 4, 5, 7, 9]);
    assert_eq!(world.heard(1).range(world.first_under(0, without_1)..).next(), None);
    let back = world.plug_in(6);
    world.ask("POST", "/members/c6/msk-request");
    world.until_all_hear(&[6]);

    world.ask("DELETE", "/expelled/c1");
    // A gateway opens what it holds back for a key that comes in time.
    let held_back = Limits::default().hold_time.as_millis() / FRAME.as_millis();
    let readmitted = world.talk.now() - u16::try_from(held_back).unwrap();
    world.join(1);
    world.until_all_hear(&[0, 1, 2, 4, 5, 6, 7, 9]);
    world.end();

    let last = world.talk.now();
    for n in [0, 2, 4, 5, 7, 9] {
        world.assert_heard(n, &[(None, last)]);
    }
    world.assert_heard(3, &[(None, world.first_under(0, without_3) - 1)]);
    world.assert_heard(8, &[(None, world.first_under(1, without_8) - 1)]);
    let expelled = world.first_under(0, without_1) - 1;
    world.assert_heard(1, &[(None, expelled), (Some(readmitted), last)]);
    world.assert_cut_off(6, &cut_off, back, last);
    world.assert_keys_apart();
}

impl World {
    fn new(lan: &Lan) -> Self {
        let files = Files::new();
        let mikey = format!("{}:{MIKEY_PORT}", Lan::HUB);
        let place = Place::new(&files.path(""), &mikey, TIMING);
        let server = place.start();
        let areas = [("east", Ipv4Addr::new(239, 255, 80, 1)), ("west", [239, 255, 80, 2].into())];
        let areas: Vec<_> = (2..)
            .zip(areas)
            .map(|(number, (name, group))| Area::new(lan, number, name, group))
            .collect();
        let gateways = (0..GATEWAYS).map(|n| {
            let number = u8::try_from(10 + n).unwrap();
            let recording = files.path(&format!("c{n}.rtpdump"));
            Gateway { host: lan.host(number), area: n / (GATEWAYS / 2), recording, program: None }
        });
        let talk = Talk::start(areas.iter().map(|area| area.host.address).collect());
        let gateways = gateways.collect();
        let mut world =
            Self { http: place.http(), files, place, server: Some(server), areas, gateways, talk };
        world.open();
        world
    }

    /// The channel with its clients, broadcasters and gateways.
    fn open(&mut self) {
        let settings = json!({
            "domain": "00f110",
            "key_group": 1,
            "broadcasters": ["east", "west"],
            "leave": "update_msk",
            "mtk_period": 1,
        });
        self.http.ask("PUT", "/v1/channels/poc", Some(&settings)).unwrap().json();
        for area in 0..self.areas.len() {
            self.start_broadcaster(area);
        }
        for n in 0..GATEWAYS {
            let muk = clients::muk_body(&client(n), 0);
            let entry = format!(
                "[[muk]]\nidi = {}\nidr = {}\nkey = {}\n",
                muk["idi"], muk["idr"], muk["key"]
            );
            let reach = self.gateways[n].host.address.to_string();
            let body = json!({ "muk": muk, "reach": reach });
            let path = format!("/v1/clients/{}", client(n));
            self.http.ask("PUT", &path, Some(&body)).unwrap().json();
            self.start_gateway(n, &entry);
        }
    }

    fn start_broadcaster(&mut self, area: usize) {
        let Area { name, group, ref host, .. } = self.areas[area];
        let state = self.files.path(&format!("{name}.state"));
        let config = self.files.write(
            &format!("{name}.toml"),
            format!(
                "name = \"{name}\"\n[state]\nfile = {state:?}\n\
                 [key_server]\nurl = \"unix:{}\"\n\
                 [[channel]]\nname = \"poc\"\ngroup = \"{group}\"\nport = {MEDIA_PORT}\n\
                 iface = \"{}\"\ninput = {{ udp = \"{}:{INPUT_PORT}\" }}\n",
                text(&self.place.socket()),
                host.address,
                host.address,
            ),
        );
        let mut command = host.command(env!("CARGO_BIN_EXE_mcast-srtp"));
        let child = command.args(["broadcast", "--config", text(&config)]).stdout(Stdio::null());
        self.areas[area].broadcaster = Some(child.spawn().unwrap());
    }

    fn start_gateway(&mut self, n: usize, keys: &str) {
        let Gateway { ref host, area, ref recording, .. } = self.gateways[n];
        let keys = self.files.write(&format!("c{n}.toml"), keys);
        let sdp = format!(
            "v=0\r\no=poc 1 1 IN IP4 192.0.2.10\r\ns=poc\r\nc=IN IP4 {}/1\r\nt=0 0\r\n\
             m=audio {MEDIA_PORT} RTP/SAVP 97\r\na=rtpmap:97 AMR/8000/1\r\n",
            self.areas[area].group
        );
        let sdp = self.files.write(&format!("c{n}.sdp"), sdp);
        let address = host.address.to_string();
        let mut command = host.command(env!("CARGO_BIN_EXE_mcast-srtp"));
        command.args(["recv", "--sdp", text(&sdp), "--keys", text(&keys), "--iface", &address]);
        command.args(["--msk-at", &address, "--rtpdump", text(recording), "--json"]);
        let out = std::fs::File::create(self.files.path(&format!("c{n}.json"))).unwrap();
        self.gateways[n].program = Some(command.stdout(out).spawn().unwrap());
    }

    fn ask(&self, method: &str, path: &str) -> Value {
        self.http.ask(method, &format!("/v1/channels/poc{path}"), None).unwrap().json()
    }

    fn join(&self, n: usize) {
        assert_eq!(self.ask("PUT", &member(n))["changed"], true);
    }

    /// The sequence numbers that a gateway has recorded.
    fn heard(&self, n: usize) -> BTreeSet<u16> {
        let file = std::fs::read(&self.gateways[n].recording).unwrap_or_default();
        let heard: Vec<_> = recorded(&file).collect();
        let distinct: BTreeSet<_> = heard.iter().copied().collect();
        assert_eq!(heard.len(), distinct.len(), "{} heard a packet twice", client(n));
        distinct
    }

    /// Waits until each of these has heard something that is sent from now on.
    fn until_all_hear(&self, gateways: &[usize]) {
        let now = self.talk.now();
        for n in gateways {
            until(&format!("{} hears", client(*n)), || self.heard(*n).last() > Some(&now));
        }
    }

    /// Waits until both areas send under the MSK that an update brings; tells its number.
    fn until_switched(&self) -> u16 {
        until("the switch", || self.ask("GET", "")["update"].is_null());
        let number = key_number(&self.ask("GET", "")["msk_in_force"]);
        for area in &self.areas {
            let what = format!("{} sends under MSK {number}", area.name);
            until(&what, || area.air.newest().is_some_and(|newest| newest == number));
        }
        number
    }

    /// Unplugs a gateway; tells the packets around that moment.
    fn cut_off(&self, n: usize) -> RangeInclusive<u16> {
        let before = self.talk.now();
        self.gateways[n].host.plug(false);
        before..=self.talk.now()
    }

    /// Plugs it in again; tells the first packet that it may hear.
    fn plug_in(&self, n: usize) -> u16 {
        let now = self.talk.now();
        self.gateways[n].host.plug(true);
        now
    }

    fn first_under(&self, area: usize, msk: u16) -> u16 {
        self.areas[area].air.first_under(msk)
    }

    /// Ends the talk and then the gateways, when what was said is recorded.
    fn end(&mut self) {
        self.talk.end();
        let last = self.talk.now();
        for n in [0, 1, 2, 4, 5, 6, 7, 9] {
            until("the last packet is recorded", || self.heard(n).last() == Some(&last));
        }
        for gateway in &mut self.gateways {
            let mut program = gateway.program.take().unwrap();
            terminate(&program);
            assert!(program.wait().unwrap().success());
        }
    }

    /// Checks that a gateway heard all packets of each stretch up to its end, and none between them. Where
    /// a stretch begins, a key has to arrive first: it begins after the packet given, if one is.
    fn assert_heard(&self, n: usize, stretches: &[(Option<u16>, u16)]) {
        let heard = self.heard(n);
        let mut expected = BTreeSet::new();
        for (after, last) in stretches {
            let first = heard.range(after.unwrap_or(0)..=*last).next();
            let first = *first.unwrap_or_else(|| panic!("{} heard nothing", client(n)));
            expected.extend(first..=*last);
        }
        let (missed, excess): (Vec<_>, Vec<_>) =
            (expected.difference(&heard).collect(), heard.difference(&expected).collect());
        assert!(missed.is_empty(), "{} missed {missed:?} of {stretches:?}", client(n));
        assert!(excess.is_empty(), "{} heard {excess:?} beside {stretches:?}", client(n));
    }

    /// The same of one that was cut off for a while.
    fn assert_cut_off(&self, n: usize, cut: &RangeInclusive<u16>, back: u16, last: u16) {
        let heard = self.heard(n);
        let before = *heard.range(..=*cut.end()).next_back().unwrap();
        assert!(cut.contains(&before), "{} heard up to {before}, cut at {cut:?}", client(n));
        self.assert_heard(n, &[(None, before), (Some(back), last)]);
    }

    /// No MTK was used in both areas.
    fn assert_keys_apart(&self) {
        let [east, west] = [0, 1].map(|area| self.areas[area].air.keys());
        assert!(east.is_disjoint(&west), "{east:?} and {west:?}");
        println!("{} packets, MKIs {east:?} and {west:?}", self.talk.now());
        assert!(east.len() > 4 && west.len() > 4, "an MTK each second: {east:?} and {west:?}");
    }
}

impl Area {
    fn new(lan: &Lan, number: u8, name: &'static str, group: Ipv4Addr) -> Self {
        let air = Arc::<Air>::default();
        air.listen(group);
        Self { name, group, host: lan.host(number), broadcaster: None, air }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let gateways = self.gateways.iter_mut().filter_map(|gateway| gateway.program.take());
        let broadcasters = self.areas.iter_mut().filter_map(|area| area.broadcaster.take());
        for mut program in gateways.chain(broadcasters) {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// The sequence numbers of an rtpdump file that is still being written.
fn recorded(file: &[u8]) -> impl Iterator<Item = u16> {
    let head = file.iter().position(|octet| *octet == b'\n').map_or(0, |line| line + 1 + 16);
    let mut rest = file.get(head..).unwrap_or_default();
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
        let (record, behind) = rest.split_at_checked(len)?;
        rest = behind;
        Some(u16::from_be_bytes([record[10], record[11]]))
    })
}

/// Waits for what takes a while.
fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < PATIENCE, "not so within {PATIENCE:?}: {what}");
        thread::sleep(PAUSE);
    }
}

fn terminate(program: &Child) {
    let kill = Command::new("kill").args(["-TERM", &program.id().to_string()]).status();
    assert!(kill.unwrap().success());
}

fn client(n: usize) -> String {
    format!("c{n}")
}

fn member(n: usize) -> String {
    format!("/members/c{n}")
}

fn key_number(msk_id: &Value) -> u16 {
    u16::from_str_radix(&msk_id.as_str().unwrap()[4..], 16).unwrap()
}

const TIMING: &str = "[timing]\nudp = { first = 0.1, longest = 0.5, tries = 20 }\n\
    [channel_defaults]\nconfirm_within = 3\ngrace = 1\n";
/// Longer than anything takes here, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
