//! The configuration file of the key server.
//!
//! Every complaint names file, line and field. The file holds no secrets, only the places of them.

mod raw;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use mcast_srtp::{
    broadcast::BroadcasterId,
    keyserver::{Retry, Timing},
    service::{KeyServiceLimits, KeyServiceOptions},
    state::StateOptions,
};
use toml::Spanned;

use super::{access::Access, push::Target};
use crate::{
    control::{ChannelSettings, Seconds, check_name},
    exit::Failure,
    http::{Endpoint, Token},
    key_source::{KeySource, sealing_key},
    keyfile::{GivenClient, KeyFile},
    toml_file::{self, Fault, line_of},
};
use raw::{Raw, RawBroadcaster, RawHttp, RawTiming};

/// What the file says, checked; secrets are not read yet.
#[derive(Debug)]
pub(super) struct Config {
    state_file: PathBuf,
    state_key: Option<Source>,
    pub(super) listen: Listen,
    pub(super) connections: usize,
    pub(super) event_readers: usize,
    pub(super) max_body: usize,
    token: Option<Source>,
    metrics_token: Option<Source>,
    mikey: Option<SocketAddr>,
    timing: Timing,
    broadcaster_silence: Option<Duration>,
    limits: KeyServiceLimits,
    pub(super) defaults: ChannelSettings,
    broadcasters: Vec<Broadcaster>,
    clients: Option<PathBuf>,
}

/// Where requests come in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// The place of a secret, and its place in the file.
#[derive(Debug)]
struct Source {
    place: String,
    source: KeySource,
}

#[derive(Debug)]
struct Broadcaster {
    name: BroadcasterId,
    access_token: Option<Source>,
    push: Option<(Endpoint, Option<Source>, Duration)>,
}

/// All that the program needs, secrets included.
pub(super) struct Opened {
    pub(super) service: KeyServiceOptions,
    pub(super) access: Access,
    pub(super) targets: Vec<Target>,
    pub(super) clients: Vec<GivenClient>,
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// A usage failure that says where and what is wrong.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        toml_file::read(path, |text| Self::parse(text, &path.display().to_string()))
    }

    fn parse(text: &str, path: &str) -> Result<Self, Fault> {
        let raw: Raw = toml::from_str(text).map_err(|error| Fault::syntax(text, &error))?;
        let file = File { text, path };
        let http = raw.http.unwrap_or_default();
        let listen = file.listen(&http)?;
        let mut broadcasters = Vec::new();
        for (n, given) in (1..).zip(&raw.broadcaster) {
            let broadcaster = file.broadcaster(n, given, http.token.is_some())?;
            if broadcasters.iter().any(|other: &Broadcaster| other.name == broadcaster.name) {
                let table = format!("[[broadcaster]] entry {n}");
                return Err(file.fault(&given.name, &table, "name", "given twice"));
            }
            broadcasters.push(broadcaster);
        }
        if let (Some(place), None) = (&http.metrics_token, &http.token) {
            let what = "of no use without token: everybody may read the metrics";
            return Err(file.fault(place, "[http]", "metrics_token", what));
        }
        let mut defaults = ChannelSettings::default();
        if let Some(given) = raw.channel_defaults {
            file.check_defaults(&given)?;
            defaults = given.into_inner();
        }
        let (timing, limits) = (raw.timing.unwrap_or_default(), raw.limits.unwrap_or_default());
        Ok(Self {
            state_file: raw.state.file,
            state_key: raw.state.key.map(|key| file.source(&key, "[state] key")),
            listen,
            connections: limits.connections.unwrap_or(512).max(1),
            event_readers: limits.event_readers.unwrap_or(64),
            max_body: limits.body.unwrap_or(1 << 20),
            token: http.token.map(|token| file.source(&token, "[http] token")),
            metrics_token: http
                .metrics_token
                .map(|token| file.source(&token, "[http] metrics_token")),
            mikey: raw.mikey.map(|mikey| mikey.listen),
            timing: file.timing(&timing)?,
            broadcaster_silence: timing
                .broadcaster_silence
                .map(|time| file.seconds(&time, "[timing]", "broadcaster_silence"))
                .transpose()?,
            limits: limits.service(),
            defaults,
            broadcasters,
            clients: raw.clients,
        })
    }

    /// Reads the secrets and the clients that the file names.
    ///
    /// # Errors
    /// A usage failure that says where and what is wrong.
    pub(super) fn open(&mut self) -> Result<Opened, Failure> {
        let mut state = StateOptions::new(&self.state_file);
        if let Some(Source { place, source }) = &self.state_key {
            state = state.sealed_with(sealing_key(place, source)?);
        }
        let mut service = KeyServiceOptions::new(state);
        service.timing = self.timing;
        service.mikey = self.mikey;
        service.limits = self.limits;
        if let Some(silence) = self.broadcaster_silence {
            service.broadcaster_silence = silence;
        }
        let token = |source: &Option<Source>| {
            source.as_ref().map(|Source { place, source }| Token::read(place, source)).transpose()
        };
        let mut access = Access {
            operator: token(&self.token)?,
            metrics: token(&self.metrics_token)?,
            broadcasters: Vec::new(),
            local_names_only: self.token.is_none() && matches!(self.listen, Listen::Tcp(_)),
        };
        let mut targets = Vec::new();
        for Broadcaster { name, access_token, push } in std::mem::take(&mut self.broadcasters) {
            if let Some(known) = token(&access_token)? {
                access.broadcasters.push((name.clone(), known));
            }
            if let Some((endpoint, push_token, every)) = push {
                let endpoint = endpoint.with_token(token(&push_token)?);
                targets.push(Target { name, endpoint, every });
            }
        }
        let clients = match &self.clients {
            Some(path) => KeyFile::read(path)?.muks,
            None => Vec::new(),
        };
        Ok(Opened { service, access, targets, clients })
    }
}

