//! Who drives one channel: requests, and what has to hold after each crash.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
    thread,
    time::Instant,
};

use mcast_srtp::{
    broadcast::{ChannelDocument, DocumentMsk},
    ids::MskId,
    service::document::from_json,
};
use serde_json::{Value, json};

use crate::{Failing, PATIENCE, PAUSE, Rig, clients::Confirms, http::Answer, random::Random};

/// Where a client stands in a channel, as far as was answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    Out,
    Member,
    Expelled,
}

/// Who drives one channel, and what is known of it.
pub(crate) struct Driver<'a> {
    rig: &'a Rig,
    random: Random,
    pub(crate) name: String,
    settings: Value,
    key_group: u16,
    pub(crate) standing: BTreeMap<String, Standing>,
    /// The channel is being opened, or closed and opened again.
    closing: bool,
    pub(crate) broadcasters: Vec<Option<&'static str>>,
    /// The newest document of each broadcaster, as it was read.
    pub(crate) documents: BTreeMap<Option<&'static str>, (ChannelDocument, Vec<u8>)>,
    pub(crate) msks: BTreeMap<MskId, DocumentMsk>,
}

impl<'a> Driver<'a> {
    pub(crate) fn new(
        rig: &'a Rig,
        key_group: u16,
        (settings, broadcasters): (&str, &'static [&'static str]),
        random: Random,
    ) -> Self {
        let mut settings: Value = serde_json::from_str(settings).unwrap();
        settings["domain"] = "00f110".into();
        settings["key_group"] = key_group.into();
        settings["broadcasters"] = json!(broadcasters);
        let named = broadcasters.iter().copied().map(Some);
        let broadcasters: Vec<_> =
            if broadcasters.is_empty() { vec![None] } else { named.collect() };
        let names = rig.clients.known.keys();
        Self {
            rig,
            random,
            name: format!("channel-{key_group}"),
            settings,
            key_group,
            standing: names.map(|name| (name.clone(), Standing::Out)).collect(),
            closing: true,
            broadcasters,
            documents: BTreeMap::new(),
            msks: BTreeMap::new(),
        }
    }

    /// Works until the channel is to settle, and until it has.
    pub(crate) fn run(&mut self) {
        let rig = self.rig;
        let _failing = Failing(&rig.failed);
        let settings = self.settings.clone();
        self.insist("PUT", "", Some(&settings), None);
        self.closing = false;
        while !self.rig.settle.load(Ordering::Relaxed) {
            self.step();
            self.read_documents();
        }
        self.let_settle();
    }

    /// One request that changes something, or repeats something.
    fn step(&mut self) {
        let names: Vec<_> = self.standing.keys().cloned().collect();
        let client = self.random.pick(&names).clone();
        let member = format!("/members/{client}");
        match (self.standing[&client], self.random.below(16)) {
            (_, 0) if self.random.below(8) == 0 => self.open_anew(),
            (_, 0) => self.update(),
            (Standing::Out, _) => {
                self.insist("PUT", &member, None, Some(&client));
                self.standing.insert(client, Standing::Member);
            }
            (Standing::Member, 1..=3) => {
                self.insist("DELETE", &member, None, Some(&client));
                self.standing.insert(client, Standing::Out);
            }
            (Standing::Member, 4 | 5) => self.expel(&client),
            (Standing::Member, 6..=9) => {
                self.insist("POST", &format!("{member}/msk-request"), None, None);
            }
            // What is done already changes nothing.
            (Standing::Member, _) => drop(self.insist("PUT", &member, None, None)),
            (Standing::Expelled, 1..=8) => {
                self.insist("DELETE", &format!("/expelled/{client}"), None, Some(&client));
                self.rig.clients.journal().unbar(&client, self.key_group);
                self.standing.insert(client, Standing::Out);
            }
            (Standing::Expelled, _) => {
                let refused = self.request("PUT", &member, None, None);
                assert_eq!(refused.status, 409, "{} lets {client} in", self.name);
            }
        }
    }

    fn expel(&mut self, client: &str) {
        let reply = self.insist("PUT", &format!("/expelled/{client}"), None, Some(client));
        self.standing.insert(client.to_owned(), Standing::Expelled);
        let msk_id = |value: &Value| value.as_str().map(msk_id);
        let from = msk_id(&reply["update"]).unwrap_or_else(|| {
            // The update was begun by a request whose answer was lost, or will be when the window closes.
            let channel = self.insist("GET", "", None, None);
            let newest = msk_id(&channel["update"]["msk_id"]);
            let newest = newest.or_else(|| msk_id(&channel["msk_in_force"])).unwrap();
            let windowed = self.settings.get("expulsion_window").is_some();
            MskId { number: newest.number + u16::from(windowed), ..newest }
        });
        self.rig.clients.journal().bar(client, from);
    }

    /// Closes the channel and opens it again: nobody is in it, or expelled from it.
    fn open_anew(&mut self) {
        self.closing = true;
        self.insist("DELETE", "", None, None);
        let settings = self.settings.clone();
        self.insist("PUT", "", Some(&settings), None);
        self.closing = false;
        for (client, standing) in &mut self.standing {
            *standing = Standing::Out;
            self.rig.clients.journal().unbar(client, self.key_group);
        }
    }

    fn update(&mut self) {
        let cause = self.random.pick(&["command", "compromise"]);
        let replaces = self.documents.values().next().map(|(held, _)| held.in_force.to_string());
        let body = json!({ "cause": cause, "replaces": replaces });
        let answer = self.request("POST", "/update", Some(&body), None);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// A request about this channel, repeated until it is answered well. `client` is whose standing it
    /// changes.
    fn insist(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        client: Option<&str>,
    ) -> Value {
        self.request(method, path, body, client).json()
    }

    fn request(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        client: Option<&str>,
    ) -> Answer {
        let path = format!("/v1/channels/{}{path}", self.name);
        let rig = self.rig;
        rig.request(method, &path, body, || self.compare(client))
    }

    /// Waits until the server is there again, and compares who is in the channel. `pending` may have been
    /// taken in, struck off or neither.
    fn compare(&self, pending: Option<&str>) {
        let start = Instant::now();
        let (members, expelled) = loop {
            self.rig.assert_in_time(start, "the key server");
            let get = |path: &str| {
                self.rig.http.ask("GET", &format!("/v1/channels/{}/{path}", self.name), None)
            };
            match (get("members"), get("expelled")) {
                // It is not known whether the channel is open.
                (Ok(_), Ok(_)) if self.closing => return,
                (Ok(members), Ok(expelled)) if members.status != 503 && expelled.status != 503 => {
                    break (members.json(), expelled.json());
                }
                _ => thread::sleep(PAUSE),
            }
        };
        let names = |list: &Value, name: fn(&Value) -> &Value| -> BTreeSet<String> {
            let list = list.as_array().unwrap().iter();
            list.map(|entry| name(entry).as_str().unwrap().to_owned()).collect()
        };
        let members = names(&members["members"], |member| &member["client"]);
        let expelled = names(&expelled["expelled"], |client| client);
        for (client, standing) in &self.standing {
            let now = match (members.contains(client), expelled.contains(client)) {
                (true, false) => Standing::Member,
                (false, true) => Standing::Expelled,
                (false, false) => Standing::Out,
                (true, true) => panic!("{client} is member of {} and expelled", self.name),
            };
            let same = now == *standing || pending == Some(client);
            assert!(same, "{client} of {} was {standing:?}, is {now:?}", self.name);
        }
    }

    /// Every broadcaster asks for what is newer than it holds.
    fn read_documents(&mut self) {
        for broadcaster in self.broadcasters.clone() {
            // Some take their time.
            if self.random.below(4) == 0 {
                continue;
            }
            let held = self.documents.get(&broadcaster);
            let after = held.map_or(0, |(document, _)| document.version);
            let of = broadcaster.map(|name| format!("broadcaster={name}&")).unwrap_or_default();
            // Asking again without `after` says nothing, and brings the same document.
            let again = self.random.below(8) == 0;
            let query = if again { String::new() } else { format!("after={after}") };
            let answer = self.request("GET", &format!("/document?{of}{query}"), None, None);
            match answer.status {
                204 => {}
                _ => {
                    answer.json();
                    self.take_document(broadcaster, answer.body);
                }
            }
        }
    }

    fn take_document(&mut self, broadcaster: Option<&'static str>, body: Vec<u8>) {
        let document = from_json(&body).unwrap();
        if let Some((held, same)) = self.documents.get(&broadcaster) {
            assert!(document.version >= held.version, "{} went back", self.name);
            assert!(document.in_force >= held.in_force, "{} went back", self.name);
            assert!(document.version > held.version || body == *same, "two of one version");
        }
        for msk in &document.msks {
            let known = self.msks.entry(msk.msk_id).or_insert_with(|| msk.clone());
            let same = known.msk.key.same_as(&msk.msk.key) && known.msk.rand == msk.msk.rand;
            assert!(same, "two keys are {}", msk.msk_id);
        }
        self.documents.insert(broadcaster, (document, body));
    }

    /// Waits until no update is under way, and every member that confirms holds the MSK in force.
    fn let_settle(&mut self) {
        let lifetime = json!({ "msk_lifetime": 0 });
        self.insist("PATCH", "", Some(&lifetime), None);
        self.compare(None);
        let members = self.standing.iter().filter(|(_, now)| **now == Standing::Member);
        let members: Vec<_> = members.map(|(client, _)| client.clone()).collect();
        for client in members {
            self.insist("POST", &format!("/members/{client}/msk-request"), None, None);
        }
        let start = Instant::now();
        loop {
            self.read_documents();
            let channel = self.insist("GET", "", None, None);
            let in_force = channel["msk_in_force"].as_str().unwrap().to_owned();
            let lacking = self.lacking(&in_force);
            if channel["update"].is_null() && lacking.is_empty() {
                return self.compare(None);
            }
            assert!(start.elapsed() < PATIENCE, "{lacking:?} lack {in_force}: {channel}");
            thread::sleep(PAUSE);
        }
    }

    /// Members that would confirm and are not known to hold this MSK.
    fn lacking(&mut self, in_force: &str) -> Vec<String> {
        let members = self.insist("GET", "/members", None, None);
        let members = members["members"].as_array().unwrap().iter();
        let lacking = members.filter(|member| {
            let confirms = self.rig.clients.known[member["client"].as_str().unwrap()].confirms;
            member["holds"].as_str() != Some(in_force) && confirms != Confirms::Never
        });
        lacking.map(|member| member["client"].as_str().unwrap().to_owned()).collect()
    }
}

fn msk_id(text: &str) -> MskId {
    let octets: [u8; 4] = hex::decode(text).unwrap().try_into().unwrap();
    MskId::from_bytes(octets)
}
