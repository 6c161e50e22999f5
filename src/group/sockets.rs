//! From the description of a group to the sockets that receive it, and what can be wrong with it.

use std::net::IpAddr;

use super::{GroupSpec, MediaKind, MediaSpec, RtcpPlace, SourceFilter};
use crate::error::Error;

/// One socket to open: a multicast address and port, and what arrives there.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SocketSpec {
    /// Multicast address to bind to and to join.
    pub group: IpAddr,
    /// UDP port.
    pub port: u16,
    /// Whose datagrams are wanted: by any of the media that share the socket.
    pub sources: SourceFilter,
    /// What is expected at the socket.
    pub carries: Carries,
    /// Positions in [`GroupSpec::media`] of the media that share the socket.
    pub media: Vec<usize>,
}

impl SocketSpec {
    /// A socket for one group and port outside any [`GroupSpec`], from any sender.
    #[must_use]
    pub const fn new(group: IpAddr, port: u16) -> Self {
        let (sources, carries) = (SourceFilter::Any, Carries::NOTHING);
        Self { group, port, sources, carries, media: Vec::new() }
    }

    /// The same with another source filter.
    #[must_use]
    pub fn with_sources(mut self, sources: SourceFilter) -> Self {
        self.sources = sources;
        self
    }
}

/// What is expected at a socket. Anything else there is counted as foreign.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Carries {
    /// SRTP.
    pub rtp: bool,
    /// SRTCP of a medium.
    pub rtcp: bool,
    /// Burst control, which is SRTCP too.
    pub burst: bool,
    /// MIKEY: on its own port, and by first octet on every other one.
    pub mikey: bool,
}

impl Carries {
    /// Nothing yet.
    pub const NOTHING: Self = Self { rtp: false, rtcp: false, burst: false, mikey: false };

    /// Nothing but key messages.
    pub(crate) const fn is_keys_alone(self) -> bool {
        self.mikey && !(self.rtp || self.rtcp || self.burst)
    }

    const fn or(self, other: Self) -> Self {
        Self {
            rtp: self.rtp || other.rtp,
            rtcp: self.rtcp || other.rtcp,
            burst: self.burst || other.burst,
            mikey: self.mikey || other.mikey,
        }
    }
}

impl GroupSpec {
    /// Lists what to receive: one entry for each pair of address and port. A gateway with many groups
    /// lets pairs of one port share a socket.
    ///
    /// Media that share a pair share the socket, because a second one would receive every datagram
    /// again; it then admits the senders of all of them. The port of MTK messages is opened on every
    /// address that carries media.
    ///
    /// # Errors
    /// [`Error::Invalid`] as [`GroupSpec::validate`] gives it.
    pub fn sockets(&self) -> Result<Vec<SocketSpec>, Error> {
        self.validate()?;
        let mut sockets = Vec::new();
        for (place, media) in self.media.iter().enumerate() {
            let mut want = |group, port, carries| {
                let wanted = SocketSpec {
                    group,
                    port,
                    sources: media.sources.clone(),
                    carries: Carries { mikey: true, ..carries },
                    media: vec![place],
                };
                merge(&mut sockets, wanted);
            };
            let nothing = Carries::NOTHING;
            match media.kind {
                MediaKind::BurstControl => {
                    want(media.group, media.port, Carries { burst: true, ..nothing });
                }
                MediaKind::KeyMessages => want(media.group, media.port, nothing),
                MediaKind::Rtp { rtcp } => {
                    let mux = rtcp == RtcpPlace::Mux;
                    want(media.group, media.port, Carries { rtp: true, rtcp: mux, ..nothing });
                    if let RtcpPlace::Port(port, group) = rtcp {
                        want(group.unwrap_or(media.group), port, Carries { rtcp: true, ..nothing });
                    }
                }
            }
            if let Some(port) = self.mikey_port {
                want(media.group, port, nothing);
            }
        }
        Ok(sockets)
    }

    /// Checks what the types cannot express.
    ///
    /// # Errors
    /// [`Error::Invalid`]: no media, an address that is not multicast, port 0, a source-specific
    /// address without a sender, senders of the other address family, an impossible profile.
    pub fn validate(&self) -> Result<(), Error> {
        let in_group = |error: Error| Error::invalid(format!("group {:?}: {error}", self.name));
        if self.media.is_empty() {
            return Err(in_group(Error::invalid("no media; add at least one address and port")));
        }
        self.media.iter().try_for_each(MediaSpec::validate).map_err(in_group)?;
        if self.mikey_port == Some(0) {
            return Err(in_group(Error::invalid(
                "port 0 for key messages; leave it out if they come with the media",
            )));
        }
        self.profile.as_ref().map_or(Ok(()), |profile| profile.validate()).map_err(in_group)
    }
}

