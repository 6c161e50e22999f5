//! What the system says about a receive socket, and which of its settings lose datagrams.

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
        warnings
    }
}

/// The filter that applies to an interface: the larger of its own setting and the general one.
pub(super) fn reverse_path_filter(interface: &str) -> Option<u32> {
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
}