/// The text, for complaints.
struct File<'a> {
    text: &'a str,
    path: &'a str,
}

impl File<'_> {
    fn fault<T>(
        &self,
        value: &Spanned<T>,
        table: &str,
        field: &str,
        what: impl std::fmt::Display,
    ) -> Fault {
        Fault::field(self.text, value.span(), table, field, what)
    }

    fn source(&self, value: &Spanned<String>, place: &str) -> Source {
        let place = format!("{}:{}: {place}", self.path, line_of(self.text, value.span().start));
        let Ok(source) = value.get_ref().parse();
        Source { place, source }
    }

    fn listen(&self, http: &RawHttp) -> Result<Listen, Fault> {
        let Some(given) = &http.listen else {
            return Ok(Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT))));
        };
        let fault = |what: &str| self.fault(given, "[http]", "listen", what);
        match given.get_ref().strip_prefix("unix:") {
            Some("") => return Err(fault("unix: takes the path of a socket behind it")),
            Some(path) => return Ok(Listen::Unix(path.into())),
            None => {}
        }
        let address: SocketAddr = given.get_ref().parse().map_err(|_| {
            fault("neither an address with a port, for example 127.0.0.1:7269, nor unix:PATH")
        })?;
        if !address.ip().is_loopback() {
            if !http.allow_remote {
                return Err(fault(
                    "not a loopback address. Requests and answers are not encrypted: put a reverse \
                     proxy with TLS before a loopback address, or say allow_remote = true",
                ));
            }
            if http.token.is_none() {
                return Err(fault("not a loopback address: that takes a token"));
            }
        }
        Ok(Listen::Tcp(address))
    }

    fn seconds(
        &self,
        value: &Spanned<Seconds>,
        table: &str,
        field: &str,
    ) -> Result<Duration, Fault> {
        value.get_ref().read().map_err(|what| self.fault(value, table, field, what))
    }

    fn timing(&self, given: &RawTiming) -> Result<Timing, Fault> {
        let mut timing = Timing::default();
        for (table, retry, place) in [
            ("[timing.udp]", &given.udp, &mut timing.udp),
            ("[timing.sdp]", &given.sdp, &mut timing.sdp),
        ] {
            let Some(retry) = retry else { continue };
            let first = self.seconds(&retry.first, table, "first")?;
            let longest = self.seconds(&retry.longest, table, "longest")?;
            if first.is_zero() || longest < first {
                let what = "the wait before the second copy is above 0 and not above longest";
                return Err(self.fault(&retry.first, table, "first", what));
            }
            *place = Retry::new(first, longest, retry.tries);
        }
        Ok(timing)
    }

    fn broadcaster(
        &self,
        n: usize,
        given: &RawBroadcaster,
        has_token: bool,
    ) -> Result<Broadcaster, Fault> {
        let table = format!("[[broadcaster]] entry {n}");
        check_name(given.name.get_ref())
            .map_err(|what| self.fault(&given.name, &table, "name", what))?;
        if let (Some(place), false) = (&given.access_token, has_token) {
            let what = "of no use without [http] token: everybody may read documents";
            return Err(self.fault(place, &table, "access_token", what));
        }
        let source = |token: &Option<Spanned<String>>, field: &str| {
            token.as_ref().map(|token| self.source(token, &format!("{table}, field {field}")))
        };
        let push = match &given.url {
            None => None,
            Some(url) => {
                let endpoint = url.get_ref().parse::<Endpoint>();
                let endpoint = endpoint.map_err(|what| self.fault(url, &table, "url", what))?;
                let every = match &given.every {
                    Some(time) => self.seconds(time, &table, "every")?,
                    None => Duration::from_secs(5),
                };
                Some((endpoint, source(&given.push_token, "push_token"), every.max(SHORTEST_ROUND)))
            }
        };
        let access_token = source(&given.access_token, "access_token");
        let name = given.name.get_ref().as_str().into();
        Ok(Broadcaster { name, access_token, push })
    }

    /// Settings that no channel could have are told now, not when the first one is opened.
    fn check_defaults(&self, given: &Spanned<ChannelSettings>) -> Result<(), Fault> {
        let own = ChannelSettings {
            domain: Some("000000".to_owned()),
            key_group: Some(1),
            ..ChannelSettings::default()
        };
        let Err(fault) = given.get_ref().clone().over(&own).spec() else { return Ok(()) };
        let start = given.span().start;
        let lines = self.text.get(start..).unwrap_or_default().split_inclusive('\n');
        let names_it = |line: &&str| {
            let rest = line.trim_start().strip_prefix(fault.field);
            rest.is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
        };
        let before: usize = lines.take_while(|line| !names_it(line)).map(str::len).sum();
        // The domain and the key group above are fine, so that the field is in the table.
        let start = start + before;
        Err(Fault::field(self.text, start..start, "[channel_defaults]", fault.field, fault.what))
    }
}