impl MediaSpec {
    /// Checks one medium, as [`GroupSpec::validate`] does for all.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the address or port.
    pub fn validate(&self) -> Result<(), Error> {
        check_group(self.group)?;
        check_port(self.group, self.port)?;
        check_sources(self.group, &self.sources)?;
        if let Some(payload_type) = self.payload_types.iter().find(|t| **t > 0x7f) {
            return Err(Error::invalid(format!("payload type {payload_type}: 0 to 127 exist")));
        }
        match self.kind {
            MediaKind::Rtp { rtcp: RtcpPlace::Port(0, _) } => Err(Error::invalid(format!(
                "{} port {}: no port for RTCP; name one with a=rtcp, or use a=rtcp-mux",
                self.group, self.port
            ))),
            MediaKind::Rtp { rtcp: RtcpPlace::Port(port, Some(group)) } => {
                check_group(group)?;
                check_port(group, port)?;
                check_sources(group, &self.sources)
            }
            _ => Ok(()),
        }
    }
}

/// Whether an address belongs to source-specific multicast (RFC 4607 §1: 232/8 and ff3x::/32).
#[must_use]
pub fn is_source_specific(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.octets()[0] == 232,
        IpAddr::V6(group) => group.segments()[0] & 0xfff0 == 0xff30 && group.segments()[1] == 0,
    }
}

pub(crate) fn check_group(group: IpAddr) -> Result<(), Error> {
    if group.is_multicast() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{group} is not a multicast address; groups are 224.0.0.0 to 239.255.255.255 and ff00::/8"
    )))
}

fn check_port(group: IpAddr, port: u16) -> Result<(), Error> {
    if port != 0 {
        return Ok(());
    }
    Err(Error::invalid(format!("{group} port 0: the medium is switched off; give its UDP port")))
}

pub(crate) fn check_sources(group: IpAddr, sources: &SourceFilter) -> Result<(), Error> {
    //= RFC 4607 §1: in this address range there is no group without a source
    if is_source_specific(group) && !matches!(sources, SourceFilter::Include(s) if !s.is_empty()) {
        return Err(Error::invalid(format!(
            "{group} is a source-specific address; name its sender, in SDP with \
             a=source-filter: incl IN {} {group} SENDER",
            if group.is_ipv4() { "IP4" } else { "IP6" }
        )));
    }
    if *sources == SourceFilter::Include(Vec::new()) {
        return Err(Error::invalid(format!("{group}: the list of senders is empty")));
    }
    for source in sources.addresses() {
        if source.is_ipv4() != group.is_ipv4() {
            return Err(Error::invalid(format!(
                "sender {source} and group {group} are of different address families"
            )));
        }
        if source.is_multicast() || source.is_unspecified() {
            return Err(Error::invalid(format!("sender {source} of {group} is no host's address")));
        }
    }
    Ok(())
}

