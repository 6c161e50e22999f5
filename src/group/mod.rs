//! What a talk group is: addresses, ports, senders, payload types, and where its keys come from.
//!
//! Plain data, below the sockets and above the wire: it can be written down in Rust, read from an
//! SDP body (feature `sdp`), handed by the key server to the broadcaster, and handed to a gateway
//! to join. [`GroupSpec::sockets`] turns it into the list of sockets to open.

#[cfg(feature = "sdp")]
mod sdp;
mod sockets;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use crate::{
    error::Error,
    ids::{KeyDomainId, Ssrc},
    srtp::{Profile, Rcc},
};

#[cfg(feature = "sdp")]
pub use sdp::profile_of;
pub use sockets::{Carries, SocketSpec, is_source_specific};
pub(crate) use sockets::{check_group, check_sources};

/// One talk group: everything a receiver must know to join it, and a broadcaster to send to it.
///
/// ```
/// use mcast_srtp::group::{GroupSpec, Interface, MediaSpec};
///
/// let spec = GroupSpec::new("Group 17", Interface::name("eth1"))
///     .with_media(MediaSpec::rtp("232.10.0.17".parse()?, 49170).from_source("192.0.2.10".parse()?))
///     .with_media(MediaSpec::burst("232.10.0.17".parse()?, 49172).from_source("192.0.2.10".parse()?));
/// assert_eq!(spec.sockets()?.len(), 4); // RTP, RTCP, burst control, key messages
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupSpec {
    /// Name for people: logs, metrics, the `s=` line.
    pub name: String,
    /// Where the group arrives, or leaves.
    pub interface: Interface,
    /// Media and burst control, in the order of the description.
    pub media: Vec<MediaSpec>,
    /// UDP port of MTK messages on the group's addresses; `None` if they come with the media only.
    pub mikey_port: Option<u16>,
    /// MIKEY messages that came with the description (RFC 4567), decoded from base64.
    pub key_messages: Vec<Vec<u8>>,
    /// Key-management protocols that the description offers, in its order and joined by `;`. A
    /// description whose MSK message lists others is refused (RFC 4567 §4.1.4).
    pub key_protocols: Option<String>,
    /// Key domain of the group, if it is known beforehand.
    pub key_domain: Option<KeyDomainId>,
    /// Protection, if it is known beforehand; else the MSK message brings it.
    pub profile: Option<Profile>,
}

impl GroupSpec {
    /// UDP port of key messages (TS 33.246 §6.3.2.1: the port registered for MIKEY).
    pub const MIKEY_PORT: u16 = 2269;

    /// A group without media, which listens for MTK messages on [`GroupSpec::MIKEY_PORT`].
    #[must_use]
    pub fn new(name: impl Into<String>, interface: Interface) -> Self {
        Self {
            name: name.into(),
            interface,
            media: Vec::new(),
            mikey_port: Some(Self::MIKEY_PORT),
            key_messages: Vec::new(),
            key_protocols: None,
            key_domain: None,
            profile: None,
        }
    }

    /// A name that stays the same over restarts, and is that of no other group on the interface: address
    /// and port of the first medium.
    #[must_use]
    pub fn place(&self) -> String {
        let first = self.media.first();
        first.map_or_else(String::new, |media| SocketAddr::new(media.group, media.port).to_string())
    }

    /// Adds a medium.
    #[must_use]
    pub fn with_media(mut self, media: MediaSpec) -> Self {
        self.media.push(media);
        self
    }

    /// Sets the port of MTK messages, or that there is none.
    #[must_use]
    pub fn with_mikey_port(mut self, port: Option<u16>) -> Self {
        self.mikey_port = port;
        self
    }

    /// Adds a MIKEY message, as octets.
    #[must_use]
    pub fn with_key_message(mut self, message: Vec<u8>) -> Self {
        self.key_messages.push(message);
        self
    }

    /// The ROC-carrying transform that the description asks for, if all its RTP media ask for the same:
    /// one traffic key protects them all. The policy of an MSK message wins over it (K9).
    #[must_use]
    pub fn rcc(&self) -> Option<Rcc> {
        let rtp = |media: &&MediaSpec| matches!(media.kind, MediaKind::Rtp { .. });
        let mut asked = self.media.iter().filter(rtp).map(|media| media.rcc);
        let first = asked.next().flatten();
        first.filter(|_| asked.all(|rcc| rcc == first))
    }

    /// Sets the key domain.
    #[must_use]
    pub fn with_key_domain(mut self, domain: KeyDomainId) -> Self {
        self.key_domain = Some(domain);
        self
    }