const DEFAULT_PORT: u16 = 7269;
/// Heartbeats are not sent more often.
const SHORTEST_ROUND: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        Config::parse(text, "key-server.toml").unwrap_err().to_string()
    }

    const STATE: &str = "[state]\nfile = \"s\"\n";

    #[test]
    fn example_is_a_configuration() {
        let text = include_str!("../../../examples/key-server.toml");
        let config = Config::parse(text, "key-server.toml").unwrap();
        assert_eq!(config.listen, Listen::Unix("/run/mcast-srtp/key-server.sock".into()));
        assert!(config.defaults.domain.is_some() && config.broadcasters.len() == 2);
    }

    #[test]
    fn least_configuration_is_a_state_file_and_listens_on_loopback() {
        let mut config = Config::parse(STATE, "key-server.toml").unwrap();
        assert_eq!(config.listen, Listen::Tcp("127.0.0.1:7269".parse().unwrap()));
        assert!(config.open().unwrap().access.local_names_only);
    }

    #[test]
    fn complaints_name_line_and_field() {
        for (more, told) in [
            ("[http]\nlisten = \"0.0.0.0:7269\"", "4: [http], field listen: not a loopback"),
            (
                "[http]\nlisten = \"0.0.0.0:7269\"\nallow_remote = true",
                "4: [http], field listen: not a loopback address: that takes a token",
            ),
            ("[http]\nlisten = \"localhost\"", "4: [http], field listen: neither"),
            ("[http]\nlisten = \"unix:\"", "4: [http], field listen: unix: takes"),
            ("[http]\n\nmetrics_token = \"t\"", "5: [http], field metrics_token: of no use"),
            ("[html]\n", "3: unknown field `html`"),
            ("[mikey]\nlisten = 5", "4: invalid type"),
            ("[limits]\nevents = -1", "4: invalid value"),
            (
                "[timing.udp]\nfirst = 0\nlongest = 1\ntries = 3",
                "4: [timing.udp], field first: the wait before",
            ),
            (
                "[timing]\nbroadcaster_silence = -2",
                "4: [timing], field broadcaster_silence: a time",
            ),
            (
                "[channel_defaults]\n# c\nleave = \"keep_msk\"\nprofile = \"ROT13\"",
                "6: [channel_defaults], field profile: ",
            ),
            ("[[broadcaster]]\nname = \"\"", "4: [[broadcaster]] entry 1, field name: a name has"),
            (
                "[[broadcaster]]\nname = \"a\"\n[[broadcaster]]\nname = \"a\"",
                "6: [[broadcaster]] entry 2, field name: given twice",
            ),
            (
                "[[broadcaster]]\nname = \"a\"\nurl = \"https://b\"",
                "5: [[broadcaster]] entry 1, field url: https",
            ),
            (
                "[[broadcaster]]\nname = \"a\"\naccess_token = \"t\"",
                "5: [[broadcaster]] entry 1, field access_token: of no use",
            ),
        ] {
            let told_now = fault(&format!("{STATE}{more}"));
            assert!(told_now.starts_with(told), "{more}: {told_now}");
        }
        assert!(fault("").contains("missing field `state`"));
    }

    #[test]
    fn secret_that_cannot_be_read_is_told_with_its_line() {
        let text = format!("{STATE}[http]\ntoken = \"env:MCAST_SRTP_NO_SUCH_TOKEN\"\n");
        let mut config = Config::parse(&text, "key-server.toml").unwrap();
        let Err(failure) = config.open() else { panic!("there is no such variable") };
        assert_eq!(
            failure.to_string(),
            "key-server.toml:4: [http] token env:MCAST_SRTP_NO_SUCH_TOKEN: not set, or no text"
        );
    }
}
