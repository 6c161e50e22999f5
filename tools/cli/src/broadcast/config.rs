//! The configuration file of the broadcaster.
//!
//! Every complaint names file, line and field. The file holds no secrets, only the places of them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use mcast_srtp::{
    broadcast::ChannelId,
    group::{Codec, GroupSpec, Interface, MediaSpec, RtcpPlace},
    net::SendOptions,
    service::{BroadcastChannel, BroadcastServiceOptions},
    state::StateOptions,
};
use serde::Deserialize;
use toml::Spanned;

use crate::{
    control::{Seconds, check_name},
    exit::Failure,
    http::{Endpoint, Token},
    key_server::Listen,
    key_source::{KeySource, sealing_key},
    toml_file::{self, Fault},
};

/// What the file says, checked; secrets are not read yet.
#[derive(Debug)]
pub(super) struct Config {
    raw: Raw,
    pub(super) channels: Vec<Channel>,
    pub(super) listen: Option<Listen>,
    silence_after: Option<Duration>,
    endpoint: Option<Endpoint>,
}

/// One channel to send.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) channel: BroadcastChannel,
    pub(super) file: Option<FileInput>,
    /// Where the session description is written.
    pub(super) sdp_out: Option<PathBuf>,
}

/// A recording that is sent.
#[derive(Clone, Debug)]
pub(super) struct FileInput {
    /// rtpdump, pcap or pcapng.
    pub(super) file: PathBuf,
    /// Only what the capture has to this UDP port.
    pub(super) port: Option<u16>,
    /// Again from the start when it is over.
    pub(super) again: bool,
    /// The name in the talk bursts that are announced around each spurt; none are without.
    pub(super) talker: Option<String>,
}

/// All that the program needs, secrets included.
pub(super) struct Opened {
    pub(super) service: BroadcastServiceOptions,
    /// Where documents are pulled from.
    pub(super) key_server: Option<Endpoint>,
    pub(super) name: Option<String>,
    pub(super) token: Option<Token>,
    pub(super) metrics_token: Option<Token>,
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// A usage failure that says where and what is wrong.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        toml_file::read(path, Self::parse)
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let raw: Raw = toml::from_str(text).map_err(|error| Fault::syntax(text, &error))?;
        let file = File(text);
        if let Some(name) = &raw.name {
            check_name(name.get_ref()).map_err(|what| file.fault(name, "top", "name", what))?;
        }
        let mut channels = Vec::<Channel>::new();
        for (n, given) in (1..).zip(&raw.channel) {
            let table = format!("[[channel]] entry {n}");
            let channel = file.channel(given, &table, raw.source_port.unwrap_or(SOURCE_PORT))?;
            if channels.iter().any(|other| other.channel.id == channel.channel.id) {
                return Err(file.fault(&given.name, &table, "name", "given twice"));
            }
            channels.push(channel);
        }
        let endpoint = raw.key_server.as_ref().map(|server| {
            let endpoint = server.url.get_ref().parse::<Endpoint>();
            endpoint.map_err(|what| file.fault(&server.url, "[key_server]", "url", what))
        });
        let endpoint = endpoint.transpose()?;
        if raw.key_server.is_none() && raw.http.is_none() {
            return Err(Fault::new(
                text,
                0,
                "neither [key_server] to pull documents from, nor [http] \
                                            to have them pushed to: no channel would get keys",
            ));
        }
        let listen = raw.http.as_ref().map(|http| file.listen(http)).transpose()?;
        let silence_after = raw.silence_after.as_ref().map(|time| {
            time.get_ref().read().map_err(|what| file.fault(time, "top", "silence_after", what))
        });
        let silence_after = silence_after.transpose()?;
        Ok(Self { raw, channels, listen, silence_after, endpoint })
    }

    /// Reads the secrets that the file names.
    ///
    /// # Errors
    /// A usage failure that says where and what is wrong.
    pub(super) fn open(&mut self) -> Result<Opened, Failure> {
        let mut state = StateOptions::new(&self.raw.state.file);
        if let Some(place) = &self.raw.state.key {
            state = state.sealed_with(sealing_key("[state] key", &source(place))?);
        }
        let token = |option: &str, place: Option<&String>| {
            place.map(|place| Token::read(option, &source(place))).transpose()
        };
        let http = self.raw.http.as_ref();
        let pull = self.raw.key_server.as_ref().and_then(|server| server.token.as_ref());
        let pull = token("[key_server] token", pull)?;
        let mut service =
            BroadcastServiceOptions::new(state).with_silence_after(self.silence_after);
        let name = self.raw.name.as_ref().map(|name| name.get_ref().clone());
        if let Some(name) = &name {
            service = service.with_name(name.as_str());
        }
        Ok(Opened {
            service,
            key_server: self.endpoint.take().map(|endpoint| endpoint.with_token(pull)),
            name,
            token: token("[http] token", http.and_then(|http| http.token.as_ref()))?,
            metrics_token: token(
                "[http] metrics_token",
                http.and_then(|http| http.metrics_token.as_ref()),
            )?,
        })
    }
}

