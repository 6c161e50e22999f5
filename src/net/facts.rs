//! What the system says about a receive socket, and which of its settings lose datagrams.

use std::{fmt, fs, net::IpAddr};

use super::advice::setting;

/// State of one receive socket, for metrics and for `top`.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SocketFacts {
    /// Datagrams the kernel dropped because the buffer was full, since the socket was opened.
    /// A 32-bit counter that wraps; `None` where the system does not tell.
    pub drops: Option<u32>,
    /// Octets of receive buffer asked for.
    pub buffer_requested: usize,
    /// Octets granted. The kernel charges its own book-keeping too: a speech datagram takes about
    /// 830 octets of twice this figure.
    pub buffer_granted: usize,
    /// Reverse-path filter of the interface: 0 off, 1 strict, 2 loose; `None` where there is none.
    pub reverse_path_filter: Option<u32>,
    /// Version in which the interface tells routers what is joined; `None` if the system does not say.
    pub membership_protocol: Option<MembershipProtocol>,
    /// Whether a group was joined for certain senders only.
    pub source_specific: bool,
    /// Interface the group was joined on, unless routing chose.
    pub interface: Option<String>,
}

impl SocketFacts {
    /// What an operator should know, one sentence each; empty when all is well.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.buffer_granted < self.buffer_requested {
            warnings.push(format!(
                "receive buffer of {} octets instead of {}: raise net.core.rmem_max, or grant \
                 CAP_NET_ADMIN",
                self.buffer_granted, self.buffer_requested
            ));
        }
        if let (Some(mode @ (1 | 2)), Some(interface)) = (self.reverse_path_filter, &self.interface)
        {
            let (name, which) = if mode == 1 {
                ("strict", "whose route back leaves by another interface")
            } else {
                ("loose", "to which there is no route at all")
            };
            warnings.push(format!(
                "reverse-path filter of {interface} is {name}: datagrams from senders {which} \
                 vanish without a counter; set net.ipv4.conf.{interface}.rp_filter and \
                 net.ipv4.conf.all.rp_filter to 0"
            ));
        }
        let too_old = self.membership_protocol.filter(|spoken| !spoken.names_senders());
        if let (Some(spoken), Some(interface), true) =
            (too_old, &self.interface, self.source_specific)
        {
            let forced = match spoken {
                MembershipProtocol::Igmp(_) => "net.ipv4.conf.{all,IF}.force_igmp_version",
                MembershipProtocol::Mld(_) => "net.ipv6.conf.{all,IF}.force_mld_version",
            };
            warnings.push(format!(
                "{interface} speaks {spoken}, in which routers are not told the senders of \
                 source-specific groups, so that these may not arrive: set {} to 0, or let the \
                 querier of the network speak a newer version",
                forced.replace("IF", interface)
            ));
        }
        warnings
    }
}

/// How an interface tells routers which groups are joined (RFC 3376, RFC 3810).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum MembershipProtocol {
    /// IGMP of this version, for IPv4.
    Igmp(u32),
    /// MLD of this version, for IPv6.
    Mld(u32),
}

impl MembershipProtocol {
    /// Whether senders are named, so that source-specific multicast works.
    #[must_use]
    pub const fn names_senders(self) -> bool {
        match self {
            Self::Igmp(version) => version >= 3,
            Self::Mld(version) => version >= 2,
        }
    }
}

impl fmt::Display for MembershipProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Igmp(version) => write!(f, "IGMPv{version}"),
            Self::Mld(version) => write!(f, "MLDv{version}"),
        }
    }
}

/// What the system says about an interface, for groups of one address family.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InterfaceFacts {
    pub(super) reverse_path_filter: Option<u32>,
    pub(super) membership_protocol: Option<MembershipProtocol>,
}

impl InterfaceFacts {
    pub(super) fn of(interface: &str, family: IpAddr) -> Self {
        if family.is_ipv4() {
            let list = fs::read_to_string("/proc/net/igmp").unwrap_or_default();
            let spoken = igmp_version(&list, interface).map(MembershipProtocol::Igmp);
            let filter = reverse_path_filter(interface);
            return Self { reverse_path_filter: filter, membership_protocol: spoken };
        }
        let forced = |of: &str| setting(&format!("net/ipv6/conf/{of}/force_mld_version"));
        let forced = forced("all").filter(|v| *v > 0).or_else(|| forced(interface));
        let spoken = forced.filter(|v| *v > 0).map(MembershipProtocol::Mld);
        Self { reverse_path_filter: None, membership_protocol: spoken }
    }
}

/// Reads the version beside an interface in `/proc/net/igmp`: what the querier there speaks, or what
/// `force_igmp_version` says.
fn igmp_version(list: &str, interface: &str) -> Option<u32> {
    list.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let name = words.by_ref().nth(1)?;
        (name == interface).then(|| words.last()?.strip_prefix('V')?.parse().ok())?
    })
}

/// The filter that applies to an interface: the larger of its own setting and the general one.
fn reverse_path_filter(interface: &str) -> Option<u32> {
    let own = setting(&format!("net/ipv4/conf/{interface}/rp_filter"));
    own.max(setting("net/ipv4/conf/all/rp_filter"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(reverse_path_filter: Option<u32>, buffer_granted: usize) -> SocketFacts {
        SocketFacts {
            drops: Some(0),
            buffer_requested: 4096,
            buffer_granted,
            reverse_path_filter,
            membership_protocol: Some(MembershipProtocol::Igmp(3)),
            source_specific: true,
            interface: Some("eth1".to_owned()),
        }
    }

    #[test]
    fn a_strict_reverse_path_filter_is_warned_of() {
        assert!(facts(Some(0), 4096).warnings().is_empty());
        assert!(facts(None, 4096).warnings().is_empty());
        assert!(facts(Some(1), 4096).warnings()[0].contains("net.ipv4.conf.eth1.rp_filter"));
        assert!(facts(Some(2), 4096).warnings()[0].contains("loose"));
    }

    #[test]
    fn a_smaller_buffer_than_asked_for_is_warned_of() {
        assert!(facts(Some(0), 2048).warnings()[0].contains("rmem_max"));
    }

    #[test]
    fn an_old_igmp_version_is_warned_of_where_senders_matter() {
        let old = SocketFacts {
            membership_protocol: Some(MembershipProtocol::Igmp(2)),
            ..facts(Some(0), 4096)
        };
        let warning = &old.warnings()[0];
        assert!(warning.contains("IGMPv2"), "{warning}");
        assert!(warning.contains("net.ipv4.conf.{all,eth1}.force_igmp_version"), "{warning}");
        let any = SocketFacts { source_specific: false, ..old };
        assert!(any.warnings().is_empty());
        let mld = |version| SocketFacts {
            membership_protocol: Some(MembershipProtocol::Mld(version)),
            ..facts(None, 4096)
        };
        assert!(mld(1).warnings()[0].contains("force_mld_version"));
        assert!(mld(2).warnings().is_empty());
    }

    #[test]
    fn the_version_stands_beside_the_interface() {
        let list = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
                    1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
                    2\teth1      :     4      V2\n\t\t\t\t010000E0     1 0:00000000\t\t1\n";
        assert_eq!(igmp_version(list, "lo"), Some(3));
        assert_eq!(igmp_version(list, "eth1"), Some(2));
        assert_eq!(igmp_version(list, "eth2"), None);
    }
}
