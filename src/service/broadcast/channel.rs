//! What a channel is to the service: where its packets come from, and where they go.

use std::{
    cmp::Reverse,
    net::{IpAddr, SocketAddr},
};

use crate::{
    broadcast::ChannelId,
    error::Error,
    group::{GroupSpec, MediaKind, MediaSpec, RtcpPlace},
    net::SendOptions,
    srtp::PacketKind,
};

/// One channel to be sent.
///
/// ```
/// use mcast_srtp::{
///     group::{GroupSpec, Interface, MediaSpec},
///     service::BroadcastChannel,
/// };
///
/// let group = GroupSpec::new("Group 17", Interface::name("eth1"))
///     .with_media(MediaSpec::rtp("239.10.0.17".parse()?, 49170).with_ttl(8))
///     .with_media(MediaSpec::burst("239.10.0.17".parse()?, 49172).with_ttl(8));
/// let channel = BroadcastChannel::new("group 17", group)
///     .with_input(0, "127.0.0.1:6000".parse()?)
///     .with_input(1, "127.0.0.1:6002".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct BroadcastChannel {
    /// Its name, as the key server has it.
    pub id: ChannelId,
    /// Addresses, ports and TTL; where key messages go.
    pub group: GroupSpec,
    /// Where plain packets are taken from, beside what is handed in.
    pub inputs: Vec<InputSpec>,
    /// Source address and delivery to this host; the TTL is that of each medium. Receivers take a
    /// stream from one source address and port until it has been silent for 30 s: without a port of
    /// its own here, a broadcaster that is started again is a stranger to them so long.
    pub send: SendOptions,
}

impl BroadcastChannel {
    /// A channel that takes what is handed in, and has no other input.
    #[must_use]
    pub fn new(id: impl Into<ChannelId>, group: GroupSpec) -> Self {
        Self { id: id.into(), group, inputs: Vec::new(), send: SendOptions::default() }
    }

    /// Takes plain packets for a medium, by its place in the group, at an address of this host.
    /// Whoever can send there speaks in the group: an address of the loopback interface is safest.
    #[must_use]
    pub fn with_input(mut self, medium: usize, listen: SocketAddr) -> Self {
        self.inputs.push(InputSpec { medium, listen });
        self
    }

    /// Sets the source address, and whether members on this host hear the group.
    #[must_use]
    pub const fn with_send_options(mut self, send: SendOptions) -> Self {
        self.send = send;
        self
    }

    /// Checks what the types cannot express.
    ///
    /// # Errors
    /// [`Error::Invalid`]: what [`GroupSpec::validate`] finds, or an input for a medium that is not
    /// there or takes no packets.
    pub fn validate(&self) -> Result<(), Error> {
        self.group.validate()?;
        self.inputs.iter().try_for_each(|input| self.check_medium(input.medium))
    }

    pub(super) fn check_medium(&self, medium: usize) -> Result<(), Error> {
        match self.group.media.get(medium).map(|medium| medium.kind) {
            Some(MediaKind::Rtp { .. } | MediaKind::BurstControl) => Ok(()),
            Some(MediaKind::KeyMessages) => Err(Error::invalid(format!(
                "channel {}: medium {medium} is for key messages, which the service makes itself",
                self.id
            ))),
            None => Err(Error::invalid(format!(
                "channel {}: no medium {medium}; the group has {}, counted from 0",
                self.id,
                self.group.media.len()
            ))),
        }
    }
}

/// Where plain packets of a medium are taken from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InputSpec {
    /// The place of the medium in [`GroupSpec::media`].
    pub medium: usize,
    /// Address and port of this host. RTP and RTCP may come at the same or at several.
    pub listen: SocketAddr,
}

/// Where a datagram goes, and by which outbox.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Destination {
    pub(super) address: SocketAddr,
    pub(super) ttl: u8,
    pub(super) outbox: usize,
}

/// Where the packets of a medium go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    rtp: Option<Destination>,
    rtcp: Option<Destination>,
    pub(super) outbox: usize,
}

impl Place {
    /// The destination of a kind of packets; `None`: the medium has no room for it.
    pub(super) const fn of(&self, kind: PacketKind) -> Option<Destination> {
        match kind {
            PacketKind::Rtp => self.rtp,
            PacketKind::Rtcp => self.rtcp,
        }
    }
}

