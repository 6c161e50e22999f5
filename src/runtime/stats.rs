//! Counters of a gateway.

use std::fmt;

use crate::{counter::RejectStats, ids::GroupId, rx::GroupStats};

/// Counters of a gateway at one moment.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct GatewayStats {
    /// Number, name and counters of each group.
    pub groups: Vec<(GroupId, String, GroupStats)>,
    /// The sockets, and counters of what has happened at them.
    pub sockets: SocketStats,
    /// Counters of the key thread.
    pub keys: KeyStats,
    /// How often the callback has panicked; the events it was given then are lost to it.
    pub callback_panics: u64,
    /// Threads of the gateway that have ended before it was stopped: always 0, or a fault of this
    /// library.
    pub threads_ended: usize,
}

/// The sockets of a gateway at one moment.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SocketStats {
    /// Multicast sockets open.
    pub open: usize,
    /// Those of them that groups share.
    pub shared: usize,
    /// Datagrams the system dropped because a socket's buffer was full. A group's own figure counts
    /// the drops of sockets that it shares too; this one counts every drop once.
    pub drops: u64,
    /// Datagrams at a shared socket that were sent to none of its groups: unicast to its port, and a few
    /// while a group is joined or left.
    pub unknown_destination: u64,
    /// Calls to receive or to wait that failed.
    pub receive_errors: u64,
    /// How often an interface was found to be gone.
    pub interfaces_lost: u64,
    /// Groups joined again on an interface that came back, counted by address and port.
    pub rejoined: u64,
}

/// Counters of the key thread at one moment.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyStats {
    /// MSK messages accepted.
    pub msk: u64,
    /// MTK messages accepted.
    pub mtk: u64,
    /// Verification messages sent.
    pub verifications: u64,
    /// Tables published.
    pub publishes: u64,
    /// Commits to the state.
    pub commits: u64,
    /// Commits that the system refused; no key message is accepted until one succeeds.
    pub commits_failed: u64,
    /// Number of the table in force.
    pub generation: u64,
    /// Key messages refused, by reason.
    pub rejects: RejectStats,
}

impl fmt::Display for GatewayStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (_, name, stats) in &self.groups {
            writeln!(f, "{name}: {stats}")?;
        }
        let SocketStats { open, shared, drops, unknown_destination, .. } = self.sockets;
        let SocketStats { receive_errors, interfaces_lost, rejoined, .. } = self.sockets;
        write!(f, "sockets: {open}, {shared} of them shared, {drops} drops")?;
        write!(f, ", {unknown_destination} unknown destination, {receive_errors} receive errors")?;
        writeln!(f, ", {interfaces_lost} interfaces lost, {rejoined} rejoined")?;
        let KeyStats { msk, mtk, verifications, generation, commits_failed, .. } = self.keys;
        write!(f, "keys: {msk} MSK, {mtk} MTK, {verifications} verified, table {generation}")?;
        if commits_failed > 0 {
            write!(f, ", {commits_failed} commits failed")?;
        }
        self.keys.rejects.iter().try_for_each(|(reject, count)| write!(f, ", {count} {reject}"))?;
        if self.callback_panics > 0 {
            write!(f, ", the callback panicked {} times", self.callback_panics)?;
        }
        match self.threads_ended {
            0 => Ok(()),
            ended => write!(f, ", {ended} threads have ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_that_is_counted_is_shown() {
        let group = GroupStats { socket_drops: 21, unauthenticated: 22, ..GroupStats::default() };
        let (receive_errors, interfaces_lost) = (23, 24);
        let stats = GatewayStats {
            groups: vec![(GroupId(0), "Group 17".to_owned(), group)],
            sockets: SocketStats { receive_errors, interfaces_lost, ..SocketStats::default() },
            keys: KeyStats { commits_failed: 25, ..KeyStats::default() },
            callback_panics: 26,
            threads_ended: 27,
        };
        let text = stats.to_string();
        assert!((21..=27).all(|count| text.contains(&format!(" {count} "))), "{text}");
    }
}