fn merge(sockets: &mut Vec<SocketSpec>, wanted: SocketSpec) {
    let same = |s: &&mut SocketSpec| (s.group, s.port) == (wanted.group, wanted.port);
    let Some(socket) = sockets.iter_mut().find(same) else {
        return sockets.push(wanted);
    };
    let sources = std::mem::replace(&mut socket.sources, SourceFilter::Any);
    socket.sources = sources.union(wanted.sources);
    socket.carries = socket.carries.or(wanted.carries);
    for place in wanted.media {
        if !socket.media.contains(&place) {
            socket.media.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Interface;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn spec(media: MediaSpec) -> GroupSpec {
        GroupSpec::new("test", Interface::Any).with_media(media)
    }

    fn refusal(media: MediaSpec) -> String {
        spec(media).sockets().unwrap_err().to_string()
    }

    #[test]
    fn media_that_share_a_port_share_a_socket() {
        let (a, b) = (ip("232.1.1.1"), ip("232.1.1.2"));
        let spec = GroupSpec::new("test", Interface::Any)
            .with_media(
                MediaSpec::rtp(a, 5004).with_rtcp(RtcpPlace::Mux).from_source(ip("192.0.2.1")),
            )
            .with_media(MediaSpec::burst(a, 5004).from_source(ip("192.0.2.2")))
            .with_media(MediaSpec::rtp(b, 5004).from_source(ip("192.0.2.2")));
        let sockets = spec.sockets().unwrap();
        let places: Vec<_> = sockets.iter().map(|s| (s.group, s.port, s.media.clone())).collect();
        let expected = [
            (a, 5004, vec![0, 1]),
            (a, 2269, vec![0, 1]),
            (b, 5004, vec![2]),
            (b, 5005, vec![2]),
            (b, 2269, vec![2]),
        ];
        assert_eq!(places, expected);
        assert_eq!(sockets[0].carries, Carries { rtp: true, rtcp: true, burst: true, mikey: true });
        assert_eq!(sockets[0].sources.addresses(), [ip("192.0.2.1"), ip("192.0.2.2")]);
        assert_eq!(sockets[3].carries, Carries { rtcp: true, mikey: true, ..Carries::NOTHING });
        assert_eq!(sockets[4].carries, Carries { mikey: true, ..Carries::NOTHING });
    }

    #[test]
    fn rtcp_may_have_an_address_of_its_own_or_no_place() {
        let group = ip("239.1.1.1");
        let elsewhere = RtcpPlace::Port(6001, Some(ip("239.1.1.2")));
        let places = |rtcp| {
            let spec = spec(MediaSpec::rtp(group, 5004).with_rtcp(rtcp)).with_mikey_port(None);
            spec.sockets().unwrap().iter().map(|s| (s.group, s.port)).collect::<Vec<_>>()
        };
        assert_eq!(places(elsewhere), [(group, 5004), (ip("239.1.1.2"), 6001)]);
        assert_eq!(places(RtcpPlace::None), [(group, 5004)]);
    }

    #[test]
    fn a_group_that_is_not_multicast_is_named() {
        assert!(refusal(MediaSpec::rtp(ip("192.0.2.1"), 5004)).contains("192.0.2.1 is not"));
        assert!(refusal(MediaSpec::rtp(ip("2001:db8::1"), 5004)).contains("not a multicast"));
        let rtcp = RtcpPlace::Port(5005, Some(ip("10.0.0.1")));
        assert!(
            refusal(MediaSpec::rtp(ip("239.1.1.1"), 5004).with_rtcp(rtcp)).contains("10.0.0.1")
        );
    }

    #[test]
    fn port_zero_and_a_missing_rtcp_port_are_named() {
        assert!(refusal(MediaSpec::burst(ip("239.1.1.1"), 0)).contains("port 0"));
        assert!(refusal(MediaSpec::rtp(ip("239.1.1.1"), 65535)).contains("a=rtcp"));
        let group = spec(MediaSpec::burst(ip("239.1.1.1"), 5004)).with_mikey_port(Some(0));
        assert!(group.validate().unwrap_err().to_string().contains("key messages"));
    }

    #[test]
    fn source_specific_address_without_sender_is_refused() {
        for group in ["232.1.1.1", "ff35::1", "ff3e::8000:1"] {
            let media = MediaSpec::burst(ip(group), 5004);
            assert!(refusal(media.clone()).contains("a=source-filter: incl"), "{group}");
            let exclude = SourceFilter::Exclude(vec![ip("192.0.2.1")]);
            assert!(refusal(media.with_sources(exclude)).contains("source-specific"));
        }
        assert!(!is_source_specific(ip("ff35:40::1")));
        assert!(!is_source_specific(ip("ff15::1")));
    }

    #[test]
    fn senders_must_be_hosts_of_the_same_family() {
        let media = MediaSpec::burst(ip("239.1.1.1"), 5004);
        assert!(refusal(media.clone().from_source(ip("2001:db8::1"))).contains("families"));
        assert!(refusal(media.clone().from_source(ip("0.0.0.0"))).contains("no host"));
        let nobody = SourceFilter::Include(Vec::new());
        assert!(refusal(media.with_sources(nobody)).contains("empty"));
    }

    #[test]
    fn group_without_media_says_so() {
        let error = GroupSpec::new("silent", Interface::Any).sockets().unwrap_err().to_string();
        assert!(error.contains("silent") && error.contains("no media"), "{error}");
    }
}