/// The places of all media of a group. `outbox` gives the outbox for an address.
pub(super) fn places(
    group: &GroupSpec,
    mut outbox: impl FnMut(IpAddr) -> Result<usize, Error>,
) -> Result<Vec<Place>, Error> {
    let place = |medium: &MediaSpec| {
        let (ttl, outbox) = (medium.ttl, outbox(medium.group)?);
        let here = SocketAddr::new(medium.group, medium.port);
        let (rtp, rtcp) = match medium.kind {
            MediaKind::BurstControl => (None, Some(here)),
            MediaKind::KeyMessages => (None, None),
            MediaKind::Rtp { rtcp: RtcpPlace::Mux } => (Some(here), Some(here)),
            MediaKind::Rtp { rtcp: RtcpPlace::None } => (Some(here), None),
            MediaKind::Rtp { rtcp: RtcpPlace::Port(port, group) } => {
                (Some(here), Some(SocketAddr::new(group.unwrap_or(medium.group), port)))
            }
        };
        let to = |address| Destination { address, ttl, outbox };
        Ok(Place { rtp: rtp.map(to), rtcp: rtcp.map(to), outbox })
    };
    group.media.iter().map(place).collect()
}

/// Where key messages go: their own port on every address of the group; the key streams of the
/// description; or, if there is neither, the ports of the media.
pub(super) fn key_places(group: &GroupSpec, places: &[Place]) -> Vec<Destination> {
    let media = || group.media.iter().zip(places);
    let to = |(medium, place): (&MediaSpec, &Place), port| Destination {
        address: SocketAddr::new(medium.group, port),
        ttl: medium.ttl,
        outbox: place.outbox,
    };
    let streams = media().filter_map(|one| match (one.0.kind, group.mikey_port) {
        (MediaKind::KeyMessages, _) => Some(to(one, one.0.port)),
        (_, port) => Some(to(one, port?)),
    });
    let mut found: Vec<_> = streams.collect();
    if found.is_empty() {
        found = media().map(|one| to(one, one.0.port)).collect();
    }
    // Of several TTLs to one address the longest.
    found.sort_unstable_by_key(|to| (to.address, Reverse(to.ttl)));
    found.dedup_by_key(|to| to.address);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Interface;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn group() -> GroupSpec {
        GroupSpec::new("test", Interface::Any)
            .with_media(MediaSpec::rtp(ip("239.1.1.1"), 5004))
            .with_media(MediaSpec::burst(ip("239.1.1.1"), 5010))
            .with_media(MediaSpec::rtp(ip("239.1.1.2"), 5004).with_rtcp(RtcpPlace::None))
    }

    fn keys(group: &GroupSpec) -> Vec<String> {
        let places = places(group, |_| Ok(0)).unwrap();
        key_places(group, &places).iter().map(|to| to.address.to_string()).collect()
    }

    #[test]
    fn key_messages_go_once_to_every_address_of_the_group() {
        assert_eq!(keys(&group()), ["239.1.1.1:2269", "239.1.1.2:2269"]);
    }

    #[test]
    fn key_messages_without_a_port_go_to_the_key_stream_or_with_the_media() {
        let group = group().with_mikey_port(None);
        assert_eq!(keys(&group), ["239.1.1.1:5004", "239.1.1.1:5010", "239.1.1.2:5004"]);
        let group = group.with_media(MediaSpec::key_messages(ip("239.1.1.3"), 6000));
        assert_eq!(keys(&group), ["239.1.1.3:6000"]);
    }

    #[test]
    fn rtcp_has_its_port_and_burst_control_takes_no_rtp() {
        let places = places(&group(), |_| Ok(0)).unwrap();
        let to = |place: usize, kind| places[place].of(kind).map(|to| to.address.port());
        assert_eq!((to(0, PacketKind::Rtp), to(0, PacketKind::Rtcp)), (Some(5004), Some(5005)));
        assert_eq!((to(1, PacketKind::Rtp), to(1, PacketKind::Rtcp)), (None, Some(5010)));
        assert_eq!(to(2, PacketKind::Rtcp), None);
    }

    #[test]
    fn input_for_a_medium_that_is_not_there_is_named() {
        let listen = "127.0.0.1:6000".parse().unwrap();
        let channel = BroadcastChannel::new("17", group()).with_input(3, listen);
        assert!(channel.validate().unwrap_err().to_string().contains("no medium 3"));
        let keys = group().with_media(MediaSpec::key_messages(ip("239.1.1.3"), 6000));
        let channel = BroadcastChannel::new("17", keys).with_input(3, listen);
        assert!(channel.validate().unwrap_err().to_string().contains("key messages"));
    }
}