fn source(place: &str) -> KeySource {
    let Ok(source) = place.parse();
    source
}

/// The text, for complaints.
struct File<'a>(&'a str);

impl File<'_> {
    fn fault<T>(
        &self,
        value: &Spanned<T>,
        table: &str,
        field: &str,
        what: impl std::fmt::Display,
    ) -> Fault {
        Fault::field(self.0, value.span(), table, field, what)
    }

    fn listen(&self, http: &RawHttp) -> Result<Listen, Fault> {
        let fault = |what: &str| self.fault(&http.listen, "[http]", "listen", what);
        if let Some(path) = http.listen.get_ref().strip_prefix("unix:").filter(|p| !p.is_empty()) {
            return Ok(Listen::Unix(path.into()));
        }
        let address: SocketAddr = http.listen.get_ref().parse().map_err(|_| {
            fault("neither an address with a port, for example 127.0.0.1:7270, nor unix:PATH")
        })?;
        let may_be_remote = http.allow_remote && http.token.is_some();
        if !address.ip().is_loopback() && !may_be_remote {
            return Err(fault(
                "not a loopback address. Documents carry keys and are not encrypted: put a reverse \
                 proxy with TLS before a loopback address, or say allow_remote = true and give a token",
            ));
        }
        Ok(Listen::Tcp(address))
    }

    fn channel(&self, given: &RawChannel, table: &str, port: u16) -> Result<Channel, Fault> {
        check_name(given.name.get_ref())
            .map_err(|what| self.fault(&given.name, table, "name", what))?;
        let group = *given.group.get_ref();
        let with_source = |medium: MediaSpec| match given.source {
            Some(source) => medium.from_source(source),
            None => medium,
        };
        let ttl = given.ttl.unwrap_or(1);
        let mut rtp = MediaSpec::rtp(group, given.port).with_ttl(ttl);
        rtp = rtp.with_rtcp(match given.rtcp_port {
            Some(0) => RtcpPlace::None,
            Some(port) if port == given.port => RtcpPlace::Mux,
            Some(port) => RtcpPlace::Port(port, None),
            None => RtcpPlace::Port(given.port.wrapping_add(1), None),
        });
        rtp.payload_types = given.codecs.iter().map(|codec| codec.payload_type).collect();
        rtp.codecs = given.codecs.iter().map(RawCodec::codec).collect();
        let name = given.title.as_ref().unwrap_or_else(|| given.name.get_ref());
        let interface = given.iface.as_deref().unwrap_or("any").parse::<Interface>();
        let interface =
            interface.map_err(|error| self.fault(&given.name, table, "iface", error))?;
        let mut spec = GroupSpec::new(name, interface)
            .with_media(with_source(rtp))
            .with_mikey_port(Some(given.mikey_port.unwrap_or(GroupSpec::MIKEY_PORT)));
        if let Some(port) = given.burst_port {
            spec = spec.with_media(with_source(MediaSpec::burst(group, port).with_ttl(ttl)));
        }
        let any = match group {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let from = SocketAddr::new(given.source.unwrap_or(any), port);
        let mut channel = BroadcastChannel::new(given.name.get_ref().as_str(), spec)
            .with_send_options(SendOptions::default().with_source(from));
        let input = &given.input;
        for listen in input.udp.iter().chain(&input.rtcp) {
            channel = channel.with_input(0, *listen);
        }
        if let Some(listen) = input.burst {
            channel = channel.with_input(1, listen);
        }
        if input.talker.is_some() && (input.file.is_none() || given.burst_port.is_none()) {
            let what = "of no use without file and burst_port: talk bursts have no place to go";
            return Err(self.fault(&given.name, table, "input.talker", what));
        }
        let file = input.file.clone().map(|file| FileInput {
            file,
            port: input.port,
            again: input.again,
            talker: input.talker.clone(),
        });
        channel.validate().map_err(|error| self.fault(&given.group, table, "group", error))?;
        if given.sdp_out.is_some() && given.codecs.is_empty() {
            let what = "takes codecs: a session description names payload types";
            return Err(self.fault(&given.name, table, "sdp_out", what));
        }
        Ok(Channel { channel, file, sdp_out: given.sdp_out.clone() })
    }
}