    /// Sets the protection.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }
}

/// One medium, or the burst control, of a group.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MediaSpec {
    /// What arrives at the port.
    pub kind: MediaKind,
    /// The word for it in a description: `audio`, `video`, `application`.
    pub media_type: String,
    /// Multicast address.
    pub group: IpAddr,
    /// UDP port of RTP, or of burst control.
    pub port: u16,
    /// TTL or hop limit for the sending side; 1 stays in the subnet.
    pub ttl: u8,
    /// Whose datagrams are wanted.
    pub sources: SourceFilter,
    /// RTP payload types to expect; empty for any.
    pub payload_types: Vec<u8>,
    /// What the payload types stand for, as far as the description says.
    pub codecs: Vec<Codec>,
    /// Options of burst control, name and value: `queuing` and `1`.
    pub parameters: Vec<(String, String)>,
    /// Streams announced beforehand (RFC 5576). A hint, not authenticated.
    pub ssrcs: Vec<Ssrc>,
    /// ROC-carrying transform of this medium (RFC 5159 §5.1). Applies where the MSK message has no
    /// policy; see [`GroupSpec::rcc`].
    pub rcc: Option<Rcc>,
}

impl MediaSpec {
    /// TTL of a medium whose description does not say: the organisation, by custom.
    pub const TTL: u8 = 16;

    /// RTP on a port and RTCP on the next one, from any sender.
    #[must_use]
    pub fn rtp(group: IpAddr, port: u16) -> Self {
        let kind = MediaKind::Rtp { rtcp: RtcpPlace::Port(port.wrapping_add(1), None) };
        Self::new(kind, "audio", group, port)
    }

    /// Burst control on a port, from any sender.
    #[must_use]
    pub fn burst(group: IpAddr, port: u16) -> Self {
        Self::new(MediaKind::BurstControl, "application", group, port)
    }

    /// Key messages on a port of their own, from any sender.
    #[must_use]
    pub fn key_messages(group: IpAddr, port: u16) -> Self {
        Self::new(MediaKind::KeyMessages, "data", group, port)
    }

    fn new(kind: MediaKind, media_type: &str, group: IpAddr, port: u16) -> Self {
        Self {
            kind,
            media_type: media_type.to_owned(),
            group,
            port,
            ttl: Self::TTL,
            sources: SourceFilter::Any,
            payload_types: Vec::new(),
            codecs: Vec::new(),
            parameters: Vec::new(),
            ssrcs: Vec::new(),
            rcc: None,
        }
    }

    /// Sets where RTCP arrives. No effect on other media than RTP.
    #[must_use]
    pub fn with_rtcp(mut self, place: RtcpPlace) -> Self {
        if let MediaKind::Rtp { rtcp } = &mut self.kind {
            *rtcp = place;
        }
        self
    }

    /// Sets the source filter.
    #[must_use]
    pub fn with_sources(mut self, sources: SourceFilter) -> Self {
        self.sources = sources;
        self
    }

    /// Adds a sender to those wanted (source-specific multicast).
    #[must_use]
    pub fn from_source(mut self, source: IpAddr) -> Self {
        self.sources = match self.sources {
            SourceFilter::Include(mut sources) => {
                sources.push(source);
                SourceFilter::Include(sources)
            }
            _ => SourceFilter::Include(vec![source]),
        };
        self
    }

    /// Sets the payload types to expect.
    #[must_use]
    pub fn with_payload_types(mut self, types: &[u8]) -> Self {
        self.payload_types = types.to_vec();
        self
    }

    /// Sets TTL or hop limit for the sending side.
    #[must_use]
    pub fn with_ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }
}

/// What arrives at a medium's port.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum MediaKind {
    /// SRTP, with SRTCP somewhere.
    Rtp {
        /// Where SRTCP arrives.
        rtcp: RtcpPlace,
    },
    /// Talk burst control: SRTCP alone.
    BurstControl,
    /// MTK messages alone: a key stream that has its own line in the description.
    KeyMessages,
}

/// Where the RTCP of a medium arrives.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RtcpPlace {
    /// On the port of RTP (RFC 5761).
    Mux,
    /// On a port of its own; the address is the medium's unless another is named (RFC 3605).
    Port(u16, Option<IpAddr>),
    /// Nowhere: no RTCP is sent, or none is wanted.
    None,
}