impl Channel {
    pub(super) fn id(&self) -> &ChannelId {
        &self.channel.id
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Option<Spanned<String>>,
    silence_after: Option<Spanned<Seconds>>,
    source_port: Option<u16>,
    state: RawState,
    key_server: Option<RawKeyServer>,
    http: Option<RawHttp>,
    channel: Vec<RawChannel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawState {
    file: PathBuf,
    key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeyServer {
    url: Spanned<String>,
    token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHttp {
    listen: Spanned<String>,
    token: Option<String>,
    metrics_token: Option<String>,
    #[serde(default)]
    allow_remote: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChannel {
    name: Spanned<String>,
    title: Option<String>,
    group: Spanned<IpAddr>,
    port: u16,
    /// That of RTP: both on one port; 0: no RTCP.
    rtcp_port: Option<u16>,
    burst_port: Option<u16>,
    mikey_port: Option<u16>,
    iface: Option<String>,
    ttl: Option<u8>,
    /// Address of this host, for source-specific groups.
    source: Option<IpAddr>,
    #[serde(default)]
    codecs: Vec<RawCodec>,
    sdp_out: Option<PathBuf>,
    #[serde(default)]
    input: RawInput,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCodec {
    payload_type: u8,
    encoding: String,
    parameters: Option<String>,
}

impl RawCodec {
    fn codec(&self) -> Codec {
        let Self { payload_type, ref encoding, ref parameters } = *self;
        Codec { payload_type, encoding: encoding.clone(), parameters: parameters.clone() }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInput {
    /// RTP, and RTCP if it comes to the same port.
    udp: Option<SocketAddr>,
    rtcp: Option<SocketAddr>,
    burst: Option<SocketAddr>,
    file: Option<PathBuf>,
    port: Option<u16>,
    #[serde(default, rename = "loop")]
    again: bool,
    talker: Option<String>,
}

/// Source port of everything that is sent, unless the file says another.
const SOURCE_PORT: u16 = 7268;

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "[state]\nfile = \"s\"\n[key_server]\nurl = \"http://localhost:7269\"\n";
    const CHANNEL: &str = "[[channel]]\nname = \"17\"\ngroup = \"239.1.1.1\"\nport = 49170\n";

    fn fault(text: &str) -> String {
        Config::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn example_is_a_configuration() {
        let config = Config::parse(include_str!("../../examples/broadcast.toml")).unwrap();
        assert_eq!(config.channels.len(), 2);
        let [first, second] = &config.channels[..] else { panic!("two channels") };
        assert_eq!(first.channel.inputs.len(), 2);
        assert!(second.file.as_ref().is_some_and(|file| file.again && file.talker.is_some()));
        let sdp = first.channel.group.to_sdp(super::super::sdp::origin(&first.channel));
        assert!(sdp.unwrap().contains("m=application 49172 udp TBCP"));
    }

    #[test]
    fn least_channel_sends_from_a_port_that_stays() {
        let config = Config::parse(&format!("{STATE}{CHANNEL}")).unwrap();
        let channel = &config.channels[0].channel;
        assert_eq!(channel.send.source.unwrap().to_string(), "0.0.0.0:7268");
        assert_eq!((channel.group.media.len(), channel.group.media[0].ttl), (1, 1));
    }

    #[test]
    fn complaints_name_line_and_field() {
        let channel = |more: &str| format!("{STATE}{CHANNEL}{more}");
        for (text, told) in [
            (format!("[state]\nfile = \"s\"\n{CHANNEL}"), "neither [key_server]"),
            (channel("codec = []"), "unknown field `codec`"),
            (channel(CHANNEL), "10: [[channel]] entry 2, field name: given twice"),
            (channel("sdp_out = \"x\""), "field sdp_out: takes codecs"),
            (
                channel("input = { file = \"x\", talker = \"a\" }"),
                "of no use without file and burst_port",
            ),
            (channel("input = { udp = \"here\" }"), "9: invalid socket address"),
            (channel("input = { burst = \"127.0.0.1:6000\" }"), "no medium 1"),
            (channel("").replace("239.1.1.1", "10.1.1.1"), "7: [[channel]] entry 1, field group"),
            (channel("").replace("239.1.1.1", "232.1.1.1"), "source-specific"),
            (channel("").replace("http:", "https:"), "4: [key_server], field url: https"),
            (channel("[http]\nlisten = \"0.0.0.0:1\""), "field listen: not a loopback"),
            (format!("silence_after = -1\n{STATE}{CHANNEL}"), "1: top, field silence_after"),
        ] {
            let given = fault(&text);
            assert!(given.contains(told), "{told}: {given}");
        }
    }
}