/// Whose datagrams a group membership lets through (RFC 3376, RFC 4570).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum SourceFilter {
    /// Everybody's: any-source multicast.
    Any,
    /// Only these senders': source-specific multicast.
    Include(Vec<IpAddr>),
    /// Everybody's but these senders'.
    Exclude(Vec<IpAddr>),
}

impl SourceFilter {
    /// The senders named.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        match self {
            Self::Any => &[],
            Self::Include(sources) | Self::Exclude(sources) => sources,
        }
    }

    /// Whether a datagram from this sender is wanted.
    #[must_use]
    pub fn admits(&self, source: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Include(sources) => sources.contains(&source),
            Self::Exclude(sources) => !sources.contains(&source),
        }
    }

    /// The filter that admits what either admits.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        match (self, other) {
            (Self::Include(mut a), Self::Include(b)) => {
                a.extend(b);
                a.sort_unstable();
                a.dedup();
                Self::Include(a)
            }
            (Self::Any, _) | (_, Self::Any) => Self::Any,
            (Self::Exclude(mut a), b) | (b, Self::Exclude(mut a)) => {
                a.retain(|source| !b.admits(*source));
                if a.is_empty() { Self::Any } else { Self::Exclude(a) }
            }
        }
    }
}

/// A payload type and its meaning (`a=rtpmap`, `a=fmtp`).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Codec {
    /// RTP payload type.
    pub payload_type: u8,
    /// Encoding, clock rate and channels, as in `AMR/8000/1`.
    pub encoding: String,
    /// Parameters of the format, as in `octet-align=1; mode-set=1`.
    pub parameters: Option<String>,
}

/// The network interface on which a group is joined, or to which it is sent.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Interface {
    /// The one that routing chooses.
    Any,
    /// By name: `eth1`.
    Name(String),
    /// By one of its addresses.
    Addr(IpAddr),
    /// By the system's number.
    Index(u32),
}

impl Interface {
    /// The interface of this name.
    #[must_use]
    pub fn name(name: impl Into<String>) -> Self {
        Self::Name(name.into())
    }
}

impl FromStr for Interface {
    type Err = Error;

    /// Reads what a person writes: `any`, an address, a number, or a name.
    fn from_str(text: &str) -> Result<Self, Error> {
        let unspecified = |addr: IpAddr| addr.is_unspecified();
        Ok(match (text.parse::<IpAddr>(), text.parse::<u32>()) {
            (Ok(addr), _) if unspecified(addr) => Self::Any,
            (Ok(addr), _) => Self::Addr(addr),
            (_, Ok(0)) => Self::Any,
            (_, Ok(index)) => Self::Index(index),
            _ if text.is_empty() => {
                return Err(Error::invalid(
                    "interface without a name; write any, eth1, or an address",
                ));
            }
            _ if text.eq_ignore_ascii_case("any") => Self::Any,
            _ => Self::Name(text.to_owned()),
        })
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Name(name) => f.write_str(name),
            Self::Addr(addr) => write!(f, "{addr}"),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn interface_reads_what_a_person_writes() {
        let read = |text: &str| text.parse::<Interface>().unwrap();
        assert_eq!(read("eth1"), Interface::name("eth1"));
        assert_eq!(read("127.0.0.1"), Interface::Addr(ip("127.0.0.1")));
        assert_eq!(read("::"), Interface::Any);
        assert_eq!(read("Any"), Interface::Any);
        assert_eq!(read("7"), Interface::Index(7));
        assert!("".parse::<Interface>().is_err());
        for text in ["any", "eth1", "fd00::1", "7"] {
            assert_eq!(read(text).to_string(), text);
        }
    }

    #[test]
    fn union_of_filters_admits_what_either_admits() {
        let hosts = [ip("192.0.2.1"), ip("192.0.2.2"), ip("192.0.2.3")];
        let filters = [
            SourceFilter::Any,
            SourceFilter::Include(vec![hosts[0]]),
            SourceFilter::Include(vec![hosts[1], hosts[0]]),
            SourceFilter::Exclude(vec![hosts[0]]),
            SourceFilter::Exclude(vec![hosts[0], hosts[2]]),
        ];
        for a in &filters {
            for b in &filters {
                let both = a.clone().union(b.clone());
                for host in hosts {
                    assert_eq!(both.admits(host), a.admits(host) || b.admits(host), "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn sources_add_up() {
        let media = MediaSpec::rtp(ip("232.1.1.1"), 5004)
            .from_source(ip("192.0.2.1"))
            .from_source(ip("192.0.2.2"));
        assert_eq!(media.sources.addresses(), [ip("192.0.2.1"), ip("192.0.2.2")]);
    }
}
